"""Masks of several classes or labels in two folders, whose levels mean what is told, by `dataset.yaml` or by name, and
never guessed. Shapes: H, W = height and width."""

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...datasets.described.description import (
    FILE,
    UNKNOWN,
    Description,
    checked_description,
    description_at,
    read_description,
)
from ...datasets.described.formats import read_codes, read_structure
from ...datasets.layouts import walk
from ...datasets.masks import Coding, clashes, coding_of
from ...datasets.reading import MORE_ENDINGS
from ..errors import MedbenchError
from ..metrics import Target
from .pairing import Pairs, cuts_of, first_of, lines, masks_in, paired, summed, told

Read = Callable[[str], NDArray[np.uint8]]
BY_LEVEL, BY_NUMBER = "levels of the classes", "numbers of the classes (0, 1, 2, ...), not their levels"


def told_masks(references: Path, classes: str | None, ignore: int | None) -> tuple[Description, str] | None:
    """What masks are, and who says so; None where nobody does, and they show one structure in black and white.

    Args:
        references: a folder, in or beside which `dataset.yaml` may lie.
        classes: names with commas, the background first, of levels 0, 1, 2, ...; goes before `dataset.yaml`.
        ignore: the level of pixels that nobody labelled, which goes with `classes`.

    Raises:
        MedbenchError: names, the level or `dataset.yaml` are not what they should be.
    """
    if classes is None and ignore is not None:
        raise MedbenchError(f"--ignore {ignore}: goes with --classes; dataset.yaml has an ignore of its own")
    if classes is not None:
        named = [name.strip() for name in classes.split(",")]
        return checked_description({"classes": named, "ignore": ignore}, "--classes"), "--classes"
    path = description_at(references / FILE) or description_at(references.absolute().parent / FILE)
    return (read_description(path), str(path)) if path else None


def is_scored_by_class(description: Description) -> bool:
    """Whether its masks are more than one structure in black and white."""
    return description.has_levels or len(description.target.names) > 1


def paired_by_label(predictions: Path, references: Path, description: Description) -> dict[str, Pairs]:
    """The files of both folders by label, "" of classes, each label's of the same images.

    Raises:
        MedbenchError: a file is in the folder of no label, or a label has no mask of an image; and see `paired`.
    """
    labels = description.labels or ("",)
    predicted_in, wanted_in = (_folders(each, labels) for each in (predictions, references))
    pairs = {label: paired(predicted_in[label], wanted_in[label], MORE_ENDINGS) for label in labels}
    ids = sorted({id for each in pairs.values() for id in each.ids})
    for label, each in pairs.items():
        if absent := [id for id in ids if id not in each.wanted]:
            raise MedbenchError(
                f"{wanted_in[label]}: has no mask of {first_of(absent)}, and another label has; add empty ones"
            )
    return pairs


def _folders(folder: Path, labels: tuple[str, ...]) -> dict[str, Path]:
    """Where the masks of each label lie, of classes ("") all."""
    masks = masks_in(folder)
    if labels == ("",):
        return {"": masks}
    known = {label.lower() for label in labels}
    for path, folders in walk(masks):
        if not folders or folders[0] not in known:
            raise MedbenchError(
                f"{path}: lies in the folder of no label ({', '.join(labels)}); each has its masks in one of its name"
            )
    there = {each.name.lower(): each for each in masks.iterdir() if each.is_dir()} if masks.is_dir() else {}
    return {label: there.get(label.lower(), masks / label) for label in labels}


def references_of(description: Description, pairs: Mapping[str, Pairs], pool: Executor) -> tuple[Read, Counter[str]]:
    """Gives the codes (H, W) of an image's reference; and how many masks are read how."""
    if description.labels is None:
        [files] = [each.wanted for each in pairs.values()]
        return _classes(description, files), Counter({BY_LEVEL: len(files)})
    cuts: dict[str, dict[str, float]] = {}
    counts = Counter[str]()
    for label, each in pairs.items():
        codings = _codings(each.wanted, pool)
        doubts = {id: coding.refusal for id, coding in codings.items() if coding.refusal} or clashes(codings)
        if doubts:
            raise MedbenchError(summed(lines(doubts, each.wanted)))
        cuts[label] = {id: coding.cut for id, coding in codings.items()}
        counts.update(coding.name for coding in codings.values())
    return _structures(description.target, {label: each.wanted for label, each in pairs.items()}, cuts), counts


def predictions_of(description: Description, pairs: Mapping[str, Pairs], pool: Executor) -> tuple[Read, Counter[str]]:
    """Gives the codes (H, W) of an image's prediction; and how many masks are read how."""
    target = description.target
    paths = {label: {id: each.predicted[id] for id in each.wanted} for label, each in pairs.items()}
    files = next(iter(paths.values()))
    if target.is_single and _is_by_level(description, files, pool):
        return _classes(description, files), Counter({BY_LEVEL: len(files)})
    if target.overlap or target.is_single:
        codings = {label: _codings(each, pool) for label, each in paths.items()}
        cuts = {label: cuts_of(each, paths[label]) for label, each in codings.items()}
        return _structures(target, paths, cuts), Counter(
            told(coding) for each in codings.values() for coding in each.values()
        )
    if _is_by_number(description, files, pool):
        numbered = description.model_copy(update={"classes": description.names})
        return _classes(numbered, files), Counter({BY_NUMBER: len(files)})
    return _classes(description, files), Counter({BY_LEVEL: len(files)})


def _classes(description: Description, files: Mapping[str, Path]) -> Read:
    """Gives the codes of an image whose mask holds levels of classes."""
    return lambda id: description.codes(read_codes(files[id]), str(files[id]))


def _is_by_level(description: Description, files: Mapping[str, Path], pool: Executor) -> bool:
    """Whether predictions of one class hold the levels of the classes; else they are in black and white, or maps of
    probability. The ignored level without that of the class is white: a pixel that counts cannot have it."""

    def levels_in(path: Path) -> set[int]:
        try:
            return {*np.unique(read_codes(path)).tolist()}
        except MedbenchError:  # colours, fractions or what cannot be decoded, which is told where it is read
            return {UNKNOWN}

    used = set[int]().union(*pool.map(levels_in, files.values()))
    is_white = description.ignore in used and description.levels[1] not in used
    return used <= {*description.levels, description.ignore} and not is_white


def _is_by_number(description: Description, files: Mapping[str, Path], pool: Executor) -> bool:
    """Whether predictions hold the classes' numbers, not their levels; MedbenchError where they might hold either."""
    code_of = {level: code for code, level in enumerate(description.levels)}
    if all(level == code for level, code in code_of.items()):
        return False
    used = {int(level) for each in pool.map(lambda path: np.unique(read_codes(path)), files.values()) for level in each}
    used -= {description.ignore}
    if not used <= {*code_of.values()}:
        return False
    if used <= code_of.keys() and (doubt := sorted(level for level in used if code_of[level] != level)):
        level = doubt[0]
        raise MedbenchError(
            f"{next(iter(files.values())).parent}: level {level} is that of {description.names[code_of[level]]}, and "
            f"{description.names[level]} has the number {level}: which is meant? With --classes name the classes of "
            "both folders in the order of their levels"
        )
    return not used <= code_of.keys()


def _codings(paths: Mapping[str, Path], pool: Executor) -> dict[str, Coding]:
    return dict(zip(paths, pool.map(lambda path: coding_of(read_structure(path)), paths.values()), strict=True))


def _structures(
    target: Target, paths: Mapping[str, Mapping[str, Path]], cuts: Mapping[str, Mapping[str, float]]
) -> Read:
    """Gives the codes of an image whose structures have a mask each, by label."""

    def codes(id: str) -> NDArray[np.uint8]:
        planes = {label: read_structure(each[id]).values > cuts[label][id] for label, each in paths.items()}
        first = next(iter(planes))
        for label, plane in planes.items():
            if plane.shape != planes[first].shape:
                sizes = " and ".join(f"{each.shape[1]}x{each.shape[0]}" for each in (plane, planes[first]))
                raise MedbenchError(f"{paths[label][id]}: is not as large as the mask of {first}: {sizes}")
        return target.codes(np.stack([*planes.values()]))

    return codes
