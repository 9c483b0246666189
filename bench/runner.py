"""A whole study: plan it, run what the store lacks, time every model, and keep a record."""

from collections.abc import Callable

from ..ablations.loading import Loaded
from .executors import run_jobs
from .planning import Job, Plan, plan
from .provenance import n_cores
from .records import write_yaml
from .sets import Sets
from .store import Store
from .trials import Event, Listen, Place, time_trial


def prepare_study(loaded: Loaded, place: Place, reading: Callable[[str, int, int], None]) -> Plan:
    """Plans a study and decodes its images, so that jobs find them in the cache."""
    sets = Sets(place.data, place.cache, reading)
    planned = plan(loaded, sets)
    for job in planned.jobs:
        for config in job.evaluations.values():
            source = config["source"]
            opened = sets.open(source["set"], leave_out_broken=source["leave_out_broken"])
            sets.arrays(opened, job.config["size"])
    return planned


def left_to_do(planned: Plan, store: Store) -> list[Job]:
    """The jobs with a trial or an evaluation that the store lacks."""
    return [
        job
        for job in planned.jobs
        if not store.has_trial(job.id)
        or any(not store.has_evaluation(job.id, config["id"]) for config in job.evaluations.values())
    ]


def run_study(planned: Plan, place: Place, listen: Listen, *, jobs: int) -> list[Job]:
    """Runs what is left of a study: trainings first, ensembles when their members are there, latencies last. Gives back
    the jobs that failed.

    Latency comes last and alone: a model timed beside another training would look slower than it is.
    """
    store = Store(place.store)
    write_yaml(store.study(planned.record["study"]), planned.record)
    todo = left_to_do(planned, store)
    failed: list[Job] = []
    for wave in ([job for job in todo if not job.is_ensemble], [job for job in todo if job.is_ensemble]):
        ready = [job for job in wave if not _waits_for(job, failed)]
        for job in wave:
            if job not in ready:
                error = {"error": "a member failed", "traceback": ""}
                listen(Event("failed", job.id, job.cell.label, error))
        failed += [job for job in wave if job not in ready]
        if ready:
            failed += run_jobs(ready, place, listen, at_once=jobs)
    for job in planned.jobs:
        if store.has_trial(job.id):
            time_trial(job, place)
    return failed


def _waits_for(job: Job, failed: list[Job]) -> bool:
    members = job.config["ensemble"]["members"].values() if job.is_ensemble else ()
    return any(other.id in members for other in failed)


def threads_for(jobs: int) -> int:
    """Threads of each of so many jobs at once."""
    return max(1, n_cores() // jobs)
