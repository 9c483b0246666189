"""Masks of several classes at another size: a pixel is what covers most of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medbench.bench.metrics import IGNORED, LESION, Target
from medbench.datasets.resizing import codes_of, squeeze, squeeze_codes

CLASSES = Target(("a", "b", "c"), ignores=True)
LABELS = Target(("a", "b"), overlap=True)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32))
def test_at_half_the_size_a_pixel_has_the_commonest_of_its_four_codes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.choice(codes_of(CLASSES), (16, 16))

    found = squeeze_codes(mask, 8, CLASSES)

    for (row, column), code in np.ndenumerate(found):
        four = mask[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        most = max(int((four == each).sum()) for each in codes_of(CLASSES))
        assert int((four == code).sum()) == most


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(5, 40), st.integers(5, 40), st.integers(3, 50))
def test_every_label_is_resized_by_itself(seed: int, height: int, width: int, size: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 4, (height, width)).astype(np.uint8)

    found = squeeze_codes(mask, size, LABELS)

    for plane, whole in zip(LABELS.planes(found), LABELS.planes(mask), strict=True):
        np.testing.assert_array_equal(plane, squeeze_codes(whole, size, LESION) == 1)


@given(st.sampled_from([CLASSES, LABELS, LESION]), st.integers(0, 3))
def test_a_mask_of_its_own_size_stays_what_it_is(target: Target, code: int) -> None:
    mask = np.full((12, 12), code, np.uint8)
    mask[3:9, 3:9] = IGNORED if target.ignores else 1
    expected = (mask > 0).astype(np.uint8) if target is LESION else mask

    np.testing.assert_array_equal(squeeze_codes(mask, 12, target), expected)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_images_keep_their_channels(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 33, channels), dtype=np.uint8)

    found = squeeze(image, 16)

    assert found.shape == (16, 16, channels)
    for channel in range(channels):
        np.testing.assert_array_equal(found[..., channel], squeeze(np.ascontiguousarray(image[..., channel]), 16))
