"""How long something takes on a device."""

import time
from collections.abc import Callable
from typing import Any

import torch


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
