"""The files beside a page: tables, all numbers as CSV and excerpts for print as LaTeX, and which of them are left of an
earlier report."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from ..bench.errors import MedbenchError
from ..bench.store.records import file_digest, read_json, write_text

FOLDERS = ("tables", "figures", "pictures")  # that a report writes beside its page
LATEX = {"−": "$-$", "±": r"$\pm$", "<": "$<$", "≥": r"$\geq$", "–": "--"}  # what pandas leaves as it is


def write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False))


def write_latex(path: Path, excerpt: pd.DataFrame) -> None:
    """Writes a table of text for LaTeX with booktabs."""
    latex = excerpt.to_latex(index=False, escape=True)
    for character, macro in LATEX.items():
        latex = latex.replace(character, macro)
    write_text(path, latex)


def digests(out: Path, written: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of the files that a report wrote beside its page, by their names there."""
    return {path.relative_to(out).as_posix(): file_digest(path) for path in sorted(written)}


def earlier(out: Path) -> dict[str, str]:
    """The same of the report that the folder holds; nothing where there is none, or one of an older medbench."""
    try:
        return {name: str(digest) for name, digest in read_json(out / "report.json")["files"].items()}
    except (MedbenchError, KeyError, TypeError, AttributeError):
        return {}


def remove(out: Path, before: Mapping[str, str], *, kept: Collection[str]) -> None:
    """Removes what an earlier report wrote, as long as it is as that wrote it, and folders that are empty then."""
    for name, digest in before.items():
        path, parts = out / name, PurePosixPath(name).parts
        is_beside = len(parts) > 1 and parts[0] in FOLDERS and ".." not in parts
        if is_beside and name not in kept and path.is_file() and file_digest(path) == digest:
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
