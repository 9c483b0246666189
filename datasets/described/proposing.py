"""A `dataset.yaml` for a folder that has none, of what its files show."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import yaml

from ...bench.errors import MedbenchError
from ...bench.store.records import write_text
from ..layouts import MASK_ENDING, images_and_masks, tables_of
from ..masks import clashes, coding_of
from ..reading import MORE_ENDINGS, ending_of
from ..tables import columns_of, read_rows
from .description import FILE, MODALITIES, MOST_LABELS, parse_description
from .folder import find_description
from .formats import has_colours, read_array, read_codes, read_structure, read_values

MOST_LEVELS = 32  # more are shades

Progress = Callable[[int, int], None]


def propose(root: Path, progress: Progress = lambda *_: None) -> Path:
    """Writes `dataset.yaml` into a folder with `images/` and `masks/`, and gives its path.

    Classes are the levels that occur in masks, or labels the folders that masks lie in; their names are for the user to
    change. `progress` is called with the numbers of files looked at and to look at.

    Raises:
        MedbenchError: the file is there already, the folder holds no masks or images, or masks hold no classes.
    """
    path = root / FILE
    if not root.is_dir():
        raise MedbenchError(f"{root}: there is no such folder")
    if there := find_description(root):
        raise MedbenchError(f"{there}: is there already; change it, or move it away first")
    masks: dict[str, list[Path]] = {}
    images, inner_of = images_and_masks(root)
    for file, inner in inner_of.items():
        masks.setdefault(inner[0] if inner else "", []).append(file)
    if not images or not masks:
        raise MedbenchError(f"{root}: needs images/ and masks/ with equal stems")
    all_masks = [file for paths in masks.values() for file in paths]
    total = len(images) + len(all_masks)
    channels = _channels(images, lambda done: progress(done, total))
    lines = ["# Proposed by medbench: change what is wrong, give names, then look with `medbench data verify`."]
    if _are_labels(masks):
        listed = yaml.safe_dump([*masks], default_flow_style=True, allow_unicode=True, width=1000).strip()
        lines.append(f"labels: {listed}  # a folder each, which may overlap")
        progress(total, total)
    else:
        lines += _classes(all_masks, lambda done: progress(len(images) + done, total))
    lines.append(f"channels: {channels}" + ("" if channels != 1 else "  # all images are grey"))
    lines.append(f"modality: other  # {', '.join(MODALITIES)}")
    text = "\n".join([*lines, *_columns(root)]) + "\n"
    parse_description(text, path)
    write_text(path, text)
    return path


def _are_labels(masks: dict[str, list[Path]]) -> bool:
    """Whether masks lie in folders that have stems in common."""
    stems = [{MASK_ENDING.sub("", path.stem) for path in paths} for paths in masks.values()]
    return "" not in masks and 2 <= len(masks) <= MOST_LABELS and bool(set.intersection(*stems))


def _channels(images: Sequence[Path], progress: Callable[[int], None]) -> int:
    """1 where no image has colours, 3 where some have; of arrays with other numbers of bands that number."""
    found: set[int] = set()
    for done, path in enumerate(images, start=1):
        n = 3
        if ending_of(path).lower() in MORE_ENDINGS:
            array = read_array(path)
            n = 1 if array.ndim == 2 else array.shape[2]
        found.add(n if n != 3 else 3 if has_colours(read_values(path, 3)) else 1)
        progress(done)
    if len(found) > 1 and not found <= {1, 3}:
        raise MedbenchError(f"images have {', '.join(map(str, sorted(found)))} channels; save all with as many")
    return max(found)


def _classes(masks: Sequence[Path], progress: Callable[[int], None]) -> list[str]:
    if _are_black_and_white(masks, progress):
        return ["classes: [background, class 1]  # masks are black and white"]
    n_pixels, n_masks = Counter[int](), Counter[int]()
    for done, path in enumerate(masks, start=1):
        used, counts = np.unique(read_codes(path), return_counts=True)
        n_pixels.update(dict(zip(used.tolist(), counts.tolist(), strict=True)))
        n_masks.update(used.tolist())
        if len(n_masks) > MOST_LEVELS:
            raise MedbenchError(
                f"{path}: with it masks hold {len(n_masks)} levels; save the number of each pixel's class"
            )
        progress(done)
    levels = sorted(n_masks)
    names = ["background", *(f"class {place}" for place in range(1, len(levels)))]
    lines = [
        f"# level {level}, {name}: {n_pixels[level] / n_pixels.total():.2%} of the pixels, in {n_masks[level]:,} masks"
        for level, name in zip(levels, names, strict=True)
    ]
    if levels[-1] == 255 and len(levels) > 2 and levels[-2] < 254:
        lines.append("# Where 255 marks pixels that nobody labelled: take its class away, and write `ignore: 255`.")
    listed = ", ".join(names if levels == [*range(len(levels))] else map("{}: {}".format, levels, names))
    return [*lines, f"classes: [{listed}]" if levels == [*range(len(levels))] else f"classes: {{{listed}}}"]


def _are_black_and_white(masks: Sequence[Path], progress: Callable[[int], None]) -> bool:
    """Whether every mask shows one structure, as sets without a description are read."""
    codings = {}
    for done, path in enumerate(masks, start=1):
        try:
            codings[str(path)] = coding = coding_of(read_structure(path))
        except MedbenchError:
            return False
        if coding.refusal:
            return False
        progress(done)
    return not clashes(codings)


def _columns(root: Path) -> list[str]:
    """The lines of the columns that the set's tables have."""
    tables, lines = tables_of(root), list[str]()
    for table in tables:
        read_rows(table, ("image",))
    if len(tables) > 1 and {*columns_of(tables[0])} & {*columns_of(tables[1])} != {"image"}:
        tables, lines = tables[:1], [f"table: {tables[0].name}"]
    columns = [column for column in columns_of(*tables) if column != "image"]
    lines += [f"{key}: {key}" for key in ("group", "label") if key in columns]
    if others := [column for column in columns if column not in ("group", "label")]:
        names = " and ".join(table.name for table in tables)
        lines.append(f"# further columns of {names}, for group or label: {', '.join(others)}")
    return lines
