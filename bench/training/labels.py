"""What is known of training images as a whole, for the heads of image-level tasks, and the loss of these.

Shapes: B = batch, T = tasks, in the order of their names, n = classes of a task.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

UNKNOWN = -1  # the class of an image of which nobody says it


@dataclass(frozen=True, slots=True)
class Labels:
    """The classes of images by task; false where there is no task.

    Attributes:
        known: by task and image its class, from 0 on, where somebody says it.
        weights: by task the weight of its loss.
    """

    known: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, dict[str, int]])
    weights: Mapping[str, float] = field(default_factory=dict[str, float])

    def __bool__(self) -> bool:
        return bool(self.weights)

    @property
    def tasks(self) -> list[str]:
        """Their names in the order of `of` and `loss`."""
        return sorted(self.weights)

    def of(self, images: Iterable[str]) -> Tensor:
        """(B, T) the classes of images, int64; `UNKNOWN` where nobody says one."""
        rows = [[self.known[task].get(image, UNKNOWN) for task in self.tasks] for image in images]
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, len(self.tasks))

    def loss(self, logits: Mapping[str, Tensor], classes_bt: Tensor) -> Tensor:
        """The cross-entropies of all tasks, each times its weight, in single precision.

        Means over all images of the batch, to which those without a class add nothing: every known one counts alike,
        whatever else is in its batch, and however that is divided.

        Args:
            logits: (B, n) by task.
            classes_bt: as `of` gives them.
        """
        losses = [
            self.weights[task] * F.cross_entropy(logits[task].float(), each, ignore_index=UNKNOWN, reduction="sum")
            for task, each in zip(self.tasks, classes_bt.unbind(dim=1), strict=True)
        ]
        return torch.stack(losses).sum() / len(classes_bt)

    def accuracies(self, logits: Mapping[str, Tensor], classes_bt: Tensor) -> dict[str, float]:
        """Of each task `<task>_accuracy`, the share of images that are right, and `<task>_balanced_accuracy`, its mean
        over the classes that there are; NaN where no class is known."""
        found: dict[str, float] = {}
        for task, classes in zip(self.tasks, classes_bt.unbind(dim=1), strict=True):
            known = classes != UNKNOWN
            right = (logits[task].argmax(dim=1) == classes)[known].double()
            of_classes = [right[classes[known] == each].mean() for each in classes[known].unique()]
            found[f"{task}_accuracy"] = float(right.mean())
            found[f"{task}_balanced_accuracy"] = float(torch.stack(of_classes).mean()) if of_classes else float("nan")
        return found


NO_LABELS = Labels()
