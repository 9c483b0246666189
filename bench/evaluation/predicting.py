"""Images of anybody's, segmented by a trained model."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from ...datasets.reading import IMAGE_ENDINGS, read_image
from ...datasets.resizing import squeeze
from ..errors import MedbenchError
from ..store.records import write_bytes
from ..training.forward import EVALUATION_BATCH, predict
from .testing import resized


def find_images(paths: Sequence[Path], out: Path, *, overwrite: bool = False) -> dict[str, Path]:
    """Image files by their stems, of files and of folders, whose subfolders are left alone.

    Raises:
        MedbenchError: a path is not there, a folder holds no image, two images have one stem, or a mask in `out` would
            take the place of an image, or of another file where `overwrite` does not allow it.
    """
    if out.exists() and not out.is_dir():
        raise MedbenchError(f"{out}: is a file; name a folder for the masks")
    found: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            files = sorted(each for each in path.iterdir() if each.suffix.lower() in IMAGE_ENDINGS)
            if not files:
                raise MedbenchError(f"{path}: holds no image ({', '.join(sorted(IMAGE_ENDINGS))})")
        elif path.is_file():
            files = [path]
        else:
            raise MedbenchError(f"{path}: no such file or folder")
        for file in files:
            if found.setdefault(file.stem, file) != file:
                raise MedbenchError(f"{file}: its mask would have the name of that of {found[file.stem]}; rename one")
            if (out / f"{file.stem}.png").resolve() == file.resolve():
                raise MedbenchError(f"{file}: its mask would take its place; name another folder with --out")
    there = [path for stem in found if (path := out / f"{stem}.png").exists()]
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise MedbenchError(f"{there[0]}: is there already{more}; name another folder with --out, or say --overwrite")
    return found


def predict_images(
    model: nn.Module,
    images: Mapping[str, Path],
    size: int,
    out: Path,
    *,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> tuple[int, list[str]]:
    """Writes <stem>.png for each image: 255 where the model sees lesion, else 0, at the image's own size, as
    evaluations score it; gives the number of masks without a single pixel of lesion, and a line for each image that
    cannot be read.

    Args:
        model: images (B, 3, size, size) to logits (B, 1, size, size), on any device.
        images: files by stem.
        size: pixels a side of the model's input.
        out: a folder, made if need be.
        on_image: called with the numbers of images done and to do.
    """
    out.mkdir(parents=True, exist_ok=True)
    stems, n_empty, problems = list(images), 0, list[str]()
    for start in range(0, len(stems), EVALUATION_BATCH):
        batch = stems[start : start + EVALUATION_BATCH]
        pixels: dict[str, NDArray[np.uint8]] = {}
        for stem in batch:
            try:
                pixels[stem] = read_image(images[stem])
            except MedbenchError as error:
                problems.append(str(error))
        if pixels:
            logits = predict(model, np.stack([squeeze(each, size) for each in pixels.values()]))
            for (stem, image), each in zip(pixels.items(), logits, strict=True):
                mask = (resized(each, *image.shape[:2])[0] > 0).numpy()
                n_empty += not mask.any()
                write_bytes(out / f"{stem}.png", cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes())
        on_image(start + len(batch), len(stems))
    return n_empty, problems
