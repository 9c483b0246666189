"""Where jobs run: one after the other in this process, or several at once, each in a process of its own."""

import multiprocessing
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any

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
                    error = {"error": f"its process ended with code {process.exitcode}", "traceback": ""}
                    events.put(Event("failed", job.id, job.cell.label, error))
    finally:
        for process, _ in running.values():
            process.terminate()
            process.join()
        events.put(None)
        teller.join()
        manager.shutdown()
    return failed


class _deaf_to_interrupts:
    """While a child starts: it inherits the deafness, so that the parent alone answers Ctrl-C."""

    def __enter__(self) -> None:
        self.before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self.before)


def _in_process(job: Job, place: Place, listen: Listen) -> None:
    sys.exit(0 if _guarded(job, place, listen) else 1)


def _guarded(job: Job, place: Place, listen: Listen) -> bool:
    """Runs a job; whatever goes wrong in it becomes an event, because the other jobs go on."""
    try:
        run_job(job, place, listen)
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        listen(Event("failed", job.id, job.cell.label, {"error": text, "traceback": traceback.format_exc()}))
        return False
    return True


class _Sender:
    """Puts events into the queue of the parent process."""

    def __init__(self, events: Any) -> None:
        self.events = events

    def __call__(self, event: Event) -> None:
        self.events.put(event)


def _pass_on(events: Any, listen: Listen) -> None:
    while (event := events.get()) is not None:
        listen(event)
