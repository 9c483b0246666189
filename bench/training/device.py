"""What a training or an evaluation computes on, and how its process is prepared."""

import ctypes
import os
import platform
import random
import sys

import numpy as np
import torch

from ..store.records import short_id


def best_device() -> torch.device:
    """The GPU where there is one (CUDA_VISIBLE_DEVICES is honoured), else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_id(device: torch.device) -> str:
    """What no other machine's device has, nor another GPU of this one; without the machine's name."""
    gpu = str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else ""
    return short_id([platform.node(), gpu])


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
