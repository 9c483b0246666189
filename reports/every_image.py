"""The searchable gallery: of as many test images as the page has room for, a thumbnail, contours and all scores."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from ..bench.metrics import Target
from ..bench.store.records import write_bytes
from .load import Study
from .naming import names_of
from .pictures import PAINTED, contour_lines, data_uri, places, webp
from .tables import KNOWN, measured

SIDE = 288  # pixels of a thumbnail's longer side
QUALITY = 55
ROOM = 5_000_000  # bytes of the page for thumbnails and contours of all studies together


class Room:
    """What is left of the page's bytes; a picture that several studies show is stored once. Where there is a folder
    `beside` the page, what finds no room goes there, and `written` has its paths."""

    def __init__(self, n_bytes: int = ROOM, beside: Path | None = None) -> None:
        self.left = n_bytes
        self.beside = beside
        self.thumbnails: dict[str, str] = {}
        self.written: list[Path] = []

    def thumbnail(self, folder: Path, image: str) -> str | None:
        """The key of a thumbnail (in `thumbnails`, a data URI or a relative one); None when there is no room for it."""
        name = folder.parent.name if folder.name == PAINTED else folder.name  # an evaluation's own, or a gallery's
        key = f"{name}/{image}"
        if key not in self.thumbnails:
            content = _thumbnail(folder / f"{image}.jpg")
            data = data_uri(content)
            if len(data) <= self.left:
                self.left -= len(data)
            elif self.beside:
                path = self.beside / name / f"{image}.webp"
                write_bytes(path, content)
                self.written.append(path)
                data = "/".join(map(quote, (self.beside.name, name, f"{image}.webp")))
            else:
                return None
            self.thumbnails[key] = data
        return key


def every_image(study: Study, scores: pd.DataFrame, room: Room) -> dict[str, Any] | None:
    """What the page's script needs of each evaluation that has pictures, those with artifacts last; None without any.

    Images are taken from the hardest on, by the primary metric, until the page is full; of artifacts pictures are kept
    of what went worst alone. Scores are means over a variant's seeds, contours those of its first that has a mask.

    Keys: variants; baseline; primary; metrics (name, label, unit, higher); evaluations: name, painted, total, metrics
    (positions of those that it has) and images, each with id, key (of its thumbnail), w, h, rank (1 is the hardest),
    truth (SVG path), paths and scores by variant, the scores in the order of the metrics. Of several classes also
    classes (their names), and instead of each path a list of their paths.
    """
    primary = study.spec["primary"]
    if primary not in scores:
        return None
    metrics, variants = measured(scores), list(study.spec["variants"])
    evaluations = sorted(study.spec["evaluations"], key=lambda name: name in study.artifacts)
    shown = [found for name in evaluations if (found := _evaluation(study, scores, name, metrics, room))]
    if not shown:
        return None
    return {
        "variants": variants,
        "baseline": study.spec["baseline"],
        "primary": primary,
        **({"classes": [*names]} if (names := names_of(study.target)) else {}),
        "metrics": [
            {"name": name, "label": KNOWN[name].label, "unit": KNOWN[name].unit, "higher": KNOWN[name].higher_is_better}
            for name in metrics
        ],
        "evaluations": shown,
    }


def _evaluation(
    study: Study, scores: pd.DataFrame, name: str, metrics: Sequence[str], room: Room
) -> dict[str, Any] | None:
    primary = study.spec["primary"]
    here: Any = scores[scores["evaluation"] == name]
    here = here.dropna(subset=[primary])
    folders = places(study, name)
    by_variant = here.groupby(["image", "variant"], sort=False, observed=True)[list(metrics)].mean()
    means = by_variant[primary].groupby(level="image").mean()
    means = means.sort_values(ascending=KNOWN[primary].higher_is_better, kind="stable")
    first = {}
    for trial in sorted(study.trials, key=lambda each: (each.seed, -1 if each.fold is None else each.fold)):
        if name in trial.evaluations:
            first.setdefault(trial.variant, []).append(trial.evaluations[name].folder / "masks")
    table = dict(zip(by_variant.index, by_variant.to_numpy(), strict=True))
    images: list[dict[str, Any]] = []
    for rank, image in enumerate(map(str, means.index), start=1):
        if image not in folders:
            continue
        key = room.thumbnail(folders[image], image)
        if key is None:
            break
        with Image.open(folders[image] / f"{image}.jpg") as stored:
            width, height = _fit(*stored.size)
        entry = {
            "id": image,
            "key": key,
            "w": width,
            "h": height,
            "rank": rank,
            "truth": _path(folders[image] / f"{image}.png", study.target, width, height),
            "paths": {v: _first_path(masks, image, study.target, width, height) for v, masks in first.items()},
            "scores": {v: _rounded(table[image, v]) for v in study.spec["variants"] if (image, v) in table},
        }
        room.left -= sum(map(len, entry["truth"]))
        room.left -= sum(sum(map(len, path)) + 12 * len(metrics) for path in entry["paths"].values())
        images.append(entry)
    if not images:
        return None
    known = np.flatnonzero(by_variant.notna().any()).tolist()
    painted = name in study.artifacts
    return {"name": name, "painted": painted, "total": len(means), "metrics": known, "images": images}


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [None if np.isnan(value) else float(f"{value:.4g}") for value in values]


def _fit(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _thumbnail(path: Path) -> bytes:
    with Image.open(path) as stored:
        pixels: NDArray[np.uint8] = np.asarray(stored.convert("RGB"))
    width, height = _fit(pixels.shape[1], pixels.shape[0])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return webp(np.asarray(small, dtype=np.uint8), QUALITY)


def _first_path(folders: Sequence[Path], image: str, target: Target | None, width: int, height: int) -> str | list[str]:
    """The contour of the first training that has a mask of the image: with folds, each tests its own images."""
    paths = (folder / f"{image}.png" for folder in folders)
    return next((_path(path, target, width, height) for path in paths if path.is_file()), "")


def _path(mask: Path, target: Target | None, width: int, height: int) -> str | list[str]:
    """SVG path data in whole pixels of the thumbnail, of several classes a list of theirs."""
    parts = [
        "".join("M" + "L".join(f"{round(x)} {round(y)}" for x, y in points) + "Z" for points in lines)
        for lines in contour_lines(mask, target, width, height)
    ]
    return parts if names_of(target) else parts[0]
