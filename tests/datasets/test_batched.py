"""Augmentation of whole batches changes images as albumentations does, one by one or in distribution."""

import itertools
from collections.abc import Callable
from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
import yaml
from albumentations.augmentations.geometric import functional as geometry
from albumentations.augmentations.pixel import functional as pixels
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from torch import Tensor

from medbench.ablations.schema.loading import HERE
from medbench.datasets.augment import Augmentation
from medbench.datasets.batched import (
    BatchedAugmentation,
    Equaliser,
    blurred,
    colour_rounds,
    drawn,
    inverse_affine,
    recoloured,
    warped,
)
from medbench.datasets.synthetic import SyntheticSet

RECIPE: dict[str, Any] = yaml.safe_load((HERE / "defaults.yaml").read_text(encoding="utf-8"))["training"]["augment"]
STEPS = ("flip", "affine", "elastic", "colour", "clahe", "noise", "blur")
QUIET = {**RECIPE, **dict.fromkeys(STEPS, 0.0)}
CPU = torch.device("cpu")
Pictures = NDArray[np.uint8]


def pictures(size: int, count: int) -> tuple[Pictures, Pictures]:
    """Images (count, size, size, 3) and their masks."""
    images = SyntheticSet(images=count, size=size)
    both = [(images.image(id), images.mask(id).astype(np.uint8)) for id in images.ids]
    return np.stack([image for image, _ in both]), np.stack([mask for _, mask in both])


def batched(recipe: dict[str, Any], images: Pictures, masks: Pictures, *key: object) -> tuple[Pictures, Pictures]:
    augment = BatchedAugmentation(recipe, images.shape[1], CPU)
    changed = augment({"image": torch.from_numpy(images), "mask": torch.from_numpy(masks)}, *key)
    return changed["image"].numpy(), changed["mask"].numpy()


def one_by_one(recipe: dict[str, Any], images: Pictures, masks: Pictures, *key: object) -> tuple[Pictures, Pictures]:
    augment = Augmentation(recipe, images.shape[1])
    changed = [augment(image, mask, *key, i) for i, (image, mask) in enumerate(zip(images, masks, strict=True))]
    return np.stack([each["image"] for each in changed]), np.stack([each["mask"] for each in changed])


def floats(images: Pictures) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


def difference(ours: Tensor | Pictures, theirs: Pictures) -> NDArray[np.float64]:
    """Absolute difference in levels; tensors are (N, 3, H, W)."""
    if isinstance(ours, Tensor):
        ours = ours.permute(0, 2, 3, 1).byte().numpy()
    return np.abs(ours.astype(float) - theirs)


def statistics(images: Pictures, masks: Pictures, image: Pictures, mask: Pictures) -> dict[str, NDArray[np.float64]]:
    """What one image and its mask became, in numbers of each result (N,)."""

    def centre(masks: Pictures) -> NDArray[np.float64]:
        along = np.arange(masks.shape[-1])
        area = np.maximum(masks.sum(axis=(-2, -1)), 1)
        return np.stack([masks.sum(-2) @ along / area, masks.sum(-1) @ along / area])

    grey = images.mean(-1)
    edges = grey[:, 1:-1, 1:-1] * 4 - grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1] - grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]
    x, y = centre(masks)
    return {
        "mean": grey.mean(axis=(1, 2)),
        "deviation": images.std(axis=(1, 2, 3)),
        **{name: images[..., i].mean(axis=(1, 2)) for i, name in enumerate(("red", "green", "blue"))},
        "chroma": np.ptp(images.astype(float), axis=-1).mean(axis=(1, 2)),
        "energy of edges": edges.var(axis=(1, 2)),
        "area": masks.mean(axis=(1, 2)),
        "x": x,
        "y": y,
        "displacement": np.hypot(*(np.stack([x, y]) - centre(mask)[:, None])),
        "change": np.abs(images.astype(float) - image).mean(axis=(1, 2, 3)),
        "change of mask": (masks != mask).mean(axis=(1, 2)),
    }


def p_value(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> float:
    """Of the two-sample test of Kolmogorov and Smirnov."""
    result: Any = ks_2samp(ours, theirs, method="asymp")
    return float(result.pvalue)


def p_values(recipe: dict[str, Any], other: dict[str, Any], *, count: int) -> dict[str, float]:
    """For each statistic, of `count` results of one image in batches under `recipe`, one by one under `other`."""
    images, masks = pictures(32, 2)
    image, mask = images[1], masks[1]
    many = np.repeat(image[None], count, axis=0), np.repeat(mask[None], count, axis=0)
    ours = statistics(*batched(recipe, *many, 0), image, mask)
    theirs = statistics(*one_by_one(other, *many, 0), image, mask)
    return {name: p_value(ours[name], theirs[name]) for name in ours}


def test_without_a_chance_nothing_changes() -> None:
    images, masks = pictures(32, 5)

    image, mask = batched(QUIET, images, masks, 0)

    np.testing.assert_array_equal(image, images)
    np.testing.assert_array_equal(mask, masks)


def test_shapes_types_and_values_of_masks_stay() -> None:
    images, masks = pictures(32, 6)
    certain = {**RECIPE, **dict.fromkeys(STEPS, 1.0)}

    given = {"image": torch.from_numpy(images), "mask": torch.from_numpy(masks)}
    image, mask = BatchedAugmentation(certain, 32, CPU)(given, 0).values()

    assert (image.shape, image.dtype) == ((6, 32, 32, 3), torch.uint8)
    assert (mask.shape, mask.dtype) == ((6, 32, 32), torch.uint8)
    assert image.is_contiguous()
    assert set(mask.unique().tolist()) == {0, 1}


def test_inputs_are_left_alone() -> None:
    images, masks = pictures(32, 4)
    before = images.copy(), masks.copy()

    batched({**RECIPE, **dict.fromkeys(STEPS, 1.0)}, images, masks, 0)

    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(masks, before[1])


def test_a_batch_is_a_function_of_its_key() -> None:
    images, masks = pictures(32, 16)
    key = (0, 3, 7)

    first = batched(RECIPE, images, masks, *key)
    torch.manual_seed(1)
    torch.rand(5)
    again = batched(RECIPE, images, masks, *key)

    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_global_random_states_stay() -> None:
    images, masks = pictures(32, 4)
    torch.manual_seed(2)
    expected = torch.rand(3)
    torch.manual_seed(2)

    batched({**RECIPE, **dict.fromkeys(STEPS, 1.0)}, images, masks, 0)

    assert torch.equal(torch.rand(3), expected)


def test_each_part_of_the_key_changes_the_batch() -> None:
    images, masks = pictures(32, 8)

    found = {batched(RECIPE, images, masks, *key)[0].tobytes() for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}

    assert len(found) == 4


def test_the_images_of_a_batch_have_draws_of_their_own() -> None:
    images, masks = pictures(32, 1)
    certain = {**RECIPE, **dict.fromkeys(set(STEPS) - {"flip"}, 1.0)}

    image, _ = batched(certain, images.repeat(12, axis=0), masks.repeat(12, axis=0), 0)

    assert len({each.tobytes() for each in image}) == 12


def test_flips_are_drawn_independently_of_each_other() -> None:
    images, masks = pictures(32, 1)
    image = images[0]
    flips = {"none": image, "left-right": image[:, ::-1], "up-down": image[::-1], "both": image[::-1, ::-1]}

    changed, _ = batched({**QUIET, "flip": 0.5}, images.repeat(400, axis=0), masks.repeat(400, axis=0), 0)

    seen = {name: sum(np.array_equal(each, flipped) for each in changed) for name, flipped in flips.items()}
    assert sum(seen.values()) == 400
    assert all(60 < count < 140 for count in seen.values()), seen


@pytest.mark.parametrize("step", STEPS[1:])
def test_a_step_hits_the_share_of_images_that_the_recipe_says(step: str) -> None:
    images, masks = pictures(32, 1)
    recipe = {**QUIET, step: RECIPE[step], "blur_sigma": [1.0, 1.5]}

    changed, _ = batched(recipe, images.repeat(1000, axis=0), masks.repeat(1000, axis=0), 0)

    share = np.mean([not np.array_equal(each, images[0]) for each in changed])
    assert abs(share - RECIPE[step]) < 4 * np.sqrt(RECIPE[step] * (1 - RECIPE[step]) / 1000)


PINNED: dict[str, dict[str, Any]] = {
    "flip": {"flip": 1.0},
    "larger": {"affine": 1.0, "rotate_degrees": 0, "shift": 0.0, "scale": [1.2, 1.2]},
    "smaller": {"affine": 1.0, "rotate_degrees": 0, "shift": 0.0, "scale": [0.7, 0.7]},
    "clahe": {"clahe": 1.0},  # at this size every clip limit is the same
    "sharp blur": {"blur": 1.0, "blur_sigma": [0.5, 0.5]},
    "wide blur": {"blur": 1.0, "blur_sigma": [1.3, 1.3]},
}


@pytest.mark.parametrize("name", PINNED)
def test_a_step_with_nothing_left_to_draw_gives_the_same_pixels(name: str) -> None:
    images, masks = pictures(64, 6)
    recipe = {**QUIET, **PINNED[name]}

    ours, theirs = batched(recipe, images, masks, 0), one_by_one(recipe, images, masks, 0)

    found = difference(ours[0], theirs[0])
    assert found.max() <= (2 if name == "clahe" else 1)
    assert found.mean() < (0.1 if name == "clahe" else 0.01)
    assert np.mean(ours[1] != theirs[1]) < 0.001


@pytest.mark.parametrize(("degrees", "scale", "shift"), [(33.0, (0.8, 1.2), (5, -3)), (-140.0, (1.1, 0.9), (0, 6))])
def test_rotation_scale_and_shift_compose_as_in_albumentations(degrees: float, scale: Any, shift: Any) -> None:
    images, masks = pictures(48, 2)
    theirs = A.Affine(
        rotate=(degrees, degrees),
        scale={"x": (scale[0], scale[0]), "y": (scale[1], scale[1])},
        translate_px={"x": (shift[0], shift[0]), "y": (shift[1], shift[1])},
        border_mode=cv2.BORDER_REFLECT_101,
        p=1,
    )(image=images[1], mask=masks[1])

    inverse = inverse_affine(np.array([degrees]), np.array([scale]), np.array([shift]), 48)
    grid = torch.nn.functional.affine_grid(torch.from_numpy(inverse).float(), [1, 4, 48, 48], align_corners=True)
    ours = warped(torch.cat([floats(images[1:]), torch.from_numpy(masks[1:, None]).float()], 1), grid)

    assert difference(ours[:, :3], theirs["image"][None]).mean() < 0.01
    assert np.mean(ours[0, 3].numpy() != theirs["mask"]) < 0.001


def test_the_same_noise_displaces_elastically_as_in_albumentations() -> None:
    size = 40
    images, masks = pictures(size, 2)
    noise = torch.rand(1, 2, size, size, generator=torch.Generator().manual_seed(3)) * 2 - 1

    class Noise(np.random.Generator):
        def __init__(self) -> None:
            super().__init__(np.random.PCG64())

        def uniform(self, low: Any = 0, high: Any = 1, size: Any = None) -> Any:
            return noise.numpy().reshape(size)

    sigma, generator = RECIPE["elastic_sigma"] * size, Noise()
    alpha = RECIPE["elastic_shift"] * size * 2 * np.sqrt(3 * np.pi) * sigma
    moves = geometry.generate_displacement_fields((size, size), alpha, sigma, False, (0, 0), generator, "uniform")
    x, y = np.meshgrid(np.arange(size), np.arange(size)) + np.stack(moves)
    remapped = geometry.remap(images[1], x, y, cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101, 0)

    grid = BatchedAugmentation(RECIPE, size, CPU).elastic_grid(1, torch.Generator().manual_seed(3))
    ours = warped(torch.cat([floats(images[1:]), torch.from_numpy(masks[1:, None]).float()], 1), grid)

    np.testing.assert_allclose((grid[0].numpy() + 1) * (size - 1) / 2, np.stack([x, y], axis=-1), atol=1e-4)
    assert difference(ours[:, :3], remapped[None]).mean() < 0.01


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::3])
def test_colour_changes_in_every_order_as_in_albumentations(order: tuple[int, ...]) -> None:
    images, _ = pictures(64, 3)
    (brightness, contrast, saturation), hue = (1.17, 0.83, 1.31), 0.0173
    theirs = [A.ColorJitter().apply(each, brightness, contrast, saturation, hue, list(order)) for each in images]

    factors, places = np.array([brightness, contrast, saturation]), np.argsort(order)
    rounds = torch.from_numpy(colour_rounds(factors[:, None].repeat(3, 1), places[:, None].repeat(3, 1))).float()
    ours = recoloured(floats(images), rounds, torch.full((3,), hue))

    assert difference(ours, np.stack(theirs)).mean() < 0.1


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (0, pixels.adjust_brightness_torchvision),
        (1, pixels.adjust_contrast_torchvision),
        (2, pixels.adjust_saturation_torchvision),
        (3, pixels.adjust_hue_torchvision),
    ],
)
@pytest.mark.parametrize("amount", [-0.177, -0.019, 0.0, 0.019, 0.177])
def test_a_change_of_one_kind_gives_the_same_pixels(kind: int, change: Callable[..., Any], amount: float) -> None:
    images, _ = pictures(64, 3)
    factors = np.ones((3, 3))
    factors[kind : kind + 1] += amount
    theirs = np.stack([change(each, amount if kind == 3 else 1 + amount) for each in images])

    rounds = torch.from_numpy(colour_rounds(factors, np.arange(4)[:, None].repeat(3, 1))).float()
    ours = recoloured(floats(images), rounds, torch.full((3,), amount if kind == 3 else 0.0))

    found = difference(ours, theirs)
    assert found.max() <= 1
    assert found.mean() < (0.02 if kind == 3 else 0.01)  # a few pixels lie half-way between two levels


def test_each_image_of_a_batch_gets_its_own_parameters() -> None:
    images, _ = pictures(128, 4)
    sigma, clip_limit = np.array([0.2, 0.5, 1.0, 1.5]), np.array([1.0, 2.5, 3.0, 3.9])
    of_blur = [
        A.GaussianBlur(sigma_limit=(s, s), p=1)(image=image)["image"] for image, s in zip(images, sigma, strict=True)
    ]
    of_clahe = [pixels.clahe(each, limit, (8, 8)) for each, limit in zip(images, clip_limit, strict=True)]

    soft = blurred(floats(images), torch.from_numpy(sigma).float(), 5)
    equal = Equaliser(128, CPU)(floats(images), torch.from_numpy(clip_limit).float())

    assert difference(soft, np.stack(of_blur)).mean() < 0.001
    assert difference(equal, np.stack(of_clahe)).mean() < 0.1


def test_lightness_of_sizes_that_tiles_do_not_divide_is_equalised_alike() -> None:
    images, _ = pictures(45, 3)

    ours = Equaliser(45, CPU)(floats(images), torch.full((3,), 2.5))

    assert difference(ours, np.stack([pixels.clahe(each, 2.5, (8, 8)) for each in images])).mean() < 0.2


def test_steps_hit_images_independently_of_each_other() -> None:
    draws = drawn(RECIPE, 32, np.random.default_rng(0), 4000)

    steps = ("left_right", "up_down", *STEPS[1:])
    hits = np.stack([np.isin(np.arange(4000), draws[step]) for step in steps])

    together = np.corrcoef(hits) - np.eye(len(steps))
    assert np.abs(together).max() < 4 / np.sqrt(4000)


def test_clip_limits_are_drawn_as_in_albumentations() -> None:
    ours = drawn({**RECIPE, "clahe": 1.0}, 32, np.random.default_rng(0), 2000)["clip_limit"]
    transform = A.CLAHE()
    transform.set_random_seed(0)

    theirs = np.array([transform.get_params()["clip_limit"] for _ in range(2000)])

    assert p_value(ours, theirs) > 0.001


def test_all_orders_of_colour_changes_are_equally_likely() -> None:
    factor, of_mean, of_grey, _ = drawn({**RECIPE, "colour": 1.0}, 32, np.random.default_rng(0), 2400)[
        "rounds"
    ].swapaxes(0, 1)

    kinds = np.select([of_mean != 0, of_grey != 0, factor != 1], [2, 3, 1], 0)
    counts = np.unique(kinds, axis=1, return_counts=True)[1]

    assert len(counts) == 24
    assert 60 < counts.min() < counts.max() < 140


ALONE: dict[str, dict[str, Any]] = {step: {**QUIET, step: 1.0} for step in STEPS if step != "clahe"}
RECIPES: dict[str, dict[str, Any]] = ALONE | {
    "flip": {**QUIET, "flip": 0.5},
    "affine and elastic": {**QUIET, "affine": 1.0, "elastic": 1.0},
    "all of the recipe": RECIPE,
}


@pytest.mark.parametrize("name", RECIPES)
def test_results_are_distributed_as_those_of_albumentations(name: str) -> None:
    found = p_values(RECIPES[name], RECIPES[name], count=1500)

    assert min(found.values()) > 0.001, found


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        (RECIPE, {"affine": 0.5}),
        ({**QUIET, "colour": 0.5}, {"colour": 0.7}),
        (ALONE["affine"], {"scale": [0.82, 1.22]}),
        (ALONE["affine"], {"shift": 0.08}),
        (ALONE["elastic"], {"elastic_shift": 0.0105}),
        (ALONE["colour"], {"brightness": 0.25}),
        (ALONE["colour"], {"hue": 0.05}),
        (ALONE["noise"], {"noise_deviation": [0.01, 0.055]}),
        (ALONE["blur"], {"blur_sigma": [0.3, 1.65]}),
    ],
)
def test_the_comparison_of_distributions_tells_recipes_apart(recipe: dict[str, Any], changes: dict[str, Any]) -> None:
    found = p_values({**recipe, **changes}, recipe, count=1500)

    assert min(found.values()) < 0.001, found


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_never_waited_for_and_gives_the_same_images_but_for_noise() -> None:
    images, masks = (torch.from_numpy(each) for each in pictures(64, 16))
    recipe = {**RECIPE, **dict.fromkeys(STEPS, 1.0), "elastic": 0.0, "noise": 0.0}
    expected = BatchedAugmentation(recipe, 64, CPU)({"image": images, "mask": masks}, 0)
    gpu = torch.device("cuda")
    augment = BatchedAugmentation(recipe, 64, gpu)
    everything = BatchedAugmentation({**recipe, "elastic": 1.0, "noise": 1.0}, 64, gpu)
    given = {"image": images.to(gpu), "mask": masks.to(gpu)}
    everything(given, 0)  # the first call loads kernels

    torch.cuda.set_sync_debug_mode("error")
    try:
        everything(given, 1)
        found = augment(given, 0)
    finally:
        torch.cuda.set_sync_debug_mode("default")

    assert (found["image"].cpu().float() - expected["image"].float()).abs().mean() < 0.2
    assert (found["mask"].cpu() != expected["mask"]).float().mean() < 0.001
