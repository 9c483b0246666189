"""Where every number comes from: data, digests, trials, timings, settings and environments."""

from dataclasses import dataclass

from ..evidence import Evidence, Row
from ..notes import sides
from ..section import Part, Section
from ..tables import records
from ..timings import latency_table


@dataclass(frozen=True, slots=True)
class Facts:
    digests: dict[str, list[str]]
    """Digest of images and masks -> what they were used for: training, and evaluations by name."""
    latency: list[Row]
    """The rows of `timings.latency_table`."""


def make(evidence: Evidence) -> Part:
    facts = Facts(_digests(evidence), records(latency_table(evidence.study)))
    sizes = {name: sides(each) for name, each in evidence.mask_sizes.items()}
    return Part(facts=facts, is_shown=True, view={"variants": evidence.variant_rows, "sizes": sizes})


def _digests(evidence: Evidence) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for trial in evidence.study.trials:
        if digest := trial.config.get("images_digest"):
            found.setdefault(digest, {})["training"] = None
        for name, each in trial.evaluations.items():
            found.setdefault(each.config["images_digest"], {})[name] = None
    return {digest: list(uses) for digest, uses in found.items()}


SECTION = Section(name="reproducibility", title="Reproducibility", make=make)
