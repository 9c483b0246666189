"""One training: a pure function of its configuration, images and seed.

Everything random is drawn from the seed: the start of the weights, dropout, the order of images and their
augmentation. On a CPU two runs with the same number of threads give the same bytes.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...datasets.cache import Arrays
from ...models.heads import learns_artifacts
from ..errors import MedbenchError
from .batches import Batch, Batches, loader
from .checkpoints import Progress, restore_checkpoint, save_checkpoint
from .compiling import Compiled, compiled_model
from .consistency import agreement_at
from .forward import validate
from .images_on_gpu import OnDevice, fits
from .labels import NO_LABELS, Labels
from .schedule import learning_rate_share, optimizer_for, set_learning_rate, size_at
from .step import Replayed, Step, cuda_graph

GPU_SHOWS_EVERY = 20
GPU_SAVES_EVERY_S = 15.0  # an epoch there may take less time than writing its checkpoint


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training leaves: the chosen weights, one row an epoch, the precision it was computed in, and by which of
    the ways that lead to equal results in distribution."""

    weights: dict[str, Tensor]
    history: list[dict[str, float]]
    precision: str
    path: dict[str, str]


def train(
    model: nn.Module,
    images: Arrays,
    train_ids: Sequence[str],
    validation_ids: Sequence[str],
    training: Mapping[str, Any],
    *,
    size: int,
    seed: int,
    labels: Labels = NO_LABELS,
    workers: int = 0,
    parts: int = 1,
    compiled: bool = False,
    checkpoint: Path | None = None,
    on_resume: Callable[[int], None] = lambda _: None,
    on_anew: Callable[[str], None] = lambda _: None,
    on_eager: Callable[[str], None] = lambda _: None,
    on_step: Callable[[int, int, float], None] = lambda *_: None,
    on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
) -> Trained:
    """Trains a model and gives back the weights of the last epoch, or of the best one on validation.

    Args:
        model: images (B, C, H, W) to logits (B, images.target.n_maps, H, W), or `Outputs`, which have the tasks of
            `labels`; changed in place, on the device where it lies.
        images: all images of the set at `size`.
        train_ids: what is learnt from.
        validation_ids: what each epoch is scored on.
        training: the recipe, with the keys of ablations/schema/defaults.yaml.
        size: the full input size; early epochs may be smaller.
        seed: of the order of images and their augmentation. Weights and dropout follow torch's seed (`prepare`).
        labels: what is known of images as a whole, where that is learnt too. Which epoch is the best is up to Dice.
        workers: loader processes; on a CPU no result depends on it. On a GPU, 0 keeps the images there and augments
            them there where it can: where they fit and are RGB.
        parts: pieces that each batch is computed in, to fit a small GPU; batch norm sees them apart.
        compiled: whether torch compiles the model first, where it can.
        checkpoint: a file for the state after each epoch, or on a GPU after one in 15 seconds. Where it holds one,
            training goes on from there and ends with the same bytes (on a CPU) as if it had never stopped.
        on_resume: called with the number of epochs that are done already.
        on_anew: called with the reason where the checkpoint is of another kind of device, and the training begins anew.
        on_eager: called with the reason where the model cannot be compiled; it is trained as it was written.
        on_step: called with step, steps and loss.
        on_epoch: called with each row of the history.

    Raises:
        MedbenchError: the loss is no longer a number.
    """
    device = next(model.parameters()).device
    on_gpu = device.type == "cuda"
    mixed = training["precision"] == "mixed" and on_gpu
    model.to(memory_format=torch.channels_last)
    optimizer = optimizer_for(model, training)
    scaler = torch.amp.GradScaler(device.type, enabled=mixed)
    batches = Batches(train_ids, training["batch_size"], seed)
    agreement = training.get("consistency")
    also = (["artifact"] if learns_artifacts(model) else []) + (["clean"] if agreement else [])
    recipe = training["augment"]
    stays = on_gpu and not workers and images.channels == 3 and fits(images, len(train_ids), device, recipe, also)
    loading: Iterable[Batch] = (
        OnDevice(images, batches, recipe, device, labels, also)
        if stays
        else loader(images, batches, recipe, workers=workers, pin=on_gpu, labels=labels, also=also)
    )
    of_step = optimizer, scaler, training, parts
    if compiled:
        one_step = Compiled(model, compiled_model(model), *of_step, on_eager, images.target, labels)
    else:
        one_step = Step(model, model, *of_step, images.target, labels)
    take_step = Replayed(one_step, cuda_graph) if on_gpu and parts == 1 else one_step
    epochs, steps = training["epochs"], training["epochs"] * len(batches)
    warmup = training["warmup_epochs"] * len(batches)
    history: list[dict[str, float]] = []
    chosen: dict[str, Tensor] = {}
    if checkpoint and (progress := restore_checkpoint(checkpoint, model, optimizer, scaler, on_anew)):
        history, chosen = progress.history, progress.chosen
        on_resume(len(history))
    saved = time.perf_counter()
    for epoch in range(len(history), epochs):
        batches.epoch = epoch
        batches.size = size_at(epoch, epochs, size, training["progressive_sizes"])
        model.train()
        losses: list[Tensor] = []
        started = time.perf_counter()
        for number, batch in enumerate(loading):
            step = epoch * len(batches) + number
            share = learning_rate_share(step, steps, warmup, training["final_learning_rate"])
            set_learning_rate(optimizer, share)
            if agreement:
                one_step.agreement.fill_(agreement_at(step, steps, agreement["weight"], agreement["ramp"]))
            losses.append(take_step({name: each.to(device, non_blocking=True) for name, each in batch.items()}))
            if not on_gpu or step % GPU_SHOWS_EVERY == 0:  # reading a loss waits for the GPU
                on_step(step + 1, steps, float(losses[-1]))
        train_loss = float(torch.stack(losses).mean())
        seconds = time.perf_counter() - started
        loss, dice, accuracies = validate(model, images, validation_ids, training, labels)
        if not math.isfinite(train_loss + loss):
            raise MedbenchError(f"the loss is {train_loss + loss} in epoch {epoch + 1}; try a smaller learning_rate")
        if math.isnan(dice) and training["checkpoint"] == "best-val":
            raise MedbenchError("no validation image holds any class, so no epoch is the best; say checkpoint: last")
        history.append(
            {
                "epoch": epoch + 1,
                "size": batches.size,
                "learning_rate": max(float(group["lr"]) for group in optimizer.param_groups),
                "train_loss": train_loss,
                "validation_loss": loss,
                "validation_dice": dice,
                **{f"validation_{name}": value for name, value in accuracies.items()},
                "seconds": seconds,
                "images_per_second": len(batches) * batches.batch_size / seconds,
            }
        )
        best = max(row["validation_dice"] for row in history)
        if epoch + 1 == epochs if training["checkpoint"] == "last" else dice == best:
            chosen = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
        if checkpoint and (not on_gpu or epoch + 1 == epochs or time.perf_counter() - saved > GPU_SAVES_EVERY_S):
            save_checkpoint(checkpoint, model, optimizer, scaler, Progress(history, chosen))
            saved = time.perf_counter()
        on_epoch(history[-1])
    path = {"images": "on the device" if stays else "loaded", "model": "eager", "steps": "eager"}
    if isinstance(one_step, Compiled):
        path["model"] = f"eager: {one_step.failed}" if one_step.failed else "compiled"
    if isinstance(take_step, Replayed):
        path["steps"] = f"eager: {take_step.failed}" if take_step.failed else "CUDA graph"
    return Trained(chosen, history, "fp16" if mixed else "fp32", path)
