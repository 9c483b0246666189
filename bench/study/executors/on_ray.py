"""Trials as Ray tasks. A task whose worker or node dies is tried again elsewhere, from the trial's checkpoint."""

import importlib
import os
from pathlib import Path
from typing import Any

from ...errors import MedbenchError, first_line
from ..planning import Job
from ..trials import Place
from . import Resources
from .cluster import Cluster, Lost
from .guard import Work, guarded_elsewhere

RETRIES = 10  # of a task whose node was lost; what the trial itself does wrong is no reason to try again


def on_ray(resources: Resources, address: str | None = None) -> Cluster:
    """An executor on the Ray cluster at `address` ("auto" finds the one of this machine), or on a new one of this
    machine alone.

    Raises:
        MedbenchError: Ray is not installed, no cluster answers, or no node has so much to give.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A task that asked for no GPU sees none, and trains on the CPU.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise MedbenchError("--executor ray needs Ray: pip install 'medbench[ray]'") from error
    if not ray.is_initialized():
        try:
            ray.init(
                address=address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise MedbenchError(f"--address {address}: no Ray cluster answers ({error})") from error
    _check_fits(ray.nodes(), resources)
    return Cluster(_Ray(ray, resources))


def _check_fits(nodes: list[dict[str, Any]], wanted: Resources) -> None:
    asked = {"CPU": wanted.cpus, "GPU": wanted.gpus, "memory": (wanted.memory_gb or 0) * 2**30}
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    if not any(all(has.get(name, 0) >= amount for name, amount in asked.items()) for has in alive):
        had = "; ".join(", ".join(f"{node.get(name, 0):g} {name}" for name in ("CPU", "GPU")) for node in alive)
        raise MedbenchError(
            f"no node of the Ray cluster has {wanted.cpus} CPUs, {wanted.gpus:g} GPUs and {wanted.memory_gb or 0:g} GB "
            f"(nodes: {had}); ask for less with --cpus, --gpus and --memory"
        )


class _Ray:
    def __init__(self, ray: Any, resources: Resources) -> None:
        self.ray = ray
        memory = {"memory": int(resources.memory_gb * 2**30)} if resources.memory_gb else {}
        self.task = ray.remote(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            max_retries=RETRIES,
            max_calls=1,  # a process a trial: nothing of one is left for the next
            **memory,
        )(guarded_elsewhere)

    def submit(self, work: Work, job: Job, place: Place) -> Any:
        return self.task.options(name=job.cell.label).remote(work, job, place, str(Path.cwd()))

    def code(self, handle: Any) -> int | None:
        ended, _ = self.ray.wait([handle], timeout=0)
        if not ended:
            return None
        try:
            return self.ray.get(handle)
        except self.ray.exceptions.RayError as error:
            raise Lost(f"Ray gave it up ({first_line(error)})") from error

    def cancel(self, handle: Any) -> None:
        self.ray.cancel(handle, force=True)
