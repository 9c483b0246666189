"""Writes a report: index.html that needs nothing else, its numbers as report.json, its tables and figures as files.

Only the stores' files decide what is written, so that the same stores give the same bytes.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..bench.failures import FAILURES
from ..bench.records import file_digest, short_id, write_json, write_text
from ..bench.stats import ALPHA, Ranks, same_training
from . import figures, findings, notes, prose, tables
from .agreement import agreement_table, by_tools
from .calibration import Sums, calibration_table, reliability_sums
from .citations import bibtex
from .comparisons import comparisons_table
from .deployment import Machine, energy, load_machines, sentences, single
from .doubts import provenance, warnings_of
from .explorer import Room, explorer
from .failures import failure_pictures, failures_table
from .gallery import Picture, disagreements, pictures
from .generalization import generalization_table
from .latency import headline_timing, latency_table, load_timings
from .load import Study, Trial, load_studies
from .published import published_rows
from .ranking import pairwise_rows, ranks_of
from .resolved import sets_of
from .robustness import relative_robustness, robustness_table
from .settings import alike, flatten
from .sparks import sparks
from .strata import strata_table
from .tradeoff import fronts
from .writing import main_metrics, write_tables

HERE = Path(__file__).parent


def write_report(stores: Sequence[Path], out: Path, *, all_images: bool = False, refresh: int | None = None) -> Path:
    """Writes the report of all studies in the stores into the folder `out` and returns the path of its index.html.

    Besides: report.json, the tables (`writing.write_tables`), and each figure as figures/<study>-<name>.svg. With
    `all_images`, thumbnails that the page has no room for lie in pictures/. With `refresh`, browsers load the page anew
    every so many seconds.
    Raises MedbenchError when a store holds no study.
    """
    contexts: list[dict[str, Any]] = []
    room = Room(beside=out / "pictures" if all_images else None)
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
        ranks = ranks_of(study, cells)
        shown, failed, apart = pictures(study, scores), failure_pictures(study, scores), disagreements(study, scores)
        machines, left_out = load_machines(study)
        facts = _facts(study, scores, variants, comparisons)
        facts["warnings"] += left_out + load_timings(study)[1]
        facts["deployment"] = [each | {"sentences": sentences(study, each)} for each in machines]
        facts |= {name: tables.records(table) for name, table in evidence.items()}
        relative = relative_robustness(evidence["robustness"])
        facts["relative_robustness"] = dict(zip(map(str, relative.index), tables.records(relative), strict=True))
        facts["tools"] = {
            row["evaluation"]: by_tools(study, row["evaluation"], row["metric"]) for row in facts["agreement"]
        }
        facts |= {
            "published": published_rows(study, cells),
            "pairwise": pairwise_rows(study, cells),
            "ranks": ranks
            and {"variants": list(ranks.names), "place": ranks.place.tolist(), "share": ranks.share.tolist()},
            "gallery": [_without_data(picture) for picture in shown],
            "failure_examples": {mode: [_without_data(each) for each in found] for mode, found in failed.items()},
            "disagreements": {variant: [_without_data(each) for each in found] for variant, found in apart.items()},
        }
        facts["ranking"] = [each for each in _ranking(facts) if each in study.distinct]
        on_front = fronts(facts, headline_timing(study))
        facts["fronts"] = {
            cost: [name for name in facts["ranking"] if name in found] for cost, found in on_front.items()
        }
        facts["under_artifacts"], facts["elsewhere"] = findings.under_artifacts(facts), findings.elsewhere(facts)
        anchor = anchor_of(study.name)
        drawn = _figures(study, scores, variants, comparisons, evidence, sums, ranks, machines, on_front, anchor)
        found = explorer(study, scores, room)
        contexts.append(
            {
                "facts": facts,
                "anchor": anchor,
                "figures": drawn,
                "pictures": shown,
                "failed": failed,
                "apart": apart,
                "explorer": found and as_script(found),
                "metrics": _metrics_by_evaluation(facts),
                "sparks": {name: sparks(cells, name, study.spec["primary"]) for name in facts["evaluations"]},
                "map": _significance_map(facts),
                "prose": {
                    "Abstract": prose.abstract(facts),
                    "Methods": prose.methods(facts),
                    "BibTeX": bibtex(facts),
                },
                "energy_at": energy(machines)[0],
                "contents": _contents(facts, drawn, bool(shown)),
            }
        )
        write_tables(out / "tables", study, variants, comparisons, evidence, scores, machines)
        for name, svg in drawn.items():
            write_text(out / "figures" / f"{study.name}-{name}.svg", figures.standalone(str(svg)))
    write_json(out / "report.json", {"studies": [context["facts"] for context in contexts]})
    index = out / "index.html"
    write_text(index, _render(contexts, room, file_digest(out / "report.json"), refresh))
    return index


def _ranking(facts: dict[str, Any]) -> list[str]:
    """The variants with scores on the first evaluation, the best first."""
    key = f"{facts['primary']}_mean"
    rows = [row for row in facts["variants"] if row["evaluation"] == facts["evaluations"][0]]
    sign = -1 if tables.KNOWN[facts["primary"]].higher_is_better else 1
    return [row["variant"] for row in sorted(rows, key=lambda row: sign * row[key])]


def _significance_map(facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """For "a\\nb", row and column: their difference, its p in words, and whether a is the better or the worse one."""
    sign = 1 if tables.KNOWN[facts["primary"]].higher_is_better else -1
    found: dict[str, dict[str, Any]] = {}
    for row in facts["pairwise"]:
        is_known = row["p_adjusted"] is not None and row["p_adjusted"] < ALPHA
        for a, b, turn in ((row["a"], row["b"], 1), (row["b"], row["a"], -1)):
            difference = turn * row["difference"]
            kind = ("better" if sign * difference > 0 else "worse") if is_known else ""
            found[f"{a}\n{b}"] = {"difference": difference, "p": notes.p_text(row["p_adjusted"]), "kind": kind}
    return found


def _contents(facts: dict[str, Any], drawn: dict[str, Markup], has_pictures: bool) -> dict[str, str]:
    """The sections of a study that there is something in: the end of their id, and their title in the contents."""
    sections = {
        "published": ("Published numbers", facts["published"]),
        "variants": ("Variants", True),
        "comparisons": ("Comparisons", True),
        "cost": ("Cost", "cost" in drawn),
        "deployment": ("Deployment", facts["deployment"]),
        "training": ("Training", "curves" in drawn),
        "images": ("From image to image", "distribution" in drawn),
        "robustness": ("Robustness", facts["robustness"]),
        "strata": ("Real artifacts", facts["strata"]),
        "failures": ("Failures", facts["failures"]),
        "generalization": ("Other sources", facts["generalization"]),
        "calibration": ("Calibration", facts["calibration"]),
        "agreement": ("People", facts["agreement"]),
        "gallery": ("Images", has_pictures),
        "paste": ("To paste", True),
        "details": ("Reproducibility", True),
    }
    return {key: title for key, (title, is_there) in sections.items() if is_there}


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
        **{key: spec[key] for key in ("question", "profile", "set", "baseline", "primary", "margin", "medbench")},
        **{key: spec[key] for key in ("protocol", "dataset", "n_images", "left_out", "score_at", "evaluations")},
        **{key: spec[key] for key in ("artifacts", "spec", "datasets")},
        "same": study.same,
        "trained_on": sets_of(spec),
        "split_sizes": {name: known["n_images"] for name, known in spec["variants"].items()},
        "tested_on": _tested_on(study),
        "digests": _digests(study),
        "n_trials": len(study.trials),
        "n_planned": study.n_planned,
        "answers": [notes.answer(study, row) for row in rows if row["metric"] == spec["primary"]],
        "warnings": warnings_of(study, scores),
        "variants": tables.records(variants),
        "comparisons": rows,
        "differing_settings": tables.differing_settings(study),
        "settings": {name: flatten(known["settings"]) for name, known in spec["variants"].items()},
        "descriptions": {name: known["description"] for name, known in spec["variants"].items()},
        "latency": tables.records(latency_table(study)),
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
                "sizes": _sizes(trial),
            }
            for trial in study.trials
        ],
        "environments": environments,
    }


def _tested_on(study: Study) -> dict[str, dict[str, tuple[str, int]]]:
    """For each evaluation and variant the data set and its number of images, those of several folds together."""
    images: dict[str, dict[str, tuple[str, set[str]]]] = {}
    for trial in study.trials:
        for name, each in trial.evaluations.items():
            dataset = each.config.get("dataset", study.spec["datasets"].get(name, ""))
            found = images.setdefault(name, {}).setdefault(trial.variant, (dataset, set()))
            found[1].update(each.config["images"])
    return {
        name: {variant: (dataset, len(ids)) for variant, (dataset, ids) in found.items()}
        for name, found in images.items()
    }


def _sizes(trial: Trial) -> list[int]:
    """The input sizes that a training went through, as far as its history tells."""
    if trial.history is None or "size" not in trial.history:
        return []
    return list(dict.fromkeys(trial.history["size"].to_list()))


def _digests(study: Study) -> dict[str, list[str]]:
    """Digest of images and masks -> what they were used for: training, and evaluations by name."""
    found: dict[str, dict[str, None]] = {}
    for trial in study.trials:
        if digest := trial.config.get("images_digest"):
            found.setdefault(digest, {})["training"] = None
        for name, each in trial.evaluations.items():
            found.setdefault(each.config["images_digest"], {})[name] = None
    return {digest: list(uses) for digest, uses in found.items()}


def _environments(study: Study) -> dict[str, dict[str, Any]]:
    """The different environments, named E1, E2, ...: their fields (flat), and the trials and evaluations made there."""
    found: dict[str, dict[str, Any]] = {}
    for what, environment in provenance(study).items():
        # Another command is not another environment.
        fields = flatten({key: value for key, value in environment.items() if key != "command"})
        entry = found.setdefault(short_id(fields), {"fields": fields, "of": []})
        entry["of"].append(what)
    first = next(iter(found.values()))["fields"] if found else {}
    for entry in found.values():
        keys = dict.fromkeys([*first, *entry["fields"]])
        entry["differs"] = [key for key in keys if first.get(key) != entry["fields"].get(key)]
    return {f"E{position}": entry for position, entry in enumerate(found.values(), start=1)}


def _figures(
    study: Study,
    scores: pd.DataFrame,
    variants: pd.DataFrame,
    comparisons: pd.DataFrame,
    evidence: dict[str, pd.DataFrame],
    sums: Sums,
    ranks: Ranks | None,
    machines: Sequence[Machine],
    on_front: dict[str, set[str]],
    anchor: str,
) -> dict[str, Markup]:
    """The figures that the store has data for: curves, distribution, cost, severity, reliability, ranks, forest, and
    deployment-1, ... of each machine."""
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
        rows = rows.assign(joules=rows["variant"].map(energy(machines)[1]))
        drawn["cost"] = figures.cost(rows, names, primary, on_front, f"{anchor}-cost")
    for position, machine in enumerate(machines, start=1):
        key = f"deployment-{position}"
        drawn[key] = figures.latencies(single(machine), names, f"{anchor}-{key}")
    if len(evidence["robustness"]):
        drawn["severity"] = figures.severity(evidence["robustness"], names, primary, f"{anchor}-severity")
    if sums:
        drawn["reliability"] = figures.reliability(sums, names, f"{anchor}-reliability")
    if ranks:
        drawn["ranks"] = figures.rank_stability(ranks, names, f"{anchor}-ranks")
    if len(comparisons):
        has_own_figure = comparisons["evaluation"].isin(list(study.artifacts))
        rows = comparisons[(comparisons["metric"] == primary) & ~has_own_figure]
        if len(rows):
            drawn["forest"] = figures.forest(rows, names, primary, study.spec["margin"], f"{anchor}-forest")
    return {name: Markup(svg) for name, svg in drawn.items() if svg is not None}


def _metrics_by_evaluation(facts: dict[str, Any]) -> dict[str, list[str]]:
    """The metrics that the page's variants table shows for each evaluation, the primary one first."""
    wanted = main_metrics(facts["primary"])
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


def as_script(value: Any) -> Markup:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _render(contexts: list[dict[str, Any]], room: Room, digest: str, refresh: int | None) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": notes.number,
        "counted": notes.counted,
        "alike": alike,
        "signed": notes.signed,
        "same_training": same_training,
        "p": notes.p_text,
        "digits": notes.digits_of,
        "rounded": lambda value: f"{value:.2f}" if isinstance(value, float) else "–" if value is None else str(value),
        "seconds": lambda value: "–" if value is None else f"{value:.1f}" if value < 10 else f"{value:.0f}",
        "setting": lambda value: (
            "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        ),
    }
    script = (HERE / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(
        studies=contexts,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        thumbnails=as_script(room.thumbnails) if room.thumbnails else "",
        digest=digest,
        refresh=refresh,
        has_files=any(not each.startswith("data:") for each in room.thumbnails.values()),
        version=version("medbench"),
        known=tables.KNOWN,
        failures=FAILURES,
        wording=tables.wording,
        n_colours=len(figures.PALETTE),
    )
