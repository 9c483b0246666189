"""Failure modes on masks drawn by hand, and against scipy's labelling."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from medbench.bench.metrics.failures import FAILURES, artifact_fpr, failure_modes

Mask = NDArray[np.bool_]


def box(top: int, left: int, height: int, width: int) -> Mask:
    mask = np.zeros((40, 60), bool)
    mask[top : top + height, left : left + width] = True
    return mask


LESION = box(10, 10, 20, 20)


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        pytest.param(LESION, set[str](), id="right"),
        pytest.param(box(0, 0, 0, 0), {"missed"}, id="nothing found"),
        pytest.param(box(10, 40, 20, 10), {"missed"}, id="something else found"),
        pytest.param(box(10, 10, 20, 2), set[str](), id="a tenth found"),
        pytest.param(box(10, 10, 20, 9) | box(10, 20, 20, 10), {"split"}, id="cut by a hair"),
        pytest.param(box(10, 10, 20, 18) | box(10, 29, 10, 1), set[str](), id="a crumb is no part"),
        pytest.param(box(10, 10, 20, 26), {"spilled"}, id="reaches beyond"),
        pytest.param(LESION | box(0, 40, 20, 15), set[str](), id="an island elsewhere is no spill"),
    ],
)
def test_masks_drawn_by_hand(prediction: Mask, expected: set[str]) -> None:
    assert {mode for mode, value in failure_modes(prediction, LESION).items() if value == 1} == expected


def test_two_lesions_found_apart_are_not_split() -> None:
    both = box(5, 5, 10, 10) | box(25, 40, 10, 10)

    assert failure_modes(both, both)["split"] == 0


def test_an_artifact_is_judged_outside_the_lesion() -> None:
    hair = box(18, 0, 2, 60)

    assert failure_modes(LESION, LESION, hair)["on_artifact"] == 0
    assert failure_modes(LESION | hair, LESION, hair)["on_artifact"] == 1
    assert artifact_fpr(LESION | box(18, 0, 2, 10), LESION, hair) == 0.25


def test_what_cannot_fail_is_not_counted() -> None:
    assert np.isnan(list(failure_modes(LESION, ~(LESION | True)).values())).all()
    assert np.isnan(failure_modes(LESION, LESION)["on_artifact"])
    assert np.isnan(failure_modes(LESION, LESION, box(12, 12, 3, 3))["on_artifact"])
    assert list(failure_modes(LESION, LESION)) == list(FAILURES)


@given(st.integers(0, 2**32), st.floats(0.3, 0.7))
def test_parts_are_those_of_scipy(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.random((2, 8, 12)) < density
    prediction, reference = (np.kron(mask, np.ones((5, 5), bool)) for mask in coarse)
    if not reference.any():
        return
    eight = np.ones((3, 3))
    label: Any = ndimage.label
    (found, _), (lesion, n_lesion) = label(prediction, eight), label(reference, eight)
    is_split = False
    for part in range(1, n_lesion + 1):
        inside = found[lesion == part]
        sizes = [np.count_nonzero(inside == each) for each in np.unique(inside[inside > 0])]
        is_split |= sum(size >= 0.05 * inside.size for size in sizes) >= 2
    touching = np.isin(found, np.unique(found[reference & prediction]))
    beyond = np.count_nonzero(touching & prediction & ~reference)

    modes = failure_modes(prediction, reference)

    assert modes["split"] == is_split
    assert modes["spilled"] == (beyond > 0.25 * np.count_nonzero(reference))
