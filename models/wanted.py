"""What a data set asks of a network, and the option that may make it so.

Shapes: B = batch, K = maps, H, W = height and width of the image.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from .catalog import builder


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a data set asks of a network.

    Attributes:
        maps: K, channels of the logits.
        channels: of the images.
        overlap: whether several maps are labels that a pixel may have at once, else classes of which it has one.
        options: the names that the network's constructor takes.
    """

    maps: int
    channels: int
    overlap: bool
    options: Sequence[str]

    @property
    def shape(self) -> str:
        return f"(B, {self.maps}, H, W)"

    def remedy(self, names: Sequence[str], value: int, what: str) -> str:
        """The option to write, where the network takes one alone of these names, else what such an option may be."""
        fitting = [each for each in self.options if each in names]
        if len(fitting) == 1:
            return f"say options: {{{fitting[0]}: {value}}}"
        usual = fitting[0] if fitting else names[1]
        return (
            f"an option of its constructor may set the number of {what} to {value}, as in options: {{{usual}: {value}}}"
        )


def options_of(name: str, network: nn.Module) -> Sequence[str]:
    """The names that the constructor of a network takes, or the function that gave it, as its model's name says."""
    is_own = ":" in name and not name.startswith("smp:")
    try:
        return [*inspect.signature(builder(name) if is_own else type(network)).parameters]
    except ValueError:  # of some that are not written in Python
        return []
