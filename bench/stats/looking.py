"""Comparisons of a study that is looked at while its seeds come in; see `sequential`."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .crossed import Comparison, Components, compare
from .groups import Labels
from .intervals import ALPHA, Bounds
from .sequential import Look, Looked, Looks, chi_square_above, normal_cdf
from .tables import Table, checked_pair

LIKELY = 64  # values that stand for a distribution


def compare_in_looks(
    a: ArrayLike,
    b: ArrayLike,
    *,
    looks: Looks,
    level: float = 0.95,
    bounds: Bounds | None = None,
    groups: Labels | None = None,
    n_complete: int | None = None,
) -> Comparison:
    """`compare` at the last of the planned looks that both tables have the seeds for, with the error held over all
    looks so far: `p_value` is the overall one, and intervals are repeated confidence intervals.

    Seeds beyond the last complete look wait for the next one. Of a study that went on after the last planned look all
    seeds count as that look's.

    Args:
        a: (S_a, N) scores, a row a seed, in the order in which the seeds are trained.
        b: (S_b, N) likewise.
        looks: the plan.
        level: coverage of the interval, in (0, 1).
        bounds: as in `compare`.
        groups: as in `compare`.
        n_complete: seeds that every variant of the study has, which is looked at as a whole; None where these are all.

    Raises:
        MedbenchError: as in `compare`.
        ValueError: as in `compare`.
    """
    a, b = checked_pair(a, b, bounds)
    last, looked = looked_at(a, b, looks=looks, level=level, bounds=bounds, groups=groups, n_complete=n_complete)
    if looked is None:
        return last
    half, inner = (looked.half_width(each) for each in ((1 - level) / 2, ALPHA))
    return replace(
        last,
        p_value=min(1.0, 2 * min(looked.overall_p(1), looked.overall_p(-1))),
        ci_low=max(last.difference - half, -last.largest),
        ci_high=min(last.difference + half, last.largest),
        tost_low=max(last.difference - inner, -last.largest),
        tost_high=min(last.difference + inner, last.largest),
        looked=looked,
    )


def looked_at(
    a: Table,
    b: Table,
    *,
    looks: Looks,
    level: float,
    bounds: Bounds | None,
    groups: Labels | None,
    n_complete: int | None = None,
) -> tuple[Comparison, Looked | None]:
    """`compare` at the last look, and all looks; None for these where that one tests nothing, or needs no test."""
    both = min(len(a), len(b))
    n_complete = both if n_complete is None else min(both, n_complete)
    numbers = [number for number in looks.seeds if number <= n_complete]
    if not numbers:
        return _not_yet(compare(a, b, level=level, bounds=bounds, groups=groups), looks, n_complete), None
    if numbers[-1] == looks.seeds[-1]:
        numbers[-1] = n_complete
    found = [compare(a[:number], b[:number], level=level, bounds=bounds, groups=groups) for number in numbers]
    seen: list[Look] = []
    for number, each in zip(numbers, found, strict=True):
        if each.error and each.df and each.components:
            upto = [*(look.n_seeds for look in seen), number]
            fractions = tuple(_fraction(each.components, earlier, looks) for earlier in upto)
            seen.append(Look(number, each.difference, each.error, each.df, fractions))
    return found[-1], Looked(looks, tuple(seen)) if found[-1].error else None


def chance_at_next(comparison: Comparison, margin: float) -> float | None:
    """The chance, by what is known so far, that the next planned look decides; None without one, or without a test.

    The difference at the next look is taken to lie around that of now, with the variance that the seeds in between take
    away (a flat prior). What that variance is a few seeds tell poorly: it is taken to be what they say over a mean of
    squares (chi square over its degrees of freedom), and what is estimated of it then to be that of now and of the
    degrees of freedom in between together. Of several comparisons each is taken by itself, at the full level.

    Args:
        comparison: of `compare_in_looks`.
        margin: differences below it count as practically nothing, in the unit of the scores.
    """
    looked, components = comparison.looked, comparison.components
    if looked is None or components is None:
        return None
    now, plan = looked.looks[-1], looked.plan
    later = [number for number in plan.seeds if number > now.n_seeds]
    if not later:
        return None
    then, there = (components.error([count] * 2, components.n) for count in (later[0], now.n_seeds))
    error, df = now.error * then[0] / there[0], max(now.df * then[1] / there[1], now.df)
    upto = [*(look.n_seeds for look in looked.looks), later[0]]
    fractions = tuple(_fraction(components, each, plan) for each in upto)
    following = Looked(plan, (*looked.looks, Look(later[0], now.difference, error, df, fractions)))

    variance = 1 / _mean_squares(now.df)[:, None]  # over what is estimated now
    estimated = (now.df + (df - now.df) * variance * _mean_squares(df - now.df)) / df
    spread = np.sqrt(variance * max(now.error**2 - error**2, 1e-24))
    needed, equal = (np.sqrt(estimated) * following.half_width(level) for level in (ALPHA / 2, ALPHA))
    inner = margin - equal

    def beyond(bound: NDArray[np.float64]) -> NDArray[np.float64]:
        return normal_cdf((now.difference - bound) / spread)

    within = np.where(inner > 0, beyond(-inner) - beyond(inner), 0.0)
    return float(np.where(inner >= needed, 1.0, beyond(needed) + 1 - beyond(-needed) + within).mean())


def _mean_squares(df: float) -> NDArray[np.float64]:
    """Equally likely values of a mean of so many squares of standard normal numbers; of none 1."""
    if df <= 0:
        return np.ones(1)
    return np.asarray(chi_square_above(df, (np.arange(LIKELY) + 0.5) / LIKELY)) / df


def _fraction(components: Components, n_seeds: int, plan: Looks) -> float:
    """The share, in (0, 1], that so many seeds give of the information of all that are planned."""
    if n_seeds >= plan.seeds[-1]:
        return 1.0
    least, now = (components.error([count] * 2, components.n)[0] ** 2 for count in (plan.seeds[-1], n_seeds))
    return least / now


def _not_yet(comparison: Comparison, plan: Looks, n_complete: int) -> Comparison:
    nothing = dict.fromkeys(
        ("error", "df", "ci_low", "ci_high", "p_value", "tost_low", "tost_high", "seed_share", "components")
    )
    few = "1 seed" if n_complete == 1 else f"{n_complete} seeds"
    reason = f"the first look is planned after {plan.seeds[0]} seeds of every variant"
    return replace(comparison, **nothing, too_few=few, reason=reason)
