"""A whole study: plan it, run what the store lacks, time its models, and keep a record."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...datasets.annotations import annotations
from ..errors import MedbenchError
from ..store.folder import Store, as_made
from ..store.records import read_json, read_yaml, short_id, write_json, write_yaml
from .executors import Execute
from .executors.guard import failure
from .planning import Job, Plan
from .sets import Sets
from .timing_job import time_study, timing_of
from .trials import Listen, Place, run_job


def decode(jobs: Sequence[Job], sets: Sets) -> None:
    """Decodes the images that jobs need, so that they find them in the cache."""
    for job in jobs:
        for config in ([] if job.is_ensemble else [job.config]) + list(job.evaluations.values()):
            sets.arrays(sets.of(config), job.config["size"])


def annotate(planned: Plan, store: Store, sets: Sets) -> None:
    """Keeps for the report what publishers tell of the test images, and which of them belong together, as it is now:
    the digest of images covers neither."""
    clean = [each for job in planned.jobs for each in job.evaluations.values() if "artifact" not in each["source"]]
    for config in {each["images_digest"]: each for each in clean}.values():
        path = store.annotations(config["images_digest"])
        lesions = read_json(path).get("lesions", {}) if path.is_file() else {}
        found = annotations(sets.of(config).image_set, set(config["images"]), lesions)
        _write_or_remove(path, found)
    tested = {each["images_digest"]: each for job in planned.jobs for each in job.evaluations.values()}
    for digest, config in tested.items():
        image_set = sets.of(config).image_set
        # Digests, for stores are handed on and published, and the name of a patient may be in a group's.
        groups = {id: short_id([image_set.name, image_set.groups[id]]) for id in config["images"]}
        _write_or_remove(store.groups(digest), groups if len({*groups.values()}) < len(groups) else {})


def _write_or_remove(path: Path, found: dict[str, Any]) -> None:
    if found:
        write_json(path, found)
    else:
        path.unlink(missing_ok=True)


def left_to_do(planned: Plan, store: Store) -> list[Job]:
    """The jobs with a trial or an evaluation that the store lacks or has damaged, each once though variants may share
    it: then it has the evaluations of all."""
    return [
        job
        for job in _merged(planned.jobs)
        if not store.is_sound(job.id)
        or any(not store.is_sound(job.id, config["id"]) for config in job.evaluations.values())
    ]


def check_weights(planned: Plan, todo: Sequence[Job], store: Store) -> None:
    """MedbenchError where trials from a published result, which have no weights, would have to be tested on more images
    or combined, or where its ensembles are of other members than the store's."""

    def is_from_result(id: str) -> bool:
        return as_made(store.trial(id)) is not None and store.is_sound(id)

    wanted = [id for job in todo for id in (_members(job) if job.is_ensemble else [job.id])]
    ensembles = [job for job in planned.jobs if job.is_ensemble and is_from_result(job.id)]
    for ids, why in (
        (wanted, "from a published result, without the weights that this run needs"),
        (
            [job.id for job in ensembles if not all(map(is_from_result, _members(job)))],
            "ensembles from a published result, of other members than there are here",
        ),
    ):
        if found := [id for id in dict.fromkeys(ids) if is_from_result(id)]:
            raise MedbenchError(
                f"{store.root / 'trials'}: {why}: {', '.join(found)}; move them away, and they are made again"
            )


def _merged(jobs: Sequence[Job]) -> list[Job]:
    """One job for each id. An evaluation that differs from another of the same name is told by its variant too."""
    found: dict[str, Job] = {}
    for job in jobs:
        first = found.setdefault(job.id, job)
        there = {each["id"] for each in first.evaluations.values()}
        more = {
            f"{name} of {job.cell.variant}" if name in first.evaluations else name: each
            for name, each in job.evaluations.items()
            if each["id"] not in there
        }
        found[job.id] = replace(first, evaluations={**first.evaluations, **more})
    return list(found.values())


def run_study(
    planned: Plan, place: Place, listen: Listen, *, execute: Execute, retry_failed: bool = False
) -> list[Job]:
    """Runs what is left of a study and gives back the jobs that failed, now or, without `retry_failed`, before.

    Trainings come first, ensembles when their members are there.
    """
    store = Store(place.store)
    write_yaml(store.study(planned.record["study"]), planned.record | _plans_before(planned.record, store))
    todo = left_to_do(planned, store)
    for job in todo if retry_failed else ():
        store.failure(job.id).unlink(missing_ok=True)
    failed: list[Job] = []
    for wave in ([job for job in todo if not job.is_ensemble], [job for job in todo if job.is_ensemble]):
        ready = [job for job in wave if not _waits_for(job, failed)]
        for job in wave:
            if job not in ready:
                listen(failure(job, MedbenchError("a member failed")))
                failed.append(job)
        if ready:
            failed += execute(ready, place, listen, work=run_job)
    return failed


def time_models(planned: Plan, place: Place, listen: Listen, *, execute: Execute, without: Sequence[Job]) -> bool:
    """Times a study's models, when nothing else runs: a model timed beside a training would look slower than it is.
    False where that cannot be done, which is told and makes no trial a failed one; `without` are those that are."""
    timing = timing_of(planned, Store(place.store), without)
    return not timing or not execute([timing], place, listen, work=time_study, alone=True)


def _plans_before(record: dict[str, Any], store: Store) -> dict[str, Any]:
    """What the store says was planned of seeds before, and how many of a variant were trained, where scores of these
    were there and there is another plan of looks now, or another number of seeds."""
    path = store.study(record["study"])
    before = read_yaml(path) if path.is_file() else record
    plans, looks = before.get("plans_before", []), before.get("looks")
    now = record["variants"]
    settings = {name: short_id(known["settings"]) for name, known in now.items()}
    same = [known for name, known in before["variants"].items() if short_id(known["settings"]) == settings.get(name)]

    def is_tested(trial: dict[str, Any]) -> bool:
        return any(store.has_evaluation(trial["trial"], id) for id in trial.get("evaluations", {}).values())

    is_another = looks != record.get("looks") or (looks is None and _most_seeds(same) != _most_seeds(now.values()))
    if is_another and _most_seeds(same, is_tested):
        trained = _most_seeds(same, lambda trial: store.has_trial(trial["trial"]))
        plans = [*plans, (looks or {"seeds": [_most_seeds(same)]}) | {"trained": trained}]
    return {"plans_before": plans} if plans else {}


def _most_seeds(variants: Iterable[dict[str, Any]], counts: Callable[[dict[str, Any]], bool] = lambda _: True) -> int:
    """Of the variant with the most, of the trials that count."""
    of_each = [{trial["seed"] for trial in known["trials"] if counts(trial)} for known in variants]
    return max(map(len, of_each), default=0)


def _waits_for(job: Job, failed: list[Job]) -> bool:
    return job.is_ensemble and any(other.id in _members(job) for other in failed)


def _members(ensemble: Job) -> list[str]:
    return [*ensemble.config["ensemble"]["members"].values()]
