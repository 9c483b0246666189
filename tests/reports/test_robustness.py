"""What artifacts cost, in tables and in the report."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medbench.bench.stats import compare, summarize
from medbench.bench.store.records import write_yaml
from medbench.reports import load
from medbench.reports.artifact_losses import relative_robustness
from medbench.reports.page import write_report

from ..fabricated_store import fabricate, paint
from .test_report import evaluation_of, rescore, write


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fabricated store, whose evaluation `ph2` is said to be the clean images under hair."""
    store = tmp_path_factory.mktemp("robustness")
    study = fabricate(store)
    write_yaml(store / "studies" / "baa.yaml", study | {"artifacts": {"ph2": {"kind": "hair", "severity": 3}}})
    return store


@pytest.fixture(scope="module")
def out(store: Path) -> Path:
    return write_report([store], store / "out").parent


@pytest.fixture(scope="module")
def rows(out: Path) -> dict[str, dict[str, Any]]:
    facts = json.loads((out / "report.json").read_text())["studies"][0]
    return {row["variant"]: row for row in facts["robustness"]}


def drop(store: Path, variant: str) -> pd.DataFrame:
    scores = load(store).query("variant == @variant")
    wide = scores.pivot(index=["evaluation", "seed"], columns="image", values="dice")
    return wide.loc["clean"] - wide.loc["ph2"]


@pytest.mark.parametrize("variant", ["medlitenet", "no_baa", "ensemble"])
def test_a_drop_is_paired_by_training_and_image_with_a_crossed_interval(store: Path, rows, variant: str) -> None:
    expected = summarize(drop(store, variant).to_numpy())

    row = rows[variant]
    assert (row["artifact"], row["severity"], row["n_seeds"], row["n_images"]) == ("hair", 3, 3, 12)
    assert row["drop"] == pytest.approx(expected.mean)
    assert (row["drop_ci_low"], row["drop_ci_high"]) == pytest.approx((expected.ci_low, expected.ci_high))


def test_a_variants_drop_is_compared_with_the_baselines(store: Path, rows) -> None:
    expected = compare(drop(store, "no_baa"), drop(store, "medlitenet"))

    row = rows["no_baa"]
    assert row["more_drop"] == pytest.approx(expected.difference)
    assert (row["more_ci_low"], row["more_ci_high"]) == pytest.approx((expected.ci_low, expected.ci_high))
    assert rows["medlitenet"]["more_drop"] is None


def test_relative_robustness_is_the_share_of_the_clean_score_that_is_left(store: Path, out: Path) -> None:
    scores: Any = load(store).query("variant == 'no_baa'").groupby("evaluation")["dice"].mean()

    facts = json.loads((out / "report.json").read_text())["studies"][0]

    assert facts["relative_robustness"]["hair"]["no_baa"] == pytest.approx(scores["ph2"] / scores["clean"])


def test_relative_robustness_is_over_the_severities_that_every_variant_has() -> None:
    found = [("hair", 1, "a", 0.99), ("hair", 3, "a", 0.95), ("hair", 5, "a", 0.8), ("hair", 1, "b", 0.98)]
    found += [("hair", 5, "b", 0.7), ("ink", 1, "a", 0.9), ("ruler", 1, "a", 0.9), ("ruler", 3, "b", 0.8)]
    table = pd.DataFrame(found, columns=pd.Index(["artifact", "severity", "variant", "relative"]))

    relative = relative_robustness(table)

    assert list(relative.index) == ["hair", "ink"]
    assert relative.loc["hair"].to_dict() == pytest.approx({"a": (0.99 + 0.8) / 2, "b": (0.98 + 0.7) / 2})
    assert relative.loc["ink", "a"] == pytest.approx(0.9)
    assert relative.loc["ink"].isna().tolist() == [False, True]


def test_a_variant_that_an_artifact_was_not_tried_on_yet_has_no_relative_robustness(tmp_path: Path) -> None:
    study = fabricate(tmp_path)
    study["evaluations"].append("ink")
    for trial in study["variants"]["medlitenet"]["trials"]:
        trial["evaluations"]["ink"] = trial["evaluations"]["ph2"]
    artifacts = {"ph2": {"kind": "hair", "severity": 3}, "ink": {"kind": "ink", "severity": 3}}
    write_yaml(tmp_path / "studies" / "baa.yaml", study | {"artifacts": artifacts})

    write_report([tmp_path], tmp_path / "out")

    relative = json.loads((tmp_path / "out" / "report.json").read_text())["studies"][0]["relative_robustness"]
    assert relative["ink"]["medlitenet"] == relative["hair"]["medlitenet"]
    assert relative["ink"]["no_baa"] is None


def test_the_report_has_a_section_of_its_own_for_artifacts(out: Path) -> None:
    page = (out / "index.html").read_text()

    assert "Robustness to artifacts" in page
    assert 'id="baa-severity' in page or "baa-severity-" in page
    assert "<h4>ph2</h4>" not in page
    assert (out / "tables" / "baa-robustness.csv").is_file()


def test_a_store_without_artifacts_has_no_such_section(tmp_path: Path) -> None:
    fabricate(tmp_path)

    page = write_report([tmp_path], tmp_path / "out").read_text()

    assert "Robustness to artifacts" not in page
    assert not (tmp_path / "out" / "tables" / "baa-robustness.csv").exists()


def test_a_seed_that_was_not_tested_yet_takes_no_row_of_the_others_away(tmp_path: Path) -> None:
    study = fabricate(tmp_path)
    write_yaml(tmp_path / "studies" / "baa.yaml", study | {"artifacts": {"ph2": {"kind": "hair", "severity": 3}}})
    missing = study["variants"]["no_baa"]["trials"][1]
    shutil.rmtree(tmp_path / "trials" / missing["trial"] / "evaluations" / missing["evaluations"]["ph2"])

    write_report([tmp_path], tmp_path / "out")

    (facts,) = json.loads((tmp_path / "out" / "report.json").read_text())["studies"]
    found = {row["variant"]: (row["n_seeds"], row["n_images"]) for row in facts["robustness"]}
    assert found == {"medlitenet": (3, 12), "no_baa": (2, 12), "ensemble": (3, 12)}
    averages = {row["variant"]: row["n_seeds"] for row in facts["lost_on_average"]}
    assert averages == {"medlitenet": 3, "no_baa": 2, "ensemble": 3}


def test_a_loss_that_its_scores_leave_undecided_counts_in_the_family(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_seeds=2, variants=("medlitenet", "no_baa"), asks="robustness")
    paint(tmp_path, study)
    rescore(tmp_path, "no_baa", 1, lambda table: table.assign(dice=0.3 * table["dice"]), "ph2")
    for seed in range(2):
        clean = pd.read_parquet(evaluation_of(tmp_path, "medlitenet", seed) / "scores.parquet")["dice"]
        rescore(tmp_path, "medlitenet", seed, lambda table, at=clean: table.assign(dice=at - 0.01 * table.index), "ph2")

    _, (facts,) = write([tmp_path], tmp_path / "out")

    lost = {row["variant"]: row for row in facts["lost_on_average"]}
    assert (lost["no_baa"]["p_value"], lost["no_baa"]["too_few"]) == (None, "2 seeds")
    assert lost["medlitenet"]["p_adjusted"] == pytest.approx(2 * lost["medlitenet"]["p_value"])
