"""Random changes of training images, artifacts and albumentations', as a pure function of image, mask and a key."""

import hashlib
import os
import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks the network for a newer version
import albumentations as A

from .artifacts import LOCAL, SEVERITIES, paint

cv2.setNumThreads(0)  # images are small: OpenCV's own threads cost more than they give
PAINTED_SHARE = 0.5  # of the images, where a recipe has artifacts
KINDS = {"artifact": "mask", "clean": "image"}  # what albumentations is to take further pictures for

Picture = NDArray[np.uint8]


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
        also: what is wanted beside image and mask: "artifact" and "clean", see `__call__`.
    """

    def __init__(self, recipe: Mapping[str, Any], size: int, channels: int = 3, also: Collection[str] = ()) -> None:
        self._artifacts = recipe.get("artifacts")
        self._also = also
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
            ],
            additional_targets={name: KINDS[name] for name in also},
        )

    def __call__(self, image: Picture, mask: Picture, *key: object) -> dict[str, Picture]:
        """The changed `image` (H, W, C) and `mask` (H, W) of the same codes; on request also `artifact` (H, W), 1 where
        one was painted over a part of the image, and `clean` (H, W, C), the image under the same changes without it.
        Equal keys, say (seed, epoch, image id), change alike."""
        name = "/".join(map(str, key))
        digest = hashlib.sha256(name.encode()).digest()
        pictures = {"image": image, "mask": mask}
        if "clean" in self._also:
            pictures["clean"] = image
        if "artifact" in self._also:
            pictures["artifact"] = np.zeros_like(mask)
        if self._artifacts:
            kind, severity, gets_one = drawn_artifact(self._artifacts, name)
            if gets_one:
                pictures["image"], where = painted(image, kind, severity, name)
                if "artifact" in self._also:
                    pictures["artifact"] = where
        seed = int.from_bytes(digest[:8], "little")
        # One generator for all: set_random_seed would give each transform the same draws, so that they come together.
        self._compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        changed: dict[str, Picture] = cast(Any, self._compose)(**pictures)
        return changed


def elastic(recipe: Mapping[str, Any], size: int) -> tuple[float, float]:
    """Of an elastic deformation of images of `size` pixels: sigma of the Gaussian that smooths uniform noise in [-1, 1]
    and what to multiply by afterwards, so that displacements have the recipe's standard deviation; both in pixels."""
    sigma = max(1.0, recipe["elastic_sigma"] * size)
    smoothed_deviation = 1 / (2 * np.sqrt(3 * np.pi) * sigma)
    return sigma, recipe["elastic_shift"] * size / smoothed_deviation


def drawn_artifact(kinds: Sequence[str], name: str) -> tuple[str, int, bool]:
    """Kind and severity, all equally likely, of an artifact for what goes by this name, and whether it gets one."""
    rng = np.random.default_rng(list(hashlib.sha256(f"artifact/{name}".encode()).digest()))
    return str(rng.choice(kinds)), int(rng.choice(SEVERITIES)), bool(rng.random() < PAINTED_SHARE)


def painted(image: Picture, kind: str, severity: int, name: str) -> tuple[Picture, Picture]:
    """The image under an artifact, and where that covers it: uint8 (H, W), 1 there, 0 all over of a kind that changes
    all of it."""
    changed, where = paint(image, id=name, kind=kind, severity=severity)
    return changed, (where if kind in LOCAL else np.zeros_like(where)).view(np.uint8)
