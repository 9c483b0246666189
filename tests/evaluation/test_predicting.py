"""`medbench predict` draws what evaluations score."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.metrics import score_masks
from medbench.bench.store.folder import Store
from medbench.datasets.reading import read_image
from medbench.datasets.synthetic import SyntheticSet

from ..conftest import ROOT, Trained
from ..image_files import save


def predict(*words: object) -> Any:
    return CliRunner().invoke(app, ["predict", *map(str, words)])


def trials_of(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "trials").iterdir())


def test_masks_have_the_scores_of_the_evaluation(small_store: Path, tmp_path: Path) -> None:
    images = SyntheticSet(images=40, size=64)
    for trial in trials_of(small_store):
        [scores] = (small_store / "trials" / trial / "evaluations").glob("*/scores.parquet")
        expected = pd.read_parquet(scores).set_index("image")["dice"]
        for id in map(str, expected.index):
            save(tmp_path / "images" / f"{id}.png", images.image(id))

        done = predict(trial, tmp_path / "images", "--store", small_store, "-o", tmp_path / trial)

        assert done.exit_code == 0, done.output
        assert f"{len(expected)} masks are in" in done.stdout
        for id, dice in expected.items():
            mask: Any = cv2.imread(str(tmp_path / trial / f"{id}.png"), cv2.IMREAD_UNCHANGED)
            assert set(np.unique(mask)) <= {0, 255}
            assert score_masks(mask[None] > 0, images.mask(str(id))[None])["dice"][0] == pytest.approx(dice)


def test_the_page_on_deployment_shows_how_to_get_the_same_mask(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [trial, *_] = trials_of(small_store)
    monkeypatch.chdir(tmp_path)
    picture = SyntheticSet(images=40, size=256).image("synthetic-00003")
    save(tmp_path / "mole.jpg", picture[:, :200], quality=95)
    export = ["export", trial, "--store", str(small_store), "--to", "onnx", "-o", "medlitenet.onnx"]
    assert CliRunner().invoke(app, export).exit_code == 0
    page = (ROOT / "docs" / "howto" / "deploy.md").read_text(encoding="utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {}

    exec(code, found)
    predict(trial, tmp_path / "mole.jpg", "--store", small_store, "-o", tmp_path / "masks")

    expected = cv2.imread(str(tmp_path / "masks" / "mole.png"), cv2.IMREAD_UNCHANGED)
    assert expected is not None
    assert (found["mask"] != (expected > 0)).mean() < 1e-3


def test_a_mask_has_the_size_of_its_image(small_store: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    save(tmp_path / "wide.jpg", rng.integers(0, 256, (50, 170, 3), dtype=np.uint8))

    done = predict(trials_of(small_store)[0], tmp_path / "wide.jpg", "--store", small_store, "-o", tmp_path / "out")

    assert done.exit_code == 0, done.output
    mask: Any = cv2.imread(str(tmp_path / "out" / "wide.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (50, 170)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["nowhere.png"], "nowhere.png: no such file or folder"),
        (["empty"], "empty: holds no image"),
        (["one/a.png", "two/a.png"], "its mask would have the name of that of"),
        (["one"], "one/a.png: its mask would take its place"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    small_store: Path, tmp_path: Path, names: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("one", "two"):
        save(tmp_path / folder / "a.png", np.zeros((8, 8, 3), np.uint8))
    paths = [tmp_path / name for name in names]

    out = tmp_path / ("one" if names == ["one"] else "out")

    done = predict(trials_of(small_store)[0], *paths, "--store", small_store, "-o", out)

    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert not read_image(tmp_path / "one" / "a.png").any()


def test_masks_that_are_there_are_kept_unless_they_may_be_written_anew(small_store: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / "images" / f"{name}.tif", np.zeros((8, 8, 3), np.uint8))
    for name in ("b", "c"):
        (tmp_path / f"{name}.png").write_text("mine")
    command = [trials_of(small_store)[0], tmp_path / "images", "--store", small_store, "-o", tmp_path]

    refused = predict(*command)

    assert refused.exit_code == 2
    said = "b.png: is there already (and 1 more); name another folder with --out, or say --overwrite"
    assert said in refused.stderr
    assert (tmp_path / "b.png").read_text() == "mine"
    assert not (tmp_path / "a.png").exists()
    assert predict(*command, "--overwrite").exit_code == 0
    assert all(cv2.imread(str(tmp_path / f"{name}.png")) is not None for name in ("a", "b", "c"))


def test_a_file_is_no_folder_for_masks(small_store: Path, tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "out").touch()

    done = predict(trials_of(small_store)[0], tmp_path / "a.png", "--store", small_store, "-o", tmp_path / "out")

    assert done.exit_code == 2
    assert "is a file; name a folder for the masks" in done.stderr


def test_an_image_that_cannot_be_read_is_told_and_the_others_are_segmented(small_store: Path, tmp_path: Path) -> None:
    save(tmp_path / "images" / "good.png", np.zeros((8, 8, 3), np.uint8))
    for name in ("bad.png", "worse.jpg"):
        (tmp_path / "images" / name).write_text("no image")

    done = predict(trials_of(small_store)[0], tmp_path / "images", "--store", small_store, "-o", tmp_path / "out")

    assert done.exit_code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]
    assert "1 masks are in" in done.stdout
    assert [line.split(":")[0] for line in done.stderr.split("\n") if line] == [
        str(tmp_path / "images" / name) for name in ("bad.png", "worse.jpg")
    ]


@pytest.mark.parametrize("command", ["predict", "export"])
def test_weights_that_were_altered_are_not_used(small_store: Path, tmp_path: Path, command: str) -> None:
    store = tmp_path / "runs"
    shutil.copytree(small_store, store)
    file = next((store / "trials").glob("*/weights.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    save(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    words = [tmp_path / "a.png"] if command == "predict" else ["--to", "onnx"]

    done = CliRunner().invoke(
        app, [command, file.parent.name, *map(str, words), "--store", str(store), "-o", str(tmp_path / "out")]
    )

    assert done.exit_code == 2
    assert "weights.safetensors" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_trial_is_named_by_the_beginning_of_its_id_alone_where_that_is_clear(small_store: Path) -> None:
    store = Store(small_store)
    for trial in trials_of(small_store):
        assert store.trial_named(trial[:8]) == trial
    with pytest.raises(Exception, match="several trials begin with"):
        store.trial_named("")
    with pytest.raises(Exception, match="no finished trial begins with"):
        store.trial_named("*")


def scores_of(trained: Trained) -> pd.DataFrame:
    [folder] = (trained.store / "trials" / trained.trial / "evaluations").iterdir()
    return pd.read_parquet(folder / "scores.parquet").set_index("image")


def predicted(trained: Trained, out: Path) -> Any:
    """The test images of its study, segmented."""
    [*images] = (path for path in (trained.data / "images").iterdir() if path.stem in scores_of(trained).index)
    return predict(trained.trial, *images, "--store", trained.store, "-o", out)


@pytest.mark.parametrize("kind", ["trained_on_classes", "trained_on_labels"])
def test_masks_of_several_classes_have_the_scores_of_the_evaluation(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    trained: Trained = request.getfixturevalue(kind)

    done = predicted(trained, tmp_path / "prediction")

    assert done.exit_code == 0, done.output
    wanted: Any = scores_of(trained)
    masks = trained.data / "masks"
    for path in masks.rglob("*.png"):
        if path.stem in wanted.index:
            save(tmp_path / "reference" / path.relative_to(masks), np.asarray(Image.open(path)))
    shutil.copy(trained.data / "dataset.yaml", tmp_path)
    words = ["score", "--prediction", tmp_path / "prediction", "--reference", tmp_path / "reference", "--json"]
    found = json.loads(CliRunner().invoke(app, [*map(str, words)]).stdout)
    assert len(found["per_image"]) == len(wanted) > 3
    for row in found["per_image"]:
        for name in ("dice", "hd95", "tp", "fp"):
            assert row[name] == pytest.approx(wanted.loc[row["image"], name])
    assert wanted["tp"].max() > 0


def test_of_classes_a_mask_holds_their_numbers_in_colours(trained_on_classes: Trained, tmp_path: Path) -> None:
    done = predicted(trained_on_classes, tmp_path)

    masks = [Image.open(path) for path in tmp_path.iterdir()]
    found = [np.asarray(each) for each in masks]
    assert {each.mode for each in masks} == {"P"}
    assert {*np.unique(np.stack(found))} <= {0, 1, 2}
    assert masks[0].getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]  # pyright: ignore[reportOptionalSubscript]
    assert "they hold 0 background, 1 cell, 2 nucleus" in done.stdout
    n_without = sum(not (each == 2).any() for each in found)
    assert f"nucleus in {n_without} images" in done.stdout
    assert f"{sum(not each.any() for each in found)} of them are empty" in done.stdout


def test_labels_have_a_folder_each_in_black_and_white(trained_on_labels: Trained, tmp_path: Path) -> None:
    done = predicted(trained_on_labels, tmp_path)

    masks = {path.relative_to(tmp_path).as_posix(): np.asarray(Image.open(path)) for path in tmp_path.glob("*/*")}
    assert {name.split("/")[0] for name in masks} == {"disc", "cup"}
    assert {*np.unique(np.stack([*masks.values()]))} <= {0, 255}
    assert f"{len(masks)} masks are in" in done.stdout
    assert f"{sum(not each.any() for each in masks.values())} of them are empty" in done.stdout
    again = predicted(trained_on_labels, tmp_path)
    assert again.exit_code == 2
    assert f"is there already (and {len(masks) - 1} more)" in again.stderr


RGB = np.zeros((8, 8, 3), np.uint8) + np.array([200, 10, 10], np.uint8)


@pytest.mark.parametrize(
    ("kind", "pixels", "said"),
    [
        ("trained_on_classes", RGB, "is in colour; the model was trained on grey images, and takes no others"),
        ("trained_on_classes", RGB[..., 0], "is stored as uint8; the model was trained on images of more than 8 bits"),
        ("trained_on_labels", RGB, "has 3 channels (shape (8, 8, 3)); the model was trained on images of 5 channels"),
        ("trained_on_labels", np.ones((8, 8, 5)), "is stored as float32; the model was trained on images of 8 bits"),
    ],
)
def test_an_image_of_another_kind_than_the_models_is_told(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, pixels: Any, said: str
) -> None:
    trained: Trained = request.getfixturevalue(kind)
    np.save(tmp_path / "a.npy", pixels)

    done = predict(trained.trial, tmp_path, "--store", trained.store, "-o", tmp_path / "out")

    assert done.exit_code == 1
    assert f"{tmp_path / 'a.npy'}: {said}" in done.stderr
    assert "0 masks are in" in done.stdout
