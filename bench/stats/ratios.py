"""How two models' times compare, over instances of each that were timed side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A ratio of times, 1 where they are equal, with its 95 % interval."""

    ratio: float
    low: float
    high: float


def paired_ratio(times: Sequence[float], reference: Sequence[float]) -> Ratio:
    """The geometric mean of the instances' ratios, and the interval of t over them on the log scale.

    Args:
        times: above 0, one an instance, two instances at least.
        reference: those of the other model, each timed beside the instance in the same place.

    >>> paired_ratio([2.0, 2.0], [1.0, 1.0])
    Ratio(ratio=2.0, low=2.0, high=2.0)
    """
    logs = np.log(np.asarray(times) / np.asarray(reference))
    mean, n = float(logs.mean()), len(logs)
    half = float(cast(Any, stats).t.ppf(0.975, n - 1) * logs.std(ddof=1) / np.sqrt(n))
    return Ratio(ratio=float(np.exp(mean)), low=float(np.exp(mean - half)), high=float(np.exp(mean + half)))
