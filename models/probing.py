"""What a network gives, looked at before anything is trained: what would be read wrongly is refused with its remedy.

Shapes: B = batch, K = maps, H, W = height and width of the image.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..bench.errors import MedbenchError, first_line
from ..bench.quiet import quietly
from .heads import WithHeads, segmentation_only
from .names import SET_CHANNELS, SET_MAPS
from .outputs import Adapted, Outputs, Reading, allowed_channels, choice, maps_of, told
from .wanted import Wanted, options_of

OTHER_WEIGHTS = 3  # tried where all outputs look like probabilities
PROBED = 2  # images of the batch that a model is tried on; batch norm needs two


class NoPassError(MedbenchError):
    """A network breaks off on images of a size."""


@quietly()
def check_outputs(
    model: nn.Module, size: int, *, maps: int = 1, channels: int = 3, overlap: bool = False, name: str = ""
) -> None:
    """Tries a model on two random images in training and in evaluation, and refuses what would be read wrongly.

    Args:
        model: adapted or not, with heads or without; to be thrown away afterwards, since its weights may be changed.
        size: pixels a side of the smallest images that it will be trained on.
        maps: K, channels of the logits that the data set needs.
        channels: of its images.
        overlap: whether several maps are labels that a pixel may have at once, else classes of which it has one.
        name: `package.module:Class` or a function that built the model, whose options a remedy may name; by default
            the network's class.

    Raises:
        NoPassError: it breaks off.
        MedbenchError: it gives no logits (B, K, H, W); the message says what to write.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(PROBED, channels, size, size, generator=generator)
    whole, model = model, segmentation_only(model)
    reading = _reading_of(model)
    wanted = Wanted(maps, channels, overlap, options_of(name, _network_of(model)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with torch.no_grad():
            found = _probed(model, image, wanted)
            in_unit = {training: _in_unit(each) for training, each in found.items()}
            for _ in range(OTHER_WEIGHTS if any(in_unit.values()) else 0):
                # A last sigmoid keeps them there whatever the weights; logits may lie there by chance.
                for parameter in model.parameters():
                    spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
                    parameter += torch.randn(parameter.shape, generator=generator) * (2 * spread + 0.2)
                again = _probed(model, image, wanted)
                in_unit = {training: in_unit[training] and _in_unit(each) for training, each in again.items()}
        for training, each in found.items():
            _check_values(each, reading, training, in_unit, wanted)
        if isinstance(model, Adapted):
            _check_trained(model, image)
        if isinstance(whole, WithHeads):
            for training in (True, False):
                whole.train(training)(image)  # whether heads see one map


def _reading_of(model: nn.Module) -> Reading:
    return model.reading if isinstance(model, Adapted) else Reading()


def _network_of(model: nn.Module) -> nn.Module:
    return model.network if isinstance(model, Adapted) else model


def _probed(model: nn.Module, image: Tensor, wanted: Wanted) -> dict[bool, Tensor]:
    """The map that counts, as the network gives it, in training (True) and in evaluation."""
    network, reading, size = _network_of(model), _reading_of(model), image.shape[-1]
    found: dict[bool, Tensor] = {}
    bare: list[bool] = []
    for training in (True, False):
        network.train(training)
        try:
            given = network(image)
        except Exception as error:  # whatever a network makes of an image
            n = wanted.channels
            is_other = n != 3 or "channels" in first_line(error)
            why = f"; these have {n} channels: {wanted.remedy(SET_CHANNELS, n, 'channels')}" if is_other else ""
            raise NoPassError(
                f"does not run on {PROBED} images of {size} pixels in {_mode(training)}: {first_line(error)}{why}"
            ) from error
        if not isinstance(model, Adapted) and isinstance(given, Outputs):
            given = given.logits
        bare.append(isinstance(given, Tensor))
        maps = dict(maps_of(given))
        if training and len(maps) > 1 and reading.index is None and reading.key is None:
            fitting = _fitting(network, image)
            raise MedbenchError(f"gives {told(maps)}; needs logits {wanted.shape}: say {choice(maps, fitting)}")
        found[training] = _main_map(maps, reading, training, size, wanted, is_bare=bare[-1])
    if all(bare) and not (reading.index is None and reading.key is None):
        raise MedbenchError("gives one map: leave index and key out of output")
    return found


def _reached(network: nn.Module, each: Tensor) -> set[str]:
    """The names of the parameters that a map depends on."""
    parameters = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    if not parameters or not each.requires_grad:
        return set()
    gradients = torch.autograd.grad(each.sum(), [*parameters.values()], retain_graph=True, allow_unused=True)
    return {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}


def _fitting(network: nn.Module, image: Tensor) -> list[str]:
    """The maps in training that depend on whatever the one map in evaluation does; none where that gives several."""
    with torch.enable_grad():
        tested = [each for _, each in maps_of(network.eval()(image))]
        maps = dict(maps_of(network.train()(image)))
        wanted = _reached(network, tested[0]) if len(tested) == 1 else set[str]()
        return [name for name, each in maps.items() if wanted and wanted <= _reached(network, each)]


def _check_trained(model: Adapted, image: Tensor) -> None:
    """Whether training reaches all that the map in evaluation depends on: else index or key name another map than
    evaluation gives."""
    network, reading = model.network, model.reading
    maps = dict(maps_of(network.train()(image)))
    if len(maps) < 2:
        return
    main = reading.main(maps)
    others = [name for name in maps if name != main]
    weighed = [name for name, weight in zip(others, reading.deep_supervision, strict=False) if weight]
    trained = set[str]().union(*(_reached(network, maps[name]) for name in (main, *weighed)))
    model.train()(image)  # whether the other maps can be read
    tested = dict(maps_of(network.eval()(image)))
    left = [name for name in sorted(_reached(network, tested[reading.main(tested)])) if name not in trained]
    if left:
        raise MedbenchError(
            f"tests what it does not train: the map in evaluation depends on {left[0]}"
            f"{f' and {len(left) - 1} more' if len(left) > 1 else ''}, which map {main} does not; "
            f"say {choice(maps, _fitting(network, image))}"
        )


def _main_map(
    maps: dict[str, Tensor], reading: Reading, training: bool, size: int, wanted: Wanted, *, is_bare: bool
) -> Tensor:
    """The map that counts, of a shape that can be read."""
    if not maps:
        raise MedbenchError(f"gives no tensor; needs logits {wanted.shape}")
    name = reading.main(maps)
    if not is_bare and reading.is_silent:
        raise MedbenchError(f"gives {told(maps)}; needs logits {wanted.shape}: say {choice(maps)}")
    others = len(maps) - 1
    if training and reading.deep_supervision and others != len(reading.deep_supervision):
        raise MedbenchError(
            f"gives {others} maps besides in training; deep_supervision has {len(reading.deep_supervision)} weights"
        )
    each, kind = maps[name], reading.kind_of(training)
    shape = f"{tuple(each.shape)} in {_mode(training)}, of images ({PROBED}, {wanted.channels}, {size}, {size})"
    if each.ndim == 3 and not reading.is_silent:
        each = each.unsqueeze(1)
    if each.ndim == 3 and each.shape[0] == PROBED and wanted.maps == 1:
        raise MedbenchError(f"gives {shape}; needs logits (B, 1, H, W): say output: {{kind: logits}} for one channel")
    if each.ndim != 4 or each.shape[0] != PROBED:
        raise MedbenchError(f"gives {shape}; needs logits {wanted.shape}")
    if each.shape[1] not in allowed_channels(kind, wanted.maps):
        raise MedbenchError(f"gives {shape}; {_of_other_channels(each, kind, wanted)}")
    if each.shape[-2:] != (size, size) and not reading.upsample:
        raise MedbenchError(
            f"gives {shape}; needs the image's size: say output: {{upsample: true}} to have it interpolated"
        )
    return each


def _of_other_channels(each: Tensor, kind: str | None, wanted: Wanted) -> str:
    """What a map of too few or too many channels needs, and what to write."""
    remedy = wanted.remedy(SET_MAPS, wanted.maps, "classes")
    if wanted.maps > 1:
        has = f"{wanted.maps} {'labels' if wanted.overlap else 'classes with the background'}"
        return f"the set has {has}, needs logits {wanted.shape}: {remedy}"
    if each.shape[1] == 2:
        remedy = (
            f"for background and lesion say output: {{kind: {'probabilities' if _sum_to_one(each) else 'softmax'}}}"
        )
    elif each.shape[1] == 1:
        remedy = f"output.kind {kind} has 2 channels"
    return f"needs logits {wanted.shape}: {remedy}"


def _check_values(each: Tensor, reading: Reading, training: bool, in_unit: Mapping[bool, bool], wanted: Wanted) -> None:
    """Whether values can be what they are said to be."""
    kind, mode = reading.kind_of(training), _mode(training)
    if not bool(each.isfinite().all()):
        raise MedbenchError(f"gives values that are not finite in {mode}, of random images")
    spread = f"gives values from {float(each.min()):.3g} to {float(each.max()):.3g} in {mode}"
    if wanted.maps > 1 and kind != "logits" and in_unit[training] and _sum_to_one(each) == wanted.overlap:
        seen, meaning, last = (
            ("that sum to 1 over the channels, as after a softmax", "several labels", "softmax")
            if wanted.overlap
            else ("that do not sum to 1 over the channels, as after a sigmoid", "one class", "sigmoid")
        )
        raise MedbenchError(
            f"{spread} {seen}; a pixel of the set may have {meaning}: leave the {last} out of the network, or say "
            "output: {kind: logits} if these are logits"
        )
    if kind is None and in_unit[training]:
        only_here = not in_unit[not training]
        said = "kind_in_eval: probabilities" if only_here and not training else "kind: probabilities"
        raise MedbenchError(
            f"{spread}{', and others in evaluation' if only_here and training else ''}, as probabilities are; "
            f"needs logits: say output: {{{said}}}, or {{kind: logits}} if these are logits"
        )
    if kind == "probabilities" and not in_unit[training]:
        remedy = "leave kind out" if each.shape[1] == wanted.maps else "say kind: softmax"
        raise MedbenchError(f"{spread}, which are no probabilities: {remedy}")
    if kind == "softmax" and in_unit[training] and _sum_to_one(each):
        raise MedbenchError(f"gives two channels that sum to 1 in {mode}: say output: {{kind: probabilities}}")


def _sum_to_one(each: Tensor) -> bool:
    sums = each.sum(dim=1)
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-3)


def _in_unit(each: Tensor) -> bool:
    """Whether all values lie in [0, 1], those that are no numbers left out."""
    return bool(((each >= 0) & (each <= 1) | each.isnan()).all())


def _mode(training: bool) -> str:
    return "training" if training else "evaluation"
