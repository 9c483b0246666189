"""Several trained models as one: the weighted mean of their probabilities.

Shapes: B = batch, K = maps, C = channels, H, W = height and width of the image.
"""

from collections.abc import Sequence
from math import isfinite

import torch
from torch import Tensor, nn

from .outputs import Outputs, logits_of, probabilities_of


class Ensemble(nn.Module):
    """Weighted mean of the members' probabilities, given back as logits.

    Args:
        members: models from images (B, C, H, W) to logits (B, K, H, W), all with heads or none.
        weights: one finite number a member, say its validation Dice, not negative and not all 0; scaled to sum to 1.
        overlap: whether several maps are labels that a pixel may have at once, else classes of which it has one.
    """

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float], *, overlap: bool = False) -> None:
        super().__init__()
        if len(members) != len(weights) or not members:
            raise ValueError(f"{len(members)} members need as many weights, got {len(weights)}")
        if not all(isfinite(weight) and weight >= 0 for weight in weights) or not sum(weights):
            raise ValueError(f"weights must be finite, not negative and not all 0, got {list(weights)}")
        self.members = nn.ModuleList(members)
        self.weights = [weight / sum(weights) for weight in weights]
        self.overlap = overlap

    def forward(self, image: Tensor) -> Tensor | Outputs:
        """Logits (B, K, H, W), with heads `Outputs`."""
        parts = [
            self._weighed(member(image), weight) for weight, member in zip(self.weights, self.members, strict=True)
        ]
        logits = logits_of(torch.stack([each for each, _ in parts]).sum(dim=0), overlap=self.overlap)
        _, tasks = parts[0]
        if not tasks:
            return logits
        labels = {name: torch.stack([each[name] for _, each in parts]).sum(dim=0) for name in tasks}
        return Outputs(logits, {}, {}, {name: logits_of(each, overlap=False) for name, each in labels.items()})

    def _weighed(self, given: Tensor | Outputs, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
        """A member's probabilities times its weight: of the map, and of each task."""
        logits, labels = (given.logits, given.labels) if isinstance(given, Outputs) else (given, dict[str, Tensor]())
        return weight * probabilities_of(logits.float(), overlap=self.overlap), {
            name: weight * probabilities_of(each.float(), overlap=False) for name, each in labels.items()
        }
