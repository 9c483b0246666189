"""A .npz file as MedSegBench offers them: images and masks of the publisher's three parts in six arrays."""

import hashlib
import zipfile
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bench.errors import MedbenchError
from ..base import PUBLISHED, ImageSet, Part
from ..masks import Levels
from .description import MAX_LEVEL, Description, description_at, read_description
from .formats import NOT_FINITE

PARTS: dict[Part, str] = {"train": "train", "validation": "val", "test": "test"}  # as its arrays call them
KINDS = (np.uint8, np.uint16, np.int16, np.float32)
BINARY = ({0, 1}, {0, 255})


class PackedSet(ImageSet):
    """The images of a .npz file, called `train-00000` and so on, in the parts in which they were published.

    Each array is unpacked once, when it is first needed, and stays in memory. Without a description beside the file,
    `NAME.yaml` for `NAME.npz`, masks must be 0 and 1 or 0 and 255.

    Raises:
        MedbenchError: the file is no such archive, an array is missing or does not fit, or masks hold other values.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        there = description_at(path)
        self.is_described = there is not None
        self.description = read_description(there) if there else Description()
        beside = there or path.with_suffix(".yaml")
        for key in ("labels", "table", "group", "label"):
            if getattr(self.description, key):
                raise MedbenchError(f"{beside}: {key}: goes with a folder of files, not with a .npz; leave it out")
        self.target, self.modality = self.description.target, self.description.modality
        self.spacing = self.description.spacing
        self._lock = RLock()
        self._arrays: dict[str, NDArray[Any]] = {}
        self._place: dict[str, tuple[Part, int]] = {}
        for part in PARTS:
            masks = self._array(part, "label")
            self._place |= {f"{part}-{index:05d}": (part, index) for index in range(len(masks))}
        if not self._place:
            raise MedbenchError(f"{path}: holds no images")
        self.ids = tuple(sorted(self._place))
        self.groups = {id: id for id in self.ids}
        self.official = {id: part for id, (part, _) in self._place.items()}
        self._check_masks(beside)
        images = self._array(self._place[self.ids[0]][0], "images")
        self.channels = 1 if images.ndim == 3 else images.shape[3]
        if "channels" in self.description.model_fields_set and self.description.channels != self.channels:
            raise MedbenchError(
                f"{beside}: channels: says {self.description.channels}, the images have {self.channels}; leave it out"
            )
        self.reading = self.description.reading

    @property
    def is_wide(self) -> bool:
        return self._array(self._place[self.ids[0]][0], "images").dtype != np.uint8

    def image(self, id: str) -> NDArray[Any]:
        part, index = self._place[id]
        image = self._array(part, "images")[index]
        return image.reshape(*image.shape[:2], self.channels)

    def mask(self, id: str) -> NDArray[np.bool_] | NDArray[np.uint8]:
        levels = self._levels(id)
        if not self.description.has_levels:
            return levels > 0
        codes = self.description.codes(levels, f"{self.path}: {id}")
        return codes > 0 if self.target.is_single and not self.target.ignores else codes

    def levels(self, id: str) -> dict[str, Levels]:
        return {} if self.description.has_levels else {"": Levels((self._levels(id) > 0).astype(np.uint8), 1)}

    def digest(self, id: str) -> str:
        image, levels = self.image(id), self._levels(id)
        told = repr([self.reading, image.shape, image.dtype.str, levels.dtype.str]).encode()
        return hashlib.sha256(told + image.tobytes() + levels.tobytes()).hexdigest()

    def files(self, id: str) -> tuple[Path, ...]:
        return (self.path,)

    def _levels(self, id: str) -> NDArray[Any]:
        part, index = self._place[id]
        levels = self._array(part, "label")[index]
        return levels.reshape(levels.shape[:2])

    def _check_masks(self, beside: Path) -> None:
        """MedbenchError where masks of one structure are neither 0 and 1 nor 0 and 255."""
        if self.description.has_levels:
            return
        used = set[Any]().union(*(np.unique(self._array(part, "label")).tolist() for part in PARTS))
        if not any(used <= both for both in BINARY):
            shown = ", ".join(f"{level:g}" for level in sorted(used)[:8]) + (", ..." if len(used) > 8 else "")
            raise MedbenchError(
                f"{self.path}: its masks hold {shown}, not 0 and 1 or 0 and 255; name the classes in {beside.name} "
                "beside it, as in classes: [background, cytoplasm, nucleus]"
            )

    def _array(self, part: Part, what: str) -> NDArray[Any]:
        """The images (N, H, W) or (N, H, W, channels) of a part, or its masks (N, H, W)."""
        name = f"{PARTS[part]}_{what}"
        with self._lock:
            if name not in self._arrays:
                self._arrays[name] = self._fitting(part, what, self._unpacked(name))
        return self._arrays[name]

    def _unpacked(self, name: str) -> NDArray[Any]:
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                known = [*arrays]
                if name in known:
                    return arrays[name]
        except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise MedbenchError(f"{self.path}: cannot be read as .npz of numbers; download it again") from error
        raise MedbenchError(
            f"{self.path}: has no array {name}, only {', '.join(known) or 'nothing'}; medbench reads train_images, "
            "train_label, val_images, val_label, test_images and test_label"
        )

    def _fitting(self, part: Part, what: str, array: NDArray[Any]) -> NDArray[Any]:
        name = f"{PARTS[part]}_{what}"
        if what == "label" and array.ndim == 4 and array.shape[3] == 1:
            array = array[..., 0]
        if what == "label" and array.dtype.kind in "bf" and (array == np.round(array)).all():
            array = array.astype(np.int32)
        axes, is_read = ((3,), array.dtype.kind in "ui") if what == "label" else ((3, 4), array.dtype in KINDS)
        if array.ndim not in axes or not is_read or (what == "label" and array.size and not _are_levels(array)):
            raise MedbenchError(
                f"{self.path}: {name} holds {array.dtype} of the shape {array.shape}, which is not read"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise MedbenchError(f"{self.path}: {name} {NOT_FINITE}")
        if what == "images" and array.shape[:3] != (masks := self._array(part, "label").shape):
            raise MedbenchError(f"{self.path}: {PUBLISHED[part]}: images of the shape {array.shape}, masks of {masks}")
        return array


def _are_levels(array: NDArray[Any]) -> bool:
    return bool(array.min() >= 0 and array.max() <= MAX_LEVEL)
