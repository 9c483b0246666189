"""Where and with what a result was made. No user names, no secrets."""

import getpass
import os
import platform
import re
import subprocess
import sys
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .records import short_id

if TYPE_CHECKING:
    import torch

PACKAGES = (  # whatever a number of a trial or of its evaluations comes out of
    "albucore",
    "albumentations",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "pyarrow",
    "safetensors",
    "scipy",
    "segmentation-models-pytorch",
    "timm",
    "torch",
    "torchvision",
)


CPU_INFO = Path("/proc/cpuinfo")
INSTRUCTIONS = {  # by the names in /proc/cpuinfo; integers and sums of floats depend on them
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI": {"avx512_vnni", "avx_vnni"},
    "AMX": {"amx_int8"},
    "dotprod": {"asimddp"},
    "i8mm": {"i8mm"},
}

NAME = r"[^\s/'\",;:\])}]+"  # of a file, in a sentence or a command
HOME = re.compile(rf"(?<![\w/.~<])/(?:home|Users)/{NAME}|(?<![\w/.~<])/root(?![\w.-])")
ABSOLUTE = re.compile(rf"(?<![\w/.~<])(?!//)~?/(?:{NAME}/)*({NAME})/?")  # no part of an address or of a relative path

NO_KERNEL = "does not have a deterministic implementation"


def environment(device: "torch.device", precision: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, hardware, code, data and flags, as plain values.

    Args:
        device: what computes.
        precision: what it computes in, "fp32" or "fp16".
        config: the resolved configuration of the trial or the evaluation, for the digests of its data.
    """
    import torch

    on_gpu = device.type == "cuda"
    return {
        "medbench": package_version("medbench"),
        "packages": {name: package_version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "instructions": instructions(),
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
        "data": {key: config[key] for key in ("images_digest", "encoder_digest", "code_digest") if config.get(key)},
        "command": command(),
    }


@contextmanager
def noting_nondeterminism() -> Generator[list[str]]:
    """Gives a list of the operations, seen while the block runs, that torch has no deterministic kernel for on this
    device. Their warnings are not shown: they come with every step."""
    found: list[str] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=f".*{NO_KERNEL}")
        show = warnings.showwarning

        def note(message: Warning | str, *place: Any, **more: Any) -> None:
            if NO_KERNEL not in str(message):
                show(message, *place, **more)
            elif (operation := str(message).split()[0]) not in found:
                found.append(operation)

        warnings.showwarning = note
        yield found


def cpu_name() -> str:
    """The processor's own name, as far as the system tells."""
    return _cpu_info("model name") or platform.processor() or platform.machine()


def instructions() -> str:
    """What the processor offers for vectors and integers, as in "AVX2, AVX-512, VNNI, AMX"; its architecture where the
    system tells no more."""
    told = _cpu_info("flags") or _cpu_info("Features")  # x86, ARM
    if told is None:
        return platform.machine()
    offered = set(told.split())
    found = [name for name, flags in INSTRUCTIONS.items() if flags & offered]
    return ", ".join(found) or f"none of {', '.join(INSTRUCTIONS)}"


def _cpu_info(key: str) -> str | None:
    """What Linux says of its first processor."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), None)


def device_name(device: "torch.device") -> str:
    """The GPU's name, or the processor's with the number of threads in use."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    n = torch.get_num_threads()
    return f"{cpu_name()}, {n} thread{'s' if n > 1 else ''}"


def machine_id(device: "torch.device") -> str:
    """Same hardware, threads and torch, same id: latencies of one id can be compared."""
    import torch

    return short_id([device_name(device), torch.__version__])


def command() -> str:
    """The command line, without what names a person."""
    return " ".join(map(without_names, [Path(sys.argv[0]).name, *sys.argv[1:]]))


def without_names(text: str) -> str:
    """The text with `~` for the home directory, and `user` for the user's name in any other path."""
    home, user = str(Path.home()), _user()
    if len(home) > 1:
        text = text.replace(home, "~")
    return re.sub(rf"(?<=[/=_]){re.escape(user)}(?=[/:\s]|$)", "user", text) if user else text


def without_places(value: Any) -> Any:
    """Plain values in whose texts absolute paths have become the last of their names.

    >>> without_places({"command": "medbench run baa --store=/mnt/disk/runs --data ~/sets", "at": "https://a.b/c"})
    {'command': 'medbench run baa --store=runs --data sets', 'at': 'https://a.b/c'}
    >>> without_places(["folder:/home/ann/clinic/", "/root", "a/b", "../c", "1 / 2"])
    ['folder:clinic', '~', 'a/b', '../c', '1 / 2']
    """
    if isinstance(value, dict):
        return {key: without_places(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_places(each) for each in value]
    return ABSOLUTE.sub(r"\1", HOME.sub("~", without_names(value))) if isinstance(value, str) else value


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number alone
        return ""


def code() -> dict[str, Any]:
    """Commit of the checkout that runs, and whether it was changed since; None for an installed wheel."""
    root = Path(__file__).parents[2]
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
