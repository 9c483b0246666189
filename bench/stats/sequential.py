"""Looking at a study while its seeds come in, and stopping when it is decided, with the error held over all looks.

The difference after S seeds of each variant and its variance for new seeds and new images are those of `crossed`. Since
the images are the same at every look, the differences d_S and d_T at two of them have the covariance

    Cov(d_S, d_T) = Var(d_T)    for S < T

which makes them a canonical sequence (Jennison and Turnbull 2000, "Group sequential methods with applications to
clinical trials", chapter 3): with 1 / Var as information, looks behave as sums of independent increments. The images'
part of the variance does not shrink with seeds, so information does not grow as seeds do: where images cause most of
the error, even the first look has nearly all of it. The fraction of all information that a look has,

    t = Var(d at the most seeds that are planned) / Var(d now),    and 1 at the last planned look,

is therefore taken from the variance components as they are known by then. Of the level of a test alpha(t) is spent by
a look (Lan and DeMets 1983, Biometrika 70(3)). A look's critical value follows from those of the looks before it by
numerical integration (Armitage, McPherson and Rowe 1969, JRSS A 132(2)), and becomes a level for the p-value of
Student's test at that look, as is usual where variances are estimated (Jennison and Turnbull, chapter 11).

What is told of a study that was looked at is: of each test the overall p-value, the least level at which some look
would have crossed (Liu and Anderson 2008, JASA 103(484)), to which Holm's method applies (Maurer and Bretz 2013,
Statistics in Biopharmaceutical Research 5(4)); and the repeated confidence interval of the last look, which covers at
all looks together, whatever made the study stop (Jennison and Turnbull 1989, JRSS B 51(3)). Where a study went on for
another comparison's sake, the last interval may no longer show what an earlier one did. That stays shown, and the
interval of the look that showed it is told (`claims`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, inf, log, sqrt
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special  # pyright: ignore[reportMissingTypeStubs]

from .intervals import student_cdf, student_quantile

normal_cdf: Callable[[Any], Any] = cast(Any, special).ndtr
normal_quantile: Callable[[float], float] = cast(Any, special).ndtri
chi_square_above: Callable[[float, Any], Any] = cast(Any, special).chdtri  # what it exceeds with that probability
_root: Callable[..., float] = cast(Any, optimize).brentq

POINTS = 240  # of the grid that densities are integrated on
REACH = 7.0  # standard deviations below 0 at which the grid begins
MOST = 0.499  # the largest level of a one-sided test that is looked at
LEAST_LEVEL = 1e-12  # in the place of nothing, where an interval would have no ends
HALVINGS = 24  # of the range of logarithms that an overall p-value is looked for in
NOTHING_NEW = 5e-4  # of all information: a look that adds less is tested like the one before it


def _obrien_fleming(level: float, fraction: float) -> float:
    return 2 * (1 - float(normal_cdf(-normal_quantile(level / 2) / sqrt(fraction))))


def _pocock(level: float, fraction: float) -> float:
    return level * log(1 + (exp(1) - 1) * fraction)


SPENDING: Mapping[str, Callable[[float, float], float]] = {"obrien-fleming": _obrien_fleming, "pocock": _pocock}


@dataclass(frozen=True, slots=True)
class Looks:
    """When a study is looked at, planned before the first look.

    Attributes:
        seeds: numbers of seeds of each variant, ascending; the last is where it ends, decided or not.
        spending: a key of `SPENDING`.
    """

    seeds: tuple[int, ...]
    spending: str = "obrien-fleming"


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one look.

    Attributes:
        n_seeds: of each variant.
        difference: in the unit of the scores.
        error: of the difference, above 0.
        df: its degrees of freedom.
        fractions: of the information, at this look and those before it, as known at this one.
    """

    n_seeds: int
    difference: float
    error: float
    df: float
    fractions: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """All looks so far at which something could be tested.

    Attributes:
        plan: of the looks.
        looks: one at least.
    """

    plan: Looks
    looks: tuple[Look, ...]

    def overall_p(self, sign: int, margin: float = 0.0) -> float:
        """The overall one-sided p-value for sign * difference > -margin; 0.5 where it is larger."""
        p_values = self._p_values(sign, margin)
        return _overall(p_values, tuple(look.fractions for look in self.looks), self.plan.spending)

    def rejects(self, sign: int, margin: float = 0.0, *, level: float) -> bool:
        """Whether some look so far crossed at this level: whether `overall_p` is no larger, without a search."""
        own = nominal_levels([look.fractions for look in self.looks], level, self.plan.spending)
        return any(p <= each for p, each in zip(self._p_values(sign, margin), own, strict=True))

    @property
    def side(self) -> int:
        """The sign of the difference that the looks together speak for; that of the last one may be the other."""
        return 1 if self.overall_p(1) <= self.overall_p(-1) else -1

    def last_showing(self, *sides: tuple[int, float], level: float) -> "Looked | None":
        """All looks up to the last one whose interval shows sign * difference > -margin for each (sign, margin)."""
        own = nominal_levels([look.fractions for look in self.looks], level, self.plan.spending)
        every = zip(own, *(self._p_values(*side) for side in sides), strict=True)
        shown = [place for place, (each, *p_values) in enumerate(every, start=1) if max(p_values) <= each]
        return replace(self, looks=self.looks[: shown[-1]]) if shown else None

    def half_width(self, level: float) -> float:
        """Of the repeated confidence interval at the last look, each of whose ends fails with probability `level`."""
        last = self.looks[-1]
        nominal = nominal_levels([look.fractions for look in self.looks], level, self.plan.spending)[-1]
        return -float(student_quantile(last.df, max(nominal, LEAST_LEVEL))) * last.error

    def end(self, sign: int, level: float) -> float:
        """The lower end of that interval for 1, the upper one for -1."""
        return self.looks[-1].difference - sign * self.half_width(level)

    def _p_values(self, sign: int, margin: float) -> tuple[float, ...]:
        """Of the looks, each by itself."""
        return tuple(
            float(student_cdf(look.df, -(sign * look.difference + margin) / look.error)) for look in self.looks
        )


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
    critical = _critical_values(tuple(map(tuple, fractions)), level, spending)
    return [float(normal_cdf(-each)) for each in critical]


@lru_cache(maxsize=4096)  # the looks before keep their values, so that one more look costs one more value
def _critical_values(fractions: tuple[tuple[float, ...], ...], level: float, spending: str) -> tuple[float, ...]:
    if not fractions:
        return ()
    critical, known = _critical_values(fractions[:-1], level, spending), fractions[-1]
    before, now = (0.0, *known)[-2:]
    if len(known) > 1 and now - before < NOTHING_NEW:
        return (*critical, critical[-1])
    spent, density = _crossed_before(known, critical)
    allowed = min(SPENDING[spending](level, min(now, 1.0)), level) - spent
    if allowed <= LEAST_LEVEL:
        return (*critical, inf)
    return (*critical, _critical(density, sqrt(now - before), allowed) / sqrt(now))


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


@lru_cache(maxsize=4096)
def _overall(p_values: tuple[float, ...], fractions: tuple[tuple[float, ...], ...], spending: str) -> float:
    def crosses(level: float) -> bool:
        return any(p <= own for p, own in zip(p_values, nominal_levels(fractions, level, spending), strict=True))

    low, high = max(min(p_values), LEAST_LEVEL), MOST
    if not crosses(high):
        return 0.5
    if crosses(low):
        return low
    for _ in range(HALVINGS):
        middle = sqrt(low * high)
        low, high = (low, middle) if crosses(middle) else (middle, high)
    return high
