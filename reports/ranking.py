"""More than two variants: every pair of them, and how firm their ranking is."""

from itertools import combinations
from typing import Any

import numpy as np

from ..bench.stats import Comparison, Ranks, compare, holm_over, rank_stability
from .load import Study
from .tables import KNOWN, Cell, Cells

RESAMPLES = 2000


def pairwise_rows(study: Study, cells: Cells) -> list[dict[str, Any]]:
    """Every pair of variants on the first evaluation, in the primary metric; none where there are but two.

    Variants that are the same training count once. Keys: a, b, difference (a - b), ci_low, ci_high (95 %, crossed),
    p_value, p_adjusted (Holm over all pairs); None where nothing can be decided.
    """
    bounds = KNOWN[study.spec["primary"]].bounds
    known = _cells(study, cells)
    tables = {variant: cell.tables[study.spec["primary"]] for variant, cell in known.items()}
    if len(tables) < 3:
        return []
    found: dict[tuple[str, str], Comparison] = {}
    for a, b in combinations(tables, 2):
        images = tables[a].columns.intersection(tables[b].columns)
        if not images.empty:
            pair = (tables[each][images].to_numpy() for each in (a, b))
            found[a, b] = compare(*pair, bounds=bounds, groups=known[a].labels(images))
    return [
        {
            "a": a,
            "b": b,
            "difference": each.difference,
            "ci_low": each.ci_low,
            "ci_high": each.ci_high,
            "p_value": each.p_value,
            "p_adjusted": p_adjusted,
        }
        for ((a, b), each), p_adjusted in zip(found.items(), holm_over([*found.values()]), strict=True)
    ]


def ranks_of(study: Study, cells: Cells) -> Ranks | None:
    """The variants' places under new seeds and images, on the first evaluation in the primary metric; None where there
    are but two, or a variant has one seed."""
    known = _cells(study, cells)
    tables = {variant: cell.tables[study.spec["primary"]] for variant, cell in known.items()}
    if len(tables) < 3 or any(len(table) < 2 for table in tables.values()):
        return None
    shared = sorted(set.intersection(*(set(table.columns) for table in tables.values())))
    if not shared:
        return None
    return rank_stability(
        {variant: table[shared].to_numpy() for variant, table in tables.items()},
        rng=np.random.default_rng(0),  # the same report for the same store
        n_resamples=RESAMPLES,
        higher_is_better=KNOWN[study.spec["primary"]].higher_is_better,
        groups=next(iter(known.values())).labels(shared),
    )


def _cells(study: Study, cells: Cells) -> dict[str, Cell]:
    """Of the variants with scores on the first evaluation, each training once."""
    first = study.spec["evaluations"][0]
    return {variant: cells[first, variant] for variant in study.distinct if (first, variant) in cells}
