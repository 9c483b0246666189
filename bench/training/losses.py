"""The training loss: binary cross-entropy and soft Dice.

Shapes: B = batch, H, W = height and width.
"""

import torch.nn.functional as F
from torch import Tensor


def dice_loss(logits_b1hw: Tensor, target_b1hw: Tensor) -> Tensor:
    """1 - soft Dice of each image, averaged over the batch, in [0, 1].

    Per image, because that is how results are scored; over the whole batch, large lesions would outweigh small ones.
    One is added above and below, so that an empty target asks for an empty prediction instead of giving no gradient.
    """
    probability = logits_b1hw.sigmoid()
    overlap = (probability * target_b1hw).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + target_b1hw.sum(dim=(1, 2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


def segmentation_loss(logits_b1hw: Tensor, target_b1hw: Tensor, *, bce_weight: float, dice_weight: float) -> Tensor:
    """Weighted sum of both, in single precision; targets are 0 or 1."""
    logits, target = logits_b1hw.float(), target_b1hw.float()
    bce = F.binary_cross_entropy_with_logits(logits, target)
    return bce_weight * bce + dice_weight * dice_loss(logits, target)
