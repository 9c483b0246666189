"""Artifacts for training images that stay on the device: several paintings of each image, made before they are needed.

Shapes: N = images of the training, V = paintings of each, B = batch, H, W = height and width.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ...datasets.augment import PAINTED_SHARE, Picture, drawn_artifact, painted

VERSIONS = 8  # V; over 300 epochs an image is seen some 150 times with an artifact, each painting nearly 20 times


class PaintedAhead:
    """Paintings of images at one size, kept on their device. Kinds and severities are drawn for each as `Augmentation`
    draws them for each image that it paints, and whether an image is shown painted is drawn anew in every batch.

    Args:
        images: (N, H, W, 3) uint8, on the device.
        ids: of the images.
        kinds: of artifacts, all equally likely.
        seed: of the training.
        keeps_where: whether it is asked where artifacts lie.
    """

    def __init__(
        self, images: Tensor, ids: Sequence[str], kinds: Sequence[str], seed: int, *, keeps_where: bool
    ) -> None:
        self.versions = images.new_empty((VERSIONS, *images.shape))
        self.where = images.new_empty((VERSIONS, *images.shape[:3])) if keeps_where else None
        clean = images.cpu().numpy()

        def paint(version: int, row: int) -> tuple[Picture, Picture]:
            name = f"{seed}/ahead/{version}/{ids[row]}"
            kind, severity, _ = drawn_artifact(kinds, name)
            return painted(clean[row], kind, severity, name)

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # painting lets go of Python's lock, now and then
            for version in range(VERSIONS):
                pictures, places = zip(*pool.map(partial(paint, version), range(len(clean))), strict=True)
                self.versions[version] = torch.from_numpy(np.stack(pictures))
                if self.where is not None:
                    self.where[version] = torch.from_numpy(np.stack(places))

    def over(self, images: Tensor, rows: Tensor, *key: object) -> tuple[Tensor, Tensor | None]:
        """Images (B, H, W, 3), half of them in one of their paintings, and (B, H, W) where an artifact lies, if that is
        kept; equal keys, say (seed, epoch, batch), choose alike.

        Args:
            images: (B, H, W, 3), clean.
            rows: (B,) their places among all, on the device.
            key: see above.
        """
        rng = np.random.default_rng(list(hashlib.sha256("/".join(map(str, ("ahead", *key))).encode()).digest()))
        drawn = torch.from_numpy(
            np.stack([rng.random(len(rows)) < PAINTED_SHARE, rng.integers(VERSIONS, size=len(rows))])
        )
        drawn = drawn.pin_memory() if images.is_cuda else drawn
        is_painted, version = drawn.to(images.device, non_blocking=True)
        is_painted = is_painted.bool()
        shown = torch.where(is_painted.view(-1, 1, 1, 1), self.versions[version, rows], images)
        if self.where is None:
            return shown, None
        return shown, self.where[version, rows] * is_painted.view(-1, 1, 1)


def bytes_a_pixel(kinds: Sequence[str] | None, *, keeps_where: bool) -> int:
    """Of the paintings of an image."""
    return VERSIONS * (3 + keeps_where) if kinds else 0
