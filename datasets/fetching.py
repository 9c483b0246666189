"""Data sets from their publishers: downloaded in pieces that survive an interruption, checked, then unpacked."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pooch
import requests

from ..bench.errors import MedbenchError, UnknownNameError, first_line
from ..bench.store.records import file_digest
from .archives import unpack
from .catalog import DATASETS, Archive

TRIES = 5  # in a row without a single new byte
WAIT_S = 1.0  # before the second try; doubled before each further one
TIMEOUT_S = 60.0
BLOCK = 1 << 20
LARGEST = 20 * 10**9

Show = Callable[[str, int, int], None]


def fetch(name: str, data: Path, *, parts: list[str] | None = None, show: Show = lambda *_: None) -> list[Path]:
    """Downloads and unpacks the archives of a set that are not there yet; gives the folders that are new.

    Args:
        name: a set that is offered for download: "isic2018".
        data: the data folder; the set comes into `<data>/<name>/`.
        parts: training, validation, test; all where None.
        show: called with what is done, how much of it and of how much.

    Raises:
        MedbenchError: the set cannot be downloaded, the connection broke off for good (the next call goes on from
            there), or the bytes are not the publisher's.
    """
    if name not in DATASETS:
        raise UnknownNameError("data set", name, DATASETS)
    archives = DATASETS[name].archives
    if not archives:
        raise MedbenchError(f"{name}: not to be had by a download alone; {DATASETS[name].how}")
    offered = sorted({archive.part for archive in archives})
    for part in parts or ():
        if part not in offered:
            raise MedbenchError(f"{name}: no part {part!r}; it has {', '.join(offered)}")
    root, new = data / name, list[Path]()
    downloads = root / ".downloads"
    for archive in archives:
        if (parts and archive.part not in parts) or (root / archive.name.split(".")[0]).exists():
            continue
        path = download(archive, downloads, show)
        new.append(
            unpack(path, root, lambda done, total, archive=archive: show(f"unpacking {archive.name}", done, total))
        )
        path.unlink()
        with suppress(OSError):  # it may hold the beginning of another archive
            downloads.rmdir()
    return new


def take(name: str, data: Path, archive: Path, show: Show = lambda *_: None) -> Path:
    """Unpacks an archive that the user has into the set's folder; one that medbench knows by name is checked.

    Raises:
        MedbenchError: there is no such file, its bytes are not the publisher's, or it cannot be unpacked.
    """
    if name not in DATASETS or DATASETS[name].read is None:
        known = ", ".join(each for each, dataset in DATASETS.items() if dataset.read)
        raise MedbenchError(f"{name}: no data set with files; they are {known}")
    if not archive.is_file():
        raise MedbenchError(f"{archive}: no such file")
    for known in DATASETS[name].archives:
        if known.name == archive.name and file_digest(archive) != known.sha256:
            raise MedbenchError(f"{archive}: its SHA-256 is not that of the publisher's file ({known.sha256})")
    return unpack(archive, data / name, lambda done, total: show(f"unpacking {archive.name}", done, total))


def download(archive: Archive, folder: Path, show: Show = lambda *_: None) -> Path:
    """The archive in `folder`, under its name once its digest is right."""
    pooch.get_logger().setLevel("ERROR")
    folder.mkdir(parents=True, exist_ok=True)

    def resuming(url: str, output_file: str, _: Any) -> None:
        part = folder / f"{archive.name}.part"
        _download(url, part, lambda done, total: show(f"fetching {archive.name}", done, total))
        part.replace(output_file)

    downloader: Any = resuming  # pooch's own type for it knows other names of the arguments
    try:
        return Path(
            pooch.retrieve(archive.url, f"sha256:{archive.sha256}", archive.name, path=folder, downloader=downloader)
        )
    except ValueError as error:  # pooch has removed it
        raise MedbenchError(
            f"{archive.url}: its SHA-256 is not the publisher's, nothing was kept; try again, or fetch it by hand"
        ) from error
    except OSError as error:
        raise MedbenchError(f"{folder}: cannot be written to ({error.strerror or first_line(error)})") from error


def _download(url: str, part: Path, show: Callable[[int, int], None]) -> None:
    """Appends to `part` until the server has no more, however often it breaks off."""
    tries, wait = 0, WAIT_S
    while True:
        have = part.stat().st_size if part.is_file() else 0
        try:
            if _append(url, part, have, show):
                return
            problem = "the server sent less than it promised"
        except requests.RequestException as error:
            if isinstance(error, requests.HTTPError) and getattr(error.response, "status_code", 500) < 500:
                raise MedbenchError(f"{url}: {first_line(error)}") from error
            is_away = isinstance(error, requests.ConnectionError) and "NameResolution" in str(error)
            problem = "no connection to it" if is_away else first_line(error)
        now = part.stat().st_size if part.is_file() else 0
        tries, wait = (1, WAIT_S) if now > have else (tries + 1, 2 * wait)
        if tries >= TRIES:
            raise MedbenchError(f"{url}: broke off at {now} bytes ({problem}); the same command goes on from there")
        time.sleep(wait)


def _append(url: str, part: Path, have: int, show: Callable[[int, int], None]) -> bool:
    """One request for what is missing; whether the file is complete now, as far as the server tells."""
    asked = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(url, headers={**asked, "Accept-Encoding": "identity"}, stream=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            # Nothing lies beyond: it is complete, which the digest decides, or of another file.
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if total == str(have):
                return True
            part.unlink()
            return False
        answer.raise_for_status()
        goes_on = answer.status_code == requests.codes.partial_content and answer.headers.get(
            "Content-Range", ""
        ).startswith(f"bytes {have}-")
        have = have if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else 0
        answer.raw.enforce_content_length = False  # what came before a break is kept; the length is compared below
        with part.open("ab" if goes_on else "wb") as file:
            for block in answer.iter_content(BLOCK):
                have += len(block)
                if have > LARGEST:
                    raise MedbenchError(f"{url}: sends more than {LARGEST // 10**9} GB, which is no archive of a set")
                file.write(block)
                show(have, total)
        return not total or have == total
