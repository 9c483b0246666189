"""Models applied to images of the cache, in single precision, without learning from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...datasets.cache import Arrays
from ..metrics import Target
from .batches import to_input
from .class_losses import wanted_of
from .losses import segmentation_loss

EVALUATION_BATCH = 16


def predict(model: nn.Module, images: NDArray[np.uint8]) -> Tensor:
    """Logits (N, maps, size, size) on the CPU of uint8 images (N, size, size, C), in single precision."""
    return _logits(model, images).cpu()


def validate(model: nn.Module, images: Arrays, ids: Sequence[str], training: Mapping[str, Any]) -> tuple[float, float]:
    """Mean loss and mean per-image Dice at the input size, of several classes over those in the image's reference.

    Of one structure, two empty masks score 1; of several, an image without any does not count.
    """
    rows = [images.row[image] for image in sorted(ids)]
    logits = _logits(model, images.images[rows])
    target = torch.from_numpy(np.array(images.masks[rows])).to(logits.device).unsqueeze(1)
    loss = segmentation_loss(logits, target, training, images.target)
    if not images.target.is_single or images.target.ignores:
        return float(loss), _mean_dice(logits, target, images.target)
    found, wanted = logits > 0, target > 0
    overlap = (found & wanted).sum(dim=(1, 2, 3)).double()
    total = (found.sum(dim=(1, 2, 3)) + wanted.sum(dim=(1, 2, 3))).double()
    dice = torch.where(total > 0, 2 * overlap / total.clamp(min=1), 1.0)
    return float(loss), float(dice.mean())


def _mean_dice(logits: Tensor, codes_b1hw: Tensor, target: Target) -> float:
    """Over the names in each image's reference, then over the images that have any; NaN where none has."""
    wanted = wanted_of(codes_b1hw, target, {})
    planes, found = wanted.planes > 0, found_in(logits, target) & (wanted.counted > 0)
    overlap, sizes = (found & planes).sum(dim=(2, 3)).double(), planes.sum(dim=(2, 3))
    dice = (2 * overlap / (found.sum(dim=(2, 3)) + sizes).clamp(min=1)).where(sizes > 0, torch.nan)
    return float(dice.nanmean(dim=1).nanmean())


def found_in(logits_bchw: Tensor, target: Target) -> Tensor:
    """(B, K, H, W) where each name is predicted: the class with the highest logit, else what has more than one half."""
    if target.is_single or target.overlap:
        return logits_bchw > 0
    best = logits_bchw.argmax(dim=1, keepdim=True)
    return best == torch.arange(1, target.n_maps, device=best.device).view(-1, 1, 1)


def probabilities(logits_bchw: Tensor, target: Target) -> Tensor:
    """(B, K, H, W) of each name, in [0, 1]."""
    return logits_bchw.sigmoid() if target.is_single or target.overlap else logits_bchw.softmax(dim=1)[:, 1:]


def _logits(model: nn.Module, images: NDArray[np.uint8]) -> Tensor:
    """In single precision, on the model's device."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        parts = [
            model(to_input(torch.from_numpy(np.array(images[start : start + EVALUATION_BATCH])), device)).float()
            for start in range(0, len(images), EVALUATION_BATCH)
        ]
    return torch.cat(parts)
