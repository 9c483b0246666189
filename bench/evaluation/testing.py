"""A trained model applied to a test set: one row of scores an image, and the masks that it drew.

Shapes: C = channels of the logits (`Target.n_maps`), K = names that are scored, H, W = height and width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from ...datasets.base import ImageSet
from ...datasets.cache import Arrays
from ..metrics import score_in_both_units, scores_near
from ..metrics.calibration import N_BINS, brier, reliability
from ..metrics.classes import over_classes, score_classes
from ..metrics.failures import artifact_fpr, failure_modes
from ..training.forward import EVALUATION_BATCH, found_in, predict, probabilities
from .labels import Asked, Told

MASK_SIDE = 512  # pixels of the longer side of masks kept for the gallery
PICTURE_SIDE = 384


@dataclass(frozen=True, slots=True)
class Scored:
    """What an evaluation found.

    Attributes:
        images: one row an image: image, height, width (of the masks compared), all metrics (distances in mm too, where
            the set says how large its pixels are), tp, fp, fn, tn in pixels,
            brier, and 0, 1 or NaN for each of `FAILURES`. Of a set with an artifact that covers a part of the image
            also artifact_fpr, assd_near and nsd2_near. Where there are several classes, see `over_classes`; brier is
            then the mean over all names, and what concerns an artifact is of all names together.
        reliability: of each image and each bin of probability with pixels in it: image, bin, pixels, confidence (sum
            of the probabilities), positives (pixels of the lesion); of several classes by `name`, one against the rest.
        classes: of several classes one row an image and name: image, name and the values of `score_classes`; else None.
        labels: of each task that was asked for one row an image whose truth is known: see `labels.Told`; else None.
    """

    images: pd.DataFrame
    reliability: pd.DataFrame
    classes: pd.DataFrame | None = None
    labels: pd.DataFrame | None = None


def evaluate(
    model: nn.Module,
    image_set: ImageSet,
    images: Arrays,
    ids: Sequence[str],
    *,
    score_at: str,
    masks: Path | None,
    tasks: Mapping[str, Asked] | None = None,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> Scored:
    """Scores every image and writes the predicted masks into the folder `masks`, if there is one: as 1-bit PNG, of
    several classes as codes.

    Args:
        model: images (B, channels, H, W) to logits (B, C, H, W), or `Outputs`, on any device.
        image_set: where reference masks at their own resolution come from.
        images: the test images at the model's input size.
        ids: which images.
        score_at: "native" resizes logits to the reference mask; "input" scores at the input size.
        masks: a folder to write to, or None.
        tasks: what is asked of images as a whole, by the names of the model's heads.
        on_image: called with the numbers of images done and to do.
    """
    if masks:
        masks.mkdir(parents=True, exist_ok=True)
    target, told = images.target, Told(tasks or {})
    if not target.is_single or target.ignores:
        return _evaluate_classes(
            model, image_set, images, ids, score_at=score_at, masks=masks, told=told, on_image=on_image
        )
    rows: list[dict[str, Any]] = []
    sums: list[NDArray[np.float64]] = []
    spacing = spacing_of(image_set, score_at)
    for image, reference, maps, of_image in _compared(model, image_set, images, ids, score_at):
        told.add(image, of_image)
        reference, logits = reference > 0, maps[0]
        height, width = reference.shape
        prediction, probability = (logits > 0).numpy(), logits.sigmoid().numpy()
        artifact = images.artifact(image)
        if artifact is not None:
            artifact = _at(artifact, height, width)
        scores = score_in_both_units(prediction[None], reference[None], spacing)
        rows.append(
            {
                "image": image,
                "height": height,
                "width": width,
                **{name: float(values[0]) for name, values in scores.items()},
                "brier": brier(probability, reference),
                **_scores_of_artifact(prediction, reference, artifact),
                **failure_modes(prediction, reference, artifact),
            }
        )
        sums.append(reliability(probability, reference))
        if masks:
            write_mask(masks / f"{image}.png", prediction, MASK_SIDE)
        on_image(len(rows), len(ids))
    bins = _bins(sums, {"image": [row["image"] for row in rows]})
    return Scored(pd.DataFrame(rows), bins, labels=told.table())


def spacing_of(image_set: ImageSet, score_at: str) -> tuple[float, float] | None:
    """Height and width of a pixel in mm, where the set says it and masks are compared at their own size."""
    return image_set.spacing if score_at == "native" else None


def _bins(sums: Sequence[NDArray[np.float64]], keys: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Those bins of `reliability`'s sums that have pixels, each with the keys of its sums."""
    every = np.concatenate(sums)
    bins: Any = pd.DataFrame(every, columns=pd.Index(["pixels", "confidence", "positives"]))
    for place, (key, values) in enumerate(keys.items()):
        bins.insert(place, key, np.repeat(values, N_BINS))
    bins.insert(len(keys), "bin", np.tile(np.arange(N_BINS), len(sums)))
    return bins[every[:, 0] > 0].reset_index(drop=True)


def _evaluate_classes(
    model: nn.Module,
    image_set: ImageSet,
    images: Arrays,
    ids: Sequence[str],
    *,
    score_at: str,
    masks: Path | None,
    told: Told,
    on_image: Callable[[int, int], None],
) -> Scored:
    """`evaluate` where a mask has several classes or labels, or pixels that do not count."""
    target = images.target
    rows: list[dict[str, Any]] = []
    by_name: list[pd.DataFrame] = []
    sums: list[NDArray[np.float64]] = []
    for image, reference, maps, of_image in _compared(model, image_set, images, ids, score_at):
        told.add(image, of_image)
        prediction, probability = (
            each[0].numpy() for each in (found_in(maps[None], target), probabilities(maps[None], target))
        )
        wanted, counted = target.planes(reference), target.counted(reference)
        counted = np.ones(reference.shape, np.bool_) if counted is None else counted
        scores = score_classes(prediction, reference, target, spacing_of(image_set, score_at))
        scores["brier"] = np.array([brier(p[counted], w[counted]) for p, w in zip(probability, wanted, strict=True)])
        artifact, shape = images.artifact(image), reference.shape
        artifact = None if artifact is None else _at(artifact, *shape)
        union: tuple[Any, Any] = (prediction & counted).any(axis=0), wanted.any(axis=0)
        row = {"image": image, "height": shape[0], "width": shape[1], **over_classes(scores)}
        row |= {"brier": float(scores["brier"].mean()), **_scores_of_artifact(*union, artifact)}
        row["on_artifact"] = failure_modes(*union, artifact)["on_artifact"]
        rows.append(row)
        by_name.append(pd.DataFrame({"image": image, "name": target.names, **scores}))
        sums += [reliability(p[counted], w[counted]) for p, w in zip(probability, wanted, strict=True)]
        if masks:
            write_codes(masks / f"{image}.png", target.codes(prediction), MASK_SIDE)
        on_image(len(rows), len(ids))
    keys = {
        "image": [row["image"] for row in rows for _ in target.names],
        "name": [name for _ in rows for name in target.names],
    }
    return Scored(pd.DataFrame(rows), _bins(sums, keys), pd.concat(by_name, ignore_index=True), told.table())


def write_masks(
    model: nn.Module, image_set: ImageSet, images: Arrays, ids: Sequence[str], folder: Path, *, score_at: str
) -> None:
    """Writes the masks that `evaluate` would, and no more."""
    folder.mkdir(parents=True, exist_ok=True)
    target = images.target
    for image, _, maps, _ in _compared(model, image_set, images, ids, score_at):
        found = found_in(maps[None], target)[0].numpy()
        if target.is_single:
            write_mask(folder / f"{image}.png", found[0], MASK_SIDE)
        else:
            write_codes(folder / f"{image}.png", target.codes(found), MASK_SIDE)


def _scores_of_artifact(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], artifact: NDArray[np.bool_] | None
) -> dict[str, float]:
    if artifact is None:
        return {}
    share = artifact_fpr(prediction, reference, artifact)
    return {"artifact_fpr": share, **scores_near(prediction, reference, artifact)}


def _at(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """The mask at another size, at half cover."""
    if mask.shape == (height, width):
        return mask
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(share) >= 0.5


def _compared(
    model: nn.Module, image_set: ImageSet, images: Arrays, ids: Sequence[str], score_at: str
) -> Iterator[tuple[str, NDArray[Any], torch.Tensor, dict[str, torch.Tensor]]]:
    """Each image with its reference mask (H, W), True or codes, the logits (C, H, W) at that size, and those (n,) of
    each task that the model has a head for."""
    ids = sorted(ids)
    for start in range(0, len(ids), EVALUATION_BATCH):
        batch = ids[start : start + EVALUATION_BATCH]
        found = predict(model, images.images[[images.row[id] for id in batch]])
        for place, id in enumerate(batch):
            reference = image_set.mask(id) if score_at == "native" else np.array(images.masks[images.row[id]])
            labels = {task: each[place] for task, each in found.labels.items()}
            yield id, reference, resized(found.logits[place], *reference.shape), labels


def resized(logits: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Logits (C, h, w) as (C, height, width), bilinearly."""
    if logits.shape[-2:] != (height, width):
        logits = F.interpolate(logits[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    return logits


def write_mask(path: Path, mask: NDArray[np.bool_], side: int) -> None:
    """A 1-bit PNG, shrunk so that its longer side is at most `side` pixels."""
    height, width = _fit(mask, side)
    small = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA)
    Image.fromarray(np.asarray(small) >= 128).save(path, optimize=True)


def write_codes(path: Path, codes: NDArray[np.uint8], side: int) -> None:
    """An 8-bit PNG of the codes, shrunk like `write_mask`, by the nearest pixel."""
    height, width = _fit(codes, side)
    small = cv2.resize(codes, (width, height), interpolation=cv2.INTER_NEAREST)
    Image.fromarray(np.asarray(small)).save(path, optimize=True)


def write_pictures(folder: Path, image_set: ImageSet, ids: Sequence[str]) -> None:
    """Small copies of test images (JPEG; the first three channels, or the first alone) and of their reference masks (as
    `evaluate` writes masks), for the report's gallery."""
    target = image_set.target
    for id in ids:
        image = image_set.image(id)
        height, width = _fit(image, PICTURE_SIDE)
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        shown = np.asarray(small).reshape(height, width, -1)[..., : 3 if image_set.channels > 2 else 1]
        Image.fromarray(shown if shown.shape[2] == 3 else shown[..., 0]).save(folder / f"{id}.jpg", quality=85)
        mask = image_set.mask(id)
        if target.is_single and not target.ignores:
            write_mask(folder / f"{id}.png", mask > 0, PICTURE_SIDE)
        else:
            write_codes(folder / f"{id}.png", np.asarray(mask, np.uint8), PICTURE_SIDE)


def _fit(array: NDArray[Any], side: int) -> tuple[int, int]:
    """Height and width after shrinking, if need be, so that neither exceeds `side`."""
    height, width = array.shape[:2]
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
