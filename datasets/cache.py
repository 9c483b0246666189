"""Images and masks at training size, decoded and painted once and mapped into memory afterwards.

A cache file holds one record an image (image, then mask, both uint8) and ends with the SHA-256 of all before. Where an
artifact covers a part of the images, its masks at the images' own sizes lie between, compressed bits and then a table
of where each lies: evaluations ask for them, and painting is what takes long. A file appears under its name by a
rename, whole; one that is cut short or altered all the same is built again. Builders that meet write the same bytes, so
the last rename wins and nobody waits.
"""

import hashlib
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bench.errors import MedbenchError
from ..bench.metrics import LESION, Target
from ..bench.store.records import short_id
from .base import ImageSet
from .resizing import squeeze, squeeze_codes

VERSION = 2  # of reading, resizing and of the file: raised when one of them changes
DEAD_AFTER_S = 3600
THREADS = 2  # decoding and resizing let go of Python's lock

DIGEST_BYTES = hashlib.sha256().digest_size
PLACE = np.dtype([("end", "<u8"), ("height", "<u4"), ("width", "<u4")])  # of a compressed mask among all


@dataclass(frozen=True)
class Arrays:
    """Read-only arrays mapped from disk.

    Attributes:
        images: (N, size, size, C) uint8; three channels are RGB.
        masks: (N, size, size) uint8 codes of `target`; of one structure 1 inside, else 0.
        row: The row of each id.
        artifacts: The compressed masks of an artifact, one after another, and where each lies; None without one.
        target: What the codes of masks mean.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    row: dict[str, int]
    artifacts: tuple[NDArray[np.uint8], NDArray[np.void]] | None = None
    target: Target = LESION

    @property
    def channels(self) -> int:
        """Of each image."""
        return self.images.shape[3]

    def artifact(self, id: str) -> NDArray[np.bool_] | None:
        """(H, W) of the image's own size, True where an artifact changed it; None if none covers a part of it."""
        if self.artifacts is None:
            return None
        content, places = self.artifacts
        row = self.row[id]
        height, width = int(places["height"][row]), int(places["width"][row])
        start = int(places["end"][row - 1]) if row else 0
        packed = zlib.decompress(content[start : int(places["end"][row])].tobytes())
        bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=height * width)
        return bits.view(np.bool_).reshape(height, width)


def load_arrays(
    image_set: ImageSet,
    ids: Iterable[str],
    size: int,
    cache: Path,
    digests: dict[str, str],
    progress: Callable[[int, int], None] | None = None,
) -> Arrays:
    """The images of `ids`, squeezed to squares of `size` pixels, built below `cache` if they are not there yet.

    Args:
        image_set: Where the images come from.
        ids: Which images; rows are in sorted order, without repetition.
        size: Pixels a side.
        cache: A folder, made if need be, that may be shared and may be deleted at any time.
        digests: Content of each id, from `inspect`; what changes there gets a cache of its own.
        progress: Called while building with the numbers of images done and to do.
    """
    ids = sorted(set(ids))
    if not ids:
        raise MedbenchError(f"{image_set.name}: no images to load")
    if missing := [id for id in ids if id not in digests]:
        raise MedbenchError(f"{image_set.name}: {missing[0]} could not be read; see medbench data verify")
    record = np.dtype([("image", np.uint8, (size, size, image_set.channels)), ("mask", np.uint8, (size, size))])
    path, is_painted = place_of(image_set, ids, size, cache, digests), image_set.is_local
    n_places = len(ids) * PLACE.itemsize if is_painted else 0
    if not _is_whole(path, len(ids) * record.itemsize + n_places, or_more=is_painted):
        _build(path, image_set, ids, size, progress)
    records = np.memmap(path, dtype=record, mode="r", shape=(len(ids),))
    artifacts = None
    if is_painted:
        more = np.memmap(path, mode="r", offset=records.nbytes)[:-DIGEST_BYTES]
        artifacts = more[:-n_places], np.frombuffer(more[-n_places:].tobytes(), PLACE)
    rows = {id: row for row, id in enumerate(ids)}
    return Arrays(records["image"], records["mask"], rows, artifacts, image_set.target)


def place_of(image_set: ImageSet, ids: Iterable[str], size: int, cache: Path, digests: dict[str, str]) -> Path:
    """The file that `load_arrays` maps, whether it is there or not."""
    more: list[Any] = ["with artifacts"] if image_set.is_local else []
    if image_set.channels != 3:
        more.append(image_set.channels)
    if not image_set.target.is_single or image_set.target.ignores:
        more.append(image_set.target.plain())
    key = short_id([VERSION, size, [digests[id] for id in sorted(set(ids))], *more])
    return cache / f"{image_set.name}-{size}-{key}.u8"


def _build(
    path: Path, image_set: ImageSet, ids: list[str], size: int, progress: Callable[[int, int], None] | None
) -> None:
    def record(id: str) -> tuple[bytes, bytes | None, tuple[int, int]]:
        packed = None
        if image_set.is_local:
            image, artifact = image_set.painted(id)
            packed = zlib.compress(np.packbits(artifact).tobytes())
        else:
            image = image_set.image(id)
        mask = image_set.mask(id)
        if image.shape[:2] != mask.shape:
            raise MedbenchError(f"{image_set.name}: {id}: image and mask differ in size; see medbench data verify")
        codes = squeeze_codes(mask, size, image_set.target)
        return squeeze(image, size).tobytes() + codes.tobytes(), packed, mask.shape

    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(".*.u8.*.tmp"):  # of builders that were killed; a living one writes all the time
        with suppress(FileNotFoundError):  # another builder cleans up too
            if time.time() - leftover.stat().st_mtime > DEAD_AFTER_S:
                leftover.unlink()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file, ThreadPoolExecutor(THREADS) as pool:
            digest = hashlib.sha256()
            artifacts: list[bytes] = []
            places: list[tuple[int, int, int]] = []
            try:
                for done, (content, packed, (height, width)) in enumerate(pool.map(record, ids), start=1):
                    file.write(content)
                    digest.update(content)
                    if packed is not None:
                        artifacts.append(packed)
                        places.append(((places[-1][0] if places else 0) + len(packed), height, width))
                    if progress:
                        progress(done, len(ids))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # else a failure would wait for all images that are left
                raise
            for content in (*artifacts, np.array(places, PLACE).tobytes()):
                file.write(content)
                digest.update(content)
            file.write(digest.digest())
        Path(name).chmod(0o644)  # mkstemp makes files that only their owner can read
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _is_whole(path: Path, n_bytes: int, *, or_more: bool) -> bool:
    """Whether the file is there, as long as it should be (or longer), and what its digest says."""
    found = path.stat().st_size - DIGEST_BYTES if path.is_file() else -1
    if found < n_bytes or (found > n_bytes and not or_more):
        return False
    n_bytes = found
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while n_bytes > 0:
            block = file.read(min(n_bytes, 1 << 20))
            if not block:
                return False
            digest.update(block)
            n_bytes -= len(block)
        return file.read() == digest.digest()
