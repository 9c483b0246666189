"""What a network gives, looked at before anything is trained: what would be read wrongly is refused with its remedy.

Shapes: B = batch, H, W = height and width of the image.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..bench.errors import MedbenchError, first_line
from ..bench.quiet import quietly
from .outputs import KINDS, Adapted, Outputs, Reading, choice, maps_of, told

OTHER_WEIGHTS = 3  # tried where all outputs look like probabilities
PROBED = 2  # images of the batch that a model is tried on; batch norm needs two


class NoPassError(MedbenchError):
    """A network breaks off on images of a size."""


@quietly()
def check_outputs(model: nn.Module, size: int) -> None:
    """Tries a model on two random images in training and in evaluation, and refuses what would be read wrongly.

    Args:
        model: adapted or not; to be thrown away afterwards, since its weights may be changed.
        size: pixels a side of the smallest images that it will be trained on.

    Raises:
        NoPassError: it breaks off.
        MedbenchError: it gives no logits (B, 1, H, W); the message says what to write.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(PROBED, 3, size, size, generator=generator)
    reading = _reading_of(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with torch.no_grad():
            found = _probed(model, image)
            in_unit = {training: _in_unit(each) for training, each in found.items()}
            for _ in range(OTHER_WEIGHTS if any(in_unit.values()) else 0):
                # A last sigmoid keeps them there whatever the weights; logits may lie there by chance.
                for parameter in model.parameters():
                    spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
                    parameter += torch.randn(parameter.shape, generator=generator) * (2 * spread + 0.2)
                again = _probed(model, image)
                in_unit = {training: in_unit[training] and _in_unit(each) for training, each in again.items()}
        for training, each in found.items():
            _check_values(each, reading, training, in_unit)
        if isinstance(model, Adapted):
            _check_trained(model, image)


def _reading_of(model: nn.Module) -> Reading:
    return model.reading if isinstance(model, Adapted) else Reading()


def _network_of(model: nn.Module) -> nn.Module:
    return model.network if isinstance(model, Adapted) else model


def _probed(model: nn.Module, image: Tensor) -> dict[bool, Tensor]:
    """The map that counts, as the network gives it, in training (True) and in evaluation."""
    network, reading, size = _network_of(model), _reading_of(model), image.shape[-1]
    found: dict[bool, Tensor] = {}
    bare: list[bool] = []
    for training in (True, False):
        network.train(training)
        try:
            given = network(image)
        except Exception as error:  # whatever a network makes of an image
            raise NoPassError(
                f"does not run on {PROBED} images of {size} pixels in {_mode(training)}: {first_line(error)}"
            ) from error
        if not isinstance(model, Adapted) and isinstance(given, Outputs):
            given = given.logits
        bare.append(isinstance(given, Tensor))
        maps = dict(maps_of(given))
        if training and len(maps) > 1 and reading.index is None and reading.key is None:
            fitting = _fitting(network, image)
            raise MedbenchError(f"gives {told(maps)}; needs logits (B, 1, H, W): say {choice(maps, fitting)}")
        found[training] = _main_map(maps, reading, training, size, is_bare=bare[-1])
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


def _main_map(maps: dict[str, Tensor], reading: Reading, training: bool, size: int, *, is_bare: bool) -> Tensor:
    """The map that counts, of a shape that can be read."""
    if not maps:
        raise MedbenchError("gives no tensor; needs logits (B, 1, H, W)")
    name = reading.main(maps)
    if not is_bare and reading == Reading():
        raise MedbenchError(f"gives {told(maps)}; needs logits (B, 1, H, W): say {choice(maps)}")
    others = len(maps) - 1
    if training and reading.deep_supervision and others != len(reading.deep_supervision):
        raise MedbenchError(
            f"gives {others} maps besides in training; deep_supervision has {len(reading.deep_supervision)} weights"
        )
    each, kind = maps[name], reading.kind_of(training)
    shape = f"{tuple(each.shape)} in {_mode(training)}, of images ({PROBED}, 3, {size}, {size})"
    if each.ndim == 3 and reading != Reading():
        each = each.unsqueeze(1)
    if each.ndim == 3 and each.shape[0] == PROBED:
        raise MedbenchError(f"gives {shape}; needs logits (B, 1, H, W): say output: {{kind: logits}} for one channel")
    if each.ndim != 4 or each.shape[0] != PROBED:
        raise MedbenchError(f"gives {shape}; needs logits (B, 1, H, W)")
    channels, allowed = each.shape[1], KINDS[kind or "logits"]
    if channels not in allowed:
        sum_to_one = torch.allclose(each.sum(dim=1), torch.ones(()), atol=1e-3)
        remedy = (
            f"for background and lesion say output: {{kind: {'probabilities' if sum_to_one else 'softmax'}}}"
            if channels == 2
            else "an option of its constructor may set the number of classes to 1"
            if channels > 2
            else f"output.kind {kind} has 2 channels"
        )
        raise MedbenchError(f"gives {shape}; needs logits (B, 1, H, W): {remedy}")
    if each.shape[-2:] != (size, size) and not reading.upsample:
        raise MedbenchError(
            f"gives {shape}; needs the image's size: say output: {{upsample: true}} to have it interpolated"
        )
    return each


def _check_values(each: Tensor, reading: Reading, training: bool, in_unit: Mapping[bool, bool]) -> None:
    """Whether values can be what they are said to be."""
    kind, mode = reading.kind_of(training), _mode(training)
    if not bool(each.isfinite().all()):
        raise MedbenchError(f"gives values that are not finite in {mode}, of random images")
    if kind is None and in_unit[training]:
        only_here = not in_unit[not training]
        said = "kind_in_eval: probabilities" if only_here and not training else "kind: probabilities"
        raise MedbenchError(
            f"gives values from {float(each.min()):.3g} to {float(each.max()):.3g} in {mode}"
            f"{', and others in evaluation' if only_here and training else ''}, as probabilities are; "
            f"needs logits: say output: {{{said}}}, or {{kind: logits}} if these are logits"
        )
    if kind == "probabilities" and not in_unit[training]:
        remedy = "leave kind out" if each.shape[1] == 1 else "say kind: softmax"
        raise MedbenchError(
            f"gives values from {float(each.min()):.3g} to {float(each.max()):.3g} in {mode}, which are no "
            f"probabilities: {remedy}"
        )
    sums = each.sum(dim=1)
    if kind == "softmax" and in_unit[training] and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        raise MedbenchError(f"gives two channels that sum to 1 in {mode}: say output: {{kind: probabilities}}")


def _in_unit(each: Tensor) -> bool:
    """Whether all values lie in [0, 1], those that are no numbers left out."""
    return bool(((each >= 0) & (each <= 1) | each.isnan()).all())


def _mode(training: bool) -> str:
    return "training" if training else "evaluation"
