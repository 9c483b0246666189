"""Reads a store: studies, their finished trials and their scores. What is unfinished is named, never read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ..bench.errors import MedbenchError
from ..bench.metrics import COUNTS, Target
from ..bench.store.records import read_json, read_yaml, same_trials
from .copies import same_scores
from .files import Files, read_frame
from .joining import joined, measured
from .resolved import complete
from .unpacking import opened

KEYS = ["study", "variant", "seed", "fold", "trial", "evaluation", "image"]
SCORES, CLASSES, LABELS = "scores.parquet", "classes.parquet", "labels.parquet"
DAMAGED = "is damaged and was not read, its SHA-256 differs from the manifest's"
BINS = ["bin", "pixels", "confidence", "positives"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A finished evaluation: a trial applied to one test set."""

    id: str
    folder: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    scores: pa.Table
    """One row a test image: image, height, width, tp, fp, fn, tn and every metric."""
    classes: pa.Table | None
    """One row a test image and class, or label: image, name, and the values of `metrics.classes.score_classes`; None of
    one structure."""
    labels: pa.Table | None
    """One row a task and test image whose truth is known: image, task, truth, predicted, probabilities (in the order of
    the classes in `config`); None where there is no task."""

    def reliability(self) -> pd.DataFrame | None:
        """Sums by bin of probability, image after image: bin, pixels, confidence, positives, and name where there are
        `classes`; None where not kept."""
        path = self.folder / "reliability.parquet"
        columns = BINS if self.classes is None else ["name", *BINS]
        return read_frame(path, columns) if path.is_file() else None


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
    """Timings of this trial alone, as older versions took them."""

    @property
    def members(self) -> list[str]:
        """The trial ids that an ensemble is made of; empty for a trained trial."""
        return list(self.config.get("ensemble", {}).get("members", {}).values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study as far as the store holds it."""

    name: str
    spec: dict[str, Any]
    """What the store says of it, with every key of `resolved.ABSENT`."""
    trials: tuple[Trial, ...]
    n_planned: int
    """Trials; what variants share counts once."""
    missing: tuple[str, ...]
    """A phrase for each trial or evaluation that the study lists and the store does not hold, or holds damaged; one for
    all unfinished trials of a variant."""
    apart: tuple[str, ...]
    """A sentence for each study of the same name in another store that this one could not be joined with."""
    same_scores: list[list[str]]
    """Groups of variants whose trials are others and whose scores are the same, seed by seed and image by image."""
    gallery: tuple[Path, ...]
    """The stores' folders of test images and reference masks."""
    annotations: dict[str, dict[str, Any]]
    """By evaluation, what publishers tell of the test images: see `datasets.annotations`."""
    groups: dict[str, dict[str, str]]
    """By evaluation, of each test image that belongs together with another the group that they are in."""
    deployment: tuple[Path, ...]
    """Files of what its models cost and lose in other runtimes, one a machine and store: see `deployment`."""
    timings: tuple[Path, ...]
    """Files of how long its models take, one a machine and store: see `latency`."""

    @property
    def n_trials(self) -> int:
        """Those of the planned trials that there are."""
        return len({trial.id for trial in self.trials})

    @property
    def target(self) -> Target | None:
        """What is looked for; None is one structure, of which nothing more is known."""
        return Target.of(self.spec["target"]) if self.spec["target"] else None

    @property
    def artifacts(self) -> dict[str, dict[str, Any]]:
        """The evaluations with an artifact: their kind and severity."""
        return self.spec["artifacts"]

    @property
    def repeated(self) -> set[str]:
        """The evaluations on the study's own test images over again: with an artifact, or scored at another size."""
        return {*self.artifacts, *self.spec["at_input"]}

    @property
    def same(self) -> list[list[str]]:
        """Groups of variants that are one and the same training, by their planned trials or by their scores."""
        return [*same_trials(self.spec["variants"]), *self.same_scores]

    @property
    def distinct(self) -> list[str]:
        """The variants, each training once: of those that are the same, the baseline or else the first."""
        repeated: set[str] = set()
        for names in self.same:
            kept = self.spec["baseline"] if self.spec["baseline"] in names else names[0]
            repeated |= {*names} - {kept}
        return [variant for variant in self.spec["variants"] if variant not in repeated]

    def compared(self, against: str) -> list[str]:
        """The variants, each training once, that are compared with this one. With another than the baseline the
        baseline is not: the two are compared among the variants against the baseline."""
        own = {against, self.spec["baseline"]}.union(*(names for names in self.same if against in names))
        return [variant for variant in self.distinct if variant not in own]

    @property
    def scores(self) -> pd.DataFrame:
        """Tidy scores, one row per trial, evaluation and image; empty, but with its columns, when nothing is done."""
        return self._tidy([(trial, name, each.scores) for trial, name, each in self._finished])

    @property
    def classes(self) -> pd.DataFrame:
        """The same with a row per class, by `name`, of each image; empty for one structure."""
        found = [(trial, name, each.classes) for trial, name, each in self._finished]
        return self._tidy([(trial, name, table) for trial, name, table in found if table is not None])

    @property
    def _finished(self) -> list[tuple[Trial, str, Evaluation]]:
        return [(trial, name, each) for trial in self.trials for name, each in trial.evaluations.items()]

    def _tidy(self, found: Sequence[tuple[Trial, str, pa.Table]]) -> pd.DataFrame:
        if not found:
            return pd.DataFrame(columns=KEYS)
        keys = pd.DataFrame(
            {
                "study": self.name,
                "variant": [trial.variant for trial, _, _ in found],
                "seed": [trial.seed for trial, _, _ in found],
                "fold": pd.array([trial.fold for trial, _, _ in found], dtype="Int64"),
                "trial": [trial.id for trial, _, _ in found],
                "evaluation": [name for _, name, _ in found],
            }
        )
        scores = pa.concat_tables([table for _, _, table in found], promote_options="permissive").to_pandas()
        keys = keys.take(np.repeat(np.arange(len(found)), [len(table) for _, _, table in found])).reset_index(drop=True)
        return pd.concat([keys, scores[["image"]], scores.drop(columns=KEYS, errors="ignore")], axis="columns")


def load(store: Path | str) -> pd.DataFrame:
    """Every score in the store, or of a published result, as one tidy frame: study, variant, seed, fold, trial,
    evaluation, image, metrics; and, only where some images belong together, group: empty of an image by itself.

    Raises MedbenchError when the store has no study. Without a finished evaluation the frame is empty.
    """
    with opened([Path(store)]) as stores:
        return pd.concat([_with_groups(study) for study in load_studies(stores)], ignore_index=True)


def _with_groups(study: Study) -> pd.DataFrame:
    scores = study.scores
    if not study.groups:
        return scores
    places = zip(scores["evaluation"], scores["image"], strict=True)
    return scores.assign(group=[study.groups.get(name, {}).get(image, "") for name, image in places])


def load_studies(stores: Sequence[Path], *, only: str | None = None) -> list[Study]:
    """The studies of all stores by name, or the one of that name. Stores are one pool: a study's trial is read from
    whichever holds it, and a study that several stores hold is joined, or told apart (`joining.joined`).

    Raises MedbenchError when a store has no study.
    """
    stores = list({store.resolve(): store for store in stores}.values())  # one store may go by two names
    specs: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
    for store in stores:
        found = sorted((store / "studies").glob("*.yaml"))
        if not found:
            what = "no studies/*.yaml there" if store.is_dir() else "there is no such folder"
            raise MedbenchError(f"{store.absolute()}: {what}; name the store that `medbench run --store` wrote")
        for file in (each for each in found if only in (None, each.stem)):
            spec = read_yaml(file)
            if not isinstance(spec, dict) or not {"baseline", "primary", "evaluations", "variants"} <= spec.keys():
                raise MedbenchError(f"{file}: not a resolved study; write it again with `medbench run`")
            specs.setdefault(file.stem, []).append((store, spec))
    files = Files(stores)
    return [
        _load_study(
            each.name,
            each.spec,
            each.said,
            files,
            measured(stores, each, "deployment", name),
            measured(stores, each, "latency", name),
        )
        for name, found in sorted(specs.items())
        for each in joined(name, found, files)
    ]


def _load_study(
    name: str,
    spec: dict[str, Any],
    apart: tuple[str, ...],
    files: Files,
    deployment: Sequence[Path],
    timings: Sequence[Path],
) -> Study:
    spec = complete(spec)
    trials: list[Trial] = []
    missing: list[str] = []
    unfinished: dict[str, list[tuple[str, str]]] = {}
    planned = [(variant, entry) for variant, known in spec["variants"].items() for entry in known["trials"]]
    for variant, entry in planned:
        of_variant = f"seed {entry['seed']}" + ("" if entry["fold"] is None else f", fold {entry['fold']}")
        where = f"{variant}, {of_variant}"
        place = Path("trials", entry["trial"])
        if not (finished := files.sealed(place)):
            if why := _why_failed(entry["trial"], files.stores):
                missing.append(f"{where}: trial {entry['trial']} failed ({why})")
            else:
                unfinished.setdefault(variant, []).append((of_variant, entry["trial"]))
            continue
        if (folder := files.sound(place)) is None:
            missing.append(f"{where}: {place / files.damaged(finished[0])} {DAMAGED}")
            continue
        # An evaluation may have been made later and in another store than the training.
        places = {label: place / "evaluations" / key for label, key in entry["evaluations"].items()}
        copies = {label: found for label, each in places.items() if (found := files.sealed(each))}
        sound = {label: found for label in copies if (found := files.sound(places[label]))}
        absent = [label for label in spec["evaluations"] if label not in copies]
        if absent:
            missing.append(f"{where}: {', '.join(absent)} of trial {entry['trial']} not evaluated")
        missing += [
            f"{where}: {places[label] / files.damaged(copies[label][0])} {DAMAGED}"
            for label in copies
            if label not in sound
        ]
        trials.append(
            Trial(
                variant=variant,
                seed=entry["seed"],
                fold=entry["fold"],
                id=entry["trial"],
                config=files.config(folder / "config.yaml"),
                environment=files.json(folder / "environment.json"),
                history=files.history(folder / "history.parquet"),
                evaluations={label: _load_evaluation(each, files) for label, each in sound.items()},
                latency=_latency_rows([store / place for store in files.stores]),
            )
        )
    same = same_trials(spec["variants"])
    return Study(
        name=name,
        spec=spec,
        trials=tuple(trials),
        n_planned=len({entry["trial"] for _, entry in planned}),
        missing=(*(_at_once(variant, each, spec) for variant, each in unfinished.items()), *missing),
        apart=apart,
        same_scores=[names for names in _same_scores(trials) if not any({*names} <= {*known} for known in same)],
        gallery=tuple(store / "gallery" for store in files.stores),
        annotations=_annotations(trials, files.stores),
        groups=_groups(trials, files.stores),
        deployment=tuple(deployment),
        timings=tuple(timings),
    )


def _same_scores(trials: Sequence[Trial]) -> list[list[str]]:
    found: dict[str, dict[tuple[int, int | None, str], pa.Table]] = {}
    for trial in trials:
        known = {(trial.seed, trial.fold, name): each.scores for name, each in trial.evaluations.items()}
        found.setdefault(trial.variant, {}).update(known)
    return same_scores(found)


def _at_once(variant: str, unfinished: Sequence[tuple[str, str]], spec: Mapping[str, Any]) -> str:
    """One phrase for the unfinished trials of a variant, (where, id) each; names them where others are finished."""
    [(where, trial), *more] = unfinished
    if not more:
        return f"{variant}, {where}: trial {trial} is not finished"
    n_planned = len(spec["variants"][variant]["trials"])
    which = f" ({'; '.join(where for where, _ in unfinished)})" if len(unfinished) < n_planned else ""
    return f"{variant}: {len(unfinished)} of {n_planned} trials are not finished{which}"


def _why_failed(trial: str, stores: Sequence[Path]) -> str | None:
    records = [path for store in stores if (path := store / "failed" / f"{trial}.json").is_file()]
    return read_json(records[0])["error"] if records else None


def _annotations(trials: Sequence[Trial], stores: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The annotations of each evaluation's test images, those of several folds together."""
    found: dict[str, dict[str, Any]] = {}
    for name, files in _of_test_sets("annotations", trials, stores).items():
        for known in files:
            into = found.setdefault(name, {"flags": {}, "lesions": {}, "agreement": []})
            for flag, images in known.get("flags", {}).items():
                into["flags"][flag] = sorted({*into["flags"].get(flag, []), *images})
            into["lesions"] |= known.get("lesions", {})
            into["agreement"] += [pair for pair in known.get("agreement", []) if pair not in into["agreement"]]
    return found


def _groups(trials: Sequence[Trial], stores: Sequence[Path]) -> dict[str, dict[str, str]]:
    """For each evaluation the groups of two test images or more; none where no image has company."""
    found: dict[str, dict[str, str]] = {}
    for name, files in _of_test_sets("groups", trials, stores).items():
        known: dict[str, str] = {}
        for each in files:
            known |= each
        sizes = Counter(known.values())
        if shared := {image: group for image, group in known.items() if sizes[group] > 1}:
            found[name] = shared
    return found


def _of_test_sets(what: str, trials: Sequence[Trial], stores: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """What the stores' files of that kind say of each evaluation's test images, a file a digest and store."""
    digests: dict[str, dict[str, None]] = {}
    for trial in trials:
        for name, each in trial.evaluations.items():
            digests.setdefault(name, {})[each.config["images_digest"]] = None
    paths = {
        name: [store / what / f"{digest}.json" for digest in wanted for store in stores]
        for name, wanted in digests.items()
    }
    return {name: [read_json(path) for path in found if path.is_file()] for name, found in paths.items()}


def _load_evaluation(folder: Path, files: Files) -> Evaluation:
    """A finished evaluation that is not damaged."""
    scores = files.table(folder / SCORES)
    known = () if scores is None else scores.column_names
    absent = [name for name in ("image", *COUNTS) if name not in known]
    if scores is None or absent:
        raise MedbenchError(
            f"{folder / SCORES}: no column {', '.join(absent)}; delete {folder.name} and run the study again"
        )
    return Evaluation(
        id=folder.name,
        folder=folder,
        config=files.config(folder / "config.yaml"),
        environment=files.json(folder / "environment.json"),
        scores=scores,
        classes=files.table(folder / CLASSES),
        labels=files.table(folder / LABELS),
    )


def _latency_rows(folders: Sequence[Path]) -> tuple[dict[str, Any], ...]:
    """The timings of a trial; a machine's are read from the first store that has them, for others hold copies."""
    paths = [path for folder in folders for path in sorted((folder / "latency").glob("*.json"))]
    first = {path.name: path for path in reversed(paths)}
    return tuple(row for name in sorted(first) for row in read_json(first[name])["rows"])
