"""What a model says of test images as a whole: a row an image and task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Asked:
    """A task that a test set knows the truth of: its classes, and that of each image, where somebody says it."""

    classes: Sequence[str]
    truth: Mapping[str, int]


class Told:
    """Collects the rows of `labels.parquet`: image, task, truth, predicted (names of classes) and probabilities, a list
    in the order of the task's classes, in single precision. Images without a known truth have no row.

    Args:
        asked: the tasks that are scored, by name.
    """

    def __init__(self, asked: Mapping[str, Asked]) -> None:
        self.asked = asked
        self.rows: list[dict[str, object]] = []

    def add(self, image: str, logits: Mapping[str, Tensor]) -> None:
        """Notes what a model says of an image: logits (n,) by task."""
        for task, each in self.asked.items():
            if image in each.truth:
                probabilities = probabilities_of(logits[task])
                self.rows.append(
                    {
                        "image": image,
                        "task": task,
                        "truth": each.classes[each.truth[image]],
                        "predicted": each.classes[int(probabilities.argmax())],
                        "probabilities": probabilities,
                    }
                )

    def table(self) -> pd.DataFrame | None:
        """All rows; None where no task is scored."""
        return pd.DataFrame(self.rows) if self.rows else None


def probabilities_of(logits: Tensor) -> np.ndarray:
    """(n,) of the classes, of logits (n,)."""
    return logits.double().softmax(dim=0).float().numpy()
