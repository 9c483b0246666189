"""The latency of a study: which of its trials are timed, and when they are timed again."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from medbench.bench.cost.runtimes import Subject
from medbench.bench.store.folder import Store
from medbench.bench.store.records import read_json, sealed_folder, write_yaml
from medbench.bench.study import timing_job
from medbench.bench.study.planning import Job, Plan
from medbench.bench.study.timing_job import time_study, timing_of
from medbench.bench.study.trials import Place
from medbench.datasets.synthetic import SyntheticSet

from .test_planning import planned, write_set

STUDY = """\
question: How long?
baseline: second
variants:
  first: {model: medlitenet, options: {backbone: mobilenetv3_small_050, width: 32}}
  second: {model: no_baa, options: {backbone: mobilenetv3_small_050, width: 32}}
  both: {ensemble: {members: [first, second], weighting: equal}}
dataset: {folder: SET, size: 32}
encoder_weights: none
seeds: 2
training: {epochs: 1}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("plan")
    return planned(folder, write_set(folder / "mine", SyntheticSet(images=12, size=32)), text=STUDY)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def finish(store: Store, *jobs: Job) -> None:
    """Puts trials into the store, as if they were trained."""
    for job in jobs:
        with sealed_folder(store.trial(job.id)) as folder:
            write_yaml(folder / "config.yaml", {"size": 32})


@pytest.fixture
def timed(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the models of each timing that was really done."""
    done: list[list[str]] = []

    def time_side_by_side(subjects: list[Subject], **_: Any) -> list[dict[str, Any]]:
        done.append([subject.name for subject in subjects])
        return []

    monkeypatch.setattr(timing_job, "time_side_by_side", time_side_by_side)
    monkeypatch.setattr(timing_job, "PASSES", {1: 20})
    monkeypatch.setattr(timing_job, "trained_model", lambda *_, **__: nn.Conv2d(3, 1, 1))
    return done


def run(plan: Plan, store: Store) -> None:
    job = timing_of(plan, store, [])
    assert job is not None
    time_study(job, Place(store.root, None, store.root, threads=1, workers=0), lambda _: None)


def of(plan: Plan, variant: str, seed: int) -> Job:
    return next(job for job in plan.jobs if (job.cell.variant, job.cell.seed) == (variant, seed))


def test_one_finished_trial_of_each_variant_is_timed_the_baselines_first(plan: Plan, store: Store) -> None:
    assert timing_of(plan, store, []) is None
    finish(store, of(plan, "first", 0), of(plan, "first", 1), of(plan, "second", 1))

    job = timing_of(plan, store, [of(plan, "first", 0)])

    assert job is not None
    trials = [(name, each["trial"]) for name, each in job.config["models"].items()]
    assert trials == [("second", of(plan, "second", 1).id), ("first", of(plan, "first", 1).id)]


def test_a_new_seed_is_no_reason_to_time_again(plan: Plan, store: Store, timed: list[list[str]]) -> None:
    finish(store, of(plan, "first", 1), of(plan, "second", 1))
    run(plan, store)
    finish(store, of(plan, "first", 0), of(plan, "second", 0))

    run(plan, store)

    assert timed == [["second", "first"]]


def test_a_new_variant_is_timed_beside_the_others(plan: Plan, store: Store, timed: list[list[str]]) -> None:
    finish(store, of(plan, "first", 0), of(plan, "second", 0))
    run(plan, store)
    finish(store, of(plan, "both", 0))

    run(plan, store)

    assert timed == [["second", "first"], ["second", "first", "both"]]
    [path] = (store.root / "latency" / "mine").glob("*.json")
    found = read_json(path)
    assert (found["study"], found["baseline"], list(found["models"])) == ("mine", "second", timed[1])


def test_another_model_under_a_known_name_is_timed(
    plan: Plan, store: Store, timed: list[list[str]], tmp_path: Path
) -> None:
    finish(store, *plan.jobs)
    run(plan, store)
    wider = STUDY.replace("no_baa, options: {backbone: mobilenetv3_small_050, width: 32}", "no_aspp")
    other = planned(tmp_path, write_set(tmp_path / "mine", SyntheticSet(images=12, size=32)), text=wider)
    finish(store, *other.jobs)

    run(other, store)

    assert len(timed) == 2
    jobs = [timing_of(each, store, []) for each in (plan, other)]
    before, after = [job.config["models"] for job in jobs if job]
    assert {name: before[name]["model"] == after[name]["model"] for name in before} == {
        "second": False,
        "first": True,
        "both": False,
    }
