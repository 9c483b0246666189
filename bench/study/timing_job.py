"""How long a forward pass of a study's models takes on this machine: all of them in turns, once a machine."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...ablations.schema.grid import Cell
from ..cost.latency import time_side_by_side
from ..cost.runtimes import Subject
from ..store.folder import Store
from ..store.provenance import device_name, machine_id
from ..store.records import read_json, short_id, write_json
from ..training.device import best_device, prepare
from .planning import Job, Plan
from .trials import Listen, Place, seen_by, trained_model

PASSES = {1: 40, 16: 10}  # by images a pass; a GPU, whose passes are short, does PASSES_ON_GPU of either
PASSES_ON_GPU = 200


def timing_of(planned: Plan, store: Store, without: Sequence[Job]) -> Job | None:
    """The job of timing a study: of each variant the first trial that is finished, the baseline's before the others.
    None where no trial is.

    Args:
        planned: the study.
        store: where its trials are.
        without: jobs that failed.
    """
    record = planned.record
    failed = {job.id for job in without}
    finished = [job for job in planned.jobs if store.has_trial(job.id) and job.id not in failed]
    finished.sort(key=lambda job: job.cell.variant != record["baseline"])
    first: dict[str, Job] = {}
    for job in finished:
        first.setdefault(job.cell.variant, job)
    if not first:
        return None
    by_id = {job.id: job for job in planned.jobs}
    models = {variant: {"trial": job.id, "model": _model_of(job, by_id)} for variant, job in first.items()}
    config = {"study": record["study"], "seed": 0, "models": models}
    return Job(Cell(f"latency of {record['study']}", 0, None), f"latency-{record['study']}", config, {})


def _model_of(job: Job, by_id: Mapping[str, Job]) -> str:
    """What decides how long a trial's model takes, as an id: not its weights, so that another seed has the same."""
    if job.is_ensemble:
        return short_id([_model_of(by_id[id], by_id) for id in job.config["ensemble"]["members"].values()])
    parts = [job.config[key] for key in ("model", "options", "code_digest", "size")]
    return short_id(parts + [job.config[key] for key in ("output", "target", "channels", "tasks") if key in job.config])


def time_study(job: Job, place: Place, listen: Listen) -> None:
    """Times a study's models on this machine, if these models were not timed here before: an image and 16 at a time,
    in FP16 on a GPU and in FP32 on a CPU."""
    del listen  # seconds; nothing to tell
    store = Store(place.store)
    prepare(job.config["seed"], place.threads)
    device = best_device()
    path = store.latency(job.config["study"], machine_id(device))
    models: dict[str, dict[str, str]] = job.config["models"]
    with store.claimed("latency", wait=True):  # two timings at once would slow each other
        if path.is_file() and _has(read_json(path), models):
            return
        subjects = [_subject(name, store, each["trial"]) for name, each in models.items()]
        on_gpu = device.type == "cuda"
        rows: list[dict[str, Any]] = []
        for batch, passes in PASSES.items():
            rows += time_side_by_side(
                subjects,
                batches=[batch],
                dtypes=["fp16" if on_gpu else "fp32"],
                runtimes=["eager"],
                device=device,
                passes=PASSES_ON_GPU if on_gpu else passes,
                brief=not on_gpu,
            )
        found = {"study": job.config["study"], "machine": device_name(device), "torch": torch.__version__}
        write_json(path, found | {"baseline": subjects[0].name, "models": models, "rows": rows})


def _subject(name: str, store: Store, trial: str) -> Subject:
    model, config = trained_model(store, trial, or_untrained=True), seen_by(store, trial)  # weights change no time
    return Subject(name, model, config["size"], channels=config.get("channels", 3))


def _has(found: dict[str, Any], wanted: dict[str, dict[str, str]]) -> bool:
    """Whether a file holds the timings of these models, divided by the same one."""
    known = {name: each["model"] for name, each in found["models"].items()}
    return (
        found["baseline"] == next(iter(wanted))
        and {name: each["model"] for name, each in wanted.items()}.items() <= known.items()
    )
