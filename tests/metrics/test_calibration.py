"""Calibration against torchmetrics' definition worked out by brute force, and its properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench.bench.metrics.calibration import N_BINS, brier, calibration_error, reliability


def image(seed: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probability = rng.random((20, 30))
    return probability.astype(np.float32), rng.random((20, 30)) < probability**sharpness


@given(st.integers(0, 2**32))
def test_the_error_is_the_bins_distances_weighted_by_their_pixels(seed: int) -> None:
    probability, truth = image(seed, sharpness=3)
    expected = 0.0
    for k in range(N_BINS):
        inside = (probability >= k / N_BINS) & ((probability < (k + 1) / N_BINS) | (k == N_BINS - 1))
        if inside.any():
            expected += inside.mean() * abs(probability[inside].mean(dtype=np.float64) - truth[inside].mean())

    assert calibration_error(reliability(probability, truth)) == pytest.approx(expected, abs=2e-3)


def test_images_pool_by_adding_their_sums() -> None:
    first, second = image(1), image(2)
    both = [np.concatenate([a, b]) for a, b in zip(first, second, strict=True)]

    np.testing.assert_allclose(reliability(*first) + reliability(*second), reliability(both[0], both[1]), rtol=1e-12)


def test_honest_probabilities_are_calibrated_and_bold_ones_are_not() -> None:
    honest, truth = image(3)
    bold = np.where(honest > 0.5, 1.0, 0.0)

    assert calibration_error(reliability(honest, truth)) < 0.05
    assert calibration_error(reliability(bold, truth)) > 0.2
    assert brier(honest, truth) < brier(bold, truth)


def test_certainty_has_a_bin_and_no_pixels_have_no_error() -> None:
    sums = reliability(np.array([[0.0, 1.0]]), np.array([[False, True]]))

    assert sums[0].tolist() == [1, 0, 0]
    assert sums[-1].tolist() == [1, 1, 1]
    assert calibration_error(sums) == 0
    assert np.isnan(calibration_error(np.zeros((N_BINS, 3))))
