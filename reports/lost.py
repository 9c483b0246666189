"""What is lost, in words: scores under an artifact or on another set against those without or at home."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..bench.stats import ALPHA
from .notes import digits_of, heading, number
from .tables import KNOWN

LESS_IS_BETTER = {"loses": "gets worse", "gains": "gets better", "to lose or to gain": "to get worse or better"}


def amount(metric: str, lost: float, low: float | None, high: float | None, too_few: str | None = None) -> str:
    """How much of a metric is lost or gained, with its 95 % interval; 0 or more lost reads as lost.

    >>> amount("dice", 0.03, 0.02, 0.04), amount("dice", -0.16, -0.2, -0.1)
    ('Dice lost 0.030 [0.020, 0.040]', 'Dice gained 0.160 [0.100, 0.200]')
    """
    words = ("lost", "gained") if KNOWN[metric].higher_is_better else ("worse by", "better by")
    is_gain, *_ = _turned(metric, lost, low, high)
    return f"{heading(metric)} {words[is_gain]} {spread(metric, lost, low, high, too_few)}"


def taken(metric: str) -> str:
    """What happens to a metric that gets worse, in a word for headings.

    >>> taken("dice"), taken("hd95")
    ('lost', 'added')
    """
    return "lost" if KNOWN[metric].higher_is_better else "added"


def verb(metric: str, kind: str) -> str:
    """A verdict on a metric, for a sentence that names it: who loses pixels of a distance got better.

    >>> verb("dice", "loses"), verb("hd95", "loses")
    ('loses', 'gets worse')
    """
    return kind if KNOWN[metric].higher_is_better else LESS_IS_BETTER[kind]


def spread(metric: str, lost: float, low: float | None, high: float | None, too_few: str | None = None) -> str:
    """The size of a loss, or of a gain, and its interval."""
    _, size, ends = _turned(metric, lost, low, high)
    return f"{size} (no interval with {too_few})" if ends is None else f"{size} [{', '.join(ends)}]"


def sentence(metric: str, lost: float, low: float | None, high: float | None, too_few: str | None = None) -> str:
    """The same for a sentence that begins with who loses it.

    >>> sentence("dice", 0.03, 0.02, 0.04)
    'lost 0.030 Dice (95 % CI 0.020 to 0.040)'
    """
    is_gain, size, ends = _turned(metric, lost, low, high)
    words = ("lost", "gained") if KNOWN[metric].higher_is_better else ("was worse by", "was better by")
    sure = f"no interval with {too_few}" if ends is None else f"95 % CI {' to '.join(ends)}"
    return f"{words[is_gain]} {size} {heading(metric)} ({sure})"


def _turned(
    metric: str, lost: float, low: float | None, high: float | None
) -> tuple[bool, str, tuple[str, str] | None]:
    """Whether a loss, as it is printed, is a gain; its size, and the ends of its interval, turned with it."""
    digits = digits_of(metric)
    is_gain = round(lost, digits) < 0
    size = number(abs(lost), digits)
    if low is None or high is None:
        return is_gain, size, None
    first, last = (-high, -low) if is_gain else (low, high)
    return is_gain, size, (number(first, digits), number(last, digits))


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
    is_less, size, ends = _turned(metric, row["difference"], row["ci_low"], row["ci_high"])
    span = "" if ends is None else f" [{', '.join(ends)}]"
    return f"{size}{span} {'less' if is_less else 'more'} than {baseline}"
