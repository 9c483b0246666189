"""Where jobs run: one after the other in this process, or several at once, each in a process of its own."""

import multiprocessing
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any

from .errors import MedbenchError
from .planning import Job
from .trials import Event, Listen, Place, run_job


def run_jobs(jobs: Sequence[Job], place: Place, listen: Listen, *, at_once: int) -> list[Job]:
    """Runs all jobs and gives back those that failed; a failure stops no other job and is told as an event.

    Ctrl-C ends the running jobs; what they had committed stays.
    """
    if at_once == 1 or len(jobs) == 1:
        return [job for job in jobs if not _guarded(job, place, listen)]
    context = multiprocessing.get_context("spawn")
    with _deaf_to_interrupts():
        manager = context.Manager()
    events = manager.Queue()
    teller = threading.Thread(target=_pass_on, args=(events, listen), daemon=True)
    teller.start()
    waiting, running = deque(jobs), dict[int, tuple[SpawnProcess, Job]]()
    failed: list[Job] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.popleft()
                process = context.Process(target=_in_process, args=(job, place, _Sender(events)))
                with _deaf_to_interrupts():
                    process.start()
                running[process.sentinel] = (process, job)
            for sentinel in wait(list(running)):
                assert isinstance(sentinel, int)
                process, job = running.pop(sentinel)
                process.join()
                if process.exitcode:
                    failed.append(job)
                if process.exitcode not in (0, 1):  # killed, or out of memory: it could not tell itself
                    events.put(failure(job, MedbenchError(f"its process ended with code {process.exitcode}")))
    finally:
        for process, _ in running.values():
            process.terminate()
            process.join()
        events.put(None)
        teller.join()
        manager.shutdown()
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
    sys.exit(0 if _guarded(job, place, listen) else 1)


def _guarded(job: Job, place: Place, listen: Listen) -> bool:
    """Runs a job; whatever goes wrong in it becomes an event, because the other jobs go on."""
    try:
        run_job(job, place, listen)
    except Exception as error:
        listen(failure(job, error))
        return False
    return True


def failure(job: Job, error: Exception, doing: str = "") -> Event:
    """The event that tells of a failure: the user's mistakes in one line, others with their traceback."""
    if isinstance(error, MedbenchError):
        values = {"error": str(error), "traceback": ""}
    else:
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        values = {"error": text, "traceback": "".join(traceback.format_exception(error))}
    return Event("failed", job.id, f"{job.cell.label}{doing}", values)


class _Sender:
    """Puts events into the queue of the parent process."""

    def __init__(self, events: Any) -> None:
        self.events = events

    def __call__(self, event: Event) -> None:
        self.events.put(event)


def _pass_on(events: Any, listen: Listen) -> None:
    while (event := events.get()) is not None:
        listen(event)
