"""How files below a folder become a data set: walked, paired, grouped.

A reader walks the whole folder and knows files by the names of the folders above them, so that a folder too many after
unpacking does not matter. Files that belong to a layout but fit nowhere are recorded, never dropped.
"""

import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from ..bench.errors import MedbenchError
from .base import FileSet, Item, Part, Problem
from .reading import IMAGE_ENDINGS, ending_of, read_bytes
from .tables import columns_of, columns_told, groups_of, table_of

TABLES = ("labels.csv", METADATA := "metadata.csv")
GROUP = "group"  # the column of a table, where nobody names another
MAX_DEPTH = 6  # PH2's files lie four folders down; two more for careless unpacking
MASK_ENDING = re.compile(r"_(segmentation|mask|lesion)$", re.IGNORECASE)
PASSED_OVER = re.compile(
    r"\..*|thumbs\.db|desktop\.ini|license|readme|.*_superpixels\.png|"
    r".*\.(txt|csv|tsv|md|pdf|html?|json|ya?ml|xml|xlsx?|docx?|log)",
    re.IGNORECASE,
)


def read_folder(root: Path) -> FileSet:
    """Anybody's set: `images/` and `masks/` with equal stems, masks may end in _segmentation, _mask or _lesion.

    Optional tables, `labels.csv` and `metadata.csv`, name images with or without their ending in the column `image`,
    and their group in `group`, which one of them has where there is a `metadata.csv`.
    """
    images, masks = images_and_masks(root)
    tables = tables_of(root)
    is_there = GROUP in columns_of(*tables)
    if not is_there and METADATA in [each.name.lower() for each in tables]:
        raise MedbenchError(
            f"{tables[-1]}: no column {GROUP!r}; {columns_told(*tables)}; rename the one that says which images belong "
            f"together, or say group: COLUMN in a dataset.yaml (`medbench data describe {root} --write` proposes one)"
        )
    table = table_of(tables, GROUP) if is_there else None
    groups = groups_of(table, "image", (GROUP,))
    pairs = ((path, None) for path in images), masks, groups
    found = pair(root.resolve().name, root, *pairs, table=table, is_closed=True)
    found.tables = tables
    return found


def images_and_masks(root: Path) -> tuple[list[Path], dict[Path, tuple[str, ...]]]:
    """The files in `images/`, and those in `masks/` with the folders between.

    Raises:
        MedbenchError: `images/` lie in several folders, as those of a training and of a test part do.
    """
    images: dict[Path, Path] = {}
    masks: dict[Path, tuple[str, ...]] = {}
    for path, folders in walk(root):
        parts = path.relative_to(root).parts
        if "images" in folders:
            images[path] = root.joinpath(*parts[: folders.index("images")])
        elif "masks" in folders:
            masks[path] = parts[folders.index("masks") + 1 : -1]
    if len(homes := [*dict.fromkeys(images.values())]) > 1:
        raise MedbenchError(
            f"{root}: there are images/ in {homes[0]} and in {homes[1]}; say which set is meant, as folder: {homes[0]} "
            "(its table and dataset.yaml go there), or put all images into one images/ and all masks into one masks/"
        )
    return [*images], masks


def tables_of(root: Path, names: Sequence[str] = TABLES) -> tuple[Path, ...]:
    """The tables of these names that tell of a set's images, as many as there are."""
    return tuple(path for name in names if (path := find_file(root, re.escape(name))))


def find_masks(root: Path, more: Collection[str] = ()) -> dict[str, Path]:
    """Every mask below a folder by the id of its image: the stem without _segmentation, _mask or _lesion.

    Where some files have such an ending, those in other folders are no masks (PH2 keeps images and regions there), nor
    are images where one lies beside each mask. `more` are further endings that are read.

    Raises:
        MedbenchError: the folder is missing or holds no mask, or two files could be the mask of one image.
    """
    found: dict[str, Path] = {}
    for path in _marked(path for path, _ in walk(root) if _is_read(path, more)):
        id = MASK_ENDING.sub("", _stem(path))
        if id in found:
            raise MedbenchError(f"{path}: {found[id]} could be the mask of {id} as well; keep one of them")
        found[id] = path
    if not found:
        what = f"holds no mask ({_kinds(more)})" if root.is_dir() else "there is no such folder"
        raise MedbenchError(f"{root}: {what}")
    return found


def unread_masks(root: Path, more: Collection[str] = ()) -> dict[str, Path]:
    """The files among the masks below a folder that are not read, by the id of the image that has no other mask."""
    paths = [(MASK_ENDING.sub("", _stem(path)), path) for path in _marked(path for path, _ in walk(root))]
    read = {id for id, path in paths if _is_read(path, more)}
    return {id: path for id, path in paths if id not in read}


def _is_read(path: Path, more: Collection[str]) -> bool:
    ending = ending_of(path).lower()
    return ending in IMAGE_ENDINGS or ending in more


def _kinds(more: Collection[str]) -> str:
    """What is read, in words."""
    return "jpg, png, bmp, tif, npy or nii" if more else "jpg, png, bmp or tif"


def _marked(paths: Iterable[Path]) -> list[Path]:
    """Those with the ending of a mask. All where none has one; and where some people mark a few of their masks, so that
    beside them lie others, all of that folder: then one without the ending may be a mask as well."""
    paths = list(paths)
    marked = {path: MASK_ENDING.sub("", _stem(path)) for path in paths if MASK_ENDING.search(_stem(path))}
    if not marked:
        return paths
    ids, folders = {*marked.values()}, {path.parent for path in marked}
    beside = {each for each in paths if each.parent in folders and each.suffix.lower() in IMAGE_ENDINGS}
    some_are_not = any(_stem(path) not in ids for path in beside - marked.keys())
    return [path for path in paths if path in marked or (some_are_not and path in beside)]


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every file that may be an image, in a fixed order, with the lower-case names of the folders from root to it.

    Raises:
        MedbenchError: a name is not UTF-8, as old archives have them, and no table or record could hold it.
    """
    for path in _paths(root):
        if not PASSED_OVER.fullmatch(path.name):
            if (readable := os.fsencode(path).decode("utf-8", "backslashreplace")) != str(path):
                raise MedbenchError(f"{readable}: its name is not UTF-8; rename it")
            yield path, [part.lower() for part in path.relative_to(root).parts[:-1]]


def _paths(root: Path) -> Iterator[Path]:
    for top, folders, files in os.walk(root, followlinks=True):
        here = Path(top)
        depth = len(here.relative_to(root).parts)
        visible = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        folders[:] = sorted(visible) if depth < MAX_DEPTH else []
        yield from (here / name for name in sorted(files))


def find_file(root: Path, pattern: str) -> Path | None:
    """The file of that name nearest to the root, None when there is none; MedbenchError where another that is as near
    says something else."""
    found = [path for path in _paths(root) if re.fullmatch(pattern, path.name, re.IGNORECASE)]
    if not found:
        return None
    nearest, *others = sorted(found, key=lambda path: len(path.parts))
    for path in others:
        if len(path.parts) == len(nearest.parts) and read_bytes(path) != read_bytes(nearest):
            raise MedbenchError(f"{nearest}: there is {path} too; keep the one that is meant")
    return nearest


def pair(
    name: str,
    root: Path,
    images: Iterable[tuple[Path, Part | None]],
    masks: Iterable[Path],
    groups: dict[str, str],
    *,
    table: Path | None = None,
    is_closed: bool = False,
    has_groups: bool = False,
) -> FileSet:
    """Joins images and masks by stem; arguments are those of `match`."""
    found = match(root, images, masks, groups, table=table, is_closed=is_closed, has_groups=has_groups)
    return FileSet(name, root, *found)


def match(
    root: Path,
    images: Iterable[tuple[Path, Part | None]],
    masks: Iterable[Path],
    groups: dict[str, str],
    *,
    table: Path | None = None,
    is_closed: bool = False,
    has_groups: bool = False,
    more: Collection[str] = (),
) -> tuple[list[Item], list[Problem]]:
    """What `pair` makes a set of: its items, and what was left over.

    `table` is where the groups are from, and should know every image, as one should that is missing with `has_groups`;
    with `is_closed` it names no others. `more` are further endings that are read.

    Raises:
        MedbenchError: the table names none of the images.
    """
    problems: list[Problem] = []
    found: dict[str, tuple[Path, Part | None]] = {}
    mask_of: dict[str, Path] = {}

    def record(id: str, path: Path, message: str, kind: Literal["error", "note"] = "error") -> None:
        problems.append(Problem(id, path.relative_to(root).as_posix(), message, kind))

    for path, part in images:
        id = _stem(path)
        if not _is_read(path, more):
            record(id, path, f"{ending_of(path) or 'no ending'} is not read; save it as {_kinds(more)}")
        elif id in found:
            if path.read_bytes() != found[id][0].read_bytes():  # an archive unpacked twice needs no decision
                record(id, path, f"a second image with the id {id}; rename or remove one")
        else:
            found[id] = (path, part)
    for path in masks:
        stem = _stem(path)
        id = stem if stem in found else MASK_ENDING.sub("", stem)
        if id not in found:
            record(path.relative_to(root).as_posix(), path, "no image")
        elif not _is_read(path, more):
            record(id, path, f"{ending_of(path) or 'no ending'} is not read; save it as png")
        elif id in mask_of:
            if path.read_bytes() != mask_of[id].read_bytes():
                record(id, path, f"a second mask for the image {id}; rename or remove one")
        else:
            mask_of[id] = path
    if table and found and groups.keys().isdisjoint(found):
        raise MedbenchError(
            f"{table}: names none of the {len(found)} images, which are called {min(found)!r} and so on; it has "
            f"{min(groups, default='')!r}: write names as those of the files, without their folders"
        )
    if table and is_closed:
        problems += [
            Problem(id, table.relative_to(root).as_posix(), f"names the image {id}, which does not exist", "note")
            for id in sorted(groups.keys() - found.keys())
        ]
    if (table or has_groups) and (unknown := sorted(found.keys() - groups.keys())):
        message = f"{len(unknown)} images, this one first, are in no metadata: a split may divide a lesion"
        record(unknown[0], found[unknown[0]][0], message, "note")
    items = [Item(id, path, mask_of.get(id), groups.get(id, id), part) for id, (path, part) in found.items()]
    return items, problems


def _stem(path: Path) -> str:
    """A file's name without its ending, in composed Unicode: macOS archives hold é as two characters."""
    stem = Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem  # as in .nii.gz
    return unicodedata.normalize("NFC", stem)
