"""The comparisons of a report: every variant with the baseline, on every evaluation and metric."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bench.stats import Comparison, claim, compare, effects, equivalence, holm, minimum_detectable, needed
from .load import Study
from .tables import KNOWN, Cell, Cells

LEVEL = 0.95


def comparisons_table(study: Study, cells: Cells) -> pd.DataFrame:
    """One row per evaluation, metric and variant other than the baseline, where both have scores.

    Differences are variant - baseline. p values are adjusted by Holm over the variants of one evaluation and metric;
    verdicts are given on the primary metric only, for the others are exploratory, and so are seeds_needed and
    images_needed: what it would take to find a difference as large as the margin in 80 % of studies.

    Columns: study, evaluation, metric, variant, baseline, difference, error (standard error), df, ci_low, ci_high
    (95 %), tost_low, tost_high (90 %), p_value, p_adjusted, p_equivalence (within the margin), effect_size,
    rank_biserial, improvement, seed_share, minimum_detectable, seeds_needed, images_needed, n_seeds_variant,
    n_seeds_baseline, n_images, verdict, may, may_not (what the comparison shows, in words), reason, trials,
    baseline_trials.
    """
    baseline = study.spec["baseline"]
    rows: list[dict[str, Any]] = []
    for evaluation in study.spec["evaluations"]:
        against = cells.get((evaluation, baseline))
        if against is None:
            continue
        others = [v for v in study.spec["variants"] if v != baseline and (evaluation, v) in cells]
        for metric in against.tables:
            pairs = {v: pair for v in others if (pair := _pair(cells[evaluation, v], against, metric)) is not None}
            compared = {variant: compare(*pair, level=LEVEL) for variant, pair in pairs.items()}
            adjusted = holm([comparison.p_value for comparison in compared.values()])
            for (variant, comparison), p_adjusted in zip(compared.items(), adjusted, strict=True):
                size = effects(*pairs[variant])
                rows.append(
                    {
                        "study": study.name,
                        "evaluation": evaluation,
                        "metric": metric,
                        "variant": variant,
                        "baseline": baseline,
                        "difference": comparison.difference,
                        "error": comparison.error,
                        "df": comparison.df,
                        "ci_low": comparison.ci_low,
                        "ci_high": comparison.ci_high,
                        "tost_low": comparison.tost_low,
                        "tost_high": comparison.tost_high,
                        "p_value": comparison.p_value,
                        "p_adjusted": p_adjusted,
                        "effect_size": size.standardised,
                        "rank_biserial": size.rank_biserial,
                        "improvement": size.improvement,
                        "seed_share": comparison.seed_share,
                        **_on_the_primary(study, metric, variant, comparison, p_adjusted),
                        "n_seeds_variant": comparison.n_seeds_a,
                        "n_seeds_baseline": comparison.n_seeds_b,
                        "n_images": comparison.n_images,
                        "reason": comparison.reason,
                        "trials": cells[evaluation, variant].trials,
                        "baseline_trials": against.trials,
                    }
                )
    return pd.DataFrame(rows)


def _pair(cell: Cell, against: Cell, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The tables of two variants on the images that every seed of both was scored on; None when there is none."""
    if metric not in cell.tables:
        return None
    a, b = cell.tables[metric], against.tables[metric]
    images = a.columns.intersection(b.columns)
    return None if images.empty else (a[images].to_numpy(), b[images].to_numpy())


def _on_the_primary(
    study: Study, metric: str, variant: str, comparison: Comparison, p_adjusted: float | None
) -> dict[str, Any]:
    """What only the primary metric, for which the margin was declared, has."""
    names = (
        *("p_equivalence", "minimum_detectable", "seeds_needed", "images_needed"),
        *("verdict", "may", "may_not"),
    )
    row: dict[str, Any] = dict.fromkeys(names)
    if metric != study.spec["primary"]:
        return row
    margin = study.spec.get("margin") or 0.0
    known = KNOWN[metric]
    words = claim(
        comparison,
        margin,
        p_adjusted,
        a=variant,
        b=study.spec["baseline"],
        metric=known.label,
        higher_is_better=known.higher_is_better,
    )
    row |= {"verdict": words.verdict, "may": words.may, "may_not": words.may_not}
    if comparison.components is not None:
        row["minimum_detectable"] = minimum_detectable(comparison.components)
        row["p_equivalence"] = equivalence(comparison, margin)
        if margin > 0:
            cost = needed(comparison.components, margin)
            row |= {"seeds_needed": cost.seeds, "images_needed": cost.images}
    return row
