"""Painted images as files that any other tool can read."""

import csv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from ...bench.errors import MedbenchError
from ...bench.metrics import IGNORED
from ...bench.store.records import sealed_folder, write_json, write_text
from ..base import ImageSet
from ..described.description import FILE, Description
from ..described.folder import DescribedSet
from ..described.packed import PackedSet
from ..layouts import GROUP
from .painted import VERSION, PaintedSet
from .painting import ARTIFACTS, LOCAL, SEVERITIES, paint

THREADS = 2
TILE_SIDE = 192  # pixels of the longer side of an image on a sheet


def write_painted(image: NDArray[np.uint8], stem: str, folder: Path, *, kind: str, severity: int, seed: int) -> Path:
    """Writes `<stem>-<kind>-<severity>.png` and the artifact's mask beside it as `...-mask.png`; gives the former."""
    painted, mask = paint(image, id=stem, kind=kind, severity=severity, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{kind}-{severity}.png"
    Image.fromarray(painted).save(path)
    Image.fromarray(mask).save(path.with_name(f"{path.stem}-mask.png"))
    return path


def write_set(
    image_set: ImageSet,
    folder: Path,
    *,
    kind: str,
    severity: int,
    seed: int,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Writes a whole set as a folder set: images/, masks/, metadata.csv with groups and what the set's tables say,
    dataset.yaml where the set is described, artifacts/, and manifest.json.

    made.json says how it was made; the manifest has the digest of every file. Nothing appears unless all is written.

    Raises:
        MedbenchError: the folder exists already, images are not RGB of 8 bits, or one is too small to paint on.
    """
    if folder.exists():
        raise MedbenchError(f"{folder}: exists already; name another folder or remove it")
    if image_set.channels != 3 or image_set.is_wide:
        what = "more than 8 bits" if image_set.channels == 3 else f"{image_set.channels} channels"
        raise MedbenchError(f"{image_set.name}: its images have {what}; artifacts are painted on RGB of 8 bits")
    description = image_set.description if isinstance(image_set, DescribedSet | PackedSet) else Description()
    painted = PaintedSet(image_set, image_set.ids, kind=kind, severity=severity, seed=seed)
    told = {name: painted.labels_of(name) for name in painted.columns if name not in ("image", GROUP)}
    with sealed_folder(folder) as working:
        for part in ("images", *(f"masks/{label}" for label in description.labels or ("",)), "artifacts"):
            (working / part).mkdir(parents=True)

        def write(id: str) -> None:
            image, mask = paint(image_set.image(id), id=id, kind=kind, severity=severity, seed=seed)
            Image.fromarray(image).save(working / "images" / f"{id}.png")
            codes = image_set.mask(id)
            planes = image_set.target.planes(codes) if description.labels else [codes]
            for label, plane in zip(description.labels or ("",), planes, strict=True):
                Image.fromarray(plane).save(working / "masks" / label / f"{id}.png")
            Image.fromarray(mask).save(working / "artifacts" / f"{id}.png")

        with ThreadPoolExecutor(THREADS) as pool:
            for done, _ in enumerate(pool.map(write, painted.ids), start=1):
                on_image(done, len(painted.ids))
        with (working / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(("image", GROUP, *told))
            table.writerows(
                (id, painted.groups[id], *(each.get(id, "") for each in told.values())) for id in painted.ids
            )
        if image_set.is_described:
            write_text(working / FILE, yaml.safe_dump(_of_codes(description), sort_keys=False, allow_unicode=True))
        made = {"set": image_set.name, "kind": kind, "severity": severity, "seed": seed, "version": VERSION}
        write_json(working / "made.json", {**made, "images": {id: painted.digest(id) for id in painted.ids}})


def _of_codes(description: Description) -> dict[str, Any]:
    """What the description says of a set whose masks hold codes, and whose groups are in a column of that name."""
    plain = description.model_dump(exclude_unset=True, exclude={"table"}) | {"group": GROUP}
    if description.has_levels:
        plain |= {"classes": description.names} | ({"ignore": IGNORED} if description.target.ignores else {})
    return plain


def write_sheet(image: NDArray[np.uint8], stem: str, path: Path, *, kinds: tuple[str, ...] = (), seed: int) -> None:
    """Writes a contact sheet: a row a kind, the clean image and then every severity; all kinds where none is named."""
    rows = [
        np.concatenate(
            [_tile(image)]
            + [_tile(paint(image, id=stem, kind=kind, severity=severity, seed=seed)[0]) for severity in SEVERITIES],
            axis=1,
        )
        for kind in kinds or (*LOCAL, *(kind for kind in ARTIFACTS if kind not in LOCAL))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)


def _tile(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = TILE_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), dtype=np.uint8)
