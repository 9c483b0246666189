"""Numbers that others published, beside ours: reached, not reached, or not comparable, and why."""

from dataclasses import dataclass
from typing import Any

from ...bench.stats import Summary, summarize
from ..evidence import Evidence, Row
from ..load import Study
from ..section import Part, Section
from ..settings import flatten, told
from ..tables import KNOWN, Cells


@dataclass(frozen=True, slots=True)
class Facts:
    published: list[Row]
    """`published_rows`."""


def make(evidence: Evidence) -> Part:
    rows = published_rows(evidence.study, evidence.cells)
    return Part(facts=Facts(rows), is_shown=bool(rows))


def published_rows(study: Study, cells: Cells) -> list[dict[str, Any]]:
    """One row per claim that the study lists.

    A claim is reached when its value does not lie beyond our 95 % interval (crossed: for new seeds and new images) on
    the good side, not reached when it does. It is not comparable where our images are synthetic, where a setting that
    it was reported under differs from the study's, or where our interval is missing or so wide (half of it more than
    the claim's own spread and, of the primary metric, twice the study's margin) that any value would lie in it.

    Keys: variant, metric, evaluation, value, spread, source, note, ours, ci_low, ci_high, n_seeds, n_images, verdict,
    why, trials; None where there is no number.
    """
    rows: list[dict[str, Any]] = []
    for claim in study.spec["claims"]:
        row = {key: claim[key] for key in ("variant", "metric", "evaluation", "value", "spread", "source", "note")}
        row |= dict.fromkeys(("ours", "ci_low", "ci_high", "n_seeds", "n_images", "trials"))
        cell = cells.get((claim["evaluation"], claim["variant"]))
        if cell is None or claim["metric"] not in cell.tables:
            rows.append({**row, "verdict": "not comparable", "why": "there is no score of ours yet"})
            continue
        table = cell.tables[claim["metric"]]
        found = summarize(table.to_numpy(), bounds=KNOWN[claim["metric"]].bounds, groups=cell.labels(table))
        row |= {"ours": found.mean, "trials": cell.trials, "n_seeds": found.n_seeds, "n_images": found.n_images}
        row["ci_low"], row["ci_high"] = found.ci_low, found.ci_high
        rows.append({**row, **_verdict(study, claim, found)})
    return rows


def _verdict(study: Study, claim: dict[str, Any], found: Summary) -> dict[str, str]:
    apart = _apart(study, claim)
    low, high, value = found.ci_low, found.ci_high, claim["value"]
    if low is None or high is None:
        return {"verdict": "not comparable", "why": "; ".join([*apart, f"no interval with {found.too_few}"])}
    is_within, width = low <= value <= high, high - low
    margin = study.spec["margin"] or 0 if claim["metric"] == study.spec["primary"] else 0
    if is_within and width / 2 > max(claim["spread"] or 0, 2 * margin):
        apart.append(f"our interval is too wide to tell: {width:.2g}")
    if apart:
        return {"verdict": "not comparable", "why": "; ".join(apart)}
    is_beyond = value > high if KNOWN[claim["metric"]].higher_is_better else value < low
    why = "it lies within our interval" if is_within else f"our interval lies {'below' if value > high else 'above'} it"
    if not claim["under"]:
        why += "; it does not say under which settings it was measured"
    return {"verdict": "not reached" if is_beyond else "reached", "why": why}


def _apart(study: Study, claim: dict[str, Any]) -> list[str]:
    """The settings in which the study and the claim's experiment are known to differ."""
    ours = {"dataset": study.spec["dataset"]["name"], "size": study.spec["dataset"]["size"]}
    ours |= {"split": study.spec["dataset"]["split"], "score_at": study.spec["score_at"]}
    if claim["evaluation"] in study.spec["at_input"]:
        ours["score_at"] = "input"
    known = study.spec["variants"][claim["variant"]]["settings"]
    members = (known.get("ensemble") or {}).get("members", [])
    for name in members[:1] or [claim["variant"]]:  # an ensemble is trained as its members are
        ours |= flatten(study.spec["variants"][name]["settings"])
    synthetic = ["our images are synthetic"] if ours["dataset"] == "synthetic" else []
    return synthetic + [
        f"{key.rpartition('.')[2]} {told(ours.get(key))} here, {value} there"
        for key, value in claim.get("under", {}).items()
        if ours.get(key) != value
    ]


SECTION = Section(name="published", title="Published numbers", make=make)
