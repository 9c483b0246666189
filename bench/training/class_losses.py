"""The training loss where a mask has several classes or labels, or pixels that do not count.

Shapes: B = batch, C = channels of the logits (`Target.n_maps`), K = names that are scored, H, W = height and width.
Classes are told apart by a softmax over C = K + 1 channels, the background first; labels by a sigmoid each. Every image
and every name of it count alike in the Dice loss, as they do where results are scored; what no pixel of an image has
asks for an empty prediction.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ..metrics import IGNORED, Target
from ..registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Wanted(NamedTuple):
    """What a batch asks for, all in single precision.

    Attributes:
        planes: (B, K, H, W) 1 where each name is.
        counted: (B, 1, H, W) 1 where a pixel counts.
        weights: of the cross-entropy: (B, 1, H, W) by the class that a pixel has, (B, K, H, W) by label; 0 where the
            pixel does not count.
        of_names: (K,) weights in the Dice loss, with the mean 1.
        is_softmax: whether the classes exclude each other.
    """

    planes: "Tensor"
    counted: "Tensor"
    weights: "Tensor"
    of_names: "Tensor"
    is_softmax: bool


CLASS_LOSSES: "Registry[Tensor]" = Registry("loss of several classes")  # terms: (logits_bchw, Wanted) -> a scalar


@CLASS_LOSSES.register("bce")
def cross_entropy(logits_bchw: "Tensor", wanted: Wanted) -> "Tensor":
    """Cross-entropy, averaged over the pixels that count, each by its weight."""
    return _weighed(_entropy(logits_bchw, wanted), wanted)


@CLASS_LOSSES.register("dice")
def class_dice(logits_bchw: "Tensor", wanted: Wanted) -> "Tensor":
    """1 - soft Dice of each name in each image, averaged over names, then over the batch, in [0, 1].

    One is added above and below, as for one structure.
    """
    probability = _probability(logits_bchw, wanted) * wanted.counted
    overlap = (probability * wanted.planes).sum(dim=(2, 3))
    total = probability.sum(dim=(2, 3)) + wanted.planes.sum(dim=(2, 3))
    return ((1 - (2 * overlap + 1) / (total + 1)) * wanted.of_names).mean()


@CLASS_LOSSES.register("focal")
def class_focal(logits_bchw: "Tensor", wanted: Wanted) -> "Tensor":
    """Cross-entropy with each pixel weighed by the square of its error, one minus the probability of what it is."""
    entropy = _entropy(logits_bchw, wanted)
    return _weighed((1 - (-entropy).exp()) ** 2 * entropy, wanted)


def wanted_of(codes_b1hw: "Tensor", target: Target, training: Mapping[str, Any]) -> Wanted:
    """What masks of codes (B, 1, H, W), uint8, ask for under a recipe."""
    import torch

    codes, names = codes_b1hw.long(), range(len(target.names))
    planes = torch.cat([codes >> i & 1 if target.overlap else codes == i + 1 for i in names], dim=1).float()
    counted = (codes != IGNORED).float() if target.ignores else torch.ones_like(codes, dtype=torch.float32)
    said = training.get("class_weights") or {}
    of_codes = _on(codes.device, *(float(said.get(name, 1.0)) for name in (target.background, *target.names)))
    of_names = of_codes[1:]
    is_softmax = not (target.overlap or target.is_single)
    weights = of_codes[torch.where(counted > 0, codes, 0)] if is_softmax else of_names[:, None, None]
    return Wanted(planes, counted, weights * counted, of_names / of_names.mean(), is_softmax)


@cache
def _on(device: "torch.device", *values: float) -> "Tensor":
    """Kept, because a GPU would be waited for while they are copied to it."""
    import torch

    with torch.inference_mode(False):  # whoever asks first
        return torch.tensor(values, device=device)


def _entropy(logits_bchw: "Tensor", wanted: Wanted) -> "Tensor":
    """Minus the logarithm of the probability of what each pixel is: (B, 1, H, W) of classes, (B, K, H, W) of labels."""
    import torch.nn.functional as F

    if not wanted.is_softmax:
        return F.binary_cross_entropy_with_logits(logits_bchw, wanted.planes, reduction="none")
    background = 1 - wanted.planes.sum(dim=1, keepdim=True)
    logarithms = F.log_softmax(logits_bchw, dim=1)
    return -(logarithms[:, :1] * background + (logarithms[:, 1:] * wanted.planes).sum(dim=1, keepdim=True))


def _probability(logits_bchw: "Tensor", wanted: Wanted) -> "Tensor":
    """(B, K, H, W) of each name."""
    return logits_bchw.softmax(dim=1)[:, 1:] if wanted.is_softmax else logits_bchw.sigmoid()


def _weighed(each: "Tensor", wanted: Wanted) -> "Tensor":
    """The mean by the pixels' weights; 0 where none counts."""
    return (each * wanted.weights).sum() / wanted.weights.expand_as(each).sum().clamp(min=1e-9)
