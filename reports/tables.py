"""The tables of a report: variants, their settings, and their comparisons with the baseline.

Every table is a frame of plain values, one row a thing, NaN or None where there is no number.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bench.metrics import COUNTS, METRICS, MILLIMETRES, Metric, n_empty, pooled
from ..bench.metrics.classes import FALSE_ALARMS
from ..bench.stats import Finding, Labels, Looks, against_baseline, summarize
from .load import Study
from .naming import names_of
from .settings import flatten
from .timings import NOT_TIMED, headline

KNOWN = METRICS | {
    metric.name: metric
    for metric in (
        *MILLIMETRES.values(),
        *FALSE_ALARMS.values(),
        Metric("brier", "Brier score", "", False, "mean squared difference of probability and truth over the pixels"),
        Metric("artifact_fpr", "Artifact FPR", "", False, "share of artifact pixels outside the lesion called lesion"),
        Metric(
            "assd_near", "ASSD at artifact", "px", False, "ASSD of boundary pixels within 2 % of the diagonal of it"
        ),
        Metric("nsd2_near", "NSD 2 px at artifact", "", True, "NSD 2 px of boundary pixels within 2 % of the diagonal"),
    )
}


def wording(metric: str) -> str:
    """Which way a difference (variant - baseline) in this metric is good."""
    return "above 0 is better" if KNOWN[metric].higher_is_better else "below 0 is better"


def measured(scores: pd.DataFrame) -> list[str]:
    """The known metrics that these scores have numbers for, in the order of the protocol."""
    return [name for name in KNOWN if name in scores and len(scores[name].dropna())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What the store knows of one variant on one evaluation."""

    scores: pd.DataFrame
    """Tidy, one row a trial and image."""
    tables: dict[str, pd.DataFrame]
    """By metric (S, N), seeds x images, of the images that every seed was scored on. Folds of one seed make one row
    together: the fold that tests an image scores it, and an image that several folds score has their mean."""
    trials: str
    """The trial ids that the numbers come from, space-separated."""
    groups: Mapping[str, str]
    """Of each image that belongs together with another the group that they are in; empty where nothing is known."""
    classes: "dict[str, Cell]" = field(default_factory=dict)
    """Of several classes the same of each, by name: a metric's table has the images whose reference holds the class."""

    def labels(self, images: Iterable[str]) -> Labels | None:
        """What statistics of these images go by, in their order: the group of each, or itself. None where no image
        belongs together with another."""
        if not self.groups:
            return None
        return [(self.groups[image],) if image in self.groups else image for image in images]

    def held(self, metric: str) -> "dict[str, Cell]":
        """The classes that some image holds, as far as there are tables of this metric."""
        return {name: each for name, each in self.classes.items() if metric in each.tables}


Cells = dict[tuple[str, str], Cell]


def cells(study: Study, scores: pd.DataFrame) -> Cells:
    """A cell for each (evaluation, variant) with primary scores that all its seeds share, in the study's order."""
    grouped: Any = scores.groupby(["evaluation", "variant"], sort=False)
    parts = {key: part for key, part in grouped}
    order = [(evaluation, variant) for evaluation in study.spec["evaluations"] for variant in study.spec["variants"]]
    classes = _of_classes(study)
    found = {
        key: _cell(parts[key], study.groups.get(key[0], {}), classes.get(key, {})) for key in order if key in parts
    }
    return {key: cell for key, cell in found.items() if study.spec["primary"] in cell.tables}


def variants_table(study: Study, cells: Cells) -> pd.DataFrame:
    """One row per evaluation and variant that has scores.

    Columns: study, evaluation, variant, n_seeds, n_images, n_empty (over all its trials); for each metric
    <metric>_mean, _sd_seeds (of the seeds' means), _sd_images (of the images' means), _ci_low, _ci_high (95 %, crossed:
    for new seeds and new images, within the metric's range; NaN with one seed); pooled_dice, pooled_iou (mean
    over seeds of one confusion matrix over all pixels of these images) and their _sd_seeds; parameters, macs (at
    256 x 256); latency_* (`latency.headline`); trials (ids, space-separated). n_groups only where the images of some
    evaluation come in groups.

    Of several classes <metric>_mean is the mean over images of the mean over the classes in an image's reference, and
    there is <metric>_class_mean too: the mean over classes of each class's mean over the images that hold it. n_images
    have any class; n_empty counts classes in an image's reference of which nothing is predicted; what is pooled is the
    mean over the classes that some image holds, each with one confusion matrix over all pixels of all images.
    """
    timed = headline(study)
    rows: list[dict[str, Any]] = []
    for (evaluation, variant), cell in cells.items():
        known = study.spec["variants"][variant]
        row: dict[str, Any] = {"study": study.name, "evaluation": evaluation, "variant": variant}
        row["n_seeds"], row["n_images"] = cell.tables[study.spec["primary"]].shape
        if labels := cell.labels(cell.tables[study.spec["primary"]]):
            row["n_groups"] = len({*labels})
        row["n_empty"] = _n_empty(cell)
        for metric, table in cell.tables.items():
            summary = summarize(table.to_numpy(), bounds=KNOWN[metric].bounds, groups=cell.labels(table))
            row[f"{metric}_mean"] = summary.mean
            row[f"{metric}_sd_seeds"] = summary.sd_seeds
            row[f"{metric}_sd_images"] = summary.sd_images
            row[f"{metric}_ci_low"], row[f"{metric}_ci_high"] = summary.ci_low, summary.ci_high
            if metric in METRICS and (held := cell.held(metric)):
                means = [each.tables[metric].to_numpy().mean() for each in held.values()]
                row[f"{metric}_class_mean"] = float(np.mean(means))
        row |= _pooled(cell, study.spec["primary"])
        row |= {"parameters": known["parameters"], "macs": known["macs"]}
        row |= timed.get(variant, NOT_TIMED)
        row["trials"] = cell.trials
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.astype({"n_groups": "Int64"}) if "n_groups" in table else table


def comparisons_table(study: Study, cells: Cells, baseline: str) -> pd.DataFrame:
    """One row per evaluation, metric and variant that is compared with `baseline` (`Study.compared`), the study's own
    or another variant in its place, where both have scores.

    Differences are variant - baseline, intervals 95 %. p values are adjusted by Holm over the variants of one
    evaluation and metric, or in the study's own order. Claims are made on the primary metric only, for the others are
    exploratory, and so is what rests on the margin: p_equivalence, seeds_needed and images_needed. Where seeds are
    added until the study is decided, what is told of the primary metric holds over all looks.

    Columns: study, evaluation, metric, variant, baseline, those of `Finding.row`, trials, baseline_trials;
    groups_needed and n_groups only where the images of some evaluation come in groups.
    """
    rows = [
        {
            "study": study.name,
            "evaluation": evaluation,
            "metric": metric,
            "variant": variant,
            "baseline": baseline,
            **finding.row(),
            "trials": cells[evaluation, variant].trials,
            "baseline_trials": cells[evaluation, baseline].trials,
        }
        for evaluation in study.spec["evaluations"]
        if (evaluation, baseline) in cells
        for metric in cells[evaluation, baseline].tables
        for variant, finding in findings(study, cells, evaluation, metric, baseline).items()
    ]
    table = pd.DataFrame(rows)
    whole = [name for name in ("seeds_needed", "images_needed", "groups_needed", "n_groups") if name in table]
    return table.astype(dict.fromkeys(whole, "Int64"))


def findings(study: Study, cells: Cells, evaluation: str, metric: str, baseline: str) -> dict[str, Finding]:
    """Every variant that is compared with `baseline` and has scores of this metric, as `comparisons_table` has it."""
    against, is_primary = cells[evaluation, baseline], metric == study.spec["primary"]
    others = {
        variant: cells[evaluation, variant] for variant in study.compared(baseline) if (evaluation, variant) in cells
    }
    pairs, groups = _pairs(others, against, metric)
    looks, order = looks_of(study) if is_primary else (None, None)
    return against_baseline(
        pairs,
        baseline=baseline,
        metric=KNOWN[metric].label,
        margin=(study.spec["margin"] or 0.0) if is_primary else None,
        higher_is_better=KNOWN[metric].higher_is_better,
        bounds=KNOWN[metric].bounds,
        groups=groups,
        looks=looks,
        n_complete=min(seeds_of(study).values()),
        order=order,
    )


def seeds_of(study: Study) -> dict[str, int]:
    """By variant the number of its seeds that have scores on the first evaluation."""
    first = study.spec["evaluations"][0]
    found: dict[str, set[int]] = {variant: set() for variant in study.spec["variants"]}
    for trial in study.trials:
        if first in trial.evaluations:
            found[trial.variant].add(trial.seed)
    return {variant: len(seeds) for variant, seeds in found.items()}


def looks_of(study: Study) -> tuple[Looks | None, list[str] | None]:
    """The plan of looks, and the order of tests; None where seeds are a number, and where the order is Holm's."""
    known = study.spec["looks"]
    return (Looks(tuple(known["seeds"]), known["spending"]), known["order"]) if known else (None, None)


def differing_settings(study: Study) -> dict[str, dict[str, Any]]:
    """Every key (dotted) in which the variants' settings differ -> the setting of each variant.

    A variant without the key has None there: it does not take that setting. That is no difference by itself where it
    could not: an ensemble takes none of the settings that its members were trained with, and an option is one of its
    model.
    """
    flat = {variant: flatten(known["settings"]) for variant, known in study.spec["variants"].items()}
    keys = dict.fromkeys(key for settings in flat.values() for key in settings)
    table = {key: {variant: settings.get(key) for variant, settings in flat.items()} for key in keys}
    return {key: row for key, row in table.items() if _differs(key, row, flat)}


def _differs(key: str, row: Mapping[str, Any], flat: Mapping[str, Mapping[str, Any]]) -> bool:
    values = [repr(value) for variant, value in row.items() if key in flat[variant]]
    could: dict[Any, list[bool]] = {}  # of each kind of variants that could have it, which have it
    for variant in row:
        model = flat[variant].get("model")  # None of an ensemble
        if model or key.startswith("ensemble."):
            could.setdefault(model if key.startswith("options.") else None, []).append(row[variant] is not None)
    return len(set(values)) > 1 or any(any(have) and not all(have) for have in could.values())


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values fit for JSON: what is not a number, or not finite, becomes None."""
    return [{str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if value is pd.NA or (isinstance(value, float) and not np.isfinite(value)) else value


def _n_empty(cell: Cell) -> int:
    parts: list[Any] = [each.scores[each.scores["present"] == 1] for each in cell.classes.values()] or [cell.scores]
    return sum(n_empty({name: part[name].to_numpy() for name in COUNTS}) for part in parts)


def _pooled(cell: Cell, primary: str) -> dict[str, float | None]:
    parts: list[Any] = [_of_every_seed(each.scores) for each in cell.held(primary).values()] or [
        cell.scores[cell.scores["image"].isin(list(cell.tables[primary]))]
    ]
    matrices = [
        [pooled({name: seed[name].to_numpy() for name in COUNTS}) for _, seed in part.groupby("seed")] for part in parts
    ]
    row: dict[str, float | None] = {}
    for metric in ("dice", "iou"):
        values = np.array([[matrix[metric] for matrix in seeds] for seeds in matrices]).mean(axis=0)
        row[f"pooled_{metric}"] = values.mean()
        row[f"pooled_{metric}_sd_seeds"] = values.std(ddof=1) if len(values) > 1 else None
    return row


def _of_every_seed(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of images that every seed was scored on."""
    n_seeds: Any = scores.groupby("image")["seed"].transform("nunique")
    return scores.loc[n_seeds == scores["seed"].nunique()]


def _of_classes(study: Study) -> dict[tuple[str, str], dict[str, Cell]]:
    """By evaluation and variant the cell of each class, in the target's order; none of one structure."""
    names, found = names_of(study.target), dict[tuple[str, str], dict[str, Cell]]()
    if not names or not len(rows := study.classes):
        return found
    grouped: Any = rows.groupby(["evaluation", "variant", "name"], sort=False)
    parts = {key: part for key, part in grouped}
    for evaluation, variant, name in sorted(parts, key=lambda key: names.index(key[2])):
        found.setdefault((evaluation, variant), {})[name] = _cell(
            parts[evaluation, variant, name], study.groups.get(evaluation, {})
        )
    return found


def _cell(scores: pd.DataFrame, groups: Mapping[str, str], classes: dict[str, Cell] | None = None) -> Cell:
    metrics = measured(scores)
    known: Any = scores.loc[scores[metrics].notna().any(axis="columns"), ["seed", "image", *metrics]]
    if known.duplicated(["seed", "image"]).any():
        known = known.groupby(["seed", "image"], as_index=False)[metrics].mean()
    rows, seeds = pd.factorize(known["seed"], sort=True)
    columns, images = pd.factorize(known["image"], sort=True)
    values = np.full((len(metrics), len(seeds), len(images)), np.nan)
    values[:, rows, columns] = known[metrics].to_numpy(dtype=np.float64).T
    # As Python's own strings, for tables are looked up in by image thousands of times: Arrow's are made anew each time.
    index, names = pd.Index(seeds, name="seed"), pd.Index(images, name="image", dtype=object)
    tables = {
        metric: pd.DataFrame(table, index, names, copy=False).dropna(axis="columns")  # rows stay contiguous in memory
        for metric, table in zip(metrics, values, strict=True)
    }
    return Cell(
        scores=scores,
        tables={metric: table for metric, table in tables.items() if not table.empty},
        trials=" ".join(scores["trial"].drop_duplicates()),
        groups=groups,
        classes=classes or {},
    )


def _pairs(
    others: Mapping[str, Cell], against: Cell, metric: str
) -> tuple[dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]], dict[str, Labels | None]]:
    """For each variant its table and the baseline's on the images that every seed of both was scored on, and the labels
    of these images; variants with no such image are left out."""
    pairs: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    labels: dict[str, Labels | None] = {}
    for variant, cell in others.items():
        if metric in cell.tables:
            a, b = cell.tables[metric], against.tables[metric]
            images = a.columns.intersection(b.columns)
            if not images.empty:
                pairs[variant] = a[images].to_numpy(), b[images].to_numpy()
                labels[variant] = against.labels(images)
    return pairs, labels
