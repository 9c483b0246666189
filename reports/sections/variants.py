"""Every variant's scores on the evaluations without artifact, what it costs, and the settings in which they differ."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...bench.stats import summarize
from ..evidence import Evidence, Row
from ..naming import kinds
from ..notes import digits_of, heading
from ..section import Part, Section
from ..tables import KNOWN, Cells, differing_settings

MAIN_METRICS = (
    "dice",
    "iou",
    "sensitivity",
    "specificity",
    "hd95",
    "hd95_mm",
    "false_alarm",
    "artifact_fpr",
)  # in the page; the CSV has all

WIDTH, EDGE = 120, 5  # of a sparkline, in its own units


@dataclass(frozen=True, slots=True)
class Facts:
    variants: list[Row]
    """The rows of `tables.variants_table`."""
    differing_settings: dict[str, Row]
    """By setting and variant, `tables.differing_settings`."""


def make(evidence: Evidence) -> Part:
    shown = {name: _metrics(evidence, name) for name in evidence.spec["evaluations"]}
    return Part(
        facts=Facts(evidence.variant_rows, differing_settings(evidence.study)),
        is_shown=True,
        tables={"variants": evidence.variants},
        excerpts={"variants": _excerpt(evidence)},
        view={
            "metrics": shown,
            "hairless": evidence.hairless,
            "sparks": {name: sparks(evidence.cells, name, evidence.primary) for name in shown},
        },
    )


def main_metrics(primary: str) -> list[str]:
    """The metrics that fit a page, the primary one first."""
    return list(dict.fromkeys([primary, *MAIN_METRICS]))


def _metrics(evidence: Evidence, evaluation: str) -> list[str]:
    """The main metrics that some variant has a mean of on the evaluation."""
    rows = [row for row in evidence.variant_rows if row["evaluation"] == evaluation]
    return [
        metric
        for metric in main_metrics(evidence.primary)
        if any(row.get(f"{metric}_mean") is not None for row in rows)
    ]


def _excerpt(evidence: Evidence) -> pd.DataFrame:
    """Mean and SD over seeds of the main metrics, as text."""
    rows: list[Row] = []
    for row in evidence.variant_rows:
        cells = {"evaluation": row["evaluation"], "variant": row["variant"], "seeds": row["n_seeds"]}
        for metric in main_metrics(evidence.primary):
            if row.get(f"{metric}_mean") is not None:
                digits = digits_of(metric)
                deviation = row[f"{metric}_sd_seeds"]
                spread = "" if deviation is None else f" ± {deviation:.{digits}f}"
                cells[f"{heading(metric)}, mean ± SD over seeds"] = f"{row[f'{metric}_mean']:.{digits}f}{spread}"
                if metric == evidence.primary and row.get(f"{metric}_class_mean") is not None:
                    by_class = f"{heading(metric)}, mean over {kinds(evidence.study.target)}"
                    cells[by_class] = f"{row[f'{metric}_class_mean']:.{digits}f}"
        rows.append(cells)
    return pd.DataFrame(rows).fillna("–")


def sparks(cells: Cells, evaluation: str, metric: str) -> dict[str, Any] | None:
    """Sparklines, on one scale an evaluation: each seed's mean, the mean of all and its interval.

    Positions for the page: by variant `mean`, `low`, `high` (None with one seed), `seeds` and `text`; `low` and
    `high` of the whole are the scale's ends. None without scores."""
    here = {variant: cell for (name, variant), cell in cells.items() if name == evaluation}
    if not here:
        return None
    found = {
        variant: (table.mean(axis="columns").to_numpy(), summary.mean, (summary.ci_low, summary.ci_high))
        for variant, cell in here.items()
        for table in [cell.tables[metric]]
        for summary in [summarize(table.to_numpy(), bounds=KNOWN[metric].bounds, groups=cell.labels(table))]
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


SECTION = Section(name="variants", title="Variants", make=make)
