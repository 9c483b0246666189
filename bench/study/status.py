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
    """Labels of a study's trials by their state; `running` says how far, `failed` why."""

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
    epochs_left: dict[str, int] = {}  # by trial, for variants may share it
    for variant, known in spec["variants"].items():
        epochs = known["settings"].get("training", {}).get("epochs", 0)
        for trial in known["trials"]:
            label = f"{variant} seed {trial['seed']}" + ("" if trial["fold"] is None else f" fold {trial['fold']}")
            history = _progress(store.checkpoint(trial["trial"]))
            paces += [row["seconds"] for row in history[-1:]]
            is_trained = (store.trial(trial["trial"]) / MANIFEST).is_file()
            if is_trained and all(
                (store.evaluation(trial["trial"], each) / MANIFEST).is_file() for each in trial["evaluations"].values()
            ):
                done.append(label)
                if epochs and len(paces) < PACES:
                    paces.append(sum(store.history(trial["trial"])["seconds"].to_list()) / epochs)
            elif store.failure(trial["trial"]).is_file():
                failed[label] = read_json(store.failure(trial["trial"]))["error"]
            else:
                trained = epochs if is_trained else len(history)
                epochs_left[trial["trial"]] = epochs - trained
                if store.is_claimed(trial["trial"]):
                    running[label] = f"epoch {trained} of {epochs} done"
                else:
                    left.append(label)
    pace = sum(paces) / len(paces) if paces else None
    seconds = sum(epochs_left.values()) * pace if pace is not None else None
    looks, in_round = (spec.get("looks") or {}).get("seeds"), None
    if looks and pace is not None:
        in_round = pace * sum(_epochs_of_a_seed(known) for known in spec["variants"].values())
    return StudyStatus(spec["study"], done, running, failed, left, seconds, looks, in_round)


def _epochs_of_a_seed(known: dict[str, Any]) -> int:
    """Of one seed of a variant, all folds together."""
    folds = {trial["fold"] for trial in known["trials"]}
    return len(folds) * known["settings"].get("training", {}).get("epochs", 0)


def _progress(checkpoint: Path) -> list[dict[str, float]]:
    """The epochs of a half-done training, read from the checkpoint's head alone."""
    try:
        with safe_open(checkpoint, framework="np") as file:
            return json.loads(file.metadata()["state"])["history"]
    except Exception:  # none, or one that is just being replaced
        return []
