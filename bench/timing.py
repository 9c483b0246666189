"""Models timed side by side: interleaved, so that a machine that drifts drifts for all of them alike."""

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

from .energy import Joules, meter_of
from .errors import MedbenchError, UnknownNameError
from .latency import clock_of
from .provenance import device_name
from .runtimes import DTYPES, RUNTIMES, Run, Subject

ROUNDS = 20  # in each, every model has its turn
PASSES = 200  # at least, of each model
WINDOW, STABLE, LONGEST_WARM_UP_S = 10, 0.03, 20.0
PAUSE_S, PAUSED_PASSES = 0.05, 20
METERED_S = 2.0  # counters move in steps of milliseconds


@dataclass(slots=True)
class _Timed:
    """A model in a runtime, and what was measured of it."""

    name: str
    runtime: str
    run: Run
    peak_bytes: int | None
    warm_up: int = 0
    rounds: list[NDArray[np.float64]] = field(default_factory=list[NDArray[np.float64]])
    paused: list[float] = field(default_factory=list[float])
    joules: float | None = None

    @property
    def median(self) -> float:
        return float(np.median(np.concatenate(self.rounds)))


def time_side_by_side(
    subjects: Sequence[Subject],
    *,
    batches: Sequence[int],
    dtypes: Sequence[str],
    runtimes: Sequence[str],
    device: torch.device,
    passes: int = PASSES,
    on_round: Callable[[int, int], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """One row a model, runtime, data type and batch size.

    Each model is warmed up until the median of ten passes no longer moves, then all take turns, a few passes at a time,
    at least `passes` in all; then once more with a pause before every pass, as requests come in life; then, where there
    is a meter, for two seconds under it. On a GPU passes are timed by events, on a CPU by the clock, on torch's number
    of threads. Nothing but the model is timed.

    Args:
        subjects: the models; the first is what the others are divided by.
        batches: images a pass.
        dtypes: "fp32", "fp16" (GPU alone), "bf16", "int8" (CPU alone).
        runtimes: names of `RUNTIMES`; each is timed in the data types that it serves.
        device: where.
        passes: how many of each model at least.
        on_round: called with the numbers of rounds done and to do.

    Returns:
        rows with model, runtime, device, threads, dtype, batch, size, n, warm_up (passes), median_ms, p5_ms, p95_ms
        (of a pass), images_per_second, paused_ms (median after a pause), peak_mb (GPU: of preparing the model and a
        pass; else None), joules (an image; None without a meter), ratio (to the first model in the same runtime,
        geometric mean over rounds), ratio_low, ratio_high (95 %, t over rounds; None of the first model itself), and
        best_ratio, best_ratio_low, best_ratio_high, the same between the fastest runtimes of both (None in the rows of
        slower runtimes).

    Raises:
        MedbenchError: a runtime is not known, or no runtime computes in a data type on this device.
    """
    on_gpu = device.type == "cuda"
    chosen = {dtype: _serving(dtype, runtimes, device) for dtype in dtypes}
    torch.use_deterministic_algorithms(False)  # training asks for deterministic kernels, which nobody deploys
    torch.backends.cudnn.benchmark = on_gpu
    clock, meter, rows = clock_of(device), meter_of(device), list[dict[str, Any]]()
    settings = [(dtype, batch) for dtype in dtypes for batch in batches]
    for done, (dtype, batch) in enumerate(settings):
        every = [_prepared(subject, runtime, batch, dtype, device) for subject in subjects for runtime in chosen[dtype]]
        for each in every:
            _warm_up(each, clock)
        turns = max(1, -(-passes // ROUNDS))
        for turn in range(ROUNDS):
            for each in every[turn % len(every) :] + every[: turn % len(every)]:
                each.rounds.append(np.array([clock(each.run) for _ in range(turns)]))
            on_round(done * ROUNDS + turn + 1, len(settings) * ROUNDS)
        for _ in range(PAUSED_PASSES):
            for each in every:
                time.sleep(PAUSE_S)
                each.paused.append(clock(each.run))
        if not isinstance(meter, str):
            for each in every:
                each.joules = _joules(each.run, meter, device) / batch
        shared = {"device": device_name(device), "threads": torch.get_num_threads(), "dtype": dtype}
        shared |= {"batch": batch, "size": subjects[0].size}
        rows += _rows(every, shared)
    return rows


@contextmanager
def pinned(threads: int) -> Generator[None]:
    """Keeps this process on as many processors as it has threads, where the system can; the last ones, since the
    first answer the interrupts."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    if before:
        os.sched_setaffinity(0, sorted(before)[-threads:])
    try:
        yield
    finally:
        if before:
            os.sched_setaffinity(0, before)


def _serving(dtype: str, runtimes: Sequence[str], device: torch.device) -> list[str]:
    """The runtimes, of those asked for, that compute in a data type on the device."""
    for name in runtimes:
        if name not in RUNTIMES:
            raise UnknownNameError("runtime", name, RUNTIMES)
        if device.type not in RUNTIMES[name].devices:
            raise MedbenchError(f"--runtime {name}: not on a {device.type.upper()}")
    if dtype not in DTYPES:
        raise UnknownNameError("--dtype", dtype, DTYPES)
    if dtype == "fp16" and device.type != "cuda":
        raise MedbenchError(
            "--dtype fp16: refused on a CPU, where torch emulates it, so that its latency says nothing of fp16; "
            "time it on a GPU, or take fp32 or bf16"
        )
    found = [name for name in runtimes if dtype in RUNTIMES[name].dtypes]
    if not found:
        able = [name for name, each in RUNTIMES.items() if dtype in each.dtypes and device.type in each.devices]
        raise MedbenchError(f"--dtype {dtype}: needs --runtime {' or '.join(able) or 'of another device'}")
    return found


def _prepared(subject: Subject, runtime: str, batch: int, dtype: str, device: torch.device) -> _Timed:
    image = torch.rand(batch, 3, subject.size, subject.size, device=device, dtype=DTYPES[dtype])
    image = image.contiguous(memory_format=torch.channels_last)
    known = RUNTIMES[runtime]
    peak, before = None, 0
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    run = known.prepare(subject, image, dtype)
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
    return _Timed(subject.name, known.label, run, peak)


def _warm_up(timed: _Timed, clock: Callable[[Run], float]) -> None:
    """Until the median of a window is that of the window before."""
    until = time.perf_counter() + LONGEST_WARM_UP_S
    before = np.inf
    while time.perf_counter() < until:
        now = float(np.median([clock(timed.run) for _ in range(WINDOW)]))
        timed.warm_up += WINDOW
        if abs(now / before - 1) < STABLE:
            return
        before = now


def _joules(run: Run, meter: Joules, device: torch.device) -> float:
    """Energy of a pass, the mean over two seconds of them."""
    n, started, before = 0, time.perf_counter(), meter()
    while time.perf_counter() < started + METERED_S:
        run()
        n += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
    return (meter() - before) / n


def _rows(every: Sequence[_Timed], shared: dict[str, Any]) -> list[dict[str, Any]]:
    fastest = {each.name: min((o for o in every if o.name == each.name), key=lambda o: o.median) for each in every}
    best = ratio_to([], None) | {"ratio": None}
    rows: list[dict[str, Any]] = []
    first = every[0].name
    for each in every:
        times = np.concatenate(each.rounds)
        p5, median, p95 = np.percentile(times, (5, 50, 95))
        reference = next(other for other in every if other.runtime == each.runtime)
        to_best = ratio_to(each.rounds, fastest[first].rounds if each.name != first else None)
        rows.append(
            {
                "model": each.name,
                "runtime": each.runtime,
                **shared,
                "n": len(times),
                "warm_up": each.warm_up,
                "median_ms": float(median),
                "p5_ms": float(p5),
                "p95_ms": float(p95),
                "images_per_second": 1000 * shared["batch"] / float(median),
                "paused_ms": float(np.median(each.paused)),
                "peak_mb": None if each.peak_bytes is None else each.peak_bytes / 1e6,
                "joules": each.joules,
                **ratio_to(each.rounds, reference.rounds if reference is not each else None),
                **{f"best_{key}": value for key, value in (to_best if fastest[each.name] is each else best).items()},
            }
        )
    return rows


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
