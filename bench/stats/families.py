"""P-values adjusted for the family of tests that they form; None (no test) stays None and does not count."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .tables import SINGLE


class Test(Protocol):
    """What became of a test."""

    @property
    def p_value(self) -> float | None: ...
    @property
    def too_few(self) -> str | None: ...  # where nothing is said, of what there is too little


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Controls the chance of even one false rejection in the family, whatever the dependence; verdicts use this one.

    Source: Holm (1979), Scandinavian Journal of Statistics 6(2).

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    return _over_tests(p_values, _stepped_down)


def holm_over(family: Sequence[Test]) -> list[float | None]:
    """`holm` over comparisons, gaps or the like. One that says nothing though it has two seeds and two images counts as
    a test that rejects nothing: whether it does is known from its scores alone, and must not make the others easier. So
    does one of two groups of images."""
    return _over(family, holm)


def in_order(p_values: Sequence[float | None]) -> list[float | None]:
    """Controls the same where the tests come in an order that was declared before: each at the full level, until one
    does not reject.

    Source: Maurer, Hothorn and Lehmacher (1995), in "Biometrie in der chemisch-pharmazeutischen Industrie" 6.

    >>> in_order([0.01, None, 0.2, 0.03])
    [0.01, None, 0.2, 0.2]
    """
    return _over_tests(p_values, np.maximum.accumulate)


def in_order_over(family: Sequence[Test]) -> list[float | None]:
    """`in_order` over the same, with `holm_over`'s care for those that say nothing."""
    return _over(family, in_order)


def n_tests(family: Sequence[Test]) -> int:
    """How many `holm_over` counts."""
    return sum(each.p_value is not None or _said_nothing(each) for each in family)


def _over(family: Sequence[Test], adjust: Callable[[Sequence[float | None]], list[float | None]]) -> list[float | None]:
    adjusted = adjust([1.0 if _said_nothing(each) else each.p_value for each in family])
    return [None if _said_nothing(each) else p for each, p in zip(family, adjusted, strict=True)]


def _said_nothing(test: Test) -> bool:
    return test.p_value is None and test.too_few is not None and test.too_few not in SINGLE


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
