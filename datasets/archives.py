"""Archives of others, unpacked without trust: nothing leaves its folder, nothing grows without end."""

import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, cast

from ..bench.errors import MedbenchError, first_line

MOST_BYTES = 100 * 10**9  # far more than any set that medbench knows
MOST_FILES = 200_000
BLOCK = 1 << 20
LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db")


def unpack(archive: Path, root: Path, on_file: Callable[[int, int], None] = lambda *_: None) -> Path:
    """Unpacks a zip or tar archive into one new folder below `root` and gives it back.

    The folder is called as the archive's only folder at the top, else as the archive. It appears when it is complete.

    Args:
        archive: .zip, .tar, .tar.gz, .tgz, .tar.bz2 or .tar.xz.
        root: made if need be.
        on_file: called with the numbers of files done and to do.

    Raises:
        MedbenchError: it is no such archive or damaged, names a file outside its folder, holds links, devices or
            encrypted files, is larger than a data set would be, or its folder exists already. Nothing is left then.
    """
    root.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(dir=root, prefix=f".{archive.name}.", suffix=".tmp"))
    try:
        with ExitStack() as stack:
            members = list(_members(archive, stack))
            if len(members) > MOST_FILES:
                raise MedbenchError(f"{archive}: {len(members)} files, which no data set has")
            n_bytes = 0
            for done, (name, open_member) in enumerate(members, start=1):
                n_bytes = _write(archive, working, name, open_member, n_bytes)
                on_file(done, len(members))
        top = list(working.iterdir())
        if not top:
            raise MedbenchError(f"{archive}: holds no files")
        alone = len(top) == 1 and top[0].is_dir()
        final = root / (top[0].name if alone else archive.name.split(".")[0])
        if final.exists():
            raise MedbenchError(f"{final}: is there already; move it away to unpack {archive.name} again")
        working.chmod(0o755)
        (top[0] if alone else working).rename(final)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, ValueError) as error:
        raise MedbenchError(f"{archive}: cannot be unpacked ({first_line(error)}); fetch it again") from error
    except OSError as error:
        raise MedbenchError(f"{archive}: cannot be unpacked into {root} ({error.strerror or error})") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return final


Member = tuple[str, Callable[[], IO[bytes]]]


def _members(archive: Path, stack: ExitStack) -> Iterator[Member]:
    """Name and opener of every regular file."""
    if archive.suffix.lower() in (".rar", ".7z"):
        raise MedbenchError(
            f"{archive}: this kind of archive is not read here; unpack it yourself, `bsdtar -xf {archive.name}` say, "
            "and move the folder into the set's"
        )
    if zipfile.is_zipfile(archive):
        packed = stack.enter_context(zipfile.ZipFile(archive))
        for entry in packed.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.flag_bits & 1:
                raise MedbenchError(f"{archive}: {entry.filename} is encrypted")
            if entry.is_dir() and kind in (0, stat.S_IFDIR):
                continue
            if kind not in (0, stat.S_IFREG):
                raise MedbenchError(f"{archive}: {entry.filename} is a link or a device, which no data set needs")
            yield entry.orig_filename, lambda entry=entry: packed.open(entry)
    elif tarfile.is_tarfile(archive):
        tar = stack.enter_context(tarfile.open(archive))  # noqa: SIM115
        for entry in tar:
            if entry.isdir():
                continue
            if not entry.isreg():
                raise MedbenchError(f"{archive}: {entry.name} is a link or a device, which no data set needs")
            yield entry.name, lambda entry=entry: cast(IO[bytes], tar.extractfile(entry))
    else:
        raise MedbenchError(f"{archive}: neither a zip nor a tar archive")


def _write(archive: Path, working: Path, name: str, open_member: Callable[[], IO[bytes]], n_bytes: int) -> int:
    """Writes one file, and gives the bytes written so far: what a header says of sizes is not believed."""
    path = PurePosixPath(name)
    odd = "\\" in name or "\0" in name or ":" in name or not path.parts
    if odd or path.is_absolute() or ".." in path.parts:
        raise MedbenchError(f"{archive}: names a file outside its folder or with an odd name, {name!r}")
    if any(part in LITTER or part.startswith("._") for part in path.parts):
        return n_bytes
    target = working / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_member() as source, target.open("xb") as file:
        while block := source.read(BLOCK):
            n_bytes += len(block)
            if n_bytes > MOST_BYTES:
                raise MedbenchError(f"{archive}: unpacks to more than {MOST_BYTES // 10**9} GB, which no data set has")
            file.write(block)
    return n_bytes
