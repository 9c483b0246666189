"""Images of more than 8 bits, or of floats, seen through a window: what lies between two values becomes 0 to 255."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bench.errors import MedbenchError
from ...bench.store.records import short_id
from ..base import ImageSet
from ..seen import SeenSet

VERSION = 1  # of the pictures: raised when a window makes others
PERCENTILES = (0.5, 99.5)  # ours, as is usual: the few brightest pixels, metal or vessels, would darken all others
N_BINS = 65536
LEVELS = -32768, 65535  # of 16 bits, with a sign or without
LEAST_BINS, MOST_ROUNDS = 256, 3  # between the ends of a window of floats: finer than the 8 bits that are left of it


class WindowedSet(SeenSet):
    """A set with its images as uint8, `low` and below being 0, `high` and above 255; all else is the set's own."""

    def __init__(self, base: ImageSet, low: float, high: float) -> None:
        if not low < high:
            raise MedbenchError(f"{base.name}: a window needs a lower and a higher end, got {low:g} and {high:g}")
        super().__init__(base)
        self.low, self.high = float(low), float(high)

    def image(self, id: str) -> NDArray[np.uint8]:
        return through_window(self.base.image(id), self.low, self.high)

    def digest_over(self, stored: str) -> str:
        return short_id([VERSION, stored, self.low, self.high])


def through_window(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Values as 0 to 255, `low` and below being 0, `high` and above 255."""
    share = (values.astype(np.float64) - low) / (high - low)
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


def window_of(
    image_set: ImageSet, ids: Iterable[str], progress: Callable[[int, int], None] = lambda *_: None
) -> tuple[float, float]:
    """The values below which 0.5 % and 99.5 % of the pixels of these images lie; of all of them, whatever their order.

    Of whole numbers exactly: the least level that so many pixels do not exceed. Of floats to a 256th of the window or
    better: counted in bins between the least and the greatest, then in bins of the window found, until that is so.
    Where both values are one, the least and the greatest of all are taken. Memory holds an image and 98,304 counts.

    Args:
        image_set: one whose images are wide.
        ids: those that a model learns from.
        progress: called with the numbers of images looked at and to look at.

    Raises:
        MedbenchError: all pixels of all these images are equal.
    """
    ids = sorted(ids)
    counts = np.zeros(LEVELS[1] - LEVELS[0] + 1, np.int64)
    least, greatest, is_whole = float("inf"), float("-inf"), True
    for done, id in enumerate(ids, start=1):
        values = image_set.image(id)
        least, greatest = min(least, float(values.min())), max(greatest, float(values.max()))
        is_whole = is_whole and values.dtype.kind in "ui"
        if is_whole:
            counts += np.bincount(values.ravel().astype(np.int64) - LEVELS[0], minlength=len(counts))
        progress(done, len(ids))
    if not least < greatest:
        raise MedbenchError(f"{image_set.name}: all pixels of these {len(ids)} images are {least:g}; nothing to see")
    if is_whole:
        low, high = (float(end + LEVELS[0]) for end in _ends(counts))
    else:
        low, high = _window_of_floats(image_set, ids, least, greatest)
    return (low, high) if low < high else (least, greatest)


def _window_of_floats(image_set: ImageSet, ids: list[str], low: float, high: float) -> tuple[float, float]:
    first = last = 0
    for _ in range(MOST_ROUNDS):
        counts, step = np.zeros(N_BINS, np.int64), (high - low) / N_BINS
        if low + step == low:  # nearly all pixels are one number
            return low, low
        for id in ids:
            places = (image_set.image(id).astype(np.float64).ravel() - low) / step
            counts += np.bincount(np.clip(places, 0, N_BINS - 1).astype(np.int64), minlength=N_BINS)
        first, last = _ends(counts)
        low, high = low + first * step, low + (last + 1) * step
        if last - first >= LEAST_BINS:
            break
    return (low, high) if first < last else (low, low)


def _ends(counts: NDArray[np.int64]) -> tuple[int, int]:
    """The first bins up to which 0.5 % and 99.5 % of all counts lie."""
    upto = np.cumsum(counts)
    first, last = (int(np.searchsorted(upto, percent / 100 * upto[-1])) for percent in PERCENTILES)
    return first, last
