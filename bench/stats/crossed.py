"""What differences between variants mean for new seeds and new images.

Scores form a table of S seeds x N images per variant. Seeds are trainings of one variant, images are shared by all
variants and seeds: the layout of multi-reader studies in radiology, with trained models as readers. In

    y[s, i] = mean + image[i] + seed[s] + residual[s, i]

three mean squares are estimates of what new seeds and new images would change: M_img = var_i of the images' means over
seeds, M_seed = var_s of the seeds' means over images, and M_res = the sum of squared residuals over (S-1)(N-1). The
variance of the mean, for new seeds and new images, is

    M_seed / S  +  max(M_img - M_res / S, 0) / N

The first term holds the residual's part of it, residual variance / (S N), already; M_img holds it once more, hence the
subtraction. For a difference d of two variants a and b, M_img is that of d[i], what images have in common is gone, and

    Var = M_seed_a / S_a + M_seed_b / S_b + max(M_img - M_res_a / S_a - M_res_b / S_b, 0) / N

When images make no difference between the variants this is Welch's test on the seeds' means. The sum is the one of
Obuchowski and Rockette, but for where an estimate below 0 is cut. They cut the seeds' part of it, M_seed / S -
M_res / (S N), at 0; with few seeds that comes out too small in half of all studies of deterministic variants and is
then replaced by something larger, so that such studies reject 2 to 3 % of true null hypotheses instead of 5.
`tests/benchmarks/calibration.py` prints both.

Degrees of freedom (Satterthwaite 1946, Biometrics Bulletin 2(6)): a sum of terms v_k, with f_k degrees of freedom each,
is treated like one with (sum v_k)^2 / sum(v_k^2 / f_k) of them; S - 1 for a variant's seeds, N - 1 for the images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from ..errors import MedbenchError

Table = NDArray[np.float64]

ALPHA = 0.05  # of verdicts: the share of true null hypotheses that may be rejected
student_cdf: Callable[[float, float], float] = cast(Any, special).stdtr  # of (df, t)
student_quantile: Callable[[float, float], float] = cast(Any, special).stdtrit  # of (df, probability)


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Variance components, each a variance in the squared unit of the scores, 0 or more.

    `seeds` and `residuals` have an entry for each variant, `n_seeds` too.
    """

    images: float  # of images' own part in the mean or difference
    seeds: tuple[float, ...]  # of trainings of one variant
    residuals: tuple[float, ...]  # of one training on one image
    n_seeds: tuple[int, ...]
    n_images: int

    def error(self, n_seeds: Sequence[int], n_images: int) -> tuple[float, float]:
        """Standard error and degrees of freedom of a study with that many seeds of each variant and images, each
        2 or more."""
        terms = [
            (seed + residual / n_images) / n
            for seed, residual, n in zip(self.seeds, self.residuals, n_seeds, strict=True)
        ]
        return total_error([*terms, self.images / n_images], [*(n - 1 for n in n_seeds), n_images - 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Variant a minus variant b, in the unit of the scores; positive when a scores higher.

    Without a claim (`reason` says why) everything but the difference and the numbers of seeds and images is None.
    """

    difference: float
    error: float | None  # standard error of `difference` for new seeds and new images
    df: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None  # two-sided, for a difference of 0
    tost_low: float | None  # the 90 % interval: inside (-margin, margin) means equivalent at 5 %
    tost_high: float | None
    seed_share: float | None  # share in [0, 1] of error^2 that seeds cause; images cause the rest
    components: Components | None
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

    Raises:
        MedbenchError: a score is missing or infinite; its seed and image are named.
        ValueError: shapes that are no tables of the same images, or a level outside (0, 1).

    Source:
        The crossed layout of Obuchowski and Rockette (1995), Communications in Statistics B 24(2); see the module.
    """
    a, b = checked_pair(a, b)
    n_images = a.shape[1]
    of_images = a.mean(axis=0) - b.mean(axis=0)
    difference = float(of_images.mean())
    ci = tost = (None, None)
    error = df = p_value = seed_share = components = None
    reason = _no_claim(a, b)
    if reason is None:
        error, df, components = _crossed(of_images, (a, b))
        ci, tost = interval(difference, error, df, level), interval(difference, error, df, 1 - 2 * ALPHA)
        # Sums of equal numbers differ in their last digit: without this floor, that would be significant.
        p_value = float(2 * student_cdf(df, -abs(difference) / max(error, rounding_of(a, b))))
        of_seeds = sum(seed / n for seed, n in zip(components.seeds, components.n_seeds, strict=True))
        seed_share = min(of_seeds / error**2, 1.0) if error > 0 else 0.0
    return Comparison(
        difference=difference,
        error=error,
        df=df,
        ci_low=ci[0],
        ci_high=ci[1],
        p_value=p_value,
        tost_low=tost[0],
        tost_high=tost[1],
        seed_share=seed_share,
        components=components,
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
    table = checked_table(table, "table")
    n_seeds, n_images = table.shape
    of_images, of_seeds = table.mean(axis=0), table.mean(axis=1)
    mean = float(table.mean())
    ci, df = (None, None), None
    if _no_claim(table) is None:
        error, df, _ = _crossed(of_images, (table,))
        ci = interval(mean, error, df, level)
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


def checked_pair(a: ArrayLike, b: ArrayLike) -> tuple[Table, Table]:
    """Both as tables of finite scores of the same number of images; errors as in `compare`."""
    a, b = checked_table(a, "a"), checked_table(b, "b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a has {a.shape[1]} images and b {b.shape[1]}; compare scores of the same images")
    return a, b


def rounding_of(a: Table, b: Table) -> float:
    """What a difference of means may be by rounding alone."""
    return 1e-12 * float(max(np.abs(a).max(), np.abs(b).max())) + np.finfo(np.float64).tiny


def checked_table(scores: ArrayLike, name: str) -> Table:
    """Scores as a table (seeds, images) of finite numbers; errors as in `compare`."""
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


def _crossed(of_images: NDArray[np.float64], tables: Sequence[Table]) -> tuple[float, float, Components]:
    """Standard error of the mean of `of_images` for new seeds and new images, degrees of freedom, components.

    Args:
        of_images: (N,) seed-averaged scores of one variant, or their difference between two.
        tables: the (S, N) tables that were averaged, one or two; S >= 2, N >= 2.
    """
    n_images = of_images.size
    images = float(of_images.var(ddof=1))
    terms: list[float] = []
    seeds: list[float] = []
    residuals: list[float] = []
    for table in tables:
        n_seeds = len(table)
        m_seed = float(table.mean(axis=1).var(ddof=1))
        m_residual = residual_square(table)
        images -= m_residual / n_seeds
        terms.append(m_seed / n_seeds)
        seeds.append(max(m_seed - m_residual / n_images, 0.0))
        residuals.append(m_residual)
    images = max(images, 0.0)
    n_seeds = tuple(map(len, tables))
    error, df = total_error([*terms, images / n_images], [*(n - 1 for n in n_seeds), n_images - 1])
    components = Components(
        images=images, seeds=tuple(seeds), residuals=tuple(residuals), n_seeds=n_seeds, n_images=n_images
    )
    return error, df, components


def residual_square(table: Table) -> float:
    """M_res of a table of two seeds and two images at least."""
    n_seeds, n_images = table.shape
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    return float(np.square(rest).sum()) / ((n_seeds - 1) * (n_images - 1))


def total_error(terms: Sequence[float], dfs: Sequence[int]) -> tuple[float, float]:
    """The root of a sum of estimated variances, and its degrees of freedom."""
    total = sum(terms)
    squares_by_df = sum(term**2 / df for term, df in zip(terms, dfs, strict=True))
    return total**0.5, total**2 / squares_by_df if squares_by_df > 0 else float(sum(dfs))


def interval(center: float, error: float, df: float, level: float) -> tuple[float, float]:
    """center -+ t * error, covering `level` of Student's t distribution."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    width = error * float(student_quantile(df, (1 + level) / 2))
    return center - width, center + width
