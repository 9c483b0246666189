"""Where and with what a result was made. No user names, no secrets."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from .records import short_id

PACKAGES = (
    "albumentations",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "scipy",
    "segmentation-models-pytorch",
    "timm",
    "torch",
    "torchvision",
)


def environment(device: torch.device, precision: str) -> dict[str, Any]:
    """Versions, hardware, code and flags, as plain values.

    Args:
        device: what computes.
        precision: what it computes in, "fp32" or "fp16".
    """
    on_gpu = device.type == "cuda"
    return {
        "medbench": package_version("medbench"),
        "packages": {name: package_version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": n_cores(),
        "threads": torch.get_num_threads(),
        "device": device.type,
        "device_name": device_name(device),
        "driver": _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if on_gpu else None,
        "cuda": torch.version.cuda if on_gpu else None,
        **code(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "deterministic_or_warn": torch.is_deterministic_algorithms_warn_only_enabled(),
        "precision": precision,
        "command": command(),
    }


def cpu_name() -> str:
    """The processor's own name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's with the number of threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    n = torch.get_num_threads()
    return f"{cpu_name()}, {n} thread{'s' if n > 1 else ''}"


def machine_id(device: torch.device) -> str:
    """Same hardware, threads and torch, same id: latencies of one id can be compared."""
    return short_id([device_name(device), torch.__version__])


def command() -> str:
    """The command line, the home directory abbreviated."""
    home = str(Path.home())
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    return " ".join(word.replace(home, "~") if len(home) > 1 else word for word in words)


def code() -> dict[str, Any]:
    """Commit of the checkout that runs, and whether it was changed since; None for an installed wheel."""
    root = Path(__file__).parent.parent
    commit = _output("git", "-C", str(root), "rev-parse", "HEAD") if (root / ".git").exists() else None
    dirty = bool(_output("git", "-C", str(root), "status", "--porcelain")) if commit else None
    return {"git_commit": commit, "git_dirty": dirty}


def n_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def package_version(package: str) -> str | None:
    """The installed version of a package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _output(*words: str) -> str | None:
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
