"""Training images that stay on the device: kept there as uint8, resized and augmented there, a batch at a time.

Shapes: B = batch, N = images of the training, H, W = height and width.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ...datasets.batched import BatchedAugmentation
from ...datasets.cache import Arrays
from ...datasets.resizing import codes_of
from ..metrics import LESION, Target
from .batches import Batch, Batches
from .labels import NO_LABELS, Labels
from .painting_ahead import PaintedAhead, bytes_a_pixel

CHUNK = 256  # images that are shrunk at once
SHARE = 0.25  # of the free memory, at most, for the images of one training


class OnDevice:
    """The batches of one epoch after another, as `loader` gives them but for other draws of the same distribution.

    Args:
        images: of the set, on the CPU.
        batches: which images come together; it holds seed, epoch and size.
        recipe: the augmentation's.
        device: where images are kept, and the batches are made.
        labels: what is known of images as a whole.
        also: what is wanted beside image and mask, of "artifact" and "clean".
    """

    def __init__(
        self,
        images: Arrays,
        batches: Batches,
        recipe: Mapping[str, Any],
        device: torch.device,
        labels: Labels = NO_LABELS,
        also: Collection[str] = (),
    ) -> None:
        rows = [images.row[id] for id in batches.ids]
        self.images = torch.from_numpy(images.images[rows]).to(device)  # (N, H, W, 3)
        self.masks = torch.from_numpy(images.masks[rows]).to(device)  # (N, H, W)
        self.classes = labels.of(batches.ids).to(device) if labels else None  # (N, T)
        self.target = images.target
        self.position = {id: i for i, id in enumerate(batches.ids)}
        self.batches = batches
        self.recipe = recipe
        self.device = device
        self.also = also
        self._at_size: tuple[int, BatchedAugmentation, Tensor, PaintedAhead | None] | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Batches on the device, at `batches.size`."""
        batches = self.batches
        if self._at_size is None or self._at_size[0] != batches.size:
            self._at_size = None  # lets go of the paintings of the last size
            augment = BatchedAugmentation(self.recipe, batches.size, self.device)
            shrink = area_matrix(self.images.shape[1], batches.size).to(self.device)
            self._at_size = batches.size, augment, shrink, self._painted(shrink)
        _, augment, shrink, ahead = self._at_size
        for number, draws in enumerate(batches):
            rows = torch.tensor([self.position[draw.image] for draw in draws])
            rows = rows.pin_memory() if self.device.type == "cuda" else rows
            rows = rows.to(self.device, non_blocking=True)
            key = batches.seed, batches.epoch, number
            image, mask = shrunk(self.images[rows], self.masks[rows], shrink, self.target)
            pictures = {"image": image, "mask": mask}
            if "clean" in self.also:
                pictures["clean"] = image
            if "artifact" in self.also:
                pictures["artifact"] = torch.zeros_like(mask)
            if ahead:
                pictures["image"], where = ahead.over(image, rows, *key)
                pictures |= {} if where is None else {"artifact": where}
            changed = augment(pictures, *key)
            yield changed if self.classes is None else changed | {"classes": self.classes[rows]}

    def _painted(self, shrink: Tensor) -> PaintedAhead | None:
        kinds = self.recipe.get("artifacts")
        if not kinds:
            return None
        pairs = zip(self.images.split(CHUNK), self.masks.split(CHUNK), strict=True)
        images = torch.cat([shrunk(*pair, shrink, self.target)[0] for pair in pairs])
        ids, keeps_where = self.batches.ids, "artifact" in self.also
        return PaintedAhead(images, ids, kinds, self.batches.seed, keeps_where=keeps_where)


def fits(
    images: Arrays, count: int, device: torch.device, recipe: Mapping[str, Any], also: Collection[str] = ()
) -> bool:
    """Whether so many images, with their paintings, leave the device enough memory for the training itself."""
    size, kinds = images.images.shape[1], recipe.get("artifacts")
    needed = 4 + bytes_a_pixel(kinds, keeps_where="artifact" in also)
    return count * size * size * needed <= SHARE * torch.cuda.mem_get_info(device)[0]


def area_matrix(before: int, after: int) -> Tensor:
    """Weights (after, before), float32, of the mean over areas that OpenCV takes along one side."""
    if before == after:
        return torch.eye(before)
    return torch.from_numpy(cv2.resize(np.eye(before, dtype=np.float32), (before, after), interpolation=cv2.INTER_AREA))


def shrunk(images: Tensor, masks: Tensor, weights: Tensor, target: Target = LESION) -> tuple[Tensor, Tensor]:
    """Both at another size: areas averaged, masks by what covers most, as `batches.resized` does it."""
    if weights.shape[0] == weights.shape[1]:
        return images, masks
    image = (weights @ images.permute(0, 3, 1, 2).float() @ weights.T).round()
    image = image.permute(0, 2, 3, 1).byte()
    if target.overlap:
        bits = [(weights @ (masks >> i & 1).float() @ weights.T >= 0.5).byte() << i for i in range(len(target.names))]
        return image, torch.stack(bits).sum(dim=0).byte()
    if target.is_single and not target.ignores:
        return image, ((weights @ (masks * 255.0) @ weights.T).round() >= 128).byte()
    codes = torch.from_numpy(codes_of(target)).to(masks.device)
    shares = torch.stack([weights @ (masks == code).float() @ weights.T for code in codes])
    return image, codes[shares.argmax(dim=0)]
