"""Where jobs run: one after the other in this process, or several at once, each in a process of its own."""

import json
import multiprocessing
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from .errors import MedbenchError
from .planning import Job
from .records import write_json
from .store import BusyError, Store
from .trials import Event, Listen, Place, run_job

BUSY, FAILED = 75, 1  # exit codes of a job's process
LOOK_AGAIN_S = 1.0  # for jobs that another run is at


def run_jobs(jobs: Sequence[Job], place: Place, listen: Listen, *, at_once: int) -> list[Job]:
    """Runs all jobs and gives back those that failed; a failure stops no other job and is told as an event.

    A job that another run is at waits until that one is done, then has nothing left to do. Ctrl-C ends the running
    jobs; what they had committed stays.
    """
    if at_once == 1 or len(jobs) == 1:
        return _one_by_one(jobs, place, listen)
    context = multiprocessing.get_context("spawn")
    with _deaf_to_interrupts():
        manager = context.Manager()
    events = manager.Queue()
    teller = threading.Thread(target=_pass_on, args=(events, listen), daemon=True)
    teller.start()
    store, waiting, running = Store(place.store), deque(jobs), dict[int, tuple[SpawnProcess, Job]]()
    failed: list[Job] = []
    try:
        while waiting or running:
            for _ in range(len(waiting)):
                job = waiting.popleft()
                if len(running) == at_once or store.is_claimed(job.id):
                    waiting.append(job)
                    continue
                process = context.Process(target=_in_process, args=(job, place, _Sender(events)))
                with _deaf_to_interrupts():
                    process.start()
                running[process.sentinel] = (process, job)
            if not running:
                time.sleep(LOOK_AGAIN_S)
            for sentinel in wait(list(running), LOOK_AGAIN_S):
                assert isinstance(sentinel, int)
                process, job = running.pop(sentinel)
                process.join()
                if process.exitcode == BUSY:
                    waiting.append(job)
                elif process.exitcode:
                    failed.append(job)
                if process.exitcode not in (0, FAILED, BUSY):  # killed, or out of memory: it could not tell itself
                    events.put(failure(job, MedbenchError(f"its process ended with code {process.exitcode}")))
    finally:
        for process, _ in running.values():
            process.terminate()
            process.join()
        events.put(None)
        teller.join()
        manager.shutdown()
    return failed


def _one_by_one(jobs: Sequence[Job], place: Place, listen: Listen) -> list[Job]:
    waiting, failed = deque(jobs), list[Job]()
    while waiting:
        n_waiting = len(waiting)
        for _ in range(n_waiting):
            job = waiting.popleft()
            code = _guarded(job, place, listen)
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


def _in_process(job: Job, place: Place, listen: Listen) -> None:
    sys.exit(_guarded(job, place, listen))


def _guarded(job: Job, place: Place, listen: Listen) -> int:
    """Runs a job and gives 0, FAILED or BUSY; whatever goes wrong in it becomes an event and a record in the store,
    because the other jobs go on."""
    store = Store(place.store)
    listen = _Logged(store.log(job.id), listen)
    try:
        run_job(job, place, listen)
    except BusyError:
        listen(Event("busy", job.id, job.cell.label))
        return BUSY
    except Exception as error:
        told = failure(job, error)
        record = store.failure(job.id)
        with suppress(OSError):  # a full disk, say; the event tells
            if not record.is_file():
                write_json(record, {"trial": job.id, "label": job.cell.label, **told.values})
        listen(told)
        return FAILED
    return 0


def failure(job: Job, error: Exception, doing: str = "") -> Event:
    """The event that tells of a failure: the user's mistakes in one line, others with their traceback."""
    if isinstance(error, MedbenchError):
        values = {"error": str(error), "traceback": ""}
    else:
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        values = {"error": text, "traceback": "".join(traceback.format_exception(error))}
    return Event("failed", job.id, f"{job.cell.label}{doing}", values)


class _Logged:
    """Writes events to a trial's log, but for those that only move a bar, and passes all on."""

    def __init__(self, path: Path, listen: Listen) -> None:
        self.path = path
        self.listen = listen

    def __call__(self, event: Event) -> None:
        if event.kind not in ("step", "image", "busy"):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            with suppress(OSError):  # a log is no reason to lose a training
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"time": now, "event": event.kind, **event.values}, default=str) + "\n")
        self.listen(event)


class _Sender:
    """Puts events into the queue of the parent process."""

    def __init__(self, events: Any) -> None:
        self.events = events

    def __call__(self, event: Event) -> None:
        self.events.put(event)


def _pass_on(events: Any, listen: Listen) -> None:
    while (event := events.get()) is not None:
        listen(event)
