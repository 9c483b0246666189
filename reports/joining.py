"""One study found in several stores, two laboratories' say: joined where it is the same study, told apart where not."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .files import Files
from .resolved import Spec
from .settings import flatten, told

# Of variants only the settings count; of a folder not where it lies, for `datasets` has its name.
OF_NO_MATTER = {
    "question",
    "registered",
    "asks",
    "profile",
    "set",
    "recipe",
    "medbench",
    "claims",
    "same",
    "spec",
    "variants",
    "dataset.folder",
}

# What a record has only where the study says it; other keys may be missing because an older medbench wrote the record.
SAID_OR_NONE = ("compare_with", "conditions", "looks")

# What records do not say, but the configurations of trials and evaluations do.
OF_TRIALS = {
    "images_digest": "images to train on",
    "labels_digest": "labels to train on",
    "artifacts_version": "artifacts to train on",
    "encoder_digest": "encoder weights",
    "code_digest": "code of the network",
}
OF_EVALUATIONS = {
    "images_digest": "test images",
    "labels_digest": "labels",
    "spacing": "sizes of pixels",
    "scoring": "scoring",
}
Origin = tuple[str, int | None, str]
"""A variant, a fold, and what its trials must have in common there."""


class Joined(NamedTuple):
    """A study of one store or several."""

    name: str
    spec: Spec
    said: tuple[str, ...]
    """Warnings."""
    stores: tuple[Path, ...]


def joined(name: str, found: Sequence[tuple[Path, Spec]], files: Files) -> list[Joined]:
    """The studies that these make: one where all are alike, whose trials are then all of theirs; else those that differ
    get the name of their store, and each says in what it differs from the first.

    Args:
        name: of the study.
        found: the stores that hold it, with what they say of it.
        files: of all stores, for what only trials know: seeds of two laboratories have no trial in common that would
            show that their images, weights or code differ.
    """
    (first_store, first), *others = found
    whole, stores, apart = first, [first_store], list[Joined]()
    for store, spec in others:
        differences = _differences(whole, spec, files)
        if not differences:
            whole = _union(whole, spec)
            stores.append(store)
            continue
        own = f"{name}@{store.resolve().name}"
        taken = {each.name for each in apart}
        own = own if own not in taken else f"{own}-{len(apart) + 1}"
        listed = "; ".join(differences[:4]) + ("; ..." if len(differences) > 4 else "")
        why = f"Not joined with {name} of {first_store.resolve().name}: {listed}."
        apart.append(Joined(own, spec, (why,), (store,)))
    said = tuple(f"{each.name} is reported by itself. {each.said[0]}" for each in apart)
    return [Joined(name, whole, said, tuple(stores)), *apart]


def measured(stores: Sequence[Path], study: Joined, what: str, name: str) -> list[Path]:
    """The stores' files, one a machine, of a study that goes by this name in the store; from a store that has another
    study of that name those that name a trial of this one."""
    trials = [entry["trial"] for known in study.spec["variants"].values() for entry in known["trials"]]
    return [
        path
        for store in stores
        for path in sorted((store / what / name).glob("*.json"))
        if store in study.stores or _names_one_of(trials, path)
    ]


def _names_one_of(trials: Sequence[str], path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(trial in text for trial in trials)


def _differences(a: Spec, b: Spec, files: Files) -> list[str]:
    """What keeps two studies of one name from being one, a phrase each."""
    shared = [key for key in a if key in b]  # an older medbench did not write all of them
    flat = [flatten({key: spec[key] for key in shared if key not in OF_NO_MATTER}) for spec in (a, b)]
    for spec, into in zip((a, b), flat, strict=True):
        into |= flatten({key: spec.get(key) for key in SAID_OR_NONE})
    for variant in [each for each in a["variants"] if each in b["variants"]]:
        for spec, into in zip((a, b), flat, strict=True):
            into |= flatten(spec["variants"][variant].get("settings", {}), f"{variant}: ")
    keys = dict.fromkeys([*flat[0], *flat[1]])
    found = [
        f"{key} {told(flat[1].get(key))} here, {told(flat[0].get(key))} there"
        for key in keys
        if key not in OF_NO_MATTER and flat[0].get(key) != flat[1].get(key)
    ]
    found += _other_origins(_origins_of(a, files), _origins_of(b, files))
    if found:
        return found
    for variant, known in b["variants"].items():
        known_there = {_place(t): t["trial"] for t in a["variants"].get(variant, {"trials": ()})["trials"]}
        found += [
            f"{variant}, seed {trial['seed']}{_of_fold(trial)}, is another training there (other images, code or "
            "protocol)"
            for trial in known["trials"]
            if known_there.get(_place(trial), trial["trial"]) != trial["trial"]
        ]
    return found


def origins(
    variant: str, fold: int | None, trial: Mapping[str, Any], evaluations: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[Origin, Any]]:
    """What all trials of a variant must have in common in a fold, with what this one's configurations say of it."""
    yield from (((variant, fold, what), trial.get(key)) for key, what in OF_TRIALS.items())
    for name, config in evaluations.items():
        yield from (((variant, fold, f"{what} of {name}"), config.get(key)) for key, what in OF_EVALUATIONS.items())


def _origins_of(spec: Spec, files: Files) -> dict[Origin, Any]:
    """The same of the first finished trial and evaluation of each kind that a study lists."""
    found: dict[Origin, Any] = {}
    for variant, known in spec["variants"].items():
        for trial in known["trials"]:
            place = Path("trials", trial["trial"])
            if not (folder := files.sound(place)):
                continue
            evaluations = {
                name: files.config(tested / "config.yaml")
                for name, id in trial.get("evaluations", {}).items()
                if (tested := files.sound(place / "evaluations" / id))
            }
            config = files.config(folder / "config.yaml")
            found = dict(origins(variant, trial.get("fold"), config, evaluations)) | found
    return found


def _other_origins(a: Mapping[Origin, Any], b: Mapping[Origin, Any]) -> list[str]:
    """A phrase for each thing that differs, with the variants that it differs for."""
    whose: dict[str, dict[str, None]] = {}
    for variant, fold, what in b:
        if a.get((variant, fold, what), b[variant, fold, what]) != b[variant, fold, what]:
            whose.setdefault(what, {})[variant] = None
    return [f"other {what} there ({', '.join(variants)})" for what, variants in whose.items()]


def _union(a: Spec, b: Spec) -> Spec:
    """Every variant and every trial of two studies that are alike."""
    variants = dict(a["variants"])
    for variant, known in b["variants"].items():
        if variant not in variants:
            variants[variant] = known
            continue
        own = {_place(trial) for trial in variants[variant]["trials"]}
        more = [trial for trial in known["trials"] if _place(trial) not in own]
        variants[variant] = {**variants[variant], "trials": [*variants[variant]["trials"], *more]}
    settings = dict.fromkeys([*a.get("set", ()), *b.get("set", ())])
    return {**b, **a, "set": list(settings), "variants": variants}


def _of_fold(trial: dict[str, Any]) -> str:
    return "" if trial.get("fold") is None else f", fold {trial['fold']}"


def _place(trial: dict[str, Any]) -> tuple[int, int | None]:
    """What a trial of a variant is known by."""
    return trial["seed"], trial.get("fold")
