"""What a data set is to the rest of medbench: ids, groups, images and masks."""

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..bench.errors import MedbenchError
from ..bench.metrics import LESION, Target
from .masks import Levels
from .reading import read_image, read_levels, read_mask
from .tables import columns_of, id_of, read_rows, table_of

Part = Literal["train", "validation", "test"]
PUBLISHED: dict[Part, str] = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Problem:
    """Something wrong with a data set, in one line.

    `id` is that of an image; of a file that belongs to none it is `file`. `kind` is "error" where an image cannot be
    used as it stands, "note" where it can but somebody should look.
    """

    id: str
    file: str
    message: str
    kind: Literal["error", "note"] = "error"

    def __str__(self) -> str:
        return f"{self.file or self.id}: {self.message}"


@dataclass(frozen=True)
class Item:
    """An image, its mask if it has one, its group, and the part of the publisher's split that it belongs to."""

    id: str
    image: Path
    mask: Path | None
    group: str
    official: Part | None = None


class ImageSet(ABC):
    """Images with masks.

    Attributes:
        name: What reports call the set.
        ids: The images that have a mask, sorted.
        groups: For each id the key of its group (lesion, patient); the id itself where nothing is known.
        official: The part of the publisher's split, for those ids that have one.
        unmatched: What was found and could not be used: images without mask, masks without image, double ids.
        without_truth: The parts of the publisher's split none of whose images has a mask, with their numbers of images.
        target: What the codes of masks mean.
        channels: Of each image; 3 are RGB.
        modality: How images were made ("dermoscopy", "mri"), where it is known.
        spacing: Millimetres from pixel to pixel, down and to the right, where all images have the same.
        reading: What beside the bytes of files decides what is read of them; empty for sets without a description.
        is_described: Whether somebody said what its masks hold.
        label: The column of its tables that says something of an image as a whole, where one does.
        is_painted: Whether an artifact was painted over the images.
    """

    name: str
    ids: tuple[str, ...]
    groups: dict[str, str]
    official: dict[str, Part]
    unmatched: tuple[Problem, ...] = ()
    without_truth: Mapping[Part, int] = MappingProxyType({})
    target: Target = LESION
    channels: int = 3
    modality: str | None = None
    spacing: tuple[float, float] | None = None
    reading: str = ""
    is_described: bool = False
    label: str | None = None
    is_painted: bool = False

    @property
    def original(self) -> "ImageSet":
        """The set as its files are: itself, or what lies under all that its images are seen through."""
        return self

    @property
    def shown(self) -> "ImageSet":
        """The set that pictures for people are of: itself, or with the hair that a model does not see."""
        return self

    @property
    def is_local(self) -> bool:
        """Whether an artifact was painted that covers a part of the image, so that `painted` says where."""
        return False

    @property
    def is_wide(self) -> bool:
        """Whether images have more than 8 bits, or are floats: they are seen through a `WindowedSet`."""
        return False

    @abstractmethod
    def image(self, id: str) -> NDArray[Any]:
        """The image, (H, W, channels) uint8; as stored where the set `is_wide`."""

    def painted(self, id: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The image, and (H, W) where a painted artifact changed it visibly: nowhere, where none was."""
        image = self.image(id)
        return image, np.zeros(image.shape[:2], np.bool_)

    @abstractmethod
    def mask(self, id: str) -> NDArray[np.bool_] | NDArray[np.uint8]:
        """The mask, (H, W): True inside the lesion, or uint8 codes where `target` has several names or ignores some."""

    @abstractmethod
    def digest(self, id: str) -> str:
        """SHA-256 of the content of image and mask, in hexadecimal digits."""

    def files(self, id: str) -> tuple[Path, ...]:
        """Image file and mask files, or nothing for a set that computes its images."""
        return ()

    def levels(self, id: str) -> dict[str, Levels]:
        """What a mask holds where that is to be read by the rules of black and white, by label, "" for the only one;
        nothing where levels are classes."""
        return {"": Levels(self.mask(id).astype("u1"), 1)}

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the tables that say something of its images; empty where there is none."""
        return ()

    def labels_of(self, column: str) -> dict[str, str]:
        """What the set's tables say of each image in a column; images of which they say nothing are left out.

        Raises:
            MedbenchError: there is no table, none has the column or two have, or one says two things of one image.
        """
        raise MedbenchError(f"{self.name}: has no table of its images, and so no column {column!r}")

    def leave_out(self, ids: Collection[str]) -> None:
        """Forgets these images."""
        self.ids = tuple(id for id in self.ids if id not in ids)

    def __len__(self) -> int:
        return len(self.ids)


class FileSet(ImageSet):
    """Images and masks in files below `root`; `digest` is that of the image's bytes followed by the mask's.

    A publisher may offer a part's images before its masks: such a part is one note, and a single image without its mask
    an error.
    """

    def __init__(self, name: str, root: Path, items: Iterable[Item], unmatched: Iterable[Problem] = ()) -> None:
        items = list(items)
        self.name = name
        self.root = root
        self._pairs: Mapping[str, tuple[Path, Path]] = {
            item.id: (item.image, item.mask) for item in items if item.mask is not None
        }
        self.ids = tuple(sorted(self._pairs))
        self.groups = {item.id: item.group for item in items if item.mask is not None}
        self.official = {item.id: item.official for item in items if item.mask is not None and item.official}
        known = set(self.official.values())
        self.without_truth = Counter(
            item.official for item in items if item.mask is None and item.official and item.official not in known
        )
        alone = (
            Problem(item.id, self.relative(item.image), "no mask")
            for item in items
            if item.mask is None and item.official not in self.without_truth
        )
        parts = (
            Problem(PUBLISHED[part], "", f"{n:,} images and no ground truth; no split uses them", "note")
            for part, n in self.without_truth.items()
        )
        self.unmatched = (*unmatched, *alone, *parts)
        self.tables: tuple[Path, ...] = ()
        self.column = "image"  # of the tables: which image a row tells of
        self._told: dict[str, dict[str, str]] = {}  # by column, read once

    def image(self, id: str) -> NDArray[Any]:
        return read_image(self.files(id)[0])

    def mask(self, id: str) -> NDArray[np.bool_] | NDArray[np.uint8]:
        return read_mask(self.files(id)[1])

    def levels(self, id: str) -> dict[str, Levels]:
        return {"": read_levels(self.files(id)[1])}

    @property
    def columns(self) -> tuple[str, ...]:
        return columns_of(*self.tables)

    def labels_of(self, column: str) -> dict[str, str]:
        if not self.tables:
            raise MedbenchError(
                f"{self.name}: no table says anything of its images; put labels.csv with the columns {self.column} and "
                f"{column} into {self.root}"
            )
        if column not in self._told:
            told: dict[str, str] = {}
            table = table_of(self.tables, column)
            for row in read_rows(table, (self.column, column)):
                id, value = id_of(row[self.column]), row[column].strip()
                if value and told.setdefault(id, value) != value:
                    raise MedbenchError(f"{table}: {column} of {id} is {told[id]} and {value}; keep one row of it")
            self._told[column] = told
        told = self._told[column]
        return {id: told[id] for id in self.ids if id in told}

    def digest(self, id: str) -> str:
        try:
            content = b"".join(path.read_bytes() for path in self.files(id))
            return hashlib.sha256(self.reading.encode() + content).hexdigest()
        except OSError as error:
            raise MedbenchError(f"{error.filename}: cannot be read ({error.strerror})") from error

    def files(self, id: str) -> tuple[Path, ...]:
        return self._pairs[id]

    def relative(self, path: Path) -> str:
        """The path below the set's root, with forward slashes: the same on every machine."""
        return path.relative_to(self.root).as_posix()
