"""Masks that any tool made, scored against reference masks in files."""

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...datasets.masks import Coding, clashes, coding_of
from ...datasets.reading import read_levels
from ..errors import MedbenchError
from ..metrics import COUNTS, n_empty, pooled, score_in_both_units, with_millimetres
from .pairing import cuts_of, differ_in_size, lines, masks_in, paired, summed, told


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of a folder of masks: a row an image with image, height, width, every metric, tp, fp, fn, tn, and
    distances in mm where a spacing is known."""

    per_image: pd.DataFrame
    without_reference: tuple[str, ...]
    """Predictions that no reference was found for; they are not scored."""
    codings: dict[str, Counter[str]]
    """How many predictions and references were read how."""

    def summary(self) -> dict[str, Any]:
        """Plain values: images, mean and median over images by metric, pooled, n_empty, codings, per_image."""
        metrics = self.per_image[with_millimetres(self.per_image)]
        counts = {name: self.per_image[name].to_numpy() for name in COUNTS}
        return {
            "images": len(self.per_image),
            "mean": {str(name): float(value) for name, value in metrics.mean().items()},
            "median": {str(name): float(value) for name, value in metrics.median().items()},
            "pooled": pooled(counts),
            "n_empty": n_empty(counts),
            "codings": self.codings,
            "per_image": self.per_image.to_dict("records"),
        }


def score_folders(
    predictions: Path,
    references: Path,
    *,
    spacing: tuple[float, float] | None = None,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> Scores:
    """Scores every reference mask's prediction, found by its stem (see `find_masks`), at the reference's size.

    Every reference counts: leaving out images that a tool found nothing in would flatter it. References are read as
    masks of data sets are (see `coding_of` and `clashes`), predictions as `cuts_of` says. In folders with masks/ these
    are the masks.

    Args:
        predictions: a folder.
        references: a folder.
        spacing: height and width of a reference's pixel in mm, where that is known: distances are in mm too then.
        on_image: called with the numbers of images done and to do.

    Raises:
        MedbenchError: references are not read, predictions are missing, masks cannot be decoded or be read in two ways,
            sizes differ, or no level of any map reaches half; names them.
    """
    pairs = paired(masks_in(predictions), masks_in(references))
    predicted, wanted, ids = pairs.predicted, pairs.wanted, pairs.ids
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    read: dict[str, Coding] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = zip(ids, pool.map(lambda id: _coding(predicted[id]), ids), strict=True)
        codings = {id: coding for id, coding in decoded if coding}
        cuts = cuts_of(codings, predicted)
        done = pool.map(lambda id: _row(id, predicted[id], wanted[id], cuts.get(id, 0), spacing), ids)
        for id, found in zip(ids, done, strict=True):
            if isinstance(found, str):
                problems.append(found)
            else:
                rows.append(found[0])
                read[id] = found[1]
            on_image(len(rows) + len(problems), len(wanted))
    if problems := problems or lines(clashes(read), wanted):
        raise MedbenchError(summed(problems))
    counts = {
        "prediction": Counter(map(told, codings.values())),
        "reference": Counter(each.name for each in read.values()),
    }
    return Scores(pd.DataFrame(rows), pairs.without_reference, counts)


def _coding(path: Path) -> Coding | None:
    """How a prediction reads by itself; None where it cannot be decoded, which `_row` tells."""
    try:
        return coding_of(read_levels(path))
    except MedbenchError:
        return None


def _row(
    id: str, prediction: Path, reference: Path, cut: float, spacing: tuple[float, float] | None
) -> tuple[dict[str, Any], Coding] | str:
    """The scores of one pair and how its reference is read, or what is wrong with it."""
    try:
        p_levels, r_levels = read_levels(prediction), read_levels(reference)
    except MedbenchError as error:
        return str(error)
    coding = coding_of(r_levels)
    if coding.refusal:
        return lines({id: coding.refusal}, {id: reference})[0]
    p, r = p_levels.values > cut, r_levels.values > coding.cut
    if p.shape != r.shape:
        return differ_in_size(prediction, p.shape, reference, r.shape)
    scores = score_in_both_units(p[None], r[None], spacing)
    row = {"image": id, "height": r.shape[0], "width": r.shape[1], **{key: float(x[0]) for key, x in scores.items()}}
    return row, coding
