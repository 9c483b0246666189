"""Everything that only a GPU can show, in under nine minutes: its tests, latencies, training throughput.

`make gpu-check` runs it. Writes gpu-check.json, with the card, its clocks before and after, and what each part printed;
exit code 1 where a part failed, the others are kept. `--small` tries the script itself, on any device.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from medbench.bench.cost.energy import conditions
from medbench.bench.store.provenance import code, package_version
from medbench.bench.store.records import write_json
from medbench.bench.training.device import best_device

HERE = Path(__file__).parent
MODELS = ("smp:Unet/mobilenet_v2", "medlitenet", "ensemble")
MPS = "nvidia-cuda-mps-control"
KEPT = 4000  # characters of what a part printed


def latency(small: bool) -> list[str]:
    """The command of the table."""
    models = MODELS[:2] if small else MODELS
    words = ["-m", "medbench.bench", "latency", *models, "--json", "--size", "64" if small else "256"]
    if small:
        return [*words, "--batch", "1", "--passes", "20"]
    return [*words, "--batch", "1,16", "--dtype", "fp32,fp16,bf16", "--runtime", "eager,graph", "--passes", "200"]


def throughput(small: bool, packed: Sequence[str], file: Path) -> list[str]:
    """The command of the training benchmark."""
    words = [str(HERE / "benchmarks" / "training.py"), "--json", str(file)]
    if small:
        return [*words, "--images", "32", "--size", "64", "--rounds", "1", "--workers", "0", "--packed", "2"]
    return [*words, "--images", "912", "--rounds", "2", "--packed", *packed]


def run(words: Sequence[str], seconds: float) -> dict[str, Any]:
    """Runs Python with these words and tells how it went; what it started ends with it."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONSAFEPATH": "1"},
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, err = process.communicate()
        err += f"\nended after {seconds:.0f} s"
    took = time.monotonic() - started
    return {"code": process.returncode, "seconds": round(took, 1), "out": out, "err": err[-KEPT:]}


@contextmanager
def shared_gpu() -> Generator[bool]:
    """NVIDIA's MPS, where it is installed and starts: kernels of several processes run side by side, not in turns."""
    with tempfile.TemporaryDirectory() as folder:
        names = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        started = shutil.which(MPS) is not None and (
            subprocess.run([MPS, "-d"], env=os.environ | names, capture_output=True).returncode == 0
        )
        if not started:
            yield False
            return
        before = {name: os.environ.get(name) for name in names}
        os.environ.update(names)
        try:
            yield True
        finally:
            subprocess.run([MPS], input="quit\n", text=True, capture_output=True)
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, help="gpu-check.json; with --small, gpu-check-small.json")
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    if not asked.small and not torch.cuda.is_available():
        sys.exit("no CUDA device here; `python tests/gpu_check.py --small` tries the script itself")
    out: Path = asked.out or Path("gpu-check-small.json" if asked.small else "gpu-check.json")
    device = best_device()
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "versions": {name: package_version(name) for name in ("medbench", "torch", "timm", "lightning")},
        **code(),
        "before": conditions(device),
        "parts": {},
    }

    def part(name: str, words: Sequence[str], seconds: float, file: Path | None = None) -> None:
        print(f"{name} ...", flush=True)
        told = run(words, seconds)
        try:
            told["figures"] = json.loads(file.read_text(encoding="utf-8") if file else told["out"])
            told["out"] = ""
        except (OSError, ValueError):
            told["out"] = told["out"][-KEPT:]
        last = told["out"].strip().splitlines()[-1:]  # of tests, how many were skipped
        print(f"{name}: code {told['code']} after {told['seconds']} s", *last, flush=True)
        print(told["err"] if told["code"] else "", end="", flush=True)
        found["parts"][name] = told
        write_json(out, found | {"after": conditions(device)})

    with tempfile.TemporaryDirectory() as folder:
        tests = [str(HERE / "test_gpu.py"), str(HERE / "datasets" / "test_batched.py")]
        part("tests", ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *tests], 160)
        part("latency", latency(asked.small), 180)
        file = Path(folder) / "training.json"
        part("training", throughput(asked.small, ["2", "4"], file), 110, file)
        if not asked.small:
            with shared_gpu() as started:
                if started:
                    file = Path(folder) / "shared.json"
                    part("training under MPS", throughput(False, ["4", "8"], file), 80, file)
    print(f"all is in {out}")
    sys.exit(any(each["code"] for each in found["parts"].values()))


if __name__ == "__main__":
    main()
