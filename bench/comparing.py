"""Variants compared from a table of scores that any tool made."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import MedbenchError, UnknownNameError
from .metrics import METRICS
from .stats import against_baseline, fixed_model, rank_stability, summarize

KEYS = ("variant", "seed", "image")
Tables = dict[str, NDArray[np.float64]]


def read_scores(path: Path, metric: str) -> Tables:
    """For each variant of a CSV file its (seeds, images) scores in one metric, images in the same order for all.

    Args:
        path: columns variant, seed, image and the metric; other columns are not read. Names are text: 01 is not 1.
        metric: a column of numbers.

    Raises:
        MedbenchError: the file cannot be read, a column is missing, a score is no number, twice there or missing; names
            the line, or variant, seed and image.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise MedbenchError(f"{path}: cannot be read as CSV ({error})") from error
    for column in KEYS:
        if column not in table:
            raise MedbenchError(
                f"{path}: no column {column!r}; needed are {', '.join(KEYS)} and metrics, separated by commas; "
                f"there are {', '.join(map(repr, table))}"
            )
    if metric not in table or metric in KEYS:
        raise MedbenchError(f"{path}: {UnknownNameError('metric', metric, set(table) - {*KEYS})}")
    if table.empty:
        raise MedbenchError(f"{path}: holds no scores")
    values = np.asarray(pd.to_numeric(table[metric], errors="coerce"), dtype=np.float64)
    for line in np.flatnonzero(~np.isfinite(values)):
        row = table.iloc[line]
        raise MedbenchError(f"{path}:{line + 2}: {metric} of {_name(row)} is {row[metric]!r}, not a number")
    for line in np.flatnonzero(table.duplicated(list(KEYS))):
        raise MedbenchError(
            f"{path}:{line + 2}: a second score of {_name(table.iloc[line])}; keep one, and one evaluation at a time"
        )
    wide = table.assign(value=values).pivot(index=["variant", "seed"], columns="image", values="value")
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
    return {variant: wide.loc[variant].to_numpy() for variant in order}


def compare_variants(
    tables: Tables, baseline: str, *, metric: str, margin: float, higher_is_better: bool
) -> dict[str, Any]:
    """Every variant against the baseline as plain values: `comparisons`, a row each, and `variants`.

    A row of `comparisons` is a `Finding` with, as `fixed_model`, the p-values of tests that speak of these checkpoints
    alone. A row of `variants` has mean, interval, place, and the share of bootstrap resamples in which it came first
    (None where a variant has one seed: nothing is known of another).

    Raises:
        MedbenchError: the baseline is none of the variants, or there is no other.
    """
    if baseline not in tables:
        raise UnknownNameError("variant", baseline, tables)
    if len(tables) < 2:
        raise MedbenchError(f"{baseline} is the only variant; there is nothing to compare it with")
    found = against_baseline(
        {name: (table, tables[baseline]) for name, table in tables.items() if name != baseline},
        baseline=baseline,
        metric=metric,
        margin=margin,
        higher_is_better=higher_is_better,
    )
    rng = np.random.default_rng(0)
    comparisons: list[dict[str, Any]] = []
    for name, finding in found.items():
        fixed = fixed_model(tables[name], tables[baseline], rng=rng)
        p_values = {"wilcoxon_p": fixed.wilcoxon_p, "permutation_p": fixed.permutation_p}
        comparisons.append({"variant": name, **finding.row(), "fixed_model": p_values})
    ranks = rank_stability(tables, rng=rng, higher_is_better=higher_is_better)
    variants: list[dict[str, Any]] = []
    for name, place, first in zip(ranks.names, ranks.place, ranks.share[:, 0], strict=True):
        summary = summarize(tables[name])
        variants.append(
            {
                "variant": name,
                "mean": summary.mean,
                "ci_low": summary.ci_low,
                "ci_high": summary.ci_high,
                "sd_seeds": summary.sd_seeds,
                "sd_images": summary.sd_images,
                "n_seeds": summary.n_seeds,
                "n_images": summary.n_images,
                "place": int(place),
                "first_share": float(first) if min(map(len, tables.values())) > 1 else None,
            }
        )
    return {"metric": metric, "baseline": baseline, "margin": margin, "variants": variants, "comparisons": comparisons}


def _name(row: pd.Series) -> str:
    return ", ".join(f"{key} {row[key]}" for key in KEYS)


def direction_of(metric: str, higher_is_better: bool | None) -> tuple[str, bool]:
    """Label and direction of a metric: medbench's own by name or label, in any case; another's as told.

    Raises:
        MedbenchError: an unknown metric without a direction, or a known one with the wrong one.
    """
    known = {alias.lower(): each for each in METRICS.values() for alias in (each.name, each.label)}
    found = known.get(metric.lower())
    if found is None:
        if higher_is_better is None:
            raise MedbenchError(f"{metric}: unknown metric; say --higher-is-better or --lower-is-better")
        return metric, higher_is_better
    if higher_is_better not in (None, found.higher_is_better):
        raise MedbenchError(f"{metric}: of {found.label}, {'higher' if found.higher_is_better else 'lower'} is better")
    return found.label, found.higher_is_better
