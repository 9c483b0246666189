"""The store: the folder of finished trials and their evaluations. Train once, evaluate many times."""

import glob
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from ..errors import MedbenchError
from .records import damage, is_sealed, is_sound, read_json, read_yaml, short_id, write_bytes, write_text

if TYPE_CHECKING:  # both take a second to import, and `medbench status` needs neither
    import pandas as pd
    from torch import Tensor

WEIGHTS = "weights.safetensors"  # in a trial's folder
AS_MADE = "published.json"  # in that of a trial or an evaluation from a published result
PROTOCOL = 2  # of trainings: raised whenever one configuration comes to mean another training


class BusyError(Exception):
    """Another process works on the same thing."""


def trial_id(config: Mapping[str, Any]) -> str:
    """The id of a resolved configuration.

    `source` says where things were found and how they are called there, not what they are, and is left out.
    """
    return short_id({key: value for key, value in config.items() if key != "source"})


def evaluation_id(config: Mapping[str, Any]) -> str:
    """The id of an evaluation: its trial, the test images' content, and the scoring; where there are tasks also what is
    known of these images as a whole, and the size of a pixel where the set says it. Its name does not count."""
    keys = ("scoring", "trial", "images_digest", "score_at", "labels_digest", "spacing")
    return short_id({key: config[key] for key in keys if key in config})


class Store:
    """Paths and states below one folder, laid out as docs/reference/store.md shows."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def study(self, name: str) -> Path:
        """The file of a resolved study."""
        return self.root / "studies" / f"{name}.yaml"

    def studies(self) -> list[str]:
        """The names of the store's studies."""
        return sorted(path.stem for path in (self.root / "studies").glob("*.yaml"))

    def check_study(self, name: str) -> None:
        """MedbenchError where the store has no study of that name."""
        if not self.study(name).is_file():
            raise MedbenchError(f"{self.root}: no study {name!r}; it has {', '.join(self.studies()) or 'none'}")

    def trial(self, id: str) -> Path:
        """The folder of a trial."""
        return self.root / "trials" / id

    def evaluation(self, trial: str, id: str) -> Path:
        """The folder of an evaluation."""
        return self.trial(trial) / "evaluations" / id

    def latency(self, study: str, machine: str) -> Path:
        """The timings of a study's models on a machine."""
        return self.root / "latency" / study / f"{machine}.json"

    def deployment(self, study: str, machine: str) -> Path:
        """What a study's models cost and lose in other runtimes on a machine."""
        return self.root / "deployment" / study / f"{machine}.json"

    def trial_named(self, text: str) -> str:
        """The id of the finished trial whose id begins so; MedbenchError where there is no store, or not one trial."""
        if not (self.root / "trials").is_dir():
            raise MedbenchError(f"{self.root}: no trials/ there; name the store that `medbench run --store` wrote")
        paths = sorted((self.root / "trials").glob(f"{glob.escape(text.lower())}*"))
        found = [path.name for path in paths if self.has_trial(path.name)]
        if len(found) > 1:
            raise MedbenchError(f"{self.root}: several trials begin with {text!r}: {', '.join(found[:5])}")
        if not found:
            raise MedbenchError(
                f"{self.root}: no finished trial begins with {text!r}; `medbench run --dry-run` and reports list them"
            )
        return found[0]

    def check(self, trial: str) -> None:
        """MedbenchError where a file of a finished trial is not what was written."""
        if damaged := damage(self.trial(trial)):
            raise MedbenchError(f"{damaged[0]}; `medbench verify --set-aside` and another run make the trial again")

    def gallery(self, digest: str) -> Path:
        """Small copies of the images of one test set."""
        return self.root / "gallery" / digest

    def annotations(self, digest: str) -> Path:
        """What is known of the images of one test set."""
        return self.root / "annotations" / f"{digest}.json"

    def groups(self, digest: str) -> Path:
        """Which images of one test set belong together."""
        return self.root / "groups" / f"{digest}.json"

    def checkpoint(self, trial: str) -> Path:
        """The state of a trial that is being trained."""
        return self.root / "running" / f"{trial}.safetensors"

    def log(self, trial: str) -> Path:
        """What happened to a trial and when, a line of JSON an event."""
        return self.root / "logs" / f"{trial}.jsonl"

    def failure(self, trial: str) -> Path:
        """What went wrong with a trial when it was last tried."""
        return self.root / "failed" / f"{trial}.json"

    @contextmanager
    def claimed(self, name: str, *, wait: bool = False) -> Generator[None]:
        """Keeps other processes, of this machine or of any that shares the folder, from what is called `name`, a trial
        say; the system lets go when the process ends, however it ends.

        Raises:
            BusyError: another process is at it, and `wait` is False.
        """
        path = self.root / "running" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=wait)
        except Timeout as error:
            raise BusyError(f"{name} is being worked on by another process") from error
        try:
            self._device(name).unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def is_claimed(self, name: str) -> bool:
        """Whether another process is at it."""
        if not (self.root / "running" / f"{name}.lock").exists():
            return False
        try:
            with self.claimed(name):
                return False
        except BusyError:
            return True

    def note_device(self, trial: str, device: str) -> None:
        """Says on which device a trial, which is claimed, is being trained; the next claim forgets it."""
        write_text(self._device(trial), device)

    def others_at_work(self, trial: str, device: str) -> bool:
        """Whether any trial but this one is being worked on, on this device or on one that is not known."""
        names = (path.stem for path in (self.root / "running").glob("*.lock"))
        known = {name: self._device(name) for name in names if name != trial and self.is_claimed(name)}
        return any(not path.is_file() or path.read_text() == device for path in known.values())

    def _device(self, name: str) -> Path:
        return self.root / "running" / f"{name}.device"

    def clear_leftovers(self, trial: str) -> None:
        """Removes what killed processes left half written of a trial; call it with the trial claimed."""
        own = f".{trial}.*.tmp"
        for leftover in (
            *(self.root / "trials").glob(own),
            *(self.root / "running").glob(own),
            *(self.trial(trial) / "evaluations").glob(".*.tmp"),
        ):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    def set_aside(self, folder: Path) -> Path:
        """Moves a damaged folder of this store out of the way, to damaged/, where nobody reads it."""
        place = self.root / "damaged" / "-".join(folder.relative_to(self.root).parts[1:])
        place.parent.mkdir(parents=True, exist_ok=True)
        free = (path for n in count() if not (path := place.with_name(f"{place.name}.{n}")).exists())
        return folder.rename(next(free))

    def has_trial(self, id: str) -> bool:
        """Whether the trial is finished."""
        return is_sealed(self.trial(id))

    def has_evaluation(self, trial: str, id: str) -> bool:
        """Whether the evaluation is finished."""
        return is_sealed(self.evaluation(trial, id))

    def is_sound(self, trial: str, evaluation: str | None = None) -> bool:
        """Whether a trial, or an evaluation of it, is finished and its numbers are what was written. Weights, which are
        read where they are used, and pictures, which are many, count by their sizes."""
        return is_sound(self.trial(trial) if evaluation is None else self.evaluation(trial, evaluation))

    def config(self, trial: str) -> dict[str, Any]:
        """The resolved configuration of a finished trial."""
        return read_yaml(self.trial(trial) / "config.yaml")

    def weights(self, trial: str) -> "dict[str, Tensor]":
        """The weights of a finished trial; MedbenchError where there are none."""
        from safetensors.torch import load_file

        path = self.trial(trial) / WEIGHTS
        if as_made(path.parent):
            raise MedbenchError(
                f"{path}: there is none, the trial is from a published result; move {path.parent} away, and "
                "`medbench run` trains it again"
            )
        if not path.is_file():
            raise MedbenchError(f"{path}: missing; `medbench run` trains the trial again")
        return load_file(path)

    def history(self, trial: str) -> "pd.DataFrame":
        """One row an epoch of a finished trial."""
        import pandas as pd

        return pd.read_parquet(self.trial(trial) / "history.parquet")

    def environment(self, trial: str) -> dict[str, Any]:
        """Where a finished trial was made."""
        return read_json(self.trial(trial) / "environment.json")

    def validation_dice(self, trial: str) -> float:
        """Validation Dice of the weights that the trial kept."""
        dice = self.history(trial)["validation_dice"].to_list()
        return dice[-1] if self.config(trial)["training"]["checkpoint"] == "last" else max(dice)


def as_made(folder: Path) -> dict[str, str] | None:
    """Of a trial or an evaluation from a published result the SHA-256 of each file that it had where it was made, of
    the weights too, which it has no more; None of any other."""
    return read_json(path) if (path := folder / AS_MADE).is_file() else None


def is_published(folder: Path) -> bool:
    """Whether a folder is what `medbench publish` writes, and no store."""
    return (folder / "trials.json").is_file()


def check_writable(folder: Path, remedy: str) -> None:
    """Makes the folder if need be; MedbenchError where nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MedbenchError(f"{folder}: cannot be written to ({error.strerror}); {remedy}") from error


def check_writable_file(path: Path) -> None:
    """Makes the folder of a file if need be; MedbenchError where the file cannot be written."""
    if path.is_dir():
        raise MedbenchError(f"{path}: is a folder; name the file to write")
    check_writable(path.parent, "name another file with -o")


def save_weights(path: Path, weights: "dict[str, Tensor]") -> None:
    """Writes a safetensors file."""
    from safetensors.torch import save

    write_bytes(path, save({name: tensor.contiguous() for name, tensor in weights.items()}))
