"""What differences between variants mean for new seeds and new images.

Scores form a table of S seeds x N images per variant. Seeds are trainings of one variant, images are shared by all
variants and seeds: the layout of multi-reader studies in radiology, with trained models as readers. In

    y[s, i] = mean + image[i] + seed[s] + residual[s, i]

the variance of a variant's mean over both, for new seeds and new images, is estimated as

    M_img / N  +  max(M_seed / S - M_res / (S N), 0)

from three mean squares: M_img = var_i of the images' means over seeds, M_seed = var_s of the seeds' means over images
and M_res = the sum of squared residuals of the table over (S-1)(N-1). M_seed / S estimates seed variance / S plus
residual variance / (S N), and M_img / N holds that residual part already, hence the subtraction.
For a difference d of two variants, M_img is that of d[i] and each variant adds its own seed term.

Degrees of freedom (Satterthwaite 1946, Biometrics Bulletin 2(6)): a sum of c_k M_k, independent mean squares with f_k
degrees of freedom each and factors of either sign, is treated like one mean square with

    (sum c_k M_k)^2 / sum((c_k M_k)^2 / f_k)

of them. The mean squares that enter are those in the sum: M_img / N with N-1, and, of each variant whose seed term is
above 0, M_seed / S with S-1 and -M_res / (S N) with (S-1)(N-1). A term cut to 0 takes both out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from .errors import MedbenchError

Table = NDArray[np.float64]
Verdict = Literal["better", "worse", "no difference shown", "practically equal", "no claim"]

ALPHA = 0.05  # of verdicts: the share of true null hypotheses that may be rejected, in either of the two tests
_student_cdf: Callable[[float, float], float] = cast(Any, special).stdtr  # of (df, t)
_student_quantile: Callable[[float, float], float] = cast(Any, special).stdtrit  # of (df, probability)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Variant a minus variant b, in the unit of the scores; positive when a scores higher.

    Without a claim (`reason` says why) the interval, the equivalence interval, p_value and df are None.
    """

    difference: float
    ci_low: float | None
    ci_high: float | None
    p_value: float | None  # two-sided, for a difference of 0
    df: float | None
    effect_size: float | None  # mean / sd over images of the seed-averaged differences; None when they do not vary
    seed_share: float | None  # share in [0, 1] of the variance of `difference` that new seeds cause
    tost_low: float | None  # the 90 % interval: inside (-margin, margin) means equivalent at 5 %
    tost_high: float | None
    n_seeds_a: int
    n_seeds_b: int
    n_images: int
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Mean score of one variant, in the unit of the scores, with an interval for new seeds and new images.

    The interval and df are None with one seed or one image, as is the deviation over what there is one of.
    """

    mean: float
    sd_seeds: float | None  # of the seeds' means over images
    sd_images: float | None  # of the images' means over seeds
    ci_low: float | None
    ci_high: float | None
    df: float | None
    n_seeds: int
    n_images: int


def compare(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> Comparison:
    """The mean difference a - b with its test and its interval for new seeds and new images.

    Tables without any variance have an interval without width; p_value is then 1 for equal tables, else next to 0.

    Args:
        a: (S_a, N) scores, a row per seed, a column per image.
        b: (S_b, N) scores of the same images in the same order; seeds need not match, in number or value.
        level: coverage of the interval, in (0, 1).

    Source:
        The crossed layout of Obuchowski and Rockette (1995), Communications in Statistics B 24(2); see the module.
    """
    a, b = _table(a, "a"), _table(b, "b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a has {a.shape[1]} images and b {b.shape[1]}; compare scores of the same images")
    n_images = a.shape[1]
    of_images = a.mean(axis=0) - b.mean(axis=0)
    difference = float(of_images.mean())
    rounding = 1e-12 * float(max(np.abs(a).max(), np.abs(b).max())) + np.finfo(np.float64).tiny
    sd = float(of_images.std(ddof=1)) if n_images > 1 else 0.0
    ci = tost = (None, None)
    p_value = df = seed_share = None
    reason = _no_claim(a, b)
    if reason is None:
        variance, of_seeds, df = _crossed(of_images, (a, b))
        error = variance**0.5
        ci, tost = _interval(difference, error, df, level), _interval(difference, error, df, 1 - 2 * ALPHA)
        # Sums of equal numbers differ in their last digit: without this floor, that would be significant.
        p_value = float(2 * _student_cdf(df, -abs(difference) / max(error, rounding)))
        seed_share = of_seeds / variance if variance > 0 else 0.0
    return Comparison(
        difference=difference,
        ci_low=ci[0],
        ci_high=ci[1],
        p_value=p_value,
        df=df,
        effect_size=difference / sd if sd > rounding else None,
        seed_share=seed_share,
        tost_low=tost[0],
        tost_high=tost[1],
        n_seeds_a=len(a),
        n_seeds_b=len(b),
        n_images=n_images,
        reason=reason,
    )


def summarize(table: ArrayLike, *, level: float = 0.95) -> Summary:
    """The mean of one variant's (S, N) scores with its interval at `level` for new seeds and new images.

    >>> summary = summarize([[0.7, 0.9], [0.8, 0.8]])
    >>> round(summary.mean, 3), summary.sd_seeds, summary.n_images
    (0.8, 0.0, 2)
    """
    table = _table(table, "table")
    n_seeds, n_images = table.shape
    of_images, of_seeds = table.mean(axis=0), table.mean(axis=1)
    mean = float(table.mean())
    ci, df = (None, None), None
    if _no_claim(table) is None:
        variance, _, df = _crossed(of_images, (table,))
        ci = _interval(mean, variance**0.5, df, level)
    return Summary(
        mean=mean,
        sd_seeds=float(of_seeds.std(ddof=1)) if n_seeds > 1 else None,
        sd_images=float(of_images.std(ddof=1)) if n_images > 1 else None,
        ci_low=ci[0],
        ci_high=ci[1],
        df=df,
        n_seeds=n_seeds,
        n_images=n_images,
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted for the family that they form, in their order; None (no test) stays None and does not count.

    Source: Holm (1979), Scandinavian Journal of Statistics 6(2).

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    adjusted: list[float | None] = [None] * len(p_values)
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[index] = largest
    return adjusted


def verdict(
    comparison: Comparison, margin: float, p_adjusted: float | None, *, higher_is_better: bool = True
) -> Verdict:
    """What may be said of variant a against b, in words, at 5 %.

    "practically equal" comes first: a difference that is significant but surely within the margin is still one that the
    study declared to be nothing. It rests on two one-sided tests (Schuirmann 1987), not adjusted for a family.

    Args:
        comparison: of a with b.
        margin: differences below it count as practically nothing, in the unit of the scores; with 0 nothing is equal.
        p_adjusted: the comparison's p-value, by `holm` when it is one of several.
        higher_is_better: the metric's direction.
    """
    if not margin >= 0:
        raise ValueError(f"margin must be 0 or more, got {margin}")
    if p_adjusted is None or comparison.tost_low is None or comparison.tost_high is None:
        return "no claim"
    if -margin < comparison.tost_low and comparison.tost_high < margin:
        return "practically equal"
    if p_adjusted >= ALPHA:
        return "no difference shown"
    return "better" if (comparison.difference > 0) == higher_is_better else "worse"


def _table(scores: ArrayLike, name: str) -> Table:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"{name} must have shape (seeds, images) and hold scores, got {table.shape}")
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise MedbenchError(
            f"scores of {name}: row {row} (seed), column {column} (image) is {table[row, column]}; "
            "score that image again or leave it out of every variant"
        )
    return table


def _no_claim(*tables: Table) -> str | None:
    """Why the tables cannot speak of new seeds and new images, or None when they can."""
    if any(len(table) < 2 for table in tables):
        return "one seed: no claim about the method can be made"
    if tables[0].shape[1] < 2:
        return "one image: no claim about new images can be made"
    return None


def _crossed(of_images: NDArray[np.float64], tables: Sequence[Table]) -> tuple[float, float, float]:
    """Variance of the mean of `of_images` for new seeds and new images, its part due to seeds, degrees of freedom.

    Args:
        of_images: (N,) seed-averaged scores of one variant, or their difference between two.
        tables: the (S, N) tables that were averaged, one or two; S >= 2, N >= 2.
    """
    n_images = of_images.size
    variance = float(of_images.var(ddof=1)) / n_images
    squares_by_df = variance**2 / (n_images - 1)
    of_seeds = 0.0
    for table in tables:
        n_seeds = len(table)
        df_residual = (n_seeds - 1) * (n_images - 1)
        residuals = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
        v_seed = float(table.mean(axis=1).var(ddof=1)) / n_seeds
        v_residual = float(np.square(residuals).sum()) / df_residual / table.size
        if v_seed > v_residual:
            of_seeds += v_seed - v_residual
            squares_by_df += v_seed**2 / (n_seeds - 1) + v_residual**2 / df_residual
    variance += of_seeds
    return variance, of_seeds, variance**2 / squares_by_df if squares_by_df > 0 else float(n_images - 1)


def _interval(center: float, error: float, df: float, level: float) -> tuple[float, float]:
    """center -+ t * error, covering `level` of Student's t distribution."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    width = error * float(_student_quantile(df, (1 + level) / 2))
    return center - width, center + width
