"""Published results: a finished study packed into a folder with the report that its files give, and checked again."""

import csv
import datetime
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from math import isclose, isfinite
from pathlib import Path
from typing import Any

from ..bench.errors import MedbenchError
from ..bench.store.provenance import code, package_version
from ..bench.store.records import MANIFEST, file_digest, read_json, sealed_folder
from .load import load_studies
from .notes import counted
from .packing import check_sizes, pack
from .page import Record, write_report
from .unpacking import UNLISTED, restore, unlisted, wrong_files

# Keys of sentences, which another version of medbench may word otherwise; whatever else is told must be found again.
SENTENCES = {
    "label",
    "effect",
    "rest",
    "may",
    "not_shown",
    "caveat",
    "brief",
    "abstract",
    "cost",
    "text",
    "why",
    "reason",
    "warnings",
}
EQUAL = 1e-6  # relative difference of numbers that are the same, though another machine adds them up in another order


def publish(store: Path, name: str, out: Path, *, date: datetime.date, partial: bool = False) -> Path:
    """Writes the store's study of that name into the new folder `out`, in one step, and returns its index.html.

    The report, with its tables, is made from the files in the folder, not from the store.

    Raises:
        MedbenchError: the study is not finished and `partial` is False, the folder holds something, or a file would be
            too large.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MedbenchError(f"{out}: there is something already; name a new folder, or remove this one")
    [study] = load_studies([store], only=name)
    if study.missing and not partial:
        first, *others = study.missing
        more = f", and {counted(len(others), 'thing')} more" if others else ""
        raise MedbenchError(
            f"{store}: {name} is not finished ({first}{more}); finish it with `medbench run`, or publish "
            "what there is with --partial"
        )
    made = {"medbench": package_version("medbench"), **code()}
    record = Record(study=name, folder=out.resolve().name, date=date.isoformat(), **made)
    with sealed_folder(out, {"published": asdict(record)}) as folder:
        pack(study, store, folder)
        with _reported(folder, record) as report:
            for part in ("index.html", "report.json"):
                shutil.copy(report / part, folder)
            shutil.copytree(report / "tables", folder / "tables", ignore=shutil.ignore_patterns("*.parquet"))
        check_sizes(folder)
    return out / "index.html"


@contextmanager
def _reported(folder: Path, record: Record) -> Generator[Path]:
    """Gives the folder of the report that is made from the files in a packed one."""
    with tempfile.TemporaryDirectory() as place:
        store, report = Path(place, "store"), Path(place, "report")
        restore(folder, store)
        write_report([store], report, record=record, keep=_of_the_primary_metric)
        yield report


def _of_the_primary_metric(facts: dict[str, Any]) -> dict[str, Any]:
    """Comparisons on other metrics are most of a large report, and tables/ has them too."""
    long = [key for key in ("comparisons", "compared") if key in facts]
    return facts | {key: [row for row in facts[key] if row["metric"] == facts["primary"]] for key in long}


def record_of(folder: Path) -> Record:
    """What the manifest of a published result says of it; MedbenchError where it says nothing."""
    try:
        return Record(**read_json(folder / MANIFEST)["published"])
    except (KeyError, TypeError) as error:
        raise MedbenchError(f"{folder / MANIFEST}: not the manifest of a published result") from error


def problems(folder: Path) -> Iterator[str]:
    """A line for each file of a published result that is not as its manifest lists it. Where its other files are, one
    too for each number, name and verdict in report.json and tables/*.csv that they do not give, and one if index.html
    is the page of another report.json.

    What a page or a table for print shows is not read, nor what sentences say: another version may word them otherwise.
    """
    record, found = record_of(folder), wrong_files(folder)
    yield from found
    more = (f"{folder / name}: {UNLISTED}" for name in unlisted(folder))
    yield from (line for line in more if line not in found)
    if found:
        return
    page = folder / "index.html"
    if file_digest(folder / "report.json") not in page.read_text(encoding="utf-8"):
        yield f"{page}: not the page of report.json, whose SHA-256 it does not name"
    with _reported(folder, record) as report:
        for path in (folder / "report.json", *sorted(folder.glob("tables/*.csv"))):
            name = path.relative_to(folder)
            yield from _differences(_values(path), _values(report / name), str(name))


def _values(path: Path) -> Any:
    """What a file of a report says; nothing where there is none."""
    if not path.is_file():
        return None
    if path.suffix == ".json":
        return read_json(path)
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: _number(text) for key, text in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> float | str:
    try:
        return number if isfinite(number := float(text)) else text
    except ValueError:
        return text


def _differences(told: Any, found: Any, where: str) -> Iterator[str]:
    """What a report tells and its recomputation does not find."""
    if isinstance(told, dict) and isinstance(found, dict):
        for key, value in told.items():
            if key in SENTENCES and not isinstance(value, dict | int | float):
                continue
            if key in found:
                yield from _differences(value, found[key], f"{where}: {key}")
            else:
                yield f"{where}: {key} is told, and the files give none"
    elif isinstance(told, list) and isinstance(found, list) and len(told) == len(found):
        for position, (one, other) in enumerate(zip(told, found, strict=True)):
            yield from _differences(one, other, f"{where}[{position}]")
    elif not _same(told, found):
        yield f"{where}: {_short(told)} is told, the files give {_short(found)}"


def _same(told: Any, found: Any) -> bool:
    if isinstance(told, bool) or not isinstance(told, int | float) or not isinstance(found, int | float):
        return told == found
    return isclose(told, found, rel_tol=EQUAL, abs_tol=1e-12)


def _short(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, list | dict) else repr(value)
