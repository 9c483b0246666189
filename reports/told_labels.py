"""What models say of images as a whole, of every training of a variant together, and how good that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bench.metrics.labels import LABEL_METRICS, auroc_parts, balanced_parts, score_labels
from ..bench.stats import Labels, compare, stratified, stratified_difference, summarize
from .evidence import Evidence

Values = NDArray[np.float64]
PARTS: dict[str, Any] = {"balanced_accuracy": balanced_parts, "auroc": auroc_parts}  # whose images come by class
Key = tuple[str, str, str]
"""Evaluation, task, variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the trainings of a variant say of the images of an evaluation that every one of them was asked about.

    Attributes:
        classes: of the task, n of them.
        images: N of them, sorted.
        truth: (N,) class of each image.
        p: (S, N, n) probabilities.
        trials: ids, space-separated.
        groups: of images, as statistics go by; None where every image is one by itself.
    """

    classes: tuple[str, ...]
    images: list[str]
    truth: NDArray[np.intp]
    p: Values
    trials: str
    groups: Labels | None

    def of(self, images: Sequence[str]) -> "Told":
        """The same of some of the images."""
        places = np.searchsorted(self.images, images)
        groups = None if self.groups is None else [self.groups[place] for place in places.tolist()]
        return Told(
            classes=self.classes,
            images=list(images),
            truth=self.truth[places],
            p=self.p[:, places],
            trials=self.trials,
            groups=groups,
        )

    def table(self, metric: str) -> Values:
        """(S, N) scores of a metric that is a mean over images."""
        return np.stack([score_labels(each, self.truth)[metric] for each in self.p])

    def strata(self, metric: str) -> list[Values]:
        """For each class with images (S, N_k) what they add to one of `PARTS`; empty where it has no value."""
        found = [PARTS[metric](each, self.truth) for each in self.p]
        return [] if found[0] is None else [np.stack(each) for each in zip(*found, strict=True)]

    def by_class(self) -> list[Labels] | None:
        """The groups of the images of each class that has any."""
        if self.groups is None:
            return None
        return [
            [group for group, truth in zip(self.groups, self.truth, strict=True) if truth == each]
            for each in np.unique(self.truth)
        ]


def told_labels(evidence: Evidence) -> dict[Key, Told]:
    """What is known of each task of each variant on each evaluation, in the study's order. Folds of one seed are one
    training; an image that several of them are asked about has their mean."""
    parts: dict[Key, list[pd.DataFrame]] = {}
    classes: dict[Key, tuple[str, ...]] = {}
    for evaluation in evidence.spec["evaluations"]:
        for trial in evidence.study.trials:
            found = trial.evaluations.get(evaluation)
            if found is None or found.labels is None:
                continue
            for task, rows in found.labels.to_pandas().groupby("task", sort=True):
                key = evaluation, str(task), trial.variant
                classes[key] = tuple(found.config["tasks"][task]["classes"])
                parts.setdefault(key, []).append(rows.assign(seed=trial.seed, trial=trial.id))
    return {key: _told(pd.concat(each), classes[key], evidence, key) for key, each in parts.items()}


def _told(rows: Any, classes: tuple[str, ...], evidence: Evidence, key: Key) -> Told:
    evaluation, _, variant = key
    names, p = [f"p{place}" for place in range(len(classes))], np.stack(rows["probabilities"].to_list())
    wide: Any = pd.DataFrame(p, columns=pd.Index(names)).assign(seed=rows["seed"].array, image=rows["image"].array)
    wide = wide.groupby(["seed", "image"])[names].mean()
    seeds = wide.index.unique("seed")
    counts = wide.groupby("image").size()
    images = sorted(counts[counts == len(seeds)].index)
    truth = rows.drop_duplicates("image").set_index("image")["truth"]
    cell = evidence.cells.get((evaluation, variant))
    return Told(
        classes=classes,
        images=images,
        truth=np.array([classes.index(truth[image]) for image in images], np.intp),
        p=np.stack([wide.loc[seed].loc[images].to_numpy(dtype=np.float64) for seed in seeds]),
        trials=" ".join(rows["trial"].drop_duplicates()),
        groups=cell.labels(images) if cell else None,
    )


def tasks_table(evidence: Evidence, told: dict[Key, Told]) -> pd.DataFrame:
    """One row per evaluation, task, variant and metric of `LABEL_METRICS` that has a value.

    Columns: study, evaluation, task, variant, metric, n_seeds, n_images, value (mean over seeds), sd_seeds, ci_low,
    ci_high (95 %, for new trainings and new images), reference (the baseline, where it has the task, else the first
    variant that has it), difference (variant - reference on the images of both), difference_low, difference_high,
    p_value (two-sided, not adjusted); trials. What is not known is None.
    """
    rows: list[dict[str, Any]] = []
    for key, each in told.items():
        evaluation, task, variant = key
        reference = reference_of(evidence, told, evaluation, task)
        for metric in LABEL_METRICS:
            if (row := _measured(each, metric)) is None:
                continue
            against = told[evaluation, task, reference]
            comparable = variant != reference and each.classes == against.classes
            rows.append(
                {
                    "study": evidence.study.name,
                    "evaluation": evaluation,
                    "task": task,
                    "variant": variant,
                    "metric": metric,
                    "n_seeds": len(each.p),
                    "n_images": len(each.images),
                    **row,
                    "reference": reference,
                    **(_compared(each, against, metric) if comparable else NOT_COMPARED),
                    "trials": each.trials,
                }
            )
    return pd.DataFrame(rows)


NOT_COMPARED: dict[str, float | None] = dict.fromkeys(("difference", "difference_low", "difference_high", "p_value"))


def reference_of(evidence: Evidence, told: dict[Key, Told], evaluation: str, task: str) -> str:
    """The variant that others are compared with: the baseline, or where it lacks the task the first that has it."""
    having = [name for name in evidence.names if (evaluation, task, name) in told]
    return evidence.baseline if evidence.baseline in having else having[0]


def _measured(told: Told, metric: str) -> dict[str, Any] | None:
    bounds = LABEL_METRICS[metric].bounds
    if metric not in PARTS:
        table = told.table(metric)
        found = summarize(table, bounds=bounds, groups=told.groups)
        value, of_seeds = found.mean, table.mean(axis=1)
    else:
        if not (strata := told.strata(metric)):
            return None
        found = stratified(strata, bounds=bounds, groups=told.by_class())
        value, of_seeds = found.value, np.sum([table.mean(axis=1) for table in strata], axis=0)
    deviation = float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else None
    return {"value": value, "sd_seeds": deviation, "ci_low": found.ci_low, "ci_high": found.ci_high}


def _compared(told: Told, against: Told, metric: str) -> dict[str, float | None]:
    images, bounds = sorted({*told.images} & {*against.images}), LABEL_METRICS[metric].bounds
    if not images:
        return NOT_COMPARED
    a, b = told.of(images), against.of(images)
    if metric not in PARTS:
        found = compare(a.table(metric), b.table(metric), bounds=bounds, groups=a.groups)
        difference = found.difference
    else:
        strata = a.strata(metric), b.strata(metric)
        if not all(strata):
            return NOT_COMPARED
        found = stratified_difference(*strata, bounds=bounds, groups=a.by_class())
        difference = found.value
    return {
        "difference": difference,
        "difference_low": found.ci_low,
        "difference_high": found.ci_high,
        "p_value": found.p_value,
    }
