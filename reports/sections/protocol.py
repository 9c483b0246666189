"""What protocol does to these numbers: the same trainings, scored as this literature scores."""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

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
    table = evidence.once(_table)
    rows = records(table)
    return Part(
        facts=Facts(rows),
        is_shown=bool(rows),
        tables={"protocol": table} if rows else {},
        view={
            "ways": _ways(evidence, rows),
            "readings": [text for metric in ABOUT if (text := reading(evidence, metric))],
        },
    )


def _table(evidence: Evidence) -> pd.DataFrame:
    return protocol_table(evidence.study, evidence.cells)


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


def reading(evidence: Evidence, metric: str) -> str:
    """Between what the baseline reads by protocol alone, a sentence; empty where nothing is known."""
    rows = [
        row for row in records(evidence.once(_table)) if row["variant"] == evidence.baseline and row["metric"] == metric
    ]
    if not rows:
        return ""
    values = [rows[0]["ours"], *(row["value"] for row in rows)]
    moved = [way.label for way in WAYS if way.metric == metric and _moves(evidence, way.name)]
    order = f" Scored in these ways the variants stand in another order: {'; '.join(moved)}." if moved else ""
    return (
        f"By protocol alone, {evidence.baseline} here reads between {number(min(values))} and {number(max(values))} "
        f"{KNOWN[metric].label}, where medbench reports {number(rows[0]['ours'])}.{order}"
    )


def _moves(evidence: Evidence, way: str) -> bool:
    rows = [row for row in records(evidence.once(_table)) if row["way"] == way]
    return any(row["place"] != row["place_ours"] for row in rows)


SECTION = Section(name="protocol", title="Protocol", make=make)
