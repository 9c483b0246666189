"""Text to paste into a paper."""

from dataclasses import dataclass

from ..citations import bibtex
from ..evidence import Evidence
from ..prose import abstract, methods
from ..section import Part, Section


@dataclass(frozen=True, slots=True)
class Facts:
    """Words alone: their numbers are other sections'."""


def make(evidence: Evidence) -> Part:
    texts = {"Abstract": abstract(evidence), "Methods": methods(evidence), "BibTeX": bibtex(evidence)}
    return Part(facts=Facts(), is_shown=True, view={"texts": texts})


SECTION = Section(name="paste", title="To paste", make=make)
