"""A trained model applied to a test set: one row of scores an image, and the masks that it drew."""

from collections.abc import Callable, Iterator, Sequence
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

from ..datasets.artifacts.painted import PaintedSet
from ..datasets.base import ImageSet
from ..datasets.cache import Arrays
from .metrics import score_masks
from .training import EVALUATION_BATCH, predict

MASK_SIDE = 512  # pixels of the longer side of masks kept for the gallery
PICTURE_SIDE = 384


def evaluate(
    model: nn.Module,
    image_set: ImageSet,
    images: Arrays,
    ids: Sequence[str],
    *,
    score_at: str,
    masks: Path | None,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> pd.DataFrame:
    """Scores every image and writes the predicted masks as 1-bit PNG into the folder `masks`, if there is one.

    Args:
        model: images (B, 3, H, W) to logits (B, 1, H, W), on any device.
        image_set: where reference masks at their own resolution come from.
        images: the test images at the model's input size.
        ids: which images.
        score_at: "native" resizes logits to the reference mask; "input" scores at the input size.
        masks: a folder to write to, or None.
        on_image: called with the numbers of images done and to do.

    Returns:
        Columns image, height, width (of the masks compared), all metrics, and tp, fp, fn, tn in pixels. Of a set with
        an artifact that covers a part of the image also artifact_fpr, the share in [0, 1] of the artifact's pixels
        outside the lesion that were predicted as lesion; NaN where there are none.
    """
    if masks:
        masks.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for image, logits in _logits(model, images, sorted(ids)):
        reference = image_set.mask(image) if score_at == "native" else images.masks[images.row[image]] > 0
        height, width = reference.shape
        prediction = threshold(logits, height, width)
        scores = score_masks(prediction[None], reference[None])
        row = {"image": image, "height": height, "width": width, **{key: float(x[0]) for key, x in scores.items()}}
        if isinstance(image_set, PaintedSet) and image_set.is_local:
            row["artifact_fpr"] = _artifact_fpr(prediction, reference, image_set.artifact_mask(image))
        rows.append(row)
        if masks:
            write_mask(masks / f"{image}.png", prediction, MASK_SIDE)
        on_image(len(rows), len(ids))
    return pd.DataFrame(rows)


def _artifact_fpr(prediction: NDArray[np.bool_], reference: NDArray[np.bool_], artifact: NDArray[np.bool_]) -> float:
    if artifact.shape != prediction.shape:
        height, width = prediction.shape
        share = cv2.resize(artifact.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        artifact = np.asarray(share) >= 0.5
    outside = artifact & ~reference
    n_outside = np.count_nonzero(outside)
    return np.count_nonzero(prediction & outside) / n_outside if n_outside else float("nan")


def _logits(model: nn.Module, images: Arrays, ids: Sequence[str]) -> Iterator[tuple[str, torch.Tensor]]:
    for start in range(0, len(ids), EVALUATION_BATCH):
        batch = ids[start : start + EVALUATION_BATCH]
        yield from zip(batch, predict(model, images.images[[images.row[id] for id in batch]]), strict=True)


def threshold(logits: torch.Tensor, height: int, width: int) -> NDArray[np.bool_]:
    """The mask (height, width) where probability exceeds one half; logits (1, h, w) are resized first, bilinearly."""
    if logits.shape[-2:] != (height, width):
        logits = F.interpolate(logits[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    return (logits[0] > 0).numpy()


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
