"""What camera and file do to the whole image: focus, motion, light, noise, compression.

The photometric corruptions of ImageNet-C (Hendrycks and Dietterich, ICLR 2019) that a dermatoscope knows. Lengths are
shares of the shorter side and grains have one size on all images, so that a severity means the same at every size;
compression, whose blocks have a size in pixels, is searched for the quality that gives a signal-to-noise ratio.
"""

import cv2
import numpy as np

from .painting import ARTIFACTS, Field, Image, noise

DEFOCUS = (0.005, 0.009, 0.014, 0.02, 0.028)  # radius of the disc of confusion, by severity
MOTION = (0.015, 0.03, 0.05, 0.075, 0.105)  # length of the path
BRIGHTNESS = (15, 25, 36, 48, 60)  # levels of 255, up or down
CONTRAST = (0.75, 0.6, 0.47, 0.35, 0.25)  # what is left of it
GRAIN = (9, 15, 23, 33, 46)  # standard deviation in levels of 255
GRAINS = 256  # along the shorter side
JPEG_PSNR = (38.0, 35.5, 33.0, 30.8, 28.0)  # decibels
STEPS = 6  # of the search for the quality


@ARTIFACTS.register("defocus")
def defocus(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Every point becomes a disc."""
    del rng  # there is only one way to be out of focus
    radius = DEFOCUS[severity - 1] * min(image.shape[:2])
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return _filtered(image, np.clip(radius + 0.5 - np.hypot(x, y), 0, 1))


@ARTIFACTS.register("motion")
def motion(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Every point becomes a short line, in one direction."""
    angle, length = rng.uniform(0, np.pi), MOTION[severity - 1] * min(image.shape[:2])
    reach = int(np.ceil(length / 2))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = np.abs(x * np.cos(angle) + y * np.sin(angle))
    beside = np.abs(y * np.cos(angle) - x * np.sin(angle))
    return _filtered(image, np.clip(length / 2 + 0.5 - along, 0, 1) * np.clip(1 - beside, 0, 1))


@ARTIFACTS.register("brightness")
def brightness(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Too much light, or too little."""
    return _levels(np.arange(256) + rng.choice([-1, 1]) * BRIGHTNESS[severity - 1], image)


@ARTIFACTS.register("contrast")
def contrast(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """All levels move towards the image's mean, as under a veil."""
    del rng  # the image and the severity decide
    mean = image.mean()
    return _levels(mean + (np.arange(256) - mean) * CONTRAST[severity - 1], image)


@ARTIFACTS.register("noise")
def grain(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Gaussian noise, of which a grain is as large as a pixel of a 256-pixel image."""
    grains = np.stack([noise(rng, image, GRAINS) for _ in range(3)], axis=2)
    return (np.clip(image + GRAIN[severity - 1] * grains, 0, 255) + 0.5).astype(np.uint8)


@ARTIFACTS.register("jpeg")
def jpeg(image: Image, *, rng: np.random.Generator, severity: int) -> Image:
    """Compression: blocks and blurred colours, at the highest quality that comes down to the severity's PSNR."""
    del rng  # the image and the severity decide
    low, high = 1, 96
    for _ in range(STEPS):
        middle = (low + high) // 2
        if cv2.PSNR(image, _compressed(image, middle)) > JPEG_PSNR[severity - 1]:
            high = middle
        else:
            low = middle
    return _compressed(image, low)


def _compressed(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)[..., ::-1])


def _filtered(image: Image, kernel: Field) -> Image:
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101), dtype=np.uint8)


def _levels(table: Field, image: Image) -> Image:
    return np.asarray(cv2.LUT(image, (np.clip(table, 0, 255) + 0.5).astype(np.uint8)), dtype=np.uint8)
