"""Random changes of training images, artifacts and albumentations', as a pure function of image, mask and a key."""

import hashlib
import os
import random
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks the network for a newer version
import albumentations as A

from .artifacts import SEVERITIES, paint

cv2.setNumThreads(0)  # images are small: OpenCV's own threads cost more than they give
PAINTED_SHARE = 0.5  # of the images, where a recipe has artifacts


class Augmentation:
    """Artifacts, flips, affine and elastic changes, colour, CLAHE, noise and blur, in this order.

    albumentations keeps its random state between calls, and data loader workers start every epoch with the same
    state; here each call sets it from the key, so neither the order of calls nor the number of workers matters.

    Args:
        recipe: probabilities and ranges by the names of ablations/schema/defaults.yaml; with `artifacts`, a list of
            kinds, half of the images get one of them at one of the five severities, all equally likely.
        size: pixels a side of the images to come; lengths given as a share of the side need it.
        channels: of the images to come. One has no hue and no saturation to change; more than three have no colours:
            of these brightness and contrast alone, and no CLAHE.
    """

    def __init__(self, recipe: Mapping[str, Any], size: int, channels: int = 3) -> None:
        self._artifacts = recipe.get("artifacts")
        mirrored = cv2.BORDER_REFLECT_101
        sigma, strength = elastic(recipe, size)
        colour: list[A.BasicTransform] = [
            A.ColorJitter(
                brightness=recipe["brightness"],
                contrast=recipe["contrast"],
                saturation=recipe["saturation"],
                hue=recipe["hue"],
                p=recipe["colour"],
            ),
            A.CLAHE(p=recipe["clahe"]),
        ]
        if channels not in (1, 3):
            limits = recipe["brightness"], recipe["contrast"]
            colour = [A.RandomBrightnessContrast(*limits, p=recipe["colour"])]
        self._compose = A.Compose(
            [
                A.HorizontalFlip(p=recipe["flip"]),
                A.VerticalFlip(p=recipe.get("vertical_flip", recipe["flip"])),
                A.Affine(
                    rotate=(-recipe["rotate_degrees"], recipe["rotate_degrees"]),
                    scale=tuple(recipe["scale"]),
                    translate_percent=(-recipe["shift"], recipe["shift"]),
                    balanced_scale=False,
                    p=recipe["affine"],
                    border_mode=mirrored,
                ),
                A.ElasticTransform(
                    alpha=strength,
                    noise_distribution="uniform",  # its Gaussian noise is scaled by its own largest value
                    sigma=sigma,
                    p=recipe["elastic"],
                    border_mode=mirrored,
                ),
                *colour,
                A.GaussNoise(std_range=tuple(recipe["noise_deviation"]), p=recipe["noise"]),
                A.GaussianBlur(sigma_limit=tuple(recipe["blur_sigma"]), p=recipe["blur"]),
            ]
        )

    def __call__(
        self, image: NDArray[np.uint8], mask: NDArray[np.uint8], *key: object
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The changed image (H, W, C) and mask (H, W) of the same codes; equal keys, say (seed, epoch, image id),
        change alike."""
        name = "/".join(map(str, key))
        digest = hashlib.sha256(name.encode()).digest()
        if self._artifacts:
            image = _painted(image, self._artifacts, name)
        seed = int.from_bytes(digest[:8], "little")
        # One generator for all: set_random_seed would give each transform the same draws, so that they come together.
        self._compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        changed = self._compose(image=image, mask=mask)
        return changed["image"], changed["mask"]


def elastic(recipe: Mapping[str, Any], size: int) -> tuple[float, float]:
    """Of an elastic deformation of images of `size` pixels: sigma of the Gaussian that smooths uniform noise in [-1, 1]
    and what to multiply by afterwards, so that displacements have the recipe's standard deviation; both in pixels."""
    sigma = max(1.0, recipe["elastic_sigma"] * size)
    smoothed_deviation = 1 / (2 * np.sqrt(3 * np.pi) * sigma)
    return sigma, recipe["elastic_shift"] * size / smoothed_deviation


def _painted(image: NDArray[np.uint8], kinds: Sequence[str], name: str) -> NDArray[np.uint8]:
    rng = np.random.default_rng(list(hashlib.sha256(f"artifact/{name}".encode()).digest()))
    kind, severity = rng.choice(kinds), rng.choice(SEVERITIES)
    return paint(image, id=name, kind=kind, severity=severity)[0] if rng.random() < PAINTED_SHARE else image
