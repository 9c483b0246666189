"""How scores spread from image to image, and the images on which variants disagree most."""

from dataclasses import dataclass
from typing import Any

from .. import figures
from ..evidence import Evidence, Row
from ..pictures import disagreements, variants_in
from ..section import Part, Section


@dataclass(frozen=True, slots=True)
class Facts:
    disagreements: dict[str, list[Row]]
    """By variant the images on which it and the baseline lie furthest apart."""


def make(evidence: Evidence) -> Part:
    primary = evidence.primary
    apart = disagreements(evidence.study, evidence.scores)
    scored: Any = evidence.scores.reindex(columns=["evaluation", "variant", "image", primary]).dropna()
    scored = scored[scored["evaluation"] == evidence.first]
    drawn: dict[str, str] = {}
    if len(scored):
        images = scored.groupby(["variant", "image"], sort=False, as_index=False)[primary].mean()
        name = evidence.id("distribution")
        drawn["distribution"] = figures.distribution(images, evidence.names, primary, name)
    return Part(
        facts=Facts({variant: [each.told() for each in found] for variant, found in apart.items()}),
        is_shown=bool(drawn),
        figures=drawn,
        view={"apart": apart, "shown": variants_in(each for found in apart.values() for each in found)},
    )


SECTION = Section(name="spread", title="From image to image", make=make)
