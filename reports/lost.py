"""What is lost, in words: scores under an artifact or on another set against those without or at home."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..bench.stats import ALPHA
from .notes import digits_of, heading, number
from .tables import KNOWN


def amount(metric: str, lost: float, low: float | None, high: float | None, too_few: str | None = None) -> str:
    """How much of a metric is lost or gained, with its 95 % interval; 0 or more lost reads as lost.

    >>> amount("dice", 0.03, 0.02, 0.04), amount("dice", -0.16, -0.2, -0.1)
    ('Dice lost 0.030 [0.020, 0.040]', 'Dice gained 0.160 [0.100, 0.200]')
    """
    words = ("lost", "gained") if KNOWN[metric].higher_is_better else ("worse by", "better by")
    return f"{heading(metric)} {words[round(lost, digits_of(metric)) < 0]} {spread(metric, lost, low, high, too_few)}"


def spread(metric: str, lost: float, low: float | None, high: float | None, too_few: str | None = None) -> str:
    """The size of a loss, or of a gain, and its interval."""
    digits = digits_of(metric)
    if round(lost, digits) < 0:
        lost, low, high = -lost, None if high is None else -high, None if low is None else -low
    if low is None or high is None:
        return f"{number(abs(lost), digits)} (no interval with {too_few})"
    return f"{number(abs(lost), digits)} [{number(low, digits)}, {number(high, digits)}]"


def sentence(metric: str, lost: float, low: float | None, high: float | None, too_few: str | None = None) -> str:
    """The same for a sentence that begins with who loses it.

    >>> sentence("dice", 0.03, 0.02, 0.04)
    'lost 0.030 Dice (95 % CI 0.020 to 0.040)'
    """
    digits = digits_of(metric)
    words = ("lost", "gained") if KNOWN[metric].higher_is_better else ("was worse by", "was better by")
    is_gain = round(lost, digits) < 0
    size = f"{words[is_gain]} {number(abs(lost), digits)} {heading(metric)}"
    if low is None or high is None:
        return f"{size} (no interval with {too_few})"
    ends = (-high, -low) if is_gain else (low, high)
    return f"{size} (95 % CI {' to '.join(number(each, digits) for each in ends)})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be claimed of a loss."""

    kind: Literal["loses", "gains", "not shown", "undecided"]
    text: str


def verdict(
    low: float | None, high: float | None, p_value: float | None, margin: float, too_few: str | None
) -> Verdict:
    """What may be claimed of a loss with this 95 % interval: its sign by `p_value`, which may be adjusted for others,
    and how it compares with what the study calls practically nothing."""
    if low is None or high is None or p_value is None:
        return Verdict("undecided", f"cannot be decided with {too_few}")
    end = f", less than the margin of {margin:g}" if -margin < low and high < margin else ""
    if p_value >= ALPHA:
        return Verdict("not shown", f"no loss shown{end}")
    if low + high > 0:
        more = f", more than the margin of {margin:g}" if low > margin > 0 else ""
        return Verdict("loses", f"loses{end or more}")
    return Verdict("gains", f"gains{end}")


def more_or_less(metric: str, row: Mapping[str, Any], baseline: str) -> str:
    """How a loss compares with the baseline's: "0.012 [0.008, 0.016] less than medlitenet"."""
    difference, low, high = row["difference"], row["ci_low"], row["ci_high"]
    digits = digits_of(metric)
    word = "less" if difference < 0 else "more"
    if low is None:
        return f"{number(abs(difference), digits)} {word} than {baseline}"
    ends = (low, high) if difference >= 0 else (-high, -low)
    return (
        f"{number(abs(difference), digits)} [{', '.join(number(each, digits) for each in ends)}] {word} than {baseline}"
    )
