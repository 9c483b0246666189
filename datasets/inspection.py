"""Is a data set sound? One look at every file, one line for everything that somebody should know.

What was found is remembered by path, size and time of change, so that a second look at an unchanged set is quick.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bench.errors import MedbenchError
from ..bench.metrics import Target
from ..bench.store.records import read_json, short_id, write_json
from .base import FileSet, ImageSet, Problem
from .masks import Coding, Levels, clashes, coding_of, grey_share

VERSION = 4  # of the rules below: raised when they change, so that what was remembered is looked at again
MAX_GREY_SHARE = 0.01
REMEMBERED_EVERY = 300  # images looked at, so that an interruption costs no more
LEAST_BRIGHT = 64  # of 255: an image without such a level is nearly black
THREADS = 2  # decoding lets go of Python's lock; more threads wait for the disk


@dataclass(frozen=True)
class Inspection:
    """What a look at every file of a set gave.

    Attributes:
        digests: SHA-256 of image and mask, for every id whose files can be opened.
        pixels: SHA-256 of the image's pixels, for every id whose image can be decoded.
        sizes: (H, W) of the image, for every id whose image and mask can be decoded.
        codings: How the mask's levels are read, for every id whose mask is a file of black and white that can be
            decoded; of a set of labels by LABEL/id.
        masks: SHA-256 of the mask's codes, for every id of a described set whose mask can be read.
        areas: How many pixels each class or label has, by id, for the same ids; the background first.
        counted: How many pixels of the mask count at all, for the same ids.
        problems: What is wrong or odd, by id.
    """

    digests: dict[str, str] = field(default_factory=dict)
    pixels: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    codings: dict[str, Coding] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    areas: dict[str, dict[str, int]] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def inspect(
    image_set: ImageSet, cache: Path | None = None, progress: Callable[[int, int], None] = lambda *_: None
) -> Inspection:
    """Opens every image and mask of a set and checks that they are whole and fit each other.

    Errors: a file that cannot be decoded, sizes that differ, an image without mask and the reverse, a mask that could
    be read in two ways, by itself or beside the others. Notes: an empty mask, a mask with more than 1 % of its pixels
    neither black nor white, an image that is nearly black. Results are remembered below `cache`, of an interrupted
    look too. `progress` is called with the numbers of images looked at and to look at, unless all are remembered.
    """
    memory: dict[str, Any] = {}
    path = None
    if cache is not None and isinstance(image_set, FileSet):
        place = short_id([VERSION, str(image_set.root.resolve())])
        path = cache / f"inspection-{image_set.name}-{place}.json"
        memory = _recall(path)

    def look(id: str) -> dict[str, Any]:
        state = file_state(image_set, id)
        known = memory.get(id)
        if state and known and known["state"] == state:
            return known
        return {"state": state, **_examine(image_set, id)}

    found: dict[str, Any] = {}
    n_new = 0
    pool = ThreadPoolExecutor(THREADS)
    try:
        for id, entry in zip(image_set.ids, pool.map(look, image_set.ids), strict=True):
            found[id] = entry
            if entry is not memory.get(id):
                n_new += 1
                if path is not None and n_new % REMEMBERED_EVERY == 0:
                    write_json(path, memory | found)
            if n_new:
                progress(len(found), len(image_set.ids))
    finally:
        pool.shutdown(cancel_futures=True)  # else an interruption would wait for all images that are left
    if path is not None and found != memory:
        write_json(path, found)

    inspection = Inspection()
    codings: dict[str, dict[str, Coding]] = {}
    for id, entry in found.items():
        if entry["digest"]:
            inspection.digests[id] = entry["digest"]
        if entry["pixels"]:
            inspection.pixels[id] = entry["pixels"]
        if entry["size"]:
            inspection.sizes[id] = (entry["size"][0], entry["size"][1])
        for label, coding in entry["codings"].items():
            codings.setdefault(label, {})[id] = Coding(**coding)
        if entry["mask"]:
            inspection.masks[id], inspection.areas[id] = entry["mask"], entry["areas"]
            inspection.counted[id] = entry["counted"]
        inspection.problems.extend(Problem(**problem) for problem in entry["problems"])
    for place, (label, found_of) in enumerate(codings.items(), start=1):
        inspection.codings.update({f"{label}/{id}" if label else id: coding for id, coding in found_of.items()})
        for id, message in clashes(found_of).items():
            inspection.problems.append(Problem(id, _names(image_set, id)[place], message))
    inspection.problems.extend(image_set.unmatched)
    inspection.problems.sort(key=lambda problem: (problem.id, problem.file))
    return inspection


def _recall(path: Path) -> dict[str, Any]:
    """What an earlier look left; nothing if there is none or it cannot be read, for it is only a memory."""
    try:
        memory = read_json(path)
    except MedbenchError:
        return {}
    return memory if isinstance(memory, dict) else {}


def file_state(image_set: ImageSet, id: str) -> list[list[Any]]:
    """Name, size and time of change of the files of an image, and how a described set reads them; empty when there are
    no files, or one has gone."""
    if not isinstance(image_set, FileSet):
        return []
    try:
        stats = [(path, path.stat()) for path in image_set.files(id)]
    except OSError:
        return []
    told = [[image_set.relative(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]
    return [*told, [image_set.reading, image_set.target.plain()]] if image_set.is_described else told


def _examine(image_set: ImageSet, id: str) -> dict[str, Any]:
    """Digest, size, coding and problems of one image, as plain values."""
    files, names = image_set.files(id), _names(image_set, id)
    problems: list[Problem] = []

    def attempt(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except MedbenchError as error:
            problems.append(_told(id, dict(zip(names, files, strict=False)), str(error)))
            return None

    digest = attempt(lambda: image_set.digest(id))
    if digest is None:
        nothing = dict.fromkeys(("digest", "pixels", "size", "mask"))
        return {
            **nothing,
            "codings": {},
            "areas": {},
            "counted": 0,
            "problems": [asdict(problem) for problem in problems],
        }
    image = attempt(lambda: image_set.image(id))
    levels: dict[str, Levels] | None = attempt(lambda: image_set.levels(id))
    codings: dict[str, Coding] = {}
    if image is not None and not image_set.is_wide and (brightest := image.max()) < LEAST_BRIGHT:
        dark = f"the image is nearly black, no level above {brightest} of 255"
        problems.append(Problem(id, names[0], f"{dark}; where its file holds 10 or 12 bits, scale them up", "note"))
    shapes = {name: each.values.shape for name, each in zip(names[1:], (levels or {}).values(), strict=False)}
    mask, areas, n_counted = None, dict[str, int](), 0
    if image_set.is_described and levels is not None:
        if not any(coding_of(each).refusal for each in levels.values()):
            mask = attempt(lambda: image_set.mask(id))
        if mask is not None:
            areas, n_counted = _areas(mask, image_set.target)
            shapes.setdefault(names[1], mask.shape)
    for name, shape in shapes.items():
        if image is not None and shape != image.shape[:2]:
            turned = ", as if turned by 90 degrees" if shape == image.shape[1::-1] else ""
            sizes = f"the mask is {shape[1]}x{shape[0]}, the image {image.shape[1]}x{image.shape[0]}{turned}"
            problems.append(Problem(id, name, sizes))
    for name, (label, each) in zip(names[1:], (levels or {}).items(), strict=False):
        coding = codings[label] = coding_of(each)
        grey = grey_share(each)
        if coding.refusal:
            problems.append(Problem(id, name, coding.refusal))
        elif grey > MAX_GREY_SHARE:
            problems.append(Problem(id, name, f"{grey:.1%} of the mask is grey, cut at half of the range", "note"))
        if coding.is_empty and not label:
            problems.append(Problem(id, name, "the mask is empty", "note"))
    if areas and "" not in codings and not any([*areas.values()][1:]):
        problems.append(Problem(id, names[1], "the mask is empty", "note"))
    return {
        "digest": digest,
        "pixels": None if image is None else hashlib.sha256(image.tobytes()).hexdigest(),
        "size": [*image.shape[:2]] if image is not None and shapes else None,
        "codings": {label: asdict(coding) for label, coding in codings.items()},
        "mask": None if mask is None else hashlib.sha256(mask.tobytes()).hexdigest(),
        "areas": areas,
        "counted": n_counted,
        "problems": [asdict(problem) for problem in problems],
    }


def _areas(mask: NDArray[Any], target: Target) -> tuple[dict[str, int], int]:
    """Pixels of the background and of each class or label, and of all; those that do not count are left out."""
    found = dict(zip(target.names, target.planes(mask).sum(axis=(1, 2)).tolist(), strict=True))
    counted = target.counted(mask)
    n_counted = mask.size if counted is None else int(np.count_nonzero(counted))
    rest = n_counted - sum(found.values()) if not target.overlap else int(np.count_nonzero(mask == 0))
    return {target.background: rest, **found}, n_counted


def _told(id: str, files: dict[str, Path], line: str) -> Problem:
    """The problem that an error's line tells, its file named as below the set's root."""
    for name, path in files.items():
        if line.startswith(f"{path}: "):
            return Problem(id, name, line.removeprefix(f"{path}: "))
    return Problem(id, "", line)


def _names(image_set: ImageSet, id: str) -> list[str]:
    """What problems call the image and the mask."""
    return [image_set.relative(path) for path in image_set.files(id)] if isinstance(image_set, FileSet) else [id, id]
