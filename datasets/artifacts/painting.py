"""How an artifact meets an image: the kinds by name, severities, layers of paint, and the mask of what changed."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...bench.errors import MedbenchError
from ...bench.registry import Registry

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Field = NDArray[np.floating]

Painter = Callable[..., Image]  # (image, *, rng, severity) -> image

ARTIFACTS: Registry[Image] = Registry("artifact")
LOCAL: list[str] = []  # kinds that cover a part of the image; the others change all of it

SEVERITIES = (1, 2, 3, 4, 5)
MIN_SIDE = 32
VISIBLE = 10  # levels of 255 that a channel must change by for a pixel to belong to the artifact
CANVAS_SIDE = 768  # layers are drawn at least this large and shrunk: a hair may be half a pixel wide
MAX_ENLARGEMENT = 4
SUBPIXEL_BITS = 4


def artifact(kind: str, *, is_local: bool) -> Callable[[Painter], Painter]:
    """Decorator that makes a painter known by the name of its kind; `is_local` where it covers a part of the image, so
    that scores on it and near it say something."""
    if is_local:
        LOCAL.append(kind)
    return ARTIFACTS.register(kind)


def paint(image: Image, *, id: str, kind: str, severity: int, seed: int = 0) -> tuple[Image, NDArray[np.bool_]]:
    """The image with an artifact, and where the artifact is.

    Args:
        image: (H, W, 3) RGB, at least 32 pixels a side.
        id: of the image; another id gets another artifact of the same kind.
        kind: a key of `ARTIFACTS`.
        severity: 1 to 5.
        seed: for another artifact on the same image.

    Returns:
        The painted image, and the mask (H, W), True in every pixel in which a channel changed by 10 levels or more.

    Raises:
        MedbenchError: an unknown kind or severity, or an image that is too small.
    """
    painter = ARTIFACTS[kind]
    check_severity(severity)
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise MedbenchError(f"{id}: {width}x{height} is too small to paint on; use images of {MIN_SIDE} pixels or more")
    # The severity is not part of the key: a worse case adds to what a milder one shows.
    digest = hashlib.sha256(f"{seed}/{kind}/{id}".encode()).digest()
    painted = painter(image, rng=np.random.default_rng(list(digest)), severity=severity)
    red, green, blue = cv2.split(cv2.absdiff(painted, image))
    return painted, np.asarray(cv2.max(cv2.max(red, green), blue)) >= VISIBLE


def check_severity(severity: int) -> None:
    """MedbenchError for a severity that there is not."""
    if severity not in SEVERITIES:
        raise MedbenchError(f"severity must be 1 to 5, got {severity!r}")


class Frame(NamedTuple):
    """An image's size in units of its shorter side."""

    height: float
    width: float

    @property
    def area(self) -> float:
        return self.height * self.width


def frame_of(image: Image) -> Frame:
    height, width = image.shape[:2]
    side = min(height, width)
    return Frame(height / side, width / side)


class Canvas:
    """Paint in colour and opacity, on a raster finer than the image; places and widths in shorter sides."""

    def __init__(self, image: Image) -> None:
        height, width = image.shape[:2]
        side = min(height, width)
        enlargement = min(max(-(-CANVAS_SIDE // side), 1), MAX_ENLARGEMENT)
        self.scale = side * enlargement
        self.pixels = np.zeros((height * enlargement, width * enlargement, 4), np.uint8)
        self.size = (width, height)

    def line(self, points: Field, width: float | Field, colour: Field, opacity: float) -> None:
        """A line through `points`, (K, 2) x and y, K >= 2; `width` is one or (K,)."""
        self.lines(points[None], np.broadcast_to(width, (1, len(points))), colour, opacity)

    def lines(self, points: Field, widths: Field, colours: Field, opacity: float) -> None:
        """L lines through K points each, (L, K, 2), of `widths` (L, K) or (L, 1) and `colours` (L, 3) or (3,)."""
        along = np.gradient(points, axis=1)
        across = along[..., ::-1] * (-1, 1) / np.linalg.norm(along, axis=2, keepdims=True)
        # OpenCV fills the outline too, which is a pixel wide.
        half = across * np.maximum((widths * self.scale - 1) / 2, 0)[..., None]
        middle = points * self.scale - 0.5
        outlines = np.concatenate([middle + half, (middle - half)[:, ::-1]], axis=1)
        colours = np.broadcast_to(colours, (len(points), 3))
        for places, colour in zip(np.rint(outlines * 2**SUBPIXEL_BITS).astype(np.int32), colours, strict=True):
            cv2.fillPoly(self.pixels, [places], _paint(colour, opacity), shift=SUBPIXEL_BITS)

    def disc(self, centre: tuple[float, float], radius: float, colour: Field, opacity: float) -> None:
        place = (round(centre[0] * self.scale), round(centre[1] * self.scale))
        cv2.circle(self.pixels, place, max(1, round(radius * self.scale)), _paint(colour, opacity), cv2.FILLED)

    def over(self, image: Image) -> Image:
        """The image with the paint over it."""
        layer = cv2.resize(self.pixels, self.size, interpolation=cv2.INTER_AREA)
        colour, opacity = cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB), cv2.cvtColor(layer[..., 3], cv2.COLOR_GRAY2RGB)
        return np.asarray(cv2.add(cv2.multiply(image, cv2.bitwise_not(opacity), scale=1 / 255), colour), np.uint8)

    def coverage(self) -> Field:
        """(H, W) opacity of the paint, 0 to 1."""
        layer = cv2.resize(self.pixels[..., 3], self.size, interpolation=cv2.INTER_AREA)
        return np.asarray(layer, dtype=np.float32) / 255


def blend(image: Image, colour: Field, opacity: Field) -> Image:
    """The image under paint of one colour (or one a pixel), `opacity` (H, W) from 0 to 1."""
    alpha = opacity.astype(np.float32)
    paint = np.broadcast_to(np.rint(np.minimum(colour, 255)).astype(np.uint8), image.shape)
    return np.asarray(cv2.blendLinear(image, np.ascontiguousarray(paint), 1 - alpha, alpha), np.uint8)


def noise(rng: np.random.Generator, image: Image, waves: float) -> Field:
    """(H, W) smooth noise of about unit variance with `waves` waves along the shorter side, the same at every size."""
    frame = frame_of(image)
    coarse = rng.standard_normal((round(frame.height * waves) + 2, round(frame.width * waves) + 2), np.float32)
    height, width = image.shape[:2]
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def places(image: Image) -> tuple[Field, Field]:
    """x and y of every pixel centre in shorter sides, (H, W) each."""
    height, width = image.shape[:2]
    side = np.float32(min(height, width))
    y, x = np.ogrid[:height, :width]
    return (x.astype(np.float32) + 0.5) / side + 0 * y, (y.astype(np.float32) + 0.5) / side + 0 * x


def until_covered(add: Callable[[], float], image: Image, share: float) -> None:
    """Calls `add`, which says what area it covered in squared shorter sides, until the sum is `share` of the image."""
    covered, wanted = 0.0, share * frame_of(image).area
    while covered < wanted:
        covered += add()


def _paint(colour: Field, opacity: float) -> tuple[float, float, float, float]:
    """Colour times opacity, and opacity, from 0 to 255: layers of these can be averaged."""
    return (float(colour[0] * opacity), float(colour[1] * opacity), float(colour[2] * opacity), 255 * opacity)
