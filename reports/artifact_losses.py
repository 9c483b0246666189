"""What artifacts cost: a row an artifact, severity and variant, and the mean over all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bench.metrics import Metric
from ..bench.stats import Finding, Gap, Labels, against_baseline, compare, holm, paired_gap
from .evidence import Evidence, Row
from .load import Study
from .notes import counted
from .tables import KNOWN, Cell, Cells

CLEAN = "clean"


def losses(evidence: Evidence) -> pd.DataFrame:
    """`robustness_table` of the study."""
    return robustness_table(evidence.study, evidence.cells)


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
                drops[variant] = (drop if known.higher_is_better else -drop).dropna(how="all").dropna(axis="columns")
        for variant, drop in drops.items():
            if drop.empty:
                continue
            cell = cells[evaluation, variant]
            without, marked = (
                each.tables[primary].loc[drop.index, drop.columns].to_numpy() for each in (cells[CLEAN, variant], cell)
            )
            pair = (without, marked) if known.higher_is_better else (marked, without)
            labels = cells[CLEAN, variant].labels(drop)
            lost = paired_gap(*pair, bounds=known.bounds, groups=labels)
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
                    **_more_than_baseline(
                        drop, drops.get(baseline) if variant in others else None, known, cells[CLEAN, variant]
                    ),
                    "trials": cell.trials,
                }
            )
    return pd.DataFrame(rows)


def relative_robustness(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over severities of `relative`, a row an artifact in the table's order and a column a variant."""
    if table.empty or not len(known := table.dropna(subset=["relative"])):
        return pd.DataFrame()
    return known.pivot_table(index="artifact", columns="variant", values="relative", sort=False)


def _more_than_baseline(
    drop: pd.DataFrame, baseline: pd.DataFrame | None, metric: Metric, clean: Cell
) -> dict[str, Any]:
    names = ("more_drop", "more_ci_low", "more_ci_high")
    if baseline is None:
        return dict.fromkeys(names)
    images = drop.columns.intersection(baseline.columns)
    pair: list[NDArray[np.float64]] = [drop[images].to_numpy(), baseline[images].to_numpy()]
    if not pair[0].size or not pair[1].size:
        return dict.fromkeys(names)
    low, high = metric.bounds
    found = compare(*pair, bounds=(low - high, high - low), groups=clean.labels(images))
    return dict(zip(names, (found.difference, found.ci_low, found.ci_high), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """What a variant loses under artifacts, averaged over conditions, before anybody looked which are the worst."""

    variant: str
    conditions: tuple[str, ...]
    lost: Gap
    p_adjusted: float | None
    """Of `lost`, by Holm over the variants."""
    more: Finding | None
    """The same against the baseline's loss; None of the baseline and of what is the same training."""
    n_seeds: int
    n_images: int

    def row(self) -> Row:
        told: Row = {"variant": self.variant, "n_conditions": len(self.conditions), "lost": self.lost.gap}
        told |= {"ci_low": self.lost.ci_low, "ci_high": self.lost.ci_high}
        told |= {"p_value": self.lost.p_value, "p_adjusted": self.p_adjusted}
        told |= {"too_few": self.lost.too_few, "n_seeds": self.n_seeds, "n_images": self.n_images}
        return told | {"more": self.more and self.more.row()}


def losses_on_average(evidence: Evidence) -> list[Average]:
    """For each variant with scores under artifacts the mean over all conditions that every such variant has, with its
    95 % interval for new trainings and new images; the conditions are the study's own and are not sampled."""
    study, metric, cells = evidence.study, evidence.metric, evidence.cells
    names = [name for name in evidence.names if any((each, name) in cells for each in study.artifacts)]
    names = [name for name in names if (CLEAN, name) in cells]
    conditions = [each for each in study.artifacts if all((each, name) in cells for name in names)]
    if not names or not conditions:
        return []
    pairs: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
    for name in names:
        tables = [cells[each, name].tables[evidence.primary] for each in (CLEAN, *conditions)]
        shared = _shared(tables)
        if not shared[0].empty:
            pairs[name] = shared[0], sum(shared[2:], start=shared[1]) / len(conditions)
    drops = {name: (a - b if metric.higher_is_better else b - a) for name, (a, b) in pairs.items()}
    found = _against_baseline(evidence, drops, len(conditions))
    lost = {
        name: paired_gap(
            *(pair if metric.higher_is_better else pair[::-1]),
            bounds=metric.bounds,
            groups=cells[CLEAN, name].labels(pair[0]),
        )
        for name, pair in pairs.items()
    }
    adjusted = dict(zip(lost, holm([each.p_value for each in lost.values()]), strict=True))
    return [
        Average(
            variant=name,
            conditions=tuple(conditions),
            lost=lost[name],
            p_adjusted=adjusted[name],
            more=found.get(name),
            n_seeds=len(drops[name]),
            n_images=len(drops[name].columns),
        )
        for name in pairs
    ]


def _shared(tables: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """The same seeds and images of each."""
    rows, columns = tables[0].index, tables[0].columns
    for each in tables[1:]:
        rows, columns = rows.intersection(each.index), columns.intersection(each.columns)
    return [each.loc[rows, columns] for each in tables]


def _against_baseline(evidence: Evidence, drops: Mapping[str, pd.DataFrame], n_conditions: int) -> dict[str, Finding]:
    own = drops.get(evidence.baseline)
    if own is None:
        return {}
    pairs: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    groups: dict[str, Labels | None] = {}
    for name, drop in drops.items():
        images = drop.columns.intersection(own.columns)
        if name != evidence.baseline and name in evidence.study.distinct and not images.empty:
            pairs[name] = drop[images].to_numpy(), own[images].to_numpy()
            groups[name] = evidence.cells[CLEAN, name].labels(images)
    low, high = evidence.metric.bounds
    return against_baseline(
        pairs,
        baseline=evidence.baseline,
        metric=f"{evidence.metric.label} lost to {counted(n_conditions, 'artifact condition')}",
        margin=evidence.spec["margin"] or 0.0,
        higher_is_better=False,
        bounds=(low - high, high - low),
        groups=groups,
    )
