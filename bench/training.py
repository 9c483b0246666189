"""One training: a pure function of its configuration, images and seed.

Everything random is drawn from the seed: the start of the weights, dropout, the order of images and their
augmentation. On a CPU two runs with the same number of threads give the same bytes.
"""

import ctypes
import math
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets.cache import Arrays
from .checkpoints import Progress, restore_checkpoint, save_checkpoint
from .compiling import Compiled, compiled_model
from .errors import MedbenchError
from .loading import STEP, Batches, loader, to_input
from .losses import segmentation_loss
from .on_device import OnDevice, fits
from .stepping import Replayed, Step, cuda_graph

EVALUATION_BATCH = 16
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


def best_device() -> torch.device:
    """The GPU where there is one (CUDA_VISIBLE_DEVICES is honoured), else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def prepare(seed: int, threads: int) -> None:
    """Seeds every generator, asks for deterministic kernels, sets the threads, and lets glibc keep freed memory.

    Training frees and asks for the same large blocks over and over; by default glibc gives each back to the kernel
    and waits for cleared pages again, which took a quarter of the time on a CPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    random.seed(seed)  # medbench draws from neither of these two, a model of the user's own may
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            trim_threshold, top_pad, mmap_threshold = -1, -2, -3
            libc.mallopt(mmap_threshold, 1 << 30)
            libc.mallopt(trim_threshold, (1 << 31) - 1)
            libc.mallopt(top_pad, 1 << 28)


def size_at(epoch: int, epochs: int, full: int, progressive_sizes: Mapping[float, float]) -> int:
    """The input size of an epoch, a multiple of 32: `progressive_sizes` maps shares of the epochs to shares of `full`.

    A stage starts at the epoch that its share falls in, so that the last epochs have the last size however few.

    >>> [size_at(epoch, 8, 128, {0.0: 0.5, 0.25: 0.75, 0.5: 1.0}) for epoch in range(8)]
    [64, 64, 96, 96, 128, 128, 128, 128]
    >>> size_at(0, 1, 128, {0.0: 0.5, 0.5: 1.0})
    128
    """
    # Shares such as 0.7 are not exact: 0.7 * 10 may fall just below 7.
    start = max(share for share in progressive_sizes if math.floor(share * epochs + 1e-9) <= epoch)
    return max(STEP, round(progressive_sizes[start] * full / STEP) * STEP)


def learning_rate_share(step: int, steps: int, warmup: float, final: float) -> float:
    """Linear warm-up over `warmup` steps, then half a cosine from 1 down to `final` at the last step."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(steps - 1 - warmup, 1)
    return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2


def optimizer_for(model: nn.Module, training: Mapping[str, Any]) -> torch.optim.AdamW:
    """AdamW with one learning rate for `model.encoder`, where there is one, and one for the rest; biases and norms
    do not decay. On a GPU rates and counts of steps lie there, so that a step can be captured."""
    device = next(model.parameters()).device
    on_gpu = device.type == "cuda"
    encoder = {id(parameter) for parameter in getattr(model, "encoder", nn.Identity()).parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        rate = training["encoder_learning_rate"] if id(parameter) in encoder else training["learning_rate"]
        decay = training["weight_decay"] if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": members,
                "lr": torch.tensor(rate, device=device) if on_gpu else rate,
                "initial_lr": rate,
                "weight_decay": decay,
            }
            for (rate, decay), members in groups.items()
        ],
        fused=True,
        capturable=on_gpu,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Sets each group's rate to that share of its initial one."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(group["initial_lr"] * share)
        else:
            group["lr"] = group["initial_lr"] * share


def train(
    model: nn.Module,
    images: Arrays,
    train_ids: Sequence[str],
    validation_ids: Sequence[str],
    training: Mapping[str, Any],
    *,
    size: int,
    seed: int,
    workers: int = 0,
    parts: int = 1,
    compiled: bool = False,
    checkpoint: Path | None = None,
    on_resume: Callable[[int], None] = lambda _: None,
    on_eager: Callable[[str], None] = lambda _: None,
    on_step: Callable[[int, int, float], None] = lambda *_: None,
    on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
) -> Trained:
    """Trains a model and gives back the weights of the last epoch, or of the best one on validation.

    Args:
        model: images (B, 3, H, W) to logits (B, 1, H, W); changed in place, on the device where it lies.
        images: all images of the set at `size`.
        train_ids: what is learnt from.
        validation_ids: what each epoch is scored on.
        training: the recipe, with the keys of ablations/defaults.yaml.
        size: the full input size; early epochs may be smaller.
        seed: of the order of images and their augmentation. Weights and dropout follow torch's seed (`prepare`).
        workers: loader processes; on a CPU no result depends on it. On a GPU, 0 keeps the images there and augments
            them there where it can: where they fit, and without artifacts.
        parts: pieces that each batch is computed in, to fit a small GPU; batch norm sees them apart.
        compiled: whether torch compiles the model first, where it can.
        checkpoint: a file for the state after each epoch, or on a GPU after one in 15 seconds. Where it holds one,
            training goes on from there and ends with the same bytes (on a CPU) as if it had never stopped.
        on_resume: called with the number of epochs that are done already.
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
    painted = training["augment"].get("artifacts")
    stays = on_gpu and not workers and not painted and fits(images, len(train_ids), device)
    loading: Iterable[tuple[Tensor, Tensor]] = (
        OnDevice(images, batches, training["augment"], device)
        if stays
        else loader(images, batches, training["augment"], workers=workers, pin=on_gpu)
    )
    if compiled:
        one_step = Compiled(model, compiled_model(model), optimizer, scaler, training, parts, on_eager)
    else:
        one_step = Step(model, model, optimizer, scaler, training, parts)
    take_step = Replayed(one_step, cuda_graph) if on_gpu and parts == 1 else one_step
    epochs, steps = training["epochs"], training["epochs"] * len(batches)
    warmup = training["warmup_epochs"] * len(batches)
    history: list[dict[str, float]] = []
    chosen: dict[str, Tensor] = {}
    if checkpoint and (progress := restore_checkpoint(checkpoint, model, optimizer, scaler)):
        history, chosen = progress.history, progress.chosen
        on_resume(len(history))
    saved = time.perf_counter()
    for epoch in range(len(history), epochs):
        batches.epoch = epoch
        batches.size = size_at(epoch, epochs, size, training["progressive_sizes"])
        model.train()
        losses: list[Tensor] = []
        started = time.perf_counter()
        for batch, (image, mask) in enumerate(loading):
            step = epoch * len(batches) + batch
            share = learning_rate_share(step, steps, warmup, training["final_learning_rate"])
            set_learning_rate(optimizer, share)
            losses.append(take_step(image.to(device, non_blocking=True), mask.to(device, non_blocking=True)))
            if not on_gpu or step % GPU_SHOWS_EVERY == 0:  # reading a loss waits for the GPU
                on_step(step + 1, steps, float(losses[-1]))
        train_loss = float(torch.stack(losses).mean())
        seconds = time.perf_counter() - started
        loss, dice = validate(model, images, validation_ids, training)
        if not math.isfinite(train_loss + loss):
            raise MedbenchError(f"the loss is {train_loss + loss} in epoch {epoch + 1}; try a smaller learning_rate")
        history.append(
            {
                "epoch": epoch + 1,
                "size": batches.size,
                "learning_rate": max(float(group["lr"]) for group in optimizer.param_groups),
                "train_loss": train_loss,
                "validation_loss": loss,
                "validation_dice": dice,
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


def predict(model: nn.Module, images: NDArray[np.uint8]) -> Tensor:
    """Logits (N, 1, size, size) on the CPU of uint8 images (N, size, size, 3), in single precision."""
    return _logits(model, images).cpu()


def validate(model: nn.Module, images: Arrays, ids: Sequence[str], training: Mapping[str, Any]) -> tuple[float, float]:
    """Mean loss and mean per-image Dice at the input size; two empty masks score 1."""
    rows = [images.row[image] for image in sorted(ids)]
    logits = _logits(model, images.images[rows])
    target = torch.from_numpy(np.array(images.masks[rows])).to(logits.device).unsqueeze(1)
    loss = segmentation_loss(logits, target, bce_weight=training["bce_weight"], dice_weight=training["dice_weight"])
    found, wanted = logits > 0, target > 0
    overlap = (found & wanted).sum(dim=(1, 2, 3)).double()
    total = (found.sum(dim=(1, 2, 3)) + wanted.sum(dim=(1, 2, 3))).double()
    dice = torch.where(total > 0, 2 * overlap / total.clamp(min=1), 1.0)
    return float(loss), float(dice.mean())


def _logits(model: nn.Module, images: NDArray[np.uint8]) -> Tensor:
    """In single precision, on the model's device."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        parts = [
            model(to_input(torch.from_numpy(np.array(images[start : start + EVALUATION_BATCH])), device)).float()
            for start in range(0, len(images), EVALUATION_BATCH)
        ]
    return torch.cat(parts)
