"""A data set whose images are seen otherwise than they are stored."""

from abc import abstractmethod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .base import ImageSet
from .masks import Levels


class SeenSet(ImageSet):
    """Another set with other pixels: whoever derives says `image`, and `digest_over`; all else is the set's own."""

    def __init__(self, base: ImageSet) -> None:
        self.base = base
        self.name, self.ids, self.groups, self.official = base.name, base.ids, base.groups, base.official
        self.unmatched, self.without_truth = base.unmatched, base.without_truth
        self.target, self.channels, self.modality = base.target, base.channels, base.modality
        self.spacing, self.is_described, self.label = base.spacing, base.is_described, base.label
        self.is_painted = base.is_painted

    @property
    def original(self) -> ImageSet:
        return self.base.original

    @property
    def is_local(self) -> bool:
        return self.base.is_local

    def mask(self, id: str) -> NDArray[np.bool_] | NDArray[np.uint8]:
        return self.base.mask(id)

    def digest(self, id: str) -> str:
        return self.digest_over(self.base.digest(id))

    @abstractmethod
    def digest_over(self, stored: str) -> str:
        """The digest of an image as it is seen, given that of the image as stored."""

    def files(self, id: str) -> tuple[Path, ...]:
        return self.base.files(id)

    def levels(self, id: str) -> dict[str, Levels]:
        return self.base.levels(id)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.base.columns

    def labels_of(self, column: str) -> dict[str, str]:
        return self.base.labels_of(column)
