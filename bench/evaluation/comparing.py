"""Variants compared from a table of scores that any tool made."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import MedbenchError, UnknownNameError
from ..metrics import METRICS, MILLIMETRES, out_of_reach
from ..stats import Bounds, against_baseline, fixed_model, rank_stability, summarize
from .score_tables import Scores, Tables


@dataclass(frozen=True, slots=True)
class Measure:
    """What a comparison must know of the metric that it is in."""

    label: str
    higher_is_better: bool
    bounds: Bounds | None  # None where medbench does not know the metric


def compare_variants(scores: Scores, baseline: str, *, measure: Measure, margin: float) -> dict[str, Any]:
    """Every variant against the baseline as plain values: `comparisons`, a row each, and `variants`.

    A row of `comparisons` is a `Finding` with, as `fixed_model`, the p-values of tests that speak of these checkpoints
    alone. A variant that has exactly the baseline's scores is not compared. A row of `variants` has mean, interval,
    place, and the share of bootstrap resamples in which it came first (None where a variant has one seed: nothing is
    known of another). Equal tables are ranked as one. Where images come in groups, `n_groups` says how many there are.

    Raises:
        MedbenchError: the baseline is none of the variants, there is no other, or the margin is larger than any
            difference.
    """
    tables, groups = scores.tables, scores.groups
    if baseline not in tables:
        raise UnknownNameError("variant", baseline, tables)
    if len(tables) < 2:
        raise MedbenchError(f"{baseline} is the only variant; there is nothing to compare it with")
    if why := out_of_reach(margin, measure.label, measure.bounds):
        raise MedbenchError(why)
    first_alike = _first_alike(tables, baseline)
    same = [name for name, first in first_alike.items() if first == baseline != name]
    found = against_baseline(
        {name: (table, tables[baseline]) for name, table in tables.items() if name != baseline},
        baseline=baseline,
        metric=measure.label,
        margin=margin,
        higher_is_better=measure.higher_is_better,
        bounds=measure.bounds,
        same=same,
        groups=dict.fromkeys(tables, groups),
    )
    rng = np.random.default_rng(0)
    comparisons: list[dict[str, Any]] = []
    for name, finding in found.items():
        fixed = None if name in same else fixed_model(tables[name], tables[baseline], rng=rng)
        p_values = {"wilcoxon_p": fixed and fixed.wilcoxon_p, "permutation_p": fixed and fixed.permutation_p}
        comparisons.append({"variant": name, **finding.row(), "fixed_model": p_values})
    distinct = {name: table for name, table in tables.items() if first_alike[name] == name}
    ranks = rank_stability(distinct, rng=rng, higher_is_better=measure.higher_is_better, groups=groups)
    is_ranked = len(distinct) > 1 and min(map(len, tables.values())) > 1
    variants: list[dict[str, Any]] = []
    for name, table in tables.items():
        summary = summarize(table, bounds=measure.bounds, groups=groups)
        rank = ranks.names.index(first_alike[name])
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
                **({} if summary.n_groups is None else {"n_groups": summary.n_groups}),
                "place": int(ranks.place[rank]),
                "first_share": float(ranks.share[rank, 0]) if is_ranked else None,
            }
        )
    return {
        "metric": measure.label,
        "baseline": baseline,
        "margin": margin,
        "variants": variants,
        "comparisons": comparisons,
    }


def _first_alike(tables: Tables, baseline: str) -> dict[str, str]:
    """For each variant, the first of those that have its very scores: itself as a rule; the baseline goes first."""
    found: dict[str, str] = {}
    for name in sorted(tables, key=lambda name: name != baseline):
        found[name] = next((each for each in found if np.array_equal(tables[each], tables[name])), name)
    return found


def of_classes(measure: Measure, scores: Scores) -> Measure:
    """The measure by the name that it has where scores are of a class, or of the mean over several."""
    if not scores.classes:
        return measure
    of = f"of {scores.classes[0]}" if len(scores.classes) == 1 else "over classes"
    return replace(measure, label=f"{measure.label} {of}")


def measure_of(metric: str, higher_is_better: bool | None) -> Measure:
    """A metric as it is compared: medbench's own by name or label, in any case; of another, the direction is told.

    Raises:
        MedbenchError: an unknown metric without a direction, or a known one with the wrong one.
    """
    known = {alias.lower(): each for each in METRICS.values() for alias in (each.name, each.label)}
    known |= MILLIMETRES
    found = known.get(metric.lower())
    if found is None:
        if higher_is_better is None:
            raise MedbenchError(f"{metric}: no metric that medbench knows; say --higher-is-better or --lower-is-better")
        return Measure(metric, higher_is_better, None)
    if higher_is_better not in (None, found.higher_is_better):
        raise MedbenchError(f"{metric}: of {found.label}, {'higher' if found.higher_is_better else 'lower'} is better")
    # A column that is called hd95 may be in any unit; one that names its unit is told with it.
    label = f"{found.label} ({found.unit})" if found.name in MILLIMETRES else found.label
    return Measure(label, found.higher_is_better, found.bounds)
