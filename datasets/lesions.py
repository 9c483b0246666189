"""What an image and its mask say of a lesion: how large it is, and how far it stands out."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .base import ImageSet
from .described.windowing import WindowedSet, window_of

THREADS = 2
SKIN_BAND = 0.1  # shorter sides: how far around the lesion the skin is looked at


def lesion_area(mask: NDArray[np.bool_]) -> float:
    """Share of the image that the lesion covers, in [0, 1]."""
    return float(np.count_nonzero(mask) / mask.size)


def lesion_contrast(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """Distance in CIELAB (Delta E*ab, 1976) of the lesion's mean colour from that of the skin around it; NaN where
    either is missing."""
    colours = lesion_and_skin(image, mask)
    return float("nan") if colours is None else float(np.linalg.norm(colours[0] - colours[1]))


def lesion_and_skin(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """(2, 3) mean L*, a*, b* of the lesion and of the skin around it; None where either is missing, and of images that
    are neither grey nor RGB."""
    reach = max(1, round(SKIN_BAND * min(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    skin = np.asarray(cv2.dilate(mask.view(np.uint8), disc)).view(np.bool_) & ~mask
    if not mask.any() or not skin.any() or image.shape[2] not in (1, 3):
        return None
    image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    lab = np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))
    return np.stack([lab[mask].mean(axis=0), lab[skin].mean(axis=0)])


def describe(image_set: ImageSet, *, on_image: Callable[[int, int], None] = lambda *_: None) -> dict[str, Any]:
    """A set in numbers: images, groups, empty masks, and p5, median and p95 over the images of width and height
    (pixels), aspect (width over height), lesion_area (share of the image), contrast (see `lesion_contrast`), and L*,
    a*, b* of lesion and skin. What an image lacks, an empty mask say, does not count. All classes together are the
    lesion; images of more than 8 bits are seen through the window of all of them."""
    target = image_set.target
    if image_set.is_wide:
        image_set = WindowedSet(image_set, *window_of(image_set, image_set.ids))

    def look(id: str) -> dict[str, float]:
        return _row(image_set.image(id), np.asarray(target.planes(image_set.mask(id)).any(axis=0)))

    rows: list[dict[str, float]] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for row in pool.map(look, image_set.ids):
            rows.append(row)
            on_image(len(rows), len(image_set))
    found: dict[str, Any] = {
        "images": len(image_set),
        "groups": len(set(image_set.groups.values())),
        "empty_masks": sum(row["lesion_area"] == 0 for row in rows),
    }
    for key in rows[0]:
        values = np.array([row[key] for row in rows])
        p5, median, p95 = np.nanpercentile(values, (5, 50, 95)) if not np.isnan(values).all() else [float("nan")] * 3
        found[key] = {"p5": float(p5), "median": float(median), "p95": float(p95)}
    return found


def _row(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> dict[str, float]:
    height, width = mask.shape
    colours = lesion_and_skin(image, mask)
    lab = (np.full((2, 3), np.nan) if colours is None else colours).ravel().tolist()
    axes = [f"{what}_{axis}" for what in ("lesion", "skin") for axis in "Lab"]
    return {
        "width": width,
        "height": height,
        "aspect": width / height,
        "lesion_area": lesion_area(mask),
        "contrast": lesion_contrast(image, mask),
        **dict(zip(axes, lab, strict=True)),
    }
