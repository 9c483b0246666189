"""What a model gives, and how the outputs of a network of anybody's are read.

Shapes: B = batch, K = maps, C = channels, H, W = height and width of the image. A model gives logits (B, K, H, W), in
training also `Outputs`, with heads always.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bench.errors import MedbenchError

KINDS = {"logits": (1,), "probabilities": (1, 2), "softmax": (2,)}  # with the channels that one map may be read from
ARTIFACT = "artifact"  # the auxiliary map of a model that `learns_artifacts`
EPSILON = 1e-6  # probabilities closer to 0 or 1 have no finite logit in single precision


class Outputs(NamedTuple):
    """What a model may give beside the map that counts: more maps in training, and what it says of the whole image.

    Attributes:
        logits: the main map, (B, K, H, W).
        auxiliary: logits of the same target by name, (B, K, H, W) each, or (B, 1, H, W): of several classes or labels
            then where any of them is. That called `ARTIFACT` is of where an artifact is painted.
        weights: of each auxiliary map's loss, by the same names; the main map's is 1.
        labels: logits (B, n) of the classes of each image-level task, by its name.
    """

    logits: Tensor
    auxiliary: dict[str, Tensor]
    weights: dict[str, float]
    labels: dict[str, Tensor] = {}  # noqa: RUF012 (nobody writes into it)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a network's outputs become logits: `output` and `deep_supervision` of a variant.

    Attributes:
        index: of the map that counts, where there are several, counted through tuples within tuples.
        key: its name, where they are named.
        kind: "logits" (K channels); "probabilities" (K channels in [0, 1], of classes summing to 1; of one structure
            two such channels too, the structure last); "softmax" (two channels before the softmax, background and
            structure). None: nobody said, so logits.
        kind_in_eval: the same where it is another in evaluation.
        upsample: whether smaller maps are interpolated (bilinear) to the size of the image.
        deep_supervision: weights of the losses of all other maps in training, in the order in which they come.
        bottleneck: the part of the network that heads of image-level tasks see, as in "encoder.layer4".
    """

    index: int | None = None
    key: str | None = None
    kind: str | None = None
    kind_in_eval: str | None = None
    upsample: bool = False
    deep_supervision: Sequence[float] = ()
    bottleneck: str | None = None

    @property
    def is_silent(self) -> bool:
        """Whether nothing is said of the maps."""
        return dataclasses.replace(self, bottleneck=None) == Reading()

    def kind_of(self, training: bool) -> str | None:
        """What the network gives in this mode, None where nobody said."""
        return self.kind if training else self.kind_in_eval or self.kind

    def main(self, maps: Mapping[str, Tensor]) -> str:
        """The name of the map that counts; one alone needs no saying.

        Raises:
            MedbenchError: it is not told, or not among these.
        """
        names = [*maps]
        if len(names) == 1 and (self.key in (None, *names) or names == ["0"]):
            return names[0]
        if self.key in names:
            return str(self.key)
        if self.index is not None and -len(names) <= self.index < len(names):
            return names[self.index]
        if self.key is None and self.index is None:
            raise MedbenchError(f"gives {told(maps)}; needs one map of logits: say {choice(maps)}")
        said = self.index if self.key is None else self.key
        raise MedbenchError(f"has no map {said}; gives {told(maps)}: say {choice(maps)}")


class Adapted(nn.Module):
    """A network whose outputs are read as a study says.

    Args:
        network: images (B, C, H, W) to maps, in whatever tuples and mappings.
        reading: what they are.
        maps: K, channels of the logits.
        overlap: whether several maps are labels that a pixel may have at once, else classes of which it has one.

    Raises:
        MedbenchError: the reading is of one structure, and there are several.
    """

    def __init__(self, network: nn.Module, reading: Reading, *, maps: int = 1, overlap: bool = False) -> None:
        super().__init__()
        if maps > 1 and "softmax" in (reading.kind, reading.kind_in_eval):
            raise MedbenchError(
                "output.kind softmax turns two channels into one map, of one structure, and the set has several: what "
                "comes before a softmax over all of them is logits, so leave it out"
            )
        self.network = network
        self.reading = reading
        self.maps = maps
        self.overlap = overlap

    @property
    def encoder(self) -> nn.Module:
        """The network's own, where it has one, which learns at a rate of its own."""
        return self.network.get_submodule("encoder")

    def forward(self, image_bchw: Tensor) -> Tensor | Outputs:
        """Logits (B, K, H, W); in training with deep supervision `Outputs`.

        Raises:
            MedbenchError: an output is not what the reading says.
        """
        reading, maps = self.reading, dict(maps_of(self.network(image_bchw)))
        main = reading.main(maps)
        kind, size = reading.kind_of(self.training) or "logits", image_bchw.shape[-2:]
        allowed = allowed_channels(kind, self.maps)
        logits = self._logits(maps.pop(main), kind, size, allowed, upsample=reading.upsample)
        if not (self.training and reading.deep_supervision):
            return logits
        weights = reading.deep_supervision
        if len(maps) != len(weights):
            raise MedbenchError(
                f"gives {len(maps)} other maps in training; deep_supervision has {len(weights)} weights"
            )
        allowed = (*allowed, 1) if self.maps > 1 else allowed
        auxiliary = {name: self._logits(each, kind, size, allowed, upsample=True) for name, each in maps.items()}
        return Outputs(logits, auxiliary, dict(zip(maps, weights, strict=True)))

    def _logits(
        self, given: Tensor, kind: str, size: torch.Size, allowed: Collection[int], *, upsample: bool
    ) -> Tensor:
        """A map of a kind and of so many channels as logits, of the image's size."""
        if given.ndim == 3:
            given = given.unsqueeze(1)
        if given.ndim != 4 or given.shape[1] not in allowed:
            raise MedbenchError(f"gives a map {tuple(given.shape)}, which is none of {kind}")
        if kind == "softmax":
            logits = given[:, 1:] - given[:, :1]
        elif kind == "probabilities":
            logits = logits_of((given[:, -1:] if self.maps == 1 else given).float(), overlap=self.overlap)
        else:
            logits = given
        if logits.shape[-2:] != size:
            if not upsample:
                raise MedbenchError(f"gives a map {tuple(given.shape)} of images of {size[0]}x{size[1]} pixels")
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return logits


def allowed_channels(kind: str | None, maps: int) -> tuple[int, ...]:
    """The channels that a map of this kind may have where logits need so many."""
    return KINDS[kind or "logits"] if maps == 1 else (maps,)


def probabilities_of(logits: Tensor, *, overlap: bool) -> Tensor:
    """Of logits (B, K, ...) the probabilities: of several maps after a softmax, unless they may overlap."""
    return logits.sigmoid() if overlap or logits.shape[1] == 1 else logits.softmax(dim=1)


def logits_of(probabilities: Tensor, *, overlap: bool) -> Tensor:
    """The reverse; probabilities are kept `EPSILON` away from 0 and 1."""
    if overlap or probabilities.shape[1] == 1:
        return torch.logit(probabilities, eps=EPSILON)
    return probabilities.clamp(min=EPSILON).log()


def maps_of(given: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors that a network gave, by name: keys of mappings and fields of data classes, joined by dots where they
    lie in each other, else numbers in order."""
    if isinstance(given, Tensor):
        yield "0", given
    elif isinstance(given, Mapping):
        for key, value in given.items():
            found = dict(maps_of(value))
            yield from ((f"{key}.{name}" if len(found) > 1 else str(key), each) for name, each in found.items())
    elif dataclasses.is_dataclass(given):
        yield from maps_of({each.name: getattr(given, each.name) for each in dataclasses.fields(given)})
    elif isinstance(given, Sequence) and not isinstance(given, str):
        leaves = [each for part in given for _, each in maps_of(part)]
        yield from ((str(index), each) for index, each in enumerate(leaves))


def told(maps: Mapping[str, Tensor]) -> str:
    """How many maps there are, and their shapes by name."""
    shapes = {str(tuple(each.shape)) for each in maps.values()}
    if len(shapes) == 1:
        return f"{len(maps)} map{'s' if len(maps) > 1 else ''} of {shapes.pop()}"
    return f"{len(maps)} maps ({', '.join(f'{name}: {tuple(each.shape)}' for name, each in maps.items())})"


def choice(maps: Mapping[str, Tensor], fitting: Collection[str] | None = None) -> str:
    """What to write to choose one of several maps: one at the image's size, which is the largest.

    Args:
        maps: by name.
        fitting: names that come into question; all where it is not known.
    """
    sides = {name: each.shape[-1] if each.ndim > 2 else 0 for name, each in maps.items() if name in (fitting or maps)}
    largest = [name for name, side in sides.items() if side == max(sides.values())]
    key = "index" if [*maps] == [str(index) for index in range(len(maps))] else "key"
    first = maps[largest[0]]
    kind = ", kind: probabilities" if bool(((first >= 0) & (first <= 1)).all()) else ""
    ways = [f"{{{key}: {name}{kind}}}" for name in largest]
    others = len(maps) - 1
    besides = (
        f"; deep_supervision, a list of {others} weight{'s' * (others > 1)}, trains the other{'s' * (others > 1)} too"
        if others
        else ""
    )
    return f"output: {' or '.join(ways)}{besides}"
