"""What other protocols make of the same trainings: each number against a plain computation, intervals against the
jackknife, and what the page says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medbench.bench.metrics import COUNTS, pooled
from medbench.bench.store.records import read_yaml, write_yaml
from medbench.reports.load import load, load_studies
from medbench.reports.other_protocols import WAYS, of_batches, pooled_of, protocol_table
from medbench.reports.page import write_report
from medbench.reports.tables import cells

from ..fabricated_store import HEART, fabricate

BATCH = 8


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("protocol") / "st"
    study = fabricate(folder, n_seeds=4, n_images=21, variants=("medlitenet", "no_baa", "ensemble"))
    for known in study["variants"].values():
        known["settings"].setdefault("training", {})["batch_size"] = BATCH
        for trial in known["trials"]:
            trial["evaluations"]["clean-at-input"] = trial["evaluations"].pop("ph2")
    study |= {"evaluations": ["clean", "clean-at-input"], "at_input": ["clean-at-input"]}
    write_yaml(folder / "studies" / "baa.yaml", study)
    return folder


@pytest.fixture(scope="module")
def out(store: Path) -> Path:
    return write_report([store], store.parent / "out").parent


@pytest.fixture(scope="module")
def rows(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    [facts] = json.loads((out / "report.json").read_text())["studies"]
    return {(row["variant"], row["way"]): row for row in facts["other_protocols"]}


@pytest.fixture(scope="module")
def scores(store: Path) -> pd.DataFrame:
    return load(store).sort_values(["variant", "seed", "image"])


def of_seeds(scores: pd.DataFrame, variant: str, evaluation: str = "clean") -> list[pd.DataFrame]:
    held = scores.query("variant == @variant and evaluation == @evaluation")
    return [held.query("seed == @seed") for seed in sorted(set(held["seed"]))]


def pooled_in(part: Any) -> dict[str, float]:
    return pooled({name: part[name].to_numpy() for name in COUNTS})


def dice_of(part: Any) -> float:
    return pooled_in(part)["dice"]


@pytest.mark.parametrize("variant", ["medlitenet", "no_baa", "ensemble"])
def test_every_way_is_what_a_plain_computation_gives(
    rows: dict[tuple[str, str], dict[str, Any]], scores: pd.DataFrame, variant: str
) -> None:
    seeds = of_seeds(scores, variant)
    iou = [part["tp"] / (part["tp"] + part["fp"] + part["fn"]) for part in seeds]
    skin = [part["tn"] / (part["tn"] + part["fp"] + part["fn"]) for part in seeds]
    expected = {
        "pooled_dice": np.mean([dice_of(part) for part in seeds]),
        "pooled_iou": np.mean([pooled_in(part)["iou"] for part in seeds]),
        "batches_dice": np.mean([[dice_of(part[i : i + BATCH]) for i in range(0, 21, BATCH)] for part in seeds]),
        "best_seed_dice": max(part["dice"].mean() for part in seeds),
        "two_class_iou": np.mean([(a + b) / 2 for a, b in zip(iou, skin, strict=True)]),
        "input_iou": np.mean([part["iou"].mean() for part in of_seeds(scores, variant, "clean-at-input")]),
        "thresholded_iou": np.mean([each.where(each >= 0.65, 0.0) for each in iou]),
    }

    for way, value in expected.items():
        row = rows[variant, way]
        assert row["value"] == pytest.approx(value, abs=1e-9), way
        ours = np.mean([part["iou" if way.endswith("iou") else "dice"].mean() for part in seeds])
        assert (row["ours"], row["change"]) == pytest.approx((ours, value - ours), abs=1e-9)


def test_what_is_read_off_validation_is_that_of_each_training(
    rows: dict[tuple[str, str], dict[str, Any]], store: Path, scores: pd.DataFrame
) -> None:
    study = read_yaml(store / "studies" / "baa.yaml")
    histories = [
        pd.read_parquet(store / "trials" / each["trial"] / "history.parquet")["validation_dice"]
        for each in study["variants"]["no_baa"]["trials"]
    ]
    own = np.array([part["dice"].mean() for part in of_seeds(scores, "no_baa")])

    last, best = rows["no_baa", "validation_dice"], rows["no_baa", "best_epoch_dice"]

    assert last["value"] == pytest.approx(np.mean([each.iloc[-1] for each in histories]))
    assert best["value"] == pytest.approx(np.mean([each.max() for each in histories]))
    changes = np.array([each.max() for each in histories]) - own
    half = 3.182446 * changes.std(ddof=1) / 2  # Student's, 3 degrees of freedom, 4 trainings
    assert (best["ci_low"], best["ci_high"]) == pytest.approx((changes.mean() - half, changes.mean() + half), rel=1e-5)
    assert best["holds_for"] == "new trainings alone"
    assert ("ensemble", "best_epoch_dice") not in rows  # which is not trained


def test_a_training_that_is_not_scored_at_the_input_size_yet_changes_nothing(store: Path) -> None:
    [study] = load_studies([store])
    clean = study.scores.query("evaluation == 'clean'")
    scores = pd.concat([clean, clean.query("seed == 0").assign(evaluation="clean-at-input")])  # the very same numbers

    table = protocol_table(study, cells(study, scores)).query("way == 'input_dice'")

    assert list(table["change"]) == [0, 0, 0]
    assert list(table["value"]) == list(table["ours"])
    assert list(table["place"]) == list(table["place_ours"])


def test_a_training_that_was_picked_has_no_interval(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    row = rows["medlitenet", "best_seed_dice"]

    assert (row["ci_low"], row["ci_high"], row["holds_for"]) == (None, None, None)
    assert row["change"] >= 0


def test_what_images_add_to_a_ratio_varies_as_the_jackknife_says() -> None:
    rng = np.random.default_rng(0)
    table = {name: rng.integers(0, 200, (1, 400)).astype(float) for name in COUNTS}
    table["tp"] *= 4

    added = pooled_of(table, "dice")

    assert added is not None
    left_out = [dice_of(pd.DataFrame({n: np.delete(v[0], i) for n, v in table.items()})) for i in range(400)]
    jackknife = (399 / 400 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2)) ** 0.5
    assert added.std(ddof=1) / 20 == pytest.approx(jackknife, rel=0.01)


def test_batches_without_anything_are_right_and_smaller_ones_count_as_much() -> None:
    none = np.zeros((2, 5))
    counts = {"tp": np.array([[0, 0, 3, 0, 1], [0, 0, 0, 0, 0]], float), "fp": none, "fn": none.copy(), "tn": none}
    counts["fn"][:, 3] = 1

    found = of_batches(counts, 2)

    assert found is not None
    assert found.mean(axis=1) == pytest.approx([(1 + 6 / 7 + 1) / 3, (1 + 0 + 1) / 3])
    assert pooled_of({name: np.zeros((1, 3)) for name in COUNTS}, "iou") is None


def test_places_are_among_all_variants_and_what_moves_is_told(
    rows: dict[tuple[str, str], dict[str, Any]], out: Path
) -> None:
    page = (out / "index.html").read_text(encoding="utf-8")

    for way in {way for _, way in rows}:
        here = {variant: row for (variant, each), row in rows.items() if each == way}
        for column, place in (("ours", "place_ours"), ("value", "place")):
            order = sorted(here, key=lambda name: -here[name][column])
            assert [here[name][place] for name in order] == list(range(1, len(here) + 1))
    own = [row for (variant, _), row in rows.items() if variant == "medlitenet" and row["metric"] == "dice"]
    values = [own[0]["ours"], *(row["value"] for row in own)]
    low, high, ours = (f"{each:.3f}" for each in (min(values), max(values), values[0]))
    assert (
        f"By protocol alone, medlitenet here reads between {low} and {high} Dice, where medbench reports {ours}" in page
    )
    for way in WAYS:
        assert way.who in page.replace("&#39;", "'")


def test_several_classes_have_no_such_section(tmp_path: Path) -> None:
    fabricate(tmp_path / "st", n_seeds=1, n_images=4, target=HEART, variants=("medlitenet",))

    folder = write_report([tmp_path / "st"], tmp_path / "out").parent

    assert "What protocol does" not in (folder / "index.html").read_text(encoding="utf-8")
