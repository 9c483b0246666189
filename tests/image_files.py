"""Image files for tests of what reads them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# A picture without symmetry: any flip or turn of it shows. Left half red, lower right corner blue.
PICTURE = np.zeros((6, 10, 3), np.uint8)
PICTURE[:, :5] = (200, 30, 30)
PICTURE[4:, 7:] = (20, 20, 220)
LESION = np.zeros((6, 10), np.bool_)
LESION[1:4, 2:7] = True


def save(path: Path, pixels: NDArray[np.generic], mode: str | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)  # pyright: ignore[reportArgumentType]
    return path


def save_pair(root: Path, image: str, mask: str) -> None:
    save(root / image, PICTURE)
    save(root / mask, LESION)
