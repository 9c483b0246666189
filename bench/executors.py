"""Where jobs run: one after the other in this process, or several at once in a pool of processes."""

import multiprocessing
import threading
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any

from .planning import Job
from .trials import Event, Listen, Place, run_job


def run_jobs(jobs: Sequence[Job], place: Place, listen: Listen, *, at_once: int) -> list[Job]:
    """Runs all jobs and gives back those that failed; a failure stops no other job and is told as an event."""
    if at_once == 1 or len(jobs) == 1:
        return [job for job in jobs if not _guarded(job, place, listen)]
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        events = manager.Queue()
        teller = threading.Thread(target=_pass_on, args=(events, listen), daemon=True)
        teller.start()
        with ProcessPoolExecutor(at_once, mp_context=context) as pool:
            futures = {pool.submit(_guarded, job, place, _Sender(events)): job for job in jobs}
            failed = [job for job, succeeded in _outcomes(futures, listen) if not succeeded]
        events.put(None)
        teller.join()
    return failed


def _outcomes(futures: dict["Future[bool]", Job], listen: Listen) -> Iterator[tuple[Job, bool]]:
    for future in as_completed(futures):
        job = futures[future]
        try:
            yield job, future.result()
        except Exception as error:  # the process died: killed, or out of memory
            listen(Event("failed", job.id, job.cell.label, {"error": f"its process ended ({error})", "traceback": ""}))
            yield job, False


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
