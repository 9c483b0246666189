"""What changes from step to step, and from epoch to epoch: learning rates and input sizes."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .batches import STEP


def size_at(epoch: int, epochs: int, full: int, progressive_sizes: Mapping[float, float]) -> int:
    """The input size of an epoch, a multiple of 32: `progressive_sizes` maps shares of the epochs to shares of `full`.

    A stage starts at the epoch that its share falls in, so that the last epochs have the last size however few.

    >>> [size_at(epoch, 8, 128, {0.0: 0.5, 0.25: 0.75, 0.5: 1.0}) for epoch in range(8)]
    [64, 64, 96, 96, 128, 128, 128, 128]
    >>> size_at(0, 1, 128, {0.0: 0.5, 0.5: 1.0})
    128
    """
    # Shares such as 0.7 are not exact: 0.7 * 10 may fall just below 7.
    start = max(share for share in progressive_sizes if math.floor(share * epochs + 1e-9) <= epoch)
    return max(STEP, round(progressive_sizes[start] * full / STEP) * STEP)


def learning_rate_share(step: int, steps: int, warmup: float, final: float) -> float:
    """Linear warm-up over `warmup` steps, then half a cosine from 1 down to `final` at the last step."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(steps - 1 - warmup, 1)
    return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2


def optimizer_for(model: nn.Module, training: Mapping[str, Any]) -> torch.optim.AdamW:
    """AdamW with one learning rate for `model.encoder`, where there is one, and one for the rest; biases and norms
    do not decay. On a GPU rates and counts of steps lie there, so that a step can be captured."""
    device = next(model.parameters()).device
    on_gpu = device.type == "cuda"
    encoder = {id(parameter) for parameter in getattr(model, "encoder", nn.Identity()).parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        rate = training["encoder_learning_rate"] if id(parameter) in encoder else training["learning_rate"]
        decay = training["weight_decay"] if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": members,
                "lr": torch.tensor(rate, device=device) if on_gpu else rate,
                "initial_lr": rate,
                "weight_decay": decay,
            }
            for (rate, decay), members in groups.items()
        ],
        fused=True,
        capturable=on_gpu,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Sets each group's rate to that share of its initial one."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(group["initial_lr"] * share)
        else:
            group["lr"] = group["initial_lr"] * share
