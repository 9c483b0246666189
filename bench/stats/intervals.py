"""Intervals that say no more than is known, the same everywhere: of means inside what scores can be, of differences
Student's or none.

Of a mean. Scores that have bounds, 0 and 1 or 0 alone, have a mean inside them, and near a bound what is known of it is
lopsided. The interval is Student's on a scale that has no bounds, by the delta method:

    logit(mean) -+ t * error / (mean * (1 - mean))  in [0, 1],    log(mean) -+ t * error / mean  above 0

On the log scale fewer than two degrees of freedom reach up to anything; there it is Student's own, cut at 0. Where
every score is at a bound there is no spread to go by: N images without a miss, or without a hit, leave the interval of
N coins, in which (1 - level) / 2 = end^N (Clopper and Pearson 1934, Biometrika 26), and N distances of 0 leave none.
Images in groups are as many coins as there are groups (`groups.Groups.effective`).

Of a difference: Student's own, so that test and interval agree, cut at what two means can differ by. With fewer than
two degrees of freedom, or where it is wider than the range of the scores, it says nothing; then there is neither
interval nor test. One that is cut but not so wide says much: a model that fails lies far below one that does not.
Groups of images that count for fewer than three of one size leave neither, whatever the scores: were it left to the
degrees of freedom of the whole error, those studies would be decided whose groups happen to be alike.

`tests/benchmarks/coverage.py` prints how often intervals of means hold the truth, beside others that could have been
chosen, and `calibration.py` what remains of differences.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf, log
from typing import Any, NamedTuple, cast

from scipy import special  # pyright: ignore[reportMissingTypeStubs]

ALPHA = 0.05  # of verdicts: the share of true null hypotheses that may be rejected
LEAST_DF = 2 - 1e-9  # three seeds and three images leave 2 or more, but for rounding
Bounds = tuple[float, float]  # the least and the largest that a score can be; infinite where there is none
Ends = tuple[float, float] | tuple[None, None]
UNBOUNDED = (-inf, inf)

student_cdf: Callable[[float, float], float] = cast(Any, special).stdtr  # of (df, t)
student_quantile: Callable[[float, float], float] = cast(Any, special).stdtrit  # of (df, probability)
_expit: Callable[[float], float] = cast(Any, special).expit


class Term(NamedTuple):
    """A part of an error's variance, and the seeds, images or groups that it was estimated from."""

    variance: float  # 0 or more
    n: int  # 2 or more
    kind: str  # "seeds", "images" or "groups"
    effective: float | None = None  # of groups, how many of one size they count for

    @property
    def df(self) -> float:
        return (self.n if self.effective is None else self.effective) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What a difference allows to say; without a claim everything but `too_few` and `reason` is None."""

    error: float | None = None
    df: float | None = None
    ci: Ends = (None, None)
    tost: Ends = (None, None)  # at 1 - 2 * ALPHA, whatever the level of `ci`
    p_value: float | None = None  # two-sided, for a difference of 0
    too_few: str | None = None  # what there should be more of: "2 seeds"
    reason: str | None = None


def total_error(terms: Sequence[Term]) -> tuple[float, float]:
    """The root of a sum of estimated variances, and its degrees of freedom by Satterthwaite."""
    total = sum(term.variance for term in terms)
    squares_by_df = sum(term.variance**2 / term.df for term in terms)
    return total**0.5, total**2 / squares_by_df if squares_by_df > 0 else float(sum(term.df for term in terms))


def of_mean(mean: float, terms: Sequence[Term], n_images: float, *, level: float, bounds: Bounds) -> Ends:
    """The interval of a mean.

    Args:
        mean: of scores within the bounds.
        terms: the parts of its error.
        n_images: that it is the mean of; where they come in groups, the groups of one size that these count for.
        level: coverage, in (0, 1).
        bounds: of the scores.
    """
    error, df = total_error(terms)
    low, high = bounds
    width = error * _quantile(df, level)
    if low == -inf or (error == 0 and low < mean < high):
        return mean - width, mean + width
    if high == inf and mean == low:
        return None, None
    if high == inf and df < LEAST_DF:
        return max(mean - width, low), mean + width
    if high == inf:
        factor = exp(width / (mean - low))
        return low + (mean - low) / factor, low + (mean - low) * factor
    span = high - low
    if mean in bounds:
        reach = span * (1 - ((1 - level) / 2) ** (1 / n_images))
        return (low, low + reach) if mean == low else (high - reach, high)
    share = (mean - low) / span
    center, half = log(share / (1 - share)), width / (span * share * (1 - share))
    return low + span * _expit(center - half), low + span * _expit(center + half)


def tested(difference: float, terms: Sequence[Term], *, level: float, largest: float, rounding: float) -> Tested:
    """The interval and the test of a difference between two means, or why there are none.

    Args:
        difference: as estimated.
        terms: the parts of its error.
        level: coverage of the interval, in (0, 1).
        largest: difference that two means can have, infinite where that is not known.
        rounding: what a difference may be by rounding alone.
    """
    error, df = total_error(terms)
    low, high = interval(difference, error, df, level)
    if uneven := [term for term in terms if term.effective is not None and term.df < LEAST_DF]:
        few = f"{uneven[0].n} {uneven[0].kind}"
        reason = (
            f"{few} of images, as unequal as they are, tell less than 3 equal ones would, the least that a test takes"
        )
        return Tested(too_few=few, reason=reason)
    if df < LEAST_DF:
        few = _scarcest(terms)
        reason = f"{few} leave fewer than the 2 degrees of freedom that an interval takes"
        return Tested(too_few=few, reason=reason)
    if high - low > largest:
        few = _scarcest(terms)
        return Tested(too_few=few, reason=f"the interval that {few} leave is wider than the range of the scores")
    inner = interval(difference, error, df, 1 - 2 * ALPHA)
    return Tested(
        error=error,
        df=df,
        ci=(max(low, -largest), min(high, largest)),
        tost=(max(inner[0], -largest), min(inner[1], largest)),
        # Sums of equal numbers differ in their last digit: without this floor, that would be significant.
        p_value=float(2 * student_cdf(df, -abs(difference) / max(error, rounding))),
    )


def largest_difference(bounds: Bounds | None) -> float:
    """What two means of scores within the bounds can differ by."""
    low, high = bounds or UNBOUNDED
    return high - low


def interval(center: float, error: float, df: float, level: float) -> tuple[float, float]:
    """center -+ t * error, covering `level` of Student's t distribution."""
    width = error * _quantile(df, level)
    return center - width, center + width


def _quantile(df: float, level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    return float(student_quantile(df, (1 + level) / 2))


def _scarcest(terms: Sequence[Term]) -> str:
    """What the largest part of the error comes from, and how many of it there are."""
    worst = max(terms, key=lambda term: term.variance)
    return f"{worst.n} {worst.kind}"
