"""Looking at a study while its seeds come in, and stopping when it is decided, with the error held over all looks.

The difference after S seeds of each variant and its variance for new seeds and new images are those of `crossed`. Since
the images are the same at every look, the differences at two looks have the covariance

    Cov(d_S, d_T) = Var(d_T)    for S < T

which is what makes a sequence of estimates a canonical one (Jennison and Turnbull 2000, "Group sequential methods with
applications to clinical trials", chapter 3): with 1 / Var as information, looks behave as sums of independent
increments. The images' part of the variance does not shrink with seeds, so information is not in proportion to seeds:
what the last of the planned seeds would add is little where images cause most of the error, and then even the first
look has nearly all of it. The fraction of the information at a look is therefore estimated, from the variance components
known by then:

    t = Var(d at the most seeds that are planned) / Var(d now),    and 1 at the last planned look

Of the level of a test, alpha(t) is spent by a look (Lan and DeMets 1983, Biometrika 70(3)). The critical value of a look
follows from those of the looks before by numerical integration (Armitage, McPherson and Rowe 1969, JRSS A 132(2)), and is
turned into a level for the p-value of Student's test at that look, as is usual where variances are estimated.
"""

from collections.abc import Callable, Mapping, Sequence
from math import exp, inf, log, sqrt
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special  # pyright: ignore[reportMissingTypeStubs]

from .crossed import Components

normal_cdf: Callable[[Any], Any] = cast(Any, special).ndtr
normal_quantile: Callable[[float], float] = cast(Any, special).ndtri
_root: Callable[..., float] = cast(Any, optimize).brentq

POINTS = 400  # of the grid that densities are integrated on
REACH = 7.0  # standard deviations below 0 at which the grid begins
NOTHING_NEW = 5e-4  # of all information: a look that adds less is tested like the one before it


def _obrien_fleming(level: float, fraction: float) -> float:
    return 2 * (1 - float(normal_cdf(-normal_quantile(level / 2) / sqrt(fraction))))


def _pocock(level: float, fraction: float) -> float:
    return level * log(1 + (exp(1) - 1) * fraction)


SPENDING: Mapping[str, Callable[[float, float], float]] = {"obrien-fleming": _obrien_fleming, "pocock": _pocock}


def fraction_at(components: Components, n_seeds: int, most: int) -> float:
    """The share, in (0, 1], of the information that `most` seeds of each variant would give that `n_seeds` give."""
    least, now = (components.error([count] * 2, components.n)[0] ** 2 for count in (most, n_seeds))
    return min(least / now, 1.0) if now > 0 else 1.0


def nominal_levels(fractions: Sequence[Sequence[float]], level: float, spending: str = "obrien-fleming") -> list[float]:
    """For each look the one-sided level at which its own p-value is to be tested, so that a true null hypothesis is
    rejected at any of them with probability `level` at most.

    Args:
        fractions: for each look those of the information at all looks up to it, each as it was known then.
        level: of the one-sided test, in (0, 0.5).
        spending: a key of `SPENDING`.

    Returns:
        0 for a look at which nothing may be spent.
    """
    critical: list[float] = []
    for known in fractions:
        spent, density = _crossed_before(known, critical)
        allowed = min(SPENDING[spending](level, min(known[-1], 1.0)), level) - spent
        before = known[-2] if len(known) > 1 else 0.0
        if len(known) > 1 and known[-1] - before < NOTHING_NEW:
            critical.append(critical[-1])
        elif allowed <= 1e-12:
            critical.append(inf)
        else:
            critical.append(_critical(density, sqrt(known[-1] - before), allowed) / sqrt(known[-1]))
    return [float(normal_cdf(-each)) for each in critical]


Density = tuple[NDArray[np.float64], NDArray[np.float64]]  # places, and the probability that stands for each
START: Density = (np.zeros(1), np.ones(1))


def _crossed_before(fractions: Sequence[float], critical: Sequence[float]) -> tuple[float, Density]:
    """The probability under the null hypothesis that one of the earlier looks crossed its critical value, and where the
    sum of increments lies if none did."""
    density, spent, before = START, 0.0, 0.0
    for fraction, value in zip(fractions, critical, strict=False):
        if fraction - before < NOTHING_NEW:
            continue
        bound, step = value * sqrt(fraction), sqrt(fraction - before)
        spent += _beyond(density, step, bound)
        top = min(bound, REACH * sqrt(fraction))
        places = np.linspace(-REACH * sqrt(fraction), top, POINTS)
        weights = np.full(POINTS, places[1] - places[0])
        weights[[0, -1]] /= 2
        apart = (places[:, None] - density[0][None]) / step
        density = places, np.exp(-0.5 * apart**2) @ density[1] * weights / (step * sqrt(2 * np.pi))
        before = fraction
    return spent, density


def _beyond(density: Density, step: float, bound: float) -> float:
    """The probability that the next increment carries the sum beyond a bound."""
    return float(normal_cdf((density[0] - bound) / step) @ density[1]) if bound < inf else 0.0


def _critical(density: Density, step: float, probability: float) -> float:
    """The bound that is crossed with that probability."""

    def excess(bound: float) -> float:
        return _beyond(density, step, bound) - probability

    return _root(excess, -2 * REACH, 2 * REACH, xtol=1e-9)
