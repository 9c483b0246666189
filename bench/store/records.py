"""What is written to disk, and how: canonical bytes, digests, atomic files, and folders sealed by a manifest.

A folder with a valid `manifest.json` is finished work; without one it is unfinished and nobody reads it.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ..errors import MedbenchError

MANIFEST = "manifest.json"
BULKY = {".safetensors", ".png", ".jpg"}  # weights are read where they are used; pictures are many, and no number


def canonical(value: Any) -> bytes:
    """UTF-8 JSON of plain values with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def short_id(value: Any) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the canonical bytes of `value`."""
    return hashlib.sha256(canonical(value)).hexdigest()[:16]


def same_trials(variants: Mapping[str, Any]) -> list[list[str]]:
    """Of the variants in a study's record, the groups whose settings come to the very same trials, tested on the very
    same images."""
    groups: dict[frozenset[tuple[str, ...]], list[str]] = {}
    for name, known in variants.items():
        trials = {(entry["trial"], *sorted(entry.get("evaluations", {}).values())) for entry in known["trials"]}
        groups.setdefault(frozenset(trials), []).append(name)
    return [names for trials, names in groups.items() if trials and len(names) > 1]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes a file in one step: readers see the old content or the new, never a part."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """The same of bytes; `durable` waits until the disk has them before they get their name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(name).chmod(0o644)  # mkstemp makes files that only their owner can read
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Writes plain values as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_yaml(path: Path, value: Any) -> None:
    """Writes plain values as YAML in the order given, atomically."""
    write_text(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120))


def read_json(path: Path) -> Any:
    """Reads a JSON file; MedbenchError names the file when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MedbenchError(f"{path}: cannot be read as JSON ({error})") from error


def read_yaml(path: Path) -> Any:
    """Reads a YAML file of plain values; MedbenchError names the file when it is missing or not YAML."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise MedbenchError(f"{path}: cannot be read as YAML ({error})") from error


def parse_yaml(text: str) -> Any:
    """Plain values from YAML; yaml.YAMLError when it is none."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # C is ten times as fast on long lists


@contextmanager
def sealed_folder(final: Path, about: Mapping[str, Any] | None = None) -> Generator[Path]:
    """Gives an empty folder beside `final`; when the block ends well, seals it with a manifest, which says first what
    `about` does, and renames it.

    An unfinished folder that stands at `final` is replaced; a finished one is left, and the new work dropped: both
    are functions of the same configuration. When the block fails, nothing remains.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.", suffix=".tmp"))
    try:
        working.chmod(0o755)
        yield working
        files = sorted(path for path in working.rglob("*") if path.is_file())
        entries = {
            path.relative_to(working).as_posix(): {"sha256": file_digest(path), "bytes": path.stat().st_size}
            for path in files
        }
        write_json(working / MANIFEST, {**(about or {}), "files": entries})
        if final.exists() and not is_sealed(final):
            shutil.rmtree(final)
        try:
            working.rename(final)
        except OSError:
            if not is_sealed(final):  # else another process was first
                raise
    finally:
        shutil.rmtree(working, ignore_errors=True)


def is_sealed(folder: Path) -> bool:
    """Whether the folder is finished work: its manifest is valid and every file that it lists has the listed size."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == entry["bytes"] for name, entry in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def is_sound(folder: Path) -> bool:
    """Whether the folder is finished work whose numbers are what was written: as `is_sealed`, and the digests of all
    files but `BULKY` ones fit the manifest."""
    return is_sealed(folder) and not damage(folder, spare=BULKY)


def damage(folder: Path, *, spare: Collection[str] = ()) -> list[str]:
    """One line for each file of a sealed folder that is missing or differs from the manifest; empty when sound. Files
    with an ending of `spare` are not read."""
    problems: list[str] = []
    try:
        digests: dict[str, str] = {
            name: entry["sha256"] for name, entry in read_json(folder / MANIFEST)["files"].items()
        }
    except (KeyError, TypeError, AttributeError):
        return [f"{folder / MANIFEST}: not a manifest"]
    for name, digest in digests.items():
        path = folder / name
        if path.suffix in spare:
            continue
        if not path.is_file():
            problems.append(f"{path}: missing")
        elif file_digest(path) != digest:
            problems.append(f"{path}: SHA-256 differs from the manifest's")
    return problems
