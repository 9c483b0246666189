"""P-values adjusted for the family of tests that they form; None (no test) stays None and does not count."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]
from statsmodels.stats import multitest  # pyright: ignore[reportMissingTypeStubs]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Controls the chance of even one false rejection in the family, whatever the dependence; verdicts use this one.

    Source: Holm (1979), Scandinavian Journal of Statistics 6(2).

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    return _over_tests(p_values, lambda tested: cast(Any, multitest).multipletests(tested, method="holm")[1])


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Controls the expected share of false ones among the rejections, for screening many metrics or variants.

    Source: Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57(1).

    >>> benjamini_hochberg([0.01, None, 0.04, 0.03])
    [0.03, None, 0.04, 0.04]
    """
    return _over_tests(p_values, cast(Any, stats).false_discovery_control)


def _over_tests(p_values: Sequence[float | None], adjust: Callable[[list[float]], Any]) -> list[float | None]:
    tested = [index for index, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    if tested:
        values = np.asarray(adjust([cast(float, p_values[index]) for index in tested]), dtype=np.float64)
        for index, value in zip(tested, values, strict=True):
            adjusted[index] = float(value)
    return adjusted
