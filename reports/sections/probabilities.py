"""Whether probabilities can be taken at their word, at home and elsewhere."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from ...bench.metrics.calibration import N_BINS, calibration_error
from .. import figures
from ..evidence import Evidence, Row
from ..figures import Sums
from ..load import Study
from ..section import Part, Section
from ..tables import Cells, records


@dataclass(frozen=True, slots=True)
class Facts:
    calibration: list[Row]
    """The rows of `calibration_table`."""


def make(evidence: Evidence) -> Part:
    study = evidence.study
    sums = reliability_sums(study, [each for each in study.spec["evaluations"] if each not in study.artifacts])
    table = calibration_table(study, evidence.cells, sums)
    rows = records(table)
    return Part(
        facts=Facts(rows),
        is_shown=bool(rows),
        figures={"reliability": figures.reliability(sums, evidence.names, evidence.id("reliability"))} if sums else {},
        tables={"calibration": table} if rows else {},
    )


def reliability_sums(study: Study, evaluations: list[str]) -> Sums:
    """For each evaluation and variant, for each seed, the (N_BINS, 3) sums over all pixels of all its images."""
    sums: Sums = {}
    for trial in study.trials:
        for name in evaluations:
            if (found := trial.evaluations.get(name)) and (bins := found.reliability()) is not None:
                seeds = sums.setdefault((name, trial.variant), {})
                total: Any = bins.groupby("bin")[["pixels", "confidence", "positives"]].sum()
                total = total.reindex(range(N_BINS), fill_value=0.0).to_numpy(dtype=np.float64)
                seeds[trial.seed] = seeds.get(trial.seed, np.zeros((N_BINS, 3))) + total
    return sums


def calibration_table(study: Study, cells: Cells, sums: Sums) -> pd.DataFrame:
    """One row per evaluation and variant with probabilities.

    Columns: study, evaluation, variant, n_seeds; ece (expected calibration error over all pixels, mean over seeds) and
    ece_sd (over seeds; None of one); brier (mean over images and seeds); boldness (mean probability minus share of
    lesion among the pixels called lesion: above 0 the model is too sure of what it finds); trials.
    """
    rows: list[dict[str, Any]] = []
    for evaluation, variant in product(study.spec["evaluations"], study.spec["variants"]):
        if (seeds := sums.get((evaluation, variant))) is None:
            continue
        errors = [calibration_error(each) for each in seeds.values()]
        called = np.sum([each[N_BINS // 2 :].sum(axis=0) for each in seeds.values()], axis=0)
        cell = cells.get((evaluation, variant))
        brier = None if cell is None or "brier" not in cell.tables else float(cell.tables["brier"].to_numpy().mean())
        rows.append(
            {
                "study": study.name,
                "evaluation": evaluation,
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


SECTION = Section(name="probabilities", title="Calibration", make=make)
