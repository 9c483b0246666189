"""What a page says of a study that was looked at while its seeds came in."""

from collections.abc import Iterator
from typing import Any

from .load import Study
from .notes import listed

SPENDING = {"obrien-fleming": "O'Brien and Fleming's kind", "pocock": "Pocock's kind"}


def looked(study: Study) -> str:
    """When it was looked at and how the error is held, in sentences; empty where seeds are a number."""
    known = study.spec["looks"]
    if not known:
        return ""
    done = [number for number in known["seeds"] if number <= _complete(study)]
    when = f"it was looked at after {listed(done)} seeds of each variant" if done else "it was not looked at yet"
    order = f" in the order {', '.join(known['order'])}" if known["order"] else ""
    seeds, spending = known["seeds"], SPENDING[known["spending"]]
    return (
        f"Seeds were added until every comparison of the primary metric on {study.spec['evaluations'][0]} was decided, "
        f"from {seeds[0]} to {seeds[-1]} of each variant; {when}. Over these looks 5 % were spent (alpha spending of "
        f"{spending}){order}: p-values of the primary metric are overall ones, and its intervals are repeated "
        "confidence intervals, which hold whatever made the study stop and are wider than those of a number of seeds "
        "that was fixed before. All else, pairs of other variants too, is told as if there had been one look."
    )


def adjusted_by(study: Study) -> str:
    """How p-values of comparisons with the baseline are adjusted for being several, in a word or two."""
    return "in order" if (study.spec["looks"] or {}).get("order") else "Holm"


def outside_plan(study: Study) -> Iterator[str]:
    """What of the seeds that there are was not planned."""
    known = study.spec["looks"]
    for before in study.spec["plans_before"]:
        yield (
            f"Planned anew: first {_plan(before)}, then {_plan(known)}. Scores may have been seen in between; the "
            "error is held over the looks of the last plan alone."
        )
    if not known:
        return
    counts = _counts(study)
    most = known["seeds"][-1]
    beyond = [variant for variant, count in counts.items() if count > most]
    if beyond:
        yield (
            f"More seeds than planned: {listed(beyond)}, where the plan ends at {most}. All of them count as the last "
            "look, which was not planned so."
        )
    waiting = [variant for variant, count in counts.items() if count > _complete(study)]
    if waiting and not beyond:
        yield f"In the midst of a round: the last seeds of {listed(waiting)} wait for those of the others."


def _plan(plan: dict[str, Any] | None) -> str:
    if plan is None:
        return "a number of seeds"
    numbers = plan["seeds"]
    return f"{numbers[0]} seeds" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds until it is decided"


def _complete(study: Study) -> int:
    """The seeds that every variant has."""
    return min(_counts(study).values(), default=0)


def _counts(study: Study) -> dict[str, int]:
    found: dict[str, set[int]] = {variant: set() for variant in study.spec["variants"]}
    for trial in study.trials:
        found[trial.variant].add(trial.seed)
    return {variant: len(seeds) for variant, seeds in found.items()}
