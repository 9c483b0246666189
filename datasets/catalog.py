"""The data sets that medbench knows by name, where they are expected, and how one comes by them."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..bench.errors import MedbenchError, UnknownNameError
from .base import PUBLISHED, FileSet, ImageSet
from .layouts import LAYOUTS
from .synthetic import SyntheticSet


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a person needs to know before using a set.

    `folder` is where it is expected below the data folder; `how` says how to get it. `n_images` is how many images with
    masks the publisher has in each part, "all" where there are no parts; empty where nothing is published.
    """

    description: str
    licence: str
    citation: str
    folder: str | None
    how: str
    n_images: Mapping[str, int]


DATASETS: dict[str, Dataset] = {
    "isic2018": Dataset(
        description="ISIC 2018 Task 1: 2,594 training, 100 validation and 1,000 test images, lesion masks",
        licence="per image: most CC-0, a part of validation and test CC BY-NC",
        citation="Codella et al. 2019, arXiv:1902.03368; Tschandl et al. 2018, doi:10.1038/sdata.2018.161",
        folder="isic2018",
        how="`medbench data fetch isic2018`, or unpack the Task 1 archives from "
        "https://challenge.isic-archive.com/data/#2018 there",
        n_images={"training": 2594, "validation": 100, "test": 1000},
    ),
    "ph2": Dataset(
        description="PH2: 200 dermoscopic images of melanocytic lesions, lesion masks",
        licence="research and education",
        citation="Mendonca et al. 2013, PH2: a dermoscopic image database, EMBC 2013, doi:10.1109/EMBC.2013.6610779",
        folder="ph2",
        how="request the archive at https://www.fc.up.pt/addi/ph2%20database.html and unpack it there; "
        "`medbench data fetch ph2 --from FILE` takes a zip",
        n_images={"all": 200},
    ),
    "ham10000": Dataset(
        description="HAM10000: 10,015 dermoscopic images of 7,470 lesions, lesion masks by Tschandl",
        licence="CC BY-NC 4.0",
        citation="Tschandl et al. 2018, doi:10.1038/sdata.2018.161; masks: Tschandl et al. 2020, Nature Medicine 26",
        folder="ham10000",
        how="download images, segmentations and metadata from https://doi.org/10.7910/DVN/DBW86T and unpack them "
        "there; `medbench data fetch ham10000 --from FILE` takes each archive",
        n_images={"all": 10015},
    ),
    "synthetic": Dataset(
        description="computed images with exact masks; any number, any size",
        licence="Apache-2.0, as medbench",
        citation="medbench",
        folder=None,
        how="nothing to get: medbench computes it",
        n_images={},
    ),
}


def check_name(name: str) -> None:
    """UnknownNameError where no set has that name."""
    if name not in DATASETS:
        raise UnknownNameError("dataset", name, DATASETS, " A set of your own: folder:PATH.")


def open_dataset(
    name: str | None = None,
    *,
    folder: Path | None = None,
    data: Path | None = None,
    images: int = 400,
    size: int = 64,
) -> ImageSet:
    """Opens a set by name, or the set in a folder of one's own.

    Args:
        name: A key of `DATASETS`, or `folder:PATH`. Give either this or `folder`.
        folder: A folder with `images/` and `masks/`.
        data: The folder that holds `<name>/` for each downloaded set; the environment's MEDBENCH_DATA where None.
        images: How many images, for `synthetic` alone.
        size: Pixels a side, for `synthetic` alone.
    """
    if name is not None and name.startswith("folder:") and folder is None:
        name, folder = None, Path(name.removeprefix("folder:"))
    if (name is None) == (folder is None):
        raise MedbenchError("dataset: give either a name or a folder")
    if folder is not None:
        return _read("folder", folder, "it needs images/ and masks/ with equal stems")
    assert name is not None  # or there is a folder
    check_name(name)
    if name == "synthetic":
        return SyntheticSet(images=images, size=size)
    data = data or (Path(os.environ["MEDBENCH_DATA"]) if os.environ.get("MEDBENCH_DATA") else None)
    if data is None:
        raise MedbenchError(
            f"{name}: no data folder is set; pass --data DIR or set MEDBENCH_DATA to the folder of {name}/"
        )
    return _read(name, data / name, DATASETS[name].how)


def completeness(name: str | None, image_set: ImageSet) -> dict[str, tuple[int, int]]:
    """How many images with masks the set has in each part, and how many its publisher has.

    Empty for sets that nobody published: synthetic ones, and folders, which have no name here.
    """
    published = DATASETS[name].n_images if name in DATASETS else {}
    here = Counter(PUBLISHED[image_set.official[id]] for id in image_set.ids if id in image_set.official)
    here["all"] = len(image_set)
    return {part: (here[part], n) for part, n in published.items()}


def told_completeness(found: Mapping[str, tuple[int, int]]) -> str:
    """The same in words.

    >>> told_completeness({"training": (2594, 2594), "test": (0, 1000)})
    'training 2,594 of 2,594 images with masks; test 0 of 1,000'
    """
    counts = [("" if part == "all" else f"{part} ") + f"{here:,} of {n:,}" for part, (here, n) in found.items()]
    return "; ".join([f"{counts[0]} images with masks", *counts[1:]])


def _read(layout: str, root: Path, how: str) -> FileSet:
    """The set below `root`; a set without a single pair counts as missing."""
    if not root.is_dir():
        raise MedbenchError(f"{layout}: not found, looked for the folder {root}; {how}")
    found = LAYOUTS.build(layout, root=root)
    if not found.ids:
        first = f" (first problem: {found.unmatched[0]})" if found.unmatched else ""
        raise MedbenchError(f"{layout}: no image with a mask below {root}{first}; {how}")
    return found
