"""Tables as files: all numbers as CSV, excerpts for print as LaTeX."""

from pathlib import Path

import pandas as pd

from ..bench.store.records import write_text

LATEX = {"−": "$-$", "±": r"$\pm$", "<": "$<$", "≥": r"$\geq$", "–": "--"}  # what pandas leaves as it is


def write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False))


def write_latex(path: Path, excerpt: pd.DataFrame) -> None:
    """Writes a table of text for LaTeX with booktabs."""
    latex = excerpt.to_latex(index=False, escape=True)
    for character, macro in LATEX.items():
        latex = latex.replace(character, macro)
    write_text(path, latex)
