"""Studies that are trained until they are decided: the rounds of one, and what is told of it after each."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from ...reports.deciding import Decision
    from ..study.planning import Plan


NO_LOOK_LEFT = "not everything is decided, and no look is left: the rest stays open"


def rounds(planned: "Plan", store: Path, terminal: Console) -> Iterator["Plan"]:
    """The parts of a plan that are to be run one after the other: all of it at once, or where it is trained until it is
    decided its first seeds, then those with one seed more of each variant, and so on until the scores in the store
    decide or no look is left. What is finished already is looked at once, at its last look."""
    numbers, done = planned.rounds, _looked_at(planned, store)
    for number in [*done[-1:], *numbers[len(done) :]]:
        yield planned.first(number)
        if "looks" in planned.record and _tell(planned.record["study"], store, number, numbers[-1], terminal):
            return


def _looked_at(planned: "Plan", store: Path) -> list[int]:
    """The looks whose seeds the store has."""
    from ..store.folder import Store
    from ..study.runner import left_to_do

    return [number for number in planned.rounds if not left_to_do(planned.first(number), Store(store))]


def at_most(planned: "Plan", store: Path, terminal: Console) -> "Plan":
    """What a run would train at most: no seed more, which is told, where the scores in the store decide the study."""
    from ..store.folder import Store

    study, done = planned.record["study"], _looked_at(planned, store)
    if "looks" not in planned.record or not done or not Store(store).study(study).is_file():
        return planned
    if not all(each.verdict for each in decisions_of(study, store)):
        return planned
    terminal.print(f"{study} is decided after {done[-1]} seeds of each variant: no seed is added")
    return planned.first(done[-1])


def _tell(study: str, store: Path, number: int, most: int, terminal: Console) -> bool:
    """Whether every comparison is decided, after this was told of each."""
    found = decisions_of(study, store)
    terminal.print(f"looked at after {number} seeds of each variant, of {most} at most:")
    for each in found:
        terminal.print(f"  {told(each)}")
    is_decided = all(each.verdict for each in found)
    if not is_decided and number == most:
        terminal.print(NO_LOOK_LEFT)
    return is_decided


def decisions_of(study: str, store: Path) -> "list[Decision]":
    """What the scores in a store decide of a study."""
    from ...reports.deciding import decisions
    from ...reports.load import load_studies

    [loaded] = load_studies([store], only=study)
    return decisions(loaded)


def told(decision: "Decision") -> str:
    """A comparison in a line."""
    text = f"{decision.variant} against {decision.against}"
    if decision.difference is None:
        return f"{text}: no scores yet"
    text += f": {decision.difference:+.4f}"
    if decision.ci_low is not None and decision.ci_high is not None:
        text += f" [{decision.ci_low:+.4f}, {decision.ci_high:+.4f}]"
    if decision.verdict:
        return f"{text}, {decision.verdict}"
    chance = "" if decision.chance is None else f", {100 * decision.chance:.0f} % likely at the next look"
    why = f" ({decision.reason})" if decision.reason else ""
    return f"{text}, not decided{why}{chance}"
