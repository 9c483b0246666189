"""The head of a study's report: what was asked, on what, and what a reader must know before believing the answer."""

from collections.abc import Mapping
from dataclasses import asdict

from .doubts import warnings_of
from .evidence import Evidence, Row
from .section import Part, Section

TOLD = (  # as the store says it
    "question", "registered", "asks", "profile", "set", "baseline", "primary", "margin", "medbench", "protocol",
    "dataset", "n_images", "left_out", "score_at", "evaluations", "artifacts", "spec", "datasets",
)  # fmt: skip


def overview(evidence: Evidence, parts: Mapping[Section, Part]) -> Row:
    """The facts that the head shows and that several sections read; with its sections' they make report.json."""
    study = evidence.study
    of_sections = [each for part in parts.values() for each in part.warnings]
    return {
        "study": study.name,
        **{key: study.spec[key] for key in TOLD},
        **{key: study.spec[key] for key in ("compare_with", "conditions", "looks", "target") if study.spec[key]},
        "asked": [asdict(each) for each in evidence.asked],
        "same": study.same,
        "trained_on": evidence.trained_on,
        "split_sizes": evidence.split_sizes,
        "tested_on": evidence.tested_on,
        "mask_sizes": evidence.mask_sizes,
        **({"groups": evidence.groups} if evidence.groups else {}),
        **({"series": study.spec["series"]} if "series" in study.spec else {}),
        "n_trials": study.n_trials,
        "n_planned": study.n_planned,
        "warnings": [*warnings_of(study, evidence.scores), *of_sections],
        "settings": evidence.settings,
        "descriptions": {name: known["description"] for name, known in study.spec["variants"].items()},
        "trials": evidence.trials,
        "environments": evidence.environments,
    }
