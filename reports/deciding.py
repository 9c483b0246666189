"""Whether a study that is trained until it is decided is decided, and what the next look may bring."""

from dataclasses import dataclass

from ..bench.stats import chance_at_next
from .load import Study
from .tables import Cells, cells, findings

DECIDED = ("better", "worse", "equivalent")  # kinds of claims


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is known of one comparison of the primary metric on the first evaluation."""

    variant: str
    against: str
    verdict: str | None
    """Of the claim, None while it is not decided."""
    n_seeds: int
    """Of each variant, at the last look; 0 where nothing is scored yet."""
    difference: float | None
    ci_low: float | None
    """Of the repeated confidence interval, with ci_high; None before the first look."""
    ci_high: float | None
    reason: str | None
    """Why there is no interval; None where there is one, and where nothing is scored."""
    chance: float | None
    """That the next planned look decides, at the full level; None where it is decided, and where there is no next."""


def decisions(study: Study, known_cells: Cells | None = None) -> list[Decision]:
    """Of every comparison that the study is to decide, those without scores included."""
    found = cells(study, study.scores) if known_cells is None else known_cells
    first, primary = study.spec["evaluations"][0], study.spec["primary"]
    told: list[Decision] = []
    for against in filter(None, (study.spec["baseline"], study.spec["compare_with"])):
        known = findings(study, found, first, primary, against) if (first, against) in found else {}
        for variant in study.compared(against):
            finding = known.get(variant)
            comparison, claim = (finding.comparison, finding.claim) if finding else (None, None)
            verdict = claim.verdict if claim and claim.kind in DECIDED else None
            told.append(
                Decision(
                    variant=variant,
                    against=against,
                    verdict=verdict,
                    n_seeds=comparison.n_seeds_a if comparison else 0,
                    difference=comparison and comparison.difference,
                    ci_low=comparison and comparison.ci_low,
                    ci_high=comparison and comparison.ci_high,
                    reason=comparison and comparison.reason,
                    chance=chance_at_next(comparison, study.spec["margin"] or 0.0)
                    if comparison and verdict is None
                    else None,
                )
            )
    return told
