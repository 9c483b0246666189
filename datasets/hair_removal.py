"""Images without their hair: strands are found by their shape and painted over with what lies beside them.

After Lee et al. (1997), "DullRazor: a software approach to hair removal from images", Computers in Biology and Medicine
27(6), 533-543, doi:10.1016/S0010-4825(97)00020-6: closings along lines in several directions find what is dark and
thin in some colour, what is no strand is dropped, and the rest is filled from its surroundings. There the closings run
in three directions and the filling is bilinear; here in four, and the filling is that of Telea (2004), "An image
inpainting technique based on the fast marching method", Journal of Graphics Tools 9(1). All numbers are ours, from a
few training images of ISIC 2018 with painted hair (tests/benchmarks/hair_removal.py). Lengths are shares of the shorter
side, so that hair is found alike at every resolution.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bench.errors import MedbenchError
from ..bench.store.records import short_id
from .base import ImageSet
from .seen import SeenSet

VERSION = 1  # of the pictures: raised when others come out
SIDE = 512  # pixels: strands are looked for, and their places filled, in images that are no larger
DIRECTIONS = 4
REACH = 0.025  # of a closing: what is wider is no hair
DARKER = 14  # levels of 255 by which some channel of a strand is darker than what lies beside it
LEAST_LENGTH = 0.05
MOST_FILLED = 0.3  # of the square of its length that a strand, or a tangle of them, covers: a spot covers more
MARGIN = 0.003  # around strands, whose edges are soft
RADIUS = 0.01  # of what a pixel is filled from

Image = NDArray[np.uint8]  # (H, W, 3) RGB


class HairlessSet(SeenSet):
    """A set of RGB images without their hair. What is painted over images is painted before: then hair is removed from
    what an artifact left, and the artifact's masks stay what was painted.

    Raises:
        MedbenchError: its images are no RGB.
    """

    def __init__(self, base: ImageSet) -> None:
        if base.channels != 3:
            raise MedbenchError(
                f"hair is removed from RGB images, {base.name} has {base.channels} channels; leave hair_removal out"
            )
        super().__init__(base)

    def image(self, id: str) -> Image:
        return remove_hair(self.base.image(id))

    @property
    def shown(self) -> ImageSet:
        return self.base

    def painted(self, id: str) -> tuple[Image, NDArray[np.bool_]]:
        image, artifact = self.base.painted(id)
        return remove_hair(image), artifact

    def digest_over(self, stored: str) -> str:
        return short_id(["without hair", VERSION, stored])


def remove_hair(image: Image) -> Image:
    """The image (H, W, 3), RGB, with its hair painted over; every other pixel is what it was."""
    small = _shrunk(image)
    strands = _strands(small)
    if not strands.any():
        return image
    filled = cv2.inpaint(small, strands, max(1.0, RADIUS * min(small.shape[:2])), cv2.INPAINT_TELEA)
    size = image.shape[1], image.shape[0]
    is_hair = cv2.resize(strands, size, interpolation=cv2.INTER_NEAREST)[..., None] > 0
    return np.where(is_hair, cv2.resize(filled, size, interpolation=cv2.INTER_LINEAR), image)


def hair_mask(image: Image) -> NDArray[np.bool_]:
    """(H, W), True where `remove_hair` finds hair, dark strands on lighter ground, with a margin around."""
    strands = _strands(_shrunk(image))
    return cv2.resize(strands, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_NEAREST) > 0


def _shrunk(image: Image) -> Image:
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / min(height, width))
    return np.asarray(
        cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA), np.uint8
    )


def _strands(image: Image) -> Image:
    """(H, W), 1 on hair and close to it, else 0."""
    side = min(image.shape[:2])
    reach = max(2, round(REACH * side / 2))
    darker = np.zeros(image.shape[:2], np.uint8)
    for angle in np.pi * np.arange(DIRECTIONS) / DIRECTIONS:
        closed = cv2.morphologyEx(image, cv2.MORPH_BLACKHAT, _line(reach, angle))
        darker = np.maximum(darker, closed.max(axis=2))
    _, labels, stats, _ = cv2.connectedComponentsWithStats((darker >= DARKER).astype(np.uint8))
    length = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    is_strand = (length >= LEAST_LENGTH * side) & (stats[:, cv2.CC_STAT_AREA] <= MOST_FILLED * length**2)
    is_strand[0] = False  # the ground
    margin = max(1, round(MARGIN * side))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    return np.asarray(cv2.dilate(is_strand[labels].astype(np.uint8), disc), np.uint8)


def _line(reach: int, angle: float) -> Image:
    """A structuring element: a line through its centre, `reach` pixels to either side of it."""
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    x, y = round(reach * np.cos(angle)), round(reach * np.sin(angle))
    cv2.line(kernel, (reach - x, reach - y), (reach + x, reach + y), 1)
    return kernel
