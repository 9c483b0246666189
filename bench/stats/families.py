"""P-values adjusted for the family of tests that they form; None (no test) stays None and does not count."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

from .crossed import Comparison


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Controls the chance of even one false rejection in the family, whatever the dependence; verdicts use this one.

    Source: Holm (1979), Scandinavian Journal of Statistics 6(2).

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    return _over_tests(p_values, _stepped_down)


def holm_over(comparisons: Sequence[Comparison]) -> list[float | None]:
    """`holm` over the tests of comparisons. One that says nothing though it has two seeds and two images counts as a
    test that rejects nothing: whether it does is known from its scores alone, and must not make the others easier. So
    does one of two groups of images."""
    return _over_comparisons(comparisons, holm)


def in_order(p_values: Sequence[float | None]) -> list[float | None]:
    """Controls the same where the tests come in an order that was declared before: each at the full level, until one
    does not reject.

    Source: Maurer, Hothorn and Lehmacher (1995), in "Biometrie in der chemisch-pharmazeutischen Industrie" 6.

    >>> in_order([0.01, None, 0.2, 0.03])
    [0.01, None, 0.2, 0.2]
    """
    return _over_tests(p_values, np.maximum.accumulate)


def in_order_over(comparisons: Sequence[Comparison]) -> list[float | None]:
    """`in_order` over the tests of comparisons, with `holm_over`'s care for those that say nothing."""
    return _over_comparisons(comparisons, in_order)


def _over_comparisons(
    comparisons: Sequence[Comparison], adjust: Callable[[Sequence[float | None]], list[float | None]]
) -> list[float | None]:
    refused = [
        c.p_value is None and min(c.n_seeds_a, c.n_seeds_b, c.n_images if c.n_groups is None else c.n_groups) >= 2
        for c in comparisons
    ]
    adjusted = adjust(
        [1.0 if said_nothing else c.p_value for c, said_nothing in zip(comparisons, refused, strict=True)]
    )
    return [None if said_nothing else p for p, said_nothing in zip(adjusted, refused, strict=True)]


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Controls the expected share of false ones among the rejections, for screening many metrics or variants.

    Source: Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57(1).

    >>> benjamini_hochberg([0.01, None, 0.04, 0.03])
    [0.03, None, 0.04, 0.04]
    """
    return _over_tests(p_values, cast(Any, stats).false_discovery_control)


def _stepped_down(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest of m times m, the next times m - 1 and so on, none below the one before it, none above 1."""
    order = np.argsort(p_values)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.maximum.accumulate(p_values[order] * np.arange(p_values.size, 0, -1)).clip(max=1)
    return adjusted


def _over_tests(
    p_values: Sequence[float | None], adjust: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> list[float | None]:
    tested = [index for index, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    if tested:
        values = np.array([p_values[index] for index in tested], dtype=np.float64)
        for index, value in zip(tested, adjust(values), strict=True):
            adjusted[index] = float(value)
    return adjusted
