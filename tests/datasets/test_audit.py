"""Copies are found whatever was done to them, and lookalikes are not called copies."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.study.sets import Sets
from medbench.datasets.audit import NEAR, Pair, _fit, _proposals, _similarity, _turned, audit, look_at
from medbench.datasets.base import ImageSet
from medbench.datasets.catalog import open_dataset
from medbench.datasets.splits import make_split
from medbench.datasets.synthetic import SyntheticSet

Pixels = NDArray[np.uint8]
SOURCE = SyntheticSet(images=30, size=256)


class Pictures(ImageSet):
    """A set of given pictures."""

    def __init__(self, name: str, pictures: Mapping[str, NDArray[Any]]) -> None:
        self.name = name
        self.pictures = pictures
        self.ids = tuple(sorted(pictures))

    def image(self, id: str) -> NDArray[Any]:
        return self.pictures[id]

    def mask(self, id: str) -> NDArray[np.bool_]:
        raise NotImplementedError

    def digest(self, id: str) -> str:
        raise NotImplementedError


def textured(index: int) -> Pixels:
    """A synthetic lesion on skin with pores: smooth noise of a few pixels, its own for each image."""
    image = SOURCE.image(SOURCE.ids[index]).astype(np.float32)
    grain = np.random.default_rng(index).normal(0, 1, image.shape[:2])
    pores = np.asarray(cv2.GaussianBlur(grain, (0, 0), 2.5))
    return np.clip(image + 6 * (pores / pores.std())[..., None], 0, 255).astype(np.uint8)


def recompressed(image: Pixels) -> Pixels:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    "resized": lambda image: np.asarray(cv2.resize(image, (170, 170), interpolation=cv2.INTER_AREA), dtype=np.uint8),
    "recompressed": recompressed,
    "brightened": lambda image: np.clip(image * 1.2 + 8, 0, 255).astype(np.uint8),
    "cropped": lambda image: image[12:244, 12:244],
    "cropped off centre": lambda image: image[4:240, 12:248],
    "mirrored": lambda image: image[:, ::-1],
    "turned": lambda image: np.rot90(image),
    "turned, mirrored and cropped": lambda image: np.rot90(image[10:246, 8:244], 3)[::-1],
}


@pytest.fixture(scope="module")
def originals() -> Pictures:
    return Pictures("first", {f"{index:02d}": textured(index) for index in range(24)})


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_found_in_another_set(originals: Pictures, how: str) -> None:
    copies = Pictures("second", {f"copy{i}": np.ascontiguousarray(COPIES[how](textured(i))) for i in (3, 7, 11)})

    found = audit([originals, copies])

    assert {(pair.a, pair.b, pair.kind) for pair in found} == {
        (f"first/{i:02d}", f"second/copy{i}", "near") for i in (3, 7, 11)
    }
    assert all(0.68 <= pair.similarity <= 1 for pair in found)


def test_the_coarse_look_rules_out_most_proposals_and_no_copy(originals: Pictures) -> None:
    changed = {f"{how} {i}": np.ascontiguousarray(COPIES[how](textured(i))) for how in COPIES for i in (2, 9)}
    a, b = look_at(originals), look_at(Pictures("second", changed))
    small, large = (a, b) if len(a.names) < len(b.names) else (b, a)

    proposed = list(_proposals(small, large))
    with_coarse_look = [_similarity(small, large, *each) for each in proposed]
    without = [_fit(small.fine[i], _turned(large.fine[j], position)) for i, j, position in proposed]

    assert [each for each in with_coarse_look if each >= NEAR] == [each for each in without if each >= NEAR]
    assert sum(each >= NEAR for each in without) == len(changed)
    assert np.mean([each == -1 for each in with_coarse_look]) > 0.6


def test_equal_pixels_are_exact_within_a_set_too() -> None:
    images = Pictures("set", {"a": textured(1), "b": textured(2), "c": textured(1), "d": textured(1)})

    assert audit([images]) == [Pair("set/a", "set/c", "exact", 1.0), Pair("set/a", "set/d", "exact", 1.0)]


def test_lookalikes_are_no_copies(originals: Pictures) -> None:
    """The same lesion and light, other skin: what a glance would call equal."""
    image = SOURCE.image(SOURCE.ids[5]).astype(np.float32)
    alike: dict[str, Pixels] = {}
    for index in range(6):
        grain = np.asarray(cv2.GaussianBlur(np.random.default_rng(index).normal(0, 1, (256, 256)), (0, 0), 2.5))
        alike[f"{index}"] = np.clip(image + 6 * (grain / grain.std())[..., None], 0, 255).astype(np.uint8)

    assert audit([Pictures("alike", alike)]) == []
    assert audit([originals]) == []


def test_one_image_alone_has_no_pair() -> None:
    assert audit([Pictures("set", {"a": textured(1)})]) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for id, index in (("a", 1), ("b", 2), ("c", 1)):
        for part in ("images", "masks"):
            (tmp_path / part).mkdir(exist_ok=True)
        Image.fromarray(textured(index)).save(tmp_path / "images" / f"{id}.png")
        Image.fromarray(SOURCE.mask(SOURCE.ids[index])).save(tmp_path / "masks" / f"{id}.png")
    return tmp_path


def run(*words: object) -> Any:
    return CliRunner().invoke(app, ["data", "audit", *map(str, words)], env={"COLUMNS": "200"})


def test_the_command_lists_pairs_and_exits_with_1(folder: Path) -> None:
    as_text, as_json = run(f"folder:{folder}"), run(f"folder:{folder}", "--json")

    assert (as_text.exit_code, as_json.exit_code) == (1, 1)
    name = open_dataset(folder=folder).name
    assert json.loads(as_json.stdout) == {
        "pairs": [{"a": f"{name}/a", "b": f"{name}/c", "kind": "exact", "similarity": 1.0}]
    }
    assert f"1 pairs in 3 images of {name}" in as_text.output


def test_a_set_without_a_sound_image_is_told_in_one_line(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        path.write_bytes(b"broken")

    result = run(f"folder:{folder}")

    assert result.exit_code == 2
    assert "masks/a.png: cannot be decoded" in result.output
    assert "; no image is left without them" in result.output


def test_two_folders_of_one_name_are_refused_for_pairs_could_not_be_told_apart(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    namesake = tmp_path_factory.mktemp("elsewhere") / folder.name
    shutil.copytree(folder / "images", namesake / "images")
    shutil.copytree(folder / "masks", namesake / "masks")

    done = run(f"folder:{folder}", f"folder:{namesake}")

    assert done.exit_code == 2
    assert f"error: two sets are called {folder.name}: {folder} and {namesake}; rename one" in done.output


def test_of_a_described_set_pairs_within_a_group_are_told_apart_and_many_only_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for id in "de":
        Image.fromarray(textured(1)).save(folder / "images" / f"{id}.png")
        Image.fromarray(SOURCE.mask(SOURCE.ids[1])).save(folder / "masks" / f"{id}.png")
    (folder / "dataset.yaml").write_text("group: patient\n")
    (folder / "labels.csv").write_text("image,patient\na,1\nb,1\nc,1\nd,2\ne,2\n")

    pairs = json.loads(run(f"folder:{folder}", "--json").stdout)["pairs"]

    assert [(each["b"][-1], each["same_group"]) for each in pairs] == [("c", True), ("d", False), ("e", False)]
    few = run(f"folder:{folder}").output
    assert "1 of them lie within one group; 2 across groups" in few
    assert few.count("exact") == 3
    monkeypatch.setattr("medbench.bench.cli.data.MOST_WITHIN", 0)
    many = run(f"folder:{folder}").output
    assert "1 of them lie within one group, which --json lists; 2 across groups" in many
    assert many.count("exact") == 2


def test_images_of_one_channel_or_many_bits_are_looked_at_as_well() -> None:
    grey = {str(index): textured(index)[..., :1] for index in range(8)}
    wide = {id: image.astype(np.uint16) * 40 + 3000 for id, image in grey.items()}
    wide["copy"] = np.ascontiguousarray(wide["3"][::-1]) // 2

    assert [(pair.a, pair.b, pair.kind) for pair in audit([Pictures("p", wide)])] == [("p/3", "p/copy", "near")]
    assert audit([Pictures("p", grey)]) == []


def test_looks_are_remembered_by_their_files_even_of_an_interrupted_look(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_set, cache = open_dataset(folder=folder), folder / "cache"
    monkeypatch.setattr("medbench.datasets.audit.REMEMBERED_EVERY", 1)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_at(image_set, cache, stop)
    Image.fromarray(textured(3)).save(folder / "images" / "b.png")
    read: list[str] = []
    image = image_set.image

    def counted(id: str) -> Pixels:
        read.append(id)
        return image(id)

    monkeypatch.setattr(image_set, "image", counted)
    again = look_at(image_set, cache)
    (memory,) = cache.iterdir()
    memory.write_bytes(memory.read_bytes()[:-50])
    anew = look_at(image_set, cache)

    assert sorted(read[:2]) == ["b", "c"]
    assert sorted(read[2:5]) == ["a", "b", "c"]
    assert again.pixels == anew.pixels == look_at(image_set).pixels
    for name in ("hashes", "fine", "coarse"):
        np.testing.assert_array_equal(getattr(again, name), getattr(look_at(image_set), name))


def test_with_a_split_each_image_has_its_part(folder: Path) -> None:
    for index in range(3, 12):
        Image.fromarray(textured(index)).save(folder / "images" / f"{index}.png")
        Image.fromarray(SOURCE.mask(SOURCE.ids[index])).save(folder / "masks" / f"{index}.png")
        small = Image.fromarray(textured(index)).resize((200, 200))
        small.save(folder / "images" / f"small{index}.png")
        Image.fromarray(SOURCE.mask(SOURCE.ids[index])).resize((200, 200)).save(folder / "masks" / f"small{index}.png")

    pairs = json.loads(run(f"folder:{folder}", "--split", "holdout", "--json").stdout)["pairs"]

    split = make_split(Sets(None, folder / "cache").open({"folder": str(folder)}).image_set, "holdout")
    part_of = {id: part for part in ("train", "validation", "test") for id in getattr(split, part)}
    found = {tuple(each[side].split("/")[1] for side in "ab"): each["parts"] for each in pairs}
    assert found == {pair: [part_of[id] for id in pair] for pair in found}
    assert len(found) == 10
    assert len(set(found["a", "c"])) == 1
    assert any(len(set(parts)) == 2 for parts in found.values())
    apart = sum(len(set(parts)) == 2 for parts in found.values())
    assert f"{apart} of them lie in two parts of holdout" in run(f"folder:{folder}", "--split", "holdout").output


def test_of_folds_each_image_has_the_one_that_tests_it(folder: Path) -> None:
    for index in range(3, 9):
        for name in (f"{index}", f"small{index}"):
            side = 200 if name.startswith("small") else textured(index).shape[0]
            Image.fromarray(textured(index)).resize((side, side)).save(folder / "images" / f"{name}.png")
            mask = Image.fromarray(SOURCE.mask(SOURCE.ids[index])).resize((side, side))
            mask.save(folder / "masks" / f"{name}.png")

    told = run(f"folder:{folder}", "--split", "kfold:3", "--json")

    images = Sets(None, folder / "cache").open({"folder": str(folder)}).image_set
    fold_of = {id: f"fold {fold}" for fold in range(3) for id in make_split(images, "kfold:3", fold=fold).test}
    found = {
        tuple(each[side].split("/")[1] for side in "ab"): each["parts"] for each in json.loads(told.stdout)["pairs"]
    }
    assert found == {pair: [fold_of[id] for id in pair] for pair in found}
    assert len(found) == 7
    apart = sum(len(set(parts)) == 2 for parts in found.values())
    assert apart > 0
    assert f"{apart} of them lie in two folds of kfold:3" in run(f"folder:{folder}", "--split", "kfold:3").output


def test_sets_are_described_side_by_side(folder: Path) -> None:
    words = ["data", "describe", f"folder:{folder}", "synthetic"]

    as_text = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    as_json = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)

    assert as_text.exit_code == 0
    assert "lesion area" in as_text.output
    assert as_json["synthetic"]["images"] == 400
    areas = [SOURCE.mask(SOURCE.ids[index]).mean() for index in (1, 2, 1)]
    assert as_json[f"folder:{folder}"]["lesion_area"]["median"] == pytest.approx(np.median(areas))


def test_sets_without_copies_exit_with_0(folder: Path) -> None:
    (folder / "images" / "c.png").unlink()
    (folder / "masks" / "c.png").unlink()

    assert run(f"folder:{folder}").exit_code == 0


def test_an_unknown_set_is_told_in_one_line() -> None:
    result = run("isic2019")

    assert result.exit_code == 2
    assert "unknown dataset 'isic2019'. Did you mean 'isic2018'?" in result.output
