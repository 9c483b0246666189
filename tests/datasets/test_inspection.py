"""Inspection and catalog: what is told of a set before it is used."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.errors import MedbenchError
from medbench.datasets import inspection
from medbench.datasets.base import FileSet, ImageSet
from medbench.datasets.catalog import DATASETS, completeness, open_dataset
from medbench.datasets.inspection import inspect
from medbench.datasets.layouts import read_folder

from ..image_files import LESION, PICTURE, save, save_pair

DATA = Path(os.environ.get("MEDBENCH_DATA") or Path(__file__).parents[3] / "shared" / "data")


def one_pair(tmp_path: Path, mask: NDArray[np.generic]) -> FileSet:
    save(tmp_path / "images" / "a.png", PICTURE)
    save(tmp_path / "masks" / "a.png", mask)
    return read_folder(tmp_path)


def test_a_sound_pair_has_digest_size_and_no_problem(tmp_path: Path) -> None:
    image_set = one_pair(tmp_path, LESION)

    found = inspect(image_set)

    assert found.digests == {"a": image_set.digest("a")}
    assert found.sizes == {"a": (6, 10)}
    assert found.problems == []


@pytest.mark.parametrize(
    ("mask", "kind", "message"),
    [
        (LESION[:, :9], "error", "the mask is 9x6, the image 10x6"),
        (LESION.T.copy(), "error", "the mask is 6x10, the image 10x6, as if turned by 90 degrees"),
        (np.zeros((6, 10), np.uint8), "note", "the mask is empty"),
        (LESION * np.uint8(2) + ~LESION, "error", "its levels, 1 to 2 of 255, are neither black and white nor 0 and 1"),
        (np.indices((6, 10))[0].astype(np.uint8) // 2, "error", "seems to hold several labels (levels 0, 1, 2)"),
        (np.tile(np.array([0, 255, 128, 255, 0], np.uint8), (6, 2)), "note", "20.0% of the mask is grey"),
    ],
)
def test_odd_masks_are_told_in_one_line(tmp_path: Path, mask: NDArray[np.generic], kind: str, message: str) -> None:
    (problem,) = inspect(one_pair(tmp_path, mask)).problems

    assert (problem.id, problem.file, problem.kind) == ("a", "masks/a.png", kind)
    assert problem.message.startswith(message)
    assert "\n" not in str(problem)


def test_a_mask_that_the_others_make_doubtful_is_told_by_name(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/b.png", "masks/b_mask.png")
    save(tmp_path / "masks" / "b_mask.png", LESION * np.uint8(255))
    image_set = one_pair(tmp_path, np.ones((6, 10), np.uint8))

    inspection = inspect(image_set)

    [problem] = inspection.problems
    assert (problem.kind, str(problem)) == (
        "error",
        "masks/a.png: has the level 1 alone, b goes up to 255: empty or full? save the lesion as 255 and the rest as 0",
    )
    assert {id: coding.name for id, coding in inspection.codings.items()} == {"a": "all 1, full", "b": "0/255"}


@pytest.mark.parametrize(("top", "n_notes"), [(4095, 1), (65535, 0), (255, 0), (60, 1)])
def test_an_image_that_is_nearly_black_is_noted(tmp_path: Path, top: int, n_notes: int) -> None:
    image_set = one_pair(tmp_path, LESION)
    save(tmp_path / "images" / "a.png", np.linspace(0, top, 60).astype(np.uint16).reshape(6, 10))

    problems = inspect(image_set).problems

    assert [(problem.file, problem.kind) for problem in problems] == [("images/a.png", "note")] * n_notes
    assert all("the image is nearly black, no level above" in problem.message for problem in problems)


@pytest.mark.parametrize("file", ["images/a.png", "masks/a.png"])
def test_damaged_files_are_told_once_by_name(tmp_path: Path, file: str) -> None:
    image_set = one_pair(tmp_path, LESION)
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:50])

    (problem,) = inspect(image_set).problems

    assert str(problem).startswith(f"{file}: cannot be decoded")


def test_a_file_that_went_away_is_told(tmp_path: Path) -> None:
    image_set = one_pair(tmp_path, LESION)
    (tmp_path / "masks" / "a.png").unlink()

    found = inspect(image_set)

    assert found.digests == {}
    assert [str(problem)[:27] for problem in found.problems] == ["masks/a.png: cannot be read"]


def test_an_unchanged_set_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_set = one_pair(tmp_path / "set", LESION)
    first = inspect(image_set, tmp_path / "cache")
    monkeypatch.setattr(FileSet, "image", lambda self, id: pytest.fail("opened again"))

    assert inspect(image_set, tmp_path / "cache") == first


def test_an_interrupted_look_goes_on_where_it_ended_and_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(9):
        save_pair(tmp_path / "set", f"images/{index}.png", f"masks/{index}.png")
    image_set = read_folder(tmp_path / "set")
    monkeypatch.setattr(inspection, "REMEMBERED_EVERY", 4)
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inspect(image_set, tmp_path / "cache", stop)
    opened: list[str] = []
    examine = inspection._examine

    def counted(image_set: ImageSet, id: str) -> dict[str, Any]:
        opened.append(id)
        return examine(image_set, id)

    monkeypatch.setattr(inspection, "_examine", counted)

    assert len(inspect(image_set, tmp_path / "cache").digests) == 9
    assert told == [(done, 9) for done in range(1, 7)]
    assert sorted(opened) == ["4", "5", "6", "7", "8"]
    inspect(image_set, tmp_path / "cache", lambda *_: pytest.fail("nothing is new"))


def test_a_changed_file_is_opened_again(tmp_path: Path) -> None:
    image_set = one_pair(tmp_path / "set", LESION)
    inspect(image_set, tmp_path / "cache")
    save(tmp_path / "set" / "masks" / "a.png", np.zeros((6, 10), np.uint8))

    found = inspect(image_set, tmp_path / "cache")

    assert found.digests == {"a": image_set.digest("a")}
    assert [problem.message for problem in found.problems] == ["the mask is empty"]


def test_a_broken_memory_is_only_forgotten(tmp_path: Path) -> None:
    image_set = one_pair(tmp_path / "set", LESION)
    first = inspect(image_set, tmp_path / "cache")
    (memory,) = (tmp_path / "cache").iterdir()
    memory.write_text('{"a": ')

    assert inspect(image_set, tmp_path / "cache") == first


def test_codings_are_remembered(tmp_path: Path) -> None:
    image_set = one_pair(tmp_path / "set", LESION)

    for _ in range(2):
        codings = inspect(image_set, tmp_path / "cache").codings
        assert {id: coding.name for id, coding in codings.items()} == {"a": "0/1"}


def test_computed_sets_are_inspected_too() -> None:
    image_set = open_dataset("synthetic", images=3, size=32)

    found = inspect(image_set)

    assert found.sizes == dict.fromkeys(image_set.ids, (32, 32))
    assert found.problems == []


def test_a_set_is_found_below_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = "ph2/IMD002"
    save_pair(tmp_path, f"{home}/IMD002_Dermoscopic_Image/IMD002.bmp", f"{home}/IMD002_lesion/IMD002_lesion.bmp")
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path))

    assert open_dataset("ph2").ids == open_dataset("ph2", data=tmp_path).ids == ("IMD002",)


def test_a_folder_may_be_given_either_way(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")

    assert open_dataset(folder=tmp_path).ids == open_dataset(f"folder:{tmp_path}").ids == ("a",)


def test_a_published_set_knows_what_is_there_of_it(tmp_path: Path) -> None:
    inputs, truth = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"
    for id in "ab":
        save_pair(tmp_path / "isic2018", f"{inputs}/{id}.jpg", f"{truth}/{id}_segmentation.png")
    image_set = open_dataset("isic2018", data=tmp_path)

    assert completeness("isic2018", image_set) == {"training": (2, 2594), "validation": (0, 100), "test": (0, 1000)}
    image_set.leave_out(["a"])
    assert completeness("isic2018", image_set)["training"] == (1, 2594)
    assert completeness("ham10000", image_set) == {"all": (1, 10015)}
    assert completeness(None, image_set) == completeness("folder:x", image_set) == {}


def test_verify_tells_codings_and_what_is_missing_and_ends_well(tmp_path: Path) -> None:
    home = "ISIC2018_Task1-2_{}_Input/{}.jpg"
    truth = "ISIC2018_Task1_Training_GroundTruth/a_segmentation.png"
    save_pair(tmp_path / "isic2018", home.format("Training", "a"), truth)
    save(tmp_path / "isic2018" / home.format("Test", "b"), PICTURE)
    command = ["data", "verify", "isic2018", "--data", str(tmp_path)]

    told = CliRunner().invoke(app, command)
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)

    assert told.exit_code == 0
    assert told.stdout.splitlines() == [
        "note: test: 1 images and no ground truth; no split uses them",
        "note: isic2018: is not complete: training 1 of 2,594 images with masks; validation 0 of 100; test 0 of 1,000",
        "masks by levels: 0/1 (1)",
        "isic2018: 1 pairs, 0 errors, 2 notes",
    ]
    assert found["completeness"] == {"training": [1, 2594], "validation": [0, 100], "test": [0, 1000]}
    assert found["codings"] == {"0/1": 1}
    assert [problem["id"] for problem in found["problems"]] == ["test", "isic2018"]
    listed = CliRunner().invoke(app, ["data", "list", "--data", str(tmp_path)]).stdout
    assert "isic2018 holds training 1 of 2,594 images with masks; validation 0 of 100; test 0 of 1,000" in listed


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "synthetic"])
def test_a_missing_set_says_where_it_was_looked_for_and_how_to_get_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(MedbenchError) as refusal:
        open_dataset(name, data=tmp_path)

    assert str(tmp_path / name) in str(refusal.value)
    assert DATASETS[name].how in str(refusal.value)


def test_an_empty_set_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "isic2018").mkdir()

    with pytest.raises(MedbenchError, match="no image with a mask below"):
        open_dataset("isic2018", data=tmp_path)


def test_without_a_data_folder_the_option_and_the_variable_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDBENCH_DATA", raising=False)

    with pytest.raises(MedbenchError, match="--data DIR or set MEDBENCH_DATA"):
        open_dataset("ph2")


def test_a_misspelt_name_gets_a_hint() -> None:
    with pytest.raises(MedbenchError, match="Did you mean 'isic2018'"):
        open_dataset("isic2017")


@pytest.mark.parametrize("name", [None, "ph2"])
def test_either_a_name_or_a_folder_is_needed(name: str | None, tmp_path: Path) -> None:
    with pytest.raises(MedbenchError, match="either a name or a folder"):
        open_dataset(name, folder=tmp_path if name else None)


@pytest.mark.real
@pytest.mark.parametrize(("name", "n_images"), [("isic2018", 2594), ("ph2", 200), ("ham10000", 2000)])
def test_real_sets_pair_completely(name: str, n_images: int) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"no real data: set MEDBENCH_DATA to a folder with {name}/")

    image_set = open_dataset(name, data=DATA)

    assert len(image_set) == n_images
    assert image_set.unmatched == ()


@pytest.mark.real
def test_real_ph2_is_sound_and_darker_inside() -> None:
    if not (DATA / "ph2").is_dir():
        pytest.skip("no real data: set MEDBENCH_DATA to a folder with ph2/")
    image_set = open_dataset("ph2", data=DATA)

    def is_darker(id: str) -> bool:
        grey, mask = image_set.image(id).mean(axis=2), image_set.mask(id)
        return bool(grey[mask].mean() < grey[~mask].mean())

    assert inspect(image_set).problems == []
    assert np.mean([is_darker(id) for id in image_set.ids[::10]]) > 0.9
