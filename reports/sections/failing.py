"""How often segmentations fail badly, in which way, and what that looks like."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...bench.metrics.failures import FAILURES
from ..evidence import Evidence, Row
from ..load import Study
from ..naming import names_of
from ..pictures import Picture, Shelf
from ..section import Part, Section
from ..tables import KNOWN, Cells, records

EXAMPLES = 3  # pictures of each failure


@dataclass(frozen=True, slots=True)
class Facts:
    failures: list[Row]
    """The rows of `failures_table`."""
    failure_examples: dict[str, list[Row]]
    """By failure the images that are shown."""


def make(evidence: Evidence) -> Part:
    table = failures_table(evidence.study, evidence.scores, evidence.cells)
    rows, shown = records(table), failure_pictures(evidence.study, evidence.scores)
    return Part(
        facts=Facts(rows, {mode: [each.told() for each in found] for mode, found in shown.items()}),
        is_shown=bool(rows),
        tables={"failures": table} if rows else {},
        view={"pictures": shown},
    )


def failures_table(study: Study, scores: pd.DataFrame, cells: Cells) -> pd.DataFrame:
    """One row per evaluation and variant: how many of its images a training fails on, on average over its trainings.

    Columns: study, evaluation, variant, n_trainings, n_images; for each of `FAILURES` its number of images a training,
    None where no image could fail so; trials. Empty where the store knows of no failures. Of several classes there is
    a row per class too, of the images that hold it, and `name` is the class; an image of the other rows, which have no
    name, fails where one of its classes does.
    """
    if "missed" not in scores:
        return pd.DataFrame()
    rows: list[dict[str, Any]] = []
    for evaluation in study.spec["evaluations"]:
        for variant in study.spec["variants"]:
            part: Any = scores[(scores["evaluation"] == evaluation) & (scores["variant"] == variant)]
            n_seeds = part["seed"].nunique()
            if not n_seeds or part["missed"].isna().all():
                continue
            row = {"study": study.name, "evaluation": evaluation, "variant": variant}
            trials = " ".join(part["trial"].drop_duplicates())
            if not names_of(study.target):
                rows.append({**row, **_counts(part), "trials": trials})
                continue
            parts: dict[str | None, Any] = {None: part}
            if cell := cells.get((evaluation, variant)):
                parts |= {name: each.scores.dropna(subset=["missed"]) for name, each in cell.classes.items()}
            rows += [{**row, "name": name, **_counts(each), "trials": trials} for name, each in parts.items()]
    return pd.DataFrame(rows)


def _counts(part: Any) -> dict[str, Any]:
    """How many trainings and images there are, and how many of these images a training fails on in each way: where one
    has scored some of them only, as many as its share of those."""
    n_images, by_seed = part["image"].nunique(), part.groupby("seed")
    scale = n_images / by_seed["image"].nunique()
    failed = {
        mode: None if part[mode].isna().all() else (by_seed[mode].sum(min_count=1) * scale).mean() for mode in FAILURES
    }
    return {"n_trainings": len(scale), "n_images": n_images, **failed}


def failure_pictures(study: Study, scores: pd.DataFrame) -> dict[str, list[Picture]]:
    """For each failure up to three images on which a training of the baseline fails so, with that training's contour,
    the worst first, no image twice: at first without an artifact, then with."""
    primary, baseline = study.spec["primary"], study.spec["baseline"]
    rising = [True, KNOWN[primary].higher_is_better, True, True]
    if not {"missed", primary} <= set(scores.columns):
        return {}
    order = {name: place for place, name in enumerate(study.spec["evaluations"])}
    artifacts = list(study.artifacts)
    shelves: dict[str, Shelf] = {}
    shown: dict[str, list[Picture]] = {}
    seen: set[str] = set()
    for mode in FAILURES:
        failed: Any = scores[(scores[mode] == 1) & (scores["variant"] == baseline)]
        failed = failed.assign(painted=failed["evaluation"].isin(artifacts), place=failed["evaluation"].map(order))
        failed = failed.sort_values(["painted", primary, "place", "seed"], ascending=rising)
        failed = failed[["evaluation", "image", "trial"]]
        for evaluation, image, trial in failed.itertuples(index=False):
            if evaluation not in shelves:
                shelves[evaluation] = Shelf(study, evaluation, scores)
            if image not in seen and image in shelves[evaluation].means:
                seen.add(image)
                shown.setdefault(mode, []).append(shelves[evaluation].picture(mode, image, trial))
            if len(shown.get(mode, [])) == EXAMPLES:
                break
    return shown


SECTION = Section(name="failing", title="Failures", make=make)
