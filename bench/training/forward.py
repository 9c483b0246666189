"""Models applied to images of the cache, in single precision, without learning from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...datasets.cache import Arrays
from ...models.outputs import Outputs
from ..metrics import IGNORED, Target
from .batches import to_input
from .class_losses import wanted_of
from .labels import NO_LABELS, Labels
from .losses import segmentation_loss

EVALUATION_BATCH = 16


def predict(model: nn.Module, images: NDArray[np.uint8]) -> Outputs:
    """Logits (N, maps, size, size) on the CPU of uint8 images (N, size, size, C), and (N, n) of each task that the
    model has a head for, in single precision."""
    found = _outputs(model, images)
    return Outputs(found.logits.cpu(), {}, {}, {task: each.cpu() for task, each in found.labels.items()})


def validate(
    model: nn.Module, images: Arrays, ids: Sequence[str], training: Mapping[str, Any], labels: Labels = NO_LABELS
) -> tuple[float, float, dict[str, float]]:
    """Mean loss and mean per-image Dice at the input size, of several classes over those in the image's reference; and
    what `Labels.accuracies` gives.

    Of one structure, two empty masks score 1; of several, an image without any does not count.
    """
    ids = sorted(ids)
    rows = [images.row[image] for image in ids]
    outputs = _outputs(model, images.images[rows])
    target = torch.from_numpy(np.array(images.masks[rows])).to(outputs.logits.device).unsqueeze(1)
    loss = segmentation_loss(outputs.logits, target, training, images.target)
    accuracies: dict[str, float] = {}
    if labels:
        classes = labels.of(ids).to(target.device)
        loss = loss + labels.loss(outputs.labels, classes)
        accuracies = labels.accuracies(outputs.labels, classes)
    return float(loss), _dice(outputs.logits, target, images.target), accuracies


def _dice(logits: Tensor, target: Tensor, kind: Target) -> float:
    if not kind.is_single:
        return _mean_dice(logits, target, kind)
    found, wanted = logits > 0, target > 0
    if kind.ignores:
        found, wanted = found & (target != IGNORED), wanted & (target != IGNORED)
    overlap = (found & wanted).sum(dim=(1, 2, 3)).double()
    total = (found.sum(dim=(1, 2, 3)) + wanted.sum(dim=(1, 2, 3))).double()
    return float(torch.where(total > 0, 2 * overlap / total.clamp(min=1), 1.0).mean())


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


def _outputs(model: nn.Module, images: NDArray[np.uint8]) -> Outputs:
    """In single precision, on the model's device."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        given = [
            model(to_input(torch.from_numpy(np.array(images[start : start + EVALUATION_BATCH])), device))
            for start in range(0, len(images), EVALUATION_BATCH)
        ]
    parts = [each if isinstance(each, Outputs) else Outputs(each, {}, {}) for each in given]
    logits = torch.cat([each.logits.float() for each in parts])
    return Outputs(
        logits, {}, {}, {task: torch.cat([each.labels[task].float() for each in parts]) for task in parts[0].labels}
    )
