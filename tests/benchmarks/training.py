"""Training throughput of the whole loop, data and augmentation included, against a U-Net on the same encoder.

`make benchmarks` runs it. One thread, synthetic images, batch 16, the default recipe at full size, the models in turn
so that a drift of the machine hits both; prints images per second and the ratio.
"""

import statistics
import tempfile
from pathlib import Path

import torch

from medbench.ablations.loading import load_study
from medbench.bench.training import best_device, prepare, train
from medbench.datasets.cache import Arrays, load_arrays
from medbench.datasets.inspection import inspect
from medbench.datasets.synthetic import SyntheticSet
from medbench.models.catalog import build_model

MODELS = ("medlitenet", "smp:Unet/tu-mobilenetv2_100")
SIZE, IMAGES, ROUNDS = 128, 128, 3


def images_per_second(name: str, arrays: Arrays) -> float:
    """Of one epoch, the second of two: the first warms up."""
    training = load_study("baa").study.training.model_dump()
    training |= {"epochs": 2, "progressive_sizes": {0.0: 1.0}}
    prepare(0, 1)
    model = build_model(name).model.to(best_device())
    ids = sorted(arrays.row)
    history = train(model, arrays, ids, ids[:16], training, size=SIZE, seed=0).history
    return history[-1]["images_per_second"]


def main() -> None:
    images = SyntheticSet(images=IMAGES, size=SIZE)
    with tempfile.TemporaryDirectory() as folder:
        arrays = load_arrays(images, images.ids, SIZE, Path(folder), inspect(images).digests)
        speeds: dict[str, list[float]] = {name: [] for name in MODELS}
        for _ in range(ROUNDS):
            for name in MODELS:
                speeds[name].append(images_per_second(name, arrays))
    print(f"torch {torch.__version__}, {best_device()}, one thread, {SIZE} pixels")
    for name in MODELS:
        print(f"{name}: {statistics.median(speeds[name]):.1f} images/s (median of {ROUNDS})")
    ratio = statistics.median(ours / theirs for ours, theirs in zip(*speeds.values(), strict=True))
    print(f"ratio {MODELS[0]} / {MODELS[1]}: {ratio:.2f}")


if __name__ == "__main__":
    main()
