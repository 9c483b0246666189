"""A data set with an artifact on every image."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...bench.store.records import short_id
from ..base import ImageSet
from .painting import LOCAL, paint

VERSION = 2  # of the pictures: raised when a kind or severity comes out differently


class PaintedSet(ImageSet):
    """The images `ids` of another set under one artifact; masks, groups and official parts are its own.

    Args:
        base: the clean set.
        ids: which of its images.
        kind: a key of `ARTIFACTS`.
        severity: 1 to 5.
        seed: for other artifacts on the same images.
    """

    def __init__(self, base: ImageSet, ids: Sequence[str], *, kind: str, severity: int, seed: int = 0) -> None:
        self.base = base
        self.kind, self.severity, self.seed = kind, severity, seed
        self.name, self.target, self.channels, self.modality = base.name, base.target, base.channels, base.modality
        self.label, self.is_painted = base.label, True
        self.ids = tuple(sorted(ids))
        self.groups = {id: base.groups[id] for id in self.ids}
        self.official = {id: base.official[id] for id in self.ids if id in base.official}

    @property
    def original(self) -> ImageSet:
        return self.base.original

    @property
    def is_local(self) -> bool:
        return self.kind in LOCAL

    def image(self, id: str) -> NDArray[np.uint8]:
        return self.painted(id)[0]

    def mask(self, id: str) -> NDArray[np.bool_] | NDArray[np.uint8]:
        return self.base.mask(id)

    def artifact_mask(self, id: str) -> NDArray[np.bool_]:
        """(H, W), True where the artifact changed the image visibly; painted anew, `Arrays.artifact` remembers it."""
        return self.painted(id)[1]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.base.columns

    def labels_of(self, column: str) -> dict[str, str]:
        told = self.base.labels_of(column)
        return {id: told[id] for id in self.ids if id in told}

    def digest(self, id: str) -> str:
        return self.digest_over(self.base.digest(id))

    def digest_over(self, clean: str) -> str:
        """The digest of a painted image, given that of the clean one."""
        return short_id([VERSION, clean, self.kind, self.severity, self.seed])

    def painted(self, id: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Image and artifact mask of one painting."""
        return paint(self.base.image(id), id=id, kind=self.kind, severity=self.severity, seed=self.seed)
