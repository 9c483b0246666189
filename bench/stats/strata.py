"""Estimates whose images come in several samples: the classes of a diagnosis, each with images of its own.

Of S trainings, an estimate is a sum over strata of means over images, A[s] = sum_k mean_i u_k[s, i]: balanced accuracy
adds up what is right in each class, an area under a ROC curve the placement values of positives and negatives (DeLong,
DeLong and Clarke-Pearson 1988). Trainings are shared by all strata, images are not, as in `samples.gap`:

    Var = var_s(A) / S + sum_k max(M_img_k - M_res_k / S, 0) / N_k

with mean squares as in `crossed`. For a difference between two variants, whose images are the same, M_img_k is that of
the differences of the seeds' means, M_res_k / S is taken off for either, and var_s(A) / S is added for either. Degrees
of freedom by Satterthwaite: S - 1 of the trainings, N_k - 1 of each stratum's images. Where all trainings agree, this
is DeLong's variance.

Where a group has images in several strata, a patient with a benign and a malignant lesion say, all images are taken as
one sample, of A[s] + N / N_k (u_k[s, i] - mean_i u_k[s, i]), whose mean is A[s]; what images of a group have in common
then counts across strata, whether it adds up or cancels.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike

from .crossed import crossed, image_square, image_term, is_nothing, of_residuals, residual_square
from .groups import Groups, Labels, groups_of
from .intervals import Bounds, Term, Tested, largest_difference, of_mean, tested, total_error
from .tables import Table, checked_table, rounding_of, untested

Strata = Sequence[ArrayLike]
"""For each stratum its (S, N_k) table, a row a training, a column an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A sum of means over strata, or its difference between two variants, in the unit of the scores.

    Without a claim, `too_few` says of what there is too little, and everything else but the value is None. Of a single
    variant there is no test.
    """

    value: float
    error: float | None  # standard error for new trainings and new images of every stratum
    df: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None  # two-sided, for a difference of 0
    too_few: str | None  # "1 seed"


def stratified(
    tables: Strata, *, bounds: Bounds, level: float = 0.95, groups: Sequence[Labels] | None = None
) -> Estimate:
    """The estimate of one variant with its interval for new trainings and new images.

    Args:
        tables: of the strata, of the same trainings in the same order.
        bounds: the least and the largest that the estimate can be; the interval lies within them (`intervals`).
        level: coverage of the interval, in (0, 1).
        groups: for each stratum (N_k,) what each image has in common with others, as in `compare`.

    Raises:
        MedbenchError: a score is missing or infinite.
        ValueError: strata of different trainings, or not as many labels as images.
    """
    strata = _checked(tables, "tables")
    value, known = _mean(strata), _Known(strata, groups)
    if (single := untested(*strata, groups=known.of_strata)) is not None:
        return Estimate(
            value=value, error=None, df=None, ci_low=None, ci_high=None, p_value=None, too_few=single.too_few
        )
    terms = _terms([strata], known)
    error, df = total_error(terms)
    every = zip(strata, known.of_strata, strict=True)
    scarcest = min(table.shape[1] if of is None else of.effective for table, of in every)
    ci = of_mean(_within(value, bounds), terms, scarcest, level=level, bounds=bounds)
    return Estimate(value=value, error=error, df=df, ci_low=ci[0], ci_high=ci[1], p_value=None, too_few=None)


def stratified_difference(
    a: Strata, b: Strata, *, bounds: Bounds, level: float = 0.95, groups: Sequence[Labels] | None = None
) -> Estimate:
    """The estimate of variant a minus that of b, tested on the same images; arguments and errors are those of
    `stratified`. There is no interval where it would say nothing, as in `compare`."""
    both = [_checked(each, name) for each, name in ((a, "a"), (b, "b"))]
    if [table.shape[1] for table in both[0]] != [table.shape[1] for table in both[1]]:
        raise ValueError("a and b have not the same images; compare scores of the same ones")
    value, known = _mean(both[0]) - _mean(both[1]), _Known(both[0], groups)
    found: Tested | None = untested(*both[0], *both[1], groups=known.of_strata)
    if found is None:
        tables = [*both[0], *both[1]]
        largest, rounding = largest_difference(bounds), rounding_of(*tables)
        found = tested(value, _terms(both, known), level=level, largest=largest, rounding=rounding)
    return Estimate(
        value=value,
        error=found.error,
        df=found.df,
        ci_low=found.ci[0],
        ci_high=found.ci[1],
        p_value=found.p_value,
        too_few=found.too_few,
    )


class _Known:
    """The groups of each stratum's images, and of all together where one has images in several strata."""

    def __init__(self, strata: Sequence[Table], groups: Sequence[Labels] | None) -> None:
        labels: Sequence[Labels | None] = groups or [None] * len(strata)
        if len(labels) != len(strata):
            raise ValueError(f"groups has labels of {len(labels)} strata, there are {len(strata)}")
        self.of_strata = [groups_of(each, table.shape[1], "groups") for each, table in zip(labels, strata, strict=True)]
        self.of_all: Groups | None = None
        every: list[Hashable] = list(chain.from_iterable(groups or ()))
        if len({*every}) < sum(len({*each}) for each in groups or ()):
            self.of_all = groups_of(every, len(every))


def _terms(variants: Sequence[Sequence[Table]], known: _Known) -> list[Term]:
    """The parts of the error of one variant's estimate, or of the difference between two."""
    if known.of_all is not None:
        pooled = [_pooled(strata) for strata in variants]
        of_images = [table.mean(axis=0) for table in pooled]
        return crossed(of_images[0] - of_images[1] if len(pooled) > 1 else of_images[0], pooled, known.of_all)[0]
    terms: list[Term] = []
    for strata in variants:
        of_seeds = np.sum([table.mean(axis=1) for table in strata], axis=0)
        terms.append(Term(float(of_seeds.var(ddof=1)) / len(of_seeds), len(of_seeds), "seeds"))
    for k, groups in enumerate(known.of_strata):
        tables = [strata[k] for strata in variants]
        of_images = tables[0].mean(axis=0) - (tables[1].mean(axis=0) if len(tables) > 1 else 0)
        images = image_square(of_images, groups) - sum(residual_square(each, groups) / len(each) for each in tables)
        terms.append(image_term(max(images, 0.0), tables[0].shape[1], groups))
    every = [table for strata in variants for table in strata]
    return of_residuals(every, known.of_strata * len(variants)) if is_nothing(terms, every) else terms


def _pooled(strata: Sequence[Table]) -> Table:
    """One table (S, N) of all strata, whose means over images are the estimates."""
    n_images = sum(table.shape[1] for table in strata)
    of_seeds = np.sum([table.mean(axis=1, keepdims=True) for table in strata], axis=0)
    parts = [(table - table.mean(axis=1, keepdims=True)) * n_images / table.shape[1] for table in strata]
    return of_seeds + np.concatenate(parts, axis=1)


def _checked(tables: Strata, name: str) -> list[Table]:
    strata = [checked_table(table, name) for table in tables]
    if len({len(table) for table in strata}) > 1:
        raise ValueError(f"{name} has strata of different numbers of trainings; give the same ones")
    return strata


def _mean(strata: Sequence[Table]) -> float:
    return float(sum(table.mean() for table in strata))


def _within(value: float, bounds: Bounds) -> float:
    """Without what adding up made of 0 or 1."""
    low, high = bounds
    nearest = min(bounds, key=lambda bound: abs(bound - value))
    return nearest if abs(nearest - value) < 1e-12 else min(max(value, low), high)
