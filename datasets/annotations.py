"""What publishers tell of single images beside the mask: artifacts on them, and how far two people agree on them."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from ..bench.errors import MedbenchError
from .base import FileSet, ImageSet
from .layouts import find_file
from .lesions import lesion_area, lesion_contrast
from .tables import id_of, read_rows

FLAGS = {  # columns of isic_bias.csv (Bissoto, Valle and Avila, CVPR Workshops 2020)
    "hair": "hair",
    "ruler": "ruler",
    "ink": "ink",
    "patches": "patches",
    "gel_bubble": "gel bubbles",
    "gel_border": "gel border",
    "dark_corner": "dark corners",
}
AGREEMENT = ("isic_id", "tool1", "tool2", "dice_score", "jaccard_score")  # of annotators.csv (IMA++, arXiv 2512.21472)


def annotations(
    image_set: ImageSet, ids: Collection[str], lesions: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """What is known of these images, as plain values; empty where nothing is. `lesions` are those of an earlier look at
    the same images, which is not done twice.

    Keys:
        flags: for each artifact the annotated images that show it; `lesions` has all annotated images.
        lesions: of each annotated image `area` (share of the image) and `contrast` (see `lesions`; None without skin).
        agreement: one entry a pair of people: image, dice, iou (between their masks), tools (the two, sorted).

    Raises:
        MedbenchError: a table lacks a column, or a cell holds something else than it should.
    """
    image_set = image_set.original  # whose lesions have a contrast of their own, whatever a model sees of them
    if not isinstance(image_set, FileSet):
        return {}
    found: dict[str, Any] = {}
    if path := find_file(image_set.root, r"isic_bias\.csv"):
        rows = {id_of(row["image"]): row for row in read_rows(path, ("image", *FLAGS))}
        known = sorted(rows.keys() & set(ids))
        for id in known:
            for column in FLAGS:
                if rows[id][column] not in ("0", "1"):
                    raise MedbenchError(f"{path}: {id}: {column} must be 0 or 1, got {rows[id][column]!r}")
        found["flags"] = {label: [id for id in known if rows[id][flag] == "1"] for flag, label in FLAGS.items()}
        found["lesions"] = {id: lesions.get(id) or _lesion(image_set, id) for id in known}
    if path := find_file(image_set.root, r"annotators\.csv"):
        found["agreement"] = [
            {
                "image": id,
                "dice": _number(path, row, "dice_score"),
                "iou": _number(path, row, "jaccard_score"),
                "tools": sorted([row["tool1"], row["tool2"]]),
            }
            for row in read_rows(path, AGREEMENT)
            if (id := id_of(row["isic_id"])) in ids
        ]
    return {key: value for key, value in found.items() if value}


def _lesion(image_set: ImageSet, id: str) -> dict[str, float | None]:
    mask = image_set.mask(id) > 0
    contrast = lesion_contrast(image_set.image(id), mask)
    return {"area": lesion_area(mask), "contrast": contrast if contrast == contrast else None}


def _number(path: Any, row: dict[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise MedbenchError(f"{path}: {row['isic_id']}: {column} must lie between 0 and 1, got {row[column]!r}")
    return value
