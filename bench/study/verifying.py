"""Is a store what it says: the digest of every file in a sealed folder, and one trial done again from its
configuration."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ablations.schema.grid import Cell
from ..errors import MedbenchError
from ..store.folder import WEIGHTS, Store, as_made, evaluation_id, trial_id
from ..store.records import MANIFEST, damage, file_digest, read_yaml
from .planning import Job

if TYPE_CHECKING:  # both take seconds to import, and reading a store needs neither
    import pandas as pd

    from .trials import Listen, Place

TIMES = {"seconds", "images_per_second"}  # of the history: no rerun gives them again
TABLES = ("scores", "classes", "reliability")  # of an evaluation: all numbers but what is said of images as a whole
KEYS = ("image", "name", "bin")  # of their rows, as far as they have them


def finished_folders(store: Store) -> list[Path]:
    """Every sealed folder of the store: trials, then evaluations, then galleries."""
    patterns = ("trials/*", "trials/*/evaluations/*", "gallery/*")
    manifests = [path for pattern in patterns for path in sorted(store.root.glob(f"{pattern}/{MANIFEST}"))]
    return [path.parent for path in manifests if not path.parent.name.startswith(".")]


def damaged_folders(
    store: Store, on_folder: Callable[[int, int], None] = lambda *_: None
) -> Iterator[tuple[Path, list[str]]]:
    """Each sealed folder that differs from its manifest, with a line for each file; also one whose id is not that of
    its configuration."""
    folders = finished_folders(store)
    for done, folder in enumerate(folders, start=1):
        if not folder.exists():  # set aside with its trial
            continue
        try:
            problems = damage(folder) or _wrong_id(folder)
        except MedbenchError as error:
            problems = [str(error)]
        on_folder(done, len(folders))
        if problems:
            yield folder, problems


def _wrong_id(folder: Path) -> list[str]:
    if folder.parent.name == "gallery":
        return []
    config = read_yaml(folder / "config.yaml")
    if folder.parent.name == "evaluations":
        expected = evaluation_id(config) if "scoring" in config else folder.name
    elif "ensemble" in config:  # its weights were found when it was made
        ensemble = {key: value for key, value in config["ensemble"].items() if key != "weights"}
        expected = trial_id({**config, "ensemble": ensemble})
    else:
        expected = trial_id(config)
    return [] if expected == folder.name else [f"{folder}: its configuration has the id {expected}"]


def rerun(store: Store, trial: str, place: "Place", listen: "Listen") -> list[str]:
    """Trains and evaluates a trial again, elsewhere, and says what differs; an empty list where nothing does.

    One from a published result has no weights but the SHA-256 of their file, and scores in single precision: it is
    compared so.

    Args:
        store: where the trial is.
        trial: the id of a finished one.
        place: where data and cache are. Its store is not touched, and the trial has as many threads as it had.
        listen: hears of the progress.

    Raises:
        MedbenchError: it is an ensemble, or its data are not to be had.
    """
    from .trials import run_job

    config, made = store.config(trial), as_made(store.trial(trial))
    if "ensemble" in config:
        members = ", ".join(config["ensemble"]["members"].values())
        raise MedbenchError(f"{trial} is an ensemble, which is not trained; rerun its members {members}")
    evaluations: dict[str, dict[str, Any]] = {}
    for folder in sorted((store.trial(trial) / "evaluations").glob(f"*/{MANIFEST}")):
        if (found := read_yaml(folder.parent / "config.yaml")).get("scoring"):
            name, id = found["name"], folder.parent.name  # other images may have been tested under the same name
            evaluations[f"{name} of {id}" if name in evaluations else name] = {"id": id, **found}
    with tempfile.TemporaryDirectory() as folder:
        again = Store(Path(folder))
        job = Job(Cell(config["model"], config["seed"], None), trial, config, evaluations)
        threads = store.environment(trial)["threads"]  # on which the bytes depend
        run_job(job, replace(place, store=again.root, threads=threads), listen)
        return [
            *_history_differs(store.history(trial), again.history(trial)),
            *(_file_differs(again, trial, made[WEIGHTS]) if made else _weights_differ(store, again, trial)),
            *(
                line
                for name, each in evaluations.items()
                for line in _numbers_differ(
                    name,
                    *(s.evaluation(trial, each["id"]) for s in (store, again)),
                    precision=np.float32 if made else np.float64,
                )
            ),
            *(
                line
                for name, each in evaluations.items()
                if each.get("tasks")
                for line in _labels_differ(name, *(_labels(s, trial, each["id"]) for s in (store, again)))
            ),
        ]


def _history_differs(before: "pd.DataFrame", after: "pd.DataFrame") -> Iterator[str]:
    for row in range(min(len(before), len(after))):
        for column in before.columns:
            old, new = float(before[column].iloc[row]), float(after[column].iloc[row])
            if column not in TIMES and not np.array_equal(old, new, equal_nan=True):
                yield f"history: epoch {row + 1} is the first that differs: {column} {old!r}, now {new!r}"
                return


def _file_differs(store: Store, trial: str, expected: str) -> Iterator[str]:
    found = file_digest(store.trial(trial) / WEIGHTS)
    if found != expected:
        yield f"weights: the SHA-256 of their file was {expected}, now {found}"


def _weights_differ(store: Store, again: Store, trial: str) -> Iterator[str]:
    before, after = store.weights(trial), again.weights(trial)
    apart = {
        name: float((before[name].double() - after[name].double()).abs().max())
        for name in before
        if not before[name].equal(after[name])
    }
    if apart:
        name = max(apart, key=lambda each: apart[each])
        yield f"weights: {len(apart)} of {len(before)} tensors differ, {name} by up to {apart[name]:.3g}"


def _numbers_differ(name: str, before: Path, after: Path, *, precision: type) -> Iterator[str]:
    """A line for each table of two evaluations of one name whose numbers differ."""
    import pandas as pd

    for table in (table for table in TABLES if (before / f"{table}.parquet").is_file()):
        old, new = (pd.read_parquet(each / f"{table}.parquet") for each in (before, after))
        yield from _table_differs(f"{name}: {table}", old, new, precision)


def _table_differs(name: str, before: "pd.DataFrame", after: "pd.DataFrame", precision: type) -> Iterator[str]:
    keys = [key for key in KEYS if key in before]
    if "image" not in keys:  # a published result has sums over images in the place of their bins
        sums: Any = after.groupby(keys).sum(numeric_only=True)
        after = sums.reset_index()
    rows, now = ([*zip(*(table[key] for key in keys), strict=True)] for table in (before, after))
    if rows != now:
        yield f"{name} has other rows: {len(rows)}, now {len(now)}"
        return
    for column in (column for column in before.columns if column not in keys):
        old, new = (table[column].to_numpy(dtype=precision) for table in (before, after))
        differs = ~((old == new) | (np.isnan(old) & np.isnan(new)))
        if differs.any():
            apart = np.where(differs, np.nan_to_num(np.abs(old - new), nan=np.inf), -1)
            worst = int(apart.argmax())
            yield (
                f"{name}: {column} differs in {np.count_nonzero(differs)} of {len(rows)} rows, most in "
                f"{', '.join(map(str, rows[worst]))}: {old[worst]:.6g}, now {new[worst]:.6g}"
            )
            return


def _labels(store: Store, trial: str, evaluation: str) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_parquet(store.evaluation(trial, evaluation) / "labels.parquet").set_index(["task", "image"])


def _labels_differ(name: str, before: "pd.DataFrame", after: "pd.DataFrame") -> Iterator[str]:
    pairs = zip(before["probabilities"], after["probabilities"], strict=True)
    apart = [float(np.abs(old - new).max()) for old, new in pairs]
    if any(apart):
        task, image = before.index[int(np.argmax(apart))]
        yield (
            f"{name}: probabilities of {task} differ on {np.count_nonzero(apart)} of {len(before)} images, most on "
            f"{image}, by {max(apart):.3g}"
        )
