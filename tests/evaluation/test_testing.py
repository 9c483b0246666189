"""Scores are of the data set's own resolution, and the pictures kept for the report are faithful."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from medbench.bench.evaluation.testing import evaluate, resized, write_mask, write_pictures
from medbench.bench.metrics import METRICS, Target, score_masks
from medbench.bench.training.batches import to_input
from medbench.datasets.artifacts.painted import PaintedSet
from medbench.datasets.base import ImageSet
from medbench.datasets.cache import Arrays, load_arrays
from medbench.datasets.inspection import inspect


class Discs(ImageSet):
    """White discs on black, 80 pixels high and 100 wide, the last image without a disc."""

    name = "discs"
    ids = ("a", "b", "c d", "e")

    def __init__(self) -> None:
        self.groups = {id: id for id in self.ids}
        self.official = {}

    def mask(self, id: str) -> NDArray[Any]:
        y, x = np.mgrid[:80, :100]
        radius = {"a": 20, "b": 30, "c d": 10, "e": 0}[id]
        return (y - 40) ** 2 + (x - 45) ** 2 < radius**2

    def image(self, id: str) -> NDArray[np.uint8]:
        return np.repeat(self.mask(id)[..., None], 3, axis=2).astype(np.uint8) * 255

    def digest(self, id: str) -> str:
        return id


class Bright(nn.Module):
    """Says lesion where the image is brighter than half, shifted to the right by some pixels of its input."""

    def __init__(self, shift: int = 0) -> None:
        super().__init__()
        self.shift = shift
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        return image.mean(dim=1, keepdim=True).roll(self.shift, dims=-1) * self.scale - 0.25


@pytest.fixture
def arrays(tmp_path: Path) -> Arrays:
    return load_arrays(Discs(), Discs.ids, 64, tmp_path / "cache", inspect(Discs()).digests)


def test_a_model_that_is_right_scores_nearly_one_at_native_size_and_one_at_input_size(
    arrays: Arrays, tmp_path: Path
) -> None:
    native = evaluate(Bright(), Discs(), arrays, Discs.ids, score_at="native", masks=tmp_path / "n").images
    at_input = evaluate(Bright(), Discs(), arrays, Discs.ids, score_at="input", masks=tmp_path / "i").images

    assert native["dice"].to_numpy().min() > 0.95
    assert at_input["dice"].to_numpy().min() == 1.0
    assert set(native["height"]) == {80}
    assert set(native["width"]) == {100}
    assert set(at_input["height"]) == {64}


def test_rows_hold_the_scores_of_the_masks_that_were_kept(arrays: Arrays, tmp_path: Path) -> None:
    scores = evaluate(Bright(shift=5), Discs(), arrays, Discs.ids, score_at="native", masks=tmp_path).images

    assert list(scores["image"]) == sorted(Discs.ids)
    assert {*METRICS, "tp", "fp", "fn", "tn"} < set(scores.columns)
    dice = dict(zip(scores["image"].to_list(), scores["dice"].to_list(), strict=True))
    hd95 = dict(zip(scores["image"].to_list(), scores["hd95"].to_list(), strict=True))
    for id in Discs.ids:
        kept = np.asarray(Image.open(tmp_path / f"{id}.png"))
        expected = score_masks(kept[None], Discs().mask(id)[None])
        assert dice[id] == expected["dice"][0]
        assert hd95[id] == expected["hd95"][0]
    assert dice["a"] < 0.9


@pytest.mark.parametrize("score_at", ["native", "input"])
def test_the_share_of_an_artifact_that_is_taken_for_lesion_counts_outside_the_lesion(
    tmp_path: Path, score_at: str
) -> None:
    """White patches on black: Bright takes every patch for lesion, and discs under a black corner for none."""
    painted = PaintedSet(Discs(), Discs.ids, kind="patch", severity=5)
    digests = {id: painted.digest(id) for id in painted.ids}
    images = load_arrays(painted, painted.ids, 64, tmp_path / "cache", digests)

    scores = evaluate(Bright(), painted, images, Discs.ids, score_at=score_at, masks=tmp_path / "masks").images

    found = dict(zip(scores["image"].to_list(), scores["artifact_fpr"].to_list(), strict=True))
    if score_at == "native":
        for id in Discs.ids:
            kept = np.asarray(Image.open(tmp_path / "masks" / f"{id}.png"))
            outside = painted.artifact_mask(id) & ~painted.mask(id)
            assert found[id] == pytest.approx(kept[outside].mean())
    assert 0 <= min(found.values()) <= max(found.values()) <= 1
    assert max(found.values()) > 0.5
    assert [share > 0.1 for share in found.values()] == scores["on_artifact"].to_list()


def test_probabilities_are_kept_as_sums_that_give_back_brier_score_and_calibration_error(arrays: Arrays) -> None:
    """The model's logits are few: 0.25 below and some above 0; both sums can be had by hand from one image."""
    scored = evaluate(Bright(shift=5), Discs(), arrays, ["a"], score_at="input", masks=None)

    logits = Bright(shift=5)(to_input(torch.from_numpy(np.array(arrays.images[:1])), torch.device("cpu")))
    probability, truth = logits.sigmoid().detach().numpy()[0, 0], arrays.masks[0] > 0
    sums = scored.reliability[["pixels", "confidence", "positives"]].to_numpy()
    assert sums[:, 0].sum() == 64 * 64
    assert sums[:, 1].sum() == pytest.approx(probability.sum(), rel=1e-5)
    assert sums[:, 2].sum() == truth.sum()
    assert scored.images["brier"].item() == pytest.approx(np.mean((probability - truth) ** 2), rel=1e-5)


def test_what_changes_the_whole_image_has_no_such_share(tmp_path: Path) -> None:
    painted = PaintedSet(Discs(), Discs.ids, kind="jpeg", severity=5)
    images = load_arrays(painted, painted.ids, 64, tmp_path / "cache", {id: painted.digest(id) for id in painted.ids})

    scores = evaluate(Bright(), painted, images, Discs.ids, score_at="native", masks=None).images

    assert {"artifact_fpr", "nsd2_near"}.isdisjoint(scores.columns)
    assert np.isnan(scores["on_artifact"].to_numpy()).all()


def test_logits_are_resized_to_the_mask_before_the_threshold() -> None:
    logits = torch.tensor([[[-3.0, 1.0]]])

    found = resized(logits, 1, 8)[0] > 0

    assert found.tolist() == [[False] * 5 + [True] * 3]


def test_large_masks_are_kept_small_and_in_proportion(tmp_path: Path) -> None:
    mask = np.zeros((1000, 2000), dtype=bool)
    mask[:, 1000:] = True

    write_mask(tmp_path / "m.png", mask, 512)

    kept = np.asarray(Image.open(tmp_path / "m.png"))
    assert kept.shape == (256, 512)
    assert kept.dtype == bool
    np.testing.assert_array_equal(kept[0], np.arange(512) >= 256)


def test_pictures_of_image_and_reference_have_one_size(tmp_path: Path) -> None:
    write_pictures(tmp_path, Discs(), ["a", "c d"])

    for id in ("a", "c d"):
        picture, mask = Image.open(tmp_path / f"{id}.jpg"), Image.open(tmp_path / f"{id}.png")
        assert picture.size == mask.size == (100, 80)
        bright = np.asarray(picture.convert("L")) > 127
        assert np.mean(bright != np.asarray(mask)) < 0.01


class Rings(Discs):
    """A bright core in a grey rim on black, grey images of one channel; the last image has a rim alone."""

    name, channels = "rings", 1
    target = Target(("rim", "core", "stone"))

    def mask(self, id: str) -> NDArray[Any]:
        y, x = np.mgrid[:80, :100]
        distance = np.hypot(y - 40, x - 45)
        return ((distance < 30).astype(np.uint8) + (distance < (0 if id == "e" else 15))).astype(np.uint8)

    def image(self, id: str) -> NDArray[np.uint8]:
        return np.array([0, 120, 240], np.uint8)[self.mask(id)][..., None]


class Shades(nn.Module):
    """Background, rim and core by how near the brightness is to theirs; of stone a corner."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        shade = image * 0.226 + 0.449
        maps = [-(((shade * 255 - level) / 60) ** 2) for level in (0, 120, 240)]
        stone = torch.full_like(shade, -99.0)
        stone[..., :8, :8] = 99
        return torch.cat([*maps, stone], dim=1) * self.scale


def test_classes_have_rows_of_their_own_and_an_image_the_mean_of_those_in_its_reference(tmp_path: Path) -> None:
    images = load_arrays(Rings(), Rings.ids, 64, tmp_path / "cache", inspect(Rings()).digests)

    scored = evaluate(Shades(), Rings(), images, Rings.ids, score_at="native", masks=tmp_path / "masks")

    assert scored.classes is not None
    of_classes = scored.classes.set_index(["image", "name"])
    for row in scored.images.to_dict("records"):
        each = of_classes.loc[row["image"]]
        assert row["dice"] == pytest.approx(each["dice"].mean())
        assert each.loc["rim", "dice"] > 0.9
        assert np.isnan(each.loc["stone", "dice"])
        assert np.isnan(each.loc["core", "dice"]) == (row["image"] == "e")
        assert row["false_alarm"] == (1 if row["image"] != "e" else 0.5)
        assert row["tp"] == each["tp"].sum()
        assert each.loc["stone", "false_alarm_area"] == row["false_alarm_area"] == pytest.approx(0.0156, rel=0.1)
        kept = np.asarray(Image.open(tmp_path / "masks" / f"{row['image']}.png"))
        assert set(np.unique(kept)) == ({0, 1, 2, 3} if row["image"] != "e" else {0, 1, 3})
    assert set(scored.reliability["name"]) == {"rim", "core", "stone"}
    pixels: Any = scored.reliability.groupby(["image", "name"])["pixels"].sum()
    assert set(pixels) == {80 * 100}


def test_pictures_of_a_grey_set_are_grey_and_its_masks_codes(tmp_path: Path) -> None:
    write_pictures(tmp_path, Rings(), ["a"])

    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.mode == "L"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), Rings().mask("a"))


def test_a_set_with_the_size_of_its_pixels_has_distances_in_millimetres_too(arrays: Arrays) -> None:
    discs = Discs()
    discs.spacing = (0.25, 0.25)

    native = evaluate(Bright(shift=5), discs, arrays, ["a"], score_at="native", masks=None).images
    at_input = evaluate(Bright(shift=5), discs, arrays, ["a"], score_at="input", masks=None).images

    assert native["hd95_mm"].item() == pytest.approx(native["hd95"].item() / 4)
    assert native["assd_mm"].item() == pytest.approx(native["assd"].item() / 4)
    assert {"hd95_mm", "assd_mm"}.isdisjoint(at_input.columns)
