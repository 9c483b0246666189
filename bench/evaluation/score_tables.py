"""Tables of scores that any tool made, read and checked."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import MedbenchError, UnknownNameError
from ..stats import Bounds, Labels

KEYS = ("variant", "seed", "image")
GROUP = "group"  # an optional column: what an image has in common with others
CLASS = "class"  # an optional column: which of an image's classes a score is of
# What tools call the last rows of their tables, which are neither images nor trainings.
SUMMARIES = {"average", "avg", "count", "max", "mean", "median", "min", "overall", "sd", "std", "sum", "total"}
NOTHING = {"n/a", "na", "nan", "none", "null"}  # what tools write where there is no group
NEAR = 1e-6  # of a bound: what rounding may carry a score beyond it
Tables = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a file holds of one metric.

    Attributes:
        tables: for each variant (seeds, images), images in the same order for all.
        groups: a label for each image, where the file says which belong together.
        classes: where there are several, those that scores are of; of each image they are averaged.
        n_without: images that have no score, since the reference holds none of these classes.
    """

    tables: Tables
    groups: Labels | None
    classes: tuple[str, ...] = ()
    n_without: int = 0


def read_scores(path: Path, metric: str, bounds: Bounds | None = None, *, name: str | None = None) -> Scores:
    """The scores of a CSV file in one metric.

    With a column class a file has a row for each class of an image. A score is empty, for all variants and seeds alike,
    where the reference does not hold the class. Images are compared on one class, or on the mean over theirs.

    Args:
        path: columns variant, seed, image and the metric, and group where images belong together (of a patient, a
            video; an image without one is by itself); other columns are not read. Names are text: 01 is not 1.
        metric: a column of numbers.
        bounds: the least and the largest that they can be, where that is known.
        name: the class to compare on, where there are several; None takes the mean over those of each image.

    Raises:
        MedbenchError: the file cannot be read, a column is missing or twice there, a row is a summary of others, a
            score is no number, out of bounds, twice there or missing, seeds have no image in common, an image is in two
            groups or in one without a name, there is no such class; names the line, or variant, seed, image and class.
    """
    table = _read(path, {*KEYS, GROUP, CLASS, metric})
    for column in KEYS:
        if column not in table:
            raise MedbenchError(
                f"{path}: no column {column!r}; needed are {', '.join(KEYS)} and metrics, separated by commas; "
                f"there are {', '.join(map(repr, table))}"
            )
    others = {*KEYS, GROUP, CLASS}
    if metric not in table or metric in others:
        raise MedbenchError(f"{path}: {UnknownNameError('metric', metric, set(table) - others)}")
    if table.empty:
        raise MedbenchError(f"{path}: holds no scores")
    for key in ("seed", "image"):
        for line in np.flatnonzero(table[key].str.strip().str.casefold().isin(SUMMARIES)):
            raise MedbenchError(
                f"{path}:{line + 2}: {key} {table[key].iloc[line]!r} is by its name a summary of others and would "
                f"count as one more; leave such rows out, or rename the {key} if it is one"
            )
    rows, classes = _by_class(path, table, metric, name)
    keys = (*KEYS, CLASS) if classes else KEYS
    values = _values(path, rows, metric, bounds, keys)
    for line in rows.index[rows.duplicated([*keys])]:
        which = _name(rows.loc[line], keys)
        raise MedbenchError(f"{path}:{line + 2}: a second score of {which}; keep one, and one evaluation at a time")
    wide = rows.assign(value=values).pivot(index=["variant", "seed"], columns=[*keys[2:]], values="value")
    for variant, seeds in wide.groupby(level="variant"):
        if len(seeds) > 1 and seeds.notna().sum().max() == 1:
            raise MedbenchError(
                f"{path}: no image of variant {variant} has scores of two of its seeds "
                f"({', '.join(seeds.index.get_level_values('seed'))}); where they are the folds of one training, give "
                "all folds the same seed"
            )
    if classes:
        wide = _over_classes(path, wide, metric)
    missing = np.argwhere(wide.isna().to_numpy())
    for row, column in missing:
        variant, seed = wide.index[row]
        raise MedbenchError(
            f"{path}: no {metric} of variant {variant}, seed {seed}, image {wide.columns[column]} "
            f"({len(missing)} missing in all); score that image or leave it out of every variant and seed"
        )
    for variant, group in wide.groupby(level="variant"):
        varied = group.loc[group.nunique(axis="columns") > 1]
        for _, seed in varied.index[varied.duplicated().to_numpy()]:
            raise MedbenchError(
                f"{path}: seed {seed} of variant {variant} has the scores of another seed, image by image; "
                "copies are no new trainings"
            )
    order = table["variant"].drop_duplicates()
    tables = {variant: wide.loc[variant].to_numpy() for variant in order}
    groups = _groups(path, table, wide.columns) if GROUP in table else None
    return Scores(tables, groups, classes, len({*table["image"]}) - len(wide.columns))


def _read(path: Path, wanted: set[str]) -> Any:
    """The file's cells as text, under the names of its header; row names, as R writes them, are no column."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(filter(None, csv.reader(file)))
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise MedbenchError(f"{path}: cannot be read as CSV ({error})") from error
    for name in header:
        if name in wanted and header.count(name) > 1:
            raise MedbenchError(f"{path}: {header.count(name)} columns {name!r}; keep one, or rename the others")
    if isinstance(table.index, pd.RangeIndex):
        return table
    if table.index.nlevels > 1 or not table.index.is_unique or (table.iloc[:, -1] == "").all():
        raise MedbenchError(
            f"{path}: rows have more fields than the header ({', '.join(header)}); name every column, and end no line "
            "with a comma"
        )
    return table.reset_index(drop=True)


def _by_class(path: Path, table: Any, metric: str, name: str | None) -> tuple[Any, tuple[str, ...]]:
    """The rows of the class of that name, or all, and whose they are; no classes where each image has one score, which
    is no more than told of by a column class."""
    if CLASS not in table:
        if name is not None:
            raise MedbenchError(f"{path}: --class {name}: there is no column {CLASS!r}")
        return table, ()
    if name is None and not table.duplicated([*KEYS]).any() and (table[metric].str.strip() != "").all():
        return table, ()
    for line in table.index[table[CLASS].str.strip().str.casefold().isin({"", *SUMMARIES})]:
        raise MedbenchError(
            f"{path}:{line + 2}: class {table[CLASS][line]!r} is by its name none, or a summary of others, and would "
            "count as one more; leave such rows out, or rename the class if it is one"
        )
    classes = tuple(table[CLASS].drop_duplicates())
    if name is None:
        return table, classes
    if name not in classes:
        raise MedbenchError(f"{path}: {UnknownNameError('class', name, classes)}")
    return table[table[CLASS] == name], (name,)


def _values(path: Path, rows: Any, metric: str, bounds: Bounds | None, keys: Sequence[str]) -> Any:
    """The scores of these rows; NaN where a cell is empty and may be, as that of a class."""
    numbers: Any = pd.to_numeric(rows[metric], errors="coerce")
    values = numbers.astype(float)
    may_be_empty = (rows[metric].str.strip() == "") & (CLASS in keys)
    for line in rows.index[~np.isfinite(values) & ~may_be_empty]:
        row = rows.loc[line]
        raise MedbenchError(f"{path}:{line + 2}: {metric} of {_name(row, keys)} is {row[metric]!r}, not a number")
    low, high = bounds or (-inf, inf)
    within = values.clip(low, high)
    for line in rows.index[(values - within).abs() > NEAR]:
        row = rows.loc[line]
        is_percent = values.median() > 1 and values.max() <= 100
        share = f"it is a share from 0 to 1{': divide percent by 100' if is_percent else ''}"
        remedy = "it cannot be negative" if values[line] < low else share
        raise MedbenchError(f"{path}:{line + 2}: {metric} of {_name(row, keys)} is {row[metric]}; {remedy}")
    return within


def _over_classes(path: Path, wide: Any, metric: str) -> Any:
    """The mean over the classes of each image that has any, of columns by image and class.

    Raises:
        MedbenchError: a class of an image has a score of one variant and seed and none of another, or none has any.
    """
    has = wide.notna()
    for image, name in has.columns[(has.any() & ~has.all()).to_numpy()]:
        there = has[image, name]
        (variant, seed), (other, other_seed) = there.index[~there][0], there.index[there][0]
        raise MedbenchError(
            f"{path}: no {metric} of class {name} in image {image} of variant {variant}, seed {seed}, and there is one "
            f"of variant {other}, seed {other_seed}; a cell is empty where the reference does not hold the class, for "
            "all alike"
        )
    if not has.to_numpy().any():
        raise MedbenchError(
            f"{path}: every {metric} of {', '.join(dict.fromkeys(has.columns.get_level_values(1)))} is empty"
        )
    held = wide.loc[:, has.all()]
    return held.T.groupby(level="image").mean().T


def _groups(path: Path, table: pd.DataFrame, images: Iterable[str]) -> Labels:
    """For each image a label that it shares with those of its group; an image without one has a label of its own."""
    group_of: dict[str, str] = {}
    for line, (image, cell) in enumerate(zip(table["image"], table[GROUP].str.strip(), strict=True), start=2):
        if cell.casefold() in NOTHING:
            raise MedbenchError(
                f"{path}:{line}: group {cell!r} of image {image} is by its name none, and would join images that have "
                "nothing in common; leave the cell empty where an image is by itself, or rename the group if it is one"
            )
        if (known := group_of.setdefault(image, cell)) != cell:
            raise MedbenchError(
                f"{path}:{line}: image {image} is in group {cell!r} here and in {known!r} above; an image is in one "
                "group in every row, or in none; rename the column if it says something else"
            )
    return [(group,) if (group := group_of[image]) else image for image in images]


def _name(row: pd.Series, keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {row[key]}" for key in keys)
