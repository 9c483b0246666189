"""Half-done trainings on disk: everything that the next epoch depends on, in one safetensors file.

The order of images and their augmentation are functions of seed and epoch, so they need no state. What does: weights,
optimizer, loss scaler, and the generators of torch (CPU and the GPU in use), numpy and Python. Half a training on a CPU
and half on a GPU, or in two precisions, would be neither: such a checkpoint is not gone on from.
"""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..store.records import write_bytes

GPU_GENERATOR = "random/cuda0"  # of the GPU in use, whatever its number


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training came: a row an epoch, and the weights that it would keep if it ended here."""

    history: list[dict[str, float]]
    chosen: dict[str, Tensor]


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, progress: Progress
) -> None:
    """Writes the state after an epoch in one step: whoever is killed while writing leaves the one before."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"chosen/{name}": tensor for name, tensor in progress.chosen.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": value for key, value in state.items()}
    tensors["random/cpu"] = torch.get_rng_state()
    device = _device(model)
    if device.type == "cuda":
        tensors[GPU_GENERATOR] = torch.cuda.get_rng_state(device)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    state = {
        "computed": _computed(device, scaler),
        "history": progress.history,
        "scaler": scaler.state_dict(),
        "python": random.getstate(),
        "numpy": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],  # noqa: NPY002
    }
    text = json.dumps(state)
    content = save(tensors, metadata={"state": text, "digest": _digest(tensors, text)})
    write_bytes(path, content, durable=True)


def restore_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    on_other: Callable[[str], None] = lambda _: None,
) -> Progress | None:
    """Puts a saved state back into model, optimizer, scaler and generators; None, and nothing changed, where there is
    none, it is damaged, or it was computed on another kind of device or in another precision. `on_other` is told of the
    last."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state: Mapping[str, Any] = json.loads(metadata["state"])
        if metadata["digest"] != _digest(tensors, metadata["state"]):
            return None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    device = _device(model)
    before, now = state.get("computed") or _computed_before(state, tensors), _computed(device, scaler)
    if before != now:
        on_other(f"its checkpoint was computed on {before}, this is {now}")
        return None
    model.load_state_dict(_below("model/", tensors))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        for key, value in _below(f"optimizer/{index}/", tensors).items():
            # Moments lie in memory as their parameter does: fused kernels run over both at once.
            is_moment = value.shape == parameter.shape and value.ndim
            optimizer.state[parameter][key] = (
                torch.empty_like(parameter).copy_(value) if is_moment else value.to(parameter.device)
            )
    scaler.load_state_dict(state["scaler"])
    torch.set_rng_state(tensors["random/cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors[GPU_GENERATOR], device)
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    return Progress(state["history"], _below("chosen/", tensors))


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _computed(device: torch.device, scaler: torch.amp.GradScaler) -> str:
    """The kind of device and the precision."""
    return f"{device.type} in {'fp16' if scaler.is_enabled() else 'fp32'}"


def _computed_before(state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """The same of a checkpoint that does not say it, as older ones do not: where there was a GPU, it was used, and a
    scaler that was not in use has no state."""
    return f"{'cuda' if GPU_GENERATOR in tensors else 'cpu'} in {'fp16' if state['scaler'] else 'fp32'}"


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _digest(tensors: Mapping[str, Tensor], state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
