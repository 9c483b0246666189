"""Models applied to images of the cache, in single precision, without learning from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...datasets.cache import Arrays
from .batches import to_input
from .losses import segmentation_loss

EVALUATION_BATCH = 16


def predict(model: nn.Module, images: NDArray[np.uint8]) -> Tensor:
    """Logits (N, 1, size, size) on the CPU of uint8 images (N, size, size, 3), in single precision."""
    return _logits(model, images).cpu()


def validate(model: nn.Module, images: Arrays, ids: Sequence[str], training: Mapping[str, Any]) -> tuple[float, float]:
    """Mean loss and mean per-image Dice at the input size; two empty masks score 1."""
    rows = [images.row[image] for image in sorted(ids)]
    logits = _logits(model, images.images[rows])
    target = torch.from_numpy(np.array(images.masks[rows])).to(logits.device).unsqueeze(1)
    loss = segmentation_loss(logits, target, training)
    found, wanted = logits > 0, target > 0
    overlap = (found & wanted).sum(dim=(1, 2, 3)).double()
    total = (found.sum(dim=(1, 2, 3)) + wanted.sum(dim=(1, 2, 3))).double()
    dice = torch.where(total > 0, 2 * overlap / total.clamp(min=1), 1.0)
    return float(loss), float(dice.mean())


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
