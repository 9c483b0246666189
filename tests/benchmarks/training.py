"""Training throughput of the whole loop, data and augmentation included, against a stock PyTorch Lightning loop.

`make benchmarks` runs it. Both train MedLiteNet on the same images, in memory, with the same augmentation (the peer
always with albumentations), loss, optimizer, clipping, schedule and batches of 16, in FP32 on a CPU and in FP16 on a
GPU. The peer is what Lightning's own pages show: a Dataset of float tensors, a DataLoader with workers, a Trainer as it
comes. They take turns, an epoch each after one that warms up, so that a drift of the machine hits both; printed are
images per second and the ratio.

On a GPU medbench also trains several at once (`--packed 4`), each in a process of its own, as `medbench run --jobs`.
"""

import argparse
import json
import logging
import multiprocessing
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from medbench.ablations.schema.loading import load_study
from medbench.bench.training.batches import DEVIATION, MEAN
from medbench.bench.training.device import best_device, prepare
from medbench.bench.training.loop import train
from medbench.bench.training.losses import segmentation_loss
from medbench.bench.training.schedule import learning_rate_share
from medbench.datasets.augment import Augmentation
from medbench.datasets.cache import Arrays, load_arrays
from medbench.datasets.inspection import inspect
from medbench.datasets.synthetic import SyntheticSet
from medbench.models.catalog import build_model

BATCH = 16


def recipe(epochs: int) -> dict[str, Any]:
    training = load_study("baa").study.training.model_dump(exclude_none=True)
    return training | {"epochs": epochs, "batch_size": BATCH, "progressive_sizes": {0.0: 1.0}}


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Normalised images (3, H, W) and masks (1, H, W), as most repositories write it."""

    def __init__(self, arrays: Arrays, size: int) -> None:
        self.arrays = arrays
        self.augment = Augmentation(recipe(1)["augment"], size)
        self.mean, self.deviation = np.array(MEAN, np.float32), np.array(DEVIATION, np.float32)

    def __len__(self) -> int:
        return len(self.arrays.row)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        key = int(torch.randint(2**31, ()))
        changed = self.augment(np.array(self.arrays.images[row]), np.array(self.arrays.masks[row]), key)
        image, mask = changed["image"], changed["mask"]
        image = (image.astype(np.float32) / 255 - self.mean) / self.deviation
        return torch.from_numpy(image.transpose(2, 0, 1).copy()), torch.from_numpy(mask[None].astype(np.float32))


class Module(lightning.LightningModule):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.model = build_model("medlitenet").model
        self.steps = steps
        self.started, self.seconds = 0.0, list[float]()

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        image, mask = batch
        loss = segmentation_loss(self.model(image), mask, {"bce_weight": 0.5, "dice_weight": 0.5})
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        rate, named = recipe(1), list(self.model.named_parameters())
        groups = [
            {"params": [p for name, p in named if name.startswith("encoder.")], "lr": rate["encoder_learning_rate"]},
            {"params": [p for name, p in named if not name.startswith("encoder.")]},
        ]
        optimizer = torch.optim.AdamW(groups, lr=rate["learning_rate"], weight_decay=rate["weight_decay"])
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_share(step, self.steps, 0, rate["final_learning_rate"])
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        _wait()
        self.started = time.perf_counter()

    def on_train_epoch_end(self) -> None:
        _wait()
        self.seconds.append(time.perf_counter() - self.started)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def of_lightning(arrays: Arrays, size: int, epochs: int, workers: int) -> list[float]:
    """Images per second of each epoch."""
    n_batches = len(arrays.row) // BATCH
    module = Module(epochs * n_batches)
    on_gpu = torch.cuda.is_available()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        precision="16-mixed" if on_gpu else "32-true",
        gradient_clip_val=1.0,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches = DataLoader(
        Images(arrays, size),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=on_gpu,
        persistent_workers=workers > 0,
    )
    trainer.fit(module, batches)
    return [n_batches * BATCH / seconds for seconds in module.seconds]


def of_medbench(arrays: Arrays, size: int, epochs: int, **options: Any) -> list[float]:
    """Images per second of each epoch."""
    model = build_model("medlitenet").model.to(best_device())
    ids = sorted(arrays.row)
    done = train(model, arrays, ids, ids[:BATCH], recipe(epochs), size=size, seed=0, **options)
    print(f"  medbench's path: {done.path}", flush=True)
    return [row["images_per_second"] for row in done.history]


def _one_of_several(arrays: Arrays, size: int, epochs: int, ready: Any, results: Any) -> None:
    prepare(0, 1)
    of_medbench(arrays, size, 1)  # every process has its kernels before the clock of any starts
    ready.wait()
    started = time.perf_counter()
    of_medbench(arrays, size, epochs)
    results.put((started, time.perf_counter()))


def packed(arrays: Arrays, size: int, epochs: int, count: int) -> float:
    """Images per second of `count` trainings at once, all together, validation and start of each included."""
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(count), context.Queue()
    processes = [
        context.Process(target=_one_of_several, args=(arrays, size, epochs, ready, results)) for _ in range(count)
    ]
    for process in processes:
        process.start()
    spans = [results.get() for _ in processes]
    for process in processes:
        process.join()
    images = count * epochs * (len(arrays.row) // BATCH) * BATCH
    return images / (max(end for _, end in spans) - min(start for start, _ in spans))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--size", type=int, default=256 if on_gpu else 128)
    parser.add_argument("--images", type=int, default=1808 if on_gpu else 128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1 if on_gpu else len(os.sched_getaffinity(0)))
    parser.add_argument("--workers", type=int, default=8 if on_gpu else 0, help="of Lightning's loader")
    parser.add_argument("--packed", type=int, nargs="*", default=[])
    parser.add_argument("--compile", action="store_true", help="medbench's model is compiled too, in rounds of its own")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    drawn = SyntheticSet(images=min(asked.images, 128), size=asked.size)
    ways: dict[str, Any] = {
        "lightning": lambda: of_lightning(arrays, asked.size, 2, asked.workers),
        "medbench": lambda: of_medbench(arrays, asked.size, 2),
    }
    if asked.compile:
        ways["medbench compiled"] = lambda: of_medbench(arrays, asked.size, 2, compiled=True)
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        arrays = repeated(load_arrays(drawn, drawn.ids, asked.size, Path(folder), inspect(drawn).digests), asked.images)
        for _ in range(asked.rounds):
            for name, way in ways.items():
                prepare(0, asked.threads)
                torch.use_deterministic_algorithms(name != "lightning", warn_only=True)  # each as it comes
                speeds[name].append(way()[-1])
        together = {count: packed(arrays, asked.size, 4, count) for count in asked.packed}
    where = torch.cuda.get_device_name() if on_gpu else f"CPU, {asked.threads} threads"
    print(f"torch {torch.__version__}, lightning {lightning.__version__}, {where}, {asked.size} pixels, batch {BATCH}")
    found: dict[str, Any] = {"device": where, "size": asked.size, "batch": BATCH, "images_per_second": {}, "ratio": {}}
    for name, each in speeds.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(each, speeds["lightning"], strict=True))
        found["images_per_second"][name], found["ratio"][name] = statistics.median(each), ratio
        print(f"{name}: {statistics.median(each):.1f} images/s (median of {asked.rounds}), {ratio:.2f} of lightning's")
    for count, speed in together.items():
        found["images_per_second"][f"medbench x {count}"] = speed
        found["ratio"][f"medbench x {count}"] = ratio = speed / found["images_per_second"]["lightning"]
        print(f"medbench, {count} at once: {speed:.1f} images/s together, {ratio:.2f} of lightning's")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


def repeated(arrays: Arrays, count: int) -> Arrays:
    """As many images, the same ones over and over: their number matters, not what they show."""
    rows = np.arange(count) % len(arrays.row)
    return Arrays(np.array(arrays.images[rows]), np.array(arrays.masks[rows]), {f"{i:05}": i for i in range(count)})


if __name__ == "__main__":
    main()
