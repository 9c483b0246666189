"""What this machine can do, and what is missing for what."""

import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from ...datasets.catalog import DATASETS, completeness, open_dataset, told_completeness
from ..cost.energy import meter_of
from ..errors import MedbenchError
from ..store.folder import check_writable
from ..store.provenance import cpu_name, n_cores, package_version
from ..training.device import best_device

EXTRAS = {  # what a package that medbench does without is good for
    "deploy": (
        "medbench latency --runtime onnxruntime,openvino, export, deployment",
        ("onnx", "onnxruntime", "onnxscript", "openvino"),
    ),
    "ray": ("--executor ray", ("ray",)),
    "slurm": ("--executor slurm", ("submitit",)),
    "tensorboard": ("--track tensorboard", ("tensorboard",)),
    "mlflow": ("--track mlflow", ("mlflow-skinny",)),
    "nifti": ("masks and images of NIfTI slices", ("nibabel",)),
}
LEAST_FREE = 5e9  # bytes that a study's store and cache may well need


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, whether it is as it should be, what was found, and what to do if need be.

    `state` is "ok", "missing" (something optional) or "wrong" (something that a run needs).
    """

    what: str
    state: str
    found: str
    remedy: str = ""


def examine(store: Path, cache: Path, data: Path | None) -> list[Finding]:
    """Looks at versions, hardware, disk, data sets, weights and extras; changes nothing.

    Args:
        store: where results would go.
        cache: where decoded images would go.
        data: the folder of data sets, if one is named.
    """
    return [
        Finding("medbench", "ok", f"{package_version('medbench')}, Python {platform.python_version()}"),
        Finding("torch", "ok", f"{torch.__version__}, CUDA {torch.version.cuda or 'not built in'}"),
        Finding("processor", "ok", f"{cpu_name()}, {n_cores()} core(s) for this process"),
        *_gpus(),
        _meter(),
        _disk("store", store, "name another with --store or MEDBENCH_STORE"),
        _disk("cache", cache, "set MEDBENCH_CACHE to a folder that can"),
        *_data(data),
        *_extras(),
    ]


def _gpus() -> list[Finding]:
    if not torch.cuda.is_available():
        built = torch.version.cuda is not None
        why = "torch sees none; is the driver installed?" if built else "this torch is built for CPUs"
        return [Finding("GPU", "missing", why, "trainings run on the CPU: --profile cpu or quick")]
    found: list[Finding] = []
    for i in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(i)
        name = torch.cuda.get_device_name(i)
        found.append(Finding(f"GPU {i}", "ok", f"{name}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free"))
    return found


def _meter() -> Finding:
    meter = meter_of(best_device())
    if isinstance(meter, str):
        return Finding("energy", "missing", meter, "latencies come without joules")
    return Finding("energy", "ok", "the device has a meter")


def _disk(what: str, folder: Path, remedy: str) -> Finding:
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    try:
        check_writable(there, remedy)
    except MedbenchError as error:
        return Finding(what, "wrong", str(error))
    free = shutil.disk_usage(there).free
    told = f"{folder}, {free / 1e9:.0f} GB free"
    return Finding(what, "ok", told) if free > LEAST_FREE else Finding(what, "wrong", told, "make room")


def _data(data: Path | None) -> list[Finding]:
    if data is None:
        return [
            Finding("data", "missing", "no folder is named", "--data DIR or MEDBENCH_DATA; synthetic images need none")
        ]
    found: list[Finding] = []
    for name, known in DATASETS.items():
        if known.read is None:
            continue
        try:
            counts = completeness(name, open_dataset(name, data=data))
            found.append(Finding(name, "ok", told_completeness(counts)))
        except MedbenchError as error:
            found.append(Finding(name, "missing", str(error).split(";")[0].removeprefix(f"{name}: "), known.how))
    weights = sorted(path.stem for path in (data / "weights").glob("*.safetensors"))
    none = "timm's hub is asked, or train with --set encoder_weights=none"
    found.append(
        Finding("weights", "ok" if weights else "missing", ", ".join(weights) or "no file", "" if weights else none)
    )
    return found


def _extras() -> list[Finding]:
    found: list[Finding] = []
    for extra, (purpose, packages) in EXTRAS.items():
        missing = [package for package in packages if package_version(package) is None]
        versions = ", ".join(f"{package} {package_version(package)}" for package in packages if package not in missing)
        if missing:
            remedy = f"pip install 'medbench[{extra}]', for {purpose}"
            found.append(Finding(extra, "missing", f"without {', '.join(missing)}", remedy))
        else:
            found.append(Finding(extra, "ok", versions))
    return found
