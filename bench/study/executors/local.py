"""Jobs on this machine: one after the other in this process, or several at once, each in a process of its own."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from multiprocessing.managers import SyncManager
from typing import Any

import torch

from ...errors import MedbenchError
from ...store.folder import Store
from ..planning import Job
from ..trials import Event, Listen, Place
from .guard import BUSY, FAILED, LOOK_AGAIN_S, Work, failure, guarded

VISIBLE = "CUDA_VISIBLE_DEVICES"


class Local:
    """Up to `at_once` processes; where there are several GPUs, they take turns on them."""

    def __init__(self, at_once: int = 1) -> None:
        self.at_once = at_once

    def __call__(
        self, jobs: Sequence[Job], place: Place, listen: Listen, *, work: Work, alone: bool = False
    ) -> list[Job]:
        """Works on all jobs; see `Execute`.

        A job that another run is at waits until that one is done, then has nothing left to do. Ctrl-C ends the running
        jobs; what they had committed stays.
        """
        if alone or self.at_once == 1 or len(jobs) == 1:
            return _one_by_one(jobs, place, listen, work)
        return _side_by_side(jobs, place, listen, work, self.at_once)


def _side_by_side(jobs: Sequence[Job], place: Place, listen: Listen, work: Work, at_once: int) -> list[Job]:
    gpus = visible_gpus()
    context = _context(on_gpus=bool(gpus))
    manager = SyncManager(ctx=context)
    with _deaf_to_interrupts():
        manager.start(_end_with_parent)
    events = manager.Queue()
    teller = threading.Thread(target=_pass_on, args=(events, listen), daemon=True)
    teller.start()
    store, waiting, failed = Store(place.store), deque(jobs), list[Job]()
    running: dict[int, tuple[SpawnProcess | ForkServerProcess, Job, int]] = {}
    try:
        while waiting or running:
            for _ in range(len(waiting)):
                job = waiting.popleft()
                free = set(range(at_once)) - {slot for *_, slot in running.values()}
                if not free or store.is_claimed(job.id):
                    waiting.append(job)
                    continue
                slot = min(free)
                process = context.Process(target=_in_process, args=(work, job, place, _Sender(events)))
                with _deaf_to_interrupts(), _seeing(gpus[slot % len(gpus)] if gpus else None):
                    process.start()
                running[process.sentinel] = (process, job, slot)
            if not running:
                time.sleep(LOOK_AGAIN_S)
            for sentinel in wait(list(running), LOOK_AGAIN_S):
                assert isinstance(sentinel, int)
                process, job, _ = running.pop(sentinel)
                process.join()
                if process.exitcode == BUSY:
                    waiting.append(job)
                elif process.exitcode:
                    failed.append(job)
                if process.exitcode not in (0, FAILED, BUSY):  # killed, or out of memory: it could not tell itself
                    events.put(failure(job, MedbenchError(f"its process ended with code {process.exitcode}")))
    finally:
        for process, *_ in running.values():
            process.terminate()
            process.join()
        events.put(None)
        teller.join()
        manager.shutdown()
    return failed


def _context(*, on_gpus: bool) -> SpawnContext | ForkServerContext:
    """How processes come to be: on a CPU as copies of one that has imported what a trial needs, which takes seconds. A
    GPU is chosen in the environment, of which such a copy would see an old one."""
    if on_gpus or sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["medbench.bench.study.trials", "medbench.datasets.augment"])
    return context


def visible_gpus() -> list[str]:
    """The names by which CUDA_VISIBLE_DEVICES knows the GPUs that this process may use."""
    named = os.environ.get(VISIBLE)
    n = torch.cuda.device_count()
    return [each.strip() for each in named.split(",")][:n] if named else [str(i) for i in range(n)]


def _one_by_one(jobs: Sequence[Job], place: Place, listen: Listen, work: Work) -> list[Job]:
    waiting, failed = deque(jobs), list[Job]()
    while waiting:
        n_waiting = len(waiting)
        for _ in range(n_waiting):
            job = waiting.popleft()
            code = guarded(work, job, place, listen)
            if code == BUSY:
                waiting.append(job)
            elif code == FAILED:
                failed.append(job)
        if len(waiting) == n_waiting:
            time.sleep(LOOK_AGAIN_S)
    return failed


@contextmanager
def _deaf_to_interrupts() -> Generator[None]:
    """While a child starts: it inherits the deafness, so that the parent alone answers Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _seeing(gpu: str | None) -> Generator[None]:
    """While a child starts: it sees this GPU alone."""
    before = os.environ.get(VISIBLE)
    if gpu is not None:
        os.environ[VISIBLE] = gpu
    try:
        yield
    finally:
        if gpu is not None:
            os.environ.pop(VISIBLE)
            if before is not None:
                os.environ[VISIBLE] = before


def _end_with_parent() -> None:
    """Ends this process when the one that started it does, though that be killed and cannot end its children."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(FAILED)

    threading.Thread(target=watch, daemon=True).start()


def _in_process(work: Work, job: Job, place: Place, listen: Listen) -> None:
    _end_with_parent()
    sys.exit(guarded(work, job, place, listen))


class _Sender:
    """Puts events into the queue of the parent process."""

    def __init__(self, events: Any) -> None:
        self.events = events

    def __call__(self, event: Event) -> None:
        self.events.put(event)


def _pass_on(events: Any, listen: Listen) -> None:
    while (event := events.get()) is not None:
        listen(event)
