"""Several stores in one report: a pool of trials, joined studies, and those that are told apart."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from medbench.bench.errors import MedbenchError
from medbench.bench.store.records import read_yaml, write_yaml
from medbench.reports.load import load_studies
from medbench.reports.page import write_report

from ..fabricated_store import fabricate, trial_id, unsealed, write_timings
from .test_report import evaluation_of, write


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    fabricate(store)
    return store


def test_stores_are_one_pool_of_trials(store: Path, tmp_path: Path) -> None:
    left, right = (shutil.copytree(store, tmp_path / name) for name in ("left", "right"))
    shutil.rmtree(left / "trials" / trial_id("no_baa", 0))
    shutil.rmtree(right / "trials" / trial_id("ensemble", 1))

    (study,) = load_studies([left, right])

    assert len(study.trials) == 9


def test_a_sound_copy_stands_in_for_damaged_scores(store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "copy")
    path = evaluation_of(copy, "no_baa", 1) / "scores.parquet"
    path.write_bytes(bytes(path.stat().st_size))

    (study,) = load_studies([copy, store])

    assert study.missing == ()


def test_a_path_without_studies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MedbenchError, match=r"no studies/\*\.yaml there"):
        write_report([tmp_path], tmp_path / "out")


def test_a_study_that_two_laboratories_share_is_joined(tmp_path: Path) -> None:
    study = fabricate(tmp_path / "here", n_seeds=4, n_images=6)
    whole = write([tmp_path / "here"], tmp_path / "whole")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    for lab, seeds in (("here", (0, 1)), ("there", (1, 2, 3))):
        own = {
            name: known | {"trials": [trial for trial in known["trials"] if trial["seed"] in seeds]}
            for name, known in study["variants"].items()
        }
        write_yaml(tmp_path / lab / "studies" / "baa.yaml", study | {"variants": own, "spec": f"seeds: {list(seeds)}"})
        for name in study["variants"]:
            for seed in set(range(4)) - set(seeds):
                shutil.rmtree(tmp_path / lab / "trials" / trial_id(name, seed))

    _, (facts,) = write([tmp_path / "here", tmp_path / "there"], tmp_path / "out")

    assert {trial["seed"] for trial in facts["trials"]} == {0, 1, 2, 3}
    assert facts["comparisons"] == whole[1][0]["comparisons"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"score_at": "input"}, "score_at input here, native there"),
        ({"dataset": {"name": "isic2018", "split": "official", "size": 128}}, "dataset.split official here, holdout"),
    ],
)
def test_studies_that_differ_are_told_apart(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    study = fabricate(tmp_path / "here", n_images=4)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    other = study | change
    other["variants"] = {  # trained under another protocol, they are other trials
        name: known | {"trials": [trial | {"trial": f"{trial['trial'][:-1]}x"} for trial in known["trials"]]}
        for name, known in study["variants"].items()
    }
    for path in (tmp_path / "there" / "trials").iterdir():
        path.rename(path.with_name(f"{path.name[:-1]}x"))
    write_yaml(tmp_path / "there" / "studies" / "baa.yaml", other)
    for lab, known, ms in (("here", study, 5.0), ("there", other, 7.0)):
        write_timings(tmp_path / lab, known, {name: [ms, ms] for name in known["variants"]})

    page, (first, second) = write([tmp_path / "here", tmp_path / "there"], tmp_path / "out")

    assert (first["study"], second["study"]) == ("baa", "baa@there")
    assert f"Not joined with baa of here: {why}" in page
    assert "another training" not in page  # which says no more
    assert first["warnings"][0].startswith("baa@there is reported by itself")
    assert [{row["latency_ms"] for row in each["variants"]} for each in (first, second)] == [{5.0}, {7.0}]
    assert "what was timed" not in page


def test_other_trainings_under_the_same_seed_are_not_joined(tmp_path: Path) -> None:
    study = fabricate(tmp_path / "here", n_images=4)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    study["variants"]["no_baa"]["trials"][2]["trial"] = "0" * 16
    write_yaml(tmp_path / "there" / "studies" / "baa.yaml", study)

    _, second = load_studies([tmp_path / "here", tmp_path / "there"])

    assert second.apart == (
        "Not joined with baa of here: no_baa, seed 2, is another training there (other images, code or protocol).",
    )


@pytest.fixture(scope="module")
def laboratories(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two stores of one study,, of the seeds 0 and 1 and of 2 and 3."""
    root = tmp_path_factory.mktemp("laboratories")
    study = fabricate(root / "here", n_seeds=4, n_images=4, variants=("medlitenet", "no_baa"))
    shutil.copytree(root / "here", root / "there")
    for lab, seeds in (("here", (0, 1)), ("there", (2, 3))):
        own = {
            name: known | {"trials": [trial for trial in known["trials"] if trial["seed"] in seeds]}
            for name, known in study["variants"].items()
        }
        write_yaml(root / lab / "studies" / "baa.yaml", study | {"variants": own})
        for name in study["variants"]:
            for seed in {*range(4)} - {*seeds}:
                shutil.rmtree(root / lab / "trials" / trial_id(name, seed))
    return [root / "here", root / "there"]


def change(folder: Path, **changes: Any) -> None:
    """Another configuration of a finished trial or evaluation."""
    with unsealed(folder) as working:
        write_yaml(working / "config.yaml", read_yaml(folder / "config.yaml") | changes)


def test_seeds_that_two_laboratories_divide_are_one_study(laboratories: list[Path]) -> None:
    (study,) = load_studies(laboratories)

    assert {trial.seed for trial in study.trials} == {0, 1, 2, 3}
    assert study.apart == ()


@pytest.mark.parametrize(
    ("evaluation", "changed", "why"),
    [
        (None, {"images_digest": "0" * 16}, "other images to train on there (no_baa)"),
        (None, {"encoder_digest": "0" * 16}, "other encoder weights there (no_baa)"),
        (None, {"code_digest": "0" * 16}, "other code of the network there (no_baa)"),
        ("ph2", {"images_digest": "0" * 16}, "other test images of ph2 there (no_baa)"),
        ("clean", {"scoring": 0}, "other scoring of clean there (no_baa)"),
    ],
)
def test_seeds_of_other_images_weights_or_code_are_told_apart(
    laboratories: list[Path], tmp_path: Path, evaluation: str | None, changed: dict[str, Any], why: str
) -> None:
    here, there = laboratories[0], shutil.copytree(laboratories[1], tmp_path / "there")
    for seed in (2, 3):
        trial = there / "trials" / trial_id("no_baa", seed)
        change(trial / "evaluations" / trial_id("no_baa", seed, evaluation) if evaluation else trial, **changed)

    first, second = load_studies([here, there])

    assert {trial.seed for trial in first.trials} == {0, 1}
    assert second.apart == (f"Not joined with baa of here: {why}.",)
