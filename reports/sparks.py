"""Sparklines of the variants table: each seed's mean, the mean of all and its interval, on one scale an evaluation."""

from typing import Any

import numpy as np

from ..bench.stats import summarize
from .tables import KNOWN, Cells

WIDTH, EDGE = 120, 5  # of the drawing, in its own units


def sparks(cells: Cells, evaluation: str, metric: str) -> dict[str, Any] | None:
    """Positions for the page: by variant `mean`, `low`, `high` (None with one seed), `seeds` and `text`; `low` and
    `high` of the whole are the scale's ends. None without scores."""
    here = {variant: cell.tables[metric] for (name, variant), cell in cells.items() if name == evaluation}
    if not here:
        return None
    found = {
        variant: (table.mean(axis="columns").to_numpy(), summary.mean, (summary.ci_low, summary.ci_high))
        for variant, table in here.items()
        for summary in [summarize(table.to_numpy(), bounds=KNOWN[metric].bounds)]
    }
    values = [*np.concatenate([means for means, *_ in found.values()])]
    values += [each for *_, ends in found.values() for each in ends if each is not None]
    low, high = float(min(values)), float(max(values))

    def place(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(EDGE + share * (WIDTH - 2 * EDGE), 1)

    rows: dict[str, Any] = {}
    for variant, (means, mean, (first, last)) in found.items():
        text = f"mean {mean:.3f}, seeds {', '.join(f'{each:.3f}' for each in means)}"
        rows[variant] = {
            "mean": place(mean),
            "low": None if first is None else place(first),
            "high": None if last is None else place(last),
            "seeds": [place(float(each)) for each in means],
            "text": text if first is None else f"{text}, 95 % CI {first:.3f} to {last:.3f}",
        }
    return {"low": low, "high": high, "rows": rows}
