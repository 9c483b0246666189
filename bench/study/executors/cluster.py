"""Jobs that a cluster's scheduler places: submit, follow their logs in the shared store, and take in their ends."""

import json
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...errors import MedbenchError
from ...store.folder import Store
from ..planning import Job
from ..trials import Event, Listen, Place
from .guard import BUSY, FAILED, LOOK_AGAIN_S, Work, failure

POLL_S = 0.5


class Lost(Exception):
    """The scheduler gave a job up: its node or its process died more often than it is tried again."""


class Scheduler(Protocol):
    """What places jobs. Handles are the scheduler's own."""

    def submit(self, work: Work, job: Job, place: Place, /) -> Any:
        """Hands over a job, whose end is the code of `guarded`."""
        ...

    def code(self, handle: Any, /) -> int | None:
        """The code of a job that has ended, None before; `Lost` where there is none to come."""
        ...

    def cancel(self, handle: Any, /) -> None:
        """Ends a job."""
        ...


class Cluster:
    """An executor over a scheduler. The store must be a folder that all machines share, locks included."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def __call__(
        self, jobs: Sequence[Job], place: Place, listen: Listen, *, work: Work, alone: bool = False
    ) -> list[Job]:
        """Works on all jobs; see `Execute`. When this process is stopped, its jobs are cancelled; what they had
        committed stays."""
        store, waiting, running = Store(place.store), deque(jobs), dict[str, _Submitted]()
        failed: list[Job] = []
        try:
            while waiting or running:
                for _ in range(len(waiting)):
                    job = waiting.popleft()
                    if (alone and running) or store.is_claimed(job.id):
                        waiting.append(job)
                        continue
                    tail = _Tail(store.log(job.id))
                    running[job.id] = _Submitted(job, self.scheduler.submit(work, job, place), tail)
                for each in list(running.values()):
                    lost = ""
                    try:
                        code = self.scheduler.code(each.handle)
                    except Lost as error:
                        code, lost = FAILED, str(error)
                    for event in each.tail.read(each.job):  # after its end was seen, so that nothing is missed
                        each.told.add(event.kind)
                        listen(event)
                    if code is None:
                        continue
                    del running[each.job.id]
                    if code == BUSY:
                        waiting.append(each.job)
                    elif code == FAILED:
                        failed.append(each.job)
                        if "failed" not in each.told:
                            listen(failure(each.job, MedbenchError(lost or "it failed; its log does not say why")))
                time.sleep(POLL_S if running else LOOK_AGAIN_S if waiting else 0)
        finally:
            for each in running.values():
                self.scheduler.cancel(each.handle)
        return failed


@dataclass(slots=True)
class _Submitted:
    job: Job
    handle: Any
    tail: "_Tail"
    told: set[str] = field(default_factory=set)


class _Tail:
    """What is appended to a log from now on, as events."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_until = path.stat().st_size if path.is_file() else 0

    def read(self, job: Job) -> list[Event]:
        if not self.path.is_file():
            return []
        with self.path.open("rb") as file:
            file.seek(self.read_until)
            lines = [line for line in file.readlines() if line.endswith(b"\n")]  # the last may be half written
        self.read_until += sum(map(len, lines))
        events: list[Event] = []
        for line in lines:
            values = json.loads(line)
            kind = values.pop("event")
            del values["time"]
            events.append(Event(kind, job.id, job.cell.label, values))
        return events
