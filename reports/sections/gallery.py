"""The gallery: best, median and worst images, and every other image that the page has room for."""

from dataclasses import dataclass

from ..every_image import every_image
from ..evidence import Evidence, Row
from ..pictures import pictures, variants_in
from ..section import Part, Section


@dataclass(frozen=True, slots=True)
class Facts:
    gallery: list[Row]
    """The images that are shown as best, median and worst."""


def make(evidence: Evidence) -> Part:
    shown = pictures(evidence.study, evidence.scores)
    return Part(
        facts=Facts([each.told() for each in shown]),
        is_shown=bool(shown),
        view={
            "pictures": shown,
            "shown": variants_in(shown),
            "hairless": evidence.hairless,
            "every_image": every_image(evidence.study, evidence.scores, evidence.room),
        },
    )


SECTION = Section(name="gallery", title="Images", make=make)
