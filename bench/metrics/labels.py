"""How good a model is at saying what an image shows as a whole: scores an image, and areas under ROC curves.

Shapes: N = images, n = classes of the task, p (N, n) probabilities that sum to 1, truth (N,) classes from 0 to n - 1.
A classifier is trained S times on the same task, and tested on the same images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Classes = NDArray[np.intp]
LEAST = 1e-7  # probability of the truth that counts, as single precision tells 1 from less; ours


@dataclass(frozen=True, slots=True)
class LabelMetric:
    """What is known of a score of labels: `bounds` are the least and the largest that it can be."""

    name: str
    label: str
    higher_is_better: bool
    bounds: tuple[float, float]
    meaning: str


LABEL_METRICS = {
    each.name: each
    for each in (
        LabelMetric("accuracy", "accuracy", True, (0, 1), "share of images whose most probable class is the true one"),
        LabelMetric("balanced_accuracy", "balanced accuracy", True, (0, 1), "the same in each class, then their mean"),
        LabelMetric(
            "auroc",
            "AUROC",
            True,
            (0, 1),
            "of two classes the probability that an image of the later one has more of it than another; of more the "
            "mean over classes, each against the rest",
        ),
        LabelMetric("brier", "Brier score", False, (0, 2), "squared errors of the probabilities, summed over classes"),
        LabelMetric(
            "log_loss",
            "log loss",
            False,
            (0, -float(np.log(LEAST))),
            f"minus the logarithm of the true class's probability, or of {LEAST:g} where that is less",
        ),
    )
}


def score_labels(p: Values, truth: Classes) -> dict[str, Values]:
    """(N,) of each image: `accuracy` 0 or 1 (of equal probabilities the first class counts), `brier` in [0, 2] and
    `log_loss` from 0; of the latter two less is better.

    Sources: Brier (1950), Monthly Weather Review 78(1), in its original form for several classes.
    """
    at = np.arange(len(truth))
    return {
        "accuracy": (p.argmax(axis=1) == truth).astype(np.float64),
        "brier": np.square(p - np.eye(p.shape[1])[truth]).sum(axis=1),
        "log_loss": -np.log(np.clip(p[at, truth], LEAST, 1)),
    }


def confusion(p: Values, truth: Classes) -> NDArray[np.int64]:
    """(n, n) images by true class (rows) and the most probable one (columns)."""
    n = p.shape[1]
    return np.bincount(truth * n + p.argmax(axis=1), minlength=n * n).reshape(n, n)


def balanced_parts(p: Values, truth: Classes) -> list[Values]:
    """Balanced accuracy by the classes that there are images of: for each, what each of its images adds.

    Means over each class add up to the mean over all images of n_images / (n_classes * images of its class) times
    whether it is right, which is the mean of the classes' accuracies.

    >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> [part.tolist() for part in balanced_parts(p, np.array([0, 0, 1]))]
    [[0.5, 0.0], [0.0]]
    """
    right, classes = p.argmax(axis=1) == truth, np.unique(truth)
    return [right[truth == each] / len(classes) for each in classes]


def auroc(p: Values, truth: Classes) -> float | None:
    """The area under the ROC curve, in [0, 1], 0.5 by chance: of two classes that of the later one, of more the mean
    over those that there are images of, each against the rest. None where all images are of one class."""
    parts = auroc_parts(p, truth)
    return None if parts is None else float(sum(part.mean() for part in parts))


def auroc_parts(p: Values, truth: Classes) -> list[Values] | None:
    """The same by the classes that there are images of: for each, what each of its images adds.

    Of one class c against the rest the area is the mean of the placement values of its own images, the share of others
    that have less of c, and at once that of the others', the share of images of c that have more. An image adds its
    placement among the rest for its own class and among each other class for that one, so that new images of any class
    change the sum of means over classes as they change the area, to first order. As such a sum is twice the area, one
    area is taken off again, the same of every image.

    Sources: placement values, DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44(3); the mean over classes, each
    against the rest, Provost and Domingos (2003), Machine Learning 52(3).
    """
    classes, sizes = np.unique(truth, return_counts=True)
    if len(classes) < 2:
        return None
    wanted = classes if p.shape[1] > 2 else np.array([1])
    added, areas = np.zeros(len(truth)), list[float]()
    for each in wanted:
        own = truth == each
        of_own, of_rest = placements(p[own, each], p[~own, each])
        areas.append(float(of_own.mean()))
        added[own] += of_own
        added[~own] += of_rest * _size_of(truth[~own], classes, sizes) / np.count_nonzero(~own)
    twice = added / len(wanted)
    return [twice[truth == each] - np.mean(areas) / len(classes) for each in classes]


def _size_of(truth: Classes, classes: Classes, sizes: NDArray[np.intp]) -> Values:
    return sizes[np.searchsorted(classes, truth)].astype(np.float64)


def placements(positive: Values, negative: Values) -> tuple[Values, Values]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it; equal ones
    count half.

    >>> [each.tolist() for each in placements(np.array([0.9, 0.4]), np.array([0.4, 0.1]))]
    [[1.0, 0.75], [0.75, 1.0]]
    """

    def below(values: Values, others: Values) -> Values:
        ordered = np.sort(others)
        both = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
        return both / (2 * len(others))

    return below(positive, negative), 1 - below(negative, positive)


def roc(score: Values, positive: NDArray[np.bool_], grid: Values) -> Values:
    """(G,) sensitivities at false positive rates `grid` (G,), rising: the curve from (0, 0) to (1, 1), straight from
    one threshold to the next, so that the area below it is `auroc`."""
    thresholds = np.append(np.unique(score), np.inf)[::-1]

    def reached(scores: Values) -> Values:
        return 1 - np.searchsorted(np.sort(scores), thresholds, "left") / len(scores)

    return np.interp(grid, reached(score[~positive]), reached(score[positive]))
