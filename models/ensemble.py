"""Several trained models as one: the weighted mean of their probabilities.

Shapes: B = batch, K = maps, C = channels, H, W = height and width of the image.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .outputs import logits_of, probabilities_of


class Ensemble(nn.Module):
    """Weighted mean of the members' probabilities, given back as logits.

    Args:
        members: models from images (B, C, H, W) to logits (B, K, H, W).
        weights: one positive number a member, say its validation Dice; scaled to sum to 1.
        overlap: whether several maps are labels that a pixel may have at once, else classes of which it has one.
    """

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float], *, overlap: bool = False) -> None:
        super().__init__()
        if len(members) != len(weights) or not members:
            raise ValueError(f"{len(members)} members need as many weights, got {len(weights)}")
        if min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(f"weights must be positive, got {list(weights)}")
        self.members = nn.ModuleList(members)
        self.weights = [weight / sum(weights) for weight in weights]
        self.overlap = overlap

    def forward(self, image: Tensor) -> Tensor:
        probability = torch.stack(
            [
                weight * probabilities_of(member(image).float(), overlap=self.overlap)
                for weight, member in zip(self.weights, self.members, strict=True)
            ]
        ).sum(dim=0)
        return logits_of(probability, overlap=self.overlap)
