"""Reads a store: studies, their finished trials and their scores. What is unfinished is named, never read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..bench.errors import MedbenchError
from ..bench.metrics import COUNTS
from ..bench.records import MANIFEST, file_digest, is_sealed, read_json, read_yaml

KEYS = ["study", "variant", "seed", "fold", "trial", "evaluation", "image"]
SCORES = "scores.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A finished evaluation: a trial applied to one test set."""

    id: str
    folder: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    scores: pd.DataFrame
    """One row a test image: image, height, width, tp, fp, fn, tn and every metric."""

    def reliability(self) -> pd.DataFrame | None:
        """Sums by image and bin of probability: image, bin, pixels, confidence, positives; None where not kept."""
        path = self.folder / "reliability.parquet"
        return _read_frame(path) if path.is_file() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A finished trial, and those of its evaluations that are finished."""

    variant: str
    seed: int
    fold: int | None
    id: str
    config: dict[str, Any]
    environment: dict[str, Any]
    history: pd.DataFrame | None
    """One row an epoch; None for an ensemble, which is not trained."""
    evaluations: dict[str, Evaluation]
    latency: tuple[dict[str, Any], ...]
    """Rows of the timing tables."""

    @property
    def members(self) -> list[str]:
        """The trial ids that an ensemble is made of; empty for a trained trial."""
        return list(self.config.get("ensemble", {}).get("members", {}).values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study as far as the store holds it."""

    name: str
    spec: dict[str, Any]
    trials: tuple[Trial, ...]
    n_planned: int
    missing: tuple[str, ...]
    """A phrase for each trial or evaluation that the study lists and the store does not hold, or holds damaged."""
    gallery: tuple[Path, ...]
    """The stores' folders of test images and reference masks."""
    annotations: dict[str, dict[str, Any]]
    """By evaluation, what publishers tell of the test images: see `datasets.annotations`."""

    @property
    def artifacts(self) -> dict[str, dict[str, Any]]:
        """The evaluations with an artifact: their kind and severity."""
        return self.spec.get("artifacts", {})

    @property
    def scores(self) -> pd.DataFrame:
        """Tidy scores, one row per trial, evaluation and image; empty, but with its columns, when nothing is done."""
        frames = [
            evaluation.scores.assign(
                study=self.name,
                variant=trial.variant,
                seed=trial.seed,
                fold=pd.array([trial.fold] * len(evaluation.scores), dtype="Int64"),
                trial=trial.id,
                evaluation=name,
            )
            for trial in self.trials
            for name, evaluation in trial.evaluations.items()
        ]
        if not frames:
            return pd.DataFrame(columns=KEYS)
        scores = pd.concat(frames, ignore_index=True)
        return scores.reindex(columns=[*KEYS, *scores.columns.difference(KEYS, sort=False)])


def load(store: Path) -> pd.DataFrame:
    """Every score in the store as one tidy frame: study, variant, seed, fold, trial, evaluation, image, metrics."""
    return pd.concat([study.scores for study in load_studies([store])], ignore_index=True)


def load_studies(stores: Sequence[Path]) -> list[Study]:
    """The studies of all stores by name. Stores are one pool: a study's trial is read from whichever holds it.

    Raises MedbenchError when a store has no study, or two stores describe one study differently.
    """
    stores = list({store.resolve(): store for store in stores}.values())  # one store may go by two names
    specs: dict[str, tuple[Path, dict[str, Any]]] = {}
    for store in stores:
        files = sorted((store / "studies").glob("*.yaml"))
        if not files:
            raise MedbenchError(f"{store}: no studies/*.yaml there; name the store that `medbench run --store` wrote")
        for file in files:
            spec = read_yaml(file)
            if not isinstance(spec, dict) or not {"baseline", "primary", "evaluations", "variants"} <= spec.keys():
                raise MedbenchError(f"{file}: not a resolved study; write it again with `medbench run`")
            first, known = specs.setdefault(file.stem, (file, spec))
            if known != spec:
                raise MedbenchError(f"{first} and {file} describe {file.stem!r} differently; report them separately")
    return [_load_study(name, spec, stores) for name, (_, spec) in sorted(specs.items())]


def _load_study(name: str, spec: dict[str, Any], stores: Sequence[Path]) -> Study:
    trials: list[Trial] = []
    missing: list[str] = []
    planned = [(variant, entry) for variant, known in spec["variants"].items() for entry in known["trials"]]
    for variant, entry in planned:
        where = f"{variant}, seed {entry['seed']}" + ("" if entry["fold"] is None else f", fold {entry['fold']}")
        place = Path("trials", entry["trial"])
        folder = next(iter(_sealed(stores, place)), None)
        if folder is None:
            missing.append(f"{where}: trial {entry['trial']} is not finished")
            continue
        # An evaluation may have been made later and in another store than the training.
        places = {label: place / "evaluations" / key for label, key in entry["evaluations"].items()}
        copies = {label: _sealed(stores, each) for label, each in places.items()}
        sound = {label: [copy for copy in found if _is_intact(copy / SCORES)] for label, found in copies.items()}
        absent = [label for label in spec["evaluations"] if not copies.get(label)]
        if absent:
            missing.append(f"{where}: {', '.join(absent)} of trial {entry['trial']} not evaluated")
        missing += [
            f"{where}: {places[label] / SCORES} is damaged and was not read, its SHA-256 differs from the manifest's"
            for label, found in copies.items()
            if found and not sound[label]
        ]
        history = folder / "history.parquet"
        trials.append(
            Trial(
                variant=variant,
                seed=entry["seed"],
                fold=entry["fold"],
                id=entry["trial"],
                config=read_yaml(folder / "config.yaml"),
                environment=read_json(folder / "environment.json"),
                history=_read_frame(history) if history.is_file() else None,
                evaluations={label: _load_evaluation(found[0]) for label, found in sound.items() if found},
                latency=_latency_rows([store / place for store in stores]),
            )
        )
    return Study(
        name=name,
        spec=spec,
        trials=tuple(trials),
        n_planned=len(planned),
        missing=tuple(missing),
        gallery=tuple(store / "gallery" for store in stores),
        annotations=_annotations(trials, stores),
    )


def _annotations(trials: Sequence[Trial], stores: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The annotations of each evaluation's test images, those of several folds together."""
    digests: dict[str, dict[str, None]] = {}
    for trial in trials:
        for name, each in trial.evaluations.items():
            digests.setdefault(name, {})[each.config["images_digest"]] = None
    found: dict[str, dict[str, Any]] = {}
    for name, wanted in digests.items():
        paths = [store / "annotations" / f"{digest}.json" for digest in wanted for store in stores]
        for known in (read_json(path) for path in paths if path.is_file()):
            into = found.setdefault(name, {"flags": {}, "lesions": {}, "agreement": []})
            for flag, images in known.get("flags", {}).items():
                into["flags"][flag] = sorted({*into["flags"].get(flag, []), *images})
            into["lesions"] |= known.get("lesions", {})
            into["agreement"] += [pair for pair in known.get("agreement", []) if pair not in into["agreement"]]
    return found


def _load_evaluation(folder: Path) -> Evaluation:
    scores = _read_frame(folder / SCORES)
    absent = [name for name in ("image", *COUNTS) if name not in scores]
    if absent:
        raise MedbenchError(
            f"{folder / SCORES}: no column {', '.join(absent)}; delete {folder.name} and run the study again"
        )
    return Evaluation(
        id=folder.name,
        folder=folder,
        config=read_yaml(folder / "config.yaml"),
        environment=read_json(folder / "environment.json"),
        scores=scores,
    )


def _latency_rows(folders: Sequence[Path]) -> tuple[dict[str, Any], ...]:
    """The timings of a trial; a machine's are read from the first store that has them, for others hold copies."""
    paths = [path for folder in folders for path in sorted((folder / "latency").glob("*.json"))]
    first = {path.name: path for path in reversed(paths)}
    return tuple(row for name in sorted(first) for row in read_json(first[name])["rows"])


def _read_frame(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise MedbenchError(f"{path}: cannot be read as parquet ({error}); see `medbench verify`") from error


def _sealed(stores: Sequence[Path], place: Path) -> list[Path]:
    """The finished copies of a folder, of which a store holds none or one."""
    return [store / place for store in stores if is_sealed(store / place)]


def _is_intact(path: Path) -> bool:
    """Whether a file has the bytes that the manifest beside it lists."""
    entry = read_json(path.parent / MANIFEST)["files"].get(path.name)
    return entry is not None and file_digest(path) == entry["sha256"]
