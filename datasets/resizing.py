"""Images and masks at another size.

An axis that shrinks is averaged over areas, one that grows is interpolated linearly. A pixel of a smaller mask is what
covers the largest part of it: of one structure half of it at least, of classes the one with the largest share (the
first of equal ones), of labels each that covers half of it.
"""

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bench.metrics import IGNORED, Target

MOST_CHANNELS = 4  # that OpenCV averages over areas
Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.float32])


def squeeze(array: Pixels, size: int) -> Pixels:
    """A (H, W) or (H, W, C) array as (size, size, ...), whatever its proportions.

    OpenCV takes one method for both axes, so this goes in two steps.
    """
    if array.ndim == 3 and array.shape[2] > MOST_CHANNELS:
        return np.stack([squeeze(np.ascontiguousarray(each), size) for each in np.moveaxis(array, 2, 0)], axis=2)  # pyright: ignore
    height, width = array.shape[:2]
    smaller = cv2.resize(array, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA)
    squeezed: Any = cv2.resize(smaller, (size, size), interpolation=cv2.INTER_LINEAR)
    return squeezed.reshape(size, size, *array.shape[2:])  # OpenCV drops the axis of a single channel


def squeeze_codes(mask: NDArray[Any], size: int, target: Target) -> NDArray[np.uint8]:
    """A mask (H, W), True or codes, as uint8 codes (size, size)."""
    if target.is_single and not target.ignores:
        share = squeeze((mask > 0).astype(np.float32), size)  # of a pixel that the structure covers
        return (share >= 0.5).astype(np.uint8)
    if target.overlap:
        return target.codes(np.stack([squeeze(plane.astype(np.float32), size) >= 0.5 for plane in target.planes(mask)]))
    codes = codes_of(target)
    shares = np.stack([squeeze((mask == code).astype(np.float32), size) for code in codes])
    return codes[shares.argmax(axis=0)]


def codes_of(target: Target) -> NDArray[np.uint8]:
    """The codes that a mask of classes may have."""
    return np.array([*range(len(target.names) + 1), *([IGNORED] if target.ignores else [])], np.uint8)
