"""The random changes of augment.py for whole batches on a device: the same distribution, other draws.

Each step does what albumentations does with the same parameters, down to its roundings. Plain torch, not kornia, whose
CLAHE blends its tiles half a pixel off OpenCV's, whose Lab makes the CPU wait for the GPU at every call, and whose HSV
leaves out the roundings in between.

Shapes: B = batch, N = those of its images that a step changes, H = W = size. Between steps, pixels are whole floats.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional as F

from .augment import elastic

Floats = NDArray[np.floating]
STEPS = ("left_right", "up_down", "affine", "elastic", "colour", "clahe", "noise", "blur")
GREY = (9798 / 2**15, 19235 / 2**15, 3735 / 2**15)  # of red, green and blue, in OpenCV's precision
IMAGES, MASKS = ("image", "clean"), ("mask", "artifact")  # of what is changed, in this order
TILES = 8  # of CLAHE, a side
TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
TO_XYZ /= TO_XYZ.sum(axis=1, keepdims=True)  # white is 1, 1, 1


class BatchedAugmentation:
    """Flips, affine and elastic changes, colour, CLAHE, noise and blur, in this order, as `Augmentation` does them.

    Args:
        recipe: probabilities and ranges by the names of ablations/schema/defaults.yaml. Artifacts, if it names any, are
            on the images already: see `painted_ahead`.
        size: pixels a side of the images to come.
        device: where they lie.
    """

    def __init__(self, recipe: Mapping[str, Any], size: int, device: torch.device) -> None:
        self._recipe, self._size, self._device = recipe, size, device
        axis = torch.linspace(-1, 1, size, device=device)
        self._grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)  # (H, W, 2), first x, then y
        sigma, strength = elastic(recipe, size)
        self._strength = strength * 2 / (size - 1)
        # albumentations blurs both displacements as one picture, x above y, so that they mix where they meet.
        blur = partial(cv2.GaussianBlur, ksize=(1, 0), sigmaX=sigma, borderType=cv2.BORDER_REPLICATE)
        self._smooth_down = torch.from_numpy(blur(np.eye(2 * size, dtype=np.float32))).to(device)
        self._smooth_across = torch.from_numpy(blur(np.eye(size, dtype=np.float32))).to(device)
        self._equalise = Equaliser(size, device)

    def __call__(self, pictures: Mapping[str, Tensor], *key: object) -> dict[str, Tensor]:
        """What `Augmentation` gives of each image, for all of a batch: `image` (B, H, W, 3) and `mask` (B, H, W), where
        they are given also `clean` and `artifact`; all are uint8 and on the device.

        A pure function of pictures and key, say (seed, epoch, batch), on one kind of device.
        """
        seed = int.from_bytes(hashlib.sha256("/".join(map(str, key)).encode()).digest()[:8], "little")
        generator = Generator(self._device).manual_seed(seed)
        draws = self._sent(drawn(self._recipe, self._size, np.random.default_rng(seed), len(pictures["image"])))

        def change(batch: Tensor, name: str, step: Callable[[Tensor], Tensor]) -> None:
            rows = draws[name].long()
            if len(rows):
                batch.index_copy_(0, rows, step(batch.index_select(0, rows)))

        images, masks = ([name for name in names if name in pictures] for names in (IMAGES, MASKS))
        planes = [pictures[name].permute(0, 3, 1, 2) for name in images]
        all_ = torch.cat([*planes, *(pictures[name].unsqueeze(1) for name in masks)], dim=1).float()
        warp = partial(warped, n_masks=len(masks))
        change(all_, "left_right", lambda x: x.flip(3))
        change(all_, "up_down", lambda x: x.flip(2))
        change(all_, "affine", lambda x: warp(x, F.affine_grid(draws["inverse"], list(x.shape), align_corners=True)))
        change(all_, "elastic", lambda x: warp(x, self.elastic_grid(len(x), generator)))
        found: dict[str, Tensor] = {}
        state = generator.get_state()
        for name, image in zip(images, all_.split(3, dim=1), strict=False):
            generator.set_state(state)  # with and without an artifact, one noise
            change(image, "colour", lambda x: recoloured(x, draws["rounds"], draws["hue"]))
            change(image, "clahe", lambda x: self._equalise(x, draws["clip_limit"]))
            change(image, "noise", lambda x: noisy(x, draws["deviation"], generator))
            change(image, "blur", lambda x: blurred(x, draws["sigma"], int(self._recipe["blur_sigma"][1] * 3.5)))
            found[name] = image.permute(0, 2, 3, 1).to(torch.uint8, memory_format=torch.contiguous_format)
        return found | {name: all_[:, place].byte() for place, name in enumerate(masks, start=3 * len(images))}

    def elastic_grid(self, n: int, generator: Generator) -> Tensor:
        """Places (n, H, W, 2) in the original, corners at -1 and 1, that were moved smoothly and at random."""
        noise = torch.rand(n, 2 * self._size, self._size, generator=generator, device=self._device) * 2 - 1
        moved = self._smooth_down @ noise @ self._smooth_across.T * self._strength
        return self._grid + moved.view(n, 2, self._size, self._size).permute(0, 2, 3, 1)

    def _sent(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
        """All as floats on the device, in one transfer that the CPU does not wait for."""
        flat = torch.from_numpy(np.concatenate([each.ravel() for each in arrays.values()]).astype(np.float32))
        flat = flat.pin_memory() if self._device.type == "cuda" else flat
        parts = flat.to(self._device, non_blocking=True).split([each.size for each in arrays.values()])
        return {name: part.view(each.shape) for (name, each), part in zip(arrays.items(), parts, strict=True)}


def drawn(recipe: Mapping[str, Any], size: int, rng: np.random.Generator, count: int) -> dict[str, NDArray[Any]]:
    """For each step the rows (N,), out of `count`, of the images that it changes, and its parameters for these."""
    # On the CPU, so that a step can be computed for its images alone without asking the GPU how many they are.
    chances = {"left_right": recipe["flip"], "up_down": recipe.get("vertical_flip", recipe["flip"]), **recipe}
    rows = {step: np.flatnonzero(rng.random(count) < chances[step]) for step in STEPS}

    def between(span: Sequence[float], step: str, *more: int) -> Floats:
        return rng.uniform(span[0], span[1], (len(rows[step]), *more))

    turn, shift, hue = recipe["rotate_degrees"], recipe["shift"], recipe["hue"]
    spans = [recipe[name] for name in ("brightness", "contrast", "saturation")]
    factors = np.array([between((max(1 - span, 0), 1 + span), "colour") for span in spans])
    places = rng.permuted(np.tile(np.arange(4)[:, None], len(rows["colour"])), axis=0)
    pixels = np.trunc(between((-shift, shift), "affine", 2) * size)
    inverse = inverse_affine(between((-turn, turn), "affine"), between(recipe["scale"], "affine", 2), pixels, size)
    return rows | {
        "inverse": inverse,
        "rounds": colour_rounds(factors, places),
        "hue": between((-hue, hue), "colour"),
        "clip_limit": between((1, 4), "clahe"),  # as A.CLAHE draws it by default
        "deviation": between(recipe["noise_deviation"], "noise") * 255,
        "sigma": between(recipe["blur_sigma"], "blur"),
    }


def inverse_affine(degrees: Floats, scale: Floats, shift: Floats, size: int) -> Floats:
    """Matrices (N, 2, 3) from places in the changed image to places in the original, their corners at -1 and 1.

    The original is scaled (N, 2; x and y), then rotated (N,), both about its centre, then shifted by pixels (N, 2).
    """
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    linear = np.stack([cos, -sin, sin, cos], axis=1).reshape(-1, 2, 2) / scale[:, :, None]
    return np.concatenate([linear, -linear @ shift[:, :, None] * 2 / (size - 1)], axis=2)


def warped(planes: Tensor, grid: Tensor, n_masks: int = 1) -> Tensor:
    """Planes (N, P, H, W), the last of them of masks, looked up at a grid (N, H, W, 2), mirrored outside: linearly,
    masks nearest."""
    images, masks = planes.tensor_split([planes.shape[1] - n_masks], dim=1)
    images = F.grid_sample(images, grid, "bilinear", "reflection", align_corners=True).round()
    return torch.cat([images, F.grid_sample(masks, grid, "nearest", "reflection", align_corners=True)], dim=1)


def colour_rounds(factors: Floats, places: NDArray[np.integer]) -> Floats:
    """Six rounds of `blended`, three before hue and three after: (6, 4, N) of shares of pixel, mean grey, own grey, 1.

    albumentations draws the order of brightness, contrast, saturation (`factors` (3, N)) and hue for each image, here
    as `places` (4, N) from 0. In a round that its order has no use for, an image rests.
    """
    images = np.arange(factors.shape[1])
    rounds = np.zeros((6, 4, len(images)))
    rounds[:, 0] = 1
    for kind, factor in enumerate(factors):
        at = places[kind] + 2 * (places[kind] > places[3])
        rounds[at, kind, images] = 1 - factor
        rounds[at, 0, images] = factor
        rounds[at, 3, images] = 0.5 * (kind == 2)  # only saturation is rounded to the nearest level, the others down
    return rounds


def recoloured(images: Tensor, rounds: Tensor, hue: Tensor) -> Tensor:
    """Images (N, 3, H, W) after `colour_rounds` (6, 4, N) and, half-way, a change of hue (N,)."""
    for index, shares in enumerate(rounds[..., None, None, None]):
        images = blended(hue_turned(images, hue) if index == 3 else images, shares)
    return images


def blended(images: Tensor, shares: Tensor) -> Tensor:
    """Shares (4, N, 1, 1, 1) of images (N, 3, H, W), of their mean grey and of each pixel's grey, and a constant."""
    of_pixel, of_mean, of_grey, constant = shares
    red, green, blue = images.split(1, dim=1)
    grey = (GREY[0] * red + GREY[1] * green + GREY[2] * blue + 0.5).floor_()
    rest = torch.addcmul(constant + of_mean * grey.mean(dim=(2, 3), keepdim=True), of_grey, grey)
    return torch.addcmul(rest, images, of_pixel).floor_().clamp_(0, 255)


def hue_turned(images: Tensor, share: Tensor) -> Tensor:
    """Images (N, 3, H, W), their hue turned by a share (N,) of the circle, in OpenCV's 180 hues."""
    red, green, blue = images.split(1, dim=1)
    value, share = images.amax(1, keepdim=True), share.view(-1, 1, 1, 1)
    chroma = value - images.amin(1, keepdim=True)
    along = torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma)
    along = torch.where(value == red, green - blue, along)
    # OpenCV divides by tables of 12-bit fractions, and on the way back rounds down where it takes 32 pixels at once.
    hue = (along * (122880 / chroma.clamp(min=1)).round() / 4096 + 0.5).floor()
    saturation = (chroma * (1044480 / value.clamp(min=1)).round() / 4096 + 0.5).floor()
    sector = torch.remainder(hue + 180 * share, 180).floor() / 30
    sectors = torch.cat([torch.remainder(sector + start, 6) for start in (5, 3, 1)], dim=1)
    missing = torch.minimum(sectors, 4 - sectors).clamp(0, 1)
    return torch.where(share == 0, images, (value - value * saturation / 255 * missing).floor())


def noisy(images: Tensor, deviation: Tensor, generator: Generator) -> Tensor:
    """Images (N, 3, H, W) with Gaussian noise of a standard deviation (N,) in levels, cut to whole levels."""
    noise = torch.randn(images.shape, generator=generator, device=images.device) * deviation.view(-1, 1, 1, 1)
    return (images + noise.trunc()).clamp(0, 255)


def blurred(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Images (N, 3, H, W) blurred by Gaussians of sigma (N,) pixels that end at 3.5 sigma, at most `radius`."""
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2) * (offsets.abs() <= (sigma[:, None] * 3.5).floor())
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, dim=0)
    flat = F.pad(images, [radius] * 4, mode="reflect").flatten(0, 1).unsqueeze(0)
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=len(kernel))
    return F.conv2d(flat, kernel[:, None, :, None], groups=len(kernel)).view_as(images).round()


class Equaliser:
    """Contrast-limited adaptive histogram equalisation of lightness, as OpenCV's on 8 x 8 tiles."""

    def __init__(self, size: int, device: torch.device) -> None:
        tile = -(-size // TILES)  # pixels a side; OpenCV mirrors the image until the tiles are full
        self._pad, self._area = tile * TILES - size, tile**2
        own = torch.arange(tile * TILES, device=device) // tile
        self._own = (own[:, None] * TILES + own) * 256
        between = (torch.arange(size, device=device) / tile - 0.5) * 2 / (TILES - 1) - 1
        self._between = torch.stack(torch.meshgrid(between, between, indexing="xy"), dim=-1)
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in np.arange(256) / 255]
        self._linear = torch.tensor(np.rint(np.array(linear) * 2040), dtype=torch.float32, device=device)
        self._to_xyz = torch.tensor(np.rint(TO_XYZ * 2**12) / 2**12, dtype=torch.float32, device=device)
        self._from_xyz = torch.tensor(np.linalg.inv(TO_XYZ), dtype=torch.float32, device=device)

    def __call__(self, images: Tensor, clip_limit: Tensor) -> Tensor:
        """Images (N, 3, H, W) with their lightness equalised under clip limits (N,), in OpenCV's unit."""
        lightness, colour = self.lab(images).split([1, 2], dim=1)
        n, level = len(lightness), torch.arange(256, device=lightness.device)
        bins = F.pad(lightness, [0, self._pad, 0, self._pad], mode="reflect")[:, 0].long() + self._own
        bins = (bins + torch.arange(n, device=level.device).view(-1, 1, 1) * (TILES**2 * 256)).flatten()
        counts = torch.zeros(n * TILES**2 * 256, dtype=torch.long, device=level.device)
        counts = counts.scatter_add_(0, bins, torch.ones_like(bins)).view(n, 1, TILES, TILES, 256)
        counts = counts.minimum((clip_limit * self._area / 256).long().clamp(min=1).view(-1, 1, 1, 1, 1))
        excess = self._area - counts.sum(-1, keepdim=True)
        rest = excess % 256  # goes one by one to levels far apart
        step = 256 // rest.clamp(min=1)
        counts = counts + excess // 256 + ((level % step == 0) & (level // step < rest))
        tables = (counts.cumsum(-1) * (255 / self._area)).round().clamp(max=255).permute(0, 1, 4, 2, 3)
        place = torch.cat([self._between.expand(n, -1, -1, -1), lightness[:, 0, ..., None] / 127.5 - 1], dim=-1)
        lightness = F.grid_sample(tables, place.unsqueeze(1), padding_mode="border", align_corners=True)[:, 0].round()
        return self.rgb(torch.cat([lightness, colour], dim=1))

    def lab(self, images: Tensor) -> Tensor:
        """CIELAB in 8 bits, in the precision of OpenCV's tables, of sRGB images (N, 3, H, W)."""
        xyz = torch.einsum("ij,njhw->nihw", self._to_xyz, self._linear[images.long()]).round() / 2040
        root = torch.where(xyz > 216 / 24389, xyz ** (1 / 3), xyz * (841 / 108) + 16 / 116)
        x, y, z = ((root * 2**15).round() / 2**15).unbind(1)
        return torch.stack([296 * y - 40.8, 500 * (x - y) + 128, 200 * (y - z) + 128], dim=1).round()

    def rgb(self, lab: Tensor) -> Tensor:
        """The inverse of `lab`, what is out of range cut to it."""
        y = (lab[:, 0] / 2.55 + 16) / 116
        root = torch.stack([y + (lab[:, 1] - 128) / 500, y, y - (lab[:, 2] - 128) / 200], dim=1)
        xyz = torch.where(root > 6 / 29, root**3, (root - 16 / 116) * (108 / 841))
        linear = torch.einsum("ij,njhw->nihw", self._from_xyz, xyz).clamp(0, 1)
        return (torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255).round()
