"""The words for what a comparison shows. No other module puts a claim into words."""

from dataclasses import dataclass
from typing import Literal

from .crossed import ALPHA, Comparison, Components
from .margins import equivalence, non_inferiority
from .power import POWER, minimum_detectable, needed

Kind = Literal["better", "worse", "equivalent", "no difference shown", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What may be said of variant a against b, at 5 %.

    `verdict` is for a table; `may` and `may_not` are sentences.
    """

    kind: Kind
    verdict: str
    may: str
    may_not: str


def claim(
    comparison: Comparison,
    margin: float,
    p_adjusted: float | None = None,
    *,
    a: str,
    b: str,
    metric: str,
    higher_is_better: bool = True,
) -> Claim:
    """Puts a comparison of variant a with variant b into words.

    Equivalence comes first: a difference that is significant but surely within the margin is still one that the study
    declared to be nothing.

    Args:
        comparison: of a with b.
        margin: differences below it count as practically nothing, in the unit of the scores; with 0 nothing is equal.
        p_adjusted: the comparison's p-value by `holm` when it is one of several, else left out.
        a: the variant's name.
        b: the baseline's name.
        metric: its label.
        higher_is_better: its direction.
    """
    if comparison.components is None:
        return _undecided(comparison, metric)
    p = comparison.p_value if p_adjusted is None else p_adjusted
    assert p is not None
    assert comparison.ci_low is not None
    assert comparison.ci_high is not None
    span = f"{comparison.ci_low:+.3g} to {comparison.ci_high:+.3g}"
    if _below_alpha(equivalence(comparison, margin)):
        return Claim(
            kind="equivalent",
            verdict=f"equivalent within {margin:g}",
            may=f"For new trainings and new images, the mean {metric} of {a} and {b} differs by less than {margin:g}.",
            may_not=f"That they are the same: a difference of {span} remains possible, and single images may differ.",
        )
    if p < ALPHA:
        word = "better" if (comparison.difference > 0) == higher_is_better else "worse"
        least = min(abs(comparison.ci_low), abs(comparison.ci_high))
        return Claim(
            kind=word,
            verdict=word,
            may=f"For new trainings and new images, the mean {metric} of {a} is {word} than that of {b}.",
            may_not=f"That every training or every image shows it, or by more than {least:.3g}: {span} is possible.",
        )
    smallest = minimum_detectable(comparison.components)
    is_spared = margin > 0 and _below_alpha(non_inferiority(comparison, margin, higher_is_better=higher_is_better))
    spared = f" {a} is worse by less than {margin:g}, if at all." if is_spared else ""
    return Claim(
        kind="no difference shown",
        verdict="no difference shown",
        may=f"A difference of {smallest:.2g} in {metric} would have been found in {POWER:.0%} of such studies.{spared}",
        may_not=f"That there is none: {span} remains possible.",
    )


def cost(components: Components, margin: float) -> str | None:
    """What it would take to find a difference as large as the margin, in a sentence; None where this study could."""
    if margin <= 0 or minimum_detectable(components) <= margin:
        return None
    least = needed(components, margin)
    ways = [f"{least.seeds} seeds a variant"] if least.seeds else []
    ways += [f"{least.images} images"] if least.images else []
    if not ways:
        return f"Neither more seeds nor more images alone would let a study like this find a difference of {margin:g}."
    return f"To find a difference of {margin:g} in {POWER:.0%} of such studies takes {' or '.join(ways)}."


def _below_alpha(p_value: float | None) -> bool:
    return p_value is not None and p_value < ALPHA


def _undecided(comparison: Comparison, metric: str) -> Claim:
    n_seeds = min(comparison.n_seeds_a, comparison.n_seeds_b)
    what = "1 seed" if n_seeds < 2 else "1 image"
    return Claim(
        kind="undecided",
        verdict=f"cannot be decided with {what}",
        may=f"These very checkpoints differ by {comparison.difference:+.3g} in mean {metric} on these very images.",
        may_not="Anything about the method: another seed or other images may turn the sign.",
    )
