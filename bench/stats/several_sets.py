"""One difference on several data sets: does it depend on the set?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """Whether K estimates differ by more than their errors: `f` with `df` degrees of freedom, and its p-value."""

    f: float
    df: tuple[float, float]
    p_value: float


def dependence(estimates: Sequence[float], errors: Sequence[float], dfs: Sequence[float]) -> Dependence | None:
    """Tests that K independent estimates are of one and the same number; None with fewer than two that have an error.

    Cochran's Q, with its correction for errors that are estimates themselves: Welch's analysis of variance, in which
    each set's estimate and error stand for a group's mean and its standard error. It says nothing of sets that were not
    looked at.

    Args:
        estimates: (K,) one a data set.
        errors: (K,) their standard errors, 0 or more.
        dfs: (K,) degrees of freedom of these.

    Source: Welch (1951), Biometrika 38(3/4).

    >>> found = dependence([0.0, 1.0], [0.5, 0.5], [8.0, 8.0])
    >>> round(found.f, 6), found.df[0], round(found.df[1], 6), round(found.p_value, 4)
    (2.0, 1, 16.0, 0.1765)
    """
    known = np.array([each for each in zip(estimates, errors, dfs, strict=True) if each[1] > 0], dtype=np.float64)
    if len(known) < 2:
        return None
    estimate, error, df = known.T
    weight = 1 / error**2
    total, k = weight.sum(), len(known)
    spread = (weight * (estimate - (weight * estimate).sum() / total) ** 2).sum() / (k - 1)
    lack = ((1 - weight / total) ** 2 / df).sum()
    f = float(spread / (1 + 2 * (k - 2) / (k**2 - 1) * lack))
    below = float((k**2 - 1) / (3 * lack))
    survival = cast(Any, special).fdtrc
    return Dependence(f=f, df=(k - 1, below), p_value=float(survival(k - 1, below, f)))
