"""Tables of images: who belongs to which group, and what else is said of an image."""

import csv
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ..bench.errors import MedbenchError
from .reading import IMAGE_ENDINGS, MORE_ENDINGS, ending_of


def groups_of(table: Path | None, image: str, keys: tuple[str, ...]) -> dict[str, str]:
    """For each image of a table the first id of its group: the images that share a value in any of the columns `keys`.

    Sharing is passed on (A and B share a lesion, B and C a patient: one group). Empty cells share nothing.
    """
    if table is None:
        return {}
    rows = read_rows(table, (image, *keys))
    leader: dict[str, str] = {}

    def lead(node: str) -> str:
        while leader.setdefault(node, node) != node:
            leader[node] = node = leader[leader[node]]
        return node

    ids: list[str] = []
    told: dict[tuple[str, str], str] = {}
    for row in rows:
        if not (id := id_of(row[image])):
            continue
        ids.append(id)
        for key in keys:
            if value := (row[key] or "").strip():
                if (before := told.setdefault((id, key), value)) != value:
                    raise MedbenchError(
                        f"{table}: {key} of {id} is {before} in one row and {value} in another; keep one"
                    )
                leader[lead(f"{key}={value}")] = lead(f"image={id}")
    first: dict[str, str] = {}
    for id in sorted(ids):
        first.setdefault(lead(f"image={id}"), id)
    return {id: first[lead(f"image={id}")] for id in ids}


def read_rows(table: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a UTF-8 table, by comma, semicolon or tab; MedbenchError where it cannot be read or a column of
    `columns` is missing."""
    rows = _opened(table)
    for column in columns:
        if column not in (rows.fieldnames or ()):
            raise MedbenchError(f"{table}: no column {column!r}; {columns_told(table)}")
    return [{str(key): value or "" for key, value in row.items() if key is not None} for row in rows]


def columns_told(*tables: Path) -> str:
    """The columns of such tables, for a message."""
    return f"there are {', '.join(map(repr, columns_of(*tables))) or 'none'}"


def columns_of(*tables: Path) -> tuple[str, ...]:
    """The columns of such tables, each once."""
    return tuple(dict.fromkeys(column for table in tables for column in _opened(table).fieldnames or ()))


def table_of(tables: Sequence[Path], column: str) -> Path:
    """The one of a set's tables that has a column; MedbenchError where none has it, or two have."""
    having = [table for table in tables if column in columns_of(table)]
    if not having:
        told = " and ".join(map(str, tables))
        raise MedbenchError(f"{told}: no column {column!r}; {columns_told(*tables)}")
    if len(having) > 1:
        raise MedbenchError(
            f"{having[0]}: has a column {column!r}, and so has {having[1].name}: take it out of one of them, or say "
            f"which with table: {having[0].name} in dataset.yaml"
        )
    return having[0]


def _opened(table: Path) -> "csv.DictReader[str]":
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MedbenchError(f"{table}: cannot be read as a UTF-8 table ({error})") from error
    header = text.partition("\n")[0]
    delimiter = next((mark for mark in "\t;" if mark in header), ",")
    return csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)


def id_of(named: str) -> str:
    """The id of an image that a table names with or without its ending."""
    named = unicodedata.normalize("NFC", named.strip())
    ending = ending_of(Path(named))
    return named[: -len(ending)] if ending.lower() in IMAGE_ENDINGS | MORE_ENDINGS else named
