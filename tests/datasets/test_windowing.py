"""Images of many bits seen through a window."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medbench.bench.errors import MedbenchError
from medbench.bench.metrics import Target
from medbench.datasets.base import ImageSet
from medbench.datasets.described.windowing import WindowedSet, window_of


class Stored(ImageSet):
    """Images as they are given."""

    name, official, target, channels = "stored", {}, Target(("organ",)), 1

    def __init__(self, *images: NDArray[Any]) -> None:
        self.images = {str(index): image for index, image in enumerate(images)}
        self.ids = tuple(self.images)
        self.groups = {id: id for id in self.ids}

    @property
    def is_wide(self) -> bool:
        return True

    def image(self, id: str) -> NDArray[Any]:
        return self.images[id][..., None]

    def mask(self, id: str) -> NDArray[np.bool_]:
        return np.zeros(self.images[id].shape, np.bool_)

    def digest(self, id: str) -> str:
        return f"digest of {id}"


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.int16, np.uint16]), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_the_window_of_whole_numbers_is_exact(seed: int, kind: Any, n: int) -> None:
    rng = np.random.default_rng(seed)
    bounds = np.iinfo(kind)
    images = [rng.integers(bounds.min, bounds.max + 1, (20, 30)).astype(kind) for _ in range(n)]
    expected = np.percentile(np.stack(images), (0.5, 99.5), method="inverted_cdf")

    assert window_of(Stored(*images), [str(index) for index in range(n)]) == tuple(expected)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("outlier", [0.0, 1e4, 1e12])
def test_the_window_of_floats_is_as_fine_as_the_bits_that_are_left(scale: float, outlier: float) -> None:
    images = [np.random.default_rng(seed).normal(size=(80, 90)).astype(np.float32) * scale for seed in range(2)]
    images[0][0, 0] += outlier * scale  # one pixel that would make all bins coarse
    low, high = window_of(Stored(*images), ["0", "1"])
    expected = np.percentile(np.stack(images), (0.5, 99.5), method="inverted_cdf")

    assert abs(low - expected[0]) <= (high - low) / 256
    assert abs(high - expected[1]) <= (high - low) / 256


def test_the_window_is_that_of_the_images_named_in_any_order() -> None:
    images = Stored(*(np.full((4, 5), value, np.uint16) for value in (0, 1000, 3000)))

    assert window_of(images, ["1", "0"]) == window_of(images, ["0", "1"]) == (0, 1000)
    assert window_of(images, images.ids) == (0, 3000)


def test_a_window_that_would_be_empty_reaches_from_the_least_to_the_greatest() -> None:
    image = np.zeros((40, 40), np.uint16)
    image[0, 0] = 700

    assert window_of(Stored(image), ["0"]) == (0, 700)
    assert window_of(Stored(image.astype(np.float32) / 7), ["0"]) == (0, 100)


def test_images_without_anything_in_them_have_no_window() -> None:
    with pytest.raises(MedbenchError, match="all pixels of these 1 images are 7"):
        window_of(Stored(np.full((2, 2), 7, np.int16)), ["0"])


def test_a_windowed_set_shows_what_lies_between_and_is_the_set_in_all_else() -> None:
    base = Stored(np.array([[-1500, -1000, 0, 250, 1000, 3000]], np.int16))

    found = WindowedSet(base, -1000, 1000)

    assert found.image("0")[..., 0].tolist() == [[0, 0, 128, 159, 255, 255]]
    assert found.image("0").dtype == np.uint8
    assert (found.is_wide, found.ids, found.groups, found.target, found.channels) == (
        False,
        base.ids,
        base.groups,
        base.target,
        1,
    )
    assert found.mask("0").tolist() == base.mask("0").tolist()


def test_its_digest_changes_with_the_window() -> None:
    base = Stored(np.zeros((1, 1), np.int16))
    digests = {WindowedSet(base, low, high).digest("0") for low, high in ((0, 1), (0, 2), (-1, 1))}

    assert len(digests) == 3
    assert WindowedSet(base, 0, 1).digest("0") == WindowedSet(base, 0, 1).digest_over(base.digest("0"))
    with pytest.raises(MedbenchError, match="a window needs a lower and a higher end, got 5 and 5"):
        WindowedSet(base, 5, 5)


def test_a_progress_tells_of_every_image() -> None:
    told: list[tuple[int, int]] = []

    window_of(
        Stored(*(np.arange(6).reshape(2, 3).astype(np.int16) for _ in range(3))), "012", lambda *n: told.append(n)
    )

    assert told == [(1, 3), (2, 3), (3, 3)]
