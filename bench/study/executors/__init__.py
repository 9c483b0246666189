"""Where jobs run: in this process, in processes of this machine, on a Ray cluster, or as Slurm jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..planning import Job
from ..trials import Listen, Place
from .guard import Work


@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial asks of a cluster: processors, GPUs (a fraction shares one), and memory in GB where it matters."""

    cpus: int = 1
    gpus: float = 0.0
    memory_gb: float | None = None


class Execute(Protocol):
    """Does `work` for each job, tells what happens, and gives back the jobs that failed."""

    def __call__(
        self, jobs: Sequence[Job], place: Place, listen: Listen, *, work: Work, alone: bool = False
    ) -> list[Job]:
        """A failure stops no other job. With `alone`, no two jobs are worked on at the same time."""
        ...
