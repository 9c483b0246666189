"""Numbers that others published, beside ours: reached, not reached, or not comparable, and why."""

from typing import Any

import numpy as np

from ..bench.stats import summarize
from .load import Study
from .settings import flatten
from .tables import KNOWN, Cells


def published_rows(study: Study, cells: Cells) -> list[dict[str, Any]]:
    """One row per claim that the study lists.

    A claim is reached when its value does not lie beyond our 95 % interval (crossed: for new seeds and new images) on
    the good side, not reached when it does. It is not comparable where a setting that it was reported under differs
    from the study's, or where we have no interval.

    Keys: variant, metric, evaluation, value, spread, source, note, ours, ci_low, ci_high, n_seeds, n_images, verdict,
    why, trials; None where there is no number.
    """
    rows: list[dict[str, Any]] = []
    for claim in study.spec.get("claims", []):
        row = {key: claim[key] for key in ("variant", "metric", "evaluation", "value", "spread", "source", "note")}
        row |= dict.fromkeys(("ours", "ci_low", "ci_high", "n_seeds", "n_images", "trials"))
        cell = cells.get((claim["evaluation"], claim["variant"]))
        if cell is None or claim["metric"] not in cell.tables:
            rows.append({**row, "verdict": "not comparable", "why": "there is no score of ours yet"})
            continue
        found = summarize(cell.tables[claim["metric"]].to_numpy())
        row |= {"ours": found.mean, "ci_low": found.ci_low, "ci_high": found.ci_high, "trials": cell.trials}
        row |= {"n_seeds": found.n_seeds, "n_images": found.n_images}
        apart = _apart(study, claim)
        if found.ci_low is None or found.ci_high is None or np.isnan(found.ci_low):
            apart.append("one seed gives no interval")
        if apart:
            rows.append({**row, "verdict": "not comparable", "why": "; ".join(apart)})
            continue
        higher = KNOWN[claim["metric"]].higher_is_better
        is_beyond = claim["value"] > found.ci_high if higher else claim["value"] < found.ci_low
        is_within = found.ci_low <= claim["value"] <= found.ci_high
        why = "it lies within our interval" if is_within else f"our interval lies {'below' if higher else 'above'} it"
        if not is_within and not is_beyond:
            why = f"our interval lies {'above' if higher else 'below'} it"
        rows.append({**row, "verdict": "not reached" if is_beyond else "reached", "why": why})
    return rows


def _apart(study: Study, claim: dict[str, Any]) -> list[str]:
    """The settings in which the study and the claim's experiment are known to differ."""
    ours = {"dataset": (study.spec.get("dataset") or {}).get("name"), "size": study.spec.get("dataset", {}).get("size")}
    known = study.spec["variants"][claim["variant"]].get("settings", {})
    members = (known.get("ensemble") or {}).get("members", [])
    for name in members[:1] or [claim["variant"]]:  # an ensemble is trained as its members are
        ours |= flatten(study.spec["variants"][name].get("settings", {}))
    return [
        f"{key.rpartition('.')[2]} {ours.get(key)} here, {value} there"
        for key, value in claim.get("under", {}).items()
        if ours.get(key) != value
    ]
