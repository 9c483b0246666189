"""One set of trainings on two samples of images that have nothing in common: strata of a test set, or two data sets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .crossed import checked_table, interval, residual_square, student_cdf, total_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Mean of the first sample minus mean of the second, in the unit of the scores.

    With one training, or one image in a sample, everything but the gap is None.
    """

    gap: float
    error: float | None  # standard error for new trainings and new images of either kind
    df: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None  # two-sided, for a gap of 0


def gap(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Gap:
    """How much higher the same trainings score on one sample of images than on another.

    The trainings are paired: seed s has a gap of its own, g[s]. The images are not: each sample has its own. So

        Var = var_s(g) / S + max(M_img_1 - M_res_1 / S, 0) / N_1 + max(M_img_2 - M_res_2 / S, 0) / N_2

    with mean squares as in `crossed`; degrees of freedom by Satterthwaite.

    Args:
        first: (S, N_1) scores, a row a training.
        second: (S, N_2) scores of the same trainings in the same order.
        level: coverage of the interval, in (0, 1).

    Raises:
        MedbenchError: a score is missing or infinite.
        ValueError: the tables have not the same number of rows.
    """
    tables = (checked_table(first, "first"), checked_table(second, "second"))
    n_seeds = len(tables[0])
    if len(tables[1]) != n_seeds:
        raise ValueError(f"first has {n_seeds} trainings and second {len(tables[1])}; give the same ones")
    gaps = tables[0].mean(axis=1) - tables[1].mean(axis=1)
    mean = float(gaps.mean())
    if n_seeds < 2 or min(table.shape[1] for table in tables) < 2:
        return Gap(gap=mean, error=None, df=None, ci_low=None, ci_high=None, p_value=None)
    terms, dfs = [float(gaps.var(ddof=1)) / n_seeds], [n_seeds - 1]
    for table in tables:
        n_images = table.shape[1]
        images = float(table.mean(axis=0).var(ddof=1)) - residual_square(table) / n_seeds
        terms.append(max(images, 0.0) / n_images)
        dfs.append(n_images - 1)
    error, df = total_error(terms, dfs)
    low, high = interval(mean, error, df, level)
    p_value = float(2 * student_cdf(df, -abs(mean) / max(error, np.finfo(np.float64).tiny)))
    return Gap(gap=mean, error=error, df=df, ci_low=low, ci_high=high, p_value=p_value)
