"""Would another set of seeds and images rank the variants in the same order?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

from .groups import Labels, groups_of

BATCH = 1_000_000  # draws held at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """How often each variant came in at each place, and where it stands in the scores as they are.

    Attributes:
        names: V variants in the order given.
        share: (V, V) share in [0, 1] of resamples in which variant v had place r + 1; 1 is the best. Rows sum to 1.
        place: (V,) the places by the mean scores themselves; equal means share the better place.
    """

    names: tuple[str, ...]
    share: NDArray[np.float64]
    place: NDArray[np.int64]


def rank_stability(
    tables: Mapping[str, ArrayLike],
    *,
    rng: np.random.Generator,
    n_resamples: int = 10_000,
    higher_is_better: bool = True,
    groups: Labels | None = None,
) -> Ranks:
    """Distribution of the variants' places by a two-way bootstrap: images, shared by all variants, and each variant's
    own seeds are drawn anew with replacement. Of images that come in groups, groups are drawn, each with all its
    images; a mean is over as many images as were drawn.

    It describes stability and is no test: of S seeds it understates the spread by a factor (S - 1) / S at best.

    Args:
        tables: for each variant (S, N) scores of the same images in the same order; seeds may differ in number.
        rng: draws seeds and images.
        n_resamples: how many.
        higher_is_better: the metric's direction.
        groups: (N,) labels of the images, as in `crossed.compare`.

    Raises:
        ValueError: no variant, tables of different images, or not as many labels as images.

    Source: for ranks by bootstrap, Wiesenfarth et al. (2021), "Methods and open-source toolkit for analyzing and
        visualizing challenge results", Scientific Reports 11; for drawing both ways, Owen (2007), "The pigeonhole
        bootstrap", Annals of Applied Statistics 1(2).
    """
    scores = {name: np.asarray(table, dtype=np.float64) for name, table in tables.items()}
    widths = {table.shape[1] for table in scores.values()}
    if len(widths) != 1:
        raise ValueError(f"tables must hold scores of the same images, got {sorted(widths)}")
    n_images = widths.pop()
    known = groups_of(groups, n_images)
    rows = np.concatenate(list(scores.values()))
    rows, sizes = (rows, np.ones(n_images)) if known is None else (known.sums(rows), known.sizes)
    sign = -1.0 if higher_is_better else 1.0
    share = np.zeros((len(scores), len(scores)))
    batch = max(1, BATCH // len(sizes))
    for start in range(0, n_resamples, batch):
        size = min(batch, n_resamples - start)
        # The mean of a resample is a product of how often each seed and each image was drawn: no scores are copied.
        drawn = _draws(rng, size, len(sizes))
        of_seeds = drawn @ rows.T / (drawn @ sizes)[:, None]
        means, first = np.empty((size, len(scores))), 0
        for column, table in enumerate(scores.values()):
            own = of_seeds[:, first : first + len(table)]
            means[:, column] = (own * _draws(rng, size, len(table))).sum(axis=1) / len(table)
            first += len(table)
        places = _places(sign * means)
        for column in range(len(scores)):
            share[column] += np.bincount(places[:, column] - 1, minlength=len(scores))
    place = _places(sign * np.array([[table.mean() for table in scores.values()]]))[0]
    return Ranks(names=tuple(scores), share=share / n_resamples, place=place)


def _draws(rng: np.random.Generator, size: int, n: int) -> NDArray[np.float64]:
    """(size, n) how often each of n things is drawn in n draws with replacement, `size` times over."""
    drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _places(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """(size, V) places of each row's values, the smallest first; equal values share the better place."""
    return np.asarray(cast(Any, stats).rankdata(values, method="min", axis=1), dtype=np.int64)
