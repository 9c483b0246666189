"""The words for what a comparison shows. No other module puts a claim into words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .crossed import Comparison, Components
from .intervals import ALPHA
from .margins import equivalence, non_inferiority
from .power import POWER, detectable, minimum_detectable, needed

Kind = Literal["better", "worse", "equivalent", "no difference shown", "undecided", "same"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What may be said of variant a against b, at 5 %.

    `verdict` is for a table, `may` a sentence of what may be said, `not_shown` the end of one that begins "It does not
    show".
    """

    kind: Kind
    verdict: str
    may: str
    not_shown: str


def claim(
    comparison: Comparison,
    margin: float,
    p_adjusted: float | None = None,
    *,
    a: str,
    b: str,
    metric: str,
    higher_is_better: bool = True,
    n_compared: int = 1,
    is_ordered: bool = False,
) -> Claim:
    """Puts a comparison of variant a with variant b into words.

    Equivalence comes first: a difference that is significant but surely within the margin is still one that the study
    declared to be nothing. What an earlier look showed is claimed though the last interval does not show it; that look
    is named then, and its interval quoted.

    Args:
        comparison: of a with b.
        margin: differences below it count as practically nothing, in the unit of the scores; with 0 nothing is equal.
        p_adjusted: the comparison's p-value by `holm`, or `in_order`, when it is one of several, else left out.
        a: the variant's name.
        b: the baseline's name.
        metric: its label.
        higher_is_better: its direction.
        n_compared: comparisons in the family that Holm's method counts, this one included; 1 in order.
        is_ordered: whether the family was tested in an order.
    """
    if comparison.too_few is not None:
        return _undecided(comparison, metric)
    p = comparison.p_value if p_adjusted is None else p_adjusted
    assert p is not None
    assert comparison.ci_low is not None
    assert comparison.ci_high is not None
    sign = comparison.looked.side if comparison.looked else 1 if comparison.difference > 0 else -1
    word = "better" if (sign > 0) == higher_is_better else "worse"
    new = "new images" if comparison.n_groups is None else "new groups of images"
    has_two = min(comparison.n_seeds_a, comparison.n_seeds_b) == 2
    by_chance = " Two seeds may lie close by chance; a third would tell." if has_two else ""
    if _below_alpha(equivalence(comparison, margin)):
        low, high, when = _proof(comparison, (1, margin), (-1, margin), level=ALPHA)
        inner = f"90 % interval {_signed(low)} to {_signed(high)}{when}, two one-sided tests"
        which = f"{a} is {word}, though by less than that" if p < ALPHA else "either may be ahead by less than that"
        return Claim(
            kind="equivalent",
            verdict=f"equivalent within {margin:g}{when}",
            may=f"For new trainings and {new}, {a} and {b} differ in mean {metric} by less than {margin:g} ({inner}).",
            not_shown=f"that they are the same: {which}, and single images may differ by more.{by_chance}",
        )
    if p < ALPHA:
        low, high, when = _proof(comparison, (sign, 0.0), level=ALPHA / 2)
        least = max(low, -high, 0.0)
        shown = f" (95 % interval {_signed(low)} to {_signed(high)}{when})" if when else ""
        return Claim(
            kind=word,
            verdict=f"{word}{when}",
            may=f"For new trainings and {new}, {a} is {word} than {b} in mean {metric}{shown}.",
            not_shown=f"that every training or every image agrees, nor that it is by more than {least:.3g}.{by_chance}",
        )
    smallest = detectable(comparison, n_compared)
    found = "Not even the largest possible difference"
    if smallest is not None:
        found = f"Only differences of about {smallest:.2g} or more"
    spared = ""
    if margin > 0 and _below_alpha(non_inferiority(comparison, margin, higher_is_better=higher_is_better)):
        *_, when = _proof(comparison, (1 if higher_is_better else -1, margin), level=ALPHA)
        spared = f" {a} is not worse than {b} by {margin:g} or more (one-sided test at 5 %{when and ','}{when})."
    if comparison.ci_low <= 0 <= comparison.ci_high:
        not_shown = "that there is no difference."
    elif is_ordered:
        not_shown = "a difference, though the 95 % interval leaves out 0: one before it in the order was not shown."
    else:
        not_shown = (
            f"a difference, though the 95 % interval leaves out 0: of {n_compared} comparisons one may do so by chance."
        )
    return Claim(
        kind="no difference shown",
        verdict="no difference shown",
        may=f"{found} in {metric} would be found in {_such(is_looked=comparison.looked is not None)}.{spared}",
        not_shown=f"{not_shown}{by_chance}",
    )


def same_scores(a: str, b: str) -> Claim:
    """Of a variant whose table of scores is the baseline's: there is nothing to compare."""
    return Claim(
        kind="same",
        verdict="the same scores",
        may=f"{a} has exactly {b}'s scores, seed by seed and image by image.",
        not_shown="that two methods do equally well: look first whether one training stands under two names.",
    )


def same_training(variants: Sequence[str], *, by_scores: bool = False) -> str:
    """Of variants that are not compared, because they are one; a sentence but for its stop. What only scores tell is
    that they are as one training's under several names."""
    names = f"{', '.join(variants[:-1])} and {variants[-1]}"
    if by_scores:
        return (
            f"{names} have exactly the same scores, seed by seed and image by image, like one training under several "
            "names; look which of their settings changes nothing"
        )
    return f"{names} are one and the same training, for their settings come to the same trials"


def cost(components: Components, margin: float, n_compared: int = 1, *, is_looked: bool = False) -> str | None:
    """What it would take to find a difference as large as the margin, in a sentence; None where this study could."""
    alpha = ALPHA / n_compared
    if margin <= 0 or minimum_detectable(components, alpha=alpha) <= margin:
        return None
    least = needed(components, margin, alpha=alpha)
    n_seeds = " and ".join(map(str, dict.fromkeys(components.n_seeds)))
    more_seeds = least.seeds is not None and least.seeds > min(components.n_seeds)
    ways = [f"{least.seeds} seeds a variant instead of {n_seeds}"] if more_seeds else []
    kind, wanted = ("images", least.images) if components.n_groups is None else ("groups of images", least.groups)
    ways += [f"{wanted} {kind} instead of {components.n}"] if wanted is not None and wanted > components.n else []
    if not ways:
        return f"Neither more seeds nor more {kind} alone would let a study like this find a difference of {margin:g}."
    return f"To find a difference of {margin:g} in {_such(is_looked=is_looked)} takes {' or '.join(ways)}."


def _such(*, is_looked: bool) -> str:
    """The studies that power is told of, which have one look."""
    return f"{100 * POWER:.0f} % of such studies{' with a number of seeds fixed beforehand' if is_looked else ''}"


def _proof(comparison: Comparison, *sides: tuple[int, float], level: float) -> tuple[float, float, str]:
    """The interval that shows sign * difference > -margin for each (sign, margin), as it is told.

    It is the last look's if that shows it, else that of the last look that does. Of two sides that no look shows
    together each end is of a look of its own.

    Returns:
        Its ends, each of which fails with probability `level`, and where it is not the last look's a phrase that says
        whose it is.
    """
    is_90 = level == ALPHA
    low, high = (comparison.tost_low, comparison.tost_high) if is_90 else (comparison.ci_low, comparison.ci_high)
    assert low is not None
    assert high is not None
    looked = comparison.looked
    if looked is None:
        return low, high, ""
    together = looked.last_showing(*sides, level=level)
    found = [together] * 2 if together else [looked.last_showing(side, level=level) or looked for side in sides]
    numbers = list(dict.fromkeys(each.looks[-1].n_seeds for each in found))
    if numbers == [looked.looks[-1].n_seeds]:
        return low, high, ""
    when = f"look after {numbers[0]} seeds" if len(numbers) == 1 else f"looks after {numbers[0]} and {numbers[1]} seeds"
    return found[0].end(1, level), found[-1].end(-1, level), f" at the {when}"


def _signed(value: float) -> str:
    """With a true minus sign."""
    text = f"{value:+.3g}"
    return (f"{value:+.5f}" if "e-" in text else text).replace("-", "\N{MINUS SIGN}")


def _below_alpha(p_value: float | None) -> bool:
    return p_value is not None and p_value < ALPHA


def _undecided(comparison: Comparison, metric: str) -> Claim:
    return Claim(
        kind="undecided",
        verdict=f"cannot be decided with {comparison.too_few}",
        may=f"These very checkpoints differ by {_signed(comparison.difference)} in mean {metric} on these very images.",
        not_shown="anything about the method: another seed or other images may turn the sign.",
    )
