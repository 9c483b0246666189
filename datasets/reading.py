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
from .masks import Levels, coding_of

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
MORE_ENDINGS = frozenset({".npy", ".nii", ".nii.gz"})  # of sets with a description, see `described.formats`
FORMATS = ("BMP", "JPEG", "PNG", "TIFF")  # whatever a file is called; Pillow would try forty others

JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"

WIDE_MODES = frozenset({"I", "I;16", "I;16B", "F"})
MODES = WIDE_MODES | {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
PHOTOMETRIC = 262  # the TIFF tag that is 0 where 0 means white
MAX_LEVEL = 65535

FLAT_SHARE = 0.75  # channels whose levels all lie above this share of the brightest say nothing: look at another


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image as (H, W, 3) RGB, 8 bits, upright.

    Grey and palette images become RGB, alpha is dropped, the EXIF orientation is applied. 16-bit images keep their
    high byte, except grey ones that use no level above 255: they are 8-bit images in a wide file. Nothing else is made
    brighter: 12 bits in a wide file stay dark, which `inspect` notes, for a scale by content would differ from image to
    image.
    """
    data = read_bytes(path)
    # OpenCV decodes JPEG three times as fast as Pillow, turned by EXIF too, but accepts a file that ends early.
    if data.startswith(JPEG_START) and not _is_cut_jpeg(data):
        with suppress(cv2.error):  # what OpenCV cannot take, Pillow takes or names
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)  # pyright: ignore
    image = decode(path, data)
    if image.mode == "F":
        raise MedbenchError(f"{path}: an image of floating-point numbers is not read; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        levels = _wide(path, image)
        narrow = levels if levels.max() <= 255 else levels >> 8
        return np.repeat(narrow.astype(np.uint8)[..., None], 3, axis=2)
    return np.array(coloured(image).convert("RGB"))


def read_mask(path: Path) -> NDArray[np.bool_]:
    """A mask as (H, W), True inside the lesion, upright. See `read_levels` and `coding_of` for the rules."""
    levels = read_levels(path)
    coding = coding_of(levels)
    if coding.refusal:
        raise MedbenchError(f"{path}: {coding.refusal}")
    return levels.values > coding.cut


def read_levels(path: Path) -> Levels:
    """What a mask file holds.

    Grey files give their levels, floating-point ones from 0 to 1 or whole numbers, coloured ones the brightest of red,
    green and blue. Where these are flat, the alpha channel does the work if it is not; else the palette's indices. A
    coloured file of one brightness (a red lesion on a green ground) does not say which side is the lesion and is
    refused.
    """
    data = read_bytes(path)
    image = decode(path, data)
    is_lossy = data.startswith(JPEG_START) or "jpeg" in str(image.info.get("compression"))
    if image.mode == "1":
        return Levels(np.asarray(image).astype(np.uint8), 1)
    if image.mode == "L":
        return Levels(np.asarray(image), 255, is_lossy)
    if image.mode == "F":
        return _floats(path, np.asarray(image))
    if image.mode.startswith("I"):
        return Levels(_wide(path, image), MAX_LEVEL)
    rgba = np.asarray(coloured(image).convert("RGBA"))
    colours, alpha = rgba[..., :3], rgba[..., 3]
    brightest = colours.max(axis=2)
    is_grey = bool((colours == brightest[..., None]).all())
    if not _is_flat(brightest):
        return Levels(brightest, 255, is_lossy, colours=None if is_grey else colours)
    if not _is_flat(alpha):
        return Levels(alpha, 255, source="alpha")
    if not all(_is_flat(colours[..., channel]) for channel in range(3)):
        raise MedbenchError(f"{path}: the mask's colours are equally bright; save it with a black background")
    if image.mode == "P" and np.ptp(indices := np.asarray(image)):
        return Levels(indices, 255, source="palette")
    return Levels(brightest, 255, is_lossy)


def ending_of(path: Path) -> str:
    """A file's ending with its dot, both of two as in .nii.gz; empty where it has none."""
    return "".join(path.suffixes[-2:]) if path.suffix.lower() == ".gz" else path.suffix


def _wide(path: Path, image: Image.Image) -> NDArray[np.int32]:
    """Levels (H, W) of a grey image of 16 or 32 bits, 0 to 65535."""
    levels = np.asarray(image).astype(np.int32)
    if levels.min() < 0 or levels.max() > MAX_LEVEL:
        raise MedbenchError(f"{path}: has levels from {levels.min()} to {levels.max()}; save it with 8 or 16 bits")
    return levels


def _floats(path: Path, values: NDArray[np.float32]) -> Levels:
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return Levels(values, 1)
    if low >= 0 and high <= MAX_LEVEL and (values == np.round(values)).all():
        return Levels(values.astype(np.int32), MAX_LEVEL)
    raise MedbenchError(f"{path}: has values from {low:g} to {high:g}; save a mask as 0 and 1, probabilities between")


def _is_flat(levels: NDArray[np.integer]) -> bool:
    """Whether all levels count as one: equal, or within the top quarter of the brightest."""
    low, high = int(levels.min()), int(levels.max())
    return low == high or low > high * FLAT_SHARE


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MedbenchError(f"{path}: cannot be read ({error.strerror or error})") from error


def decode(path: Path, data: bytes) -> Image.Image:
    """The whole image, turned upright; what ends early or is no image raises MedbenchError."""
    try:
        if _is_cut_jpeg(data):
            raise EOFError
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        n_pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
        image.load()
        upright = ImageOps.exif_transpose(image)
    except (OSError, ValueError, TypeError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        reason = "the file is empty" if not data else "not a JPEG, PNG, BMP or TIFF image, or cut short"
        raise MedbenchError(f"{path}: cannot be decoded ({reason}); download or save it again") from error
    if n_pages > 1:
        raise MedbenchError(f"{path}: holds {n_pages} pages; save the one that is meant as a file of its own")
    is_inverted = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == 0  # pyright: ignore
    if image.mode not in MODES or (is_inverted and image.mode in WIDE_MODES):  # Pillow inverts only 8 bits
        raise MedbenchError(f"{path}: its kind of pixels ({image.mode}) is not read; save it as PNG")
    return upright


def _is_cut_jpeg(data: bytes) -> bool:
    """Whether a JPEG's last scan has no end: Pillow notices that too, but not if zeros fill the file to its full size.

    Inside a scan 0xFF is followed by 0 or a restart marker, so that the two markers cannot occur there by chance.
    """
    return data.startswith(JPEG_START) and data.rfind(JPEG_END) < data.rfind(JPEG_SCAN)


def coloured(image: Image.Image) -> Image.Image:
    """A palette image with its transparency made an alpha channel: Pillow warns when it has to guess."""
    return image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image
