"""About how long a study will take on this machine, and how much disk: a few batches and images, measured and
multiplied."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ...datasets.cache import Arrays, load_arrays
from ...models.catalog import build_model, network_of
from ..errors import first_line
from ..evaluation.testing import evaluate, write_pictures
from ..quiet import quietly
from ..store.records import short_id
from ..training.device import best_device, prepare
from ..training.loop import train
from ..training.schedule import size_at
from .planning import Job
from .sets import Sets
from .tasks import labels_of
from .trials import KEPT_OF_ARTIFACTS

IMAGES = (
    4  # that are measured, after one to warm up; a CPU also learns from so many at once, nearly as fast as from more
)
GPU_BATCHES = 8  # there the first few only lead to the graph that the others replay
COPIES = 4  # of the weights in a checkpoint: the last, the chosen, and two moments


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a study still costs.

    Attributes:
        seconds: of each job that is left, by its id.
        troubles: why a job that is left has no estimate, one line each, by its id.
        caching: seconds of decoding, painting and preprocessing images that are not in the cache, once for all jobs.
        stored: bytes that the store will grow by.
        cached: bytes of images, decoded and painted.
        at_work: bytes of a checkpoint while a trial is being trained.
    """

    seconds: dict[str, float]
    troubles: dict[str, str]
    caching: float
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
    troubles: dict[str, str] = {}
    stored, weights = 0.0, 0
    for done, job in enumerate(todo):
        on_job(done, len(todo))
        members = [by_id[id] for id in job.config["ensemble"]["members"].values()] if job.is_ensemble else [job]
        try:
            spent, n_bytes, kept = _of_job(job, members, meter)
        except Exception as error:  # a model of the user's own may fail in any way; the others have their estimates
            troubles[job.id] = first_line(error)
            continue
        seconds[job.id] = spent
        stored += kept
        weights = max(weights, n_bytes)
    caches: dict[str, tuple[float, float]] = {}
    measured = [job for job in todo if job.id in seconds]
    for job in measured:
        for config in ([] if job.is_ensemble else [job.config]) + list(job.evaluations.values()):
            key = short_id([id(sets.of(config)), job.config["size"]])
            if key not in caches:
                caches[key] = meter.cache(config, job.config["size"])
    pictures = {config["images_digest"]: config for job in measured for config in job.evaluations.values()}
    stored += sum(meter.picture(config) * len(config["images"]) for config in pictures.values())
    caching, cached = (sum(each) for each in zip((0.0, 0.0), *caches.values(), strict=True))
    return Estimate(seconds, troubles, caching, round(stored), round(cached), COPIES * weights)


def _of_job(job: Job, members: Sequence[Job], meter: "_Meter") -> tuple[float, int, float]:
    """Seconds of a job, bytes of its weights, and bytes that it leaves in the store."""
    seconds, weights, stored = 0.0, 0, 0.0
    if not job.is_ensemble:
        batch, weights = meter.batch(job.config)
        seconds += batch * _batches(job.config)
        stored += weights
    for config in job.evaluations.values():
        n_images, is_painted = len(config["images"]), bool(config["source"].get("artifact"))
        costs = [meter.image(member.config, config) for member in members]
        seconds += n_images * sum(cost[0] for cost in costs)
        stored += costs[0][1] * (KEPT_OF_ARTIFACTS if is_painted else n_images)
    return seconds, weights, stored


def _batches(config: dict[str, Any]) -> float:
    """Batches of a training, smaller images counted by their pixels."""
    training, size = config["training"], config["size"]
    epochs = training["epochs"]
    sizes = [size_at(epoch, epochs, size, training["progressive_sizes"]) for epoch in range(epochs)]
    return max(len(config["train"]) // training["batch_size"], 1) * sum((each / size) ** 2 for each in sizes)


def _network(config: dict[str, Any]) -> list[Any]:
    """What a trial's network is, whatever it learns."""
    return [config["model"], network_of(config)]


class _Meter:
    """Measures each kind of thing once; what fails once is not tried again."""

    def __init__(self, sets: Sets, threads: int) -> None:
        self.sets = sets
        self.threads = threads
        self.known: dict[str, Any] = {}

    def batch(self, config: dict[str, Any]) -> tuple[float, int]:
        """Seconds of a batch at full size, and bytes of the weights."""
        training = {**config["training"], "epochs": 2, "warmup_epochs": 0, "progressive_sizes": {0.0: 1.0}}
        whole = min(training["batch_size"], len(config["train"]))

        def measure() -> tuple[float, int]:
            n = min((GPU_BATCHES * whole) if best_device().type == "cuda" else IMAGES, len(config["train"]))
            ids, images = config["train"][:n], self._arrays(config, config["train"][:n], config["size"])[0]
            prepare(0, self.threads)
            model = build_model(config["model"], **network_of(config)).model.to(best_device())
            labels = labels_of(config.get("tasks", {}), self.sets.of(config).image_set)
            trained = train(model, images, ids, ids[:1], training, size=config["size"], seed=0, labels=labels)
            n_bytes = sum(tensor.nbytes for tensor in trained.weights.values())
            return whole / trained.history[-1]["images_per_second"], n_bytes  # the first epoch warms up

        return self._once(["batch", *_network(config), config["size"], training], measure)

    def image(self, model: dict[str, Any], config: dict[str, Any]) -> tuple[float, float]:
        """Seconds that one image of a test set, clean or under an artifact, takes, and bytes that it leaves."""
        ids = config["images"][:IMAGES]

        def measure() -> tuple[float, float]:
            net, image_set = self._net(model), self.sets.of(config).image_set
            images, score_at = self._arrays(config, ids, model["size"])[0], config["score_at"]
            prepare(0, self.threads)
            with tempfile.TemporaryDirectory() as folder:
                evaluate(net, image_set, images, ids[:1], score_at=score_at, masks=Path(folder))
                started = time.perf_counter()
                scored = evaluate(net, image_set, images, ids, score_at=score_at, masks=Path(folder))
                seconds = time.perf_counter() - started
                n_bytes = _size_of(Path(folder)) + int(scored.images.memory_usage().sum())
            return seconds / len(ids), n_bytes / len(ids)

        key = ["image", *_network(model), model["size"], config["score_at"], *self._kind(config)]
        return self._once(key, measure)

    def cache(self, config: dict[str, Any], size: int) -> tuple[float, float]:
        """Seconds that the set's images take until the cache has them, none where it has, and their bytes there."""
        opened = self.sets.of(config)
        ids = config.get("images") or config["train"]
        seconds, n_bytes = self._arrays(config, ids[:IMAGES], size)[1:]
        n_images = len(opened.image_set.ids)
        return 0.0 if self.sets.has_arrays(opened, size) else n_images * seconds, n_images * n_bytes

    def picture(self, config: dict[str, Any]) -> float:
        """Bytes of an image's small copy; of painted ones only the worst are kept, which counts as none."""
        if config["source"].get("artifact"):
            return 0.0
        ids = config["images"][:IMAGES]

        def measure() -> float:
            with tempfile.TemporaryDirectory() as folder:
                write_pictures(Path(folder), self.sets.of(config).image_set.shown, ids)
                return _size_of(Path(folder)) / len(ids)

        return self._once(["picture", config["source"]["set"]], measure)

    def _net(self, model: dict[str, Any]) -> nn.Module:
        def build() -> nn.Module:
            return build_model(model["model"], **network_of(model)).model.to(best_device())

        return self._once(["net", *_network(model)], build)

    def _arrays(self, config: dict[str, Any], ids: list[str], size: int) -> tuple[Arrays, float, float]:
        """Some images as the cache would hold them, with seconds and bytes of each."""

        def measure() -> tuple[Arrays, float, float]:
            opened = self.sets.of(config)
            with tempfile.TemporaryDirectory() as folder:  # a mapped file may lose its name
                started = time.perf_counter()
                arrays = load_arrays(opened.image_set, ids, size, Path(folder), opened.digests)
                seconds = time.perf_counter() - started
                return arrays, seconds / len(ids), _size_of(Path(folder)) / len(ids)

        return self._once(["arrays", *self._kind(config), ids, size], measure)

    def _kind(self, config: dict[str, Any]) -> list[Any]:
        """What the cost of an image depends on: its set, what is painted over it, at whatever severity, and what is
        removed."""
        source = config["source"]
        return [source["set"], source.get("artifact", {}).get("kind"), source.get("hair_removal")]

    def _once(self, key: list[Any], measure: Callable[[], Any]) -> Any:
        name = short_id(key)
        if name not in self.known:
            try:
                with quietly():
                    self.known[name] = measure()
            except Exception as error:
                self.known[name] = error
        if isinstance(self.known[name], Exception):
            raise self.known[name]
        return self.known[name]


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
