"""Batches of training images, the same whatever the number of loader workers.

Shapes: B = batch, H, W = height and width.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...datasets.augment import Augmentation
from ...datasets.cache import Arrays
from ...datasets.resizing import squeeze, squeeze_codes
from ..metrics import LESION, Target
from .labels import NO_LABELS, Labels

STEP = 32  # what every model of stride 32 asks for
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as pretrained encoders expect


@dataclass(frozen=True, slots=True)
class Draw:
    """One image to load: everything that its pixels depend on."""

    epoch: int
    size: int
    image: str


# By name: `image` (B, H, W, C) and `mask` (B, H, W) of codes, both uint8; where there are tasks `classes` (B, T); where
# they are wanted `artifact` (B, H, W), 1 where one was painted, and `clean` (B, H, W, C), without it; both uint8 too.
Batch = dict[str, Tensor]


class TrainingImages(Dataset[Batch]):
    """What `Batch` has of one image, augmented, as a pure function of seed and draw."""

    def __init__(
        self,
        images: Arrays,
        recipe: Mapping[str, Any],
        seed: int,
        labels: Labels = NO_LABELS,
        also: Collection[str] = (),
    ) -> None:
        self.images = images
        self.recipe = recipe
        self.seed = seed
        self.labels = labels
        self.also = also
        self._augmentations: dict[int, Augmentation] = {}

    def __getitem__(self, draw: Draw) -> Batch:
        if draw.size not in self._augmentations:
            augmentation = Augmentation(self.recipe, draw.size, self.images.channels, self.also)
            self._augmentations[draw.size] = augmentation
        row = self.images.row[draw.image]
        image, mask = resized(self.images.images[row], self.images.masks[row], draw.size, self.images.target)
        changed = self._augmentations[draw.size](image, mask, self.seed, draw.epoch, draw.image)
        batch = {name: torch.from_numpy(np.ascontiguousarray(each)) for name, each in changed.items()}
        return batch | {"classes": self.labels.of([draw.image])[0]} if self.labels else batch


def resized(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], size: int, target: Target = LESION
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both, which are square, at size x size, no larger: areas averaged, the mask of one structure at half cover, codes
    of classes as in `datasets.resizing`."""
    if image.shape[0] == size:
        return np.array(image), np.array(mask)
    if image.shape[2] != 3 or not target.is_single or target.ignores:
        return squeeze(np.asarray(image), size), squeeze_codes(mask, size, target)
    area = cv2.INTER_AREA  # in bytes: `squeeze_codes`, in floats, divides some halves otherwise (from 384 to 160, say)
    cover = cv2.resize(np.multiply(mask, 255, dtype=np.uint8), (size, size), interpolation=area)
    return cv2.resize(image, (size, size), interpolation=area).astype(np.uint8), (cover >= 128).astype(np.uint8)


class Batches:
    """The batches of one epoch after another; iterate once an epoch, after `epoch` and `size` were set.

    The order of an epoch is a permutation drawn from seed and epoch. The last, smaller batch is left out, since batch
    norm over one image is undefined; a set smaller than one batch is one batch.
    """

    def __init__(self, ids: Sequence[str], batch_size: int, seed: int) -> None:
        self.ids = sorted(ids)
        self.batch_size = min(batch_size, len(self.ids))
        self.seed = seed
        self.epoch = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self.ids) // self.batch_size

    def __iter__(self) -> Iterator[list[Draw]]:
        digest = hashlib.sha256(f"order/{self.seed}/{self.epoch}".encode()).digest()
        order = np.random.default_rng(int.from_bytes(digest[:8], "little")).permutation(len(self.ids))
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield [Draw(self.epoch, self.size, self.ids[i]) for i in order[start : start + self.batch_size]]


def loader(
    images: Arrays,
    batches: Batches,
    recipe: Mapping[str, Any],
    *,
    workers: int,
    pin: bool,
    labels: Labels = NO_LABELS,
    also: Collection[str] = (),
) -> DataLoader[Batch]:
    """Loads batches, with any number of worker processes; `also` names what is wanted beside image and mask."""
    dataset = TrainingImages(images, recipe, batches.seed, labels, also)
    return DataLoader(
        dataset,
        batch_sampler=batches,  # pyright: ignore[reportArgumentType]  draws are our indices
        num_workers=workers,
        pin_memory=pin,
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # its own: else it draws from the global one, more or less often by workers
    )


def to_input(images_bhwc: Tensor, device: torch.device) -> Tensor:
    """Normalised float images (B, C, H, W), channels last in memory, of uint8 images (B, H, W, C).

    RGB as pretrained encoders expect it; other numbers of channels all by the mean of what these have.
    """
    mean, deviation = _normalisation(device, images_bhwc.shape[3])
    return (images_bhwc.to(device, non_blocking=True).permute(0, 3, 1, 2).float() - mean) / deviation


def normalisation(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel of images from 0 to 1 that `to_input` normalises by."""
    if channels == 3:
        return MEAN, DEVIATION
    return (sum(MEAN) / 3,) * channels, (sum(DEVIATION) / 3,) * channels


@cache
def _normalisation(device: torch.device, channels: int) -> tuple[Tensor, Tensor]:
    """Kept, because a GPU would be waited for while they are copied to it."""
    means, deviations = normalisation(channels)
    with torch.inference_mode(False):  # whoever asks first
        mean = torch.tensor(means, device=device).view(1, channels, 1, 1) * 255
        return mean, torch.tensor(deviations, device=device).view(1, channels, 1, 1) * 255
