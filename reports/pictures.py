"""Test images with the contours of the reference and of every variant: best, median and worst, and any other."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from ..bench.metrics import Target
from .load import Study
from .tables import KNOWN

N_EACH = 3
PAINTED = "pictures"  # the folder of an evaluation that keeps its own, because something is painted on them
QUALITY = 70  # of WebP


@dataclass(frozen=True, slots=True, kw_only=True)
class Contour:
    """One variant's prediction on one image, by the first seed that has a score there."""

    variant: str
    seed: int
    trial: str
    score: float
    """The primary metric of this trial on this image."""
    paths: tuple[str, ...]
    """SVG path data in pixels of the picture, of each class its own; empty when the mask is empty or was not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A test image of the gallery."""

    rank: str
    """best, median or worst, or what it shows: a failure, or the variant that disagrees with the baseline"""
    evaluation: str
    image: str
    score: float
    """Mean of the primary metric over variants and seeds."""
    width: int
    height: int
    data: str
    """The image as a data URI."""
    references: tuple[str, ...]
    """SVG path data of each class."""
    contours: tuple[Contour, ...]

    def told(self) -> dict[str, Any]:
        """What it shows, without pixels and paths."""
        contours = [{"variant": c.variant, "seed": c.seed, "trial": c.trial, "score": c.score} for c in self.contours]
        shown = {"rank": self.rank, "evaluation": self.evaluation, "image": self.image, "score": self.score}
        return shown | {"contours": contours}


def disagreements(study: Study, scores: pd.DataFrame) -> dict[str, list[Picture]]:
    """For each of up to three variants the three images on which it and the baseline lie furthest apart, in the mean
    over seeds of the primary metric on the first evaluation; the furthest first, no image twice."""
    primary, baseline = study.spec["primary"], study.spec["baseline"]
    if primary not in scores:
        return {}
    shelf = Shelf(study, study.spec["evaluations"][0], scores)
    here: Any = scores[scores["evaluation"] == shelf.evaluation]
    means = here.pivot_table(index="image", columns="variant", values=primary, aggfunc="mean", observed=True)
    found: dict[str, list[Picture]] = {}
    seen: set[str] = set()
    for variant in [each for each in study.distinct if each != baseline and each in means][:3]:
        if baseline not in means:
            break
        apart = (means[variant] - means[baseline]).abs().dropna().sort_values(ascending=False, kind="stable")
        images = [str(image) for image in apart.index if image in shelf.means and image not in seen][:N_EACH]
        seen.update(images)
        if images:
            found[variant] = [shelf.picture(variant, image) for image in images]
    return found


def pictures(study: Study, scores: pd.DataFrame) -> list[Picture]:
    """Best, median and worst images by the mean over variants and seeds of the primary metric on the first evaluation.

    At most three of each, no image twice. Only images that the store's gallery holds are ranked; the list is empty
    when it holds none, or nothing was scored. `scores` are the study's tidy scores.
    """
    if study.spec["primary"] not in scores:
        return []
    shelf = Shelf(study, study.spec["evaluations"][0], scores)
    ranked = sorted(shelf.means, key=lambda image: shelf.means[image], reverse=shelf.higher_is_better)
    return [shelf.picture(rank, image) for rank, image in chosen(ranked)]


def variants_in(shown: Iterable[Picture]) -> set[str]:
    """The variants whose contours are seen."""
    return {contour.variant for picture in shown for contour in picture.contours}


class Shelf:
    """The kept pictures of one evaluation.

    Attributes:
        means: for each image of which a picture was kept, the mean over variants and seeds of the primary metric.
    """

    def __init__(self, study: Study, evaluation: str, scores: pd.DataFrame) -> None:
        primary = study.spec["primary"]
        self.study, self.evaluation = study, evaluation
        self.higher_is_better = KNOWN[primary].higher_is_better
        here: Any = scores[scores["evaluation"] == evaluation]
        self._places = places(study, evaluation)
        here = here[here["image"].isin(list(self._places))].dropna(subset=[primary])
        # The mean of the variants' means: each variant weighs the same, however many of its seeds are done.
        means = here.pivot_table(index="image", columns="variant", values=primary, aggfunc="mean").mean(axis="columns")
        self.means = {str(image): float(mean) for image, mean in means.items()}
        columns = here[["variant", "trial", "image", primary]].itertuples(index=False)
        # Variants may share a trial that each tests on images of its own.
        self._by_trial = {(variant, trial, image): float(score) for variant, trial, image, score in columns}

    def picture(self, rank: str, image: str, trial: str = "") -> Picture:
        """The picture of an image of `means`, with the contours of the reference and of every variant: that of `trial`,
        of other variants those of their first seeds."""
        return _picture(
            self.study, self.evaluation, self._places[image], self._by_trial, rank, image, self.means[image], trial
        )


def chosen(ranked: Sequence[str]) -> list[tuple[str, str]]:
    """(rank, image) for the first, the middle and the last images of a ranking from best to worst.

    >>> chosen("abcde")
    [('best', 'a'), ('median', 'c'), ('worst', 'e')]
    """
    n = min(N_EACH, max(len(ranked) // 3, 1))
    middle = (len(ranked) - n) // 2
    picks = [("best", image) for image in ranked[:n]]
    picks += [("median", image) for image in ranked[middle : middle + n]]
    picks += [("worst", image) for image in reversed(ranked[-n:])]
    unique = {image: rank for rank, image in reversed(picks)}  # the first rank of an image stays
    return [(rank, image) for rank, image in picks if unique.pop(image, None) == rank]


def outline(mask: NDArray[np.bool_], width: int, height: int) -> str:
    """SVG path data of the contours of a mask (h, w), holes included, in the pixels of a width x height picture.

    Contours run through the centres of the outermost pixels, simplified by at most 0.7 pixel of the mask.
    """
    parts = _lines(mask, width, height)
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z" for points in parts)


def contour_lines(path: Path, target: Target | None, width: int, height: int) -> list[list[NDArray[Any]]]:
    """Of each class the contours (points, 2) of a mask file in the pixels of a width x height picture; none without the
    file."""
    return [_lines(mask, width, height) for mask in planes(path, target)]


def planes(path: Path, target: Target | None) -> list[NDArray[np.bool_]]:
    """Where each class is in a mask file, of one structure (1 bit) one plane; nowhere without the file."""
    names = ("",) if target is None else target.names
    if not path.is_file():
        return [np.zeros((1, 1), np.bool_) for _ in names]
    with Image.open(path) as stored:
        codes = np.asarray(stored.convert("L"))
        return [codes > 0] if target is None or stored.mode == "1" else [*target.planes(codes)]


def _lines(mask: NDArray[np.bool_], width: int, height: int) -> list[NDArray[Any]]:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    scale = np.array([width / mask.shape[1], height / mask.shape[0]])
    return [(cv2.approxPolyDP(contour, 0.7, True).reshape(-1, 2) + 0.5) * scale for contour in contours]


def places(study: Study, evaluation: str) -> dict[str, Path]:
    """Image -> the folder that holds it: a gallery, of which each fold has its own, or that of an artifact's worst."""
    tested = [trial.evaluations[evaluation] for trial in study.trials if evaluation in trial.evaluations]
    digests = dict.fromkeys(each.config["images_digest"] for each in tested)
    folders = [root / digest for digest in digests for root in study.gallery]
    folders += [each.folder / PAINTED for each in tested]
    return {path.stem: folder for folder in folders for path in sorted(folder.glob("*.jpg"))}


def _picture(
    study: Study,
    evaluation: str,
    folder: Path,
    by_trial: Mapping[tuple[str, str, str], float],
    rank: str,
    image: str,
    score: float,
    first: str,
) -> Picture:
    photo = folder / f"{image}.jpg"
    with Image.open(photo) as stored:
        pixels: NDArray[np.uint8] = np.asarray(stored.convert("RGB"))
    height, width = pixels.shape[:2]

    def outlines(path: Path) -> tuple[str, ...]:
        return tuple(outline(mask, width, height) for mask in planes(path, study.target))

    contours: dict[str, Contour] = {}
    order = sorted(study.trials, key=lambda each: (each.id != first, each.seed, -1 if each.fold is None else each.fold))
    for trial in order:
        # With folds, each trial scores its own images.
        key = trial.variant, trial.id, image
        if key in by_trial and trial.variant not in contours:
            contours[trial.variant] = Contour(
                variant=trial.variant,
                seed=trial.seed,
                trial=trial.id,
                score=by_trial[key],
                paths=outlines(trial.evaluations[evaluation].folder / "masks" / f"{image}.png"),
            )
    return Picture(
        rank=rank,
        evaluation=evaluation,
        image=image,
        score=score,
        width=width,
        height=height,
        data=data_uri(webp(pixels)),
        references=outlines(folder / f"{image}.png"),
        contours=tuple(contours[variant] for variant in study.spec["variants"] if variant in contours),
    )


def webp(pixels: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """An RGB image (h, w, 3) as a WebP file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def data_uri(content: bytes) -> str:
    """A WebP file as a data URI."""
    return "data:image/webp;base64," + base64.b64encode(content).decode()
