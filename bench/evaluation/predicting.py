"""Images of anybody's, segmented by a trained model."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from ...datasets.described.formats import ChannelsError, read_values
from ...datasets.described.windowing import through_window
from ...datasets.hair_removal import VERSION as HAIR_REMOVAL_VERSION
from ...datasets.hair_removal import remove_hair
from ...datasets.reading import IMAGE_ENDINGS, MORE_ENDINGS, ending_of, read_image
from ...datasets.resizing import squeeze
from ..errors import MedbenchError
from ..metrics import LESION, Target
from ..store.records import write_bytes, write_text
from ..training.forward import EVALUATION_BATCH, found_in, predict
from .labels import probabilities_of
from .testing import resized

LABELS = "labels.csv"


@dataclass(frozen=True, slots=True)
class Sight:
    """What a model sees and what it looks for.

    Attributes:
        size: pixels a side of its input.
        channels: of images; 3 are RGB.
        window: the two values between which images of more than 8 bits are seen; None of images of 8 bits.
        target: what its maps mean.
        tasks: the classes of each of its image-level tasks.
        is_hairless: whether it learnt from images without their hair, which is then removed from others too.
    """

    size: int
    channels: int = 3
    window: tuple[float, float] | None = None
    target: Target = LESION
    tasks: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    is_hairless: bool = False

    @classmethod
    def of(cls, size: int, config: Mapping[str, Any]) -> "Sight":
        """That of a trial's configuration; MedbenchError where another medbench removed the hair that it did not
        see."""
        window = config["source"].get("window")
        removal = config["source"].get("hair_removal")
        if removal not in (None, HAIR_REMOVAL_VERSION):
            raise MedbenchError(
                f"the model was trained on images whose hair was removed in way {removal}, this medbench knows way "
                f"{HAIR_REMOVAL_VERSION}: use the medbench that trained it, or train it again"
            )
        target = Target.of(config.get("target"))
        tasks = {name: task["classes"] for name, task in config.get("tasks", {}).items()}
        ends = (window[0], window[1]) if window else None
        return cls(size, config.get("channels", 3), ends, target, tasks, is_hairless=removal is not None)

    @property
    def folders(self) -> tuple[str, ...]:
        """Of masks, in the folder that they are written to: one for each label, else that folder itself."""
        return self.target.names if self.target.overlap else ("",)

    @property
    def endings(self) -> frozenset[str]:
        """Of the files that are images in a folder: arrays too, but for models of one structure in plain RGB."""
        is_plain = self.channels == 3 and self.window is None and self.target == LESION
        return IMAGE_ENDINGS if is_plain else IMAGE_ENDINGS | MORE_ENDINGS

    def read(self, path: Path) -> NDArray[np.uint8]:
        """An image (H, W, channels) as the model's own set had them; MedbenchError where it is of another kind."""
        return remove_hair(self._stored(path)) if self.is_hairless else self._stored(path)

    def _stored(self, path: Path) -> NDArray[np.uint8]:
        """With its hair."""
        if self.channels == 3 and self.window is None and ending_of(path).lower() not in MORE_ENDINGS:
            return read_image(path)
        try:
            values = read_values(path, self.channels)
        except ChannelsError as error:
            kind = "grey images" if self.channels == 1 else f"images of {self.channels} channels"
            raise MedbenchError(
                f"{path}: {error.found}; the model was trained on {kind}, and takes no others"
            ) from error
        if (values.dtype == np.uint8) != (self.window is None):
            told = "8 bits" if self.window is None else "more than 8 bits"
            raise MedbenchError(f"{path}: is stored as {values.dtype}; the model was trained on images of {told}")
        return values if self.window is None else through_window(values, *self.window)


@dataclass(slots=True)
class Written:
    """How masks came out: how many there are, how many of them are empty, in how many images each name was not found,
    and a line for each image that cannot be read."""

    n_masks: int = 0
    n_empty: int = 0
    without: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])


def find_images(paths: Sequence[Path], out: Path, sight: Sight, *, overwrite: bool = False) -> dict[str, Path]:
    """Image files by their stems, of files and of folders, whose subfolders are left alone.

    Raises:
        MedbenchError: a path is not there, a folder holds no image, two images have one stem, or a mask in `out`, or
            the table of a model's tasks, would take the place of an image, or of another file where
            `overwrite` does not allow it.
    """
    if out.exists() and not out.is_dir():
        raise MedbenchError(f"{out}: is a file; name a folder for the masks")
    found: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            files = sorted(each for each in path.iterdir() if ending_of(each).lower() in sight.endings)
            if not files:
                raise MedbenchError(f"{path}: holds no image ({', '.join(sorted(sight.endings))})")
        elif path.is_file():
            files = [path]
        else:
            raise MedbenchError(f"{path}: no such file or folder")
        for file in files:
            stem = file.name.removesuffix(ending_of(file))
            if found.setdefault(stem, file) != file:
                raise MedbenchError(f"{file}: its mask would have the name of that of {found[stem]}; rename one")
            if file.resolve() in [each.resolve() for each in _masks(out, stem, sight)]:
                raise MedbenchError(f"{file}: its mask would take its place; name another folder with --out")
    written = [path for stem in found for path in _masks(out, stem, sight)] + ([out / LABELS] if sight.tasks else [])
    there = [path for path in written if path.exists()]
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise MedbenchError(f"{there[0]}: is there already{more}; name another folder with --out, or say --overwrite")
    return found


def _masks(out: Path, stem: str, sight: Sight) -> list[Path]:
    """The files that an image's masks are written to."""
    return [out / folder / f"{stem}.png" for folder in sight.folders]


def predict_images(
    model: nn.Module,
    images: Mapping[str, Path],
    sight: Sight,
    out: Path,
    *,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> Written:
    """Writes <stem>.png for each image at its own size, as evaluations score it.

    Of one structure 255 where the model sees it, else 0. Of labels the same of each, in a folder of its name. Of
    classes their numbers in the order of the target, 0 being the background, as indices of a palette. Where the model
    has tasks, labels.csv too, a row an image: its class of each task, and the probabilities of all.

    Args:
        model: images (B, channels, size, size) to logits (B, maps, size, size), or `Outputs`, on any
            device.
        images: files by stem.
        sight: what the model sees.
        out: a folder, made if need be.
        on_image: called with the numbers of images done and to do.
    """
    for folder in sight.folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
    stems, written = list(images), Written()
    rows: list[dict[str, str]] = []
    for start in range(0, len(stems), EVALUATION_BATCH):
        batch = stems[start : start + EVALUATION_BATCH]
        pixels: dict[str, NDArray[np.uint8]] = {}
        for stem in batch:
            try:
                pixels[stem] = sight.read(images[stem])
            except MedbenchError as error:
                written.problems.append(str(error))
        if pixels:
            found = predict(model, np.stack([squeeze(each, sight.size) for each in pixels.values()]))
            for place, (stem, image) in enumerate(pixels.items()):
                rows.append({"image": stem})
                for task, names in sight.tasks.items():
                    shares = probabilities_of(found.labels[task][place])
                    rows[-1][task] = names[int(shares.argmax())]
                    rows[-1] |= {f"{task}: {name}": f"{share:.6f}" for name, share in zip(names, shares, strict=True)}
                planes = found_in(resized(found.logits[place], *image.shape[:2])[None], sight.target)[0].numpy()
                written.without.update(
                    name for name, plane in zip(sight.target.names, planes, strict=True) if not plane.any()
                )
                masks = _encoded(planes, sight.target)
                written.n_masks += len(masks)
                written.n_empty += sum(not plane.any() for plane in (planes if len(masks) > 1 else [planes]))
                for path, content in zip(_masks(out, stem, sight), masks, strict=True):
                    write_bytes(path, content)
        on_image(start + len(batch), len(stems))
    if sight.tasks and rows:
        with io.StringIO(newline="") as text:
            table = csv.DictWriter(text, [*rows[0]])
            table.writeheader()
            table.writerows(rows)
            write_text(out / LABELS, text.getvalue())
    return written


def _encoded(planes: NDArray[np.bool_], target: Target) -> list[bytes]:
    """PNG files of the planes (K, H, W) of an image: one for each, or one of classes."""
    if target.is_single or target.overlap:
        return [cv2.imencode(".png", plane.astype(np.uint8) * 255)[1].tobytes() for plane in planes]
    indices = Image.fromarray(target.codes(planes))
    indices.putpalette(palette().tobytes())
    buffer = io.BytesIO()
    indices.save(buffer, format="PNG")
    return [buffer.getvalue()]


def palette() -> NDArray[np.uint8]:
    """(256, 3) RGB colours by index, those of PASCAL VOC, which viewers of such masks have made usual: the bits of an
    index are dealt to red, green and blue in turn, the lowest being the brightest.

    >>> palette()[:4].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    index = np.arange(256)[:, None]
    colours = np.zeros((256, 3), np.int64)
    for place in range(8):
        colours |= (index >> (3 * place + np.arange(3)) & 1) << (7 - place)
    return colours.astype(np.uint8)
