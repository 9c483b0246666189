"""Masks of several classes or labels that any tool made, scored against reference masks in files."""

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...datasets.described.description import Description
from ..errors import MedbenchError
from ..metrics import COUNTS, IGNORED, pooled, with_millimetres
from ..metrics.classes import FALSE_ALARMS, over_classes, score_classes
from .class_masks import paired_by_label, predictions_of, references_of
from .pairing import differ_in_size, summed


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of a folder of masks of several classes.

    Attributes:
        per_image: a row an image: image, height, width, and what `over_classes` says of all metrics, counts and false
            alarms.
        by_class: a row an image and class: image, class, height, width and the same of `score_classes`; metrics of a
            class that the reference does not hold are NaN.
        without_reference: predictions that no reference was found for; they are not scored.
        codings: how many predictions and references were read how.
    """

    per_image: pd.DataFrame
    by_class: pd.DataFrame
    without_reference: tuple[str, ...]
    codings: dict[str, Counter[str]]

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
            codings: how many masks were read how.
            per_image: the rows, with `classes`, the scores by name.
        """
        names = with_millimetres(self.per_image)
        metrics, kept = self.per_image[names], (*names, *COUNTS, *FALSE_ALARMS)
        classes = {str(name): _of_class(rows, names) for name, rows in self.by_class.groupby("class", sort=False)}
        missed: Any = self.by_class[_is_missed(self.by_class)]
        by_image: dict[str, dict[str, Any]] = {}
        for row in self.by_class.to_dict("records"):
            by_image.setdefault(row["image"], {})[row["class"]] = _plain({key: row[key] for key in kept})
        return {
            "images": len(self.per_image),
            "mean": _plain(metrics.mean()),
            "median": _plain(metrics.median()),
            "class_mean": _mean_of([each["mean"] for each in classes.values()]),
            "pooled": _mean_of([each["pooled"] for each in classes.values()]),
            "n_empty": len({*missed["image"]}),
            "classes": classes,
            "codings": self.codings,
            "per_image": [
                {**row, **_plain({key: row[key] for key in kept}), "classes": by_image[row["image"]]}
                for row in self.per_image.to_dict("records")
            ],
        }


def _is_missed(rows: Any) -> NDArray[np.bool_]:
    """Whether a row's class is in the reference and predicted nowhere."""
    return np.asarray(rows["dice"].notna() & (rows["tp"] + rows["fp"] == 0))


def _of_class(rows: Any, metrics: list[str]) -> dict[str, Any]:
    held = rows[rows["dice"].notna()]
    over_pixels = pooled({name: rows[name].to_numpy() for name in COUNTS})
    return {
        "images": len(held),
        "mean": _plain(held[metrics].mean()),
        "median": _plain(held[metrics].median()),
        "pooled": over_pixels if len(held) else dict.fromkeys(over_pixels),
        "n_empty": int(np.count_nonzero(_is_missed(rows))),
        **_plain(rows[list(FALSE_ALARMS)].mean()),
    }


def _mean_of(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    """Over those that have a value."""
    return _plain(pd.DataFrame(rows, dtype=float).mean())


def _plain(values: Any) -> dict[str, float | None]:
    return {str(name): None if np.isnan(value) else float(value) for name, value in values.items()}


def score_class_folders(
    predictions: Path,
    references: Path,
    description: Description,
    *,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> ClassScores:
    """Scores every reference mask's prediction, found by its stem, at the reference's size, class by class.

    In folders with masks/ these are the masks; of labels each has a folder of its name. Labels are predicted in black
    and white, or as maps of probability (see `cuts_of`), and so is one class where predictions hold other levels than
    references. Else predictions hold the levels of their classes as references do; where these are not 0, 1, 2, ...
    those of several may hold the classes' numbers instead, as `medbench predict` writes them.

    Args:
        predictions: a folder.
        references: a folder.
        description: what levels mean, or which labels there are; with a spacing distances are in mm too.
        on_image: called with the numbers of images done and to do.

    Raises:
        MedbenchError: references are not read, predictions or a label's masks are missing, masks cannot be decoded,
            have a level that no class has or can be read in two ways, or sizes differ; names them.
    """
    pairs = paired_by_label(predictions, references, description)
    files = next(iter(pairs.values()))
    rows: list[dict[str, Any]] = []
    tables: list[pd.DataFrame] = []
    problems: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wanted, references_read = references_of(description, pairs, pool)
        found, predictions_read = predictions_of(description, pairs, pool)

        def row(id: str) -> tuple[dict[str, Any], pd.DataFrame] | str:
            try:
                return _row(id, found(id), wanted(id), description, files.predicted[id], files.wanted[id])
            except MedbenchError as error:
                return str(error)

        for scored in pool.map(row, files.ids):
            if isinstance(scored, str):
                problems.append(scored)
            else:
                rows.append(scored[0])
                tables.append(scored[1])
            on_image(len(rows) + len(problems), len(files.wanted))
    if problems:
        raise MedbenchError(summed(problems))
    spare = sorted({id for each in pairs.values() for id in each.without_reference})
    codings = {"prediction": predictions_read, "reference": references_read}
    return ClassScores(pd.DataFrame(rows), pd.concat(tables, ignore_index=True), tuple(spare), codings)


def _row(
    id: str, found: NDArray[Any], wanted: NDArray[Any], description: Description, prediction: Path, reference: Path
) -> tuple[dict[str, Any], pd.DataFrame]:
    """An image's scores over its classes and by class, of a prediction's codes and the reference's."""
    if found.shape != wanted.shape:
        raise MedbenchError(differ_in_size(prediction, found.shape, reference, wanted.shape))
    target = description.target
    if target.ignores and ((found == IGNORED) & (wanted != IGNORED)).any():
        raise MedbenchError(
            f"{prediction}: has the ignored level on pixels that count; predict one of the classes there"
        )
    scores = score_classes(target.planes(found), wanted, target, description.spacing)
    kept = (*with_millimetres(scores), *COUNTS, *FALSE_ALARMS)
    row = {"image": id, "height": wanted.shape[0], "width": wanted.shape[1]}
    means, by_class = over_classes(scores), {key: scores[key] for key in kept}
    names = {"image": id, "class": target.names, "height": row["height"], "width": row["width"]}
    return {**row, **{key: means[key] for key in kept}}, pd.DataFrame(names | by_class)
