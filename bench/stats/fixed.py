"""What can be said of these very checkpoints, and how large a difference is in units of its own.

A test over images alone takes the trainings at hand for the method. On tables of variants that do not differ but for
their seeds it rejects several times as often as it says (`tests/benchmarks/calibration.py`): its claims end with these
checkpoints. It takes images one by one, also where they come in groups, and so do effect sizes.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

from .tables import checked_pair, rounding_of

BATCH = 1_000_000  # random signs held at once


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedModel:
    """Tests of seed-averaged scores, paired over images: claims about these checkpoints, not about the method."""

    wilcoxon_p: float  # signed ranks, two-sided; images without a difference do not count
    permutation_p: float  # of the mean difference, by flipping signs, two-sided
    n_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """How large a difference is. Positive, or above one half, when a scores higher.

    standardised: mean over standard deviation, over images, of the seed-averaged differences (Cohen's d_z); any size;
        None when they do not vary.
    rank_biserial: matched pairs, in [-1, 1]: the signed ranks' share for a minus that for b (Kerby 2014, Comprehensive
        Psychology 3); None when no image differs.
    improvement: probability, in [0, 1], that one training of a scores higher than one of b on the same image, mean over
        images; ties count half (Agarwal et al. 2021, NeurIPS, "Deep reinforcement learning at the edge of the
        statistical precipice").
    """

    standardised: float | None
    rank_biserial: float | None
    improvement: float


def fixed_model(a: ArrayLike, b: ArrayLike, *, rng: np.random.Generator, n_resamples: int = 9_999) -> FixedModel:
    """Paired tests of the images' differences, averaged over seeds.

    Args:
        a: (S_a, N) scores, a row per seed, a column per image; one seed is enough.
        b: (S_b, N) scores of the same images in the same order.
        rng: draws the signs.
        n_resamples: of the permutation test; with few images all sign patterns are counted instead.

    Raises:
        MedbenchError: a score is missing or infinite; its seed and image are named.

    Source: Wilcoxon (1945), Biometrics Bulletin 1(6); both tests by scipy.
    """
    of_images = _differences(a, b)
    if of_images.size < 2 or not of_images.any():
        return FixedModel(wilcoxon_p=1.0, permutation_p=1.0, n_images=of_images.size)
    tests = cast(Any, stats)
    observed, unit = abs(float(of_images.mean())), rounding_of(*checked_pair(a, b))

    def size_of_mean(a: NDArray[np.float64], b: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        size: NDArray[np.float64] = np.abs((a - b).mean(axis=axis))
        return np.where(size > observed - unit, np.maximum(size, observed), size)  # what rounding sets apart is equal

    permuted = tests.permutation_test(
        (of_images, np.zeros_like(of_images)),
        size_of_mean,
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=n_resamples,
        batch=max(1, BATCH // of_images.size),
        rng=rng,
    )
    return FixedModel(
        wilcoxon_p=float(tests.wilcoxon(of_images).pvalue),
        permutation_p=float(permuted.pvalue),
        n_images=of_images.size,
    )


def effects(a: ArrayLike, b: ArrayLike) -> Effects:
    """Effect sizes of variant a against b.

    Args:
        a: (S_a, N) scores, a row per seed, a column per image.
        b: (S_b, N) scores of the same images in the same order.

    Raises:
        MedbenchError: a score is missing or infinite; its seed and image are named.

    >>> found = effects([[3, 5, 0, 1]], [[1, 1, 1, 1]])
    >>> found.rank_biserial, found.improvement
    (0.6666666666666666, 0.625)
    """
    a, b = checked_pair(a, b)
    of_images = _differences(a, b)
    sd = float(of_images.std(ddof=1)) if of_images.size > 1 else 0.0
    differing = of_images[of_images != 0]
    ranks = np.asarray(cast(Any, stats).rankdata(np.abs(differing)), dtype=np.float64)
    wins = sum(np.count_nonzero(row > b) - np.count_nonzero(row < b) for row in a)  # of pairs of trainings, on an image
    return Effects(
        standardised=float(of_images.mean()) / sd if sd > rounding_of(a, b) else None,
        rank_biserial=float((np.sign(differing) * ranks).sum() / ranks.sum()) if differing.size else None,
        improvement=float((1 + wins / (len(a) * b.size)) / 2),
    )


def _differences(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """(N,) the images' differences between seed averages, rounded so that what is equal has equal ranks."""
    a, b = checked_pair(a, b)
    unit = rounding_of(a, b)
    return np.rint((a.mean(axis=0) - b.mean(axis=0)) / unit) * unit
