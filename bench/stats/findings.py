"""Several variants against one baseline: the whole family of comparisons, each with everything that is said of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .claims import Claim, claim, cost, same_scores
from .crossed import Comparison, compare, same_table
from .families import holm_over, in_order_over, n_tests
from .fixed import Effects, effects
from .groups import Labels
from .intervals import ALPHA, Bounds
from .looking import compare_in_looks
from .margins import equivalence
from .power import Needed, detectable, needed
from .sequential import Looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One variant against the baseline. What needs a margin is None where none was declared, and so are words."""

    comparison: Comparison
    p_adjusted: float | None  # by Holm over the family, or in its order
    effects: Effects  # of the seeds that the comparison is of
    minimum_detectable: float | None  # in the unit of the scores, with as many seeds and one look, at the level that
    # Holm asks for at worst, or the full one in order; None where no possible difference is so large
    p_equivalence: float | None
    needed: Needed | None  # to find a difference as large as the margin
    claim: Claim | None
    cost: str | None  # the same in words, where this study is too small for it

    def row(self) -> dict[str, Any]:
        """As plain values under the names that tables and JSON use; `groups_needed` and `n_groups` only where images
        come in groups."""
        c = self.comparison
        grouped = {"groups_needed": self.needed and self.needed.groups, "n_groups": c.n_groups}
        return {
            "difference": c.difference,
            "error": c.error,
            "df": c.df,
            "ci_low": c.ci_low,
            "ci_high": c.ci_high,
            "tost_low": c.tost_low,
            "tost_high": c.tost_high,
            "p_value": c.p_value,
            "p_adjusted": self.p_adjusted,
            "p_equivalence": self.p_equivalence,
            "effect_size": self.effects.standardised,
            "rank_biserial": self.effects.rank_biserial,
            "improvement": self.effects.improvement,
            "seed_share": c.seed_share,
            "minimum_detectable": self.minimum_detectable,
            "seeds_needed": self.needed and self.needed.seeds,
            "images_needed": self.needed and self.needed.images,
            "n_seeds_variant": c.n_seeds_a,
            "n_seeds_baseline": c.n_seeds_b,
            "n_images": c.n_images,
            "claim": self.claim and self.claim.verdict,
            "may": self.claim and self.claim.may,
            "not_shown": self.claim and self.claim.not_shown,
            "cost": self.cost,
            "reason": c.reason,
            **({} if c.n_groups is None else grouped),
        }


def against_baseline(
    pairs: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    baseline: str,
    metric: str,
    margin: float | None,
    higher_is_better: bool = True,
    level: float = 0.95,
    bounds: Bounds | None = None,
    same: Collection[str] = (),
    groups: Mapping[str, Labels | None] | None = None,
    looks: Looks | None = None,
    n_complete: int | None = None,
    order: Sequence[str] | None = None,
) -> dict[str, Finding]:
    """Compares every variant with the baseline; p-values are adjusted over all of them.

    Args:
        pairs: for each variant its (S, N) scores and the baseline's of the same images in the same order.
        baseline: its name.
        metric: its label.
        margin: differences below it count as practically nothing, in the unit of the scores; None where the metric is
            only looked at, and nothing is claimed.
        higher_is_better: the metric's direction.
        level: coverage of the intervals, in (0, 1).
        bounds: the least and the largest that a score can be; None where that is not known.
        same: variants whose table is the baseline's own; they are not compared and not of the family.
        groups: for each variant the labels of its images, as in `compare`; None where every image is one by itself.
        looks: where the study is looked at while its seeds come in, the plan of it.
        n_complete: the seeds that every variant has then, as in `compare_in_looks`.
        order: of the variants, declared before scores are seen, in which they are tested in the place of Holm's.
    """
    labels = groups or dict.fromkeys(pairs)
    family = [variant for variant in pairs if variant not in same]
    compared = {variant: same_table(a, groups=labels[variant]) for variant, (a, _) in pairs.items() if variant in same}
    by = compare if looks is None else partial(compare_in_looks, looks=looks, n_complete=n_complete)
    compared |= {variant: by(*pairs[variant], level=level, bounds=bounds, groups=labels[variant]) for variant in family}
    if order is not None:
        family.sort(key=order.index)
    adjust = holm_over if order is None else in_order_over
    tests = [compared[variant] for variant in family]
    adjusted = dict(zip(family, adjust(tests), strict=True))
    n_compared = max(n_tests(tests), 1) if order is None else 1  # in order each is tested at the full level
    found: dict[str, Finding] = {}
    for variant, (a, b) in pairs.items():
        comparison, p_adjusted = compared[variant], adjusted.get(variant)
        components = comparison.components
        words = same_scores(variant, baseline) if variant in same and margin is not None else None
        if words is None and margin is not None:
            words = claim(
                comparison,
                margin,
                p_adjusted,
                a=variant,
                b=baseline,
                metric=metric,
                higher_is_better=higher_is_better,
                n_compared=n_compared,
                is_ordered=order is not None,
            )
        found[variant] = Finding(
            comparison=comparison,
            p_adjusted=p_adjusted,
            effects=effects(np.asarray(a)[: comparison.n_seeds_a], np.asarray(b)[: comparison.n_seeds_b]),
            minimum_detectable=detectable(comparison, n_compared),
            p_equivalence=equivalence(comparison, margin) if margin else None,
            needed=needed(components, margin, alpha=ALPHA / n_compared) if margin and components else None,
            claim=words,
            cost=cost(components, margin, n_compared, is_looked=comparison.looked is not None)
            if words and words.kind == "no difference shown" and margin and components
            else None,
        )
    return found
