"""Masks that any tool made, scored against reference masks in files."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...datasets.layouts import find_masks, unread_masks
from ...datasets.masks import REMEDY, Coding, clashes, coding_of
from ...datasets.reading import read_levels
from ..errors import MedbenchError
from ..metrics import COUNTS, METRICS, n_empty, pooled, score_masks

SHOWN = 5  # ids named in a message; the rest are counted


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of a folder of masks: a row an image with image, height, width, every metric and tp, fp, fn, tn."""

    per_image: pd.DataFrame
    without_reference: tuple[str, ...]
    """Predictions that no reference was found for; they are not scored."""
    codings: dict[str, Counter[str]]
    """How many predictions and references were read how."""

    def summary(self) -> dict[str, Any]:
        """Plain values: images, mean and median over images by metric, pooled, n_empty, codings, per_image."""
        metrics = self.per_image[list(METRICS)]
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
    predictions: Path, references: Path, *, on_image: Callable[[int, int], None] = lambda *_: None
) -> Scores:
    """Scores every reference mask's prediction, found by its stem (see `find_masks`), at the reference's size.

    Every reference counts: leaving out images that a tool found nothing in would flatter it. References are read as
    masks of data sets are (see `coding_of` and `clashes`). So are predictions where none has more than two levels; else
    all are maps of probability and cut at half of what their files can hold.

    Args:
        predictions: a folder.
        references: a folder.
        on_image: called with the numbers of images done and to do.

    Raises:
        MedbenchError: references are not read, predictions are missing, masks cannot be decoded or be read in two ways,
            sizes differ, or no level of any map reaches half; names them.
    """
    if unread := unread_masks(references):
        raise MedbenchError(_unread(unread))
    predicted, wanted = find_masks(predictions), find_masks(references)
    if missing := sorted(wanted.keys() - predicted.keys()):
        if unread := {id: path for id, path in unread_masks(predictions).items() if id in missing}:
            raise MedbenchError(_unread(unread))
        raise MedbenchError(
            f"{predictions}: no prediction for {_first(missing)} ({len(missing)} of {len(wanted)} references); "
            + (
                f"{_first(spare)} belong to none: names must be equal"
                if (spare := sorted(predicted.keys() - wanted.keys()))
                else "write an empty mask where nothing was found"
            )
        )
    ids = sorted(wanted)
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    read: dict[str, Coding] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = zip(ids, pool.map(lambda id: _coding(predicted[id]), ids), strict=True)
        codings = {id: coding for id, coding in decoded if coding}
        cuts = _cuts(codings, predicted)
        done = pool.map(lambda id: _row(id, predicted[id], wanted[id], cuts.get(id, 0)), ids)
        for id, found in zip(ids, done, strict=True):
            if isinstance(found, str):
                problems.append(found)
            else:
                rows.append(found[0])
                read[id] = found[1]
            on_image(len(rows) + len(problems), len(wanted))
    if problems := problems or _lines(clashes(read), wanted):
        raise MedbenchError(_summed(problems))
    names = [
        f"{'JPEG' if each.is_lossy else 'probabilities'}, cut at half" if _is_map(each) else each.name
        for each in codings.values()
    ]
    counts = {"prediction": Counter(names), "reference": Counter(each.name for each in read.values())}
    return Scores(pd.DataFrame(rows), tuple(sorted(predicted.keys() - wanted.keys())), counts)


def _coding(path: Path) -> Coding | None:
    """How a prediction reads by itself; None where it cannot be decoded, which `_row` tells."""
    try:
        return coding_of(read_levels(path))
    except MedbenchError:
        return None


def _cuts(codings: Mapping[str, Coding], paths: Mapping[str, Path]) -> dict[str, float]:
    """The level above which each prediction says lesion.

    A mask among maps of probability is refused where half of what its file can hold would divide it otherwise: a map
    may well hold nothing but 0 and 1.
    """
    maps = {id for id, each in codings.items() if _is_map(each)}
    cuts = {id: each.cut for id, each in codings.items()}
    if maps:
        is_wide = any(each.high > 255 for each in codings.values())
        half = {id: (each.top if is_wide else each.scale) / 2 for id, each in codings.items()}
        brightest = max(maps, key=lambda id: codings[id].high / half[id])
        if codings[brightest].high <= half[brightest]:
            raise MedbenchError(
                f"{paths[brightest].parent}: predictions have many levels, the highest {codings[brightest].high:g}, "
                f"none above half of {2 * half[brightest]:g}; save masks as 0 and 255, probabilities from 0 to 255, "
                "and of label maps one label"
            )
        doubts = {
            id: f"has no levels but {each.low:g} and {each.high:g}, and {brightest} has shades up to "
            f"{codings[brightest].high:g}: is it a mask, or a map of probability? {REMEDY}"
            for id, each in codings.items()
            if id not in maps and any((level > half[id]) != (level > each.cut) for level in (each.low, each.high))
        }
        cuts |= {id: half[id] for id in maps}
    else:
        doubts = {id: each.refusal for id, each in codings.items() if each.refusal} or clashes(codings)
    if doubts:
        raise MedbenchError(_summed(_lines(doubts, paths)))
    return cuts


def _is_map(coding: Coding) -> bool:
    """Whether a prediction has more levels than a mask; a black or white JPEG is one."""
    return not coding.is_coded and not (coding.is_lossy and (coding.is_empty or coding.is_full))


def _row(id: str, prediction: Path, reference: Path, cut: float) -> tuple[dict[str, Any], Coding] | str:
    """The scores of one pair and how its reference is read, or what is wrong with it."""
    try:
        p_levels, r_levels = read_levels(prediction), read_levels(reference)
    except MedbenchError as error:
        return str(error)
    coding = coding_of(r_levels)
    if coding.refusal:
        return f"{reference}: {coding.refusal}"
    p, r = p_levels.values > cut, r_levels.values > coding.cut
    if p.shape != r.shape:
        sizes = " and ".join(f"{array.shape[1]}x{array.shape[0]}" for array in (p, r))
        return f"{prediction}: differs in size from {reference} ({sizes}); resize the prediction to the reference"
    scores = score_masks(p[None], r[None])
    row = {"image": id, "height": r.shape[0], "width": r.shape[1], **{key: float(x[0]) for key, x in scores.items()}}
    return row, coding


def _lines(doubts: Mapping[str, str], paths: Mapping[str, Path]) -> list[str]:
    return [f"{paths[id]}: {why}" for id, why in doubts.items()]


def _summed(problems: Sequence[str]) -> str:
    more = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


def _unread(found: Mapping[str, Path]) -> str:
    names = _first(sorted(path.name for path in found.values()))
    folder = os.path.commonpath([path.parent for path in found.values()])
    return f"{folder}: {names} ({len(found)} files) are not read; save them as png, or take them away"


def _first(ids: Sequence[str]) -> str:
    return ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
