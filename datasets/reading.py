"""Decoding of images and masks as people really save them.

Files are read as bytes first, so that any path works that Python can open, and what cannot be decoded to its last
row is refused: half an image would train and score without a word.
"""

import io
import struct
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..bench.errors import MedbenchError

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
FORMATS = ("BMP", "JPEG", "PNG")  # whatever a file is called; Pillow would try forty others

JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"

FLAT_SHARE = 0.75  # the noise of a white mask stays above this share of its brightest level, a second class below it


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image as (H, W, 3) RGB, 8 bits, upright.

    Grey and palette images become RGB, alpha is dropped, the EXIF orientation is applied. 16-bit images keep their
    high byte, except grey ones that use no level above 255: they are 8-bit images in a wide file.
    """
    data = _bytes(path)
    # OpenCV decodes JPEG three times as fast as Pillow, turned by EXIF too, but accepts a file that ends early.
    if data.startswith(JPEG_START) and not _is_cut_jpeg(data):
        with suppress(cv2.error):  # what OpenCV cannot take, Pillow takes or names
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)  # pyright: ignore
    image = _decode(path, data)
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64)
        narrow = levels if levels.max() <= 255 else levels >> 8
        return np.repeat(narrow.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return np.array(_coloured(image).convert("RGB"))


def read_mask(path: Path) -> NDArray[np.bool_]:
    """A mask as (H, W), True inside the lesion, upright. See `mask_levels` and `binarise` for the rules."""
    return binarise(mask_levels(path))


def mask_levels(path: Path) -> NDArray[np.integer]:
    """The grey levels (H, W) of a mask file, in whatever range the file uses.

    Grey files give their levels, coloured ones the brightest of red, green and blue. Where these are flat, the alpha
    channel does the work if it is not; else the palette's indices. A coloured file of one brightness (a red lesion on
    a green ground) does not say which side is the lesion and is refused.
    """
    image = _decode(path, _bytes(path))
    if image.mode in {"1", "L"} or image.mode.startswith("I"):
        levels = np.asarray(image)
        return levels.astype(np.uint8) if levels.dtype == np.bool_ else levels
    indices = np.asarray(image) if image.mode == "P" else None
    rgba = np.asarray(_coloured(image).convert("RGBA"))
    brightest = rgba[..., :3].max(axis=2)
    for levels in (brightest, rgba[..., 3]):
        if not _is_flat(levels):
            return levels
    if not all(_is_flat(rgba[..., channel]) for channel in range(3)):
        raise MedbenchError(f"{path}: the mask's colours are equally bright; save it with a black background")
    return brightest if indices is None or indices.min() == indices.max() else indices


def binarise(levels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Lesion where a level lies above the middle of the range in use.

    The range in use is lowest to highest level, so 0/1, 0/255 and 0/65535 need no telling apart, and grey rims fall
    to the nearer side. A mask of one level is full, or empty if that level is 0; so is one whose levels all lie within
    the top quarter (250 to 255: a full mask saved as JPEG).

    >>> binarise(np.array([0, 100, 200, 255])).tolist()
    [False, False, True, True]
    >>> binarise(np.array([1, 1])).tolist()
    [True, True]
    """
    if _is_flat(levels):
        return levels > 0
    return levels > (int(levels.min()) + int(levels.max())) / 2


def grey_share(levels: NDArray[np.integer]) -> float:
    """Share of a mask's pixels, in [0, 1], that lie off both ends of the range in use by more than a tenth of it."""
    low, high = float(levels.min()), float(levels.max())
    rim = (high - low) / 10
    return float(np.mean((levels > low + rim) & (levels < high - rim)))


def _is_flat(levels: NDArray[np.integer]) -> bool:
    """Whether all levels count as one: equal, or within the top quarter of the brightest."""
    low, high = int(levels.min()), int(levels.max())
    return low == high or low > high * FLAT_SHARE


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MedbenchError(f"{path}: cannot be read ({error.strerror or error})") from error


def _decode(path: Path, data: bytes) -> Image.Image:
    """The whole image, turned upright; what ends early or is no image raises MedbenchError."""
    try:
        if _is_cut_jpeg(data):
            raise EOFError
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        image.load()
        return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        reason = "the file is empty" if not data else "not a JPEG, PNG or BMP image, or cut short"
        raise MedbenchError(f"{path}: cannot be decoded ({reason}); download or save it again") from error


def _is_cut_jpeg(data: bytes) -> bool:
    """Whether a JPEG's last scan has no end: Pillow notices that too, but not if zeros fill the file to its full size.

    Inside a scan 0xFF is followed by 0 or a restart marker, so that the two markers cannot occur there by chance.
    """
    return data.startswith(JPEG_START) and data.rfind(JPEG_END) < data.rfind(JPEG_SCAN)


def _coloured(image: Image.Image) -> Image.Image:
    """A palette image with its transparency made an alpha channel: Pillow warns when it has to guess."""
    return image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image
