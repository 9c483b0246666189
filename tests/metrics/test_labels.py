"""Scores of labels: values by hand, areas against a count of all pairs, and parts that add up."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from medbench.bench.metrics.labels import (
    LABEL_METRICS,
    auroc,
    auroc_parts,
    balanced_parts,
    confusion,
    roc,
    score_labels,
)

Values = NDArray[np.float64]


def probabilities(seed: int, n_images: int, n_classes: int) -> Values:
    """With equal ones among them."""
    p = np.random.default_rng(seed).integers(1, 6, (n_images, n_classes)).astype(float)
    return p / p.sum(axis=1, keepdims=True)


def area(score: Values, positive: NDArray[np.bool_]) -> float:
    """All pairs of a positive and a negative, one by one."""
    pairs = [(a > b) + 0.5 * (a == b) for a, b in product(score[positive], score[~positive])]
    return float(np.mean(pairs))


def test_scores_worked_by_hand() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0], [0.1, 0.2, 0.7]])

    found = score_labels(p, np.array([0, 1, 0]))

    assert found["accuracy"].tolist() == [1, 0, 0]  # of equal ones the first counts
    assert found["brier"] == pytest.approx([0.09 + 0.04 + 0.01, 0.25 + 0.25, 0.81 + 0.04 + 0.49])
    assert found["log_loss"] == pytest.approx([-np.log(0.7), -np.log(0.5), -np.log(0.1)])


def test_a_certain_mistake_costs_no_more_than_its_bounds() -> None:
    found = score_labels(np.array([[1.0, 0.0]]), np.array([1]))

    assert found["brier"][0] == LABEL_METRICS["brier"].bounds[1]
    assert found["log_loss"][0] == LABEL_METRICS["log_loss"].bounds[1] == pytest.approx(16.118, abs=1e-3)


def test_balanced_accuracy_is_the_mean_over_images_of_weighed_hits() -> None:
    truth, p = np.array([0, 0, 0, 1, 2, 2]), probabilities(3, 6, 3)
    right = p.argmax(axis=1) == truth

    recalls = [right[truth == each].mean() for each in range(3)]
    weighed = right * len(truth) / (3 * np.bincount(truth)[truth])

    found = sum(part.mean() for part in balanced_parts(p, truth))
    assert found == pytest.approx(np.mean(recalls)) == pytest.approx(weighed.mean())


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_the_area_is_the_share_of_pairs_in_order(n_classes: int) -> None:
    p, truth = probabilities(n_classes, 60, n_classes), np.random.default_rng(0).integers(0, n_classes, 60)
    every = [area(p[:, each], truth == each) for each in range(n_classes)]

    found = auroc(p, truth)

    assert found == pytest.approx(every[1] if n_classes == 2 else np.mean(every))


def test_a_class_without_test_images_is_no_part_of_the_mean() -> None:
    p, truth = probabilities(1, 30, 3), np.arange(30) % 2

    assert auroc(p, truth) == pytest.approx(np.mean([area(p[:, each], truth == each) for each in (0, 1)]))
    assert auroc(p, np.zeros(30, np.intp)) is None


def test_an_image_adds_to_the_area_what_leaving_it_out_takes_away() -> None:
    """To first order: the jackknife, which knows nothing of placement values."""
    p, truth = probabilities(7, 400, 3), np.random.default_rng(7).integers(0, 3, 400)
    parts = auroc_parts(p, truth)
    assert parts is not None

    for each, part in enumerate(parts):
        places = np.flatnonzero(truth == each)
        full = auroc(p, truth)
        assert full is not None
        left_out = np.array([auroc(np.delete(p, i, 0), np.delete(truth, i)) or 0 for i in places])
        np.testing.assert_allclose((len(places) - 1) * (full - left_out), part - part.mean(), atol=0.01)


def test_the_area_below_the_drawn_curve_is_the_area() -> None:
    p, truth = probabilities(5, 80, 2), np.random.default_rng(5).integers(0, 2, 80)
    grid = np.linspace(0, 1, 20_001)

    curve = roc(p[:, 1], truth == 1, grid)

    assert np.trapezoid(curve, grid) == pytest.approx(auroc(p, truth), abs=1e-4)
    assert curve[-1] == 1
    assert (np.diff(curve) >= 0).all()


def test_confusion_has_the_truth_in_rows() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])

    assert confusion(p, np.array([0, 0, 1])).tolist() == [[1, 1], [0, 1]]
