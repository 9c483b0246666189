"""What a store says of a study, `studies/<study>.yaml`: complete, whatever the medbench that wrote it left out."""

from pathlib import Path
from typing import Any

Spec = dict[str, Any]
ABSENT: Spec = {  # what stands for a key that the store does not have
    "question": "",
    "registered": None,
    "asks": "difference",
    "compare_with": None,
    "conditions": [],
    "profile": None,
    "set": [],
    "recipe": {},
    "margin": None,
    "medbench": None,
    "protocol": None,
    "dataset": {},
    "completeness": {},
    "n_images": {},
    "left_out": 0,
    "score_at": None,
    "exclude_copies": None,
    "datasets": {},
    "copies_left_out": {},
    "artifacts": {},
    "at_input": [],
    "claims": [],
    "spec": None,
    "target": None,
    "looks": None,
    "plans_before": [],
}
ABSENT_OF_DATASET: Spec = dict.fromkeys(("name", "folder", "split", "size", "test_images"))
ABSENT_OF_VARIANT: Spec = {"description": None, "parameters": None, "macs": None, "n_images": {}, "settings": {}}
ABSENT_OF_TRIAL: Spec = {"fold": None, "evaluations": {}}


def complete(spec: Spec) -> Spec:
    """The same with every key that a report reads; of what the store does not say, `ABSENT` says so."""
    whole = ABSENT | _said(spec)
    variants = {
        name: ABSENT_OF_VARIANT
        | {"n_images": whole["n_images"]}
        | _said(known)
        | {"trials": [ABSENT_OF_TRIAL | _said(trial) for trial in known["trials"]]}
        for name, known in spec["variants"].items()
    }
    return whole | {"dataset": ABSENT_OF_DATASET | _said(whole["dataset"]), "variants": variants}


def _said(part: Spec) -> Spec:
    return {key: value for key, value in part.items() if value is not None}


def sets_of(spec: Spec) -> dict[str, str]:
    """The data set that each variant is trained on, by name; "" where the store does not say."""
    dataset = spec["dataset"]
    own = dataset["name"] or Path(dataset["folder"] or "").name
    return {name: known["settings"].get("dataset") or own for name, known in spec["variants"].items()}
