"""Several trained models as one: the weighted mean of their probabilities."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Weighted mean of the members' foreground probabilities, given back as logits.

    Args:
        members: models from images (B, 3, H, W) to logits (B, 1, H, W).
        weights: one positive number a member, say its validation Dice; scaled to sum to 1.
    """

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        if len(members) != len(weights) or not members:
            raise ValueError(f"{len(members)} members need as many weights, got {len(weights)}")
        if min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(f"weights must be positive, got {list(weights)}")
        self.members = nn.ModuleList(members)
        self.weights = [weight / sum(weights) for weight in weights]

    def forward(self, image: Tensor) -> Tensor:
        probability = torch.stack(
            [
                weight * member(image).float().sigmoid()
                for weight, member in zip(self.weights, self.members, strict=True)
            ]
        ).sum(dim=0)
        return torch.logit(probability, eps=1e-6)
