"""What a table of models says of each: its class, its options, where it was published, what it costs. Without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Cost:
    """What `counting.cost` counts for one 256x256 image; a test counts again."""

    parameters: int
    macs: int
    weight_bytes: int
    activation_bytes: int


@dataclass(frozen=True, slots=True)
class Paper:
    """Where a model was published, and with what costs.

    Attributes:
        reference: authors, short title and place, as in "Valanarasu and Patel, MICCAI".
        year: of that place.
        link: a DOI or arXiv address.
        parameters: as printed, None where the paper does not say.
        macs: multiply-accumulates of one 256x256 image as printed; papers call them FLOPs too.
        reason: why ours differ, where they do by more than 3 %.
    """

    reference: str
    year: int
    link: str
    parameters: float | None = None
    macs: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """A class of this package.

    Attributes:
        module: below `medbench.models`, as in "medlitenet" or "peers.unext".
        name: of the class.
        options: that its constructor names; known here so that a misspelt one is told without torch.
        later: those of them that came after trials were trained: a configuration has them where they are not the
            default, so that what was trained without keeps its id.
        parts_of: those that say nothing where the option that they belong to is off, by the name of that option.
    """

    module: str
    name: str
    options: tuple[str, ...]
    later: tuple[str, ...] = ()
    parts_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A family with some of its options set."""

    description: str
    family: str
    options: Mapping[str, Any]
    cost: Cost
    paper: Paper | None = None
