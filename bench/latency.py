"""How long one forward pass takes on this machine."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..models.fusing import fused
from .provenance import device_name

WARM_UP_S = 0.3
PASSES = 50
MOST_SECONDS = 1.5  # a slow model on a slow machine gets fewer passes, and the table says how many


def time_model(
    model: nn.Module, name: str, *, size: int, batches: Sequence[int] = (1, 16), device: torch.device
) -> list[dict[str, Any]]:
    """One row a batch size: median, 5th and 95th percentile of a forward pass, in milliseconds for the whole batch.

    FP16 on a GPU, timed by events; FP32 on a CPU, timed by the clock. Batch norms are folded, weights and inputs are on
    the device already, in that precision and channels last; nothing but the model is timed.

    Args:
        model: on the CPU in single precision; it stays as it is.
        name: what it is called in the rows.
        size: pixels a side.
        batches: images a pass.
        device: where it is timed.
    """
    on_gpu = device.type == "cuda"
    dtype = torch.float16 if on_gpu else torch.float32
    # Training asks for deterministic kernels; some of them are slow, and nobody deploys them.
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = on_gpu
    model = fused(model, torch.rand(1, 3, size, size)).to(device, dtype)
    rows: list[dict[str, Any]] = []
    for batch in batches:
        image = torch.rand(batch, 3, size, size, device=device, dtype=dtype).contiguous(
            memory_format=torch.channels_last
        )

        def forward(image: torch.Tensor = image) -> None:
            with torch.inference_mode():
                model(image)

        _for_a_while(forward)
        clock, times = clock_of(device), list[float]()
        while len(times) < PASSES and sum(times) < MOST_SECONDS * 1000:
            times.append(clock(forward))
        p5, median, p95 = np.percentile(times, (5, 50, 95))
        rows.append(
            {
                "model": name,
                "runtime": "torch eager",
                "device": device_name(device),
                "dtype": "fp16" if on_gpu else "fp32",
                "batch": batch,
                "size": size,
                "median_ms": float(median),
                "p5_ms": float(p5),
                "p95_ms": float(p95),
                "n": len(times),
            }
        )
    return rows


def clock_of(device: torch.device) -> Callable[[Callable[[], Any]], float]:
    """A function that runs another and gives its milliseconds: by events on a GPU, by the clock on a CPU."""
    return _gpu_ms if device.type == "cuda" else _cpu_ms


def _cpu_ms(forward: Callable[[], Any]) -> float:
    started = time.perf_counter()
    forward()
    return (time.perf_counter() - started) * 1000


def _gpu_ms(forward: Callable[[], Any]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    forward()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def _for_a_while(forward: Callable[[], None]) -> None:
    """Warm-up: caches, clocks, and kernels that are chosen at the first call."""
    until = time.perf_counter() + WARM_UP_S
    forward()
    while time.perf_counter() < until:
        forward()
