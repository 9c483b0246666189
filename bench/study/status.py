"""How far the studies of a store are, at a glance: a manifest counts as finished; `medbench verify` looks closer."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from ..store.folder import Store
from ..store.records import MANIFEST, read_json, read_yaml

PACES = 20  # trainings that are asked how long an epoch took


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """Labels of a study's trials by their state; `running` says how far, `failed` why. A label names every variant that
    shares the trial, each with evaluations of its own."""

    study: str
    done: list[str]
    running: dict[str, str]
    failed: dict[str, str]
    left: list[str]
    seconds_left: float | None  # of training, one trial after the other; None where no epoch was timed yet
    looks: list[int] | None = None  # seeds of each variant at which it is looked at, where it ends when it is decided
    seconds_a_round: float | None = None  # of training one more seed of each variant, one after the other


def statuses(store: Store) -> list[StudyStatus]:
    """One entry a study of the store, by name."""
    return [_status(store, read_yaml(path)) for path in sorted((store.root / "studies").glob("*.yaml"))]


def _status(store: Store, spec: dict[str, Any]) -> StudyStatus:
    done: list[str] = []
    running: dict[str, str] = {}
    failed: dict[str, str] = {}
    left: list[str] = []
    paces: list[float] = []  # seconds an epoch
    epochs_planned = epochs_left = 0
    seeds: set[int] = set()
    for id_, sharing in _by_trial(spec).items():
        epochs = spec["variants"][next(iter(sharing))]["settings"].get("training", {}).get("epochs", 0)
        trial = next(iter(sharing.values()))
        epochs_planned += epochs
        seeds.add(trial["seed"])
        label = f"{', '.join(sharing)} seed {trial['seed']}"
        label += "" if trial["fold"] is None else f" fold {trial['fold']}"
        history = _progress(store.checkpoint(id_))
        paces += [row["seconds"] for row in history[-1:]]
        is_trained = (store.trial(id_) / MANIFEST).is_file()
        evaluations = {each for known in sharing.values() for each in known["evaluations"].values()}
        if is_trained and all((store.evaluation(id_, each) / MANIFEST).is_file() for each in evaluations):
            done.append(label)
            if epochs and len(paces) < PACES:
                paces.append(sum(store.history(id_)["seconds"].to_list()) / epochs)
        elif store.failure(id_).is_file():
            failed[label] = read_json(store.failure(id_))["error"]
        else:
            trained = epochs if is_trained else len(history)
            epochs_left += epochs - trained
            if store.is_claimed(id_):
                running[label] = f"epoch {trained} of {epochs} done"
            else:
                left.append(label)
    pace = sum(paces) / len(paces) if paces else None
    seconds = epochs_left * pace if pace is not None else None
    looks, in_round = (spec.get("looks") or {}).get("seeds"), None
    if looks and pace is not None:
        in_round = pace * epochs_planned / len(seeds)
    return StudyStatus(spec["study"], done, running, failed, left, seconds, looks, in_round)


def _by_trial(spec: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """For each trial what the study says of it, by the variants that share it."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for variant, known in spec["variants"].items():
        for trial in known["trials"]:
            found.setdefault(trial["trial"], {})[variant] = trial
    return found


def _progress(checkpoint: Path) -> list[dict[str, float]]:
    """The epochs of a half-done training, read from the checkpoint's head alone."""
    try:
        with safe_open(checkpoint, framework="np") as file:
            return json.loads(file.metadata()["state"])["history"]
    except Exception:  # none, or one that is just being replaced
        return []
