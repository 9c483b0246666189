"""Sparklines of the variants table: each seed's mean, the mean of all and its interval, on one scale an evaluation."""

from typing import Any

import numpy as np

from ..bench.stats import summarize
from .tables import Cells

WIDTH, EDGE = 120, 5  # of the drawing, in its own units


def sparks(cells: Cells, evaluation: str, metric: str) -> dict[str, Any] | None:
    """Positions for the page: by variant `mean`, `low`, `high` (None with one seed), `seeds` and `text`; `low` and
    `high` of the whole are the scale's ends. None without scores."""
    here = {variant: cell.tables[metric] for (name, variant), cell in cells.items() if name == evaluation}
    if not here:
        return None
    found = {
        variant: (table.mean(axis="columns").to_numpy(), summarize(table.to_numpy())) for variant, table in here.items()
    }
    values = [*np.concatenate([means for means, _ in found.values()])]
    values += [each for _, summary in found.values() for each in (summary.ci_low, summary.ci_high) if each is not None]
    low, high = float(min(values)), float(max(values))

    def place(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(EDGE + share * (WIDTH - 2 * EDGE), 1)

    rows: dict[str, Any] = {}
    for variant, (means, summary) in found.items():
        has_interval = summary.ci_low is not None and summary.ci_high is not None
        rows[variant] = {
            "mean": place(summary.mean),
            "low": place(summary.ci_low) if summary.ci_low is not None else None,
            "high": place(summary.ci_high) if summary.ci_high is not None else None,
            "seeds": [place(float(mean)) for mean in means],
            "text": f"mean {summary.mean:.3f}, seeds {', '.join(f'{mean:.3f}' for mean in means)}"
            + (f", 95 % CI {summary.ci_low:.3f} to {summary.ci_high:.3f}" if has_interval else ""),
        }
    return {"low": low, "high": high, "rows": rows}
