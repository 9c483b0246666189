"""What files hold, pixel by pixel, as it was stored: images of any depth and number of channels, masks of classes.

NumPy arrays are never unpickled. The first axis of an array, in NIfTI files too, runs down the image.
"""

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...bench.errors import MedbenchError, first_line
from ..masks import Levels
from ..reading import (
    JPEG_START,
    MAX_LEVEL,
    MORE_ENDINGS,
    coloured,
    decode,
    ending_of,
    read_bytes,
    read_image,
    read_levels,
)

PNG_START, PNG_END, TIFF_STARTS = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82", (b"II*\0", b"MM\0*")
BITS, SAMPLES = 258, 277  # TIFF tags
MOST_COLOUR = 16  # of 255: what compression leaves between the channels of a grey JPEG
AGAIN = "download or save it again"
NOT_FINITE = "holds NaN or infinite values; replace them"


class ChannelsError(MedbenchError):
    """An image has other channels than it should; `found` says which."""

    def __init__(self, path: Path, found: str, remedy: str) -> None:
        super().__init__(f"{path}: {found}; {remedy}")
        self.found = found


def read_values(path: Path, channels: int) -> NDArray[Any]:
    """An image as (H, W, channels), upright, as stored: uint8, uint16, int16 or finite float32.

    Of three channels, grey becomes RGB and alpha is dropped, as in `read_image`; of one, RGB without colours becomes
    grey. Other numbers must be the file's. A TIFF of several grey pages holds a channel a page.
    """
    if ending_of(path).lower() in MORE_ENDINGS:
        return _fitted(path, _numbers(path, read_array(path)), channels)
    data = read_bytes(path)
    if _is_deep(data):
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if _is_whole(data) else None
        if stored is None:
            raise MedbenchError(f"{path}: cannot be decoded (cut short, or more than 4 channels); save it as .npy")
        order = [2, 1, 0, 3][: stored.shape[2]] if stored.ndim == 3 else slice(None)
        return _fitted(path, _numbers(path, stored[..., order]), channels)
    if data.startswith(TIFF_STARTS) and channels not in (1, 3) and (pages := _pages(path, data)) is not None:
        return _fitted(path, _numbers(path, pages), channels)
    if channels == 3 and data.startswith(JPEG_START):
        return read_image(path)  # by OpenCV, three times as fast
    image = decode(path, data)
    if image.mode[0] in "IF":
        return _fitted(path, _numbers(path, np.asarray(image)), channels)
    if channels == 4 and image.mode == "RGBA":
        return np.asarray(image)
    is_grey = image.mode in ("1", "L", "LA")
    return _fitted(path, np.asarray(image.convert("L") if is_grey else coloured(image).convert("RGB")), channels)


def read_codes(path: Path) -> NDArray[np.int32]:
    """The level of each pixel of a mask of classes, (H, W): grey levels, or the indices of a palette."""
    if ending_of(path).lower() in MORE_ENDINGS:
        values = _flat(path, read_array(path))
    else:
        data = read_bytes(path)
        if data.startswith(JPEG_START):
            raise MedbenchError(f"{path}: JPEG moves the levels of classes; save masks as PNG")
        image = decode(path, data)
        values = np.asarray(image.convert("L") if image.mode == "LA" else image)
        if values.ndim == 3:
            colours = values[..., :3]
            if (colours != colours[..., :1]).any():
                raise MedbenchError(
                    f"{path}: holds colours; save the number of each pixel's class, as grey or palette PNG"
                )
            values = colours[..., 0]
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.round(values)).all()):
        raise MedbenchError(f"{path}: holds fractions; save the number of each pixel's class")
    if values.min() < 0 or values.max() > MAX_LEVEL:
        raise MedbenchError(f"{path}: has levels from {values.min():g} to {values.max():g}; use 0 to {MAX_LEVEL}")
    return values.astype(np.int32)


def read_structure(path: Path, *, by_index: bool = True) -> Levels:
    """What a mask of one structure holds; see `read_levels`. Of a palette the indices count where they are 0 and 1,
    unless `by_index` is False."""
    if ending_of(path).lower() in MORE_ENDINGS:
        values = _flat(path, read_array(path))
        if values.dtype.kind == "f":
            if not np.isfinite(values).all():
                raise MedbenchError(f"{path}: {NOT_FINITE}")
            values = values.astype(np.int32) if (values == np.round(values)).all() else values
        if values.min() < 0 or values.max() > (1 if values.dtype.kind == "f" else MAX_LEVEL):
            raise MedbenchError(f"{path}: has values from {values.min():g} to {values.max():g}; save a mask as 0 and 1")
        top = 1 if values.dtype.kind in "bf" else 255 if values.dtype == np.uint8 else MAX_LEVEL
        return Levels(values.astype(np.uint8) if values.dtype == np.bool_ else values, top)
    data = read_bytes(path)
    if by_index and not data.startswith(JPEG_START) and (image := decode(path, data)).mode == "P":
        indices = np.asarray(image)
        if indices.max() <= 1:
            return Levels(indices, 255, source="palette")
    return read_levels(path)


def read_array(path: Path) -> NDArray[Any]:
    """The array of a .npy file or of a NIfTI slice, without axes of length 1 behind the second."""
    if ending_of(path).lower() == ".npy":
        try:
            array = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise MedbenchError(f"{path}: cannot be decoded (no array of numbers, or cut short); {AGAIN}") from error
    else:
        try:
            import nibabel
        except ImportError as error:
            raise MedbenchError(f"{path}: NIfTI files need nibabel: pip install 'medbench[nifti]'") from error
        read_bytes(path)  # what cannot be opened is told as of other files
        try:
            array = np.asanyarray(nibabel.load(path).dataobj)  # pyright: ignore
        except Exception as error:  # nibabel's own, gzip's, zlib's
            raise MedbenchError(f"{path}: cannot be decoded as NIfTI ({first_line(error)}); {AGAIN}") from error
        while array.ndim > 2 and array.shape[-1] == 1:
            array = array[..., 0]
        if array.ndim > 2:
            shape = " x ".join(map(str, array.shape))
            raise MedbenchError(f"{path}: is a volume of {shape}; save its slices, each as a file")
    if array.dtype.kind not in "buif" or array.ndim not in (2, 3) or not array.size:
        raise MedbenchError(f"{path}: holds {array.dtype} of the shape {array.shape}, not numbers (H, W) or (H, W, C)")
    return array


def _flat(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2:
        raise MedbenchError(f"{path}: a mask is (H, W), this has the shape {array.shape}")
    return array


def _numbers(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    """The same in the narrowest of the four kinds, bytes being left to bytes."""
    if values.dtype == np.bool_:
        raise MedbenchError(f"{path}: holds True and False, no image")
    if values.dtype in (np.uint8, np.uint16, np.int16):
        return values
    low, high = values.min(), values.max()
    if values.dtype.kind in "ui":
        for kind in (np.int16, np.uint16):
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                return values.astype(kind)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise MedbenchError(f"{path}: {NOT_FINITE}")
    return values.astype(np.float32)


def _fitted(path: Path, values: NDArray[Any], channels: int) -> NDArray[Any]:
    """(H, W, channels) of (H, W) or (H, W, C)."""
    found = values[..., None] if values.ndim == 2 else values
    n = found.shape[2]
    if channels == 3 and n in (1, 4):
        return np.repeat(found, 3, axis=2) if n == 1 else found[..., :3]
    if channels == 1 and n in (3, 4):
        if has_colours(found):
            raise ChannelsError(path, "is in colour", "say channels: 3 in dataset.yaml, or save it as grey")
        return found[..., 1:2]
    if n != channels:
        raise ChannelsError(path, f"has {n} channels (shape {found.shape})", f"dataset.yaml says channels: {channels}")
    return found


def has_colours(values: NDArray[Any]) -> bool:
    """Whether the first three channels of an image (H, W, 3 or more) differ by more than compression makes them."""
    colours = values[..., :3].astype(np.float32)
    top = 255 if values.dtype == np.uint8 else float(np.abs(colours).max())
    return bool(np.ptp(colours, axis=2).max() > MOST_COLOUR / 255 * top)


def _is_deep(data: bytes) -> bool:
    """Whether a PNG or TIFF file has several channels of more than 8 bits, which Pillow makes 8 or does not read."""
    if data.startswith(PNG_START):
        return len(data) > 25 and data[24] == 16 and data[25] != 0
    if not data.startswith(TIFF_STARTS):
        return False
    order, bits, samples = "<" if data.startswith(b"II") else ">", 1, 1
    try:
        (start,) = struct.unpack_from(f"{order}L", data, 4)
        (n_tags,) = struct.unpack_from(f"{order}H", data, start)
        for at in range(start + 2, start + 2 + 12 * n_tags, 12):
            tag, _, count = struct.unpack_from(f"{order}HHL", data, at)
            if tag == SAMPLES:
                (samples,) = struct.unpack_from(f"{order}H", data, at + 8)
            if tag == BITS:  # of each channel; two have room in the tag itself
                (where,) = struct.unpack_from(f"{order}L", data, at + 8) if count > 2 else (at + 8,)
                (bits,) = struct.unpack_from(f"{order}H", data, where)
    except struct.error:
        return True  # cut short, which OpenCV says; Pillow would warn first
    return samples > 1 and bits > 8


def _is_whole(data: bytes) -> bool:
    """Whether a PNG file has its last chunk; OpenCV fills up what is missing. Of TIFF it says that it is cut."""
    return not data.startswith(PNG_START) or PNG_END in data[-64:]


def _pages(path: Path, data: bytes) -> NDArray[Any] | None:
    """(H, W, pages) of a TIFF of several grey pages of one size, None where it is none."""
    try:
        image = Image.open(io.BytesIO(data), formats=("TIFF",))
        n_pages = getattr(image, "n_frames", 1)
        if n_pages < 2:
            return None
        pages: list[NDArray[Any]] = []
        for page in range(n_pages):
            image.seek(page)
            pages.append(np.asarray(image))
    except Exception as error:
        raise MedbenchError(f"{path}: cannot be decoded ({first_line(error)}); {AGAIN}") from error
    if pages[0].ndim != 2 or any(page.shape != pages[0].shape for page in pages):
        raise MedbenchError(f"{path}: its pages differ in size, or are in colour; save them as .npy (H, W, channels)")
    return np.stack(pages, axis=2)
