"""What artifacts cost: a row an artifact, severity and variant, and the mean over all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bench.stats import Finding, Gap, Labels, against_baseline, compare, holm_over, paired_gap
from .evidence import Evidence, Row
from .load import Study
from .lost import taken
from .tables import KNOWN, Cell, Cells

CLEAN = "clean"


def losses(evidence: Evidence) -> pd.DataFrame:
    """`robustness_table` of the study."""
    return robustness_table(evidence.study, evidence.cells)


def robustness_table(study: Study, cells: Cells) -> pd.DataFrame:
    """One row per artifact, severity and variant that was scored clean as well, on the primary metric.

    A drop is by how much the artifact makes an image's score worse, positive in either direction of the metric, paired
    by image and training; its interval is crossed, for new seeds and new images. So is that of `more_drop`, by how much
    a variant's drop exceeds the baseline's, and of `compared_drop`, the same of the study's `compare_with`. Where an
    interval would say nothing there is none, and drop_too_few says what there should be more of.

    Columns: study, artifact, severity, variant, n_seeds, n_images, mean (of the score), drop, drop_ci_low, drop_ci_high
    (95 %), drop_too_few, relative (score over the clean score; None for distances), artifact_fpr, nsd2_near, nsd2
    (means; None where not measured), more_drop, more_ci_low, more_ci_high; compared_drop, compared_ci_low,
    compared_ci_high only where the study has `compare_with`; trials.
    """
    primary, known = study.spec["primary"], KNOWN[study.spec["primary"]]
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
                    **_more_than_others(study, drops, variant, cells[CLEAN, variant]),
                    "trials": cell.trials,
                }
            )
    return pd.DataFrame(rows)


def relative_robustness(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over severities of `relative`, a row an artifact in the table's order and a column a variant: over those
    severities that every variant has on which the artifact was tried. An artifact without such a one has no row."""
    if table.empty or not len(known := table.dropna(subset=["relative"])):
        return pd.DataFrame()
    wide: Any = known.pivot_table(index=["artifact", "severity"], columns="variant", values="relative", sort=False)
    shared = {
        artifact: whole.mean()
        for artifact, part in wide.groupby(level="artifact", sort=False)
        if len(whole := part.dropna(axis="columns", how="all").dropna())
    }
    return pd.DataFrame(shared, index=wide.columns).T


def _more_than_others(study: Study, drops: Mapping[str, pd.DataFrame], variant: str, clean: Cell) -> dict[str, Any]:
    """By how much a variant's drop exceeds the baseline's, and that of `compare_with`."""
    low, high = KNOWN[study.spec["primary"]].bounds
    row: dict[str, Any] = {}
    for prefix, other in (("more", study.spec["baseline"]), ("compared", study.spec["compare_with"])):
        if other is None:
            continue
        names = (f"{prefix}_drop", f"{prefix}_ci_low", f"{prefix}_ci_high")
        row |= dict.fromkeys(names)
        if other not in drops or variant not in study.compared(other):
            continue
        images = drops[variant].columns.intersection(drops[other].columns)
        pair: list[NDArray[np.float64]] = [drops[name][images].to_numpy() for name in (variant, other)]
        if pair[0].size and pair[1].size:
            found = compare(*pair, bounds=(low - high, high - low), groups=clean.labels(images))
            row |= dict(zip(names, (found.difference, found.ci_low, found.ci_high), strict=True))
    return row


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
    compare_with: str | None
    """What the study names beside the baseline, if it does."""
    more_compared: Finding | None
    """The same against its loss, by Holm over these comparisons; None of itself and of the baseline."""
    n_seeds: int
    n_images: int
    n_groups: int | None
    """That the images come in; None where each is one by itself."""

    def row(self) -> Row:
        told: Row = {"variant": self.variant, "n_conditions": len(self.conditions), "lost": self.lost.gap}
        told |= {"ci_low": self.lost.ci_low, "ci_high": self.lost.ci_high}
        told |= {"p_value": self.lost.p_value, "p_adjusted": self.p_adjusted}
        told |= {"too_few": self.lost.too_few, "n_seeds": self.n_seeds, "n_images": self.n_images}
        told["more"] = self.more and self.more.row()
        if self.compare_with:
            told |= {
                "compare_with": self.compare_with,
                "more_compared": self.more_compared and self.more_compared.row(),
            }
        return told


def asked_about(study: Study) -> list[str]:
    """The conditions that the answer is about, in the order of the evaluations: those that the study names, or all."""
    named = study.spec["conditions"]
    return [each for each in study.artifacts if not named or each in named]


def losses_on_average(evidence: Evidence) -> list[Average]:
    """For each variant with scores under artifacts the mean over the study's `conditions` that every such variant has,
    with its 95 % interval for new trainings and new images; conditions are the study's own and are not sampled."""
    metric, cells, wanted = evidence.metric, evidence.cells, asked_about(evidence.study)
    names = [name for name in evidence.names if any((each, name) in cells for each in wanted)]
    names = [name for name in names if (CLEAN, name) in cells]
    conditions = [each for each in wanted if all((each, name) in cells for name in names)]
    if not names or not conditions:
        return []
    pairs: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
    for name in names:
        tables = [cells[each, name].tables[evidence.primary] for each in (CLEAN, *conditions)]
        shared = _shared(tables)
        if not shared[0].empty:
            pairs[name] = shared[0], sum(shared[2:], start=shared[1]) / len(conditions)
    drops = {name: (a - b if metric.higher_is_better else b - a) for name, (a, b) in pairs.items()}
    more = _more_than(evidence, evidence.baseline, drops, len(conditions))
    compare_with = evidence.spec["compare_with"]
    compared = _more_than(evidence, compare_with, drops, len(conditions))
    labels = {name: cells[CLEAN, name].labels(pair[0]) for name, pair in pairs.items()}
    lost = {
        name: paired_gap(*(pair if metric.higher_is_better else pair[::-1]), bounds=metric.bounds, groups=labels[name])
        for name, pair in pairs.items()
    }
    adjusted = dict(zip(lost, holm_over([*lost.values()]), strict=True))
    return [
        Average(
            variant=name,
            conditions=tuple(conditions),
            lost=lost[name],
            p_adjusted=adjusted[name],
            more=more.get(name),
            compare_with=compare_with,
            more_compared=compared.get(name),
            n_seeds=len(drops[name]),
            n_images=len(drops[name].columns),
            n_groups=None if (of_images := labels[name]) is None else len({*of_images}),
        )
        for name in pairs
    ]


def _shared(tables: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """The same seeds and images of each."""
    rows, columns = tables[0].index, tables[0].columns
    for each in tables[1:]:
        rows, columns = rows.intersection(each.index), columns.intersection(each.columns)
    return [each.loc[rows, columns] for each in tables]


def _more_than(
    evidence: Evidence, other: str | None, drops: Mapping[str, pd.DataFrame], n_conditions: int
) -> dict[str, Finding]:
    """Each variant's loss against that of another, with p-values adjusted over these comparisons."""
    if other is None or (own := drops.get(other)) is None:
        return {}
    pairs: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    groups: dict[str, Labels | None] = {}
    for name in evidence.study.compared(other):
        if name in drops and not (images := drops[name].columns.intersection(own.columns)).empty:
            pairs[name] = drops[name][images].to_numpy(), own[images].to_numpy()
            groups[name] = evidence.cells[CLEAN, name].labels(images)
    low, high = evidence.metric.bounds
    what = "this artifact" if n_conditions == 1 else f"{n_conditions} artifact conditions"
    by = "to" if evidence.metric.higher_is_better else "by"
    return against_baseline(
        pairs,
        baseline=other,
        metric=f"{evidence.metric.label} {taken(evidence.primary)} {by} {what}",
        margin=evidence.spec["margin"] or 0.0,
        higher_is_better=False,
        bounds=(low - high, high - low),
        groups=groups,
    )
