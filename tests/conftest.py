"""What many tests share."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.cost import latency
from medbench.bench.study import sharing, timing_job
from medbench.datasets.synthetic import SyntheticSet

from .image_files import save

ROOT = Path(__file__).parent.parent
SMALL_VARIANTS = """\
variants:
  one: {model: ulite}   # of which an ONNX file is soon made
  two: {model: ulite, options: {kernel_size: 5}}
  both: {ensemble: {members: [one, two], weighting: equal}}
dataset: {name: synthetic, images: 40, size: 64}
encoder_weights: none
"""


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images, or the test is skipped."""
    named = os.environ.get("MEDBENCH_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (folder / "isic2018").is_dir():
        pytest.skip("no real images: set MEDBENCH_DATA")
    return folder


@pytest.fixture(scope="session", autouse=True)
def short_and_one_at_a_time() -> Iterator[None]:
    """In the tests' own processes, of which there is one a core, a run trains on that one, and times just enough to
    have the numbers. What tests start as processes of their own is as users have it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "n_cores", lambda: 1)
        patch.setattr(latency, "INSTANCES", 2)
        patch.setattr(latency, "LONGEST_WARM_UP_S", 0.5)
        patch.setattr(timing_job, "PASSES", dict.fromkeys(timing_job.PASSES, 4))
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests neither read nor leave anything in the user's cache, store or data."""
    monkeypatch.setenv("MEDBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("MEDBENCH_STORE", raising=False)
    monkeypatch.delenv("MEDBENCH_DATA", raising=False)


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two small variants and their ensemble, trained for an epoch on synthetic images; only to be read."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.yaml").write_text(
        f"""\
question: What does it cost?
baseline: one
{SMALL_VARIANTS}seeds: 1
training: {{epochs: 1, batch_size: 8}}
"""
    )
    words = ["run", folder / "small.yaml", "--store", folder / "runs"]
    done = CliRunner().invoke(app, list(map(str, words)), env={"MEDBENCH_CACHE": str(folder / "cache")})
    assert done.exit_code == 0, done.output
    return folder / "runs"


@dataclass(frozen=True)
class Trained:
    """A study of one small variant on a described folder."""

    store: Path
    trial: str
    data: Path
    classes: tuple[str, ...]
    """Or labels; without the background."""
    cache: Path


@pytest.fixture(scope="session")
def trained_on_classes(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Of grey images of 16 bits with a cell and its nucleus as classes; only to be read."""
    return _trained(
        tmp_path_factory.mktemp("classes"), "classes: [background, cell, nucleus]\nchannels: 1\n", ("cell", "nucleus")
    )


@pytest.fixture(scope="session")
def trained_on_labels(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Of arrays of five channels with a disc and its cup as labels; only to be read."""
    return _trained(tmp_path_factory.mktemp("labels"), "labels: [disc, cup]\nchannels: 5\n", ("disc", "cup"))


def _trained(folder: Path, description: str, classes: tuple[str, ...]) -> Trained:
    data, images = folder / "set", SyntheticSet(images=30, size=64)
    for id in images.ids:
        picture, outer = images.image(id), images.mask(id)
        inner = cv2.erode(outer.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        if "labels" in description:
            (data / "images").mkdir(parents=True, exist_ok=True)
            np.save(data / "images" / f"{id}.npy", np.concatenate([picture, 255 - picture[..., :2]], axis=2))
            save(data / "masks" / classes[0] / f"{id}.png", outer)
            save(data / "masks" / classes[1] / f"{id}.png", inner)
        else:
            save(data / "images" / f"{id}.png", picture[..., 1].astype(np.uint16) * 100 + 1000)
            save(data / "masks" / f"{id}.png", outer.astype(np.uint8) + inner)
    (data / "dataset.yaml").write_text(description)
    (folder / "few.yaml").write_text(
        f"""\
question: What does it cost?
baseline: one
variants: {{one: {{model: ulite}}}}
dataset: {{folder: {data}, size: 64}}
encoder_weights: none
seeds: 1
training: {{epochs: 2, batch_size: 8, learning_rate: 0.01}}
"""
    )
    words = ["run", folder / "few.yaml", "--store", folder / "runs"]
    done = CliRunner().invoke(app, list(map(str, words)), env={"MEDBENCH_CACHE": str(folder / "cache")})
    assert done.exit_code == 0, done.output
    [trial] = (folder / "runs" / "trials").iterdir()
    return Trained(folder / "runs", trial.name, data, classes, folder / "cache")
