"""What verify tells of classes and of images that are there twice, and what describe proposes for a folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.errors import MedbenchError
from medbench.datasets.catalog import open_dataset
from medbench.datasets.described.census import Census, absent, census, twins
from medbench.datasets.described.folder import read_described
from medbench.datasets.described.proposing import propose
from medbench.datasets.inspection import inspect

from ..image_files import save, save_pair

ONE = np.array([[0, 0, 0, 1, 1, 255]], np.uint8)
TWO = np.array([[0, 1, 1, 1, 1, 1]], np.uint8)
IMAGE = np.arange(0, 180, 30, dtype=np.uint8).reshape(1, 6)
TABLE = "image,patient,finding\na,1,benign\nb,1,benign\nc,2,malignant\n"


def folder(root: Path, text: str | None, masks: dict[str, NDArray[Any]]) -> Path:
    for id, mask in masks.items():
        save(root / "images" / f"{id}.png", IMAGE)
        save(root / "masks" / f"{id}.png", mask)
    (root / "labels.csv").write_text(TABLE)
    if text:
        (root / "dataset.yaml").write_text(text)
    return root


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Images a and b of equal pixels and other masks, and c, the same again under another group and label."""
    text = "classes: [ground, core, rim]\nignore: 255\nchannels: 1\ngroup: patient\nlabel: finding\n"
    return folder(tmp_path / "set", text, {"a": ONE, "b": TWO, "c": TWO})


def test_a_census_counts_what_counts(three: Path) -> None:
    found = census(inspect(read_described(three)))

    assert found == [Census("ground", 5 / 17, 3), Census("core", 12 / 17, 3), Census("rim", 0, 0)]
    assert [str(each) for each in absent(found, read_described(three))] == ["set: rim occurs in no mask"]


def test_labels_may_take_more_than_all_pixels_together(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", IMAGE)
    for label, mask in (("disc", TWO), ("cup", TWO * 255)):
        save(tmp_path / "masks" / label / "a.png", mask)
    (tmp_path / "dataset.yaml").write_text("labels: [disc, cup]\n")

    found = census(inspect(read_described(tmp_path)))

    assert found == [Census("background", 1 / 6, 1), Census("disc", 5 / 6, 1), Census("cup", 5 / 6, 1)]


def test_equal_pixels_of_which_different_things_are_said_are_a_note(three: Path) -> None:
    found = read_described(three)

    [note] = twins(found, inspect(found))

    assert (note.kind, str(note)) == (
        "note",
        "a: has the same pixels as b, c, and another mask and another group and another finding (benign, malignant)",
    )


def test_equal_pixels_that_are_told_alike_are_no_note(tmp_path: Path) -> None:
    found = read_described(folder(tmp_path, "group: patient\nlabel: finding\n", {"a": TWO, "b": TWO}))

    assert twins(found, inspect(found)) == []


@pytest.mark.parametrize(
    ("text", "table", "note"),
    [
        (
            "modality: fundus\n",
            "image,patient,finding\na,1,benign\nb,1,benign\n",
            "no groups are named, and metadata.csv has patient, finding: if one",
        ),
        ("group: patient\n", "image,patient,finding\na,1,benign\nb,1,benign\n", None),
        ("group: image\n", "image,patient\na,1\nb,1\n", None),
        ("modality: fundus\n", "image,group,age\na,1,50\nb,1,50\n", None),
        ("label: finding\n", "image,finding\na,benign\nb,benign\n", None),
    ],
)
def test_columns_that_may_tell_groups_and_are_not_read_are_noted(
    tmp_path: Path, text: str, table: str, note: str | None
) -> None:
    root = folder(tmp_path / "set", text, {"a": TWO, "b": TWO})
    (root / "labels.csv").unlink(missing_ok=True)
    (root / "metadata.csv").write_text(table)

    told = CliRunner().invoke(app, ["data", "verify", f"folder:{root}"])

    assert told.exit_code == 0, told.output
    assert ("no groups are named" in told.output) == (note is not None)
    assert note is None or f"note: set: {note} of them says which images belong together" in told.output


def test_verify_shows_classes_in_text_and_json(three: Path) -> None:
    command = ["data", "verify", f"folder:{three}"]

    told = CliRunner().invoke(app, command)
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)

    assert told.exit_code == 0
    lines = [" ".join(line.split()) for line in told.stdout.splitlines()]
    assert "note: set: rim occurs in no mask" in lines
    assert "core 70.59% 3" in lines
    assert found["classes"][1] == {"name": "core", "share": 12 / 17, "images": 3}
    assert [each["id"] for each in found["problems"]] == ["set", "a"]


def test_verify_of_a_set_without_a_description_is_as_ever(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")
    command = ["data", "verify", f"folder:{tmp_path}"]

    assert CliRunner().invoke(app, command).stdout.splitlines()[0] == "masks by levels: 0/1 (1)"
    assert "classes" not in json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)


def test_describe_proposes_what_opens_as_it_stands(tmp_path: Path) -> None:
    masks = {"a": np.array([[0, 0, 2, 7, 7, 7]], np.uint8), "b": np.array([[0, 0, 0, 2, 2, 2]], np.uint8)}
    root = folder(tmp_path / "set", None, masks)
    (root / "labels.csv").write_text("image,label,age\na,benign,50\n")
    (root / "metadata.csv").write_text("image,group\na,1\n")

    told = CliRunner().invoke(app, ["data", "describe", str(root), "--write"])

    text = (root / "dataset.yaml").read_text()
    assert told.exit_code == 0
    assert told.stdout.startswith(text)
    assert yaml.safe_load(text) == {
        "classes": {0: "background", 2: "class 1", 7: "class 2"},
        "channels": 1,
        "modality": "other",
        "group": "group",
        "label": "label",
    }
    assert "# level 2, class 1: 33.33% of the pixels, in 2 masks" in text
    assert "# further columns of labels.csv and metadata.csv, for group or label: age" in text
    assert open_dataset(folder=root).mask("a").tolist() == [[0, 0, 1, 2, 2, 2]]

    again = CliRunner().invoke(app, ["data", "describe", str(root), "--write"])
    assert (again.exit_code, again.stderr.split(": ")[-1]) == (
        2,
        "is there already; change it, or move it away first\n",
    )
    assert (root / "dataset.yaml").read_text() == text

    (root / "metadata.csv").write_text("image,group,label\na,1,benign\n")
    (root / "dataset.yaml").unlink()
    found = yaml.safe_load(propose(root).read_text())
    assert (found["table"], found["label"], "group" in found) == ("labels.csv", "label", False)
    assert open_dataset(folder=root).labels_of("label") == {"a": "benign"}


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ({"a": [0, 0, 1, 1, 1, 2]}, {"classes": ["background", "class 1", "class 2"]}),
        ({"a": [0, 0, 1, 1, 1, 1], "b": [0, 2, 2, 2, 2, 2]}, {"classes": ["background", "class 1", "class 2"]}),
        ({"a": [0, 0, 0, 255, 255, 255], "b": [0] * 6}, {"classes": ["background", "class 1"]}),
    ],
)
def test_masks_decide_whether_there_are_two_classes_or_more(
    tmp_path: Path, masks: dict[str, list[int]], expected: dict[str, Any]
) -> None:
    root = folder(tmp_path, None, {id: np.array([mask], np.uint8) for id, mask in masks.items()})

    found = yaml.safe_load(propose(root).read_text())

    assert {key: found[key] for key in expected} == expected


def test_a_last_level_of_255_may_be_what_nobody_labelled(tmp_path: Path) -> None:
    root = folder(tmp_path, None, {"a": np.repeat([[0, 1, 2, 255]], 6, axis=1).repeat(9, axis=0).astype(np.uint8)})

    assert "Where 255 marks pixels that nobody labelled" in propose(root).read_text()


def test_folders_of_masks_are_proposed_as_labels(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", np.stack([IMAGE, IMAGE, 200 - IMAGE], axis=2))
    for label in ("Disc", "no"):
        save(tmp_path / "masks" / label / "a.png", TWO)

    found = yaml.safe_load(propose(tmp_path).read_text())

    assert (found["labels"], found["channels"]) == (["Disc", "no"], 3)
    assert open_dataset(folder=tmp_path).target.names == ("Disc", "no")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["synthetic"], "--write: takes one folder of your own"),
        (["a", "b"], "--write: takes one folder of your own"),
        (["folder:nothing"], "nothing: there is no such folder"),
        (["folder:."], "needs images/ and masks/"),
    ],
)
def test_what_describe_cannot_write_for_is_told(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    told = CliRunner().invoke(app, ["data", "describe", *words, "--write"])

    assert told.exit_code == 2
    assert message in told.stderr


def test_shades_are_no_classes(tmp_path: Path) -> None:
    root = folder(tmp_path, None, {"a": np.tile(np.arange(0, 64, 2, dtype=np.uint8), (6, 4)) + ONE[:, :1]})
    save(root / "masks" / "b.png", np.arange(40, 140, dtype=np.uint8).reshape(10, 10))

    with pytest.raises(MedbenchError, match=r"b\.png: with it masks hold \d+ levels"):
        propose(root)


@pytest.mark.real
def test_real_sets_hold_the_twins_that_are_known(real_data: Path) -> None:
    if not (real_data / "busi").is_dir():
        pytest.skip("no real data: busi/")
    found = open_dataset("busi", data=real_data)

    [note] = twins(found, inspect(found))

    assert str(note) == (
        "benign_433: has the same pixels as malignant_145, and another mask and another label (benign, malignant)"
    )
