"""Masks in two folders: which belong together, and above which level each prediction says that something is there."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...datasets.layouts import find_masks, unread_masks
from ...datasets.masks import CLASSES_REMEDY, REMEDY, Coding, clashes
from ..errors import MedbenchError

SHOWN = 5  # ids named in a message; the rest are counted
NAME_CLASSES = 'or name the classes: --classes "background,..."'


@dataclass(frozen=True, slots=True)
class Pairs:
    """The files of two folders by the ids of their images; each that is wanted has its prediction."""

    predicted: dict[str, Path]
    wanted: dict[str, Path]

    @property
    def ids(self) -> list[str]:
        return sorted(self.wanted)

    @property
    def without_reference(self) -> tuple[str, ...]:
        return tuple(sorted(self.predicted.keys() - self.wanted.keys()))


def masks_in(folder: Path) -> Path:
    """`masks/` where there is one, as in a set's folder; else the folder itself."""
    return inner if (inner := folder / "masks").is_dir() else folder


def paired(predictions: Path, references: Path, more: Collection[str] = ()) -> Pairs:
    """Every reference mask with its prediction, by their stems (see `find_masks`).

    Raises:
        MedbenchError: references are not read, or predictions are missing; names them.
    """
    if unread := unread_masks(references, more):
        raise MedbenchError(_unread(unread))
    predicted, wanted = find_masks(predictions, more), find_masks(references, more)
    if missing := sorted(wanted.keys() - predicted.keys()):
        if unread := {id: path for id, path in unread_masks(predictions, more).items() if id in missing}:
            raise MedbenchError(_unread(unread))
        raise MedbenchError(
            f"{predictions}: no prediction for {first_of(missing)} ({len(missing)} of {len(wanted)} references); "
            + (
                f"{first_of(spare)} belong to none: names must be equal"
                if (spare := sorted(predicted.keys() - wanted.keys()))
                else "write an empty mask where nothing was found"
            )
        )
    return Pairs(predicted, wanted)


def cuts_of(codings: Mapping[str, Coding], paths: Mapping[str, Path]) -> dict[str, float]:
    """The level above which each prediction says that the structure is there.

    Predictions are masks where none has more than two levels; else all are maps of probability and cut at half of what
    their files can hold. A mask among maps of probability is refused where that half would divide it otherwise: a map
    may well hold nothing but 0 and 1. So is a label map that half would divide.
    """
    maps = {id: None for id, each in codings.items() if is_map(each)}  # in order, unlike a set
    cuts = {id: each.cut for id, each in codings.items()}
    if maps:
        is_wide = any(each.high > 255 for each in codings.values())
        half = {id: (each.top if is_wide else each.scale) / 2 for id, each in codings.items()}
        brightest = max(maps, key=lambda id: codings[id].high / half[id])
        if codings[brightest].high <= half[brightest]:
            raise MedbenchError(
                f"{paths[brightest]}: has more than the two levels of a mask, as {len(maps)} of the {len(codings)} "
                f"predictions, the highest of all {codings[brightest].high:g}, none above half of "
                f"{2 * half[brightest]:g}; save masks as 0 and 255, probabilities from 0 to 255, "
                f"and of label maps one label, {NAME_CLASSES}"
            )
        doubts = {
            id: f"has no levels but {each.low:g} and {each.high:g}, and {brightest} has shades up to "
            f"{codings[brightest].high:g}: is it a mask, or a map of probability? {REMEDY}"
            for id, each in codings.items()
            if id not in maps and any((level > half[id]) != (level > each.cut) for level in (each.low, each.high))
        }
        doubts |= {id: codings[id].refusal for id in maps if codings[id].is_label_map and codings[id].high > half[id]}
        cuts |= {id: half[id] for id in maps}
    else:
        doubts = {id: each.refusal for id, each in codings.items() if each.refusal} or clashes(codings)
    if doubts:
        raise MedbenchError(summed(lines(doubts, paths)))
    return cuts


def is_map(coding: Coding) -> bool:
    """Whether a prediction has more levels than a mask; a black or white JPEG is one."""
    return not coding.is_coded and not (coding.is_lossy and (coding.is_empty or coding.is_full))


def told(coding: Coding) -> str:
    """How a prediction is read, in a few words."""
    return f"{'JPEG' if coding.is_lossy else 'probabilities'}, cut at half" if is_map(coding) else coding.name


def lines(doubts: Mapping[str, str], paths: Mapping[str, Path]) -> list[str]:
    """Each doubt with its file, and with what else can be done where a mask may hold several classes."""
    told = {id: why.replace(CLASSES_REMEDY, REMEDY) for id, why in doubts.items()}
    return [f"{paths[id]}: {why}{f', {NAME_CLASSES}' if why.endswith(REMEDY) else ''}" for id, why in told.items()]


def differ_in_size(prediction: Path, found: tuple[int, ...], reference: Path, wanted: tuple[int, ...]) -> str:
    """The problem of two masks, (H, W) each, that are not of one size."""
    sizes = " and ".join(f"{width}x{height}" for height, width in (found, wanted))
    return f"{prediction}: differs in size from {reference} ({sizes}); resize the prediction to the reference"


def summed(problems: Sequence[str]) -> str:
    """The first, and how many there are."""
    more = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


def first_of(ids: Sequence[str]) -> str:
    return ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")


def _unread(found: Mapping[str, Path]) -> str:
    names = first_of(sorted(path.name for path in found.values()))
    folder = os.path.commonpath([path.parent for path in found.values()])
    return f"{folder}: {names} ({len(found)} files) are not read; save them as png, or take them away"
