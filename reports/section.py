"""What a section of a report is. A new one is a module and, beside it, a template that goes by the section's name; in
`sections/` it is a line in the list as well."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from .answers import Answer
from .evidence import Evidence


@dataclass(frozen=True, slots=True)
class Nothing:
    """The facts of a section that a study does not concern: report.json does not know of it."""


NOTHING = Nothing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a section makes of one study."""

    facts: Any
    """A dataclass of plain values: its fields are the section's part of report.json, and its template reads them as
    `facts`."""
    is_shown: bool
    """Whether the page shows it: False where the store has nothing to show."""
    figures: Mapping[str, str] = field(default_factory=dict)
    """SVG by name, drawn with the id `evidence.id(name)`; also written as figures/<study>-<name>.svg."""
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """What is written as tables/<study>-<name>.csv."""
    excerpts: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """What is written for print as tables/<study>-<name>.tex: cells are text."""
    view: Mapping[str, Any] = field(default_factory=dict)
    """What else its template reads, as `view`: pictures, positions, and what report.json does not hold."""
    warnings: tuple[str, ...] = ()
    """What a reader must know before believing it, a sentence each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of a study's report."""

    name: str
    """Of its template, and the end of its id in the page."""
    title: str
    """In the contents."""
    make: Callable[[Evidence], Part]
    asks: str | None = None
    """The kind of question (a study's `asks`) that it answers, at the head of the study."""
    lead: str = ""
    """What its answers stand under there where the study asks something else; without it they are left out then."""
    answers: Callable[[Evidence], Sequence[Answer]] | None = None
