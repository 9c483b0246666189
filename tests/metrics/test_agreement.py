from fractions import Fraction
from itertools import product
from math import hypot, sqrt

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, distance_transform_cdt, distance_transform_edt, gaussian_filter

from medbench.bench.metrics import (
    COUNTS,
    METRICS,
    Mask,
    from_counts,
    n_empty,
    pooled,
    score_in_both_units,
    score_masks,
    scores_near,
)
from medbench.bench.metrics.agreement import _is_near

DISTANCES = ("hd95", "assd")
SYMMETRIC = ("dice", "iou", "accuracy", "hd95", "assd", "nsd1", "nsd2", "biou", "iou_t65")
SPACINGS = [None, ("1", "1"), ("0.1", "0.1"), ("0.5", "2"), ("0.7", "0.3")]


def scores_of(prediction, reference, spacing=None) -> dict[str, float]:
    """Scores of one pair of (H, W) masks, as plain numbers."""
    pair = (np.array(mask, dtype=bool)[None] for mask in (prediction, reference))
    return {name: values.item() for name, values in score_masks(*pair, spacing=spacing).items()}


def blob(seed: int, height: int, width: int) -> Mask:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 12)
    return noise > 0.3 * noise.std()


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Mask, Mask]:
    """Two masks of one size up to 7 x 7: random, empty, full, one pixel, a thin line, or a frame along the border."""
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))

    def mask() -> Mask:
        kind = draw(st.sampled_from(["random", "random", "empty", "full", "pixel", "line", "frame"]))
        row, column = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        found = np.full((height, width), kind in ("full", "frame"))
        if kind == "random":
            bits = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
            found = np.array(bits).reshape(height, width)
        elif kind == "pixel":
            found[row, column] = True
        elif kind == "line":
            found[row, :] = True
        elif kind == "frame":
            found[1:-1, 1:-1] = False
        return found

    return mask(), mask()


def by_brute_force(prediction: Mask, reference: Mask, spacing: tuple[str, str] | None) -> dict[str, float]:
    """An independent implementation: sets of pixels, exact fractions, and every pairwise distance."""
    height, width = prediction.shape
    pixels = set(product(range(height), range(width)))
    p, r = ({pixel for pixel in pixels if mask[pixel]} for mask in (prediction, reference))
    side = [Fraction(length) for length in spacing or ("1", "1")]

    def share(part: set, whole: set, absent_in_both: bool = True) -> float:
        return len(part) / len(whole) if whole else float(absent_in_both)

    def edge(mask: set, neighbours: list[tuple[int, int]]) -> set:
        return {(y, x) for y, x in mask if any((y + dy, x + dx) not in mask for dy, dx in neighbours)}

    def squared_distances(of: set, to: set) -> list[Fraction]:
        return sorted(min((side[0] * (y - v)) ** 2 + (side[1] * (x - u)) ** 2 for v, u in to) for y, x in of)

    def percentile_95(values: list[float]) -> float:
        place = 0.95 * (len(values) - 1)
        low = int(place)
        return values[low] + (place - low) * (values[min(low + 1, len(values) - 1)] - values[low])

    four = [(0, 1), (0, -1), (1, 0), (-1, 0)]
    eight = [(dy, dx) for dy, dx in product((-1, 0, 1), repeat=2) if dy or dx]
    iou = share(p & r, p | r)
    band_p, band_r = edge(p, eight), edge(r, eight)  # one pixel wide: these images have diagonals below 75
    scores = {
        "dice": 2 * len(p & r) / (len(p) + len(r)) if p or r else 1.0,
        "iou": iou,
        "sensitivity": share(p & r, r, not p),
        "specificity": share(pixels - p - r, pixels - r, p == pixels),
        "precision": share(p & r, p, not r),
        "accuracy": share((p & r) | (pixels - p - r), pixels),
        "biou": share(band_p & band_r, band_p | band_r),
        "iou_t65": iou if iou >= 0.65 else 0.0,
        "tp": len(p & r),
        "fp": len(p - r),
        "fn": len(r - p),
        "tn": len(pixels - p - r),
    }
    if p and r:
        squares = [squared_distances(edge(p, four), edge(r, four)), squared_distances(edge(r, four), edge(p, four))]
        distances = [[sqrt(square) for square in directed] for directed in squares]
        both = squares[0] + squares[1]
        return scores | {
            "hd95": max(map(percentile_95, distances)),
            "assd": sum(map(sum, distances)) / len(both),
            "nsd1": sum(square <= min(side) ** 2 for square in both) / len(both),
            "nsd2": sum(square <= (2 * min(side)) ** 2 for square in both) / len(both),
        }
    alike = p == r
    penalty = 0.0 if alike else hypot(height * side[0], width * side[1])
    return scores | {"hd95": penalty, "assd": penalty, "nsd1": float(alike), "nsd2": float(alike)}


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        pytest.param([[1, 0]], [[1, 1]], {"dice": 2 / 3, "iou": 0.5, "iou_t65": 0}, id="half found: 2*1/(1+2)"),
        pytest.param([[1, 0]], [[1, 1]], {"sensitivity": 0.5, "precision": 1, "accuracy": 0.5}, id="half found: rates"),
        pytest.param([[1] * 13 + [0] * 7], [[1] * 20], {"iou_t65": 0.65}, id="the ISIC threshold itself counts"),
        pytest.param([[1, 0, 0, 0]], [[0, 0, 0, 1]], {"hd95": 3, "assd": 3, "nsd2": 0}, id="three pixels apart"),
        pytest.param([[1, 0, 0]], [[0, 1, 0]], {"dice": 0, "nsd1": 1, "biou": 0}, id="one pixel apart is within 1"),
        pytest.param([[1, 0], [0, 0]], [[0, 0], [0, 1]], {"nsd1": 0, "nsd2": 1}, id="diagonal: 1.41 is within 2 only"),
        pytest.param([[1, 0, 0]], [[1, 1, 1]], {"hd95": 1.9, "assd": 0.75}, id="95 % of (0, 1, 2) is 1.9"),
        pytest.param([[1] * 3] * 3, [[1] * 3, [1, 0, 1], [1] * 3], {"hd95": 0, "nsd1": 1, "biou": 1}, id="filled ring"),
        pytest.param([[0, 0]], [[0, 0]], {"dice": 1, "iou_t65": 1, "hd95": 0, "nsd1": 1, "biou": 1}, id="both empty"),
        pytest.param([[0, 0]], [[0, 0]], {"sensitivity": 1, "precision": 1, "specificity": 1}, id="agreed absence"),
        pytest.param([[1, 0]], [[0, 0]], {"dice": 0, "sensitivity": 0, "precision": 0}, id="false alarm"),
        pytest.param(
            [[1, 0]], [[0, 0]], {"specificity": 0.5, "accuracy": 0.5}, id="background of a false alarm counts"
        ),
        pytest.param([[0] * 4] * 3, [[1] * 4] * 3, {"hd95": 5, "assd": 5, "nsd2": 0, "biou": 0}, id="missed: diagonal"),
        pytest.param([[1, 1]], [[1, 1]], {"specificity": 1}, id="no background, and none predicted"),
        pytest.param([[1, 0]], [[1, 1]], {"specificity": 0}, id="no background, but some predicted"),
    ],
)
def test_worked_by_hand(prediction, reference, expected: dict[str, float]) -> None:
    scores = scores_of(prediction, reference)

    assert {name: scores[name] for name in expected} == pytest.approx(expected)


@settings(deadline=None, max_examples=300)
@given(pairs(), st.sampled_from(SPACINGS))
def test_agrees_with_sets_of_pixels_and_all_pairwise_distances(pair: tuple[Mask, Mask], spacing) -> None:
    scores = scores_of(*pair, spacing=spacing and tuple(map(float, spacing)))

    assert scores == pytest.approx(by_brute_force(*pair, spacing))


@pytest.mark.parametrize("spacing", [None, (0.5, 0.8)])
def test_distances_of_a_large_pair_agree_with_a_distance_transform(spacing) -> None:
    p, r = blob(1, 240, 310), blob(2, 240, 310)

    scores = scores_of(p, r, spacing)

    p_edge, r_edge = (mask & ~np.asarray(binary_erosion(mask), dtype=bool) for mask in (p, r))
    to_r = np.asarray(distance_transform_edt(~r_edge, sampling=spacing))[p_edge]
    to_p = np.asarray(distance_transform_edt(~p_edge, sampling=spacing))[r_edge]
    assert scores["hd95"] == pytest.approx(max(np.percentile(to_r, 95), np.percentile(to_p, 95)))
    assert scores["assd"] == pytest.approx(np.concatenate([to_r, to_p]).mean())


def test_boundary_iou_agrees_with_its_definition_by_distances() -> None:
    """The band is what lies within d = 2 % of the diagonal of the background or the outside, in chessboard distance."""
    p, r = blob(3, 240, 310), blob(4, 240, 310)
    width = round(0.02 * hypot(240, 310))

    p_band, r_band = (
        mask & (np.asarray(distance_transform_cdt(np.pad(mask, 1)))[1:-1, 1:-1] <= width) for mask in (p, r)
    )

    assert width == 8
    assert scores_of(p, r)["biou"] == pytest.approx((p_band & r_band).sum() / (p_band | r_band).sum())


@settings(deadline=None)
@given(pairs())
def test_a_mask_agrees_perfectly_with_itself(pair: tuple[Mask, Mask]) -> None:
    scores = scores_of(pair[0], pair[0])

    assert all(scores[name] == (1 if metric.higher_is_better else 0) for name, metric in METRICS.items())


@settings(deadline=None)
@given(pairs())
def test_swapping_the_masks_swaps_sensitivity_with_precision_and_keeps_the_symmetric_metrics(pair) -> None:
    forth, back = scores_of(*pair), scores_of(*pair[::-1])

    assert {name: forth[name] for name in SYMMETRIC} == pytest.approx({name: back[name] for name in SYMMETRIC})
    assert forth["sensitivity"] == back["precision"]


@settings(deadline=None)
@given(pairs())
def test_turning_and_mirroring_both_masks_changes_nothing(pair) -> None:
    turned = scores_of(*(np.rot90(mask)[::-1] for mask in pair))

    assert turned == pytest.approx(scores_of(*pair))


@settings(deadline=None)
@given(pairs())
def test_background_around_both_masks_leaves_the_distances_alone(pair) -> None:
    padded, bare = scores_of(*(np.pad(mask, 3) for mask in pair)), scores_of(*pair)

    if pair[0].any() == pair[1].any():
        assert [padded[name] for name in DISTANCES] == pytest.approx([bare[name] for name in DISTANCES])


@settings(deadline=None)
@given(pairs())
def test_shares_lie_in_0_to_1_and_distances_below_the_diagonal(pair) -> None:
    scores = scores_of(*pair)

    assert all(0 <= scores[name] <= (hypot(*pair[0].shape) if name in DISTANCES else 1) for name in METRICS)


@settings(deadline=None)  # the first one imports SciPy
@given(pairs(), st.sampled_from(SPACINGS[1:]))
def test_in_both_units_is_in_pixels_and_as_with_the_spacing(pair: tuple[Mask, Mask], spacing) -> None:
    side, (p, r) = (float(spacing[0]), float(spacing[1])), (mask[None] for mask in pair)

    found = {name: values.item() for name, values in score_in_both_units(p, r, side).items()}

    in_mm = {f"{name}_mm": scores_of(*pair, side)[name] for name in DISTANCES}
    assert found == scores_of(*pair) | in_mm
    assert score_in_both_units(p, r, None) == score_masks(p, r)


def test_spacing_scales_the_distances_and_nothing_else() -> None:
    p, r = blob(5, 60, 80), blob(6, 60, 80)

    in_pixels, in_mm = scores_of(p, r), scores_of(p, r, (0.1, 0.1))

    scaled = {name: value * (0.1 if name in DISTANCES else 1) for name, value in in_pixels.items()}
    assert in_mm == pytest.approx(scaled)


def test_images_do_not_see_each_other() -> None:
    p, r = (np.stack([blob(seed, 40, 50) for seed in seeds]) for seeds in ((1, 2, 3), (4, 5, 6)))

    together = score_masks(p, r)

    for index in range(3):
        assert {name: values[index] for name, values in together.items()} == scores_of(p[index], r[index])


def test_threads_change_no_score() -> None:
    p, r = (np.stack([blob(seed, 40, 50) for seed in seeds]) for seeds in ((1, 2, 3), (4, 5, 6)))

    alone, together = score_masks(p, r), score_masks(p, r, threads=3)

    assert all(np.array_equal(alone[name], together[name]) for name in alone)


def test_masks_need_not_be_contiguous() -> None:
    p, r = blob(1, 40, 50), blob(2, 40, 50)

    assert scores_of(p[::-1, ::2], r[::-1, ::2]) == scores_of(p[::-1, ::2].copy(), r[::-1, ::2].copy())


def test_no_images_give_empty_columns() -> None:
    none = np.zeros((0, 4, 4), dtype=bool)

    assert {values.shape for values in score_masks(none, none).values()} == {(0,)}


def test_columns_are_the_metrics_in_order_and_then_the_counts() -> None:
    scores = scores_of([[1]], [[1]])

    assert list(scores) == [*METRICS, "tp", "fp", "fn", "tn"]


@given(pairs())
def test_counts_give_again_what_they_decide(pair: tuple[Mask, Mask]) -> None:
    scores = score_masks(*(mask[None] for mask in pair))

    derived = from_counts({name: scores[name] for name in COUNTS})

    assert [*derived] == ["dice", "iou", "sensitivity", "specificity", "precision", "accuracy", "iou_t65"]
    assert all((derived[name] == scores[name]).all() for name in derived)


def test_pooled_scores_are_those_of_all_images_laid_side_by_side() -> None:
    p, r = (np.stack([blob(seed, 40, 50) for seed in seeds]) for seeds in ((1, 2, 3), (4, 5, 6)))

    overlap = pooled(score_masks(p, r))

    side_by_side = scores_of(np.concatenate([*p]), np.concatenate([*r]))
    assert overlap == pytest.approx({name: side_by_side[name] for name in overlap})


def test_pooled_scores_differ_from_the_mean_over_images() -> None:
    p, r = np.array([[[1, 1, 1, 1]], [[0, 0, 0, 0]]]) > 0, np.array([[[1, 1, 1, 1]], [[0, 0, 0, 1]]]) > 0

    scores = score_masks(p, r)

    assert (scores["iou"].mean(), pooled(scores)["iou"]) == (0.5, 0.8)


def test_an_image_is_counted_as_empty_when_exactly_one_of_its_masks_is() -> None:
    p = np.array([[[0, 0]], [[1, 0]], [[0, 0]], [[1, 0]], [[1, 1]]]) > 0
    r = np.array([[[0, 0]], [[0, 0]], [[1, 1]], [[0, 1]], [[1, 0]]]) > 0

    assert n_empty(score_masks(p, r)) == 2


@pytest.mark.parametrize("which", [0, 1])
def test_probabilities_are_refused(which: int) -> None:
    pair = [np.zeros((1, 2, 2), dtype=bool), np.zeros((1, 2, 2), dtype=bool)]
    pair[which] = pair[which].astype(np.float32)

    with pytest.raises(TypeError, match=f"{('prediction', 'reference')[which]} must be a boolean mask, got float32"):
        score_masks(*pair)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 2, 2), (1, 2, 3)), "must have the same shape"),
        (((2, 2), (2, 2)), r"shape \(N, H, W\)"),
        (((1, 0, 2), (1, 0, 2)), "with pixels in it"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_masks(*(np.zeros(shape, dtype=bool) for shape in shapes))


@pytest.mark.parametrize("spacing", [(0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0)])
def test_a_spacing_that_is_no_length_is_refused(spacing) -> None:
    with pytest.raises(ValueError, match="spacing must be"):
        scores_of([[1]], [[1]], spacing)


def test_scores_near_a_place_are_those_of_the_boundary_there() -> None:
    """The left border is right, the right one five pixels off: near each border only its own error counts."""
    reference, prediction = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    reference[20:40, 20:50] = True
    prediction[20:40, 20:55] = True
    left, right = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    left[25:35, 20], right[28:32, 52] = True, True

    assert scores_near(prediction, reference, left) == {"assd_near": 0.0, "nsd2_near": 1.0}
    assert scores_near(prediction, reference, right)["nsd2_near"] == 0.0
    assert scores_near(prediction, reference, right)["assd_near"] == pytest.approx(5, abs=0.01)
    everywhere = scores_near(prediction, reference, np.ones((60, 80), bool))
    whole = score_masks(prediction[None], reference[None])
    assert everywhere == {"assd_near": whole["assd"][0], "nsd2_near": whole["nsd2"][0]}


def test_no_boundary_near_a_place_has_no_score() -> None:
    mask, corner = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    mask[20:40, 20:50], corner[:5, :5] = True, True

    for prediction, reference, place in ((mask, mask, corner), (mask, mask & False, mask), (mask, mask, mask & False)):
        assert np.isnan(list(scores_near(prediction, reference, place).values())).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 90), (120, 80), (200, 300)])
def test_near_is_what_dilating_the_place_by_a_disc_covers(height: int, width: int) -> None:
    """An independent way: OpenCV's dilation of the whole image."""
    place = np.random.default_rng(height).random((height, width)) < 0.01
    place[0, -1] = True
    side = 2 * max(round(0.02 * hypot(height, width)), 1) + 1
    covered = cv2.dilate(place.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))

    found = _is_near(np.argwhere(np.ones_like(place)).astype(float), place)

    np.testing.assert_array_equal(found.reshape(height, width), np.asarray(covered) > 0)
