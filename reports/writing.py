"""The tables of a report as files: all numbers as CSV or parquet, an excerpt for print as LaTeX."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..bench.records import write_bytes, write_text
from . import notes
from .deployment import Machine, excerpt, scores_table, timings_table
from .load import Study
from .tables import records

MAIN_METRICS = ("dice", "iou", "sensitivity", "specificity", "hd95", "artifact_fpr")  # in the page; the CSV has all
LATEX = {"−": "$-$", "±": r"$\pm$", "<": "$<$", "≥": r"$\geq$", "–": "--"}  # what pandas leaves as it is


def write_tables(
    folder: Path,
    study: Study,
    variants: pd.DataFrame,
    comparisons: pd.DataFrame,
    evidence: Mapping[str, pd.DataFrame],
    scores: pd.DataFrame,
    machines: Sequence[Machine],
) -> None:
    """Writes <study>-{variants,comparisons}.csv with every metric and an excerpt for print as LaTeX (.tex, booktabs),
    <study>-per-image.parquet with every score, and of `evidence` what is not empty as <study>-<name>.csv. Where the
    study's models were measured on machines: <study>-deployment.csv with every timing and its excerpt, and
    <study>-deployment-scores.csv."""
    stem = folder / study.name
    _write(variants, f"{stem}-variants", _variants_excerpt(variants, study.spec["primary"]))
    _write(comparisons, f"{stem}-comparisons", _comparisons_excerpt(comparisons, study.spec["primary"]))
    for name, table in evidence.items():
        if len(table):
            write_text(Path(f"{stem}-{name}.csv"), table.to_csv(index=False))
    if machines:
        _write(timings_table(study, machines), f"{stem}-deployment", excerpt(study, machines))
        if len(changed := scores_table(study, machines)):
            write_text(Path(f"{stem}-deployment-scores.csv"), changed.to_csv(index=False))
    write_bytes(Path(f"{stem}-per-image.parquet"), scores.to_parquet(index=False, compression="zstd"))


def main_metrics(primary: str) -> list[str]:
    """The metrics that fit a page, the primary one first."""
    return list(dict.fromkeys([primary, *MAIN_METRICS]))


def _write(table: pd.DataFrame, stem: str, excerpt: pd.DataFrame) -> None:
    """The whole table as CSV, its excerpt for print as LaTeX (booktabs)."""
    write_text(Path(f"{stem}.csv"), table.to_csv(index=False))
    latex = excerpt.to_latex(index=False, escape=True)
    for character, macro in LATEX.items():
        latex = latex.replace(character, macro)
    write_text(Path(f"{stem}.tex"), latex)


def _variants_excerpt(variants: pd.DataFrame, primary: str) -> pd.DataFrame:
    """Mean and SD over seeds of the main metrics, as text."""
    rows: list[dict[str, Any]] = []
    for row in records(variants):
        cells = {"evaluation": row["evaluation"], "variant": row["variant"], "seeds": row["n_seeds"]}
        for metric in main_metrics(primary):
            if row.get(f"{metric}_mean") is not None:
                digits = notes.digits_of(metric)
                deviation = row[f"{metric}_sd_seeds"]
                spread = "" if deviation is None else f" ± {deviation:.{digits}f}"
                cells[f"{notes.heading(metric)}, mean ± SD over seeds"] = f"{row[f'{metric}_mean']:.{digits}f}{spread}"
        rows.append(cells)
    return pd.DataFrame(rows).fillna("–")


def _comparisons_excerpt(comparisons: pd.DataFrame, primary: str) -> pd.DataFrame:
    """The comparisons on the primary metric, as text."""
    digits = notes.digits_of(primary)
    return pd.DataFrame(
        [
            {
                "evaluation": row["evaluation"],
                "variant": row["variant"],
                f"difference in {notes.heading(primary)}": notes.signed(row["difference"], digits),
                "95 % CI": "–"
                if row["ci_low"] is None
                else f"[{notes.signed(row['ci_low'], digits)}, {notes.signed(row['ci_high'], digits)}]",
                "p (Holm)": notes.p_text(row["p_adjusted"]),
                "claim": row["claim"],
            }
            for row in records(comparisons)
            if row["metric"] == primary
        ]
    )
