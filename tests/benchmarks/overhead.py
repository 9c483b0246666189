"""What checkpoints, locks and bookkeeping cost: a trial by `run_job` against a bare loop of the same model and data.

python tests/benchmarks/overhead.py

Both build MedLiteNet and train it on the same images of a folder with the same augmentation, batches, optimizer and
validation, one thread, in turn so that a drift of the machine hits both. The trial also opens its set, keeps a
checkpoint an epoch and writes its folder; its images are in the cache. Evaluating and timing are not training and are
left out.
"""

import statistics
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from medbench.ablations.schema.loading import load_study
from medbench.bench.study.planning import Job, plan
from medbench.bench.study.sets import Sets
from medbench.bench.study.trials import Place, run_job
from medbench.bench.training.batches import Batches, loader, to_input
from medbench.bench.training.device import prepare
from medbench.bench.training.forward import validate
from medbench.bench.training.losses import segmentation_loss
from medbench.bench.training.schedule import optimizer_for
from medbench.datasets.cache import Arrays
from medbench.datasets.synthetic import SyntheticSet
from medbench.models.catalog import build_model

ROUNDS = 3
SETTINGS = (
    "dataset.size=128",
    "training.epochs=3",
    "training.progressive_sizes={0.0: 1.0}",
    "encoder_weights=none",
    "seeds=1",
    "evaluate=[clean]",
    "exclude_copies=false",
)


def write_images(folder: Path) -> None:
    """A folder set of synthetic images: drawn once, not whenever the set is opened."""
    drawn = SyntheticSet(images=400, size=128)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for id in drawn.ids:
        Image.fromarray(drawn.image(id)).save(folder / "images" / f"{id}.png")
        Image.fromarray(drawn.mask(id)).save(folder / "masks" / f"{id}.png")


def bare(images: Arrays, job: Job) -> float:
    """Seconds of a plain loop."""
    training, cpu = job.config["training"], torch.device("cpu")
    started = time.perf_counter()
    prepare(job.config["seed"], 1)
    model = build_model(job.config["model"], job.config["options"]).model.to(memory_format=torch.channels_last)
    optimizer = optimizer_for(model, training)
    batches = Batches(job.config["train"], training["batch_size"], 0)
    batches.size = job.config["size"]
    loading = loader(images, batches, training["augment"], workers=0, pin=False)
    for batches.epoch in range(training["epochs"]):
        model.train()
        for batch in loading:
            logits = model(to_input(batch["image"], cpu))
            loss = segmentation_loss(logits, batch["mask"].unsqueeze(1), training)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), training["clip_norm"])
            optimizer.step()
        validate(model, images, job.config["validation"], training)
    return time.perf_counter() - started


def trial(job: Job, place: Place) -> float:
    """Seconds of a whole trial."""
    started = time.perf_counter()
    run_job(job, place, lambda _: None)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder, "cache")
        write_images(Path(folder, "set"))
        sets = Sets(None, cache)
        settings = (f"dataset={{folder: {folder}/set}}", *SETTINGS)
        planned = plan(load_study("baa", settings=settings), sets).jobs[0]
        job = Job(planned.cell, planned.id, planned.config, {})
        images = sets.arrays(sets.of(job.config), job.config["size"])
        ratios: list[float] = []
        for turn in range(ROUNDS):
            with_medbench = trial(job, Place(Path(folder, str(turn)), None, cache, 1, 0))
            without = bare(images, job)
            ratios.append(with_medbench / without)
            print(f"trial {with_medbench:.1f} s, bare loop {without:.1f} s, ratio {ratios[-1]:.3f}")
        print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
