"""Reads a store: studies, their finished trials and their scores. What is unfinished is named, never read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..bench.errors import MedbenchError
from ..bench.records import is_sealed, read_json, read_yaml

KEYS = ["study", "variant", "seed", "fold", "trial", "evaluation", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A finished evaluation: a trial applied to one test set."""

    id: str
    folder: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    scores: pd.DataFrame
    """One row a test image: image, height, width, tp, fp, fn, tn and every metric."""


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
    """Rows of the timing tables, each with its `machine`."""

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
    """One phrase for each trial that the study lists and the store does not hold, or not with every evaluation."""
    gallery: tuple[Path, ...]
    """The stores' folders of test images and reference masks."""

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
        folder = _sealed([store / "trials" / entry["trial"] for store in stores])
        if folder is None:
            missing.append(f"{where}: trial {entry['trial']} is not finished")
            continue
        # An evaluation may have been made later and in another store than the training.
        found = {
            label: _sealed([store / "trials" / entry["trial"] / "evaluations" / key for store in stores])
            for label, key in entry["evaluations"].items()
        }
        absent = [label for label in spec["evaluations"] if found.get(label) is None]
        if absent:
            missing.append(f"{where}: {', '.join(absent)} of trial {entry['trial']} not evaluated")
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
                evaluations={label: _load_evaluation(path) for label, path in found.items() if path is not None},
                latency=tuple(_latency_rows([store / "trials" / entry["trial"] for store in stores])),
            )
        )
    return Study(
        name=name,
        spec=spec,
        trials=tuple(trials),
        n_planned=len(planned),
        missing=tuple(missing),
        gallery=tuple(store / "gallery" for store in stores),
    )


def _load_evaluation(folder: Path) -> Evaluation:
    return Evaluation(
        id=folder.name,
        folder=folder,
        config=read_yaml(folder / "config.yaml"),
        environment=read_json(folder / "environment.json"),
        scores=_read_frame(folder / "scores.parquet"),
    )


def _latency_rows(folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for folder in folders:
        for path in sorted((folder / "latency").glob("*.json")):
            table = read_json(path)
            yield from ({"machine": table["machine"], **row} for row in table["rows"])


def _read_frame(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise MedbenchError(f"{path}: cannot be read as parquet ({error}); see `medbench verify`") from error


def _sealed(folders: Sequence[Path]) -> Path | None:
    return next((folder for folder in folders if is_sealed(folder)), None)
