"""What is said of a whole image beside its map: for each task a small head on the bottleneck of any network.

Shapes: B = batch, C = channels of the images, D = channels of the bottleneck, H, W = height and width, n = classes of a
task.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..bench.errors import MedbenchError, first_line
from .ensemble import Ensemble
from .medlitenet import MedLiteNet
from .outputs import Adapted, Outputs, maps_of

DROPOUT = 0.2  # of what a head is given; ours
TRIED = (64, 256, 224)  # pixels a side of the image that the bottleneck's channels are seen with
OFFERED = 3  # parts of a network that a message names
BOTTLENECKS = {  # by family
    "medlitenet": "local_global",
    "unet": "down",
    "unext": "down",
    "malunet": "down",
    "egeunet": "down",
    "ultralight_vmunet": "down",
    "cmunext": "down",
    "ulite": "bottleneck",
}
OF_SMP = "encoder"  # whose last map is the deepest


class WithHeads(nn.Module):
    """A network with a head for each task: the mean over the bottleneck's places, dropout, one linear layer.

    Its weights are drawn after the network's own, which therefore are those that the seed gives without heads. Whether
    in training or not it gives `Outputs`, whose `labels` are logits (B, n) by task; `segmentation_only` gives what it
    gives without them.

    Args:
        network: images (B, C, H, W) to logits or `Outputs`, adapted or not.
        tasks: the number of classes of each task by name.
        bottleneck: the part of the network that gives the map (B, D, h, w) which heads see, as in "encoder.layer4"; a
            list of modules stands for its last one, several maps for the last. None: nobody said.
        channels: C.

    Raises:
        MedbenchError: that part is not told, or does not give one map in a pass; the message names others that do.
    """

    def __init__(
        self, network: nn.Module, tasks: Mapping[str, int], bottleneck: str | None, *, channels: int = 3
    ) -> None:
        super().__init__()
        self.network = network
        self.bottleneck, width = _checked(_inner(network), bottleneck, channels)
        self.tasks = sorted(tasks)  # in whatever order they are named, one seed draws one model
        self.dropout = nn.Dropout(DROPOUT)
        self.heads = nn.ModuleList(nn.Linear(width, tasks[name]) for name in self.tasks)

    @property
    def encoder(self) -> nn.Module:
        """The network's own, where it has one, which learns at a rate of its own."""
        return self.network.get_submodule("encoder")

    def forward(self, image_bchw: Tensor) -> Outputs:
        """Logits of the map and of all tasks.

        Raises:
            MedbenchError: the bottleneck does not give one map.
        """
        with _caught(_inner(self.network), [self.bottleneck]) as found:
            given = self.network(image_bchw)
        if len(found[self.bottleneck]) != 1:
            raise MedbenchError(
                f"output.bottleneck {self.bottleneck}: gives {len(found[self.bottleneck])} maps in a pass"
            )
        mean_bd = found[self.bottleneck][0].mean(dim=(2, 3))
        labels = {name: head(self.dropout(mean_bd)) for name, head in zip(self.tasks, self.heads, strict=True)}
        outputs = given if isinstance(given, Outputs) else Outputs(given, {}, {})
        return outputs._replace(labels=labels)


def segmentation_only(model: nn.Module) -> nn.Module:
    """The model without its heads and without what only training asks for, of the same weights: images to logits; one
    that has neither is that already."""
    if isinstance(model, Ensemble):
        members = [segmentation_only(each) for each in model.members]
        if all(each is member for each, member in zip(members, model.members, strict=True)):
            return model
        return Ensemble(members, model.weights, overlap=model.overlap).train(model.training)
    return at_inference(model.network if isinstance(model, WithHeads) else model)


def at_inference(model: nn.Module) -> nn.Module:
    """The model without what only training asks for, of the same weights; heads of tasks stay."""
    if isinstance(model, WithHeads):
        light = copy(model)
        light._modules = {**model._modules, "network": at_inference(model.network)}
        return light
    return model.at_inference() if isinstance(model, MedLiteNet) else model


def learns_artifacts(model: nn.Module) -> bool:
    """Whether a model's loss asks where artifacts are painted."""
    network = model.network if isinstance(model, WithHeads) else model
    return isinstance(network, MedLiteNet) and network.learns_artifacts


def _inner(network: nn.Module) -> nn.Module:
    return network.network if isinstance(network, Adapted) else network


def _part(network: nn.Module, path: str) -> nn.Module:
    """The module of that path; AttributeError where there is none."""
    part = network.get_submodule(path)
    return part[-1] if isinstance(part, nn.ModuleList) and len(part) else part


@contextmanager
def _caught(network: nn.Module, paths: Sequence[str]) -> Generator[dict[str, list[Tensor]]]:
    """The maps (B, D, h, w) that parts of a network give meanwhile, of each call of a part the last.

    Hooks live as long as that: a copy of a network has none that would see into the original.
    """
    found: dict[str, list[Tensor]] = {path: [] for path in paths}

    def look(path: str) -> Any:
        def hook(_: nn.Module, __: Any, given: Any) -> None:
            found[path] += [each for _, each in maps_of(given) if each.ndim == 4][-1:]

        return hook

    handles = [_part(network, path).register_forward_hook(look(path)) for path in paths]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _seen(network: nn.Module, paths: Sequence[str], channels: int) -> dict[str, list[Tensor]]:
    """The same of one small image, which leaves the network and all random numbers as they were."""
    modes = {each: each.training for each in network.modules()}
    device = next((each.device for each in network.parameters()), None)
    network.eval()
    reason = ""
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            for size in TRIED:
                with _caught(network, paths) as found:
                    try:
                        network(torch.zeros(1, channels, size, size, device=device))
                        return found
                    except Exception as error:  # whatever a network makes of an image
                        reason = first_line(error)
            raise MedbenchError(
                f"does not run on an image of {channels} channels and {TRIED[0]}, {TRIED[1]} or {TRIED[2]} pixels, so "
                f"that what its heads see is not known: {reason}"
            )
    finally:
        for module, mode in modes.items():
            module.training = mode


def _checked(network: nn.Module, path: str | None, channels: int) -> tuple[str, int]:
    """The path, where it leads to a part that gives one map in a pass, and D."""
    if path is None:
        trouble = "output.bottleneck is not said, which heads of image-level tasks see"
    else:
        try:
            maps = _seen(network, [path], channels)[path]
        except AttributeError:
            trouble = f"output.bottleneck {path}: the network has no such part"
        else:
            if len(maps) == 1:
                return path, maps[0].shape[1]
            trouble = f"output.bottleneck {path}: gives {len(maps) or 'no'} maps (B, C, H, W) in a pass, needs one"
    found = _seen(network, [name for name, _ in network.named_modules() if name], channels)
    sizes = {name: maps[0][0, 0].numel() for name, maps in found.items() if len(maps) == 1}
    smallest = min((size for size in sizes.values() if size > 1), default=0)  # one place is a gate's mean
    deepest = [name for name in sizes if sizes[name] == smallest]
    ways = [f"{{bottleneck: {name}}}" for name in sorted(deepest, key=lambda name: name.count("."))[:OFFERED]]
    raise MedbenchError(f"{trouble}: say output: {' or '.join(ways) or '{bottleneck: path.to.module}'}")
