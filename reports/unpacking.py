"""A published result as a store again: whatever reads stores reads it, and a run there goes on from it."""

import json
import re
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from ..bench.errors import MedbenchError
from ..bench.metrics import COUNTS, from_counts
from ..bench.metrics.classes import from_counts_of_classes, over_classes
from ..bench.store.folder import AS_MADE, Store, as_made, is_published
from ..bench.store.records import (
    MANIFEST,
    damage,
    is_sealed,
    read_json,
    read_yaml,
    sealed_folder,
    write_bytes,
    write_json,
    write_text,
)
from .files import read_frame

UNLISTED = "not in the manifest"
SHOWN = 3  # ids named in a message
LISTS = ("train", "validation", "images")  # of a configuration: long, and the same in many
PLACES = ("variant", "seed", "trial")  # of a row: where it comes from
OF_IMAGES = ("annotations", "groups")  # of test images, a file a digest
MEASURED = ("latency", "deployment")  # of a study, a file a machine
READ = {"scores", "classes", "labels", "history.parquet", "reliability.parquet", *OF_IMAGES, *MEASURED}

Parts = dict[tuple[str, str, str], pd.DataFrame]
"""Rows by evaluation, variant and trial."""


@contextmanager
def opened(folders: Sequence[Path]) -> Generator[list[Path]]:
    """Gives stores as they are, and for published results stores with what they hold, which are gone afterwards.

    Raises MedbenchError where a published result is not what its manifest says, or no such thing at all.
    """
    with TemporaryDirectory() as place:
        stores: list[Path] = []
        for position, folder in enumerate(folders):
            store = folder
            if is_published(folder):
                check_files(folder)
                store = Path(place, str(position), folder.resolve().name)  # a store goes by its folder's name
                restore(folder, store)
            stores.append(store)
        yield stores


@contextmanager
def _as_published(folder: Path) -> Generator[None]:
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MedbenchError(f"{folder}: not what `medbench publish` writes ({error!r})") from error


def check_files(folder: Path) -> None:
    """MedbenchError where a file of a published result is not what its manifest says."""
    if wrong := wrong_files(folder):
        raise MedbenchError(f"{wrong[0]}; `medbench verify` names all such files")


def wrong_files(folder: Path) -> list[str]:
    """One line for each file of a published result that is missing or changed, and for each that would be read though
    its manifest does not list it."""
    read = (name for name in unlisted(folder) if Path(name).parts[0] in READ)
    return damage(folder) + [f"{folder / name}: {UNLISTED}" for name in read]


def unlisted(folder: Path) -> list[str]:
    """Names of files in a published result that its manifest does not list; hidden ones are no part of it."""
    listed = {MANIFEST, *read_json(folder / MANIFEST).get("files", {})}
    there = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return [each.as_posix() for each in there if each.as_posix() not in listed and not _is_hidden(each)]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _files(folder: Path, under: str, ending: str) -> list[Path]:
    """The files below a folder of a published result, those that a file manager hid there apart."""
    return [path for path in sorted((folder / under).rglob(f"*{ending}")) if not _is_hidden(path.relative_to(folder))]


def check_store(folder: Path, store: Path) -> None:
    """MedbenchError where a store is, or has, something else than a published result would add: then scores of some
    trainings would meet weights, ensembles or a plan of others."""
    there = Store(store)
    with _as_published(folder):
        study = read_yaml(folder / "study.yaml")
        path = there.study(_name(study["study"]))
        trials = {_name(each["id"]): each["files"] for each in read_json(folder / "trials.json")["trials"]}
        others = [id for id, files in trials.items() if _is_other(there, id, files)]
    if others:
        raise MedbenchError(
            f"{store}: has other trainings of {len(others)} of the {len(trials)} trials of {folder} "
            f"({', '.join(others[:SHOWN])}{', ...' if len(others) > SHOWN else ''}); name a new store with --store"
        )
    if path.exists() and read_yaml(path) != study:
        raise MedbenchError(f"{path}: another study than that of {folder}; name a new store with --store")


def _is_other(store: Store, trial: str, files: dict[str, str]) -> bool:
    """Whether a store has a training, begun or finished, of a trial that ended with other files."""
    place = store.trial(trial)
    is_begun = store.checkpoint(trial).exists() or store.is_claimed(trial)
    return is_begun or (place.exists() and as_made(place) != files)


def incomplete(folder: Path) -> set[str]:
    """The trials of a published result that lack an evaluation of its study, which needs weights, and the ensembles of
    such: they have to be trained again."""
    with _as_published(folder):
        trials, wanted = read_json(folder / "trials.json")["trials"], {*read_yaml(folder / "study.yaml")["evaluations"]}
        found = {each["id"] for each in trials if not wanted <= each["evaluations"].keys()}
        members = {each["id"]: {*each["config"].get("ensemble", {}).get("members", {}).values()} for each in trials}
    return found | {id for id, those in members.items() if those & found}


def restore(folder: Path, store: Path) -> None:
    """Makes the store that a published result is of, as far as it tells: what `unpack` adds, and what had failed."""
    unpack(folder, store)
    with _as_published(folder):
        for trial, error in read_json(folder / "trials.json")["failed"].items():
            write_json(Store(store).failure(_name(trial)), {"error": error})


def unpack(folder: Path, store: Path, *, without: Collection[str] = ()) -> int:
    """Adds to a store, which there need not be, what `packing.pack` wrote, some trials apart: metrics that follow from
    counts are computed anew, and scores of images from those of their classes, where there are several; the others are
    in single precision. There are no weights, masks and images. Gives back the number of trials that are new there.

    Raises MedbenchError where the files are not what `pack` writes.
    """
    new: set[str] = set()
    with _as_published(folder):
        name = _name(read_yaml(folder / "study.yaml")["study"])
        _add(store / "studies" / f"{name}.yaml", folder / "study.yaml")
        ledger = read_json(folder / "trials.json")
        classes, labels = _classes(folder), _labels(folder)
        scores, sums, histories = _scores(folder, classes), _sums(folder), _histories(folder)
        for trial in (each for each in ledger["trials"] if each["id"] not in without):
            place = store / "trials" / _name(trial["id"])
            if not is_sealed(place):
                new.add(trial["id"])
            with sealed_folder(place) as working:
                _write_origin(working, trial, ledger)
                if trial["id"] in histories:
                    histories[trial["id"]].to_parquet(working / "history.parquet", index=False)
            for machine, timing in trial.get("latency", {}).items():
                if not (path := place / "latency" / f"{_name(machine)}.json").exists():
                    write_json(path, timing)
            for label, each in trial["evaluations"].items():
                key = label, trial["variant"], trial["id"]
                with sealed_folder(place / "evaluations" / _name(each["id"])) as working:
                    _write_origin(working, each, ledger)
                    scores[key].to_parquet(working / "scores.parquet", index=False)
                    if key in classes:
                        classes[key].to_parquet(working / "classes.parquet", index=False)
                    if key in labels:
                        labels[key].to_parquet(working / "labels.parquet", index=False)
                    if key in sums:
                        sums[key].to_parquet(working / "reliability.parquet", index=False)
    for what, into in {**{each: each for each in OF_IMAGES}, **{each: f"{each}/{name}" for each in MEASURED}}.items():
        for path in _files(folder, what, ".json"):
            _add(store / into / path.name, path)
    return len(new)


def _name(text: str) -> str:
    """The text, which becomes a name in the store and may not lead elsewhere."""
    if not re.fullmatch(r"[^/\\]*[^/\\.][^/\\]*", text):
        raise ValueError(f"{text!r} is no name")
    return text


def _add(path: Path, source: Path) -> None:
    """A copy at `path`, where there is nothing yet."""
    if not path.exists():
        write_bytes(path, source.read_bytes())


def _write_origin(working: Path, told: dict[str, Any], ledger: dict[str, Any]) -> None:
    """Configuration and environment of a trial or an evaluation, and the digests of its files."""
    config = {key: value for key, value in told["config"].items() if key not in LISTS}
    if sizes := config.get("training", {}).get("progressive_sizes"):  # JSON has texts alone for keys
        config["training"] |= {"progressive_sizes": {float(key): value for key, value in sizes.items()}}
    lists = {key: ledger["lists"][told["config"][key]] for key in LISTS if key in told["config"]}
    plain = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    # Lists of thousands as JSON, which is YAML too, and a hundred times as fast to write.
    write_text(working / "config.yaml", plain + "".join(f"{key}: {json.dumps(ids)}\n" for key, ids in lists.items()))
    write_json(working / "environment.json", ledger["environments"][told["environment"]])
    write_json(working / AS_MADE, told["files"])


def _scores(folder: Path, classes: Parts) -> Parts:
    """The columns of a store's scores.parquet."""
    parts: Parts = {}
    for path in _files(folder, "scores", ".parquet"):
        rows: Any = read_frame(path)
        head = {"image": rows["image"], **{name: rows[name].astype("int64") for name in ("height", "width")}}
        stored = rows.drop(columns=["evaluation", *PLACES, *head]).astype("float64")
        known = {name: stored[name].to_numpy() for name in stored}
        derived = from_counts({name: known[name] for name in COUNTS}) if {*COUNTS} <= known.keys() else {}
        parts |= _parted(pd.DataFrame({**head, **derived, **known}), rows)
    return {key: part.assign(**of_images(classes[key])) if key in classes else part for key, part in parts.items()}


def of_images(classes: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """What the scores of images say that follows from those of their classes, image after image."""
    values = classes.drop(columns=["image", "name"]).astype("float64")
    n_names = len(set(classes["name"]))
    found = over_classes({name: values[name].to_numpy().reshape(-1, n_names) for name in values})
    del found["on_artifact"]  # it is of all classes together
    return found


def _classes(folder: Path) -> Parts:
    """The columns of a store's classes.parquet."""
    parts: Parts = {}
    for path in _files(folder, "classes", ".parquet"):
        rows: Any = read_frame(path)
        stored = rows.drop(columns=["evaluation", *PLACES, "image", "name"]).astype("float64")
        known = {name: stored[name].to_numpy() for name in stored}
        derived = from_counts_of_classes({name: known[name] for name in COUNTS})
        parts |= _parted(pd.DataFrame({"image": rows["image"], "name": rows["name"], **derived, **known}), rows)
    return parts


def _labels(folder: Path) -> Parts:
    parts: Parts = {}
    for path in _files(folder, "labels", ".parquet"):
        rows = read_frame(path)
        parts |= _parted(rows.drop(columns=["evaluation", *PLACES]), rows)
    return parts


def _sums(folder: Path) -> Parts:
    path = folder / "reliability.parquet"
    if not path.is_file():
        return {}
    rows = read_frame(path)
    return _parted(rows.drop(columns=["evaluation", *PLACES]), rows)


def _parted(table: pd.DataFrame, rows: pd.DataFrame) -> Parts:
    """The table, whose rows are from where those of `rows` are."""
    groups: Any = table.groupby([rows["evaluation"], rows["variant"], rows["trial"]], sort=False, observed=True)
    return {key: part for key, part in groups}


def _histories(folder: Path) -> dict[str, pd.DataFrame]:
    """Rows by trial, which need not have the same columns."""
    path = folder / "history.parquet"
    if not path.is_file():
        return {}
    rows = read_frame(path)
    groups: Any = rows.drop(columns=list(PLACES)).groupby(rows["trial"], sort=False, observed=True)
    return {trial: part.dropna(axis="columns", how="all") for trial, part in groups}
