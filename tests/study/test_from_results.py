"""What a run makes of trials from a published result, which have scores and no weights."""

from pathlib import Path

import pytest

from medbench.bench.errors import MedbenchError
from medbench.bench.store.folder import AS_MADE, Store
from medbench.bench.store.records import sealed_folder, write_json
from medbench.bench.study.planning import Job, Plan
from medbench.bench.study.runner import check_weights, left_to_do
from medbench.datasets.synthetic import SyntheticSet

from .test_planning import planned, write_set
from .test_timing_job import STUDY, of


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("plan")
    return planned(folder, write_set(folder / "mine", SyntheticSet(images=12, size=32)), text=STUDY)


def finish(store: Store, job: Job, *, from_result: bool) -> None:
    for folder in (store.trial(job.id), *(store.evaluation(job.id, each["id"]) for each in job.evaluations.values())):
        with sealed_folder(folder) as working:
            if from_result:
                write_json(working / AS_MADE, {"weights.safetensors": "0" * 64})


def test_what_is_whole_is_taken_as_it_is(plan: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for job in plan.jobs:
        if job.cell.seed == 0:
            finish(store, job, from_result=True)

    todo = left_to_do(plan, store)
    check_weights(plan, todo, store)

    assert {job.cell.seed for job in todo} == {1}


def test_they_cannot_be_tested_on_more_images_or_combined(plan: Plan, tmp_path: Path) -> None:
    store, first, both = Store(tmp_path), of(plan, "first", 0), of(plan, "both", 0)
    finish(store, first, from_result=True)

    with pytest.raises(MedbenchError, match=rf"from a published result, without the weights that .*: {first.id};"):
        check_weights(plan, [both], store)
    with pytest.raises(MedbenchError, match=rf"from a published result, without the weights that .*: {first.id};"):
        check_weights(plan, [first], store)
    check_weights(plan, [of(plan, "second", 0)], store)


def test_an_ensemble_is_not_kept_beside_members_that_were_trained_here(plan: Plan, tmp_path: Path) -> None:
    store, both = Store(tmp_path), of(plan, "both", 0)
    finish(store, of(plan, "first", 0), from_result=True)
    finish(store, of(plan, "second", 0), from_result=False)
    finish(store, both, from_result=True)

    with pytest.raises(MedbenchError, match=rf"ensembles from a published result, of other members .*: {both.id};"):
        check_weights(plan, [], store)
