"""The comparisons of a report: every variant with the baseline, on every evaluation and metric."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bench.stats import against_baseline
from .load import Study
from .tables import KNOWN, Cell, Cells


def comparisons_table(study: Study, cells: Cells) -> pd.DataFrame:
    """One row per evaluation, metric and variant other than the baseline, where both have scores; none of variants that
    are the same training as one before them.

    Differences are variant - baseline, intervals 95 %. p values are adjusted by Holm over the variants of one
    evaluation and metric. Claims are made on the primary metric only, for the others are exploratory, and so is what
    rests on the margin: p_equivalence, seeds_needed and images_needed.

    Columns: study, evaluation, metric, variant, baseline, those of `Finding.row`, trials, baseline_trials.
    """
    baseline = study.spec["baseline"]
    rows: list[dict[str, Any]] = []
    for evaluation in study.spec["evaluations"]:
        against = cells.get((evaluation, baseline))
        if against is None:
            continue
        others = [v for v in study.distinct if v != baseline and (evaluation, v) in cells]
        for metric in against.tables:
            found = against_baseline(
                {v: pair for v in others if (pair := _pair(cells[evaluation, v], against, metric)) is not None},
                baseline=baseline,
                metric=KNOWN[metric].label,
                margin=(study.spec["margin"] or 0.0) if metric == study.spec["primary"] else None,
                higher_is_better=KNOWN[metric].higher_is_better,
                bounds=KNOWN[metric].bounds,
            )
            rows += [
                {
                    "study": study.name,
                    "evaluation": evaluation,
                    "metric": metric,
                    "variant": variant,
                    "baseline": baseline,
                    **finding.row(),
                    "trials": cells[evaluation, variant].trials,
                    "baseline_trials": against.trials,
                }
                for variant, finding in found.items()
            ]
    table = pd.DataFrame(rows)
    return table.astype({"seeds_needed": "Int64", "images_needed": "Int64"}) if len(table) else table


def _pair(cell: Cell, against: Cell, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The tables of two variants on the images that every seed of both was scored on; None when there is none."""
    if metric not in cell.tables:
        return None
    a, b = cell.tables[metric], against.tables[metric]
    images = a.columns.intersection(b.columns)
    return None if images.empty else (a[images].to_numpy(), b[images].to_numpy())
