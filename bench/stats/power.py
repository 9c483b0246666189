"""How small a difference a study can find, and what it would cost to find a smaller one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, cast

from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from .crossed import Comparison, Components
from .intervals import ALPHA, student_quantile

POWER = 0.8
MOST_SEEDS, MOST_IMAGES = 1_000, 1_000_000
_noncentrality: Callable[[float, float, float, float], float] = cast(Any, special).ncfdtrinc  # of (1, df, cdf, F)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Seeds of each variant, with the images at hand; and images, with the seeds at hand. None: no number is enough.

    Where images come in groups, `groups` is how many of the mean size are needed, with the seeds at hand, and `images`
    how many images these are.
    """

    seeds: int | None
    images: int | None
    groups: int | None = None


def minimum_detectable(
    components: Components,
    *,
    n_seeds: Sequence[int] | None = None,
    n_images: int | None = None,
    n_groups: int | None = None,
    power: float = POWER,
    alpha: float = ALPHA,
) -> float:
    """The true difference that the crossed test finds with probability `power`, in the unit of the scores.

    The components are taken for the truth, though they are estimates, and rough ones with few seeds.

    Args:
        components: of a `Comparison`.
        n_seeds: of each variant, 2 or more; by default those that the components were estimated from.
        n_images: 2 or more; by default those that the components were estimated from.
        n_groups: 2 or more, of the mean size, in the place of n_images where images come in groups.
        power: in (alpha, 1).
        alpha: level of the test; of one in a family of n by Holm, 0.05 / n at worst.

    Raises:
        ValueError: n_images of components by groups, or n_groups of others.

    Source: the square of a noncentral t is a noncentral F, whose noncentrality scipy inverts.
    """
    wrong = n_images if components.n_groups is not None else n_groups
    if wrong is not None:
        raise ValueError("say n_groups where images come in groups, else n_images")
    n = n_images or n_groups or components.n
    return _detected(components, n_seeds or components.n_seeds, n, power=power, alpha=alpha)


def _detected(components: Components, n_seeds: Sequence[int], n: int, *, power: float, alpha: float) -> float:
    error, df = components.error(n_seeds, n)
    beyond = student_quantile(df, 1 - alpha / 2) ** 2
    return error * _noncentrality(1, df, 1 - power, beyond) ** 0.5


def detectable(comparison: Comparison, n_compared: int = 1) -> float | None:
    """`minimum_detectable` of a comparison that is one of so many; None without a claim, and where no difference that
    there can be is so large."""
    if comparison.components is None:
        return None
    least = minimum_detectable(comparison.components, alpha=ALPHA / n_compared)
    return least if least <= comparison.largest else None


def needed(components: Components, difference: float, *, power: float = POWER, alpha: float = ALPHA) -> Needed:
    """The least numbers of seeds, or of images, with which `minimum_detectable` is no larger than `difference`.

    Args:
        components: of a `Comparison`.
        difference: above 0, in the unit of the scores: what would matter, not what was observed.
        power: in (alpha, 1).
        alpha: level of the test.

    Raises:
        ValueError: the difference is not above 0.
    """
    if not difference > 0:
        raise ValueError(f"difference must be above 0, got {difference}")
    variants = len(components.n_seeds)

    def found(n_seeds: Sequence[int], n: int) -> bool:
        return _detected(components, n_seeds, n, power=power, alpha=alpha) <= difference

    seeds = _least(lambda n: found([n] * variants, components.n), MOST_SEEDS)
    more = _least(lambda n: found(components.n_seeds, n), MOST_IMAGES)
    if components.n_groups is None:
        return Needed(seeds=seeds, images=more)
    images = None if more is None else ceil(more * components.n_images / components.n_groups)
    return Needed(seeds=seeds, images=images, groups=more)


def _least(enough: Callable[[int], bool], most: int) -> int | None:
    """The smallest number from 2 to `most` that is enough. More need not be: where images no longer count beside two
    seeds, those leave fewer degrees of freedom than both together did."""
    below = 1
    for number in _ladder(most):
        if enough(number):
            break
        below = number
    else:
        return None
    high = number
    while high - below > 1:
        middle = (below + high) // 2
        below, high = (below, middle) if enough(middle) else (middle, high)
    return high


def _ladder(most: int) -> Iterator[int]:
    """Numbers from 2 to `most`, each by a tenth larger than the one before, or by one."""
    number = 2
    while number < most:
        yield number
        number += max(1, number // 10)
    yield most
