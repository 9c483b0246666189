"""A study names a variant beside the baseline, and the artifacts that its answer is about: numbers against a second
implementation of the crossed analysis, and words that no reader of a single line can take for more."""

import datetime
import json
import re
import shutil
from html import unescape
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from medbench.bench.store.records import read_yaml, write_yaml
from medbench.reports import load
from medbench.reports.load import load_studies
from medbench.reports.notes import p_equals, p_text, signed
from medbench.reports.page import write_report
from medbench.reports.publishing import problems, publish

from ..fabricated_store import fabricate, trial_id, unsealed
from .test_answers import CONDITIONS, asked, write_store

LOWER = 0.05  # by which `gated` scores less than no_baa on clean images, so that it has less to lose
BOTH = {"compare_with": "no_baa", "conditions": ["worse"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of `test_answers` and a fourth variant, `gated`: no_baa with other noise and lower clean scores."""
    store = write_store(tmp_path_factory.mktemp("compare-with"))
    study = read_yaml(store / "studies" / "baa.yaml")
    known = study["variants"]
    known["gated"] = {**known["no_baa"], "description": None, "trials": []}
    rng = np.random.default_rng(5)
    for trial in known["no_baa"]["trials"]:
        copy = trial_id("gated", trial["seed"])
        shutil.copytree(store / "trials" / trial["trial"], store / "trials" / copy)
        for name, id in trial["evaluations"].items():
            with unsealed(store / "trials" / copy / "evaluations" / id) as working:
                table = pd.read_parquet(working / "scores.parquet")
                table["dice"] += rng.normal(-LOWER if name == "clean" else 0, 0.01, len(table))
                table["dice"] = table["dice"].clip(upper=1)
                table.to_parquet(working / "scores.parquet")
        known["gated"]["trials"].append({**trial, "trial": copy})
    write_yaml(store / "studies" / "baa.yaml", study)
    return store


def tables(store: Path, evaluation: str) -> dict[str, np.ndarray]:
    """(S, N) Dice by variant, straight from the scores."""
    scores = load(store).query("evaluation == @evaluation")
    return {
        str(name): part.pivot(index="seed", columns="image", values="dice").to_numpy()
        for name, part in scores.groupby("variant")
    }


def crossed(a: np.ndarray, b: np.ndarray, level: float = 0.95) -> tuple[float, float, float, float]:
    """Difference, interval and p-value as `docs/explanation/statistics.md` has them, written again."""
    images = np.var(a.mean(0) - b.mean(0), ddof=1)
    parts: list[tuple[float, int]] = []
    for table in (a, b):
        seeds, n = table.shape
        fitted = table.mean(0)[None] + table.mean(1)[:, None] - table.mean()
        images -= ((table - fitted) ** 2).sum() / ((seeds - 1) * (n - 1)) / seeds
        parts.append((table.mean(1).var(ddof=1) / seeds, seeds - 1))
    parts.append((max(images, 0) / a.shape[1], a.shape[1] - 1))
    variance = sum(part for part, _ in parts)
    df = variance**2 / sum(part**2 / k for part, k in parts)
    difference, error = a.mean() - b.mean(), np.sqrt(variance)
    half = stats.t.ppf((1 + level) / 2, df) * error
    return difference, difference - half, difference + half, float(2 * stats.t.sf(abs(difference) / error, df))


def lost(store: Path, *conditions: str) -> dict[str, np.ndarray]:
    """(S, N) by variant what these conditions cost on average."""
    clean, *under = (tables(store, name) for name in ("clean", *conditions))
    return {name: clean[name] - np.mean([each[name] for each in under], axis=0) for name in clean}


def holm(p_values: dict[str, float]) -> dict[str, float]:
    adjusted, least = dict[str, float](), 0.0
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda each: each[1])):
        least = max(least, p * (len(p_values) - place))
        adjusted[name] = min(least, 1.0)
    return adjusted


def reported(out: Path) -> tuple[dict[str, Any], str]:
    """The facts of the study, and its page."""
    report = out / "report"
    return json.loads((report / "report.json").read_text())["studies"][0], (report / "index.html").read_text()


def by_variant(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in rows if all(row[key] == value for key, value in wanted.items())}


@pytest.fixture(scope="module")
def both(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report that names no_baa and the ruler."""
    out = tmp_path_factory.mktemp("both")
    asked(store, out, **BOTH)
    return out


def test_losses_are_compared_with_the_baseline_and_with_the_named_variant_each_a_family(
    store: Path, both: Path
) -> None:
    facts, _ = reported(both)
    rows = by_variant(facts["lost_on_average"])

    drops = lost(store, "worse")
    families = {
        "more": ("medlitenet", ["no_baa", "ensemble", "gated"]),
        "more_compared": ("no_baa", ["ensemble", "gated"]),
    }
    for key, (other, names) in families.items():
        expected = {name: crossed(drops[name], drops[other]) for name in names}
        adjusted = holm({name: each[3] for name, each in expected.items()})
        assert {name for name, row in rows.items() if row[key]} == {*names}
        for name, (difference, low, high, _) in expected.items():
            found = rows[name][key]
            assert [found["difference"], found["ci_low"], found["ci_high"]] == pytest.approx([difference, low, high])
            assert found["p_adjusted"] == pytest.approx(adjusted[name])


def test_the_table_of_all_artifacts_compares_with_both(store: Path, both: Path) -> None:
    rows = by_variant(reported(both)[0]["robustness"], artifact="hair")

    drops = lost(store, "ph2")
    for prefix, other in (("more", "medlitenet"), ("compared", "no_baa")):
        found = [rows["gated"][f"{prefix}_{key}"] for key in ("drop", "ci_low", "ci_high")]
        assert found == pytest.approx(crossed(drops["gated"], drops[other])[:3])
    assert rows["medlitenet"]["compared_drop"] is rows["no_baa"]["compared_drop"] is None


def test_a_small_loss_is_told_with_the_clean_score_that_it_cost(store: Path, both: Path) -> None:
    gated = by_variant(reported(both)[0]["asked"])["gated"]

    clean = tables(store, "clean")
    difference, low, high, _ = crossed(clean["gated"], clean["no_baa"])
    assert high < -0.01
    size = f"and by {difference:.3f} [{low:.3f}, {high:.3f}] from no_baa's (p".replace("-", "−")
    assert gated["rest"].count("Its clean Dice differs by −") == gated["rest"].count(size) == 1
    _, loss, scores = gated["claim"].split("; ")
    assert loss == "loss against medlitenet: no difference shown, against no_baa: better"
    assert scores == "clean Dice against medlitenet: worse, against no_baa: worse"
    assert gated["claim"] in gated["brief"]
    assert gated["abstract"].endswith(f"): {gated['claim']}.")
    worse = "For new trainings and new images, gated is worse than no_baa in mean Dice."
    assert f"Without artifacts, against no_baa: {worse}" in gated["may"]
    assert "Against no_baa: " in gated["may"]
    assert gated["not_shown"].startswith("against medlitenet, that there is no difference. Nor, against no_baa, that ")


def test_what_no_answer_shows_is_said_once(both: Path) -> None:
    facts, page = reported(both)

    [caveat] = {answer["caveat"] for answer in facts["asked"]}
    assert caveat.startswith("which variant scores higher under them: each loses from its own clean score")
    assert unescape(page).count(f"None of this shows {caveat}") == 1


def test_neither_of_the_two_that_others_are_compared_with_is_compared_with_itself(both: Path) -> None:
    found = by_variant(reported(both)[0]["asked"])

    assert "against" not in found["medlitenet"]["claim"]
    assert "clean" not in found["medlitenet"]["claim"]
    assert "no_baa" not in found["no_baa"]["claim"]
    assert "clean Dice against medlitenet: worse" in found["no_baa"]["claim"]


def test_the_answer_is_about_the_condition_that_is_named_and_the_rest_is_shown(store: Path, both: Path) -> None:
    facts, page = reported(both)
    rest = by_variant(facts["asked"])["no_baa"]

    assert rest["effect"].startswith(f"Dice lost {lost(store, 'worse')['no_baa'].mean():.3f} [")
    assert rest["rest"].startswith("under ruler 5, against the same images")
    assert "It loses most" not in rest["rest"]
    assert {row["n_conditions"] for row in facts["lost_on_average"]} == {1}
    assert {row["artifact"] for row in facts["robustness"]} == {"hair", "ruler"}
    assert "The answer is about ruler 5, which the study names; every other condition is exploratory." in page
    assert "What artifacts cost is the mean over ruler (5) of the score" in page
    [own] = [row for row in facts["lost_on_average"] if row["variant"] == "no_baa"]
    assert f", {p_equals(own['p_adjusted'])}, Holm over the variants): " in rest["rest"]


def test_a_table_says_it_all_side_by_side(both: Path) -> None:
    facts, page = reported(both)
    table = page[page.index("lost under what the answer is about") :]
    table = unescape(table[table.index("<tbody>") : table.index("</tbody>")])

    rows = [
        [re.sub("<[^>]*>", "", cell).strip() for cell in re.split("</t[dh]>", row)][:-1]
        for row in table.split("<tr>")[1:]
    ]

    assert len(rows) == len(facts["lost_on_average"])
    for shown, row in zip(rows, facts["lost_on_average"], strict=True):
        assert shown[0] == row["variant"]
        told = [row["lost"], *(each and each["difference"] for each in (row["more"], row["more_compared"]))]
        assert [shown[i] for i in (2, 5, 8)] == ["–" if each is None else signed(each, 3) for each in told]
        assert shown[4] == p_text(row["p_adjusted"])


def test_a_variant_that_contains_what_it_is_compared_with_is_named(both: Path) -> None:
    told = [each for each in reported(both)[0]["warnings"] if "contains" in each]

    end = "; its interval is wider, and its p larger, than need be."
    assert told == [
        f"ensemble contains {whose}{end}" for whose in ("the baseline's own trainings", "trainings of no_baa too")
    ]


def test_equal_clean_scores_are_called_equivalent_and_several_conditions_by_their_names(
    store: Path, tmp_path: Path
) -> None:
    wide = 0.2
    found = by_variant(asked(store, tmp_path, compare_with="no_baa", conditions=["ph2", "worse"], margin=wide))

    assert found["gated"]["rest"].startswith("on average over 2 artifact conditions (hair 3 and ruler 5), against the")
    clean = tables(store, "clean")
    for a, b in (("gated", "no_baa"), ("ensemble", "medlitenet")):
        _, low, high, _ = crossed(clean[a], clean[b], level=0.9)
        assert -wide < low < high < wide
        assert f"against {b}: equivalent within 0.2" in found[a]["claim"].rpartition("clean Dice")[2]


def test_a_study_of_differences_is_answered_against_both(store: Path, tmp_path: Path) -> None:
    changes = {"asks": "difference", "compare_with": "no_baa"}
    found = [each for each in asked(store, tmp_path, **changes) if each["evaluation"] == "clean"]

    assert [(each["variant"], each["compared_with"]) for each in found] == [
        ("no_baa", "medlitenet"),
        ("ensemble", "medlitenet"),
        ("gated", "medlitenet"),
        ("ensemble", "no_baa"),
        ("gated", "no_baa"),
    ]
    assert all(each["claim"].startswith(f"against {each['compared_with']}: ") for each in found)
    clean = tables(store, "clean")
    expected = {name: crossed(clean[name], clean["no_baa"]) for name in ("ensemble", "gated")}
    adjusted = holm({name: each[3] for name, each in expected.items()})
    facts, page = reported(tmp_path)
    rows = by_variant(facts["compared"], evaluation="clean", metric="dice")
    assert rows.keys() == expected.keys()
    for name, row in rows.items():
        assert [row["difference"], row["ci_low"], row["ci_high"]] == pytest.approx(expected[name][:3])
        assert row["p_adjusted"] == pytest.approx(adjusted[name])
    assert (tmp_path / "report" / "tables" / "baa-compared.csv").is_file()
    assert "The same with no_baa, which the study names beside the baseline." in page
    assert "over the variants, those against no_baa by themselves." in page


def test_what_is_not_there_yet_is_missed_in_the_answer(store: Path, tmp_path: Path) -> None:
    waiting = shutil.copytree(store, tmp_path / "waiting")
    known = read_yaml(store / "studies" / "baa.yaml")["variants"]
    for trial in known["no_baa"]["trials"]:
        shutil.rmtree(waiting / "trials" / trial["trial"])
    for trial in known["gated"]["trials"]:
        shutil.rmtree(waiting / "trials" / trial["trial"] / "evaluations" / trial["evaluations"]["worse"])

    found = by_variant(asked(waiting, tmp_path, compare_with="no_baa", conditions=["ph2", "worse"]))

    start = "under hair 3 (of 2; the others are not scored for every variant yet), against the same images"
    assert {each["rest"].startswith(start) for each in found.values()} == {True}
    assert "With no_baa there is nothing to compare it yet." in found["gated"]["rest"]
    assert "no_baa" not in found["medlitenet"]["rest"]


def test_a_variant_that_predicts_nothing_is_told_wherever_others_are_compared_with_it(
    store: Path, tmp_path: Path
) -> None:
    failed = shutil.copytree(store, tmp_path / "failed")
    (trial, *_) = read_yaml(failed / "studies" / "baa.yaml")["variants"]["no_baa"]["trials"]
    with unsealed(failed / "trials" / trial["trial"] / "evaluations" / trial["evaluations"]["clean"]) as working:
        table = pd.read_parquet(working / "scores.parquet").assign(tp=0.0, fp=0.0)
        table.to_parquet(working / "scores.parquet")

    found = by_variant(asked(failed, tmp_path, **BOTH))

    assert "every mask of no_baa is empty (seed 0)" in found["gated"]["rest"]
    assert "no_baa is empty" not in found["medlitenet"]["rest"]


def test_a_published_result_has_the_same_answers(tmp_path: Path) -> None:
    named = {"compare_with": "no_baa", "conditions": ["ph2"]}
    changes = {"asks": "robustness", "artifacts": {"ph2": CONDITIONS["ph2"]}} | named
    fabricate(tmp_path / "store", n_images=6, n_seeds=2, **changes)
    write_report([tmp_path / "store"], tmp_path / "report")

    publish(tmp_path / "store", "baa", tmp_path / "published", date=datetime.date(2026, 1, 2))

    assert list(problems(tmp_path / "published")) == []
    before, after = (json.loads((tmp_path / each / "report.json").read_text()) for each in ("report", "published"))
    assert after["studies"][0]["asked"] == before["studies"][0]["asked"] != []
    assert {key: after["studies"][0][key] for key in named} == named
    assert {row["metric"] for row in after["studies"][0]["compared"]} == {"dice"}
    assert {row["metric"] for row in before["studies"][0]["compared"]} > {"dice"}


def test_stores_that_ask_about_other_conditions_are_told_apart(store: Path, tmp_path: Path) -> None:
    path = Path("studies", "baa.yaml")
    said: list[dict[str, Any]] = [{}, BOTH, {**BOTH, "conditions": ["ph2"]}]
    places = [tmp_path / str(place) for place in range(len(said))]
    for place, changes in zip(places, said, strict=True):
        shutil.copytree(store, place)
        write_yaml(place / path, read_yaml(store / path) | changes)

    assert [len(load_studies(list(pair))) for pair in combinations(places, 2)] == [2, 2, 2]
    assert len(load_studies([places[1], shutil.copytree(places[1], tmp_path / "same")])) == 1
    assert 'conditions ["worse"] here, not set there' in load_studies(places[:2])[1].apart[0]


def test_what_is_the_same_training_as_the_rival_is_not_compared_with_it(store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    study = read_yaml(copy / "studies" / "baa.yaml")
    study["variants"]["twin"] = study["variants"]["no_baa"]
    write_yaml(copy / "studies" / "baa.yaml", study)

    (found,) = load_studies([copy])

    assert found.compared("medlitenet") == ["no_baa", "ensemble", "gated"]
    assert found.compared("twin") == found.compared("no_baa") == ["ensemble", "gated"]
