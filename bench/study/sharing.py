"""How trials share a machine: how many threads each, and how many at once.

On a CPU a trial has one thread unless OMP_NUM_THREADS says otherwise: small models gain little from a second one, two
trials side by side do more than one after the other (`tests/benchmarks/jobs.py`), and a trial's bytes depend on its
threads, which so are the same on every machine.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..store.provenance import n_cores

if TYPE_CHECKING:
    from .planning import Job

PROCESS_BYTES = 1e9  # of a trial's process with torch and its model in it; measured: 0.84 GB
PIXEL_BYTES = 6000  # of a training, for each pixel of a batch; measured: MedLiteNet 2,800, U-Net 3,500, U-Net++ 5,800


def threads_for(at_once: int, n_gpus: int) -> int:
    """Threads of each of so many trials: OMP_NUM_THREADS where it is set; else one on a CPU, and an equal share of the
    cores beside a GPU, for its loader."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    if named.isdigit() and int(named) > 0:
        return int(named)
    return max(1, free_cores() // at_once) if n_gpus else 1


def trials_at_once(jobs: "Sequence[Job]", n_gpus: int) -> int:
    """How many trials fit: one a GPU where there is one, else as many as cores and free memory allow, each taken to
    need what the largest does."""
    if n_gpus:
        return n_gpus
    fitting = [free_cores() // threads_for(1, n_gpus)]
    pixels = [job.config["training"]["batch_size"] * job.config["size"] ** 2 for job in jobs if not job.is_ensemble]
    if (free := free_memory()) is not None:
        fitting.append(int(free / (PROCESS_BYTES + PIXEL_BYTES * max(pixels, default=0))))
    return max(1, min(fitting))


def free_cores(root: Path = Path("/")) -> int:
    """Processors that this process may use, and no more than its control groups let it have time for."""
    shares = [n_cores()]
    for group in _groups(root):
        if limit := _numbers(group / "cpu.max"):  # microseconds of processor time in each period of so many
            shares.append(int(limit[0] / limit[1]))
    return max(1, min(shares))


def free_memory(root: Path = Path("/")) -> float | None:
    """Bytes that this process and its children may still take; None where the system does not tell."""
    try:
        lines = (root / "proc/meminfo").read_text(encoding="utf-8").splitlines()
        free = [float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        return None
    for group in _groups(root):
        for limit, used in zip(_numbers(group / "memory.max"), _numbers(group / "memory.current"), strict=False):
            free.append(limit - used)
    return min(free, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control group and of those around it, as cgroup v2 has them."""
    top = root / "sys/fs/cgroup"
    with suppress(OSError, StopIteration):
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        own = top / next(line for line in lines if line.startswith("0::")).removeprefix("0::").lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _numbers(path: Path) -> list[float]:
    """The numbers of a control group's file; none where it is not there or sets no limit ("max")."""
    with suppress(OSError, ValueError):
        return [float(word) for word in path.read_text(encoding="utf-8").split()]
    return []
