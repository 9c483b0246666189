"""A trained model applied to a test set: one row of scores an image, and the masks that it drew."""

from collections.abc import Callable, Iterator, Sequence
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
from ..metrics import score_masks, scores_near
from ..metrics.calibration import N_BINS, brier, reliability
from ..metrics.failures import artifact_fpr, failure_modes
from ..training.forward import EVALUATION_BATCH, predict

MASK_SIDE = 512  # pixels of the longer side of masks kept for the gallery
PICTURE_SIDE = 384


@dataclass(frozen=True, slots=True)
class Scored:
    """What an evaluation found.

    Attributes:
        images: one row an image: image, height, width (of the masks compared), all metrics, tp, fp, fn, tn in pixels,
            brier, and 0, 1 or NaN for each of `FAILURES`. Of a set with an artifact that covers a part of the image
            also artifact_fpr, assd_near and nsd2_near.
        reliability: of each image and each bin of probability with pixels in it: image, bin, pixels, confidence (sum
            of the probabilities), positives (pixels of the lesion).
    """

    images: pd.DataFrame
    reliability: pd.DataFrame


def evaluate(
    model: nn.Module,
    image_set: ImageSet,
    images: Arrays,
    ids: Sequence[str],
    *,
    score_at: str,
    masks: Path | None,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> Scored:
    """Scores every image and writes the predicted masks as 1-bit PNG into the folder `masks`, if there is one.

    Args:
        model: images (B, 3, H, W) to logits (B, 1, H, W), on any device.
        image_set: where reference masks at their own resolution come from.
        images: the test images at the model's input size.
        ids: which images.
        score_at: "native" resizes logits to the reference mask; "input" scores at the input size.
        masks: a folder to write to, or None.
        on_image: called with the numbers of images done and to do.
    """
    if masks:
        masks.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    sums: list[NDArray[np.float64]] = []
    for image, reference, logits in _compared(model, image_set, images, ids, score_at):
        height, width = reference.shape
        prediction, probability = (logits > 0).numpy(), logits.sigmoid().numpy()
        artifact = images.artifact(image)
        if artifact is not None:
            artifact = _at(artifact, height, width)
        rows.append(
            {
                "image": image,
                "height": height,
                "width": width,
                **{name: float(values[0]) for name, values in score_masks(prediction[None], reference[None]).items()},
                "brier": brier(probability, reference),
                **_scores_of_artifact(prediction, reference, artifact),
                **failure_modes(prediction, reference, artifact),
            }
        )
        sums.append(reliability(probability, reference))
        if masks:
            write_mask(masks / f"{image}.png", prediction, MASK_SIDE)
        on_image(len(rows), len(ids))
    every = np.concatenate(sums)
    bins: Any = pd.DataFrame(every, columns=pd.Index(["pixels", "confidence", "positives"]))
    bins.insert(0, "image", np.repeat([row["image"] for row in rows], N_BINS))
    bins.insert(1, "bin", np.tile(np.arange(N_BINS), len(rows)))
    return Scored(pd.DataFrame(rows), bins[every[:, 0] > 0].reset_index(drop=True))


def write_masks(
    model: nn.Module, image_set: ImageSet, images: Arrays, ids: Sequence[str], folder: Path, *, score_at: str
) -> None:
    """Writes the masks that `evaluate` would, and no more."""
    folder.mkdir(parents=True, exist_ok=True)
    for image, _, logits in _compared(model, image_set, images, ids, score_at):
        write_mask(folder / f"{image}.png", (logits > 0).numpy(), MASK_SIDE)


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
) -> Iterator[tuple[str, NDArray[np.bool_], torch.Tensor]]:
    """Each image with its reference mask (H, W) and the logits (H, W) at that size."""
    ids = sorted(ids)
    for start in range(0, len(ids), EVALUATION_BATCH):
        batch = ids[start : start + EVALUATION_BATCH]
        for id, logits in zip(batch, predict(model, images.images[[images.row[id] for id in batch]]), strict=True):
            reference = image_set.mask(id) if score_at == "native" else images.masks[images.row[id]] > 0
            yield id, reference, resized(logits, *reference.shape)


def resized(logits: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Logits (1, h, w) as (height, width), bilinearly."""
    if logits.shape[-2:] != (height, width):
        logits = F.interpolate(logits[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    return logits[0]


def write_mask(path: Path, mask: NDArray[np.bool_], side: int) -> None:
    """A 1-bit PNG, shrunk so that its longer side is at most `side` pixels."""
    height, width = _fit(mask, side)
    small = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA)
    Image.fromarray(np.asarray(small) >= 128).save(path, optimize=True)


def write_pictures(folder: Path, image_set: ImageSet, ids: Sequence[str]) -> None:
    """Small copies of test images (JPEG) and of their reference masks (1-bit PNG), for the report's gallery."""
    for id in ids:
        image = image_set.image(id)
        height, width = _fit(image, PICTURE_SIDE)
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        Image.fromarray(np.asarray(small)).save(folder / f"{id}.jpg", quality=85)
        write_mask(folder / f"{id}.png", image_set.mask(id), PICTURE_SIDE)


def _fit(array: NDArray[Any], side: int) -> tuple[int, int]:
    """Height and width after shrinking, if need be, so that neither exceeds `side`."""
    height, width = array.shape[:2]
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
