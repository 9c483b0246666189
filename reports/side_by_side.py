"""The studies of one question on several data sets, side by side. Nothing is averaged over sets."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ..bench.stats import ALPHA
from ..bench.stats.several_sets import dependence
from .evidence import Row, anchor_of
from .notes import listed, p_equals
from .sections.comparisons import draw_forest
from .tables import KNOWN


def side_by_side(studies: Sequence[Row]) -> list[Row]:
    """What the page and report.json say of each series of which two studies at least have scores.

    Args:
        studies: the facts of all studies of the report; those of a series have `series`.

    Keys: name, question, primary, margin, baseline, same (groups of sets that are the same trainings, of which the
    first counts in `depends`), missing (sets without scores), apart (studies that could not be joined with the one of
    their set that stands here), sets (set, study, anchor, dataset, n_images, n_seeds, n_groups where images were
    counted by groups), means (by variant one entry a set: mean, ci_low, ci_high, rank), differences (by variant one
    entry a set: difference, error, df, ci_low, ci_high, p_adjusted, claim), depends (by variant f, df, p_value and
    n_sets; None where it cannot be told), answers (by variant a sentence). An entry is None where there is no score.
    """
    series: dict[str, dict[str, Row]] = {}
    apart: dict[str, list[str]] = {}
    for study in studies:
        if told := study.get("series"):
            kept = series.setdefault(told["name"], {}).setdefault(told["set"], study)
            if kept is not study:
                apart.setdefault(told["name"], []).append(study["study"])
    return [found for name, members in series.items() if (found := _series(name, members, apart.get(name, [])))]


def _series(name: str, members: Mapping[str, Row], apart: list[str]) -> Row | None:
    first = next(iter(members.values()))
    order = [each for each in first["series"]["sets"] if each in members]
    scored = {each: members[each] for each in order if _means(members[each])}
    if len(scored) < 2:
        return None
    baseline, primary = first["baseline"], first["primary"]
    variants = list(dict.fromkeys(variant for each in scored.values() for variant in each["settings"]))
    means = {variant: [_means(each).get(variant) for each in scored.values()] for variant in variants}
    differences = {
        variant: [_differences(each).get(variant) for each in scored.values()]
        for variant in variants
        if variant != baseline
    }
    same = _same(scored)
    first_of = [not any(name in names[1:] for names in same) for name in scored]
    depends = {
        variant: _depends([row for row, counts in zip(rows, first_of, strict=True) if counts])
        for variant, rows in differences.items()
    }
    return {
        "name": name,
        "question": first["question"],
        "primary": primary,
        "margin": first["margin"],
        "baseline": baseline,
        "same": same,
        "missing": [each for each in first["series"]["sets"] if each not in scored],
        "apart": apart,
        "sets": [_set(each, study) for each, study in scored.items()],
        "means": means,
        "differences": differences,
        "depends": depends,
        "answers": {
            variant: _answer(variant, baseline, [*scored], rows, depends[variant])
            for variant, rows in differences.items()
        },
    }


def _same(studies: Mapping[str, Row]) -> list[list[str]]:
    """Groups of sets whose studies have the same trainings."""
    by_trials: dict[tuple[str, ...], list[str]] = {}
    for name, study in studies.items():
        by_trials.setdefault(tuple(sorted(each["trial"] for each in study["trials"])), []).append(name)
    return [names for names in by_trials.values() if len(names) > 1]


def _set(name: str, study: Row) -> Row:
    rows = [row for row in study["variants"] if row["evaluation"] == study["evaluations"][0]]
    groups = study.get("groups", {})
    return {
        "set": name,
        "study": study["study"],
        "anchor": anchor_of(study["study"]),
        "dataset": study["dataset"].get("name") or study["dataset"].get("folder"),
        "n_images": rows[0]["n_images"],
        "n_seeds": min(row["n_seeds"] for row in rows),
        **({"n_groups": groups[study["evaluations"][0]]["groups"]} if study["evaluations"][0] in groups else {}),
    }


def _means(study: Row) -> dict[str, Row]:
    """By variant the mean of the primary metric on the study's first evaluation, and its rank there."""
    metric = study["primary"]
    rows = [row for row in study["variants"] if row["evaluation"] == study["evaluations"][0]]
    sign = -1 if KNOWN[metric].higher_is_better else 1
    ordered = sorted(sign * row[f"{metric}_mean"] for row in rows)
    return {
        row["variant"]: {
            "mean": row[f"{metric}_mean"],
            "ci_low": row[f"{metric}_ci_low"],
            "ci_high": row[f"{metric}_ci_high"],
            "rank": ordered.index(sign * row[f"{metric}_mean"]) + 1,
        }
        for row in rows
    }


def _differences(study: Row) -> dict[str, Row]:
    keys = ("difference", "error", "df", "ci_low", "ci_high", "p_adjusted", "claim")
    return {
        row["variant"]: {key: row[key] for key in keys}
        for row in study["comparisons"]
        if row["evaluation"] == study["evaluations"][0] and row["metric"] == study["primary"]
    }


def _depends(rows: Sequence[Row | None]) -> Row | None:
    known = [row for row in rows if row and row["error"] is not None and row["df"] is not None]
    if len(known) < 2:
        return None
    found = dependence(*([row[key] for row in known] for key in ("difference", "error", "df")))
    return found and {"f": found.f, "df": list(found.df), "p_value": found.p_value, "n_sets": len(known)}


def _answer(variant: str, baseline: str, sets: Sequence[str], rows: Sequence[Row | None], depends: Row | None) -> str:
    """A sentence: on which sets which verdict stands, and whether the difference depends on the set."""
    verdicts: dict[str, list[str]] = {}
    for name, row in zip(sets, rows, strict=True):
        if row and row["claim"]:
            verdicts.setdefault(row["claim"], []).append(name)
    if not verdicts:
        return f"{variant} against {baseline}: no verdict on any set yet."
    told = "; ".join(f"{claim} on {listed(names)}" for claim, names in verdicts.items())
    if depends is None:
        return f"{variant} against {baseline}: {told}."
    shown = (
        "The difference depends on the set"
        if depends["p_value"] < ALPHA
        else "That the difference depends on the set is not shown"
    )
    return f"{variant} against {baseline}: {told}. {shown} ({p_equals(depends['p_value'])})."


def draw_series(found: Row) -> str | None:
    """The differences of a series by set, as `draw_forest` draws those of one study by evaluation."""
    names = [each["set"] for each in found["sets"]]
    rows = pd.DataFrame(
        {"evaluation": name, "variant": variant, **{key: row[key] for key in ("difference", "ci_low", "ci_high")}}
        for place, name in enumerate(names)
        for variant, each in found["differences"].items()
        if (row := each[place])
    )
    if rows.empty:
        return None
    rows = rows.astype({"ci_low": float, "ci_high": float})
    return draw_forest(rows, [*found["means"]], found["primary"], found["margin"], f"{anchor_of(found['name'])}-sets")
