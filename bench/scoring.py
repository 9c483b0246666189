"""Masks that any tool made, scored against reference masks in files."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..datasets.layouts import find_masks
from ..datasets.reading import mask_levels, read_mask
from .errors import MedbenchError
from .metrics import COUNTS, METRICS, n_empty, pooled, score_masks

SHOWN = 5  # ids named in a message; the rest are counted


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of a folder of masks: a row an image with image, height, width, every metric and tp, fp, fn, tn."""

    per_image: pd.DataFrame
    without_reference: tuple[str, ...]
    """Predictions that no reference was found for; they are not scored."""

    def summary(self) -> dict[str, Any]:
        """Plain values: images, mean and median over images by metric, pooled, n_empty, per_image."""
        metrics = self.per_image[list(METRICS)]
        counts = {name: self.per_image[name].to_numpy() for name in COUNTS}
        return {
            "images": len(self.per_image),
            "mean": {str(name): float(value) for name, value in metrics.mean().items()},
            "median": {str(name): float(value) for name, value in metrics.median().items()},
            "pooled": pooled(counts),
            "n_empty": n_empty(counts),
            "per_image": self.per_image.to_dict("records"),
        }


def score_folders(
    predictions: Path, references: Path, *, on_image: Callable[[int, int], None] = lambda *_: None
) -> Scores:
    """Scores every reference mask's prediction, found by its stem (see `find_masks`), at the reference's size.

    Every reference counts: leaving out images that a tool found nothing in would flatter it. Where no prediction has
    more than two levels they are masks, of which the upper level is the lesion; else all are maps of probability and
    cut at half of what their files can hold.

    Args:
        predictions: a folder.
        references: a folder; read as masks of data sets are (see `read_mask`).
        on_image: called with the numbers of images done and to do.

    Raises:
        MedbenchError: predictions are missing, cannot be read, have another size than their reference, or no level of
            any reaches half; names them.
    """
    predicted, wanted = find_masks(predictions), find_masks(references)
    if missing := sorted(wanted.keys() - predicted.keys()):
        raise MedbenchError(
            f"{predictions}: no prediction for {_first(missing)} ({len(missing)} of {len(wanted)} references); "
            + (
                f"{_first(spare)} belong to none: names must be equal"
                if (spare := sorted(predicted.keys() - wanted.keys()))
                else "write an empty mask where nothing was found"
            )
        )
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ids = sorted(wanted)
        half = _half([found for found in pool.map(_levels, (predicted[id] for id in ids)) if found], predictions)
        for row in pool.map(lambda id: _row(id, predicted[id], wanted[id], half), ids):
            if isinstance(row, str):
                problems.append(row)
            else:
                rows.append(row)
            on_image(len(rows) + len(problems), len(wanted))
    if problems:
        more = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise MedbenchError(f"{problems[0]}{more}")
    return Scores(pd.DataFrame(rows), tuple(sorted(predicted.keys() - wanted.keys())))


def _levels(path: Path) -> tuple[int, int] | None:
    """How many levels a prediction has, and the highest; None where it cannot be read, which `_row` tells."""
    try:
        levels = np.unique(mask_levels(path))
    except MedbenchError:
        return None
    return levels.size, int(levels[-1])


def _half(found: Sequence[tuple[int, int]], folder: Path) -> float | None:
    """The level above which maps of probability say lesion; None where all predictions are masks."""
    if all(n_levels <= 2 for n_levels, _ in found):
        return None
    top = max(highest for _, highest in found)
    half = (255 if top <= 255 else 65535) / 2
    if top <= half:
        raise MedbenchError(
            f"{folder}: predictions have many levels, the highest {top}, none above half of 255; save masks as 0 and "
            "255, probabilities from 0 to 255, and of label maps one label"
        )
    return half


def _row(id: str, prediction: Path, reference: Path, half: float | None) -> dict[str, Any] | str:
    """The scores of one pair, or what is wrong with it."""
    try:
        levels, r = mask_levels(prediction), read_mask(reference)
    except MedbenchError as error:
        return str(error)
    if levels.shape != r.shape:
        sizes = " and ".join(f"{array.shape[1]}x{array.shape[0]}" for array in (levels, r))
        return f"{prediction}: differs in size from {reference} ({sizes}); resize the prediction to the reference"
    p = levels > half if half is not None else (levels == levels.max()) & (levels > 0)
    scores = score_masks(p[None], r[None])
    return {"image": id, "height": r.shape[0], "width": r.shape[1], **{key: float(x[0]) for key, x in scores.items()}}


def _first(ids: Sequence[str]) -> str:
    return ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
