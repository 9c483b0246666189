"""What a network gives, looked at before anything is trained: what would be read wrongly is refused with its remedy.

Shapes: B = batch, H, W = height and width of the image.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..bench.errors import MedbenchError, first_line
from .outputs import KINDS, Adapted, Outputs, Reading, choice, maps_of, told

PROBED = 2  # images of the batch that a model is tried on; batch norm needs two


def check_outputs(model: nn.Module, size: int) -> None:
    """Tries a model on two random images in training and in evaluation, and refuses what would be read wrongly.

    Args:
        model: adapted or not; its running statistics move.
        size: pixels a side of the smallest images that it will be trained on.

    Raises:
        MedbenchError: it does not run, or gives no logits (B, 1, H, W); the message says what to write.
    """
    network, reading = (model.network, model.reading) if isinstance(model, Adapted) else (model, Reading())
    image = torch.randn(PROBED, 3, size, size, generator=torch.Generator().manual_seed(0))
    found: dict[bool, Tensor] = {}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for training in (True, False):
            network.train(training)
            try:
                given = network(image)
            except Exception as error:  # whatever a network makes of an image
                raise MedbenchError(
                    f"does not run on {PROBED} images of {size} pixels in {_mode(training)}: {first_line(error)}"
                ) from error
            if not isinstance(model, Adapted) and isinstance(given, Outputs):
                given = given.logits
            found[training] = _main_map(
                dict(maps_of(given)), reading, training, size, is_bare=isinstance(given, Tensor)
            )
    in_unit = {training: _in_unit(each) for training, each in found.items()}
    for training, each in found.items():
        _check_values(each, reading, training, in_unit)


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
        remedy = (
            "for background and lesion say output: {kind: softmax}"
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
        raise MedbenchError(f"gives values that are no numbers, of random images in {mode}")
    if kind is None and in_unit[training]:
        only_here = not in_unit[not training]
        said = "kind_in_eval: probabilities" if only_here and not training else "kind: probabilities"
        raise MedbenchError(
            f"gives values from {float(each.min()):.3g} to {float(each.max()):.3g} in {mode}"
            f"{', and others in evaluation' if only_here and training else ''}, as probabilities are; needs logits: say "
            f"output: {{{said}}}, or {{kind: logits}} if these are logits"
        )
    if kind == "probabilities" and not in_unit[training]:
        raise MedbenchError(
            f"gives values from {float(each.min()):.3g} to {float(each.max()):.3g} in {mode}, which are no "
            "probabilities: leave out that output says so"
        )
    sums = each.sum(dim=1)
    if kind == "softmax" and in_unit[training] and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        raise MedbenchError(f"gives two channels that sum to 1 in {mode}: say output: {{kind: probabilities}}")


def _in_unit(each: Tensor) -> bool:
    """Whether all values lie in [0, 1]; zeros alone are what a last layer that starts at zero gives."""
    return bool(((each >= 0) & (each <= 1)).all()) and bool(each.any())


def _mode(training: bool) -> str:
    return "training" if training else "evaluation"
