"""What is looked for in an image: one structure, classes of which every pixel has one, or labels that may overlap.

Shapes: H, W = height and width, K = what is scored (`names`), C = channels of a model's logits (`n_maps`).

A mask holds a code a pixel. Of one structure: 0 and 1. Of classes: 0 for the background, then 1, 2, ... in the order of
the names. Of labels: a bit each, the first name's the lowest. Where a set says so, 255 marks pixels that nobody
labelled: no loss and no score counts them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED = 255
MOST_CLASSES, MOST_LABELS = 254, 8  # what a byte holds


@dataclass(frozen=True, slots=True)
class Target:
    """What the codes of a mask mean.

    Attributes:
        names: of what is scored, the background left out.
        overlap: whether a pixel may have several of them.
        ignores: whether the code `IGNORED` marks pixels that do not count; never with `overlap`.
        background: what the rest is called.
    """

    names: tuple[str, ...]
    overlap: bool = False
    ignores: bool = False
    background: str = "background"

    @property
    def is_single(self) -> bool:
        """Whether one structure is looked for: one map of logits, in all else as with masks of black and white. Where
        pixels are ignored, evaluations score it as a class (see `score_classes`), with false alarms apart."""
        return len(self.names) == 1

    @property
    def n_maps(self) -> int:
        """Channels of the logits: one for one structure or a label each, with one for the background for classes."""
        return len(self.names) + (not self.is_single and not self.overlap)

    def planes(self, codes: NDArray[Any]) -> NDArray[np.bool_]:
        """(K, ...) where each of `names` is, of codes (...); ignored pixels have nothing.

        >>> Target(("edge", "core")).planes(np.array([0, 2, 1, 255])).astype(int).tolist()
        [[0, 0, 1, 0], [0, 1, 0, 0]]
        >>> Target(("edge", "core"), overlap=True).planes(np.array([0, 2, 3])).astype(int).tolist()
        [[0, 0, 1], [0, 1, 1]]
        """
        if self.overlap:
            return np.stack([codes & (1 << index) > 0 for index in range(len(self.names))])
        return np.stack([codes == index + 1 for index in range(len(self.names))])

    def codes(self, planes: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """(...) codes of planes (K, ...); of classes that meet, the last one stays."""
        codes = np.zeros(planes.shape[1:], np.uint8)
        for index, plane in enumerate(planes):
            codes[plane] = codes[plane] | 1 << index if self.overlap else index + 1
        return codes

    def counted(self, codes: NDArray[Any]) -> NDArray[np.bool_] | None:
        """(...) the pixels that count; None where all do."""
        return codes != IGNORED if self.ignores else None

    def plain(self) -> dict[str, Any]:
        """As configurations say it: `classes` with the background first, or `labels`; and `ignores`."""
        named = {"labels": [*self.names]} if self.overlap else {"classes": [self.background, *self.names]}
        return named | ({"ignores": True} if self.ignores else {})

    @classmethod
    def of(cls, plain: Mapping[str, Any] | None) -> "Target":
        """The reverse; None is a lesion."""
        if plain is None:
            return LESION
        if "labels" in plain:
            return cls(tuple(plain["labels"]), overlap=True)
        background, *names = plain["classes"]
        return cls(tuple(names), ignores=plain.get("ignores", False), background=background)


LESION = Target(("lesion",), background="skin")
