"""The head of a study's report: what was asked, on what, and what a reader must know before believing the answer."""

from collections.abc import Iterable

from .doubts import warnings_of
from .evidence import Evidence, Row
from .section import Part

TOLD = (  # as the store says it
    "question", "profile", "set", "baseline", "primary", "margin", "medbench", "protocol", "dataset", "n_images",
    "left_out", "score_at", "evaluations", "artifacts", "spec", "datasets",
)  # fmt: skip


def overview(evidence: Evidence, parts: Iterable[Part]) -> Row:
    """The facts that the head shows and that several sections read; with its sections' they make report.json."""
    study = evidence.study
    return {
        "study": study.name,
        **{key: study.spec[key] for key in TOLD},
        "same": study.same,
        "trained_on": evidence.trained_on,
        "split_sizes": evidence.split_sizes,
        "tested_on": evidence.tested_on,
        "n_trials": len(study.trials),
        "n_planned": study.n_planned,
        "warnings": [*warnings_of(study, evidence.scores), *(each for part in parts for each in part.warnings)],
        "settings": evidence.settings,
        "descriptions": {name: known["description"] for name, known in study.spec["variants"].items()},
        "trials": evidence.trials,
        "environments": evidence.environments,
    }
