"""Training is a pure function of configuration, images and seed."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn

from medbench.ablations.schema.loading import HERE
from medbench.bench.errors import MedbenchError
from medbench.bench.metrics import IGNORED, LESION, Target
from medbench.bench.training import loop
from medbench.bench.training.batches import DEVIATION, MEAN, Batches, Draw, TrainingImages, loader, resized, to_input
from medbench.bench.training.device import prepare
from medbench.bench.training.forward import predict, validate
from medbench.bench.training.loop import train
from medbench.bench.training.losses import dice_loss, segmentation_loss
from medbench.bench.training.schedule import learning_rate_share, optimizer_for, size_at
from medbench.datasets.augment import Augmentation
from medbench.datasets.cache import Arrays, load_arrays
from medbench.datasets.inspection import inspect
from medbench.datasets.synthetic import SyntheticSet
from medbench.models.catalog import build_model

RECIPE: dict[str, Any] = yaml.safe_load((HERE / "defaults.yaml").read_text(encoding="utf-8"))["training"]
QUIET = {**RECIPE["augment"], **dict.fromkeys(("flip", "affine", "elastic", "colour", "clahe", "noise", "blur"), 0.0)}


class Small(nn.Module):
    """Two convolutions, with an encoder to tell apart and dropout to seed."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.drop(self.norm(self.encoder(image)).relu()))


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    images = SyntheticSet(images=20, size=64)
    return load_arrays(images, images.ids, 64, tmp_path_factory.mktemp("cache"), inspect(images).digests)


def recipe(**changes: Any) -> dict[str, Any]:
    return {**RECIPE, "epochs": 3, "batch_size": 4, **changes}


def trained(arrays: Arrays, *, seed: int = 0, workers: int = 0, **changes: Any) -> Any:
    prepare(seed, 1)
    ids = sorted(arrays.row)
    return train(Small(), arrays, ids[:14], ids[14:], recipe(**changes), size=64, seed=seed, workers=workers)


def test_the_augmentation_of_an_image_is_a_function_of_its_key(arrays: Arrays) -> None:
    augment = Augmentation(RECIPE["augment"], 64)
    image, mask = arrays.images[0], arrays.masks[0]

    first = augment(image, mask, 0, 1, "a")
    augment(image, mask, 0, 2, "a")
    again = augment(image, mask, 0, 1, "a")

    np.testing.assert_array_equal(first["image"], again["image"])
    np.testing.assert_array_equal(first["mask"], again["mask"])


def test_seed_epoch_and_image_each_change_the_augmentation(arrays: Arrays) -> None:
    augment = Augmentation(RECIPE["augment"], 64)

    pictures = {
        augment(arrays.images[0], arrays.masks[0], *key)["image"].tobytes()
        for key in [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b"), (1, 1, "b")]
    }

    assert len(pictures) == 5


def test_transforms_are_drawn_independently_of_each_other() -> None:
    augment = Augmentation({**QUIET, "flip": 0.5}, 32)
    image = np.arange(32 * 32 * 3, dtype=np.uint32).astype(np.uint8).reshape(32, 32, 3)
    flips = {"none": image, "left-right": image[:, ::-1], "up-down": image[::-1], "both": image[::-1, ::-1]}
    seen = dict.fromkeys(flips, 0)

    for key in range(400):
        changed = augment(image, image[..., 0], key)["image"]
        seen[next(name for name, flipped in flips.items() if np.array_equal(changed, flipped))] += 1

    assert all(60 < count < 140 for count in seen.values()), seen


def test_half_of_the_images_get_one_of_the_artifacts_and_masks_none() -> None:
    augment = Augmentation({**QUIET, "artifacts": ["corners", "brightness"]}, 64)
    image, mask = np.full((64, 64, 3), 150, np.uint8), np.eye(64, dtype=np.uint8)
    seen = {"plain": 0, "corners": 0, "brightness": 0}

    for key in range(400):
        painted, moved = augment(image, mask, key).values()
        middle, corner = (not np.array_equal(painted[at], image[at]) for at in ((32, 32), (0, 0)))
        seen["brightness" if middle else "corners" if corner else "plain"] += 1
        np.testing.assert_array_equal(moved, mask)

    assert 160 < seen["plain"] < 240
    assert all(60 < seen[kind] < 140 for kind in ("corners", "brightness")), seen
    np.testing.assert_array_equal(augment(image, mask, 5)["image"], augment(image, mask, 5)["image"])


def test_image_and_mask_move_together() -> None:
    augment = Augmentation({**QUIET, "flip": 0.5, "affine": 1.0, "elastic": 1.0}, 64)
    y, x = np.mgrid[:64, :64]
    mask = ((y - 20) ** 2 + (x - 35) ** 2 < 15**2).astype(np.uint8)
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)

    for key in range(20):
        moved, moved_mask = augment(image, mask, key).values()
        assert np.mean((moved[..., 0] > 127) != (moved_mask > 0)) < 0.03
        assert set(np.unique(moved_mask)) <= {0, 1}


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
@pytest.mark.parametrize("workers", [1, 4])
def test_batches_do_not_depend_on_the_number_of_workers(arrays: Arrays, workers: int) -> None:
    def epochs(workers: int) -> list[Tensor]:
        batches = Batches(sorted(arrays.row), 4, seed=3)
        loading = loader(arrays, batches, RECIPE["augment"], workers=workers, pin=False)
        found: list[Tensor] = []
        for batches.epoch, batches.size in ((0, 32), (1, 64)):
            found += [part for batch in loading for part in batch.values()]
        return found

    for expected, got in zip(epochs(0), epochs(workers), strict=True):
        assert torch.equal(expected, got)


def test_two_epochs_differ_in_order_and_augmentation_even_with_workers(arrays: Arrays) -> None:
    batches = Batches(sorted(arrays.row), 4, seed=3)
    batches.size = 64
    loading = loader(arrays, batches, RECIPE["augment"], workers=1, pin=False)
    epochs: list[list[Draw]] = []
    pixels: list[set[bytes]] = []
    for batches.epoch in (0, 1):
        epochs.append([draw for batch in batches for draw in batch])
        pixels.append({image.numpy().tobytes() for batch in loading for image in batch["image"]})

    assert [draw.image for draw in epochs[0]] != [draw.image for draw in epochs[1]]
    assert {draw.image for draw in epochs[0]} == {draw.image for draw in epochs[1]}
    assert pixels[0].isdisjoint(pixels[1])


def test_an_epoch_shows_every_image_once_but_for_the_last_incomplete_batch() -> None:
    batches = Batches([f"{i:02}" for i in range(10)], 4, seed=0)

    draws = [draw.image for batch in batches for draw in batch]

    assert len(draws) == len(set(draws)) == 8
    assert len(next(iter(Batches(["a", "b", "c"], 16, seed=0)))) == 3


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
@pytest.mark.parametrize("workers", [1, 4])
def test_weights_and_history_are_bit_identical_whatever_the_workers(arrays: Arrays, workers: int) -> None:
    first, second = trained(arrays), trained(arrays, workers=workers)

    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    timeless = [[{k: v for k, v in row.items() if "second" not in k} for row in run.history] for run in (first, second)]
    assert timeless[0] == timeless[1]


def test_medlitenet_trains_to_the_same_bytes_twice(arrays: Arrays) -> None:
    ids = sorted(arrays.row)

    def once() -> dict[str, Tensor]:
        prepare(0, 1)
        model = build_model("medlitenet").model
        return train(model, arrays, ids[:8], ids[8:10], recipe(epochs=2), size=64, seed=0).weights

    first, second = once(), once()

    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_gives_other_weights(arrays: Arrays) -> None:
    first, second = trained(arrays), trained(arrays, seed=1)

    assert not torch.equal(first.weights["head.weight"], second.weights["head.weight"])


def test_training_learns(arrays: Arrays) -> None:
    history = trained(arrays, epochs=30, learning_rate=0.02, encoder_learning_rate=0.02).history

    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    assert history[-1]["validation_dice"] > 0.5


@pytest.mark.parametrize(("checkpoint", "kept"), [("last", 2), ("best-val", 1)])
def test_the_last_epoch_or_the_best_on_validation_is_kept(arrays: Arrays, monkeypatch, checkpoint, kept) -> None:
    after_epoch: list[dict[str, Tensor]] = []

    def scripted(model: nn.Module, *_: Any) -> tuple[float, float, dict[str, float]]:
        after_epoch.append({name: value.clone() for name, value in model.state_dict().items()})
        return 0.5, (0.1, 0.9, 0.2)[len(after_epoch) - 1], {}

    monkeypatch.setattr(loop, "validate", scripted)

    weights = trained(arrays, checkpoint=checkpoint).weights

    assert all(torch.equal(weights[name], value) for name, value in after_epoch[kept].items())
    assert not torch.equal(weights["head.weight"], after_epoch[kept - 1]["head.weight"])


def test_a_loss_that_is_no_number_ends_the_training(arrays: Arrays) -> None:
    with pytest.raises(MedbenchError, match="the loss is nan in epoch 1"):
        trained(arrays, learning_rate=math.nan)


def test_sizes_grow_in_multiples_of_32() -> None:
    sizes = [size_at(epoch, 300, 256, RECIPE["progressive_sizes"]) for epoch in range(300)]

    assert sizes == sorted(sizes)
    assert sizes[0] == 128
    assert sizes[-1] == 256
    assert all(size % 32 == 0 for size in sizes)
    assert sizes.count(256) == 150


def test_the_learning_rate_warms_up_and_falls_as_a_cosine() -> None:
    rates = [learning_rate_share(step, 100, 10, 0.01) for step in range(100)]

    assert rates[:10] == sorted(rates[:10])
    assert rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)
    assert learning_rate_share(0, 1, 0, 0.01) == 1


def test_the_encoder_has_its_own_learning_rate_and_norms_do_not_decay() -> None:
    model = Small()
    groups = optimizer_for(model, recipe()).param_groups

    rates = {id(each): (group["lr"], group["weight_decay"]) for group in groups for each in group["params"]}

    assert rates[id(model.encoder.weight)] == (RECIPE["encoder_learning_rate"], RECIPE["weight_decay"])
    assert rates[id(model.head.weight)] == (RECIPE["learning_rate"], RECIPE["weight_decay"])
    assert rates[id(model.norm.weight)] == (RECIPE["learning_rate"], 0.0)
    assert len(rates) == len(list(model.parameters()))


def test_dice_loss_by_hand() -> None:
    logits = torch.tensor([[[[50.0, -50.0], [50.0, -50.0]]], [[[-50.0, -50.0], [-50.0, -50.0]]]])
    target = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])

    half_found, both_empty = 1 - (2 * 1 + 1) / (2 + 1 + 1), 0.0

    assert float(dice_loss(logits, target)) == pytest.approx((half_found + both_empty) / 2)


def test_an_empty_target_still_asks_for_an_empty_prediction() -> None:
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)

    dice_loss(logits, torch.zeros(1, 1, 4, 4)).backward()

    assert logits.grad is not None
    assert (logits.grad > 0).all()


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    logits, target = torch.randn(2, 1, 4, 4), (torch.rand(2, 1, 4, 4) > 0.5).to(torch.uint8)

    loss = segmentation_loss(logits, target, {"bce_weight": 0.3, "dice_weight": 0.7})
    more = segmentation_loss(logits, target, {"bce_weight": 0.3, "dice_weight": 0.7, "losses": {"focal": 2}})

    right = torch.where(target > 0, logits.sigmoid(), 1 - logits.sigmoid())  # the probability of what is there
    bce, focal = -right.log().mean(), -((1 - right) ** 2 * right.log()).mean()
    assert float(loss) == pytest.approx(float(0.3 * bce + 0.7 * dice_loss(logits, target.float())), rel=1e-5)
    assert float(more - loss) == pytest.approx(float(2 * focal), rel=1e-4)


def test_validation_is_the_mean_dice_of_images(arrays: Arrays) -> None:
    ids, model = sorted(arrays.row), Small()

    found = predict(model, arrays.images[:20]).logits.numpy()[:, 0] > 0
    wanted = arrays.masks > 0
    dices = [2 * (f & w).sum() / (f.sum() + w.sum()) for f, w in zip(found, wanted, strict=True)]

    assert validate(model, arrays, ids, recipe())[1] == pytest.approx(np.mean(dices))


def test_of_one_structure_ignored_pixels_change_nothing_else_in_validation() -> None:
    class Everywhere(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.ones(1))

        def forward(self, image: Tensor) -> Tensor:
            return image[:, :1] * 0 + self.bias

    masks = np.zeros((3, 32, 32), np.uint8)
    masks[0, :16] = 1  # half of it, an empty one, and one of which nothing counts
    ignored = masks.copy()
    ignored[:2, :, 24:], ignored[2] = IGNORED, IGNORED
    images = np.zeros((3, 32, 32, 3), np.uint8)

    def dice(masks: NDArray[np.uint8], target: Target) -> float:
        arrays = Arrays(images, masks, {"a": 0, "b": 1, "c": 2}, target=target)
        return validate(Everywhere(), arrays, "abc", recipe())[1]

    assert dice(masks, LESION) == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert dice(ignored, Target(("lesion",), ignores=True)) == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_input_is_normalised_as_pretrained_encoders_expect() -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)

    found = to_input(torch.from_numpy(image), torch.device("cpu")).numpy()

    expected = ((image / 255 - np.array(MEAN)) / np.array(DEVIATION)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_smaller_sizes_average_areas() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[::2] = 200
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = 1

    small, small_mask = resized(image, mask, 32)

    assert set(np.unique(small)) == {100}
    np.testing.assert_array_equal(small_mask, np.repeat([[1] * 16 + [0] * 16], 32, axis=0))


def test_reading_from_the_cache_gives_what_training_sees(arrays: Arrays, tmp_path: Path) -> None:
    dataset = TrainingImages(arrays, QUIET, seed=0)

    image, mask = dataset[Draw(0, 64, sorted(arrays.row)[3])].values()

    np.testing.assert_array_equal(image.numpy(), arrays.images[3])
    np.testing.assert_array_equal(mask.numpy(), arrays.masks[3])
