"""What camera and file do to the whole image: focus, motion, light, noise, compression.

The photometric corruptions of ImageNet-C (Hendrycks and Dietterich, ICLR 2019) that a dermatoscope knows. Lengths are
shares of the shorter side and grains have one size on all images, so that a severity means the same at every size;
compression, whose blocks have a size in pixels, is searched for the quality that gives a signal-to-noise ratio.
"""

from collections.abc import Callable

import cv2
import numpy as np

from .painting import Field, Image, artifact, noise

DEFOCUS = (0.005, 0.009, 0.014, 0.02, 0.028)  # radius of the disc of confusion, by severity
MOTION = (0.015, 0.03, 0.05, 0.075, 0.105)  # length of the path
BRIGHTNESS = (15, 25, 36, 48, 60)  # levels of 255, up or down
CONTRAST = (0.75, 0.6, 0.47, 0.35, 0.25)  # what is left of it
GRAIN = (9, 15, 23, 33, 46)  # standard deviation in levels of 255
GRAINS = 256  # along the shorter side
JPEG_PSNR = (38.0, 35.5, 33.0, 30.8, 28.0)  # decibels
FINE_REACH = 5  # pixels: OpenCV is fast up to here, so a kernel that reaches farther is applied on a coarser raster
STEPS = 6  # of the search for the quality


@artifact("defocus", is_local=False)
def defocus(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Every point becomes a disc."""
    del rng  # there is only one way to be out of focus

    def disc(radius: float) -> Field:
        x, y = _around(radius)
        return np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)

    return _filtered(image, DEFOCUS[severity - 1], disc)


@artifact("motion", is_local=False)
def motion(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Every point becomes a short line, in one direction."""
    angle = rng.uniform(0, np.pi)

    def path(reach: float) -> Field:
        x, y = _around(reach)
        along, beside = np.abs(x * np.cos(angle) + y * np.sin(angle)), np.abs(y * np.cos(angle) - x * np.sin(angle))
        return np.clip(reach + 0.5 - along, 0, 1) * np.clip(1 - beside, 0, 1)

    return _filtered(image, MOTION[severity - 1] / 2, path)


@artifact("brightness", is_local=False)
def brightness(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Too much light, or too little."""
    return _levels(np.arange(256) + rng.choice([-1, 1]) * BRIGHTNESS[severity - 1], image)


@artifact("contrast", is_local=False)
def contrast(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """All levels move towards the image's mean, as under a veil."""
    del rng  # the image and the severity decide
    mean = image.mean()
    return _levels(mean + (np.arange(256) - mean) * CONTRAST[severity - 1], image)


@artifact("noise", is_local=False)
def grain(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Gaussian noise, of which a grain is as large as a pixel of a 256-pixel image."""
    grains = np.stack([noise(rng, image, GRAINS) for _ in range(3)], axis=2)
    return (np.clip(image + GRAIN[severity - 1] * grains, 0, 255) + 0.5).astype(np.uint8)


@artifact("jpeg", is_local=False)
def jpeg(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Compression: blocks and blurred colours, at the highest quality that comes down to the severity's PSNR."""
    del rng  # the image and the severity decide
    best, low, high = image, 1, 96
    for _ in range(STEPS):
        middle = (low + high) // 2
        compressed = _compressed(image, middle)
        if cv2.PSNR(image, compressed) > JPEG_PSNR[severity - 1]:
            high = middle
        else:
            best, low = compressed, middle
    return best if low > 1 else _compressed(image, low)


def _compressed(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)[..., ::-1])


def _filtered(image: Image, reach: float, kernel: Callable[[float], Field]) -> Image:
    """The image under the kernel of a reach in shorter sides. What reaches far needs no fine raster, and would be slow
    on one."""
    height, width = image.shape[:2]
    reach *= min(height, width)
    coarser = int(np.ceil(reach / FINE_REACH))
    small = cv2.resize(image, (-(-width // coarser), -(-height // coarser)), interpolation=cv2.INTER_AREA)
    weights = kernel(reach / coarser)
    blurred = cv2.filter2D(small, -1, weights / weights.sum(), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _around(reach: float) -> tuple[Field, Field]:
    """x and y of a square of pixels that holds what lies within `reach`."""
    whole = int(np.ceil(reach))
    y, x = np.mgrid[-whole : whole + 1, -whole : whole + 1]
    return x, y


def _levels(table: Field, image: Image) -> Image:
    return np.asarray(cv2.LUT(image, (np.clip(table, 0, 255) + 0.5).astype(np.uint8)), dtype=np.uint8)
