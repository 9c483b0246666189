"""Downloads from a server that breaks off, lies and mixes files up; archives that try to leave their folder."""

import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.errors import MedbenchError
from medbench.datasets import archives, fetching
from medbench.datasets.archives import unpack
from medbench.datasets.catalog import DATASETS, Archive
from medbench.datasets.fetching import download, take

from ..image_files import save

CONTENT = np.random.default_rng(0).bytes(300_000)


class Server:
    """A server on loopback that behaves as it is told.

    `cuts`: after how many bytes of each answer the connection ends, one an answer; then it ends well.
    `promise`: added to what Content-Length says. `ranges`: whether it knows of them.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.promise = 0
        self.ranges = True
        self.asked: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = server.files.get(self.path.rsplit("/", 1)[1])
                asked = self.headers["Range"]
                server.asked.append(asked)
                if content is None:
                    self.send_error(404)
                    return
                start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.ranges else 0
                if start and start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.end_headers()
                    return
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                self.send_header("Content-Length", str(len(content) - start + server.promise))
                self.end_headers()
                cut = server.cuts.pop(0) if server.cuts else len(content)
                self.wfile.write(content[start : start + cut])

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def offer(self, name: str, content: bytes, digest: str | None = None, part: str = "training") -> Archive:
        self.files[name] = content
        url = f"http://127.0.0.1:{self.http.server_port}/2018/{name}"
        return Archive(part, url, digest or hashlib.sha256(content).hexdigest())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetching, "WAIT_S", 0.01)
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def left(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_breaks_off_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    archive = server.offer("a.zip", CONTENT)
    server.cuts = [100_000, 0, 50_000]
    seen: list[tuple[int, int]] = []

    path = download(archive, tmp_path, lambda _, done, total: seen.append((done, total)))

    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=100000-", "bytes=150000-"]
    assert seen[-1] == (300_000, 300_000)
    assert left(tmp_path) == ["a.zip"]


def test_one_that_gives_up_leaves_what_it_has_for_the_next_call(server: Server, tmp_path: Path) -> None:
    archive = server.offer("a.zip", CONTENT)
    server.cuts = [100_000] + [0] * fetching.TRIES

    with pytest.raises(MedbenchError, match=r"broke off at 100000 bytes \(.*\); the same command goes on"):
        download(archive, tmp_path)
    assert left(tmp_path) == ["a.zip.part"]
    server.cuts = []

    assert download(archive, tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=100000-"


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    archive = server.offer("a.zip", CONTENT)
    server.cuts, server.ranges = [100_000], False

    assert download(archive, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("promise", [-1000, 1000])
def test_a_length_that_is_a_lie_gives_no_file(server: Server, tmp_path: Path, promise: int) -> None:
    archive = server.offer("a.zip", CONTENT)
    server.promise = promise

    if promise > 0:  # all bytes came, so the digest may be asked
        assert download(archive, tmp_path).read_bytes() == CONTENT
    else:
        with pytest.raises(MedbenchError, match="SHA-256 is not the publisher's, nothing was kept"):
            download(archive, tmp_path)
        assert left(tmp_path) == []


def test_another_file_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    archive = server.offer("a.zip", b"<html>Log in</html>", digest=hashlib.sha256(CONTENT).hexdigest())

    with pytest.raises(MedbenchError, match="SHA-256 is not the publisher's"):
        download(archive, tmp_path)

    assert left(tmp_path) == []


def test_the_rest_of_another_file_is_not_appended_for_good(server: Server, tmp_path: Path) -> None:
    archive = server.offer("a.zip", CONTENT)
    (tmp_path / "a.zip.part").write_bytes(b"x" * 400_000)  # longer than the file is

    assert download(archive, tmp_path).read_bytes() == CONTENT


def test_what_is_not_there_is_told_at_once(server: Server, tmp_path: Path) -> None:
    archive = server.offer("a.zip", CONTENT)
    server.files.clear()

    with pytest.raises(MedbenchError, match=r"a\.zip: 404"):
        download(archive, tmp_path)

    assert len(server.asked) == 1


def isic_archives(folder: Path) -> dict[str, bytes]:
    """Two small ones with a pair of images."""
    rng, made = np.random.default_rng(0), dict[str, bytes]()
    image, mask = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8), np.zeros((20, 30), np.uint8)
    mask[5:10, 5:10] = 255
    for stem, name, pixels in (
        ("ISIC2018_Task1-2_Training_Input", "ISIC_0000001.jpg", image),
        ("ISIC2018_Task1_Training_GroundTruth", "ISIC_0000001_segmentation.png", mask),
    ):
        save(folder / name, pixels)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as packed:
            packed.writestr(f"{stem}/LICENSE.txt", "CC-0")
            packed.writestr(f"__MACOSX/{stem}/._x", "litter")
            packed.write(folder / name, f"{stem}/{name}")
        made[f"{stem}.zip"] = content.getvalue()
    return made


def test_fetch_as_a_user_runs_it(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = [server.offer(name, content) for name, content in isic_archives(tmp_path).items()]
    offered.append(server.offer("ISIC2018_Task1-2_Test_Input.zip", b"", part="test"))
    monkeypatch.setitem(DATASETS, "isic2018", replace(DATASETS["isic2018"], archives=tuple(offered)))
    words = ["data", "fetch", "isic2018", "--data", str(tmp_path / "data"), "--part", "training"]

    first = CliRunner().invoke(app, words)
    again = CliRunner().invoke(app, words)

    assert first.exit_code == again.exit_code == 0, first.output
    assert "isic2018: 1 images with masks" in first.stdout
    assert first.stdout.count("new:") == 2
    assert "new:" not in again.stdout
    assert len(server.asked) == 2
    assert left(tmp_path / "data" / "isic2018") == [
        "ISIC2018_Task1-2_Training_Input/ISIC_0000001.jpg",
        "ISIC2018_Task1-2_Training_Input/LICENSE.txt",
        "ISIC2018_Task1_Training_GroundTruth/ISIC_0000001_segmentation.png",
        "ISIC2018_Task1_Training_GroundTruth/LICENSE.txt",
    ]


def test_the_beginning_of_another_archive_is_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = [server.offer(name, content) for name, content in isic_archives(tmp_path).items()]
    monkeypatch.setitem(DATASETS, "isic2018", replace(DATASETS["isic2018"], archives=tuple(offered)))
    begun = tmp_path / "data" / "isic2018" / ".downloads" / "another.zip.part"
    begun.parent.mkdir(parents=True)
    begun.write_bytes(b"PK")

    done = CliRunner().invoke(app, ["data", "fetch", "isic2018", "--data", str(tmp_path / "data")])

    assert done.exit_code == 0, done.output
    assert begun.read_bytes() == b"PK"


def test_an_archive_at_hand_is_checked_and_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "PH2Dataset" / "PH2 Dataset images" / "IMD001"
    for kind, ending in (("Dermoscopic_Image", ""), ("lesion", "_lesion")):
        save(folder / f"IMD001_{kind}" / f"IMD001{ending}.bmp", np.full((20, 30), 255, np.uint8))
    with tarfile.open(tmp_path / "PH2.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "PH2Dataset", "PH2Dataset")
    known = Archive("training", "http://127.0.0.1/ISIC2018_Task1-2_Training_Input.zip", "0" * 64)
    monkeypatch.setitem(DATASETS, "isic2018", replace(DATASETS["isic2018"], archives=(known,)))
    (tmp_path / known.name).write_bytes(b"something else")

    done = CliRunner().invoke(
        app, ["data", "fetch", "ph2", "--from", str(tmp_path / "PH2.tar.gz"), "--data", str(tmp_path / "data")]
    )

    assert "ph2: 1 images with masks" in done.stdout
    with pytest.raises(MedbenchError, match="SHA-256 is not that of the publisher's file"):
        take("isic2018", tmp_path / "data", tmp_path / known.name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ph2"], "request the archive at"),
        (["isic2019"], "unknown data set"),
        (["isic2018", "--part", "all"], "no part 'all'; it has test, training, validation"),
        (["ph2", "--from", "nothing.zip"], "nothing.zip: no such file"),
        (["synthetic", "--from", "nothing.zip"], "no data set with files"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["data", "fetch", *words, "--data", str(tmp_path)], env={"COLUMNS": "300"})

    assert done.exit_code == 2
    assert message in done.stderr


# Archives


def zip_of(path: Path, *names: str, mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            packed.writestr(entry, "content")
    return path


@pytest.mark.parametrize(
    "name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "a\\..\\..\\out.txt", "C:/out.txt", "a/.."]
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    archive = zip_of(tmp_path / "bad.zip", "good.txt", name)

    with pytest.raises(MedbenchError, match="outside its folder or with an odd name"):
        unpack(archive, tmp_path / "set")

    assert left(tmp_path) == ["bad.zip"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("a./\\:~-\u2024\uff0e"), min_size=1, max_size=8), min_size=1, max_size=4, unique=True
    )
)
def test_whatever_the_names_nothing_is_written_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    archive = zip_of(folder / "names.zip", *names)

    try:
        unpack(archive, folder / "set")
    except MedbenchError:
        assert not list((folder / "set").iterdir())

    assert {path.name for path in folder.iterdir()} == {"names.zip", "set"}


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    linked = zip_of(tmp_path / "linked.zip", "link", mode=stat.S_IFLNK | 0o777)
    with tarfile.open(tmp_path / "linked.tar", "w") as tar:
        entry = tarfile.TarInfo("link")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(entry)

    for archive in (linked, tmp_path / "linked.tar"):
        with pytest.raises(MedbenchError, match="link is a link or a device"):
            unpack(archive, tmp_path / "set")


def test_what_grows_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 10**6)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", bytes(10**8))

    with pytest.raises(MedbenchError, match="unpacks to more than"):
        unpack(tmp_path / "bomb.zip", tmp_path / "set")

    assert left(tmp_path) == ["bomb.zip"]
    assert (tmp_path / "bomb.zip").stat().st_size < 10**6


def test_a_damaged_archive_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", "a/b.txt")
    content = archive.read_bytes()
    archive.write_bytes(content.replace(b"content", b"contend"))

    with pytest.raises(MedbenchError, match=r"a\.zip: cannot be unpacked \(Bad CRC-32"):
        unpack(archive, tmp_path / "set")
    (tmp_path / "b.zip").write_bytes(b"PK nothing")
    with pytest.raises(MedbenchError, match="neither a zip nor a tar archive"):
        unpack(tmp_path / "b.zip", tmp_path / "set")
    (tmp_path / "c.rar").write_bytes(b"Rar!")
    with pytest.raises(MedbenchError, match="bsdtar -xf"):
        unpack(tmp_path / "c.rar", tmp_path / "set")

    assert left(tmp_path / "set") == []


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "set" / "a").mkdir(parents=True)
    (tmp_path / "set" / "a" / "mine.txt").write_text("mine")

    with pytest.raises(MedbenchError, match="is there already"):
        unpack(zip_of(tmp_path / "x.zip", "a/b.txt"), tmp_path / "set")

    assert left(tmp_path / "set") == ["a/mine.txt"]
