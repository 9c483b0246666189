"""Where our metrics agree with other packages', and where they don't, by how much."""

import numpy as np
import pytest
import surface_distance
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from monai.metrics.meaniou import compute_iou
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.surface_distance import compute_average_surface_distance
from scipy.ndimage import distance_transform_edt, gaussian_filter

from medbench.bench.metrics import Mask, score_masks

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers warn of their own dependencies
OURS_IN_MONAI = ("dice", "iou", "hd95", "assd", "nsd1", "nsd2")


def blob(seed: int, height: int = 90, width: int = 130, level: float = 0.3) -> Mask:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 8)
    return noise > level * noise.std()


def ours(prediction: Mask, reference: Mask, spacing: tuple[float, float] | None = None) -> dict[str, float]:
    return {
        name: values.item() for name, values in score_masks(prediction[None], reference[None], spacing=spacing).items()
    }


def monai(prediction: Mask, reference: Mask, spacing: tuple[float, float] | None = None) -> dict[str, float]:
    p, r = (torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference))
    tolerance = (
        min(spacing or (1.0, 1.0)) * 1.0001
    )  # single precision puts a distance of one pixel on either side of it
    common = {"include_background": True, "spacing": list(spacing) if spacing else None}
    found = {
        "dice": compute_dice(p, r),
        "iou": compute_iou(p, r),
        "hd95": compute_hausdorff_distance(p, r, percentile=95, **common),
        "assd": compute_average_surface_distance(p, r, symmetric=True, **common),
        "nsd1": compute_surface_dice(p, r, class_thresholds=[tolerance], **common),
        "nsd2": compute_surface_dice(p, r, class_thresholds=[2 * tolerance], **common),
    }
    return {name: value.item() for name, value in found.items()}


def deepmind(prediction: Mask, reference: Mask) -> dict[str, float]:
    surfaces = surface_distance.compute_surface_distances(reference, prediction, (1.0, 1.0))
    return {
        "hd95": float(surface_distance.compute_robust_hausdorff(surfaces, 95)),
        "nsd1": float(surface_distance.compute_surface_dice_at_tolerance(surfaces, 1)),
        "nsd2": float(surface_distance.compute_surface_dice_at_tolerance(surfaces, 2)),
    }


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([None, (0.5, 0.5), (0.7, 0.3)]), st.floats(-1, 2))
def test_agrees_with_monai(seed: int, spacing, level: float) -> None:
    """Blobs of all sizes, in several pieces, many of them cut off by the border."""
    p, r = blob(seed, level=level), blob(seed + 1, level=level)
    assume(p.any() and r.any())  # of an empty mask, as a high level leaves now and then, monai has no distance

    scores = ours(p, r, spacing)

    assert {name: scores[name] for name in OURS_IN_MONAI} == pytest.approx(monai(p, r, spacing), rel=1e-5)


def test_monai_has_no_distance_for_an_empty_mask_and_we_have_the_diagonal() -> None:
    p, r = np.zeros((30, 40), dtype=bool), blob(1, 30, 40)

    assert not np.isfinite(monai(p, r)["hd95"])
    assert ours(p, r)["hd95"] == 50


@pytest.mark.parametrize("seed", range(5))
def test_deepminds_boundary_between_the_pixels_moves_scores_a_little(seed: int) -> None:
    reference = blob(seed)
    moved = np.roll(reference, 2, axis=1)

    scores, theirs = ours(moved, reference), deepmind(moved, reference)

    assert scores["hd95"] == pytest.approx(theirs["hd95"], abs=1)
    assert abs(scores["nsd1"] - theirs["nsd1"]) < 0.15


def test_deepmind_weights_pieces_of_the_boundary_by_their_length() -> None:
    """Squares of side 4 and 2 with one corner in common: 12 + 4 boundary pixels, or lines with cut corners."""
    p, r = np.zeros((9, 9), dtype=bool), np.zeros((9, 9), dtype=bool)
    p[2:6, 2:6] = r[2:4, 2:4] = True
    corner = 0.5**0.5

    scores, theirs = ours(p, r), deepmind(p, r)

    assert scores["nsd1"] == (5 + 4) / 16
    assert theirs["nsd1"] == pytest.approx(((6 + corner) + (4 + 3 * corner)) / (16 + 8 * corner))


@pytest.mark.parametrize("seed", range(5))
def test_medpys_percentile_of_both_directions_together_is_another_number(seed: int) -> None:
    """By its definition, on distances from scipy: the larger directed percentile does not hide behind the other."""
    p, r = blob(seed), blob(seed + 7)
    p_edge, r_edge = (mask & ~eroded(mask) for mask in (p, r))
    to_r = np.asarray(distance_transform_edt(~r_edge))[p_edge]
    to_p = np.asarray(distance_transform_edt(~p_edge))[r_edge]

    together = np.percentile(np.concatenate([to_r, to_p]), 95)

    assert together < ours(p, r)["hd95"]


def eroded(mask: Mask) -> Mask:
    m = np.pad(mask, 1)
    return m[1:-1, 1:-1] & m[:-2, 1:-1] & m[2:, 1:-1] & m[1:-1, :-2] & m[1:-1, 2:]
