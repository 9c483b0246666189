"""What an image and its mask say of a lesion: how large it is, and how far it stands out."""

import cv2
import numpy as np
from numpy.typing import NDArray

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
    """(2, 3) mean L*, a*, b* of the lesion and of the skin around it; None where either is missing."""
    reach = max(1, round(SKIN_BAND * min(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    skin = np.asarray(cv2.dilate(mask.view(np.uint8), disc)).view(np.bool_) & ~mask
    if not mask.any() or not skin.any():
        return None
    lab = np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))
    return np.stack([lab[mask].mean(axis=0), lab[skin].mean(axis=0)])
