"""Models timed side by side: interleaved, so that a machine that drifts drifts for all of them alike."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]
from torch import Tensor, nn

from ..models.catalog import build_model
from .errors import MedbenchError
from .latency import clock_of
from .provenance import device_name

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
ROUNDS = 20  # in each, every model has its turn
PASSES = 200  # at least, of each model
WINDOW, STABLE, LONGEST_WARM_UP_S = 10, 0.03, 20.0
PAUSE_S, PAUSED_PASSES = 0.05, 20
CLOCKS = ("clocks.sm", "clocks.mem", "temperature.gpu", "power.draw")


@dataclass(slots=True)
class _Subject:
    """A model that is ready to be timed, and what was measured of it."""

    name: str
    runtime: str
    forward: Callable[[], None]
    warm_up: int = 0
    rounds: list[NDArray[np.float64]] = field(default_factory=list[NDArray[np.float64]])
    paused: list[float] = field(default_factory=list[float])
    peak_bytes: int | None = None


def time_side_by_side(
    names: Sequence[str],
    *,
    size: int,
    batches: Sequence[int],
    dtypes: Sequence[str],
    device: torch.device,
    passes: int = PASSES,
    on_round: Callable[[int, int], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """One row a model, runtime, data type and batch size.

    Each model is warmed up until the median of ten passes no longer moves, then all take turns, a few passes at a time,
    at least `passes` in all; then once more with a pause before every pass, as requests come in life. On a GPU passes
    are timed by events, eagerly and replayed as a CUDA graph; on a CPU by the clock, on torch's number of threads.
    Weights are random, which costs what trained ones do; nothing but the model is timed.

    Args:
        names: models as in a study; the first is what the others are divided by.
        size: pixels a side.
        batches: images a pass.
        dtypes: "fp32", "fp16" (GPU alone), "bf16".
        device: where.
        passes: how many of each model at least.
        on_round: called with the numbers of rounds done and to do.

    Returns:
        rows with model, runtime, device, threads, dtype, batch, size, n, warm_up (passes), median_ms, p5_ms, p95_ms
        (of a pass), images_per_second, paused_ms (median after a pause), peak_mb (GPU, of a pass; else None), ratio (to
        the first model's same runtime, geometric mean over rounds), ratio_low, ratio_high (95 %, t over rounds; None of
        the first model itself).

    Raises:
        MedbenchError: a model is not known, or the device does not compute in a data type.
    """
    on_gpu = device.type == "cuda"
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise MedbenchError(f"--dtype {dtype}: known are {', '.join(DTYPES)}")
        if dtype == "fp16" and not on_gpu:
            raise MedbenchError(
                "--dtype fp16: refused on a CPU, where torch emulates it, so that its latency says nothing of fp16; "
                "time it on a GPU, or take fp32 or bf16"
            )
    torch.use_deterministic_algorithms(False)  # training asks for deterministic kernels, which nobody deploys
    torch.backends.cudnn.benchmark = on_gpu
    rows: list[dict[str, Any]] = []
    settings = [(dtype, batch) for dtype in dtypes for batch in batches]
    for done, (dtype, batch) in enumerate(settings):
        image = torch.rand(batch, 3, size, size, device=device, dtype=DTYPES[dtype])
        image = image.contiguous(memory_format=torch.channels_last)
        subjects = [each for name in names for each in _subjects(name, image)]
        clock = clock_of(device)
        for subject in subjects:
            _warm_up(subject, clock)
        turns = max(1, -(-passes // ROUNDS))
        for turn in range(ROUNDS):
            for subject in subjects[turn % len(subjects) :] + subjects[: turn % len(subjects)]:
                subject.rounds.append(np.array([clock(subject.forward) for _ in range(turns)]))
            on_round(done * ROUNDS + turn + 1, len(settings) * ROUNDS)
        for _ in range(PAUSED_PASSES):
            for subject in subjects:
                time.sleep(PAUSE_S)
                subject.paused.append(clock(subject.forward))
        shared = {"device": device_name(device), "threads": torch.get_num_threads(), "dtype": dtype}
        shared |= {"batch": batch, "size": size}
        rows += [_row(subject, subjects, shared) for subject in subjects]
    return rows


def conditions(device: torch.device) -> dict[str, str] | None:
    """Clocks, temperature and power of the GPU now; None on a CPU, or where nvidia-smi does not answer."""
    if device.type != "cuda":
        return None
    words = ["nvidia-smi", f"--query-gpu={','.join(CLOCKS)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(zip(CLOCKS, (each.strip() for each in answer.splitlines()[0].split(",")), strict=False))


def _subjects(name: str, image: Tensor) -> Iterator[_Subject]:
    model = build_model(name).model.to(image.device, image.dtype).to(memory_format=torch.channels_last).eval()

    def eager() -> None:
        with torch.inference_mode():
            model(image)

    subject = _Subject(name, "torch eager", eager)
    if image.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        eager()
        subject.peak_bytes = torch.cuda.max_memory_allocated()
        yield subject
        yield _Subject(name, "torch CUDA graph", _captured(model, image), peak_bytes=subject.peak_bytes)
    else:
        yield subject


def _captured(model: nn.Module, image: Tensor) -> Callable[[], None]:
    """The forward pass as a CUDA graph, captured after passes on a stream of its own, as torch asks."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(stream):
        for _ in range(3):
            model(image)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        model(image)
    return graph.replay


def _warm_up(subject: _Subject, clock: Callable[[Callable[[], None]], float]) -> None:
    """Until the median of a window is that of the window before."""
    until = time.perf_counter() + LONGEST_WARM_UP_S
    before = np.inf
    while time.perf_counter() < until:
        now = float(np.median([clock(subject.forward) for _ in range(WINDOW)]))
        subject.warm_up += WINDOW
        if abs(now / before - 1) < STABLE:
            return
        before = now


def _row(subject: _Subject, subjects: Sequence[_Subject], shared: dict[str, Any]) -> dict[str, Any]:
    times = np.concatenate(subject.rounds)
    p5, median, p95 = np.percentile(times, (5, 50, 95))
    reference = next(each for each in subjects if each.runtime == subject.runtime)
    return {
        "model": subject.name,
        "runtime": subject.runtime,
        **shared,
        "n": len(times),
        "warm_up": subject.warm_up,
        "median_ms": float(median),
        "p5_ms": float(p5),
        "p95_ms": float(p95),
        "images_per_second": 1000 * shared["batch"] / float(median),
        "paused_ms": float(np.median(subject.paused)),
        "peak_mb": None if subject.peak_bytes is None else subject.peak_bytes / 1e6,
        **ratio_to(subject.rounds, reference.rounds if reference is not subject else None),
    }


def ratio_to(
    rounds: Sequence[NDArray[np.float64]], reference: Sequence[NDArray[np.float64]] | None
) -> dict[str, float | None]:
    """The ratio of two models' medians, round by round, and its 95 % interval; 1 and None for the reference itself.

    Rounds are paired: what slowed the machine down in one slowed both. Drift within the run is in the interval, another
    machine or another day is not.
    """
    if reference is None:
        return {"ratio": 1.0, "ratio_low": None, "ratio_high": None}
    logs = np.log([np.median(a) / np.median(b) for a, b in zip(rounds, reference, strict=True)])
    mean, n = float(logs.mean()), len(logs)
    half = float(cast(Any, stats).t.ppf(0.975, n - 1) * logs.std(ddof=1) / np.sqrt(n))
    return {
        "ratio": float(np.exp(mean)),
        "ratio_low": float(np.exp(mean - half)),
        "ratio_high": float(np.exp(mean + half)),
    }
