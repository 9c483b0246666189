"""Tables of scores, seeds x images, checked before anything is said of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import MedbenchError
from .groups import Groups
from .intervals import UNBOUNDED, Bounds, Tested

Table = NDArray[np.float64]
SINGLE = ("1 seed", "1 image", "1 group")  # with which nothing is tested, whatever the scores


def checked_pair(a: ArrayLike, b: ArrayLike, bounds: Bounds | None = None) -> tuple[Table, Table]:
    """Both as tables of finite scores of the same number of images; errors as in `compare`."""
    a, b = checked_table(a, "a", bounds), checked_table(b, "b", bounds)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a has {a.shape[1]} images and b {b.shape[1]}; compare scores of the same images")
    return a, b


def rounding_of(*tables: Table) -> float:
    """What a difference of means may be by rounding alone."""
    return 1e-12 * max(float(np.abs(table).max()) for table in tables) + np.finfo(np.float64).tiny


def checked_table(scores: ArrayLike, name: str, bounds: Bounds | None = None) -> Table:
    """Scores as a table (seeds, images) of finite numbers within the bounds; errors as in `compare`."""
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"{name} must have shape (seeds, images) and hold scores, got {table.shape}")
    low, high = bounds or UNBOUNDED
    wrong = ~np.isfinite(table) | (table < low) | (table > high)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        value = table[row, column]
        what = f"{value}, outside {low:g} to {high:g}" if np.isfinite(value) else f"{value}"
        raise MedbenchError(
            f"scores of {name}: row {row} (seed), column {column} (image) is {what}; "
            "score that image again or leave it out of every variant"
        )
    return table


def untested(*tables: Table, groups: Sequence[Groups | None] = ()) -> Tested | None:
    """Why the tables cannot speak of new seeds and new images, or None when they may."""
    if any(len(table) < 2 for table in tables):
        return Tested(too_few=SINGLE[0], reason="one seed: no claim about the method can be made")
    if any(table.shape[1] < 2 for table in tables):
        return Tested(too_few=SINGLE[1], reason="one image: no claim about new images can be made")
    if any(each is not None and len(each) < 2 for each in groups):
        return Tested(too_few=SINGLE[2], reason="one group of images: no claim about new groups can be made")
    return None
