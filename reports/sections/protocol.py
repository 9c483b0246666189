"""What protocol does to these numbers: the same trainings, scored as this literature scores."""

from dataclasses import asdict, dataclass
from typing import Any

from ..evidence import Evidence, Row
from ..notes import number
from ..other_protocols import WAYS, protocol_table
from ..section import Part, Section
from ..tables import KNOWN, records

ABOUT = ("dice", "iou")  # headline numbers of this literature


@dataclass(frozen=True, slots=True)
class Facts:
    other_protocols: list[Row]
    """The rows of `protocol_table`."""


def make(evidence: Evidence) -> Part:
    table = protocol_table(evidence.study, evidence.cells)
    rows = records(table)
    ways = _ways(evidence, rows)
    readings = [text for metric in ABOUT if (text := _reading(ways, evidence.baseline, metric))]
    return Part(
        facts=Facts(rows),
        is_shown=bool(rows),
        tables={"protocol": table} if rows else {},
        view={"ways": ways, "readings": readings},
    )


def _ways(evidence: Evidence, rows: list[Row]) -> list[dict[str, Any]]:
    """For each way what it makes of the baseline, between what it changes all variants, and whose places change."""
    found: list[dict[str, Any]] = []
    for way in WAYS:
        here = [row for row in rows if row["way"] == way.name]
        if here:
            own = next((row for row in here if row["variant"] == evidence.baseline), None)
            changes = [row["change"] for row in here]
            found.append(
                {
                    **asdict(way),
                    "title": KNOWN[way.metric].label,
                    "own": own,
                    "least": min(changes),
                    "most": max(changes),
                    "n": len(here),
                    "moved": [row["variant"] for row in here if row["place"] != row["place_ours"]],
                }
            )
    return found


def _reading(ways: list[dict[str, Any]], baseline: str, metric: str) -> str:
    """Between what the baseline reads by protocol alone, a sentence; empty where nothing is known."""
    own = [way["own"] for way in ways if way["metric"] == metric and way["own"]]
    if not own:
        return ""
    values = [own[0]["ours"], *(row["value"] for row in own)]
    moved = [way["label"] for way in ways if way["metric"] == metric and way["moved"]]
    order = f" Scored in these ways the variants stand in another order: {'; '.join(moved)}." if moved else ""
    return (
        f"By protocol alone, {baseline} here reads between {number(min(values))} and {number(max(values))} "
        f"{KNOWN[metric].label}, where medbench reports {number(values[0])}.{order}"
    )


SECTION = Section(name="protocol", title="Protocol", make=make)
