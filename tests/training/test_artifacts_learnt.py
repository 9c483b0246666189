"""What a training on painted artifacts may ask beside the mask: where they lie, and the same answer without them."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage, stats
from torch import Tensor, nn

from medbench.bench.metrics import IGNORED, LESION, Target
from medbench.bench.training import loop
from medbench.bench.training.batches import Batches, loader, to_input
from medbench.bench.training.consistency import disagreement
from medbench.bench.training.device import prepare
from medbench.bench.training.images_on_gpu import OnDevice
from medbench.bench.training.labels import Labels
from medbench.bench.training.loop import train
from medbench.bench.training.losses import segmentation_loss
from medbench.bench.training.painting_ahead import VERSIONS, PaintedAhead
from medbench.bench.training.schedule import optimizer_for
from medbench.bench.training.step import Replayed, Step, total_loss
from medbench.datasets.artifacts import SEVERITIES
from medbench.datasets.augment import Augmentation, drawn_artifact
from medbench.datasets.batched import BatchedAugmentation
from medbench.datasets.cache import Arrays, load_arrays
from medbench.datasets.inspection import inspect
from medbench.datasets.synthetic import SyntheticSet
from medbench.models.catalog import build_model
from medbench.models.outputs import ARTIFACT, Outputs

from .test_loop import QUIET, RECIPE, recipe
from .test_step import Recorder, batch

CPU = torch.device("cpu")
BOTH = ("artifact", "clean")
HAIRY = {**QUIET, "artifacts": ["hair"]}
AGREEING = {"consistency": {"weight": 2.0, "ramp": 0.5, "band": 0.05}}


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    images = SyntheticSet(images=48, size=64)
    return load_arrays(images, images.ids, 64, tmp_path_factory.mktemp("cache"), inspect(images).digests)


def test_what_is_wanted_beside_image_and_mask_changes_neither(arrays: Arrays) -> None:
    augment = {**RECIPE["augment"], "artifacts": ["hair", "ruler"]}
    plain, more = Augmentation(augment, 64), Augmentation(augment, 64, also=BOTH)

    for key in range(30):
        pictures = plain(arrays.images[0], arrays.masks[0], key), more(arrays.images[0], arrays.masks[0], key)
        for name in ("image", "mask"):
            np.testing.assert_array_equal(pictures[1][name], pictures[0][name])
        assert pictures[0].keys() == {"image", "mask"}
        assert pictures[1].keys() == {"image", "mask", *BOTH}


def test_an_artifact_lies_where_the_image_differs_visibly_from_the_clean_one(arrays: Arrays) -> None:
    augment, counts = Augmentation({**HAIRY, "flip": 0.5}, 64, also=BOTH), Counter[bool]()

    for key in range(60):
        found = augment(arrays.images[3], arrays.masks[3], key)
        differs = np.abs(found["image"].astype(int) - found["clean"]).max(axis=2)
        np.testing.assert_array_equal(found["artifact"], (differs >= 10).astype(np.uint8))
        counts[bool(found["artifact"].any())] += 1

    assert 15 < counts[True] < 45


def test_both_images_and_both_masks_move_and_change_alike(arrays: Arrays) -> None:
    certain = {**RECIPE["augment"], **dict.fromkeys(("flip", "affine", "elastic", "colour", "noise", "blur"), 1.0)}
    certain |= {"artifacts": ["ruler"], "clahe": 0.0}
    given = {"image": arrays.images[3], "mask": arrays.masks[3]}
    on_device = BatchedAugmentation(certain, 64, CPU)

    for key in range(12):
        found = Augmentation(certain, 64, also=BOTH)(*given.values(), key)
        far = ndimage.binary_dilation(found["artifact"], iterations=6) == 0
        assert np.abs(found["image"].astype(int) - found["clean"])[far].max() <= 6  # contrast turns about another mean
        planes = {name: np.array(given[name.replace("clean", "image")]) for name in ("image", "clean", "mask")}
        planes["artifact"] = planes["mask"]
        there = on_device({name: torch.from_numpy(each[None]) for name, each in planes.items()}, key)
        assert torch.equal(there["image"], there["clean"])  # one noise, one order of colours
        assert torch.equal(there["mask"], there["artifact"])


def test_a_kind_that_changes_all_of_an_image_lies_nowhere(arrays: Arrays) -> None:
    augment = Augmentation({**QUIET, "artifacts": ["brightness"]}, 64, also=BOTH)

    found = [augment(arrays.images[0], arrays.masks[0], key) for key in range(20)]

    assert any(not np.array_equal(each["image"], each["clean"]) for each in found)
    assert not any(each["artifact"].any() for each in found)


def test_the_head_is_taught_where_artifacts_lie_and_the_lesion_by_its_mask() -> None:
    logits, told = torch.randn(2, 1, 8, 8), torch.randn(2, 1, 8, 8)
    masks, artifacts = (torch.randint(0, 2, (2, 8, 8), dtype=torch.uint8) for _ in range(2))
    outputs = Outputs(logits, {ARTIFACT: told}, {ARTIFACT: 0.25})

    found = total_loss(outputs, {"mask": masks, ARTIFACT: artifacts}, recipe())

    of_mask, of_artifact = (
        segmentation_loss(logits, masks[:, None], recipe()),
        segmentation_loss(told, artifacts[:, None], recipe()),
    )
    torch.testing.assert_close(found, of_mask + 0.25 * of_artifact)


@pytest.mark.parametrize("target", [LESION, Target(("a", "b"), ignores=True), Target(("a", "b"), overlap=True)])
@pytest.mark.parametrize("band", [0.0, 0.1])
def test_disagreement_is_a_mean_over_pixels_away_from_contours(target: Target, band: float) -> None:
    rng, maps = np.random.default_rng(0), target.n_maps
    first, second = (torch.from_numpy(rng.normal(size=(3, maps, 20, 20))) for _ in range(2))
    blocks = rng.integers(0, 2 if target == LESION else 3, size=(3, 2, 2)).astype(np.uint8)
    codes = np.kron(blocks, np.ones((10, 10), np.uint8))
    if target.ignores:
        codes[:, :3] = IGNORED

    found = disagreement(first, second, torch.from_numpy(codes)[:, None], target, band)

    squares: list[NDArray[np.float64]] = []
    for image in range(3):
        a, b = (probabilities(each[image].numpy(), target) for each in (first, second))
        reach = {0.0: 0, 0.1: 2}[band]
        footprint = np.ones((2 * reach + 1,) * 2)
        alike = ndimage.maximum_filter(codes[image], footprint=footprint) == ndimage.minimum_filter(
            codes[image], footprint=footprint
        )
        alike &= ~(target.ignores & (codes[image] == IGNORED))
        squares.append(((a - b) ** 2).mean(axis=0)[alike])
    assert float(found) == pytest.approx(np.concatenate(squares).mean(), rel=1e-5)
    assert float(disagreement(first, first, torch.from_numpy(codes)[:, None], target, band)) == 0


def probabilities(logits: NDArray[np.float64], target: Target) -> NDArray[np.float64]:
    if target == LESION or target.overlap:
        return 1 / (1 + np.exp(-logits))
    return np.exp(logits) / np.exp(logits).sum(axis=0)


class Plain(nn.Module):
    """Without batch norm and dropout, so that images do not see each other."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


def steps(parts: int, *, replayed: bool = False) -> list[float]:
    torch.manual_seed(0)
    model, training = Plain(), recipe(augment={**QUIET, "artifacts": ["hair"]}, **AGREEING)
    step = Step(
        model, model, optimizer_for(model, training), torch.amp.GradScaler("cpu", enabled=False), training, parts
    )
    run, losses = Replayed(step, Recorder()) if replayed else step, list[float]()
    for number in range(6):
        given = batch(number, 32)
        step.agreement.fill_(float(number))
        losses.append(float(run(given | {"clean": batch(100 + number, 32)["image"]})))
    return losses


def test_the_loss_of_a_step_is_that_of_painted_images_and_its_weight_times_the_disagreement() -> None:
    torch.manual_seed(0)
    model, training = Plain(), recipe(**AGREEING)
    first, clean = batch(0, 32), batch(100, 32)["image"]

    step = Step(model, model, optimizer_for(model, training), torch.amp.GradScaler("cpu", enabled=False), training, 1)
    step.agreement.fill_(3.0)
    with torch.no_grad():
        of_painted, of_clean = (model(to_input(each, CPU)) for each in (first["image"], clean))
        masks = first["mask"][:, None]
        wanted = segmentation_loss(of_painted, masks, training)
        wanted = wanted + 3.0 * disagreement(of_painted, of_clean, masks, LESION, 0.05)

    torch.testing.assert_close(step(first | {"clean": clean}), wanted)


def test_the_weight_of_agreement_is_that_of_the_step_also_where_steps_are_replayed() -> None:
    assert steps(1, replayed=True) == steps(1)
    assert steps(2) == pytest.approx(steps(1), rel=0.02)  # a mean over pixels, of which parts have unlike numbers


def test_agreement_of_a_network_with_several_outputs_and_tasks_is_that_of_its_main_map(arrays: Arrays) -> None:
    prepare(0, 1)
    model = build_model("gated_baa", tasks={"kind": 2}).model
    ids, training = sorted(arrays.row), recipe(epochs=2, augment=HAIRY, **AGREEING)
    labels = Labels({"kind": {id: n % 2 for n, id in enumerate(ids)}}, {"kind": 0.2})

    done = train(model, arrays, ids[:32], ids[32:], training, size=64, seed=0, labels=labels)

    assert [row["epoch"] for row in done.history] == [1, 2]
    assert "network.artifact.read.1.weight" in done.weights


def test_a_head_learns_to_find_hairs_that_it_was_not_trained_on(arrays: Arrays) -> None:
    prepare(0, 1)
    ids = sorted(arrays.row)
    training = recipe(epochs=10, augment=HAIRY, learning_rate=0.01, encoder_learning_rate=0.005, batch_size=8)
    model = build_model("artifact_head", {"artifact_weight": 1.0}).model

    train(model, arrays, ids[:40], ids[40:], training | {"progressive_sizes": {0.0: 1.0}}, size=64, seed=0)

    augment = Augmentation(HAIRY, 64, also=BOTH)
    unseen = [augment(arrays.images[row], arrays.masks[row], "unseen", row) for row in range(40, 48)]
    hairy = [each for each in unseen if each["artifact"].any()]
    model.train()
    with torch.no_grad():
        given = model(to_input(torch.from_numpy(np.stack([each["image"] for each in hairy])), CPU))
    logits, truth = given.auxiliary[ARTIFACT][:, 0].numpy(), np.stack([each["artifact"] for each in hairy]) > 0
    ranks = stats.mannwhitneyu(logits[truth], logits[~truth])
    assert ranks.statistic / (truth.sum() * (~truth).sum()) > 0.65  # area under the ROC curve of pixels


def images_of(arrays: Arrays, n: int) -> tuple[Tensor, list[str]]:
    return torch.from_numpy(np.repeat(np.array(arrays.images[3])[None], n, axis=0)), [f"{i:03}" for i in range(n)]


def test_kinds_and_severities_of_paintings_made_ahead_are_drawn_as_one_by_one() -> None:
    kinds = ["hair", "ruler", "ink"]

    drawn = Counter(
        drawn_artifact(kinds, f"0/ahead/{version}/{i:03}")[:2] for version in range(VERSIONS) for i in range(100)
    )

    counts = [drawn[kind, severity] for kind in kinds for severity in SEVERITIES]
    assert sum(counts) == VERSIONS * 100
    assert stats.chisquare(counts).pvalue > 0.001


def test_pictures_painted_ahead_are_those_of_the_loader_in_distribution(arrays: Arrays) -> None:
    kinds, n = ["hair", "corners"], 200
    images, ids = images_of(arrays, n)
    ahead = PaintedAhead(images, ids, kinds, 0, keeps_where=True)
    rows = torch.arange(n)
    here: list[NDArray[np.float64]] = []
    for epoch in range(4):
        shown, where = ahead.over(images, rows, 0, epoch, 0)
        assert where is not None
        here.append(measured(shown.numpy(), images.numpy(), where.numpy()))
    augment = Augmentation({**QUIET, "artifacts": kinds}, 64, also=BOTH)
    one_by_one = [augment(arrays.images[3], arrays.masks[3], 0, epoch, id) for epoch in range(4) for id in ids]
    there = measured(*(np.stack([each[name] for each in one_by_one]) for name in ("image", "clean", "artifact")))

    for ours, theirs in zip(np.concatenate(here, axis=1), there, strict=True):
        result: Any = stats.ks_2samp(ours, theirs)
        assert result.pvalue > 0.001
    shown, where = ahead.over(images, rows, 0, 0, 0)
    assert where is not None
    differs = (shown.int() - images.int()).abs().amax(dim=3) >= 10
    assert torch.equal(where, differs.byte())
    assert torch.equal(ahead.over(images, rows, 0, 0, 0)[0], shown)
    assert not torch.equal(ahead.over(images, rows, 0, 1, 0)[0], shown)


def measured(shown: NDArray[np.uint8], clean: NDArray[np.uint8], where: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(statistics, images): mean change, its largest, and the share that is covered, with a little less than nothing in
    the place of nothing."""
    change = np.abs(shown.astype(float) - clean)
    found = np.stack([change.mean(axis=(1, 2, 3)), change.max(axis=(1, 2, 3)), where.mean(axis=(1, 2))])
    return np.where(found == 0, -1.0, found)


@pytest.mark.parametrize("size", [32, 64])
def test_on_the_device_batches_have_the_same_names_and_shapes_as_from_the_loader(arrays: Arrays, size: int) -> None:
    batches = Batches(sorted(arrays.row), 16, seed=3)
    batches.size = size
    augment = {**RECIPE["augment"], "artifacts": ["hair"]}

    here = list(OnDevice(arrays, batches, augment, CPU, also=BOTH))
    there = list(loader(arrays, batches, augment, workers=0, pin=False, also=BOTH))

    assert len(here) == len(there) == 3
    for ours, theirs in zip(here, there, strict=True):
        assert {name: (each.shape, each.dtype) for name, each in ours.items()} == {
            name: (each.shape, each.dtype) for name, each in theirs.items()
        }
    shares = [float(torch.cat([each["artifact"] for each in way]).float().mean()) for way in (here, there)]
    assert 0 < min(shares) <= max(shares) < 4 * min(shares)


def test_a_training_on_the_device_learns_from_artifacts_too(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_device(images: Arrays, batches: Batches, augment: Any, **given: Any) -> OnDevice:
        return OnDevice(images, batches, augment, CPU, also=given["also"])

    monkeypatch.setattr(loop, "loader", on_device)
    prepare(0, 1)
    ids = sorted(arrays.row)
    training = recipe(epochs=3, augment={**RECIPE["augment"], "artifacts": ["hair"]}, **AGREEING)

    done = train(build_model("artifact_head").model, arrays, ids[:32], ids[32:], training, size=64, seed=0)

    assert done.history[-1]["train_loss"] < done.history[0]["train_loss"]
