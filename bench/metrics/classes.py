"""How well several classes or labels agree, image by image and name by name.

Shapes: K = names of the target, H, W = height and width.

A name counts in an image where the *reference* holds it, whatever was predicted: so all variants and trainings are
scored on the same images, and tables stay complete. What is predicted of a name where the reference has none is a false
alarm, with numbers of its own. An image's score is the mean over the names in its reference; an image without any has
none. Other conventions (tests/metrics/test_classes.py):

- nnU-Net 2 scores a class where reference or prediction has it, so that which cases count depends on the model; where
  neither has it the case is left out (NaN). For a class in the reference its Dice and IoU are ours.
- MONAI's `DiceMetric(ignore_empty=True)` gives NaN where the reference is empty and averages over the rest: ours. With
  `ignore_empty=False` an absent class scores 1 or 0.
- torchmetrics' `DiceScore(average="macro")` averages over all classes, absent ones at 0 or a number of one's choice.
- MedSegBench averages over images and all classes, the background among them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .agreement import (
    COUNTS,
    METRICS,
    MILLIMETRES,
    Mask,
    Metric,
    Values,
    from_counts,
    score_in_both_units,
    with_millimetres,
)
from .failures import FAILURES, failure_modes
from .targets import Target

FALSE_ALARMS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("false_alarm", "False alarms", "", False, "share of the classes that are not there but predicted"),
        Metric("false_alarm_area", "False alarm area", "", False, "share of the image predicted as such classes"),
    )
}


def score_classes(
    prediction: Mask, reference: NDArray[Any], target: Target, spacing: tuple[float, float] | None = None
) -> dict[str, Values]:
    """Scores of one image by name, each (K,).

    Keys:
        present: 1 where the reference holds the name, else 0.
        every metric of `METRICS` and of `FAILURES`, and of `MILLIMETRES` with a spacing: NaN where it does not.
        tp, fp, fn, tn: in pixels that count.
        false_alarm, false_alarm_area: whether anything is predicted of a name, and the share of the pixels that count;
            NaN where the reference holds it.

    Args:
        prediction: (K, H, W) True where each name is predicted.
        reference: (H, W) codes.
        target: what they mean; ignored pixels count nowhere, boundaries run around them.
        spacing: height and width of a pixel in mm, where that is known.

    >>> found = score_classes(np.array([[[True, True]], [[False, True]]]), np.array([[1, 0]]), Target(("a", "b")))
    >>> found["dice"].round(3).tolist(), found["false_alarm"].tolist()
    ([0.667, nan], [nan, 1.0])
    """
    wanted, counted = target.planes(reference), target.counted(reference)
    prediction = prediction if counted is None else prediction & counted
    scores = score_in_both_units(prediction, wanted, spacing)
    if counted is not None:
        scores["tn"] = scores["tn"] - np.count_nonzero(~counted)
    counts = {name: scores[name] for name in COUNTS}
    derived = from_counts_of_classes(counts)
    known = with_millimetres(scores)
    by_name = {name: derived.get(name, np.where(derived["present"] > 0, scores[name], np.nan)) for name in known}
    modes = [failure_modes(p, w) for p, w in zip(prediction, wanted, strict=True)]
    by_name |= {name: np.array([each[name] for each in modes]) for name in FAILURES}
    return {"present": derived["present"], **by_name, **counts, **{name: derived[name] for name in FALSE_ALARMS}}


def from_counts_of_classes(counts: Mapping[str, Values]) -> dict[str, Values]:
    """Those values of `score_classes` that follow from its `tp, fp, fn, tn` alone, each as (..., K) as these are."""
    present = counts["tp"] + counts["fn"] > 0
    scores = {name: np.where(present, values, np.nan) for name, values in from_counts(counts).items()}
    pixels = np.maximum(sum(counts[name] for name in COUNTS), 1.0)
    return {
        "present": present.astype(np.float64),
        **scores,
        "false_alarm": np.where(present, np.nan, counts["fp"] > 0),
        "false_alarm_area": np.where(present, np.nan, counts["fp"] / pixels),
    }


def over_classes(scores: Mapping[str, Values]) -> dict[str, Values]:
    """Scores of `score_classes`, each (..., K), as those of whole images, each (...).

    Metrics are means over the names in the reference, NaN where there is none; an image fails in a way where any of its
    names does; `false_alarm` is the mean over the names that are not there, `false_alarm_area` their sum, NaN where all
    are; tp, fp, fn and tn are sums over all names.
    """
    row = {name: _over(np.nanmean, scores[name]) for name in (*METRICS, *MILLIMETRES) if name in scores}
    row |= {name: scores[name].sum(axis=-1) for name in COUNTS}
    row |= {name: _over(np.nanmax, scores[name]) for name in FAILURES}
    row["false_alarm"] = _over(np.nanmean, scores["false_alarm"])
    row["false_alarm_area"] = _over(np.nansum, scores["false_alarm_area"])
    return row


def _over(reduce: Any, values: Values) -> Values:
    """Over the last axis what there is; NaN where there is nothing."""
    is_known = ~np.isnan(values).all(axis=-1, keepdims=True)
    found = reduce(np.where(is_known, values, 0.0), axis=-1, keepdims=True)
    return np.where(is_known, found, np.nan).take(0, axis=-1)
