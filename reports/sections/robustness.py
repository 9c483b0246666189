"""What artifacts cost: the drop from the clean images, for each variant, artifact and severity."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...bench.metrics import Metric
from ...bench.stats import compare, paired_gap
from .. import figures, findings
from ..evidence import Evidence, Row
from ..load import Study
from ..section import Part, Section
from ..tables import KNOWN, Cells, records

CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Facts:
    robustness: list[Row]
    """The rows of `robustness_table`."""
    relative_robustness: dict[str, Row]
    """By artifact and variant, `relative_robustness`."""
    under_artifacts: list[dict[str, str]]
    """A sentence a variant: variant, text."""


def make(evidence: Evidence) -> Part:
    table = robustness_table(evidence.study, evidence.cells)
    rows, relative = records(table), relative_robustness(table)
    drawn: dict[str, str] = {}
    if rows:
        drawn["severity"] = figures.severity(table, evidence.names, evidence.primary, evidence.id("severity"))
    return Part(
        facts=Facts(
            rows,
            dict(zip(map(str, relative.index), records(relative), strict=True)),
            findings.under_artifacts(evidence, rows),
        ),
        is_shown=bool(rows),
        figures=drawn,
        tables={"robustness": table} if rows else {},
    )


def robustness_table(study: Study, cells: Cells) -> pd.DataFrame:
    """One row per artifact, severity and variant that was scored clean as well, on the primary metric.

    A drop is by how much the artifact makes an image's score worse, positive in either direction of the metric, paired
    by image and training; its interval is crossed, for new seeds and new images. So is that of `more_drop`, by how much
    a variant's drop exceeds the baseline's. Where an interval would say nothing there is none, and drop_too_few says
    what there should be more of.

    Columns: study, artifact, severity, variant, n_seeds, n_images, mean (of the score), drop, drop_ci_low, drop_ci_high
    (95 %), drop_too_few, relative (score over the clean score; None for distances), artifact_fpr, nsd2_near, nsd2
    (means; None where not measured), more_drop, more_ci_low, more_ci_high, trials.
    """
    primary, baseline = study.spec["primary"], study.spec["baseline"]
    known, others = KNOWN[primary], {*study.distinct} - {baseline}
    rows: list[dict[str, Any]] = []
    for evaluation, artifact in study.artifacts.items():
        drops: dict[str, pd.DataFrame] = {}
        for variant in study.spec["variants"]:
            cell, clean = cells.get((evaluation, variant)), cells.get((CLEAN, variant))
            if cell is not None and clean is not None:
                drop = clean.tables[primary] - cell.tables[primary]
                drops[variant] = (drop if known.higher_is_better else -drop).dropna(axis="columns").dropna(how="all")
        for variant, drop in drops.items():
            if drop.empty:
                continue
            cell = cells[evaluation, variant]
            without, marked = (
                each.tables[primary].loc[drop.index, drop.columns].to_numpy() for each in (cells[CLEAN, variant], cell)
            )
            pair = (without, marked) if known.higher_is_better else (marked, without)
            lost = paired_gap(*pair, bounds=known.bounds)
            of_artifact = {
                name: cell.scores[name].mean() if name in cell.scores else None
                for name in ("artifact_fpr", "nsd2_near", "nsd2")
            }
            rows.append(
                {
                    "study": study.name,
                    "artifact": artifact["kind"],
                    "severity": artifact["severity"],
                    "variant": variant,
                    "n_seeds": len(drop),
                    "n_images": len(drop.columns),
                    "mean": marked.mean(),
                    "drop": lost.gap,
                    "drop_ci_low": lost.ci_low,
                    "drop_ci_high": lost.ci_high,
                    "drop_too_few": lost.too_few,
                    "relative": marked.mean() / without.mean() if not known.unit and without.any() else None,
                    **of_artifact,
                    **_more_than_baseline(drop, drops.get(baseline) if variant in others else None, known),
                    "trials": cell.trials,
                }
            )
    return pd.DataFrame(rows)


def relative_robustness(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over severities of `relative`, a row an artifact in the table's order and a column a variant."""
    if table.empty or not len(known := table.dropna(subset=["relative"])):
        return pd.DataFrame()
    return known.pivot_table(index="artifact", columns="variant", values="relative", sort=False)


def _more_than_baseline(drop: pd.DataFrame, baseline: pd.DataFrame | None, metric: Metric) -> dict[str, Any]:
    names = ("more_drop", "more_ci_low", "more_ci_high")
    if baseline is None:
        return dict.fromkeys(names)
    images = drop.columns.intersection(baseline.columns)
    pair: list[NDArray[np.float64]] = [drop[images].to_numpy(), baseline[images].to_numpy()]
    if not pair[0].size or not pair[1].size:
        return dict.fromkeys(names)
    low, high = metric.bounds
    found = compare(*pair, bounds=(low - high, high - low))
    return dict(zip(names, (found.difference, found.ci_low, found.ci_high), strict=True))


SECTION = Section(name="robustness", title="Robustness", make=make)


SECTION = Section(name="robustness", title="Robustness", make=make)
