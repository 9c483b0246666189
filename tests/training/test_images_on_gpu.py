"""Images kept on the device: the same order, sizes and masks as from the loader, and trainings that go the same way."""

from typing import Any

import numpy as np
import pytest
import torch

from medbench.bench.training import loop
from medbench.bench.training.batches import Batches, loader, resized
from medbench.bench.training.device import prepare
from medbench.bench.training.images_on_gpu import OnDevice, area_matrix, shrunk
from medbench.bench.training.loop import train
from medbench.datasets.cache import Arrays, load_arrays
from medbench.datasets.inspection import inspect
from medbench.datasets.synthetic import SyntheticSet

from .test_loop import QUIET, Small, recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    images = SyntheticSet(images=60, size=64)
    return load_arrays(images, images.ids, 64, tmp_path_factory.mktemp("cache"), inspect(images).digests)


@pytest.mark.parametrize("size", [32, 48, 64])
def test_images_shrink_as_opencv_shrinks_them(arrays: Arrays, size: int) -> None:
    images, masks = (torch.from_numpy(np.array(each[:8])) for each in (arrays.images, arrays.masks))

    found = shrunk(images, masks, area_matrix(64, size))

    for i in range(8):
        image, mask = resized(arrays.images[i], arrays.masks[i], size)
        assert np.abs(found[0][i].numpy().astype(int) - image).max() <= 1  # where a half is rounded
        assert (found[1][i].numpy() != mask).mean() < 0.002
    assert found[0].dtype == found[1].dtype == torch.uint8


@pytest.mark.parametrize("size", [32, 64])
def test_batches_hold_the_images_that_the_loader_gives(arrays: Arrays, size: int) -> None:
    batches = Batches(sorted(arrays.row)[5:45], 8, seed=3)
    batches.epoch, batches.size = 2, size

    here = list(OnDevice(arrays, batches, QUIET, CPU))
    there = list(loader(arrays, batches, QUIET, workers=0, pin=False))

    assert len(here) == len(there) == 5
    for found, wanted in zip(here, there, strict=True):
        (image, mask), (wanted, wanted_mask) = ((each["image"], each["mask"]) for each in (found, wanted))
        assert (image.shape, mask.shape, image.dtype) == (wanted.shape, wanted_mask.shape, wanted.dtype)
        assert int((image.int() - wanted.int()).abs().max()) <= 1
        assert float((mask != wanted_mask).float().mean()) < 0.002


def test_an_epoch_is_a_function_of_seed_and_epoch(arrays: Arrays) -> None:
    def epoch(seed: int, number: int, before: int = 0) -> list[bytes]:
        batches = Batches(sorted(arrays.row), 16, seed=seed)
        images = OnDevice(arrays, batches, recipe()["augment"], CPU)
        batches.size = 64
        for batches.epoch in range(before):
            list(images)
        batches.epoch = number
        return [batch["image"].numpy().tobytes() + batch["mask"].numpy().tobytes() for batch in images]

    assert epoch(0, 2) == epoch(0, 2, before=2)  # as a training that goes on from a checkpoint needs
    assert not set(epoch(0, 2)) & set(epoch(0, 1))
    assert not set(epoch(0, 2)) & set(epoch(1, 2))


def losses(arrays: Arrays, monkeypatch: pytest.MonkeyPatch, *, on_device: bool, seed: int) -> Any:
    """Losses by epoch of a training, validation included, by either path."""
    if on_device:
        monkeypatch.setattr(loop, "loader", lambda images, batches, recipe, **_: OnDevice(images, batches, recipe, CPU))
    prepare(seed, 1)
    ids, changes = sorted(arrays.row), recipe(epochs=8, batch_size=8, learning_rate=0.01)
    done = train(Small(), arrays, ids[:48], ids[48:], changes, size=64, seed=seed)
    monkeypatch.undo()
    return [[row["train_loss"], row["validation_loss"]] for row in done.history]


def test_loss_curves_of_both_paths_agree(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = range(6)

    here, there = (
        np.array([losses(arrays, monkeypatch, on_device=way, seed=seed) for seed in seeds]) for way in (True, False)
    )

    difference = here - there  # (seeds, epochs, 2); starts and order are shared, draws of the augmentation are not
    standard_error = difference.std(axis=0, ddof=1) / np.sqrt(len(seeds))
    assert np.abs(difference.mean(axis=0) / standard_error).max() < 5.5  # t with 5 df, 16 numbers: p = 0.04 of them all
    assert np.abs(difference.mean(axis=0)).max() < 0.02
    assert there.mean(axis=0)[-1, 1] < there.mean(axis=0)[0, 1] - 0.05  # it learns, so that the curves say something


def test_the_path_that_was_taken_is_told(arrays: Arrays) -> None:
    ids = sorted(arrays.row)

    done = train(Small(), arrays, ids[:8], ids[8:12], recipe(epochs=1), size=64, seed=0)

    assert done.path == {"images": "loaded", "model": "eager", "steps": "eager"}


def test_a_compiled_model_learns_the_same(arrays: Arrays) -> None:
    ids = sorted(arrays.row)

    def trained(compiled: bool) -> Any:
        prepare(0, 1)
        changes = recipe(epochs=2, progressive_sizes={0.0: 1.0})
        return train(Small(), arrays, ids[:16], ids[16:20], changes, size=64, seed=0, compiled=compiled)

    eager, compiled = trained(False), trained(True)

    assert compiled.path["model"] == "compiled"
    assert compiled.history[-1]["validation_loss"] == pytest.approx(eager.history[-1]["validation_loss"], rel=0.05)
    assert set(compiled.weights) == set(eager.weights)
