"""Masks of several classes or labels that any tool made, scored against reference masks in files.

What their levels mean is told, by `dataset.yaml` or by name, and never guessed. Shapes: K = names that are scored, H, W
= height and width.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...datasets.described.description import FILE, Description, checked_description, read_description
from ...datasets.described.formats import read_codes, read_structure
from ...datasets.layouts import walk
from ...datasets.masks import Coding, clashes, coding_of
from ...datasets.reading import MORE_ENDINGS
from ..errors import MedbenchError
from ..metrics import COUNTS, IGNORED, METRICS, Target, pooled
from ..metrics.classes import FALSE_ALARMS, over_classes, score_classes
from .pairing import Pairs, cuts_of, differ_in_size, first_of, lines, paired, summed

KEPT = (*METRICS, *COUNTS, *FALSE_ALARMS)
Read = Callable[[str], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of a folder of masks of several classes.

    Attributes:
        per_image: a row an image: image, height, width, and what `over_classes` says of all metrics, counts and false
            alarms.
        by_class: a row an image and class: image, class, height, width and the same of `score_classes`; metrics of a
            class that the reference does not hold are NaN.
        without_reference: predictions that no reference was found for; they are not scored.
        by_number: whether predictions hold the classes' numbers where references hold other levels.
    """

    per_image: pd.DataFrame
    by_class: pd.DataFrame
    without_reference: tuple[str, ...]
    by_number: bool

    def summary(self) -> dict[str, Any]:
        """Plain values, None where there is nothing to tell of.

        Keys:
            images: how many, with classes or without.
            mean, median: by metric over the images that hold a class, each scored as the mean over its classes.
            class_mean: by metric the mean over classes of their means over the images that hold them.
            pooled: by metric the mean over classes of those of their pixels in all images.
            n_empty: images that hold a class of which nothing is predicted.
            classes: by name images (that hold it), mean, median, pooled, n_empty, and of the images that do not hold it
                false_alarm (the share in which some is predicted) and false_alarm_area (mean share of the pixels).
            per_image: the rows, with `classes`, the scores by name.
        """
        metrics = self.per_image[list(METRICS)]
        classes = {str(name): _of_class(rows) for name, rows in self.by_class.groupby("class", sort=False)}
        missed: Any = self.by_class[_is_missed(self.by_class)]
        by_image: dict[str, dict[str, Any]] = {}
        for row in self.by_class.to_dict("records"):
            by_image.setdefault(row["image"], {})[row["class"]] = _plain({key: row[key] for key in KEPT})
        return {
            "images": len(self.per_image),
            "mean": _plain(metrics.mean()),
            "median": _plain(metrics.median()),
            "class_mean": _mean_of([each["mean"] for each in classes.values()]),
            "pooled": _mean_of([each["pooled"] for each in classes.values()]),
            "n_empty": len({*missed["image"]}),
            "classes": classes,
            "per_image": [
                {**row, **_plain({key: row[key] for key in KEPT}), "classes": by_image[row["image"]]}
                for row in self.per_image.to_dict("records")
            ],
        }


def _is_missed(rows: Any) -> NDArray[np.bool_]:
    """Whether a row's class is in the reference and predicted nowhere."""
    return np.asarray(rows["dice"].notna() & (rows["tp"] + rows["fp"] == 0))


def _of_class(rows: Any) -> dict[str, Any]:
    held = rows[rows["dice"].notna()]
    over_pixels = pooled({name: rows[name].to_numpy() for name in COUNTS})
    return {
        "images": len(held),
        "mean": _plain(held[list(METRICS)].mean()),
        "median": _plain(held[list(METRICS)].median()),
        "pooled": over_pixels if len(held) else dict.fromkeys(over_pixels),
        "n_empty": int(np.count_nonzero(_is_missed(rows))),
        **_plain(rows[list(FALSE_ALARMS)].mean()),
    }


def _mean_of(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    """Over those that have a value."""
    return _plain(pd.DataFrame(rows, dtype=float).mean())


def _plain(values: Any) -> dict[str, float | None]:
    return {str(name): None if np.isnan(value) else float(value) for name, value in values.items()}


def told_classes(references: Path, classes: str | None, ignore: int | None) -> tuple[Description, str] | None:
    """What the levels of masks mean, and who says so; None where masks show one structure in black and white.

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
        description, source = checked_description({"classes": named, "ignore": ignore}, "--classes"), "--classes"
    else:
        found = [path for each in (references, references.absolute().parent) if (path := each / FILE).is_file()]
        if not found:
            return None
        description, source = read_description(found[0]), str(found[0])
    return (description, source) if description.has_levels or len(description.target.names) > 1 else None


def score_class_folders(
    predictions: Path,
    references: Path,
    description: Description,
    *,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> ClassScores:
    """Scores every reference mask's prediction, found by its stem, at the reference's size, class by class.

    In folders with masks/ these are the masks; of labels each has a folder of its name. Labels, and the one class of
    masks that have levels, are predicted in black and white, or as maps of probability (see `cuts_of`). Else
    predictions hold the levels of their classes as references do; where these are not 0, 1, 2, ... they may hold the
    classes' numbers instead, as those of `medbench predict` do.

    Args:
        predictions: a folder.
        references: a folder.
        description: what levels mean, or which labels there are.
        on_image: called with the numbers of images done and to do.

    Raises:
        MedbenchError: references are not read, predictions or a label's masks are missing, masks cannot be decoded,
            have a level that no class has or can be read in two ways, or sizes differ; names them.
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
    rows: list[dict[str, Any]] = []
    tables: list[pd.DataFrame] = []
    problems: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wanted = _references(description, pairs, pool)
        found, by_number = _predictions(description, pairs, pool)

        def row(id: str) -> tuple[dict[str, Any], pd.DataFrame] | str:
            files = pairs[labels[0]]
            try:
                return _row(id, found(id), wanted(id), description.target, files.predicted[id], files.wanted[id])
            except MedbenchError as error:
                return str(error)

        for scored in pool.map(row, ids):
            if isinstance(scored, str):
                problems.append(scored)
            else:
                rows.append(scored[0])
                tables.append(scored[1])
            on_image(len(rows) + len(problems), len(ids))
    if problems:
        raise MedbenchError(summed(problems))
    spare = sorted({id for each in pairs.values() for id in each.without_reference})
    return ClassScores(pd.DataFrame(rows), pd.concat(tables, ignore_index=True), tuple(spare), by_number)


def _row(
    id: str, found: NDArray[Any], wanted: NDArray[Any], target: Target, prediction: Path, reference: Path
) -> tuple[dict[str, Any], pd.DataFrame]:
    """An image's scores over its classes and by class, of a prediction's codes and the reference's."""
    if found.shape != wanted.shape:
        raise MedbenchError(differ_in_size(prediction, found.shape, reference, wanted.shape))
    if target.ignores and ((found == IGNORED) & (wanted != IGNORED)).any():
        raise MedbenchError(
            f"{prediction}: has the ignored level on pixels that count; predict one of the classes there"
        )
    scores = score_classes(target.planes(found), wanted, target)
    row = {"image": id, "height": wanted.shape[0], "width": wanted.shape[1]}
    means, by_class = over_classes(scores), {key: scores[key] for key in KEPT}
    names = {"image": id, "class": target.names, "height": row["height"], "width": row["width"]}
    return {**row, **{key: means[key] for key in KEPT}}, pd.DataFrame(names | by_class)


def _folders(folder: Path, labels: tuple[str, ...]) -> dict[str, Path]:
    """Where the masks of each label lie, of classes ("") all; in `masks/` where there is one, as in a set's folder."""
    masks = inner if (inner := folder / "masks").is_dir() else folder
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


def _references(description: Description, pairs: Mapping[str, Pairs], pool: Executor) -> Read:
    """Gives the codes (H, W) of an image's reference."""
    if description.labels is None:
        [files] = [each.wanted for each in pairs.values()]
        return lambda id: description.codes(read_codes(files[id]), str(files[id]))
    cuts: dict[str, dict[str, float]] = {}
    for label, each in pairs.items():
        codings = _codings(each.wanted, pool)
        doubts = {id: coding.refusal for id, coding in codings.items() if coding.refusal} or clashes(codings)
        if doubts:
            raise MedbenchError(summed(lines(doubts, each.wanted)))
        cuts[label] = {id: coding.cut for id, coding in codings.items()}
    return _structures(description.target, {label: each.wanted for label, each in pairs.items()}, cuts)


def _predictions(description: Description, pairs: Mapping[str, Pairs], pool: Executor) -> tuple[Read, bool]:
    """Gives the codes (H, W) of an image's prediction; and whether these are in its file where levels are others."""
    target = description.target
    paths = {label: {id: each.predicted[id] for id in each.wanted} for label, each in pairs.items()}
    if target.overlap or target.is_single:
        cuts = {label: cuts_of(_codings(each, pool), each) for label, each in paths.items()}
        return _structures(target, paths, cuts), False
    [files] = paths.values()
    by_number = _is_by_number(description, files, pool)
    told = description.model_copy(update={"classes": description.names}) if by_number else description
    return (lambda id: told.codes(read_codes(files[id]), str(files[id]))), by_number


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
