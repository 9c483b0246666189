"""The same trainings on two samples of images: others that have nothing in common with the first, as strata of a test
set or another data set, or partners, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from .crossed import crossed, image_square, image_term, is_nothing, of_residuals, residual_square
from .groups import Labels, groups_of
from .intervals import Bounds, Term, Tested, largest_difference, tested
from .tables import Table, checked_pair, checked_table, rounding_of, untested


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Mean of the first sample minus mean of the second, in the unit of the scores.

    Without a claim, `too_few` says of what there is too little and everything else but the gap is None.
    """

    gap: float
    error: float | None  # standard error for new trainings and new images of either kind
    df: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None  # two-sided, for a gap of 0
    too_few: str | None  # "1 seed"


def gap(
    first: ArrayLike,
    second: ArrayLike,
    *,
    level: float = 0.95,
    bounds: Bounds | None = None,
    first_groups: Labels | None = None,
    second_groups: Labels | None = None,
) -> Gap:
    """How much higher the same trainings score on one sample of images than on another.

    The trainings are paired: seed s has a gap of its own, g[s]. The images are not: each sample has its own. So

        Var = var_s(g) / S + max(M_img_1 - M_res_1 / S, 0) / N_1 + max(M_img_2 - M_res_2 / S, 0) / N_2

    with mean squares as in `crossed`; degrees of freedom by Satterthwaite. There is no interval where it would say
    nothing, as in `compare`.

    Args:
        first: (S, N_1) scores, a row a training.
        second: (S, N_2) scores of the same trainings in the same order.
        level: coverage of the interval, in (0, 1).
        bounds: the least and the largest that a score can be; None where that is not known.
        first_groups: (N_1,) for each image of the first sample what it has in common with others of that sample, as
            `groups` in `compare`.
        second_groups: (N_2,) the same of the second. A label that is in both is no group of both: of a patient with
            images in either, what these have in common cancels in part, and the interval is wider than it need be.

    Raises:
        MedbenchError: a score is missing, infinite or out of bounds.
        ValueError: the tables have not the same number of rows, or not as many labels as images.
    """
    tables = (checked_table(first, "first", bounds), checked_table(second, "second", bounds))
    groups = (
        groups_of(first_groups, tables[0].shape[1], "first_groups"),
        groups_of(second_groups, tables[1].shape[1], "second_groups"),
    )
    n_seeds = len(tables[0])
    if len(tables[1]) != n_seeds:
        raise ValueError(f"first has {n_seeds} trainings and second {len(tables[1])}; give the same ones")
    gaps = tables[0].mean(axis=1) - tables[1].mean(axis=1)
    single = untested(*tables, groups=groups)
    terms: list[Term] = []
    if single is None:
        terms.append(Term(float(gaps.var(ddof=1)) / n_seeds, n_seeds, "seeds"))
        for table, known in zip(tables, groups, strict=True):
            images = image_square(table.mean(axis=0), known) - residual_square(table, known) / n_seeds
            terms.append(image_term(max(images, 0.0), table.shape[1], known))
        terms = of_residuals(tables, groups) if is_nothing(terms, tables) else terms
    return _told(float(gaps.mean()), single, terms, tables, level, bounds)


def paired_gap(
    first: ArrayLike,
    second: ArrayLike,
    *,
    level: float = 0.95,
    bounds: Bounds | None = None,
    groups: Labels | None = None,
) -> Gap:
    """The same where each image of the first sample has its partner in the second: itself under an artifact, or another
    that is like it. Tables are (S, N) both, `groups` has a label for each pair as in `compare`; the other arguments and
    errors are those of `gap`."""
    tables = checked_pair(first, second, bounds)
    known = groups_of(groups, tables[0].shape[1])
    if len(tables[0]) != len(tables[1]):
        raise ValueError(f"first has {len(tables[0])} trainings and second {len(tables[1])}; give the same ones")
    gaps = tables[0] - tables[1]
    single = untested(gaps, groups=[known])
    terms = crossed(gaps.mean(axis=0), (gaps,), known)[0] if single is None else []
    return _told(float(gaps.mean()), single, terms, tables, level, bounds)


def _told(
    mean: float,
    single: Tested | None,
    terms: Sequence[Term],
    tables: Sequence[Table],
    level: float,
    bounds: Bounds | None,
) -> Gap:
    found = single or tested(
        mean, terms, level=level, largest=largest_difference(bounds), rounding=rounding_of(*tables)
    )
    return Gap(
        gap=mean,
        error=found.error,
        df=found.df,
        ci_low=found.ci[0],
        ci_high=found.ci[1],
        p_value=found.p_value,
        too_few=found.too_few,
    )
