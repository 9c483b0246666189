"""Trials as Slurm jobs, through submitit. One that runs into its time limit or is preempted is queued again and goes
on from the trial's checkpoint."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import MedbenchError, first_line
from ..planning import Job
from ..trials import Place
from . import Resources
from .cluster import Cluster, Lost
from .guard import Work, guarded_elsewhere

DAY_MIN = 24 * 60
TIMEOUTS = 1000  # a trial goes on as often as it runs into its limit


def on_slurm(
    resources: Resources, logs: Path, settings: Sequence[str] = (), *, cluster: str | None = "slurm"
) -> Cluster:
    """An executor that submits to Slurm.

    Args:
        resources: what one trial asks for.
        logs: a folder of the shared store for what Slurm's jobs print.
        settings: KEY=VALUE of submitit's options without their prefix: partition=gpu, time=240 (minutes), and
            exclusive=true for a flag without value.
        cluster: submitit's name of the scheduler; "local" runs jobs as processes of this machine.

    Raises:
        MedbenchError: submitit is not installed, there is no Slurm here, or a setting is not known.
    """
    try:
        submitit = importlib.import_module("submitit")
    except ImportError as error:
        raise MedbenchError("--executor slurm needs submitit: pip install 'medbench[slurm]'") from error
    try:
        executor = submitit.AutoExecutor(folder=logs / "%j", cluster=cluster, slurm_max_num_timeout=TIMEOUTS)
    except RuntimeError as error:
        raise MedbenchError(f"--executor slurm: no Slurm on this machine ({error}); run it where sbatch is") from error
    asked: dict[str, Any] = {"cpus_per_task": resources.cpus, "timeout_min": DAY_MIN}
    if resources.gpus:
        if resources.gpus % 1:
            raise MedbenchError(f"--gpus {resources.gpus:g}: Slurm gives whole GPUs to a job")
        asked["gpus_per_node"] = int(resources.gpus)
    if resources.memory_gb:
        asked["mem_gb"] = resources.memory_gb
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise MedbenchError(f"--slurm {setting}: say KEY=VALUE, as in partition=gpu")
        asked[f"slurm_{key}"] = True if value == "true" else int(value) if value.isdigit() else value
    try:
        executor.update_parameters(**asked)
    except (NameError, TypeError) as error:  # how submitit says that it does not know a name
        raise MedbenchError(f"--slurm: {first_line(error)}") from error
    return Cluster(_Slurm(executor, submitit))


class _Slurm:
    def __init__(self, executor: Any, submitit: Any) -> None:
        self.executor = executor
        self.submitit = submitit

    def submit(self, work: Work, job: Job, place: Place) -> Any:
        self.executor.update_parameters(name=f"medbench-{job.id}")
        return self.executor.submit(_Task(work, job, place))

    def code(self, handle: Any) -> int | None:
        if not handle.done():
            return None
        try:
            return handle.result()
        except Exception as error:  # submitit raises what it finds: the job's own error, or that it left no result
            raise Lost(f"job {handle.job_id} ended in state {handle.state}; see {handle.paths.stderr}") from error

    def cancel(self, handle: Any) -> None:
        handle.cancel(check=False)


class _Task:
    """A trial that submitit may interrupt and queue again."""

    def __init__(self, work: Work, job: Job, place: Place) -> None:
        self.work = work
        self.job = job
        self.place = place
        self.here = str(Path.cwd())

    def __call__(self) -> int:
        return guarded_elsewhere(self.work, self.job, self.place, self.here)

    def checkpoint(self) -> Any:
        """Called by submitit when the job must end; every epoch is on disk already."""
        return importlib.import_module("submitit").helpers.DelayedSubmission(self)
