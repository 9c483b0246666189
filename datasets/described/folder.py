"""A folder of `images/` and `masks/` with a `dataset.yaml`, its own or one that comes with medbench."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bench.errors import MedbenchError
from ...bench.metrics import LESION
from ..base import FileSet, Item, Problem
from ..layouts import GROUP, TABLES, find_file, images_and_masks, match, tables_of
from ..masks import Levels, coding_of
from ..reading import MORE_ENDINGS
from ..tables import columns_of, groups_of, table_of
from .description import FILE, Description, read_description
from .formats import read_codes, read_structure, read_values

SHIPPED = Path(__file__).parent


class DescribedSet(FileSet):
    """A set whose description says what its masks hold.

    Args:
        description: of the set.
        name, root, items, unmatched: as those of `FileSet`.
        more: the files of masks of further labels, by id, in the order of the labels.
    """

    is_described = True

    def __init__(
        self,
        description: Description,
        name: str,
        root: Path,
        items: Iterable[Item],
        unmatched: Iterable[Problem] = (),
        more: Mapping[str, tuple[Path, ...]] | None = None,
    ) -> None:
        super().__init__(name, root, items, unmatched)
        self.description = description
        self.target = description.target
        self.channels = description.channels
        self.modality = description.modality
        self.spacing = description.spacing
        self.reading = description.reading
        self.label = description.label
        self._more = more or {}

    @cached_property
    def _like(self) -> tuple[str, bool]:
        """The first image that can be read, and whether it is wide: so are all."""
        for id in self.ids:
            with suppress(MedbenchError):
                return id, self._values(id).dtype != np.uint8
        return "", False

    @property
    def is_wide(self) -> bool:
        return self._like[1]

    def image(self, id: str) -> NDArray[Any]:
        values = self._values(id)
        if (values.dtype != np.uint8) != self.is_wide:
            first, told = self._like[0], "more than 8 bits" if self.is_wide else "8 bits"
            raise MedbenchError(
                f"{self.files(id)[0]}: is stored as {values.dtype}, the image {first} has {told}; save all alike"
            )
        return values

    def _values(self, id: str) -> NDArray[Any]:
        return read_values(self.files(id)[0], self.channels)

    def files(self, id: str) -> tuple[Path, ...]:
        return (*super().files(id), *self._more.get(id, ()))

    def levels(self, id: str) -> dict[str, Levels]:
        if self.description.has_levels:
            return {}
        labels, by_index = self.description.labels or ("",), self.target is not LESION  # without a name as ever
        files = zip(labels, self.files(id)[1:], strict=True)
        return {label: read_structure(path, by_index=by_index) for label, path in files}

    def mask(self, id: str) -> NDArray[np.bool_] | NDArray[np.uint8]:
        if self.description.has_levels:
            path = self.files(id)[1]
            codes = self.description.codes(read_codes(path), str(path))
            return codes > 0 if self.target.is_single and not self.target.ignores else codes
        planes: list[NDArray[np.bool_]] = []
        for path, levels in zip(self.files(id)[1:], self.levels(id).values(), strict=True):
            if (coding := coding_of(levels)).refusal:
                raise MedbenchError(f"{path}: {coding.refusal}")
            planes.append(levels.values > coding.cut)
        for path, plane in zip(self.files(id)[2:], planes[1:], strict=True):
            if plane.shape != planes[0].shape:
                sizes = " and ".join(f"{each.shape[1]}x{each.shape[0]}" for each in (plane, planes[0]))
                raise MedbenchError(f"{path}: is not as large as the mask of {self.target.names[0]}: {sizes}")
        return planes[0] if self.target.is_single else self.target.codes(np.stack(planes))


def find_description(root: Path) -> Path | None:
    """The `dataset.yaml` (or .yml) of a set, which lies where its tables may; None where there is none."""
    return find_file(root, r"dataset\.ya?ml")


def read_described(root: Path, *, shipped: str | None = None) -> DescribedSet:
    """The set in a folder with a `dataset.yaml`, or that of a known set, `shipped`, where the folder has none.

    Raises:
        MedbenchError: the description or a table is wrong, or a label has no folder.
    """
    path = find_description(root) or (SHIPPED / f"{shipped}.yaml" if shipped else root / FILE)
    description = read_description(path)
    masks: dict[str, list[Path]] = {label: [] for label in description.labels or ("",)}
    folder_of = {label.lower(): label for label in masks}
    problems: list[Problem] = []
    stray: dict[str, Path] = {}
    images, inner_of = images_and_masks(root)
    for file, inner in inner_of.items():
        folder = inner[0].lower() if inner else ""
        label = "" if description.labels is None else folder_of.get(folder)
        if label is None:
            stray.setdefault(folder, file)
        else:
            masks[label].append(file)
    for file in stray.values():
        place = file.relative_to(root).as_posix()  # which is no image's id: that image is as good as ever
        message = f"lies in the folder of no label ({', '.join(masks)}); name its label in dataset.yaml, or move it"
        problems.append(Problem(place, place, message))
    if missing := [label for label, found in masks.items() if label and not found]:
        raise MedbenchError(f"{path}: labels: no masks of {missing[0]!r}; they go into {root / 'masks' / missing[0]}")

    tables = _tables(root, path, description)
    key = description.group or (GROUP if GROUP in columns_of(*tables) else None)
    table = table_of(tables, key) if key else None
    groups = groups_of(table, "image", (key,)) if key else {}
    items, more = _matched(root, images, masks, groups, table, problems)
    name = shipped or root.resolve().name
    found = DescribedSet(description, name, root, items, problems, more)
    found.tables = tables
    if description.label:
        found.labels_of(description.label)  # an unknown column is told at once
    return found


def _tables(root: Path, path: Path, description: Description) -> tuple[Path, ...]:
    """The tables that tell of the images; MedbenchError where there is none and the description asks for one."""
    names = (description.table,) if description.table else TABLES
    found = tables_of(root, names)
    asked = next((key for key in ("table", "group", "label") if getattr(description, key)), None)
    if asked and not found:
        raise MedbenchError(f"{path}: {asked}: {root} has no {' or '.join(names)}; put it there, or leave {asked} out")
    return found


def _matched(
    root: Path,
    images: list[Path],
    masks: Mapping[str, list[Path]],
    groups: dict[str, str],
    table: Path | None,
    problems: list[Problem],
) -> tuple[list[Item], dict[str, tuple[Path, ...]]]:
    """Items with the masks of the first label, and those of the others; adds to `problems` what is left over."""
    items_of: dict[str, dict[str, Item]] = {}
    for label, paths in masks.items():
        items, left = match(
            root,
            ((path, None) for path in images),
            paths,
            groups,
            table=table,
            is_closed=True,
            more=MORE_ENDINGS,
        )
        items_of[label] = {item.id: item for item in items}
        problems += [problem for problem in left if problem not in problems]
    first, *others = items_of.values()
    whole: list[Item] = []
    more: dict[str, tuple[Path, ...]] = {}
    for id, item in first.items():
        files = {label: items_of[label][id].mask for label in masks}
        present = [path for path in files.values() if path is not None]
        absent = [label for label, path in files.items() if path is None]
        if present and absent:
            here = present[0].relative_to(root).as_posix()
            problems.append(
                Problem(id, f"masks/{absent[0]}", f"has no mask of {id}, and there is {here}; add an empty one")
            )
            continue
        whole.append(item)
        if present and others:
            more[id] = tuple(present[1:])
    return whole, more
