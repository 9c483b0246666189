"""Dermoscopy-like images with exact masks, computed: for tests, tutorials and machines without data.

An image is drawn in the order in which light meets it: skin, pigment, lamp. Geometry is relative to the size, so that
the same index shows the same lesion at every size. Numbers without a source were chosen by eye.
"""

import hashlib
from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bench.errors import MedbenchError
from .base import ImageSet

Field = NDArray[np.floating]

# Reflectance (RGB, 0 to 1) of unpigmented skin from very light to brown.
SKIN_TONES = np.array([[0.93, 0.78, 0.74], [0.89, 0.70, 0.61], [0.80, 0.60, 0.49], [0.62, 0.43, 0.33]], np.float32)
# How strongly the pigments take light away, in RGB: melanin is brown, blood red, melanin deep in the skin blue-grey.
MELANIN = np.array([0.55, 0.95, 1.25], np.float32)
BLOOD = np.array([0.05, 0.45, 0.35], np.float32)
DEEP_MELANIN = np.array([1.05, 0.85, 0.60], np.float32)

MIN_SIZE = 16
LABEL = "size"  # the one column that is known of these images
LARGE = 0.1  # share of the pixels from which a lesion is large: about half of them are


class SyntheticSet(ImageSet):
    """`images` square images of `size` pixels a side; each is a pure function of (seed, index, size)."""

    def __init__(self, images: int = 400, size: int = 64, seed: int = 0) -> None:
        if images < 1 or size < MIN_SIZE:
            raise MedbenchError(
                f"synthetic: images must be at least 1 and size at least {MIN_SIZE}, got images={images}, size={size}"
            )
        self.name = "synthetic"
        self.size = size
        self.seed = seed
        self._index = {f"synthetic-{index:05d}": index for index in range(images)}
        self.ids = tuple(sorted(self._index))
        self.groups = {id: id for id in self.ids}
        self.official = {}
        self.label = LABEL

    def image(self, id: str) -> NDArray[np.uint8]:
        return draw(self.seed, self._index[id], self.size)[0].copy()

    def mask(self, id: str) -> NDArray[np.bool_]:
        return draw(self.seed, self._index[id], self.size)[1].copy()

    @property
    def columns(self) -> tuple[str, ...]:
        return (LABEL,)

    def labels_of(self, column: str) -> dict[str, str]:
        """The only column is `size`, of the lesion: large or small."""
        if column != LABEL:
            raise MedbenchError(f"{self.name}: no column {column!r}; it has {LABEL}")
        return {id: self._sizes[id] for id in self.ids}

    @cached_property
    def _sizes(self) -> dict[str, str]:
        return {id: "large" if self.mask(id).mean() > LARGE else "small" for id in self._index}

    def digest(self, id: str) -> str:
        image, mask = draw(self.seed, self._index[id], self.size)
        return hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest()


@lru_cache(maxsize=16)  # image, mask and digest of an id are asked for one after the other
def draw(seed: int, index: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """One image (size, size, 3) and its mask (size, size); do not write into them."""
    rng = np.random.default_rng([seed, index])
    x, y = _grid(size)
    inside = _lesion(rng, x, y)
    mask = inside > 0

    sharpness = rng.uniform(8, 45) * np.exp(0.6 * _noise(rng, size, 4))  # some stretches of a border are vaguer
    cover = 1 / (1 + np.exp(-np.clip(inside * sharpness, -30, 30)))
    is_faint = rng.random() < 0.2
    strength = rng.uniform(0.22, 0.45) if is_faint else rng.uniform(0.6, 1.5)
    pigment = np.clip(_pigment(rng, x, y, inside), 0.25, None) * strength * cover

    tone, melanin, blood, relief = _skin(rng, size)
    melanin += pigment
    deep = np.zeros_like(melanin)
    if rng.random() < 0.35:  # a blue-white veil, or dots of deep pigment
        deep += 0.7 * strength * _blotch(rng, size, 3, 0.7) * cover
    if rng.random() < 0.3:  # regression: part of the lesion has faded to pink
        faded = _blotch(rng, size, 3, 0.9) * cover
        melanin *= 1 - 0.6 * faded
        deep *= 1 - 0.6 * faded
        blood += 0.5 * faded
    blood += np.exp(-7 * np.abs(inside)) * rng.uniform(0, 0.35)  # inflamed skin around the border

    light = _lamp(rng, x, y)
    white = tone * rng.uniform([0.94, 0.95, 0.94], [1.04, 1.02, 1.06]).astype(np.float32)  # the camera's white balance
    picture = np.empty((size, size, 3), np.float32)
    for channel in range(3):
        density = melanin * MELANIN[channel] + blood * BLOOD[channel] + deep * DEEP_MELANIN[channel] + relief
        picture[..., channel] = np.exp(-density) * light * white[channel]
    picture += 0.008 * rng.standard_normal(picture.shape, np.float32)  # the camera's own noise
    image = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return image, mask


def _grid(size: int) -> tuple[Field, Field]:
    """Pixel centres, x to the right and y down, the image spanning -1 to 1."""
    axis = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def _noise(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Smooth noise of unit variance with about `cells` waves across, the same picture at every size."""
    coarse = rng.standard_normal((cells + 3, cells + 3), np.float32)
    field = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return field.astype(np.float32, copy=False)


def _blotch(rng: np.random.Generator, size: int, cells: int, threshold: float) -> Field:
    """Soft-edged islands, 0 to 1, where smooth noise exceeds `threshold` standard deviations."""
    return np.clip(2 * (_noise(rng, size, cells) - threshold) + 0.5, 0, 1)


def _lesion(rng: np.random.Generator, x: Field, y: Field) -> Field:
    """How far inside the border a pixel lies, as a share of the lesion's radius: 1 in the middle, below 0 outside.

    The border is an ellipse whose radius is disturbed by a Fourier series with random phases.
    """
    radius = np.exp(rng.uniform(np.log(0.2), np.log(0.8)))
    centre = rng.uniform(-0.3, 0.3, 2) * (1 - radius)
    flattening, turn = rng.uniform(0.62, 1), rng.uniform(0, np.pi)
    order = np.arange(2, 14)
    amplitude = rng.uniform(0.02, 0.2) * rng.standard_normal(12) / order**0.9
    phase = rng.uniform(0, 2 * np.pi, 12)

    angles = np.linspace(-np.pi, np.pi, 361)
    wave = 1 + (amplitude[:, None] * np.cos(order[:, None] * angles + phase[:, None])).sum(axis=0)
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    u = dx * np.float32(np.cos(turn)) + dy * np.float32(np.sin(turn))
    v = (dy * np.float32(np.cos(turn)) - dx * np.float32(np.sin(turn))) / np.float32(flattening)
    border = np.interp(np.arctan2(v, u), angles, radius * np.clip(wave, 0.4, 1.6)).astype(np.float32)
    return 1 - np.hypot(u, v) / border


def _pigment(rng: np.random.Generator, x: Field, y: Field, inside: Field) -> Field:
    """Melanin inside the lesion, about 1: uneven, in part as a network of lines, globules or darker blotches."""
    size = x.shape[0]
    pigment = 0.85 + 0.22 * _noise(rng, size, 3) + 0.1 * _noise(rng, size, 12)
    pigment += rng.uniform(-0.25, 0.5) * np.clip(inside, 0, 1)  # darker or lighter towards the middle
    if rng.random() < 0.5:
        frequency = np.float32(rng.uniform(22, 40))
        warp_x, warp_y = 0.05 * _noise(rng, size, 6), 0.05 * _noise(rng, size, 6)
        u, v = (x + warp_x) * frequency, (y + warp_y) * frequency
        # Three waves at 120 degrees make a honeycomb: light holes, dark lines between them.
        comb = np.cos(u) + np.cos(-0.5 * u + 0.866 * v) + np.cos(-0.5 * u - 0.866 * v)
        pigment += rng.uniform(0.1, 0.25) * (0.5 - comb) * np.clip(0.6 + _noise(rng, size, 3), 0, 1)
    if rng.random() < 0.4:
        pigment += rng.uniform(0.4, 0.9) * _blotch(rng, size, 26, 1.3)
    if rng.random() < 0.6:
        pigment += rng.uniform(0.3, 0.8) * _blotch(rng, size, 4, 0.8)
    return pigment.astype(np.float32, copy=False)


def _skin(rng: np.random.Generator, size: int) -> tuple[Field, Field, Field, Field]:
    """The tone (3,) of the skin around, its melanin (freckles) and blood beyond that tone, and its relief."""
    place = rng.beta(1.2, 2.2) * (len(SKIN_TONES) - 1)  # publishers' sets hold mostly light skin
    lower = int(place)
    tone = SKIN_TONES[lower] + (SKIN_TONES[lower + 1] - SKIN_TONES[lower]) * np.float32(place - lower)
    blood = np.clip(0.12 + 0.12 * _noise(rng, size, 5), 0, None)
    melanin = 0.05 * np.clip(_noise(rng, size, 7), 0, None)
    if rng.random() < 0.3:
        melanin += rng.uniform(0.15, 0.4) * _blotch(rng, size, 11, 1.8)
    relief = 0.020 * _noise(rng, size, 70) + 0.015 * _noise(rng, size, 25) + 0.02 * _noise(rng, size, 4)
    return tone, melanin, blood, relief


def _lamp(rng: np.random.Generator, x: Field, y: Field) -> Field:
    """Illumination: a slope across the image, and a fall to the corners that some instruments make nearly black."""
    slope = rng.uniform(0.0, 0.1)
    angle = rng.uniform(0, 2 * np.pi)
    distance = np.hypot(x, y)
    light = 1 + slope * (x * np.cos(angle) + y * np.sin(angle)) - rng.uniform(0.05, 0.2) * distance**2
    if rng.random() < 0.15:
        light = light / (1 + np.exp(np.clip((distance - rng.uniform(1.05, 1.25)) * 25, -30, 30)))
    return light.astype(np.float32)
