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

Where images come in groups, M_img and M_res are taken group by group, and so are the degrees of freedom of the images
(`groups`); the rest stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .groups import Groups, Labels, groups_of
from .intervals import UNBOUNDED, Bounds, Term, Tested, largest_difference, of_mean, tested, total_error
from .sequential import Looked
from .tables import Table, checked_pair, checked_table, rounding_of, untested


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Variance components, each a variance in the squared unit of the scores, 0 or more.

    `seeds` and `residuals` have an entry for each variant, `n_seeds` too. Where images come in groups, `images` and
    `residuals` are what a single image would have to vary by for as uncertain a mean.
    """

    images: float  # of images' own part in the mean or difference
    seeds: tuple[float, ...]  # of trainings of one variant
    residuals: tuple[float, ...]  # of one training on one image
    n_seeds: tuple[int, ...]
    n_images: int
    n_groups: int | None = None  # None where every image is one by itself
    effective_groups: float | None = None  # how many of one size they count for

    @property
    def n(self) -> int:
        """The images, or the groups that they come in."""
        return self.n_images if self.n_groups is None else self.n_groups

    def error(self, n_seeds: Sequence[int], n: int) -> tuple[float, float]:
        """Standard error and degrees of freedom of a study with that many seeds of each variant, and `n` images, or
        groups of the mean size where images come in groups; each 2 or more."""
        n_images, last = float(n), Term(self.images / n, n, "images")
        if self.n_groups is not None and self.effective_groups is not None:
            n_images = n * self.n_images / self.n_groups
            effective = max(n * self.effective_groups / self.n_groups, 2.0)
            last = Term(self.images / n_images, n, "groups", effective)
        terms = [
            Term((seed + residual / n_images) / count, count, "seeds")
            for seed, residual, count in zip(self.seeds, self.residuals, n_seeds, strict=True)
        ]
        return total_error([*terms, last])


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Variant a minus variant b, in the unit of the scores; positive when a scores higher.

    Without a claim (`reason` says why) everything but the difference, what it can be at most and the numbers of seeds,
    images and groups is None.
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
    largest: float  # difference that there can be, infinite where that is not known
    too_few: str | None  # without a claim, what there should be more of: "2 seeds"
    reason: str | None
    n_groups: int | None = None  # that the images come in; None where every image is one by itself
    looked: Looked | None = None  # of a study that was looked at more than once, to which p_value and all ends answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Mean score of one variant, in the unit of the scores, with an interval for new seeds and new images.

    With one seed or one image the interval, error and df are None, as is the deviation over what there is one of.
    """

    mean: float
    error: float | None  # standard error of `mean` for new seeds and new images
    sd_seeds: float | None  # of the seeds' means over images
    sd_images: float | None  # of the images' means over seeds
    ci_low: float | None
    ci_high: float | None
    df: float | None
    n_seeds: int
    n_images: int
    too_few: str | None  # where there is no interval, what there should be more of: "1 seed"
    n_groups: int | None = None  # that the images come in; None where every image is one by itself


def compare(
    a: ArrayLike,
    b: ArrayLike,
    *,
    level: float = 0.95,
    bounds: Bounds | None = None,
    groups: Labels | None = None,
) -> Comparison:
    """The mean difference a - b with its test and its interval for new seeds and new images.

    There are neither where they would say nothing (see `intervals`). Tables without any variance have an interval
    without width; p_value is then 1 for equal tables, else next to 0.

    Args:
        a: (S_a, N) scores, a row per seed, a column per image.
        b: (S_b, N) scores of the same images in the same order; seeds need not match, in number or value.
        level: coverage of the interval, in (0, 1).
        bounds: the least and the largest that a score can be, as in (0, 1) for shares and (0, inf) for distances; None
            where that is not known.
        groups: (N,) for each image what it has in common with others, a patient or a video say; None, or all of them
            different, where every image is one by itself. The difference is the mean over images all the same.

    Raises:
        MedbenchError: a score is missing, infinite or out of bounds; its seed and image are named.
        ValueError: shapes that are no tables of the same images, a level outside (0, 1), or not as many labels as
            images.

    Source:
        The crossed layout of Obuchowski and Rockette (1995), Communications in Statistics B 24(2); see the module.
    """
    a, b = checked_pair(a, b, bounds)
    known = groups_of(groups, a.shape[1])
    of_images = a.mean(axis=0) - b.mean(axis=0)
    difference, largest = float(of_images.mean()), largest_difference(bounds)
    if (single := untested(a, b, groups=[known])) is not None:
        return _compared(a, b, known, difference, largest, single)
    terms, components = crossed(of_images, (a, b), known)
    found = tested(difference, terms, level=level, largest=largest, rounding=rounding_of(a, b))
    return _compared(a, b, known, difference, largest, found, components)


def same_table(table: ArrayLike, *, groups: Labels | None = None) -> Comparison:
    """Of a variant whose table of scores is the baseline's own, a copy of it as like as not: nothing is tested."""
    table = checked_table(table, "table")
    known = groups_of(groups, table.shape[1])
    return _compared(table, table, known, 0.0, inf, Tested(reason="exactly the same scores"))


def _compared(
    a: Table,
    b: Table,
    groups: Groups | None,
    difference: float,
    largest: float,
    found: Tested,
    components: Components | None = None,
) -> Comparison:
    seed_share = None
    if found.error is None:
        components = None
    elif components is not None:
        of_seeds = sum(seed / n for seed, n in zip(components.seeds, components.n_seeds, strict=True))
        seed_share = min(of_seeds / found.error**2, 1.0) if found.error > 0 else 0.0
    return Comparison(
        difference=difference,
        error=found.error,
        df=found.df,
        ci_low=found.ci[0],
        ci_high=found.ci[1],
        p_value=found.p_value,
        tost_low=found.tost[0],
        tost_high=found.tost[1],
        seed_share=seed_share,
        components=components,
        n_seeds_a=len(a),
        n_seeds_b=len(b),
        n_images=a.shape[1],
        largest=largest,
        too_few=found.too_few,
        reason=found.reason,
        n_groups=None if groups is None else len(groups),
    )


def summarize(
    table: ArrayLike, *, level: float = 0.95, bounds: Bounds | None = None, groups: Labels | None = None
) -> Summary:
    """The mean of one variant's (S, N) scores with its interval at `level` for new seeds and new images.

    Arguments and errors are those of `compare`; with bounds, the interval lies within them (`intervals`).

    >>> summary = summarize([[0.7, 0.9], [0.8, 0.8]])
    >>> round(summary.mean, 3), summary.sd_seeds, summary.n_images
    (0.8, 0.0, 2)
    """
    table = checked_table(table, "table", bounds)
    n_seeds, n_images = table.shape
    known = groups_of(groups, n_images)
    of_images, of_seeds = table.mean(axis=0), table.mean(axis=1)
    mean = float(table.mean())
    ci, error, df = (None, None), None, None
    single = untested(table, groups=[known])
    if single is None:
        terms, _ = crossed(of_images, (table,), known)
        error, df = total_error(terms)
        independent = n_images if known is None else known.effective
        ci = of_mean(mean, terms, independent, level=level, bounds=bounds or UNBOUNDED)
    return Summary(
        mean=mean,
        error=error,
        sd_seeds=float(of_seeds.std(ddof=1)) if n_seeds > 1 else None,
        sd_images=float(of_images.std(ddof=1)) if n_images > 1 else None,
        ci_low=ci[0],
        ci_high=ci[1],
        df=df,
        n_seeds=n_seeds,
        n_images=n_images,
        too_few=single.too_few if single else _all_images(n_images, known) if ci[0] is None else None,
        n_groups=None if known is None else len(known),
    )


def _all_images(n_images: int, groups: Groups | None) -> str:
    return f"{n_images} images" if groups is None else f"{len(groups)} groups"


def crossed(
    of_images: NDArray[np.float64], tables: Sequence[Table], groups: Groups | None = None
) -> tuple[list[Term], Components]:
    """The parts of the error of the mean of `of_images` for new seeds and new images, and the variance components.

    Args:
        of_images: (N,) seed-averaged scores of one variant, or their difference between two.
        tables: the (S, N) tables that were averaged, one or two; S >= 2, N >= 2.
        groups: that the images come in, two or more; None where every image is one by itself.
    """
    n_images = of_images.size
    images = image_square(of_images, groups)
    terms: list[Term] = []
    seeds: list[float] = []
    residuals: list[float] = []
    for table in tables:
        n_seeds = len(table)
        m_seed = float(table.mean(axis=1).var(ddof=1))
        m_residual = residual_square(table, groups)
        images -= m_residual / n_seeds
        terms.append(Term(m_seed / n_seeds, n_seeds, "seeds"))
        seeds.append(max(m_seed - m_residual / n_images, 0.0))
        residuals.append(m_residual)
    images = max(images, 0.0)
    terms.append(image_term(images, n_images, groups))
    n_seeds = tuple(map(len, tables))
    if is_nothing(terms, tables):
        terms = of_residuals(tables, [groups] * len(tables))
    return terms, Components(
        images=images,
        seeds=tuple(seeds),
        residuals=tuple(residuals),
        n_seeds=n_seeds,
        n_images=n_images,
        n_groups=None if groups is None else len(groups),
        effective_groups=None if groups is None else groups.effective,
    )


def is_nothing(terms: Sequence[Term], tables: Sequence[Table]) -> bool:
    """Whether nothing but rounding is left of an error. It need not be for want of variance: seeds that each miss
    another image have equal means, and then an estimate of 0 would make the difference certain."""
    return sum(term.variance for term in terms) <= rounding_of(*tables) ** 2


def of_residuals(tables: Sequence[Table], groups: Sequence[Groups | None]) -> list[Term]:
    """What residuals alone make of the error of a mean, the least that it can be; of each table the groups of its
    images."""
    return [
        Term(residual_square(table, of_table) / table.size, len(table), "seeds")
        for table, of_table in zip(tables, groups, strict=True)
    ]


def image_term(variance: float, n_images: int, groups: Groups | None) -> Term:
    """The images' part of the error of a mean, from their own part of M_img."""
    if groups is None:
        return Term(variance / n_images, n_images, "images")
    return Term(variance / n_images, len(groups), "groups", groups.effective)


def image_square(of_images: NDArray[np.float64], groups: Groups | None = None) -> float:
    """M_img of (N,) scores, two images or groups at least."""
    if groups is None:
        return float(of_images.var(ddof=1))
    return groups.mean_square(of_images[None] - of_images.mean())


def residual_square(table: Table, groups: Groups | None = None) -> float:
    """M_res of a table of two seeds and two images, or groups, at least."""
    n_seeds, n_images = table.shape
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    if groups is not None:
        return groups.mean_square(rest) / (n_seeds - 1)
    return float(np.square(rest).sum()) / ((n_seeds - 1) * (n_images - 1))
