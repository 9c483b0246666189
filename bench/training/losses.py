"""The training loss: a weighted sum of the terms in `LOSSES`, or for several classes those of `class_losses`.

Shapes: B = batch, C = channels of the logits, H, W = height and width. Torch is imported when a loss is computed: names
are known without it.
"""

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from ..metrics import LESION, Target
from ..registry import Registry
from .class_losses import CLASS_LOSSES, wanted_of

if TYPE_CHECKING:
    from torch import Tensor

LOSSES: "Registry[Tensor]" = Registry("loss")  # terms: (logits_b1hw, target_b1hw) -> a scalar, in single precision


@LOSSES.register("bce")
def bce_loss(logits_b1hw: "Tensor", target_b1hw: "Tensor") -> "Tensor":
    """Binary cross-entropy, averaged over all pixels of the batch."""
    import torch.nn.functional as F

    return F.binary_cross_entropy_with_logits(logits_b1hw, target_b1hw)


@LOSSES.register("dice")
def dice_loss(logits_b1hw: "Tensor", target_b1hw: "Tensor") -> "Tensor":
    """1 - soft Dice of each image, averaged over the batch, in [0, 1].

    Per image, because that is how results are scored; over the whole batch, large lesions would outweigh small ones.
    One is added above and below, so that an empty target asks for an empty prediction instead of giving no gradient.
    """
    probability = logits_b1hw.sigmoid()
    overlap = (probability * target_b1hw).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + target_b1hw.sum(dim=(1, 2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


@LOSSES.register("focal")
def focal_loss(logits_b1hw: "Tensor", target_b1hw: "Tensor") -> "Tensor":
    """Binary cross-entropy with each pixel weighed by the square of its error, averaged over all pixels of the batch.

    Source: Lin et al. (2017), "Focal loss for dense object detection", ICCV, with gamma 2 and without alpha.
    """
    import torch.nn.functional as F

    error = (logits_b1hw.sigmoid() - target_b1hw).abs()
    return (error**2 * F.binary_cross_entropy_with_logits(logits_b1hw, target_b1hw, reduction="none")).mean()


def segmentation_loss(
    logits_bchw: "Tensor", codes_b1hw: "Tensor", training: Mapping[str, Any], target: Target = LESION
) -> "Tensor":
    """The recipe's weighted sum, in single precision: `bce_weight` (of the cross-entropy, where there are classes),
    `dice_weight`, and `losses` where it names more; codes are 0 or 1, or those of `target`."""
    logits = logits_bchw.float()
    further = sorted(training.get("losses", {}).items())  # in whatever order they are named, one sum to the last bit
    weights = {"bce": training["bce_weight"], "dice": training["dice_weight"], **dict(further)}
    if target.is_single and not target.ignores:
        mask = codes_b1hw.float()
        return reduce(add, (weight * LOSSES[name](logits, mask) for name, weight in weights.items()))
    wanted = wanted_of(codes_b1hw, target, training)
    return reduce(add, (weight * CLASS_LOSSES[name](logits, wanted) for name, weight in weights.items()))
