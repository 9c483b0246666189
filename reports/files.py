"""The files of stores, each of them read once, however many studies and variants share it."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from ..bench.errors import MedbenchError
from ..bench.store.records import BULKY, MANIFEST, file_digest, is_sealed, parse_yaml, read_json, read_yaml

LONG = 1_000  # characters of a part of a configuration that is worth remembering


class Files:
    """Stores as one pool: a folder is read from whichever holds it. What was read is remembered, so do not change it.

    Args:
        stores: the stores, the first of which has precedence.
    """

    def __init__(self, stores: Sequence[Path]) -> None:
        self.stores = stores
        self.sealed = cache(self._sealed)
        self.damaged = cache(self._damaged)
        self.config = cache(self._config)
        self.json = cache(read_json)
        self.table = cache(self._table)
        self.history = cache(lambda path: read_frame(path) if path.is_file() else None)
        self._long_part = cache(parse_yaml)

    def _sealed(self, place: Path) -> tuple[Path, ...]:
        """The finished copies of a folder, of which a store holds none or one."""
        return tuple(store / place for store in self.stores if is_sealed(store / place))

    def _damaged(self, folder: Path) -> str:
        """The first file of a finished folder that is not what its manifest lists; "" where all are. Weights and
        pictures, which hold no number of a report, are not read."""
        listed = self.json(folder / MANIFEST)["files"].items()
        numbers = ((name, entry["sha256"]) for name, entry in listed if Path(name).suffix not in BULKY)
        return next((name for name, digest in numbers if file_digest(folder / name) != digest), "")

    def sound(self, place: Path) -> Path | None:
        """The first of the finished copies that is not damaged."""
        return next((folder for folder in self.sealed(place) if not self.damaged(folder)), None)

    def _config(self, path: Path) -> dict[str, Any]:
        """A configuration. Its lists of ids, which are the same in most trials and long, are parsed once."""
        try:
            parts = re.split(r"^(?=\w)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)  # before top-level keys
            known: dict[str, Any] = parse_yaml("".join(part for part in parts if len(part) < LONG)) or {}
            for part in parts:
                if len(part) >= LONG:
                    known |= self._long_part(part)
        except (OSError, ValueError, TypeError, yaml.YAMLError):  # parts that mean something only together
            return read_yaml(path)
        return known

    def _table(self, path: Path) -> pa.Table | None:
        """A parquet file; None where there is none."""
        if not path.is_file():
            return None
        table = _parsed(path).replace_schema_metadata()
        return table.select([name for name in table.column_names if not name.startswith("__index_level_")])


def read_frame(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A parquet file, or these columns of it; MedbenchError names the file when it cannot be read."""
    return _parsed(path, columns).to_pandas()


def _parsed(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=columns, use_threads=False)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise MedbenchError(f"{path}: cannot be read as parquet ({error}); see `medbench verify`") from error
