"""Whether probabilities can be taken at their word, at home and elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...bench.metrics.calibration import N_BINS, calibration_error
from ..drawing import INK, as_svg, beside, colour_of, dash_of, drawing, legend, panels, square
from ..evidence import Evidence, Row
from ..load import Study
from ..naming import in_words_of, names_of
from ..section import Part, Section
from ..tables import Cells, records

SHARE = "share of lesion"
Sums = dict[tuple[str, str], dict[int, NDArray[np.float64]]]


@dataclass(frozen=True, slots=True)
class Facts:
    calibration: list[Row]
    """The rows of `calibration_table`."""


def make(evidence: Evidence) -> Part:
    study = evidence.study
    sums = reliability_sums(study, [each for each in study.spec["evaluations"] if each not in study.artifacts])
    table = calibration_table(study, evidence.cells, sums)
    rows = records(table)
    panels = {
        (f"{evaluation}, {name}" if name else evaluation, variant): each
        for evaluation in study.spec["evaluations"]
        for name, found in sums.items()
        for variant in study.spec["variants"]
        if (each := found.get((evaluation, variant))) is not None
    }
    share = in_words_of(study.target, SHARE)
    return Part(
        facts=Facts(rows),
        is_shown=bool(rows),
        figures={"reliability": draw(panels, evidence.names, evidence.id("reliability"), share)} if panels else {},
        tables={"calibration": table} if rows else {},
    )


def reliability_sums(study: Study, evaluations: list[str]) -> dict[str, Sums]:
    """For each evaluation and variant, for each seed, the (N_BINS, 3) sums over all pixels of all its images: by class,
    each against the rest, and of one structure under ""."""
    names = names_of(study.target) or ("",)
    sums: dict[str, Sums] = {name: {} for name in names}
    for trial in study.trials:
        for evaluation in evaluations:
            if (found := trial.evaluations.get(evaluation)) and (bins := found.reliability()) is not None:
                for name in names:
                    seeds = sums[name].setdefault((evaluation, trial.variant), {})
                    own: Any = bins[bins["name"] == name] if name else bins
                    total: Any = own.groupby("bin")[["pixels", "confidence", "positives"]].sum()
                    total = total.reindex(range(N_BINS), fill_value=0.0).to_numpy(dtype=np.float64)
                    seeds[trial.seed] = seeds.get(trial.seed, np.zeros((N_BINS, 3))) + total
    return sums


def calibration_table(study: Study, cells: Cells, sums: Mapping[str, Sums]) -> pd.DataFrame:
    """One row per evaluation and variant with probabilities; of several classes one per class, too.

    Columns: study, evaluation, name (of the class, where there are several), variant, n_seeds; ece (expected
    calibration error over all pixels, mean over seeds) and ece_sd (over seeds; None of one); brier (mean over images
    and seeds); boldness (mean probability minus share of lesion among the pixels with a probability of one half or
    more, which but for classes that exclude each other are those called lesion: above 0 the model is too sure of what
    it finds); trials.
    """
    rows: list[dict[str, Any]] = []
    for evaluation, name, variant in product(study.spec["evaluations"], sums, study.spec["variants"]):
        if (seeds := sums[name].get((evaluation, variant))) is None:
            continue
        errors = [calibration_error(each) for each in seeds.values()]
        called = np.sum([each[N_BINS // 2 :].sum(axis=0) for each in seeds.values()], axis=0)
        cell = cells.get((evaluation, variant))
        cell = cell.classes.get(name) if cell and name else cell
        brier = None if cell is None or "brier" not in cell.tables else float(cell.tables["brier"].to_numpy().mean())
        rows.append(
            {
                "study": study.name,
                "evaluation": evaluation,
                **({"name": name} if name else {}),
                "variant": variant,
                "n_seeds": len(errors),
                "ece": float(np.mean(errors)),
                "ece_sd": float(np.std(errors, ddof=1)) if len(errors) > 1 else None,
                "brier": brier,
                "boldness": float((called[1] - called[2]) / called[0]) if called[0] else None,
                "trials": cell.trials if cell else None,
            }
        )
    return pd.DataFrame(rows)


def draw(sums: Sums, variants: Sequence[str], name: str, share: str = SHARE) -> str:
    """Share of lesion by predicted probability, a panel an evaluation; on the diagonal probabilities are right.

    Args:
        sums: by panel and variant, then seed, (N_BINS, 3) pixels, sum of probabilities and lesion pixels.
        variants: every variant of the study in order.
        name: unique in the page.
        share: what stands at the vertical axes.
    """
    evaluations = list(dict.fromkeys(evaluation for evaluation, _ in sums))
    drawn = {variant for _, variant in sums}
    n_columns = max(2, beside(len(evaluations)))  # one panel as wide as the page would be no square
    n_rows = -(-len(evaluations) // n_columns)
    with drawing(n_rows, n_columns, square(n_rows, n_columns)) as (figure, axes):
        for axis, evaluation in zip(axes, evaluations, strict=False):
            axis.plot([0, 1], [0, 1], color=INK, linewidth=0.9)
            for position, variant in enumerate(variants):
                if (evaluation, variant) in sums:
                    pixels, confidence, positives = np.sum(list(sums[evaluation, variant].values()), axis=0).T
                    used = pixels > 0
                    x, y = confidence[used] / pixels[used], positives[used] / pixels[used]
                    axis.plot(
                        x, y, "o", color=colour_of(position), linestyle=dash_of(position), linewidth=1.2, markersize=2.5
                    )
            axis.set(title=evaluation, xlabel="probability", xlim=(0, 1), ylim=(0, 1))
            for which in (axis.xaxis, axis.yaxis):
                which.set_ticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        panels(axes, len(evaluations), n_columns, share)
        legend(figure, variants, [variant for variant in variants if variant in drawn])
        return as_svg(figure, name, f"{share.capitalize()} by predicted probability")


SECTION = Section(name="probabilities", title="Calibration", make=make)
