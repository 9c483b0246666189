"""What a look at every file of a described set tells of its classes, and of images that are there twice."""

from collections import defaultdict
from dataclasses import dataclass

from ..base import ImageSet, Problem
from ..inspection import Inspection
from ..layouts import GROUP
from ..tables import columns_of
from .folder import DescribedSet, find_description


@dataclass(frozen=True, slots=True)
class Census:
    """A class or label in a set: its share of all pixels that count, in [0, 1], and the images that it is in."""

    name: str
    share: float
    images: int


def census(inspection: Inspection) -> list[Census]:
    """Every class, the background first, or every label and what has none; empty for sets without a description."""
    areas = [*inspection.areas.values()]
    n_pixels: dict[str, int] = defaultdict(int)
    n_images: dict[str, int] = defaultdict(int)
    for each in areas:
        for name, area in each.items():
            n_pixels[name] += area
            n_images[name] += area > 0
    total = sum(inspection.counted.values())
    return [Census(name, n / max(total, 1), n_images[name]) for name, n in n_pixels.items()]


def absent(found: list[Census], image_set: ImageSet) -> list[Problem]:
    """A note for each class that no mask has."""
    return [Problem(image_set.name, "", f"{each.name} occurs in no mask", "note") for each in found if not each.images]


def ungrouped(image_set: ImageSet) -> list[Problem]:
    """A note where a described set names no groups and its tables have further columns: one of them may say whose
    images they are, and a split would divide a patient."""
    if not isinstance(image_set, DescribedSet) or not find_description(image_set.root):  # or medbench's own
        return []
    described, columns = image_set.description, columns_of(*image_set.tables)
    others = [column for column in columns if column not in ("image", described.label)]
    if described.group or GROUP in columns or not others:
        return []
    names = " and ".join(table.name for table in image_set.tables)
    message = (
        f"no groups are named, and {names} has {', '.join(others)}: if one of them says which images belong together "
        "(a patient, a video), say group: COLUMN in dataset.yaml, else a split divides them; group: image says that "
        "none do"
    )
    return [Problem(image_set.name, "", message, "note")]


def twins(image_set: ImageSet, inspection: Inspection) -> list[Problem]:
    """A note for images of a described set whose pixels are equal, where anything else that is said of them is not:
    their masks, groups, or labels."""
    if not image_set.is_described:
        return []
    same: dict[str, list[str]] = defaultdict(list)
    for id, pixels in inspection.pixels.items():
        same[pixels].append(id)
    label = image_set.labels_of(image_set.label) if image_set.label else {}
    groups = image_set.groups if any(id != group for id, group in image_set.groups.items()) else {}
    found: list[Problem] = []
    for ids in same.values():
        told: list[str] = []
        for what, value_of in (("mask", inspection.masks), ("group", groups), (image_set.label, label)):
            values = dict.fromkeys(value_of[id] for id in ids if id in value_of)
            if len(values) > 1:
                shown = f" ({', '.join(values)})" if what == image_set.label else ""
                told.append(f"another {what}{shown}")
        if len(ids) > 1 and told:
            others = ", ".join(ids[1:])
            found.append(Problem(ids[0], "", f"has the same pixels as {others}, and {' and '.join(told)}", "note"))
    return found
