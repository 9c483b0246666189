"""The data sets of a run, opened, inspected and cached once in a process."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

from ...datasets.artifacts.painted import PaintedSet
from ...datasets.audit import VERSION as AUDIT_VERSION
from ...datasets.audit import Looks, copies, look_at
from ...datasets.base import ImageSet
from ...datasets.cache import Arrays, load_arrays, place_of
from ...datasets.catalog import open_dataset
from ...datasets.described.windowing import VERSION as WINDOW_VERSION
from ...datasets.described.windowing import WindowedSet, window_of
from ...datasets.hair_removal import HairlessSet
from ...datasets.inspection import inspect
from ..errors import MedbenchError
from ..store.records import read_json, short_id, write_json


@dataclass(frozen=True, slots=True)
class OpenSet:
    """A set that was looked through: its images are sound, its content is known.

    Attributes:
        image_set: images, masks and groups; images with equal pixels are in one group.
        digests: of image and mask, by id.
        pixels: of the image alone, by id.
        left_out: how many images could not be used, which the study allowed.
    """

    image_set: ImageSet
    digests: dict[str, str]
    pixels: dict[str, str]
    left_out: int

    def digest_of(self, ids: Iterable[str]) -> str:
        """One digest for the content of these images and masks."""
        return short_id([[id, self.digests[id]] for id in sorted(ids)])


class Sets:
    """Opens sets by their plain description: `{name: ...}`, `{folder: ...}`, or synthetic with `images` and `size`."""

    def __init__(self, data: Path | None, cache: Path, progress: Callable[[str, int, int], None] | None = None) -> None:
        self.data = data
        self.cache = cache
        self.progress = progress
        self._open: dict[str, OpenSet] = {}
        self._arrays: dict[tuple[int, int], Arrays] = {}

    def open(self, source: Mapping[str, Any], *, leave_out_broken: bool = False) -> OpenSet:
        """The set, inspected; MedbenchError where it is missing, or has broken images that may not be left out or are
        all."""
        key = short_id([dict(source), leave_out_broken])
        if key not in self._open:
            self._open[key] = self._inspected(source, leave_out_broken)
        return self._open[key]

    def of(self, config: Mapping[str, Any]) -> OpenSet:
        """The set of a training or an evaluation: `source` says where it is, which window its images are seen through,
        what is painted over `images`, and whether hair is removed from that."""
        source = config["source"]
        opened = self.open(source["set"], leave_out_broken=source["leave_out_broken"])
        if source.get("window"):
            opened = self.windowed(opened, source["window"])
        if source.get("artifact"):
            opened = self.painted(opened, config["images"], source["artifact"])
        return self.hairless(opened) if source.get("hair_removal") else opened

    def painted(self, opened: OpenSet, ids: Iterable[str], artifact: Mapping[str, Any]) -> OpenSet:
        """Some images of a set under an artifact: `kind`, `severity`, `seed`."""
        ids = sorted(ids)
        key = short_id([id(opened), ids, dict(artifact)])
        if key not in self._open:
            image_set = PaintedSet(opened.image_set, ids, **artifact)
            digests = {each: image_set.digest_over(opened.digests[each]) for each in ids}
            self._open[key] = OpenSet(image_set, digests, {}, opened.left_out)
        return self._open[key]

    def window(self, opened: OpenSet, ids: Sequence[str]) -> list[float] | None:
        """The window that images of more than 8 bits are seen through, by those that a model learns from; None where
        they have 8 bits."""
        if not opened.image_set.is_wide:
            return None
        path = self.cache / f"window-{short_id([WINDOW_VERSION, opened.digest_of(ids)])}.json"
        if not path.is_file():
            told = self._told(f"looking for the window of {opened.image_set.name}")
            write_json(path, window_of(opened.image_set, ids, told))
        return [float(end) for end in read_json(path)]

    def windowed(self, opened: OpenSet, window: Sequence[float] | None) -> OpenSet:
        """The set through a window; itself where there is none."""
        if window is None:
            return opened
        key = short_id([id(opened), *window])
        if key not in self._open:
            image_set = WindowedSet(opened.image_set, *window)
            digests = {each: image_set.digest_over(digest) for each, digest in opened.digests.items()}
            self._open[key] = replace(opened, image_set=image_set, digests=digests)
        return self._open[key]

    def hairless(self, opened: OpenSet) -> OpenSet:
        """The set without the hair on its images."""
        key = short_id([id(opened), "hairless"])
        if key not in self._open:
            image_set = HairlessSet(opened.image_set)
            digests = {each: image_set.digest_over(digest) for each, digest in opened.digests.items()}
            self._open[key] = replace(opened, image_set=image_set, digests=digests)
        return self._open[key]

    def copies(self, opened: Sequence[OpenSet]) -> list[tuple[str, str]]:
        """Pairs NAME/id of images in these sets that show the same picture; two sets are audited once for each content.

        Computed sets are not looked at: each of their images is drawn anew.
        """
        sets = {id(each.image_set): each for each in opened if _is_of_files(each.image_set)}
        looks: dict[int, Looks] = {}
        pairs: list[tuple[str, str]] = []
        for two in combinations_with_replacement(sets.values(), 2):
            key = sorted([each.image_set.name, each.digest_of(each.image_set.ids)] for each in two)
            path = self.cache / f"audit-{short_id([AUDIT_VERSION, key])}.json"
            if not path.is_file():
                for each in two:
                    if id(each) not in looks:
                        told = self._told(f"looking at {each.image_set.name}")
                        looks[id(each)] = look_at(each.image_set, self.cache, told)
                a, b = (looks[id(each)] for each in two)
                told = self._told(f"comparing {two[0].image_set.name} with {two[1].image_set.name}")
                write_json(path, [[pair.a, pair.b] for pair in copies(a, b, told)])
            pairs += [(a, b) for a, b in read_json(path)]
        return pairs

    def arrays(self, opened: OpenSet, size: int) -> Arrays:
        """All images of the set at size x size, through the cache."""
        key = (id(opened), size)
        if key not in self._arrays:
            image_set = opened.image_set
            told = self._told(f"decoding {image_set.name} at {size} pixels")
            self._arrays[key] = load_arrays(image_set, image_set.ids, size, self.cache, opened.digests, told)
        return self._arrays[key]

    def has_arrays(self, opened: OpenSet, size: int) -> bool:
        """Whether the cache has them."""
        return place_of(opened.image_set, opened.image_set.ids, size, self.cache, opened.digests).is_file()

    def _told(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress(what, done, total) if self.progress else None

    def _inspected(self, source: Mapping[str, Any], leave_out_broken: bool) -> OpenSet:
        folder = Path(source["folder"]) if source.get("folder") else None
        numbers = {key: source[key] for key in ("images", "size") if source.get(key)}
        image_set = open_dataset(source.get("name"), folder=folder, data=self.data, **numbers)
        told = self._told(f"inspecting {image_set.name}")
        inspection = inspect(image_set, self.cache, told) if _is_of_files(image_set) else inspect(image_set)
        errors = [problem for problem in inspection.problems if problem.kind == "error"]
        ids = {*image_set.ids}
        broken = {each.id for each in errors if each.id in ids or each.id != each.file}  # else it is no image at all
        image_set.leave_out(broken)
        if errors and not (leave_out_broken and image_set.ids):
            others = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
            name = f"folder:{folder}" if folder else image_set.name
            or_leave = " or say dataset.leave_out_broken: true" if image_set.ids else "; no image is left without them"
            raise MedbenchError(
                f"{image_set.name}: {errors[0]}{others}; `medbench data verify {name}` lists them, mend them{or_leave}"
            )
        _group_twins(image_set, inspection.pixels)
        return OpenSet(image_set, inspection.digests, inspection.pixels, len(broken))


def resolved(source: Mapping[str, Any]) -> dict[str, Any]:
    """A set's plain description with the whole path of its folder: equal for one set, however the path is written."""
    return {**source, "folder": str(Path(source["folder"]).resolve())} if source.get("folder") else dict(source)


def check_named_apart(opened: Iterable[tuple[Mapping[str, Any], str]]) -> None:
    """MedbenchError where two sets, by their plain descriptions, have one name: an image is known by it and its id."""
    first: dict[str, str] = {}
    for source, name in opened:
        place = resolved(source).get("folder") or f"the set {name}"
        other = first.setdefault(name, place)
        if other != place:
            raise MedbenchError(
                f"two sets are called {name}: {other} and {place}; rename one, or give it a folder of another name "
                "with links to what lies in it"
            )


def _is_of_files(image_set: ImageSet) -> bool:
    return bool(image_set.files(image_set.ids[0]))


def _group_twins(image_set: ImageSet, pixels: Mapping[str, str]) -> None:
    """Merges the groups of images with equal pixels, so that no split can divide them."""
    first: dict[str, str] = {}
    for id in image_set.ids:
        twin = first.setdefault(pixels[id], id)
        old, new = image_set.groups[id], image_set.groups[twin]
        if old != new:
            image_set.groups = {each: new if group == old else group for each, group in image_set.groups.items()}


def data_folder(given: Path | None) -> Path | None:
    """The folder of `--data`, else of MEDBENCH_DATA; MedbenchError where it is named and does not exist."""
    folder = given or (Path(os.environ["MEDBENCH_DATA"]) if os.environ.get("MEDBENCH_DATA") else None)
    if folder is not None and not folder.is_dir():
        raise MedbenchError(f"{folder}: the data folder does not exist (from {'--data' if given else 'MEDBENCH_DATA'})")
    return folder


def cache_folder() -> Path:
    """MEDBENCH_CACHE, else medbench in the user's cache folder. It may be deleted at any time."""
    if os.environ.get("MEDBENCH_CACHE"):
        return Path(os.environ["MEDBENCH_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "medbench"
