"""A study in files that a repository can hold: what its store says of it, without weights, masks and images."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..bench.errors import MedbenchError
from ..bench.metrics import COUNTS, from_counts
from ..bench.metrics.classes import from_counts_of_classes
from ..bench.metrics.failures import FAILURES
from ..bench.store.folder import as_made, trial_id
from ..bench.store.provenance import without_places
from ..bench.store.records import MANIFEST, read_json, read_yaml, short_id, write_bytes, write_json, write_yaml
from .load import CLASSES, SCORES, Evaluation, Study, Trial
from .unpacking import LISTS, OF_IMAGES, PLACES, of_images

LARGEST = 1_500_000  # bytes of a file
WHOLE = {**dict.fromkeys(("height", "width", *COUNTS), "int32"), **dict.fromkeys(FAILURES, "Int8")}
PICTURES = (".png", ".jpg")


def pack(study: Study, store: Path, folder: Path) -> None:
    """Writes what the store holds of a study: study.yaml, trials.json, history.parquet, scores/, classes/, labels/,
    reliability.parquet, annotations/, groups/, latency/ and deployment/, as docs/reference/store.md tells. No text in
    them has an absolute path.

    Raises:
        MedbenchError: scores or settings cannot be written so, or not below `LARGEST` bytes a file.
    """
    record = store / "studies" / f"{study.name}.yaml"
    write_yaml(folder / "study.yaml", {"study": study.name} | without_places(read_yaml(record)))
    by_id = {trial.id: trial for trial in study.trials}  # variants may share them
    trials = [*{(trial.id, *_ids(trial)): trial for trial in study.trials}.values()]  # and test them on other images
    write_json(folder / "trials.json", _Ledger(store).of(trials) | {"failed": _failures(study, store)})
    histories = [trial.history.assign(**_places(trial)) for trial in by_id.values() if trial.history is not None]
    if histories:
        write_bytes(folder / "history.parquet", _parquet(_places_first(pd.concat(histories, ignore_index=True))))
    sums: list[pd.DataFrame] = []
    for name in study.spec["evaluations"]:
        tested = [(trial, trial.evaluations[name]) for trial in trials if name in trial.evaluations]
        if tested:
            rows = pd.concat([_scores(trial, each) for trial, each in tested], ignore_index=True)
            for path, content in _split(rows.assign(evaluation=name), name).items():
                write_bytes(folder / "scores" / path, content)
        if by_class := [_classes(trial, each) for trial, each in tested if each.classes is not None]:
            rows = pd.concat(by_class, ignore_index=True).assign(evaluation=name)
            for path, content in _split(rows, name).items():
                write_bytes(folder / "classes" / path, content)
        labels = [
            _places_first(found.labels.to_pandas().assign(evaluation=name, **_places(trial)))
            for trial, found in tested
            if found.labels is not None
        ]
        if labels:
            for path, content in _split(pd.concat(labels, ignore_index=True), name).items():
                write_bytes(folder / "labels" / path, content)
        sums += [each.assign(evaluation=name) for trial, found in tested if (each := _sums(trial, found)) is not None]
    if sums:
        write_bytes(folder / "reliability.parquet", _parquet(_places_first(pd.concat(sums, ignore_index=True))))
    digests = {each.config["images_digest"] for trial in study.trials for each in trial.evaluations.values()}
    for path in (store / what / f"{digest}.json" for what in OF_IMAGES for digest in sorted(digests)):
        if path.is_file():
            write_json(folder / path.parent.name / path.name, read_json(path))
    for path in (*study.timings, *study.deployment):
        write_json(folder / path.parts[-3] / path.name, without_places(read_json(path)))


def check_sizes(folder: Path) -> None:
    """MedbenchError where a file is larger than `LARGEST`."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (size := path.stat().st_size) > LARGEST:
            raise MedbenchError(
                f"{path.relative_to(folder)} would have {size / 1e6:.1f} MB, a published file may have "
                f"{LARGEST / 1e6:.1f}: publish a study of fewer variants, seeds or evaluations"
            )


def _failures(study: Study, store: Path) -> dict[str, str]:
    """Why trials of the study failed, by their ids."""
    planned = [entry["trial"] for known in study.spec["variants"].values() for entry in known["trials"]]
    paths = {trial: store / "failed" / f"{trial}.json" for trial in dict.fromkeys(planned)}
    return {trial: without_places(read_json(path)["error"]) for trial, path in paths.items() if path.is_file()}


class _Ledger:
    """What is known of trials; environments and lists of images that many of them share stand in it once, and
    elsewhere their digests."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._environments: dict[str, Any] = {}
        self._lists: dict[str, list[str]] = {}

    def of(self, trials: Sequence[Trial]) -> dict[str, Any]:
        found = [self._trial(trial) for trial in trials]
        return {"trials": found, "environments": self._environments, "lists": self._lists}

    def _trial(self, trial: Trial) -> dict[str, Any]:
        folder = self._store / "trials" / trial.id
        timings = {path.stem: without_places(read_json(path)) for path in sorted(folder.glob("latency/*.json"))}
        evaluations = {
            name: {"id": each.id} | self._origin(each.folder, each.config, each.environment)
            for name, each in trial.evaluations.items()
        }
        told = {"variant": trial.variant, "seed": trial.seed, "fold": trial.fold, "id": trial.id}
        told |= self._origin(folder, trial.config, trial.environment)
        return told | ({"latency": timings} if timings else {}) | {"evaluations": evaluations}

    def _origin(self, folder: Path, config: dict[str, Any], environment: dict[str, Any]) -> dict[str, Any]:
        """A sealed folder's configuration, environment, and SHA-256 of every file that is no picture."""
        files = as_made(folder) or {
            name: each["sha256"] for name, each in read_json(folder / MANIFEST)["files"].items()
        }
        settings = {key: value for key, value in config.items() if key not in LISTS}
        kept = without_places(settings)
        if trial_id(kept) != trial_id(settings):
            raise MedbenchError(f"{folder / 'config.yaml'}: a setting that its id covers names an absolute path")
        kept |= {key: _noted(config[key], self._lists) for key in LISTS if key in config}
        return {
            "config": kept,
            "environment": _noted(without_places(environment), self._environments),
            "files": {name: digest for name, digest in files.items() if not name.endswith(PICTURES)},
        }


def _noted(value: Any, into: dict[str, Any]) -> str:
    digest = short_id(value)
    into[digest] = value
    return digest


def _ids(trial: Trial) -> list[str]:
    return sorted(each.id for each in trial.evaluations.values())


def _places(trial: Trial) -> dict[str, Any]:
    return {"variant": trial.variant, "seed": trial.seed, "trial": trial.id}


def _places_first(table: pd.DataFrame) -> pd.DataFrame:
    return table.reindex(columns=[*PLACES, *(name for name in table if name not in PLACES)])


def _scores(trial: Trial, evaluation: Evaluation) -> pd.DataFrame:
    """A row an image: where it comes from, whole numbers as such, and in single precision what does not follow from
    them, or from the scores of its classes."""
    scores = evaluation.scores.to_pandas()
    if evaluation.classes is None:
        derived = from_counts({name: scores[name].to_numpy(dtype=np.float64) for name in COUNTS})
        return _reduced(trial, evaluation.folder / SCORES, scores, derived, "its counts of pixels give")
    derived = of_images(evaluation.classes.to_pandas())
    return _reduced(trial, evaluation.folder / SCORES, scores, derived, f"{CLASSES} gives")


def _classes(trial: Trial, evaluation: Evaluation) -> pd.DataFrame:
    """The same with a row an image and class."""
    assert evaluation.classes is not None
    scores = evaluation.classes.to_pandas()
    derived = from_counts_of_classes({name: scores[name].to_numpy(dtype=np.float64) for name in COUNTS})
    return _reduced(trial, evaluation.folder / CLASSES, scores, derived, "its counts of pixels give")


def _reduced(
    trial: Trial, path: Path, scores: pd.DataFrame, derived: Mapping[str, NDArray[np.float64]], rule: str
) -> pd.DataFrame:
    """Scores without what is derived from others; MedbenchError where they are not what the rule says."""
    for name, values in derived.items():
        if name in scores and not np.allclose(scores[name], values, rtol=0, atol=1e-9, equal_nan=True):
            raise MedbenchError(
                f"{path}: {name} is not what {rule}; "
                "another version of medbench scored it: run the study again, which evaluates without training"
            )
    scores = scores.drop(columns=list(derived), errors="ignore")
    kinds: Mapping[str, str] = {name: WHOLE.get(name, "float32") for name in scores if name not in ("image", "name")}
    return _places_first(scores.astype(kinds).assign(**_places(trial)))


def _sums(trial: Trial, evaluation: Evaluation) -> pd.DataFrame | None:
    """The sums by bin of probability over all images, of several classes each of them."""
    bins = evaluation.reliability()
    if bins is None:
        return None
    keys = ["bin"] if evaluation.classes is None else ["name", "bin"]
    sums: Any = bins.groupby(keys)[["pixels", "confidence", "positives"]].sum()
    return sums.reset_index().assign(**_places(trial))


def _split(rows: pd.DataFrame, name: str) -> dict[Path, bytes]:
    """The files of an evaluation's scores: one where it is small enough, else one a variant, else one a trial."""
    files: dict[Path, bytes] = {}
    for keys in ([], ["variant"], ["variant", "seed"]):
        groups: Any = rows.groupby(keys, sort=False) if keys else [((), rows)]
        parts = {Path(*(_file_name(str(each)) for each in (name, *key))): part for key, part in groups}
        files = {path.with_name(f"{path.name}.parquet"): _parquet(part) for path, part in parts.items()}
        if max(map(len, files.values())) <= LARGEST:
            break
    return files


def _file_name(text: str) -> str:
    """The text as a name of a file, which is not hidden."""
    name = quote(text, safe="")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _parquet(table: pd.DataFrame) -> bytes:
    """Texts as dictionaries, whole numbers as differences, others byte by byte: a third of what is usual."""
    columns = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata()
    encodings = {
        field.name: "BYTE_STREAM_SPLIT" if pa.types.is_floating(field.type) else "DELTA_BINARY_PACKED"
        for field in columns.schema
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
    }
    texts: Any = [name for name in columns.column_names if name not in encodings]
    buffer = io.BytesIO()
    pq.write_table(
        columns, buffer, compression="zstd", compression_level=19, use_dictionary=texts, column_encoding=encodings
    )
    return buffer.getvalue()
