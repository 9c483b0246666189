"""What the complete set of metrics costs a pair of masks, against two packages' distance metrics in the same run.

`make benchmarks` runs it. PH2's masks at full size where the real data is (MEDBENCH_DATA or ../shared/data), else
synthetic lesions of that size; predictions are the masks bent by a smooth random field. The packages take turns, pair
by pair, so that a drift of the machine hits all; prints milliseconds a pair and ratios.
"""

import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import surface_distance
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.surface_distance import compute_average_surface_distance
from numpy.typing import NDArray

from medbench.bench.metrics import METRICS, Mask, score_masks
from medbench.datasets.base import ImageSet
from medbench.datasets.catalog import open_dataset
from medbench.datasets.synthetic import SyntheticSet

warnings.simplefilter("ignore")  # MONAI's, of its own dependencies
BEND, SMOOTHNESS = 3.0, 25.0  # pixels: standard deviation of the displacement, and how far it is smooth
SYNTHETIC_IMAGES, SYNTHETIC_SIDE = 50, 640


def medbench(prediction: Mask, reference: Mask) -> None:
    score_masks(prediction[None], reference[None])


def monai(prediction: Mask, reference: Mask) -> None:
    p, r = (torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference))
    compute_hausdorff_distance(p, r, include_background=True, percentile=95)
    compute_surface_dice(p, r, class_thresholds=[1.0], include_background=True)
    compute_average_surface_distance(p, r, include_background=True, symmetric=True)


def deepmind(prediction: Mask, reference: Mask) -> None:
    surfaces = surface_distance.compute_surface_distances(reference, prediction, (1.0, 1.0))
    surface_distance.compute_robust_hausdorff(surfaces, 95)
    surface_distance.compute_surface_dice_at_tolerance(surfaces, 1)
    surface_distance.compute_average_surface_distance(surfaces)


PACKAGES: dict[str, Callable[[Mask, Mask], None]] = {
    f"medbench, all {len(METRICS)} metrics": medbench,
    "MONAI, HD95 + surface Dice + average surface distance": monai,
    "surface-distance, the same three": deepmind,
}


def find_images() -> ImageSet:
    data = Path(os.environ.get("MEDBENCH_DATA", "../shared/data"))
    if (data / "ph2").is_dir():
        return open_dataset("ph2", data=data)
    return SyntheticSet(images=SYNTHETIC_IMAGES, size=SYNTHETIC_SIDE)


def pairs(images: ImageSet) -> Iterator[tuple[Mask, Mask]]:
    rng = np.random.default_rng(0)
    for id in images.ids:
        reference = images.mask(id) > 0
        y, x = (place + bend(rng, reference.shape) for place in np.mgrid[: reference.shape[0], : reference.shape[1]])
        bent = cv2.remap(reference.astype(np.uint8), x.astype(np.float32), y.astype(np.float32), cv2.INTER_NEAREST)
        yield np.asarray(bent) > 0, reference


def bend(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A smooth random displacement, in pixels."""
    smooth = np.asarray(cv2.GaussianBlur(rng.normal(size=shape), (0, 0), SMOOTHNESS))
    return BEND * smooth / smooth.std()


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    images = find_images()
    seconds: dict[str, list[float]] = {name: [] for name in PACKAGES}
    for pair in pairs(images):
        for name, score in PACKAGES.items():
            start = time.perf_counter()
            score(*pair)
            seconds[name].append(time.perf_counter() - start)
    print(f"{images.name}: {len(images)} pairs, one thread")
    ours, *_ = means = {name: statistics.mean(values) for name, values in seconds.items()}
    for name, mean in means.items():
        ratio = "" if name == ours else f", {mean / means[ours]:.1f} times medbench"
        print(f"{name}: {1000 * mean:.2f} ms a pair{ratio}")


if __name__ == "__main__":
    main()
