"""Tests against a margin below which a difference is practically nothing; neither is adjusted for a family."""

from .crossed import Comparison
from .intervals import student_cdf


def equivalence(comparison: Comparison, margin: float) -> float | None:
    """P-value of two one-sided tests: below 0.05, the difference lies within (-margin, margin).

    The same as `tost_low` and `tost_high` both lying within. None without a claim. Of a study that was looked at the
    overall p-value, which holds over all looks.

    Args:
        comparison: of two variants.
        margin: in the unit of the scores, 0 or more; declared before the scores are seen.

    Raises:
        ValueError: the margin is negative.

    Source: Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15(6).
    """
    low, high = _p_within(comparison, margin, 1), _p_within(comparison, margin, -1)
    return None if low is None or high is None else max(low, high)


def non_inferiority(comparison: Comparison, margin: float, *, higher_is_better: bool = True) -> float | None:
    """P-value of a one-sided test: below 0.05, variant a is worse than b by less than the margin, if at all.

    None without a claim.

    Args:
        comparison: of a with b.
        margin: in the unit of the scores, 0 or more; declared before the scores are seen.
        higher_is_better: the metric's direction.

    Raises:
        ValueError: the margin is negative.
    """
    return _p_within(comparison, margin, 1 if higher_is_better else -1)


def _p_within(comparison: Comparison, margin: float, sign: int) -> float | None:
    """P-value for sign * difference > -margin."""
    if not margin >= 0:
        raise ValueError(f"margin must be 0 or more, got {margin}")
    if comparison.error is None or comparison.df is None:
        return None
    if comparison.looked is not None:
        return comparison.looked.overall_p(sign, margin)
    distance = sign * comparison.difference + margin
    if comparison.error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(student_cdf(comparison.df, -distance / comparison.error))
