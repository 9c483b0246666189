"""About how long a study will take on this machine, and how much disk: a few batches and images, measured and
multiplied."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..datasets.cache import Arrays, load_arrays
from ..models.catalog import build_model
from .evaluation import evaluate, write_pictures
from .planning import Job
from .records import short_id
from .sets import OpenSet, Sets
from .training import best_device, prepare, size_at, train
from .trials import KEPT_OF_ARTIFACTS

BATCHES, IMAGES = 2, 6  # that are measured
GPU_BATCHES = 8  # there the first few only lead to the graph that the others replay
COPIES = 4  # of the weights in a checkpoint: the last, the chosen, and two moments


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a study still costs.

    Attributes:
        seconds: of each job that is left, by its id.
        stored: bytes that the store will grow by.
        cached: bytes of decoded images.
        at_work: bytes of a checkpoint while a trial is being trained.
    """

    seconds: dict[str, float]
    stored: int
    cached: int
    at_work: int


def estimate(
    jobs: Sequence[Job],
    todo: Sequence[Job],
    sets: Sets,
    *,
    threads: int,
    on_job: Callable[[int, int], None] = lambda *_: None,
) -> Estimate:
    """Trains each kind of model on a few batches and tries it on a few images of each kind of test set.

    Args:
        jobs: all jobs of the study, because ensembles cost what their members do.
        todo: those that are left.
        sets: where images come from.
        threads: of each job.
        on_job: called with the numbers of jobs looked at and to look at.
    """
    by_id, meter = {job.id: job for job in jobs}, _Meter(sets, threads)
    seconds: dict[str, float] = {}
    stored, weights = 0.0, 0
    caches: dict[str, int] = {}
    for done, job in enumerate(todo):
        on_job(done, len(todo))
        members = [by_id[id] for id in job.config["ensemble"]["members"].values()] if job.is_ensemble else [job]
        seconds[job.id] = 0.0
        if not job.is_ensemble:
            batch, n_bytes = meter.batch(job.config)
            seconds[job.id] += batch * _batches(job.config)
            stored += n_bytes
            weights = max(weights, n_bytes)
        for config in job.evaluations.values():
            n_images, is_painted = len(config["images"]), bool(config["source"].get("artifact"))
            costs = [meter.image(member.config, config) for member in members]
            seconds[job.id] += n_images * sum(cost[0] for cost in costs)
            stored += costs[0][1] * (KEPT_OF_ARTIFACTS if is_painted else n_images)
        for config in ([] if job.is_ensemble else [job.config]) + list(job.evaluations.values()):
            ids, size = config.get("images") or [*config["train"], *config["validation"]], job.config["size"]
            caches[short_id([config["images_digest"], size])] = len(ids) * size * size * 4
    pictures = {config["images_digest"]: config for job in todo for config in job.evaluations.values()}
    stored += sum(meter.picture(config) * len(config["images"]) for config in pictures.values())
    return Estimate(seconds, round(stored), sum(caches.values()), COPIES * weights)


def _batches(config: dict[str, Any]) -> float:
    """Batches of a training, smaller images counted by their pixels."""
    training, size = config["training"], config["size"]
    epochs = training["epochs"]
    sizes = [size_at(epoch, epochs, size, training["progressive_sizes"]) for epoch in range(epochs)]
    return max(len(config["train"]) // training["batch_size"], 1) * sum((each / size) ** 2 for each in sizes)


class _Meter:
    """Measures each kind of thing once."""

    def __init__(self, sets: Sets, threads: int) -> None:
        self.sets = sets
        self.threads = threads
        self.known: dict[str, Any] = {}

    def batch(self, config: dict[str, Any]) -> tuple[float, int]:
        """Seconds of a batch at full size, and bytes of the weights."""
        training = {**config["training"], "epochs": 2, "warmup_epochs": 0, "progressive_sizes": {0.0: 1.0}}
        key = short_id([config["model"], config["options"], config["size"], training])
        if key not in self.known:
            batches = GPU_BATCHES if best_device().type == "cuda" else BATCHES
            n = min(batches * training["batch_size"], len(config["train"]))
            prepare(0, self.threads)
            ids, images = config["train"][:n], self._arrays(config, config["train"][:n], config["size"])
            model = build_model(config["model"], config["options"]).model.to(best_device())
            trained = train(model, images, ids, ids[:1], training, size=config["size"], seed=0)
            batches = max(n // training["batch_size"], 1)
            n_bytes = sum(tensor.nbytes for tensor in trained.weights.values())
            self.known[key] = trained.history[-1]["seconds"] / batches, n_bytes  # the first epoch warms up
        return self.known[key]

    def image(self, model: dict[str, Any], config: dict[str, Any]) -> tuple[float, float]:
        """Seconds that one image of a test set takes, and bytes that it leaves."""
        is_painted = bool(config["source"].get("artifact"))
        key = short_id([model["model"], model["options"], model["size"], config["source"]["set"], is_painted])
        if key not in self.known:
            ids = config["images"][:IMAGES]
            opened, net = self.sets.of(config), build_model(model["model"], model["options"]).model.to(best_device())
            prepare(0, self.threads)
            with tempfile.TemporaryDirectory() as folder:
                images = self._arrays(config, ids, model["size"])
                for some in (ids[:1], ids):  # the first warms up
                    started = time.perf_counter()
                    scored = evaluate(
                        net, opened.image_set, images, some, score_at=config["score_at"], masks=Path(folder)
                    )
                seconds = (time.perf_counter() - started) / len(ids)
                n_bytes = _size_of(Path(folder)) + int(scored.images.memory_usage().sum())
                self.known[key] = seconds, n_bytes / len(ids)
        return self.known[key]

    def picture(self, config: dict[str, Any]) -> float:
        """Bytes of an image's small copy; of painted ones only the worst are kept, which counts as none."""
        if config["source"].get("artifact"):
            return 0.0
        key = short_id(["picture", config["source"]["set"]])
        if key not in self.known:
            ids = config["images"][:IMAGES]
            with tempfile.TemporaryDirectory() as folder:
                write_pictures(Path(folder), self.sets.of(config).image_set, ids)
                self.known[key] = _size_of(Path(folder)) / len(ids)
        return self.known[key]

    def _arrays(self, config: dict[str, Any], ids: list[str], size: int) -> Arrays:
        opened: OpenSet = self.sets.of(config)
        with tempfile.TemporaryDirectory() as folder:  # a mapped file may lose its name
            return load_arrays(opened.image_set, ids, size, Path(folder), opened.digests)


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
