"""How well a predicted mask agrees with its reference, image by image.

Shapes: N images of H x W pixels; a mask is True where the lesion is. Every function is pure.

What a ratio with an empty denominator means is decided here once: it is 1 when prediction and reference agree that the
class is absent, else 0. Distances between an empty and a non-empty mask do not exist; the diagonal of the image, longer
than any distance in it, stands in for them. `n_empty` counts the images that this happened to.

The boundary is a mask minus its 4-connected erosion, with background outside the image, so that a lesion that the image
cuts off has a boundary along the cut. Every boundary pixel counts alike. Other packages differ
(tests/metrics/test_peers.py):

- MONAI 1.6 has the same boundary, hd95, assd and surface Dice, in single precision; for empty masks it returns NaN or
  infinity.
- medpy 0.5 has the same boundary and assd, but takes one 95th percentile of both directions' distances together, as a
  rule less than hd95 here. Empty masks raise an error.
- DeepMind's surface-distance 0.1 lays the boundary between pixels and weights each piece of it by its length; its hd95
  is the larger of the directed percentiles of these. Scores differ by tenths of a pixel; for empty masks they are NaN
  or infinity.
"""

from collections.abc import Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import hypot, inf, isfinite
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]

CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))  # 4-connected
SQUARE = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
COUNTS = ("tp", "fp", "fn", "tn")
SCORING = 3  # of evaluations: raised whenever the meaning or the number of their columns changes


@dataclass(frozen=True, slots=True)
class Metric:
    """What a table needs to know of a metric; the unit is empty for a share in [0, 1]."""

    name: str
    label: str
    unit: str  # of distances: "px" or "mm"
    higher_is_better: bool
    description: str

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest that it can be."""
        return (0.0, inf) if self.unit else (0.0, 1.0)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("dice", "Dice", "", True, "2|P∩R| / (|P|+|R|) of prediction P and reference R"),
        Metric("iou", "IoU", "", True, "|P∩R| / |P∪R|"),
        Metric("sensitivity", "Sensitivity", "", True, "share of the reference's pixels that are predicted"),
        Metric("specificity", "Specificity", "", True, "share of the reference's background that is left alone"),
        Metric("precision", "Precision", "", True, "share of the predicted pixels that are in the reference"),
        Metric("accuracy", "Accuracy", "", True, "share of all pixels that are labelled as in the reference"),
        Metric("hd95", "HD95", "px", False, "larger of the two directed 95th percentiles of boundary distances"),
        Metric("assd", "ASSD", "px", False, "mean distance of all boundary pixels of both masks to the other boundary"),
        Metric("nsd1", "NSD 1 px", "", True, "share of both boundaries within 1 pixel of the other (surface Dice)"),
        Metric("nsd2", "NSD 2 px", "", True, "share of both boundaries within 2 pixels of the other (surface Dice)"),
        Metric("biou", "Boundary IoU", "", True, "IoU of the inner boundary bands, 2 % of the diagonal wide"),
        Metric("iou_t65", "IoU ≥ 0.65", "", True, "IoU, or 0 where it is below 0.65 (ISIC challenge)"),
    )
}


MILLIMETRES: dict[str, Metric] = {  # besides those in pixels, where a set says how large its pixels are
    name: Metric(
        name, METRICS[name.removesuffix("_mm")].label, "mm", False, METRICS[name.removesuffix("_mm")].description
    )
    for name in ("hd95_mm", "assd_mm")
}


def score_masks(
    prediction: Mask, reference: Mask, *, spacing: tuple[float, float] | None = None, threads: int = 1
) -> dict[str, Values]:
    """Every metric of `METRICS` for every image, and the pixel counts `tp, fp, fn, tn`, each of shape (N,).

    Shares lie in [0, 1], higher is better; `hd95` and `assd` in [0, diagonal], lower is better. Two empty masks agree
    perfectly: shares 1, distances 0. When one is empty, dice, iou, nsd and biou are 0 and the distances the diagonal;
    specificity and accuracy keep their values, for the background is still there to be right about.

    hd95 is the larger of the two directed 95th percentiles (linear interpolation), assd the mean over all boundary
    pixels of both masks. The tolerances of nsd1 and nsd2 are pixels even when there is a spacing, pixels as long as
    their shorter side: so a column never mixes units, and resolution changes it but the choice of unit does not. The
    band of biou is 2 % of the diagonal wide, rounded to whole pixels, at least one.

    Args:
        prediction: (N, H, W) True where the model sees the lesion.
        reference: (N, H, W) True where the annotator does.
        spacing: height and width of a pixel in mm; distances are then mm, otherwise pixels.
        threads: images scored at once; no score depends on it.

    Raises:
        TypeError: a mask is not boolean.
        ValueError: shapes differ or are not (N, H, W) with pixels, or a spacing is not above 0.

    Source:
        Choice and pitfalls: Maier-Hein, Reinke et al. (2024), "Metrics reloaded", Nature Methods 21. nsd: Nikolov et
        al. (2021), "Clinically applicable segmentation of head and neck anatomy", J Med Internet Res 23(7), here
        counting pixels. biou: Cheng et al. (2021), "Boundary IoU", CVPR. iou_t65: Codella et al. (2019), arXiv
        1902.03368.

    >>> scores = score_masks(np.array([[[True, False]]]), np.array([[[True, True]]]))
    >>> scores["dice"].item(), scores["hd95"].item()
    (0.6666666666666666, 0.95)
    """
    _check(prediction, reference, spacing)
    counts = _confusion(prediction, reference)
    scores = from_counts(counts)

    def boundaries(p: Mask, r: Mask) -> tuple[float, ...]:
        return _boundary_scores(p, r, spacing or (1.0, 1.0))

    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            rows = list(pool.map(boundaries, prediction, reference))
    else:
        rows = list(map(boundaries, prediction, reference))
    names = ("hd95", "assd", "nsd1", "nsd2", "biou")
    scores |= dict(zip(names, np.array(rows, dtype=np.float64).reshape(-1, len(names)).T, strict=True))
    return {name: scores[name] for name in METRICS} | counts


def with_millimetres(names: Container[str]) -> list[str]:
    """The metrics of `METRICS`, and those of `MILLIMETRES` that are among the names.

    >>> with_millimetres({"hd95_mm"})[-2:]
    ['iou_t65', 'hd95_mm']
    """
    return [*METRICS, *(name for name in MILLIMETRES if name in names)]


def score_in_both_units(prediction: Mask, reference: Mask, spacing: tuple[float, float] | None) -> dict[str, Values]:
    """What `score_masks` gives in pixels, and the metrics of `MILLIMETRES`, each (N,), where a spacing is known.

    Args:
        prediction: (N, H, W), as in `score_masks`.
        reference: (N, H, W), as in `score_masks`.
        spacing: height and width of a pixel in mm.

    >>> scores = score_in_both_units(np.array([[[True, False]]]), np.array([[[False, True]]]), (1.0, 0.5))
    >>> scores["hd95"].item(), scores["hd95_mm"].item()
    (1.0, 0.5)
    """
    scores = score_masks(prediction, reference)
    if spacing is None:
        return scores
    _check(prediction, reference, spacing)
    pairs = zip(prediction, reference, strict=True)
    rows = [_hd95_and_assd(*_apart(*_cropped(p, r), p.shape, spacing)) for p, r in pairs]
    return scores | dict(zip(MILLIMETRES, np.array(rows, dtype=np.float64).reshape(-1, 2).T, strict=True))


def from_counts(counts: Mapping[str, Values]) -> dict[str, Values]:
    """Those of the metrics that follow from `tp, fp, fn, tn` alone, each (N,), as `score_masks` returns them.

    >>> counts = {"tp": np.array([3.0]), "fp": np.array([1.0]), "fn": np.array([2.0]), "tn": np.array([4.0])}
    >>> from_counts(counts)["iou"].item(), from_counts(counts)["iou_t65"].item()
    (0.5, 0.0)
    """
    scores = _overlap(counts)
    return scores | {"iou_t65": np.where(scores["iou"] >= 0.65, scores["iou"], 0.0)}


def constant(counts: Mapping[str, float]) -> str | None:
    """ "empty" or "full" where all predicted masks are so and wrong somewhere; else None.

    Args:
        counts: sums of tp, fp, fn and tn over all images.

    >>> constant({"tp": 0, "fp": 0, "fn": 5, "tn": 95}), constant({"tp": 5, "fp": 95, "fn": 0, "tn": 0})
    ('empty', 'full')
    >>> constant({"tp": 0, "fp": 1, "fn": 5, "tn": 94}), constant({"tp": 0, "fp": 0, "fn": 0, "tn": 100})
    (None, None)
    """
    if counts["tp"] + counts["fp"] == 0 and counts["fn"]:
        return "empty"
    return "full" if counts["fn"] + counts["tn"] == 0 and counts["fp"] else None


def pooled(counts: Mapping[str, Values]) -> dict[str, float]:
    """Overlap metrics of one confusion matrix summed over all images, as the EGE-UNet line of papers reports.

    Large lesions weigh more than in the mean over images, so never put the two in one column.

    Args:
        counts: `tp, fp, fn, tn`, each (N,), as `score_masks` returns them (other keys are not read); N >= 1.

    >>> none = np.zeros(2)
    >>> pooled({"tp": np.array([8.0, 0.0]), "fp": none, "fn": np.array([0.0, 2.0]), "tn": none})["iou"]
    0.8
    """
    sums = {name: np.asarray(counts[name], dtype=np.float64).sum(keepdims=True) for name in COUNTS}
    return {name: float(value.item()) for name, value in _overlap(sums).items()}


def n_empty(counts: Mapping[str, Values]) -> int:
    """How many images have exactly one empty mask, prediction or reference, judged by `tp, fp, fn` of `score_masks`."""
    found = np.asarray(counts["tp"]) > 0
    return int(np.count_nonzero(~found & ((np.asarray(counts["fp"]) > 0) != (np.asarray(counts["fn"]) > 0))))


def out_of_reach(margin: float, label: str, bounds: tuple[float, float] | None) -> str | None:
    """Why a margin can make no difference between two means of scores within the bounds; None where it can."""
    low, high = bounds or (-inf, inf)
    if margin < high - low:
        return None
    return f"margin {margin:g}: no two means of {label} are further apart than {high - low:g}; one point of 100 is 0.01"


def scores_near(prediction: Mask, reference: Mask, place: Mask) -> dict[str, float]:
    """assd_near and nsd2_near of one (H, W) pair: assd and nsd2 of those boundary pixels of both masks that lie within
    2 % of the diagonal of `place`, say an artifact. NaN where there are none, or where a mask is empty."""
    scores = {"assd_near": float("nan"), "nsd2_near": float("nan")}
    if not prediction.any() or not reference.any() or not place.any():
        return scores
    points = [
        _boundary_points(np.ascontiguousarray(mask).view(np.uint8), (1.0, 1.0)) for mask in (prediction, reference)
    ]
    inside = [_is_near(each, place) for each in points]
    distances = [_distances(points[0][inside[0]], points[1]), _distances(points[1][inside[1]], points[0])]
    both = np.concatenate(distances)
    if both.size:
        scores["assd_near"] = float(both.mean())
        scores["nsd2_near"] = np.count_nonzero(both <= 2 * (1 + 1e-9)) / both.size
    return scores


def _is_near(points: Values, place: Mask) -> Mask:
    """(K,) whether OpenCV's disc of `band_width` pixels around each of `points`, (K, 2), has a pixel of `place`.

    Sums along rows answer that for the points alone; to dilate an image of 12 megapixels takes seconds.
    """
    height, width = place.shape
    reach = band_width(height, width)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    half = np.count_nonzero(disc, axis=1)[:, None] // 2  # of each row's width
    sums = np.zeros((height, width + 1), np.int32)
    np.cumsum(place, axis=1, out=sums[:, 1:])
    y, x = points.astype(np.intp).T
    rows = y + np.arange(-reach, reach + 1)[:, None]
    lines, left, right = rows.clip(0, height - 1), (x - half).clip(min=0), (x + half + 1).clip(max=width)
    return ((sums[lines, right] > sums[lines, left]) & (rows == lines)).any(axis=0)


def band_width(height: int, width: int) -> int:
    """2 % of the diagonal in whole pixels, at least one."""
    return max(round(0.02 * hypot(height, width)), 1)


def _check(prediction: Mask, reference: Mask, spacing: tuple[float, float] | None) -> None:
    for name, mask in (("prediction", prediction), ("reference", reference)):
        if mask.dtype != np.bool_:
            raise TypeError(f"{name} must be a boolean mask, got {mask.dtype}; threshold it first")
        if mask.ndim != 3 or 0 in mask.shape[1:]:
            raise ValueError(f"{name} must have shape (N, H, W) with pixels in it, got {mask.shape}")
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} must have the same shape")
    if spacing is not None and not all(isfinite(side) and side > 0 for side in spacing):
        raise ValueError(f"spacing must be the height and width of a pixel, both above 0, got {spacing}")


def _confusion(prediction: Mask, reference: Mask) -> dict[str, Values]:
    """tp, fp, fn and tn of every image, (N,) each: whole numbers, as floats so that they share a table with scores."""
    # Counting a whole array is much faster than counting along axes.
    sizes = [
        (np.count_nonzero(p & r), np.count_nonzero(p), np.count_nonzero(r), p.size)
        for p, r in zip(prediction, reference, strict=True)
    ]
    tp, predicted, actual, pixels = np.array(sizes, dtype=np.float64).reshape(-1, 4).T
    return {"tp": tp, "fp": predicted - tp, "fn": actual - tp, "tn": pixels - predicted - actual + tp}


def _overlap(counts: Mapping[str, Values]) -> dict[str, Values]:
    """The six metrics that follow from a confusion matrix alone, elementwise."""
    tp, fp, fn, tn = (counts[name] for name in COUNTS)
    return {
        "dice": _ratio(2 * tp, 2 * tp + fp + fn),
        "iou": _ratio(tp, tp + fp + fn),
        "sensitivity": _ratio(tp, tp + fn, agreed=fp == 0),
        "specificity": _ratio(tn, tn + fp, agreed=fn == 0),
        "precision": _ratio(tp, tp + fp, agreed=fn == 0),
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
    }


def _ratio(part: Values, whole: Values, *, agreed: Mask | bool = True) -> Values:
    """part / whole, and where whole is 0: 1 if `agreed`, else 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.where(agreed, 1.0, 0.0))


def _boundary_scores(
    prediction: Mask, reference: Mask, spacing: tuple[float, float]
) -> tuple[float, float, float, float, float]:
    """hd95, assd, nsd1, nsd2 and biou of one (H, W) pair."""
    p, r = _cropped(prediction, reference)
    distances = _apart(p, r, prediction.shape, spacing)
    if not p.any() or not r.any():
        agreed = float(p.any() == r.any())
        return *_hd95_and_assd(*distances), agreed, agreed, agreed

    both = np.concatenate(distances)
    pixel = min(spacing) * (1 + 1e-9)  # a distance of one pixel may come out a rounding error above it
    steps = band_width(*prediction.shape)
    p_band, r_band = _inner_band(p, SQUARE, steps), _inner_band(r, SQUARE, steps)
    return (
        *_hd95_and_assd(*distances),
        np.count_nonzero(both <= pixel) / both.size,
        np.count_nonzero(both <= 2 * pixel) / both.size,
        np.count_nonzero(p_band & r_band) / np.count_nonzero(p_band | r_band),
    )


def _cropped(prediction: Mask, reference: Mask) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both as 0 and 1 within the box around them: outside it all is background, as it is outside the image, so that
    nothing changes."""
    p, r = (np.ascontiguousarray(mask).view(np.uint8) for mask in (prediction, reference))
    x, y, across, down = cv2.boundingRect(p | r)
    p, r = (np.ascontiguousarray(mask[y : y + down, x : x + across]) for mask in (p, r))
    return p, r


def _apart(
    p: NDArray[np.uint8], r: NDArray[np.uint8], shape: tuple[int, ...], spacing: tuple[float, float]
) -> tuple[Values, Values]:
    """(K,) distances of the boundary pixels of a prediction to the reference's, (L,) the reverse; of two empty masks a
    0 each, of an empty one and another the diagonal of the image, whose (H, W) is `shape`."""
    if not p.any() or not r.any():
        far = hypot(shape[0] * spacing[0], shape[1] * spacing[1]) if p.any() != r.any() else 0.0
        return np.array([far]), np.array([far])
    p_points, r_points = _boundary_points(p, spacing), _boundary_points(r, spacing)
    return _distances(p_points, r_points), _distances(r_points, p_points)


def _hd95_and_assd(to_reference: Values, to_prediction: Values) -> tuple[float, float]:
    hd95 = max(np.percentile(to_reference, 95), np.percentile(to_prediction, 95))
    return float(hd95), float(np.concatenate([to_reference, to_prediction]).mean())


def _inner_band(mask: NDArray[np.uint8], element: cv2.typing.MatLike, steps: int = 1) -> Mask:
    """(H, W) the pixels of a mask of 0 and 1 that `steps` erosions take away, with background outside the image."""
    eroded = cv2.erode(mask, element, iterations=steps, borderType=cv2.BORDER_CONSTANT, borderValue=[0])
    return (mask ^ np.asarray(eroded, dtype=np.uint8)).view(np.bool_)


def _boundary_points(mask: NDArray[np.uint8], spacing: tuple[float, float]) -> Values:
    """(K, 2) the places of the boundary's pixel centres, row then column, in units of `spacing`."""
    # One flat search and a division are several times as fast as np.argwhere.
    places = np.divmod(np.flatnonzero(_inner_band(mask, CROSS)), mask.shape[1])
    return np.stack(places, axis=1) * np.asarray(spacing, dtype=np.float64)


def _distances(points: Values, others: Values) -> Values:
    """(K,) Euclidean distance of each of `points`, (K, 2), to the nearest of `others`, (L, 2).

    A search tree is exact at any size and spacing. A distance transform of the image takes several times as long where
    the boundary is a contour, less where the mask is noise, and OpenCV's is off by 6e-4 px on 12 megapixels.
    """
    from scipy.spatial import KDTree  # pyright: ignore[reportMissingTypeStubs] # a third of a second, for a command that asks for names alone

    # Pixels are spread so evenly that the plainer tree, which is quicker to build, answers as fast.
    tree = cast(Any, KDTree(others, leafsize=32, balanced_tree=False, compact_nodes=False))
    return tree.query(points)[0]
