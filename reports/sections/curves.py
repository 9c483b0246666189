"""How training went: loss and validation Dice by epoch."""

from dataclasses import dataclass

import pandas as pd

from .. import figures
from ..evidence import Evidence
from ..section import Part, Section


@dataclass(frozen=True, slots=True)
class Facts:
    """The store's histories hold every number; none is repeated."""


def make(evidence: Evidence) -> Part:
    trials = evidence.study.trials
    histories = [t.history.assign(variant=t.variant, trial=t.id) for t in trials if t.history is not None]
    if not histories:
        return Part(facts=Facts(), is_shown=False)
    table = pd.concat(histories, ignore_index=True)
    drawn = figures.training_curves(table, evidence.names, evidence.id("curves"))
    return Part(facts=Facts(), is_shown=True, figures={"curves": drawn})


SECTION = Section(name="curves", title="Training", make=make)
