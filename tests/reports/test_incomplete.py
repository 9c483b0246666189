"""Stores that are unfinished, damaged or mixed: the report names it, and no number hides it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medbench.bench.errors import MedbenchError
from medbench.bench.store.records import read_yaml, write_json, write_yaml
from medbench.reports import load
from medbench.reports.doubts import warnings_of
from medbench.reports.load import KEYS, load_studies

from ..fabricated_store import environment, fabricate, trial_id, unsealed
from .test_report import evaluation_of, rescore, write


def test_an_unfinished_trial_is_named_and_not_read(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=4)
    trial = trial_id("no_baa", 2)
    (tmp_path / "trials" / trial / "manifest.json").unlink()

    page, (facts,) = write([tmp_path], tmp_path / "out")

    assert f"8 of 9 trials done. no_baa, seed 2: trial {trial} is not finished" in page
    assert trial not in {row["trial"] for row in facts["trials"]}
    assert {row["n_seeds"] for row in facts["variants"] if row["variant"] == "no_baa"} == {2}


@pytest.mark.parametrize(("seeds", "which"), [([0, 1, 2], ""), ([1, 2], " (seed 1; seed 2)")])
def test_unfinished_trials_of_a_variant_are_named_at_once(tmp_path: Path, seeds: list[int], which: str) -> None:
    fabricate(tmp_path, n_images=4)
    for seed in seeds:
        (tmp_path / "trials" / trial_id("no_baa", seed) / "manifest.json").unlink()

    page, _ = write([tmp_path], tmp_path / "out")

    n = len(seeds)
    assert f"{9 - n} of 9 trials done. no_baa: {n} of 3 trials are not finished{which}." in page


def test_a_failed_trial_is_named_with_its_reason(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=4)
    trial = trial_id("no_baa", 2)
    (tmp_path / "trials" / trial / "manifest.json").unlink()
    write_json(tmp_path / "failed" / f"{trial}.json", {"trial": trial, "error": "the loss is nan in epoch 3"})

    page, _ = write([tmp_path], tmp_path / "out")

    assert f"no_baa, seed 2: trial {trial} failed (the loss is nan in epoch 3)" in page


def test_an_unfinished_evaluation_is_named(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=1, n_images=3)
    trial = trial_id("no_baa", 0)
    shutil.rmtree(tmp_path / "trials" / trial / "evaluations" / trial_id("no_baa", 0, "ph2"))

    (study,) = load_studies([tmp_path])

    assert study.missing == (f"no_baa, seed 0: ph2 of trial {trial} not evaluated",)
    assert len(study.trials) == 3


def test_a_store_without_finished_trials_still_gives_a_page(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=4)
    shutil.rmtree(tmp_path / "trials")

    page, _ = write([tmp_path], tmp_path / "out")

    assert "0 of 9 trials done" in page


def test_scores_of_a_store_without_finished_trials_are_an_empty_frame_with_its_columns(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=1, n_images=3)
    shutil.rmtree(tmp_path / "trials")

    assert load(tmp_path).columns.tolist() == KEYS
    assert load(tmp_path).empty


@pytest.mark.parametrize(("name", "what"), [("", r"no studies/\*\.yaml there"), ("none", "there is no such folder")])
def test_a_place_that_is_no_store_is_named_with_the_remedy(tmp_path: Path, name: str, what: str) -> None:
    for place in (tmp_path / name, str(tmp_path / name)):
        with pytest.raises(MedbenchError, match=f"^{tmp_path / name}: {what}; name the store that `medbench run"):
            load(place)


def test_reading_scores_waits_for_nothing_that_draws() -> None:
    code = "import sys; from medbench.reports import load; load('nowhere') if sys.argv[1:] else print(*sys.modules)"

    modules = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    failed = subprocess.run([sys.executable, "-P", "-c", code, "x"], capture_output=True, text=True, check=False).stderr

    assert not {"matplotlib", "seaborn", "torch", "jinja2"} & {*modules.split()}
    assert failed.splitlines()[-1].endswith("there is no such folder; name the store that `medbench run --store` wrote")


def test_damaged_scores_are_named_and_not_read(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=3)
    path = evaluation_of(tmp_path, "no_baa", 1) / "scores.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    (study,) = load_studies([tmp_path])

    assert f"{path.relative_to(tmp_path)} is damaged and was not read" in warnings_of(study, study.scores)[0]
    read = study.scores.query("variant == 'no_baa' and evaluation == 'clean'")
    assert set(read["seed"]) == {0, 2}


@pytest.mark.parametrize("name", ["config.yaml", "history.parquet", "environment.json"])
def test_a_damaged_trial_is_named_and_not_read(tmp_path: Path, name: str) -> None:
    fabricate(tmp_path, n_images=3, variants=("medlitenet", "no_baa"))
    path = tmp_path / "trials" / trial_id("no_baa", 1) / name
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])

    (study,) = load_studies([tmp_path])

    assert [text for text in study.missing if f"{path.relative_to(tmp_path)} is damaged and was not read" in text]
    assert {(trial.variant, trial.seed) for trial in study.trials} == {
        (variant, seed) for variant in ("medlitenet", "no_baa") for seed in range(3)
    } - {("no_baa", 1)}


def test_an_evaluation_whose_probabilities_are_damaged_is_named_and_not_read(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=3, variants=("medlitenet",))
    evaluation = evaluation_of(tmp_path, "medlitenet", 1)
    with unsealed(evaluation) as working:
        (working / "reliability.parquet").write_bytes(b"once sound")
    (evaluation / "reliability.parquet").write_bytes(b"once sounb")

    (study,) = load_studies([tmp_path])

    assert "reliability.parquet is damaged and was not read" in study.missing[0]
    assert [{*trial.evaluations} for trial in study.trials] == [{"clean", "ph2"}, {"ph2"}, {"clean", "ph2"}]


def test_scores_without_pixel_counts_are_refused(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=1, n_images=2)
    rescore(tmp_path, "no_baa", 0, lambda scores: scores.drop(columns=["tp", "fn"]))

    with pytest.raises(MedbenchError, match=r"scores\.parquet: no column tp, fn; delete"):
        load_studies([tmp_path])


def test_a_half_done_cross_validation_is_compared_on_the_images_that_all_seeds_share(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_images=4)
    rescore(tmp_path, "no_baa", 1, lambda scores: scores.iloc[1:])
    study["variants"]["no_baa"]["trials"][1]["fold"] = 2
    write_yaml(tmp_path / "studies" / "baa.yaml", study)

    page, (facts,) = write([tmp_path], tmp_path / "out")

    rows = [row for row in facts["comparisons"] if row["evaluation"] == "clean" and row["metric"] == "dice"]
    assert {row["variant"]: row["n_images"] for row in rows} == {"no_baa": 3, "ensemble": 4}
    assert "Test images differ on clean: 3 of 4 images" in page


def test_seeds_that_share_no_image_give_a_page_that_says_so(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=2, n_images=4)
    for variant in ("medlitenet", "no_baa", "ensemble"):
        shutil.rmtree(evaluation_of(tmp_path, variant, 0, "ph2"))
        rescore(tmp_path, variant, 0, lambda scores: scores.iloc[:2])
        rescore(tmp_path, variant, 1, lambda scores: scores.iloc[2:])
        shutil.rmtree(evaluation_of(tmp_path, variant, 1, "ph2"))

    page, _ = write([tmp_path], tmp_path / "out")

    assert "0 of 4 images have Dice from every variant and seed" in page
    assert "No image yet that every seed of a variant was scored on." in page


def test_an_image_without_a_number_is_left_out_of_its_variant(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=4)
    rescore(tmp_path, "no_baa", 0, lambda scores: scores.assign(dice=scores["dice"].where(scores.index != 1)))

    page, (facts,) = write([tmp_path], tmp_path / "out")

    rows = [row for row in facts["variants"] if row["evaluation"] == "clean"]
    assert [row["n_images"] for row in rows] == [4, 3, 4]
    assert "3 of 4 images have Dice" in page


def test_timings_of_a_variant_without_scores_give_a_page(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=3, n_seeds=1)
    for variant in ("medlitenet", "no_baa"):
        shutil.rmtree(tmp_path / "trials" / trial_id(variant, 0) / "latency")
    shutil.rmtree(tmp_path / "trials" / trial_id("ensemble", 0) / "evaluations")

    page, _ = write([tmp_path], tmp_path / "out")

    assert "against parameters." in page


def test_a_store_without_the_primary_metric_gives_a_page_that_says_so(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_seeds=1, n_images=3)
    write_yaml(tmp_path / "studies" / "baa.yaml", study | {"primary": "artifact_fpr"})

    page, _ = write([tmp_path], tmp_path / "out")

    assert "0 of 3 images have Artifact FPR from every variant and seed" in page


def test_images_left_out_of_another_test_set_are_counted(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=2)
    for label in ("clean", "ph2"):
        with unsealed(evaluation_of(tmp_path, "no_baa", 0, label)) as folder:
            write_yaml(folder / "config.yaml", read_yaml(folder / "config.yaml") | {"left_out": 4})

    (study,) = load_studies([tmp_path])

    assert [text for text in warnings_of(study, study.scores) if "left out" in text] == ["Images left out of ph2: 4."]


def test_copies_that_nobody_looked_for_are_warned_of(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_images=4)
    write_yaml(tmp_path / "studies" / "baa.yaml", study | {"exclude_copies": False})

    (study,) = load_studies([tmp_path])

    assert any("exclude_copies: true" in warning for warning in warnings_of(study, study.scores))


def test_mixed_origins_and_dirty_code_are_named(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=4)
    other = environment(device_name="a GPU", git_dirty=True, packages={"torch": "2.9.0", "numpy": "2.4.6"})
    other["instructions"] = "AVX2, VNNI"
    with unsealed(tmp_path / "trials" / trial_id("medlitenet", 0)) as folder:
        write_json(folder / "environment.json", other)

    (study,) = load_studies([tmp_path])

    assert [warning.split(":")[0] for warning in warnings_of(study, study.scores)[2:]] == [
        "Mixed hardware",
        "Mixed instructions of processors",
        "Mixed versions of torch",
        "Uncommitted changes",
    ]
