"""Writes a report: index.html that needs nothing else, its tables as CSV and LaTeX, its numbers as report.json.

Only the stores' files decide what is written, so that the same stores give the same bytes.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..bench.failures import FAILURES
from ..bench.records import short_id, write_json, write_text
from . import figures, notes, tables
from .agreement import agreement_table, by_tools
from .calibration import Sums, calibration_table, reliability_sums
from .comparisons import comparisons_table
from .failures import failure_pictures, failures_table
from .gallery import Picture, pictures
from .generalization import generalization_table
from .load import Study, load_studies
from .robustness import relative_robustness, robustness_table
from .strata import strata_table

HERE = Path(__file__).parent
MAIN_METRICS = ("dice", "iou", "sensitivity", "specificity", "hd95", "artifact_fpr")  # in the page; the CSV has all
LATEX = {"−": "$-$", "±": r"$\pm$", "<": "$<$", "≥": r"$\geq$", "–": "--"}  # what pandas leaves as it is


def write_report(stores: Sequence[Path], out: Path) -> Path:
    """Writes the report of all studies in the stores into the folder `out` and returns the path of its index.html.

    Besides: report.json and tables/<study>-{variants,comparisons,per-image}.csv with every metric, of the first two an
    excerpt for print as LaTeX (.tex), and what the evaluations allow of -{robustness,strata,generalization,calibration,
    failures,agreement}.csv.
    Raises MedbenchError when a store holds no study.
    """
    contexts: list[dict[str, Any]] = []
    for study in load_studies(stores):
        scores = study.scores
        cells = tables.cells(study, scores)
        variants, comparisons = tables.variants_table(study, cells), comparisons_table(study, cells)
        sums = reliability_sums(study, [each for each in study.spec["evaluations"] if each not in study.artifacts])
        evidence = {
            "robustness": robustness_table(study, cells),
            "strata": strata_table(study, cells),
            "generalization": generalization_table(study, cells),
            "calibration": calibration_table(study, cells, sums),
            "failures": failures_table(study, scores),
            "agreement": agreement_table(study, cells),
        }
        facts = _facts(study, scores, variants, comparisons)
        facts |= {name: tables.records(table) for name, table in evidence.items()}
        relative = relative_robustness(evidence["robustness"])
        facts["relative_robustness"] = {str(kind): dict(row) for kind, row in relative.iterrows()}
        facts["tools"] = {
            row["evaluation"]: by_tools(study, row["evaluation"], row["metric"]) for row in facts["agreement"]
        }
        shown, failed = pictures(study, scores), failure_pictures(study, scores)
        facts["gallery"] = [_without_data(picture) for picture in shown]
        facts["failure_examples"] = {mode: [_without_data(each) for each in found] for mode, found in failed.items()}
        anchor = anchor_of(study.name)
        contexts.append(
            {
                "facts": facts,
                "anchor": anchor,
                "figures": _figures(study, scores, variants, comparisons, evidence, sums, anchor),
                "pictures": shown,
                "failed": failed,
                "metrics": _metrics_by_evaluation(facts),
            }
        )
        stem = out / "tables" / study.name
        _write_tables(variants, f"{stem}-variants", _variants_excerpt(variants, study.spec["primary"]))
        _write_tables(comparisons, f"{stem}-comparisons", _comparisons_excerpt(comparisons, study.spec["primary"]))
        for name, table in evidence.items():
            if len(table):
                write_text(Path(f"{stem}-{name}.csv"), table.to_csv(index=False))
        write_text(Path(f"{stem}-per-image.csv"), scores.to_csv(index=False))
    write_json(out / "report.json", {"studies": [context["facts"] for context in contexts]})
    index = out / "index.html"
    write_text(index, _render(contexts))
    return index


def anchor_of(name: str) -> str:
    """A name as an HTML id: what is not a letter, digit, - or _ gives way, and a digest keeps names apart.

    >>> anchor_of("baa"), anchor_of("a b")
    ('baa', 'a-b-5e229e24')
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name)
    return plain if plain == name else f"{plain}-{short_id(name)[:8]}"


def _facts(study: Study, scores: pd.DataFrame, variants: pd.DataFrame, comparisons: pd.DataFrame) -> dict[str, Any]:
    """Every number of the study's section as plain values: what report.json holds and the page prints."""
    spec = study.spec
    rows = tables.records(comparisons)
    environments = _environments(study)
    place = {what: name for name, entry in environments.items() for what in entry["of"]}
    return {
        "study": study.name,
        **{
            key: spec.get(key)
            for key in ("question", "profile", "baseline", "primary", "margin", "medbench", "protocol")
        },
        **{key: spec.get(key) for key in ("dataset", "n_images", "left_out", "score_at", "evaluations")},
        "artifacts": study.artifacts,
        "spec": spec.get("spec"),
        "n_trials": len(study.trials),
        "n_planned": study.n_planned,
        "answers": [notes.answer(study, row) for row in rows if row["metric"] == spec["primary"]],
        "warnings": notes.warnings_of(study, scores),
        "variants": tables.records(variants),
        "comparisons": rows,
        "differing_settings": tables.differing_settings(study),
        "settings": {name: tables.flatten(known.get("settings", {})) for name, known in spec["variants"].items()},
        "descriptions": {name: known.get("description") for name, known in spec["variants"].items()},
        "latency": tables.records(tables.latency_table(study)),
        "trials": [
            {
                "variant": trial.variant,
                "seed": trial.seed,
                "fold": trial.fold,
                "trial": trial.id,
                "members": trial.members,
                "evaluations": {label: found.id for label, found in trial.evaluations.items()},
                "environment": place[f"trial {trial.id}"],
                "seconds": None if trial.history is None else sum(trial.history["seconds"].to_list()),
            }
            for trial in study.trials
        ],
        "environments": environments,
    }


def _environments(study: Study) -> dict[str, dict[str, Any]]:
    """The different environments, named E1, E2, ...: their fields (flat), and the trials and evaluations made there."""
    found: dict[str, dict[str, Any]] = {}
    for what, environment in notes.provenance(study).items():
        # Another command is not another environment.
        fields = tables.flatten({key: value for key, value in environment.items() if key != "command"})
        entry = found.setdefault(short_id(fields), {"fields": fields, "of": []})
        entry["of"].append(what)
    return {f"E{position}": entry for position, entry in enumerate(found.values(), start=1)}


def _figures(
    study: Study,
    scores: pd.DataFrame,
    variants: pd.DataFrame,
    comparisons: pd.DataFrame,
    evidence: dict[str, pd.DataFrame],
    sums: Sums,
    anchor: str,
) -> dict[str, Markup]:
    """The figures that the store has data for: curves, distribution, cost, severity, reliability, forest."""
    names, primary, first = list(study.spec["variants"]), study.spec["primary"], study.spec["evaluations"][0]
    drawn: dict[str, str | None] = {}
    histories = [t.history.assign(variant=t.variant, trial=t.id) for t in study.trials if t.history is not None]
    if histories:
        drawn["curves"] = figures.training_curves(pd.concat(histories, ignore_index=True), names, f"{anchor}-curves")
    scored: Any = scores.reindex(columns=["evaluation", "variant", "image", primary]).dropna()
    scored = scored[scored["evaluation"] == first]
    if len(scored):
        images = scored.groupby(["variant", "image"], sort=False, as_index=False)[primary].mean()
        drawn["distribution"] = figures.distribution(images, names, primary, f"{anchor}-distribution")
    if len(variants):
        rows: Any = variants[variants["evaluation"] == first]
        drawn["cost"] = figures.cost(rows, names, primary, f"{anchor}-cost")
    if len(evidence["robustness"]):
        drawn["severity"] = figures.severity(evidence["robustness"], names, primary, f"{anchor}-severity")
    if sums:
        drawn["reliability"] = figures.reliability(sums, names, f"{anchor}-reliability")
    if len(comparisons):
        has_own_figure = comparisons["evaluation"].isin(list(study.artifacts))
        rows = comparisons[(comparisons["metric"] == primary) & ~has_own_figure]
        if len(rows):
            drawn["forest"] = figures.forest(rows, names, primary, study.spec.get("margin"), f"{anchor}-forest")
    return {name: Markup(svg) for name, svg in drawn.items() if svg is not None}


def _metrics_by_evaluation(facts: dict[str, Any]) -> dict[str, list[str]]:
    """The metrics that the page's variants table shows for each evaluation, the primary one first."""
    wanted = _main_metrics(facts["primary"])
    return {
        evaluation: [
            metric
            for metric in wanted
            if any(
                row.get(f"{metric}_mean") is not None for row in facts["variants"] if row["evaluation"] == evaluation
            )
        ]
        for evaluation in facts["evaluations"]
    }


def _main_metrics(primary: str) -> list[str]:
    return list(dict.fromkeys([primary, *MAIN_METRICS]))


def _without_data(picture: Picture) -> dict[str, Any]:
    return {
        "rank": picture.rank,
        "evaluation": picture.evaluation,
        "image": picture.image,
        "score": picture.score,
        "contours": [
            {"variant": c.variant, "seed": c.seed, "trial": c.trial, "score": c.score} for c in picture.contours
        ],
    }


def _write_tables(table: pd.DataFrame, stem: str, excerpt: pd.DataFrame) -> None:
    """The whole table as CSV, its excerpt for print as LaTeX (booktabs)."""
    write_text(Path(f"{stem}.csv"), table.to_csv(index=False))
    latex = excerpt.to_latex(index=False, escape=True)
    for character, macro in LATEX.items():
        latex = latex.replace(character, macro)
    write_text(Path(f"{stem}.tex"), latex)


def _variants_excerpt(variants: pd.DataFrame, primary: str) -> pd.DataFrame:
    """Mean and SD over seeds of the main metrics, as text."""
    rows: list[dict[str, Any]] = []
    for row in tables.records(variants):
        cells = {"evaluation": row["evaluation"], "variant": row["variant"], "seeds": row["n_seeds"]}
        for metric in _main_metrics(primary):
            if row.get(f"{metric}_mean") is not None:
                digits = notes.digits_of(metric)
                deviation = row[f"{metric}_sd_seeds"]
                spread = "" if deviation is None else f" ± {deviation:.{digits}f}"
                cells[f"{notes.heading(metric)}, mean ± SD over seeds"] = f"{row[f'{metric}_mean']:.{digits}f}{spread}"
        rows.append(cells)
    return pd.DataFrame(rows).fillna("–")


def _comparisons_excerpt(comparisons: pd.DataFrame, primary: str) -> pd.DataFrame:
    """The comparisons on the primary metric, as text."""
    digits = notes.digits_of(primary)
    return pd.DataFrame(
        [
            {
                "evaluation": row["evaluation"],
                "variant": row["variant"],
                f"difference in {notes.heading(primary)}": notes.signed(row["difference"], digits),
                "95 % CI": f"[{notes.signed(row['ci_low'], digits)}, {notes.signed(row['ci_high'], digits)}]",
                "p (Holm)": notes.p_text(row["p_adjusted"]),
                "claim": row["claim"],
            }
            for row in tables.records(comparisons)
            if row["metric"] == primary
        ]
    )


def _render(contexts: list[dict[str, Any]]) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": notes.number,
        "signed": notes.signed,
        "p": notes.p_text,
        "digits": notes.digits_of,
        "thousands": lambda value: "–" if value is None else f"{value:,.0f}".replace(",", "\N{THIN SPACE}"),
        "seconds": lambda value: "–" if value is None else f"{value:.1f}" if value < 10 else f"{value:.0f}",
        "setting": lambda value: (
            "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        ),
    }
    return environment.get_template("page.html.j2").render(
        studies=contexts,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        known=tables.KNOWN,
        failures=FAILURES,
        wording=tables.wording,
        n_colours=len(figures.PALETTE),
    )
