"""`medbench predict` draws what evaluations score."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.metrics import score_masks
from medbench.bench.store import Store
from medbench.datasets.synthetic import SyntheticSet

from .image_files import save


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
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    small_store: Path, tmp_path: Path, names: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("one", "two"):
        save(tmp_path / folder / "a.png", np.zeros((8, 8, 3), np.uint8))
    paths = [tmp_path / name for name in names]

    done = predict(trials_of(small_store)[0], *paths, "--store", small_store, "-o", tmp_path / "out")

    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_trial_is_named_by_the_beginning_of_its_id_alone_where_that_is_clear(small_store: Path) -> None:
    store = Store(small_store)
    for trial in trials_of(small_store):
        assert store.trial_named(trial[:8]) == trial
    with pytest.raises(Exception, match="3 trials begin so"):
        store.trial_named("")
    with pytest.raises(Exception, match="no finished trial begins so"):
        store.trial_named("*")
