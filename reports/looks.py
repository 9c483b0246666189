"""What a page says of a study that was looked at while its seeds came in."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from .deciding import decisions
from .load import Study
from .notes import counted, listed
from .tables import Cells, seeds_of

SPENDING = {"obrien-fleming": "O'Brien and Fleming's kind", "pocock": "Pocock's kind"}


def looked(study: Study, cells: Cells) -> str:
    """When it was looked at, what that decided, and how the error is held, in sentences; empty where seeds are a
    number."""
    known = study.spec["looks"]
    if not known:
        return ""
    done = [number for number in known["seeds"] if number <= min(seeds_of(study).values())]
    when = f"it was looked at after {listed(done)} seeds of each variant" if done else "it was not looked at yet"
    decided = decisions(study, cells)
    n_decided = sum(each.verdict is not None for each in decided)
    if done and n_decided < len(decided):
        when += f", which decided {n_decided} of {len(decided)}"
        when += ", and the rest stays open" if done[-1] == known["seeds"][-1] else " so far"
    order = f" in the order {', '.join(known['order'])}" if known["order"] else ""
    seeds, spending = known["seeds"], SPENDING[known["spending"]]
    return (
        f"Seeds were to be added until every comparison of the primary metric on {study.spec['evaluations'][0]} is "
        f"decided, from {seeds[0]} to {seeds[-1]} of each variant; {when}. Over these looks 5 % were spent (alpha "
        f"spending of {spending}){order}: p-values of the primary metric are overall ones, and its intervals are "
        "repeated confidence intervals, which hold whatever made the study stop and are wider than those of a number "
        "of seeds that was fixed before. All else, pairs of other variants too, is told as if there had been one look."
    )


def adjusted_by(study: Study) -> str:
    """How p-values of comparisons with the baseline are adjusted for being several, in a word or two."""
    return "in order" if (study.spec["looks"] or {}).get("order") else "Holm"


def outside_plan(study: Study) -> Iterator[str]:
    """What of the seeds that there are was not planned."""
    known, counts = study.spec["looks"], seeds_of(study)
    if before := study.spec["plans_before"]:
        planned = max(len({trial["seed"] for trial in each["trials"]}) for each in study.spec["variants"].values())
        plans = [name for name, _ in groupby(map(_plan, [*before, known or {"seeds": [planned]}]))]
        held = "the looks of the last plan" if known else "one look"
        if len(plans) > 1:
            yield (
                f"Planned anew: first {', then '.join(plans)}. Scores may have been seen in between; the error is held "
                f"over {held} alone."
            )
        most = max(each.get("trained", 0) for each in before)
        if most > planned:
            yield (
                f"Left out: {most} seeds of a variant were trained under an earlier plan, and {planned} are shown. "
                "Which were left out may have been chosen by their scores."
            )
    if not known:
        return
    most = known["seeds"][-1]
    beyond = [variant for variant, count in counts.items() if count > most]
    if beyond:
        yield (
            f"More seeds than planned: {listed(beyond)}, where the plan ends at {most}. Those that every variant has "
            "count as the last look, which was not planned so."
        )
    waiting = [variant for variant, count in counts.items() if count > min(counts.values())]
    if waiting and not beyond:
        yield f"In the midst of a round: the last seeds of {listed(waiting)} wait for those of the others."


def _plan(plan: dict[str, Any]) -> str:
    numbers = plan["seeds"]
    return (
        counted(numbers[0], "seed") if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds until it is decided"
    )
