"""One job, guarded: whatever goes wrong in it is told and recorded, and becomes a code, because others go on."""

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from ...errors import MedbenchError
from ...quiet import quietly
from ...store.folder import BusyError, Store
from ...store.records import write_json
from ..planning import Job
from ..timing_job import time_study
from ..trials import Event, Listen, Place

BUSY, FAILED = 75, 1  # exit codes of a job; 0 is success
LOOK_AGAIN_S = 1.0  # for jobs that another run is at
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}

Work = Callable[[Job, Place, Listen], None]  # a function that a process can find by its name: run_job, time_study


def guarded(work: Work, job: Job, place: Place, listen: Listen) -> int:
    """Works on a job and gives 0, FAILED or BUSY. What the job itself did wrong is recorded in the store, so that the
    next run does not try it again; a disk that took no more is not the job's fault."""
    store = Store(place.store)
    listen = _Logged(store.log(job.id), listen)
    try:
        with quietly():  # networks print and warn as they like
            work(job, place, listen)
    except BusyError as error:
        listen(Event("busy", job.id, job.cell.label, {"why": str(error)}))
        return BUSY
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            listen(failure(job, MedbenchError(f"{error.filename or place.store}: {error.strerror}")))
            return FAILED
        told = failure(job, error)
        record = store.failure(job.id)
        with suppress(OSError):
            if work is not time_study and not record.is_file():  # trials that cannot be timed are finished all the same
                write_json(record, {"trial": job.id, "label": job.cell.label, **told.values})
        listen(told)
        return FAILED
    return 0


def guarded_elsewhere(work: Work, job: Job, place: Place, here: str) -> int:
    """The same on another machine, in whose process the log alone tells; `here` is the folder in which the run was
    started: relative paths begin there, and models of one's own may lie there."""
    os.chdir(here)
    if here not in sys.path:
        sys.path.insert(0, here)
    return guarded(work, job, place, lambda _: None)


def failure(job: Job, error: Exception) -> Event:
    """The event that tells of a failure: the user's mistakes in one line, others with their traceback."""
    if isinstance(error, MedbenchError):
        values = {"error": str(error), "traceback": ""}
    else:
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        values = {"error": text, "traceback": "".join(traceback.format_exception(error))}
    return Event("failed", job.id, job.cell.label, values)


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
