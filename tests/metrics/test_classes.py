"""Scores of several classes: what counts where, and where our convention and other packages' agree."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics.meandice import DiceMetric
from monai.metrics.meaniou import MeanIoU
from numpy.typing import NDArray
from torchmetrics.functional.segmentation import dice_score

from medbench.bench.metrics import COUNTS, IGNORED, METRICS, MILLIMETRES, Target, score_masks
from medbench.bench.metrics.classes import from_counts_of_classes, over_classes, score_classes

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers warn of their own dependencies
HEART = Target(("right ventricle", "myocardium", "left ventricle"))
EYE = Target(("disc", "cup"), overlap=True)


def codes(seed: int, most: int, shape: tuple[int, int] = (24, 31)) -> NDArray[np.uint8]:
    """Patches of codes 0 to `most`, some of which may be missing."""
    rng = np.random.default_rng(seed)
    present = rng.permutation(most + 1)[: rng.integers(1, most + 2)]
    coarse = rng.choice(present, (shape[0] // 6 + 1, shape[1] // 6 + 1)).astype(np.uint8)
    return coarse.repeat(6, axis=0).repeat(6, axis=1)[: shape[0], : shape[1]]


@given(st.integers(0, 255), st.booleans())
def test_codes_and_planes_are_each_other(seed: int, overlap: bool) -> None:
    target = Target(("a", "b", "c"), overlap=overlap)
    mask = codes(seed, 7 if overlap else 3)

    planes = target.planes(mask)

    np.testing.assert_array_equal(target.codes(planes), mask)
    assert planes.shape == (3, *mask.shape)
    assert overlap or planes.sum(axis=0).max() <= 1


@pytest.mark.parametrize("target", [HEART, EYE, Target(("lesion",)), Target(("a", "b"), ignores=True)])
def test_a_target_is_told_and_read_in_plain_values(target: Target) -> None:
    assert Target.of(target.plain()) == target


def test_channels_of_the_logits_follow_from_the_target() -> None:
    assert [each.n_maps for each in (Target(("lesion",)), HEART, EYE)] == [1, 4, 2]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_dice_and_iou_of_names_in_the_reference_are_monais(first: int, second: int) -> None:
    prediction, reference = codes(first, 3), codes(second, 3)
    hot = [torch.from_numpy(HEART.planes(each)).float()[None] for each in (prediction, reference)]
    dice: Any = DiceMetric(include_background=True, reduction="none", ignore_empty=True)(*hot)
    iou: Any = MeanIoU(include_background=True, reduction="none", ignore_empty=True)(*hot)

    found = score_classes(HEART.planes(prediction), reference, HEART)

    np.testing.assert_allclose(found["dice"], dice[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(found["iou"], iou[0].numpy(), atol=1e-6)
    image = over_classes(found)["dice"]
    expected = torch.nanmean(dice).item()
    assert image == pytest.approx(expected, abs=1e-6) or (np.isnan(image) and np.isnan(expected))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32))
def test_where_all_classes_are_in_the_reference_dice_is_torchmetrics(seed: int) -> None:
    prediction, reference = codes(seed, 3), codes(seed, 3)
    prediction = np.roll(prediction, 2, axis=0)
    reference[0, :3] = [1, 2, 3]
    indices = [torch.from_numpy(each.astype(np.int64))[None] for each in (prediction, reference)]
    theirs = dice_score(
        *indices,
        num_classes=4,
        include_background=False,
        average="none",
        input_format="index",
        aggregation_level="samplewise",
    )

    found = score_classes(HEART.planes(prediction), reference, HEART)

    np.testing.assert_allclose(found["dice"], theirs.numpy().ravel(), atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_every_metric_of_a_name_is_that_of_its_mask_alone(first: int, second: int) -> None:
    prediction, reference = EYE.planes(codes(first, 3)), codes(second, 3)
    found = score_classes(prediction, reference, EYE)

    for index, plane in enumerate(EYE.planes(reference)):
        alone = score_masks(prediction[index][None], plane[None])
        for name in METRICS:
            value = found[name][index]
            assert value == alone[name][0] if plane.any() else np.isnan(value)
        assert found["present"][index] == plane.any()


def test_what_is_predicted_of_an_absent_class_is_a_false_alarm_and_no_score() -> None:
    reference = np.zeros((10, 10), np.uint8)
    reference[:5] = 1
    prediction = np.where(reference == 1, 1, 0).astype(np.uint8)
    prediction[9] = 3
    found = score_classes(HEART.planes(prediction), reference, HEART)

    assert found["dice"].tolist()[0] == 1
    assert np.isnan(found["dice"][1:]).all()
    np.testing.assert_array_equal(found["false_alarm"], [np.nan, 0, 1])
    row = over_classes(found)
    assert row["dice"] == 1
    assert row["false_alarm"] == 0.5
    assert row["false_alarm_area"] == pytest.approx(0.1)


def test_an_image_without_any_class_has_no_score_but_false_alarms() -> None:
    nothing = np.zeros((10, 10), np.uint8)

    row = over_classes(score_classes(HEART.planes(nothing), nothing, HEART))

    assert all(np.isnan(row[name]) for name in METRICS)
    assert row["false_alarm"] == row["false_alarm_area"] == 0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_ignored_pixels_count_nowhere(first: int, second: int) -> None:
    """Whatever is predicted there; and counts are those of the other pixels alone."""
    target = Target(HEART.names, ignores=True)
    prediction, reference = codes(first, 3), codes(second, 3)
    reference[:, :8] = IGNORED
    elsewhere = prediction.copy()
    elsewhere[:, :8] = 2

    found = [score_classes(target.planes(each), reference, target) for each in (prediction, elsewhere)]
    cut = score_classes(HEART.planes(prediction[:, 8:]), reference[:, 8:], HEART)

    for name, values in found[0].items():
        np.testing.assert_array_equal(values, found[1][name])
    for name in ("dice", "iou", "specificity", "accuracy", "tp", "fp", "fn", "tn", "false_alarm", "false_alarm_area"):
        np.testing.assert_allclose(found[0][name], cut[name])


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=4))
def test_many_images_at_once_are_each_of_them_and_counts_give_what_follows_from_them(seeds: list[int]) -> None:
    nothing = np.zeros_like(codes(0, 3))
    pairs = [(codes(seed, 3), nothing if seed % 2 else codes(seed + 1, 3)) for seed in seeds]
    rows = [score_classes(HEART.planes(prediction), reference, HEART) for prediction, reference in pairs]
    together = {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    for name, values in over_classes(together).items():
        np.testing.assert_array_equal(values, [over_classes(row)[name] for row in rows])
    for name, values in from_counts_of_classes({name: together[name] for name in COUNTS}).items():
        np.testing.assert_array_equal(values, together[name])


def test_with_the_size_of_a_pixel_distances_are_told_in_millimetres_beside_pixels() -> None:
    reference = np.zeros((20, 20), np.uint8)
    reference[5:15, 5:15] = 2
    prediction = np.roll(reference, 3, axis=0)

    found = score_classes(HEART.planes(prediction), reference, HEART, spacing=(0.5, 2.0))
    plain = score_classes(HEART.planes(prediction), reference, HEART)

    alone = score_masks(HEART.planes(prediction)[[1]], HEART.planes(reference)[[1]], spacing=(0.5, 2.0))
    np.testing.assert_array_equal(found["hd95_mm"], [np.nan, alone["hd95"].item(), np.nan])
    assert found["assd_mm"][1] == alone["assd"].item()
    assert over_classes(found)["hd95_mm"] == alone["hd95"].item()
    np.testing.assert_array_equal(found["hd95"], plain["hd95"])
    assert found.keys() - plain.keys() == {*MILLIMETRES}
