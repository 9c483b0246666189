"""Synthetic hair beside real hair: how much it covers, how wide, long and dark its strands are.

`python tests/benchmarks/hair.py`, with the real images (MEDBENCH_DATA or ../shared/data). Strands are found alike in
both, by a black-hat filter, on ISIC 2018 images that people marked as hairy (isic_bias.csv) and on images that they
marked as free of any artifact, after painting. What the filter finds on those before painting is its false alarms.
"""

import csv
import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from medbench.datasets.artifacts import SEVERITIES, paint
from medbench.datasets.base import ImageSet
from medbench.datasets.catalog import open_dataset

IMAGES = 150
MARKS = ("dark_corner", "hair", "gel_border", "gel_bubble", "ruler", "ink", "patches")
REACH = 0.05  # of the filter, in shorter sides: wider than any hair
DARKER = 14  # levels of 255 by which a strand is darker than the skin beside it
LONGER = 4  # than wide, at least

Image = NDArray[np.uint8]


def strands(image: Image) -> tuple[float, list[tuple[float, float, float]]]:
    """Share of the image that strands cover, and of each (width, length, brightness), lengths in shorter sides."""
    side = min(image.shape[:2])
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    reach = round(REACH * side) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    dark = (np.asarray(cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)) > DARKER).astype(np.uint8)
    contours, _ = cv2.findContours(dark, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found: list[tuple[float, float, float]] = []
    covered = 0.0
    for contour in contours:
        mask = np.zeros_like(dark)
        cv2.drawContours(mask, [contour], -1, 1, cv2.FILLED)
        area = float(np.count_nonzero(mask & dark))
        length = cv2.arcLength(contour, True) / 2
        width = area / max(length, 1)
        if length > 0.04 * side and length > LONGER * width:
            found.append((width / side, length / side, float(np.asarray(grey)[mask > 0].mean())))
            covered += area
    return covered / dark.size, found


def report(name: str, images: Iterable[Image]) -> None:
    cover: list[float] = []
    every: list[tuple[float, float, float]] = []
    for image in images:
        share, found = strands(image)
        cover.append(100 * share)
        every += found
    width, length, brightness = np.array(every).T if every else np.zeros((3, 1))
    print(
        f"{name:28}{np.median(cover):6.1f} ({np.quantile(cover, 0.1):.1f} to {np.quantile(cover, 0.9):.1f})"
        f"{1000 * np.median(width):12.1f}{np.median(length):12.2f} ({np.quantile(length, 0.9):.2f})"
        f"{np.median(brightness):12.0f}{len(every) / len(cover):10.1f}",
        flush=True,
    )


def marked(folder: Path, images: ImageSet, wanted: set[str]) -> list[str]:
    """The ids that people gave exactly these marks, the first ones by id."""
    with (folder / "artifacts" / "isic_bias.csv").open(encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter=";")
        ids = [Path(row["image"]).stem for row in rows if {mark for mark in MARKS if row[mark] == "1"} == wanted]
    return sorted(set(ids) & set(images.ids))[:IMAGES]


def main() -> None:
    data = Path(os.environ.get("MEDBENCH_DATA", "../shared/data"))
    images = open_dataset("isic2018", data=data)
    hairy, clean = (marked(data / "isic2018", images, wanted) for wanted in ({"hair"}, set[str]()))
    print(f"{'':28}{'cover %, median (80 %)':22}{'width /1000':>12}{'length (90 %)':>16}{'grey':>12}{'strands':>10}")
    report(f"real, {len(hairy)} images", (images.image(id) for id in hairy))
    report(f"none, {len(clean)} images", (images.image(id) for id in clean))
    for severity in SEVERITIES:
        painted = (paint(images.image(id), id=id, kind="hair", severity=severity)[0] for id in clean)
        report(f"synthetic, severity {severity}", painted)


if __name__ == "__main__":
    main()
