"""Models timed side by side: interleaved, so that a machine that drifts drifts for all of them alike."""

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import MedbenchError, UnknownNameError
from ..stats import paired_ratio
from ..store.provenance import device_name, instructions, n_cores
from .clocks import clock_of
from .energy import Joules, meter_of
from .runtimes import DTYPES, RUNTIMES, Run, Subject

INSTANCES = 5  # of each model: the same weights loaded twice differ by a few percent, by where in memory they lie
ROUNDS = 4  # of each instance; in each, every model has its turn
PASSES = 200  # at least, of each model
WINDOW, STABLE, LONGEST_WARM_UP_S = 10, 0.03, 20.0
PAUSE_S, PAUSED_PASSES = 0.05, 4  # of each instance
BRIEF_ROUNDS, BRIEF_WARM_UP = 2, 1
METERED_S = 1.0  # counters move in steps of milliseconds
Instances = Sequence[Sequence[NDArray[np.float64]]]


@dataclass(slots=True)
class _Timed:
    """A model in a runtime, and what was measured of its instances."""

    subject: Subject
    runtime: str
    run: Run = field(default=lambda: None)
    peak_bytes: int | None = None
    warm_up: int = 0
    instances: list[list[NDArray[np.float64]]] = field(default_factory=list[list[NDArray[np.float64]]])
    """For each instance the times of each round, in milliseconds."""
    paused: list[float] = field(default_factory=list[float])
    joules: float | None = None

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def times(self) -> NDArray[np.float64]:
        return np.concatenate([times for rounds in self.instances for times in rounds])

    def prepare(self, batch: int, dtype: str, device: torch.device) -> None:
        """Makes another instance."""
        size = self.subject.size
        image = torch.rand(batch, self.subject.channels, size, size, device=device, dtype=DTYPES[dtype])
        image = image.contiguous(memory_format=torch.channels_last)
        before = 0
        if device.type == "cuda":
            self.run = lambda: None  # lets go of the memory of the one before
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        self.run = RUNTIMES[self.runtime].prepare(self.subject, image, dtype)
        self.run()
        if device.type == "cuda":
            torch.cuda.synchronize()
            self.peak_bytes = torch.cuda.max_memory_allocated() - before
        self.instances.append([])


def time_side_by_side(
    subjects: Sequence[Subject],
    *,
    batches: Sequence[int],
    dtypes: Sequence[str],
    runtimes: Sequence[str],
    device: torch.device,
    passes: int = PASSES,
    brief: bool = False,
    on_round: Callable[[int, int], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """One row a model, runtime, data type and batch size.

    Five instances of each model are made one after the other. Each is warmed up, the first until the median of ten
    passes no longer moves; then all models take turns, a few passes at a time, at least `passes` in all; then once more
    with a pause before every pass, as requests come in life; then, where there is a meter, for a second under it. On
    a GPU passes are timed by events, on a CPU by the clock, on torch's number of threads. Nothing but the model is
    timed.

    Args:
        subjects: the models; the first is what the others are divided by.
        batches: images a pass.
        dtypes: "fp32", "fp16" (GPU alone), "bf16", "int8" (CPU alone).
        runtimes: names of `RUNTIMES`; each is timed in the data types that it serves.
        device: where.
        passes: how many of each model at least.
        brief: a pass of warm-up and two rounds of each instance, no pauses and no meter: for models whose single
            pass takes long.
        on_round: called with the numbers of rounds done and to do.

    Returns:
        rows with model, runtime, device, instructions (a processor's; None on a GPU), threads, dtype, batch, size, n,
        warm_up (passes), median_ms, p5_ms, p95_ms (of a pass), images_per_second, paused_ms (median after a pause; None
        if brief), peak_mb (GPU: of preparing the model and a pass; else None), joules (an image; None without a meter),
        instance_ms (of each instance the geometric mean over rounds of their medians), ratio (to the first model in the
        same runtime, geometric mean), ratio_low, ratio_high (95 %, t over instances; None of the first model itself),
        and best_ratio, best_ratio_low, best_ratio_high, the same between the fastest runtimes of both (None in the rows
        of slower runtimes).

    Raises:
        MedbenchError: a runtime is not known, or no runtime computes in a data type on this device.
    """
    on_gpu = device.type == "cuda"
    chosen = {dtype: serving(dtype, runtimes, device) for dtype in dtypes}
    torch.use_deterministic_algorithms(False)  # training asks for deterministic kernels, which nobody deploys
    torch.backends.cudnn.benchmark = on_gpu
    clock, meter, rows = clock_of(device), meter_of(device), list[dict[str, Any]]()
    settings = [(dtype, batch) for dtype in dtypes for batch in batches]
    for done, (dtype, batch) in enumerate(settings):
        every = [_Timed(subject, runtime) for subject in subjects for runtime in chosen[dtype]]
        rounds = BRIEF_ROUNDS if brief else ROUNDS
        turns, n_rounds = max(1, -(-passes // (INSTANCES * rounds))), INSTANCES * rounds
        for instance in range(INSTANCES):
            for each in every:
                each.prepare(batch, dtype, device)
            for each in every:
                _warm_up(each, clock, BRIEF_WARM_UP if brief else WINDOW, until_stable=instance == 0 and not brief)
            for turn in range(rounds):
                start = (instance * rounds + turn) % len(every)
                for each in every[start:] + every[:start]:
                    each.instances[-1].append(np.array([clock(each.run) for _ in range(turns)]))
                on_round(done * n_rounds + instance * rounds + turn + 1, len(settings) * n_rounds)
            for _ in range(0 if brief else PAUSED_PASSES):
                for each in every:
                    time.sleep(PAUSE_S)
                    each.paused.append(clock(each.run))
        if not isinstance(meter, str) and not brief:
            for each in every:
                each.joules = _joules(each.run, meter, device) / batch
        where = {"device": device_name(device), "instructions": None if on_gpu else instructions()}
        where["threads"] = torch.get_num_threads()
        rows += _rows(every, where | {"dtype": dtype, "batch": batch})
    return rows


@contextmanager
def pinned(threads: int) -> Generator[None]:
    """Keeps this process on as many processors as it has threads, where the system can; the last ones, since the
    first answer the interrupts. MedbenchError where it may not use so many."""
    if threads > n_cores():
        raise MedbenchError(f"--threads {threads}: this process may use {n_cores()} processor(s)")
    before = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    if before:
        os.sched_setaffinity(0, sorted(before)[-threads:])
    try:
        yield
    finally:
        if before:
            os.sched_setaffinity(0, before)


def serving(dtype: str, runtimes: Sequence[str], device: torch.device) -> list[str]:
    """The runtimes, of those asked for, that compute in a data type on the device; MedbenchError where one is unknown
    or none does."""
    for name in runtimes:
        if name not in RUNTIMES:
            raise UnknownNameError("runtime", name, RUNTIMES)
        if device.type not in RUNTIMES[name].devices:
            where = "a GPU, which is used where there is one; CUDA_VISIBLE_DEVICES= (empty) hides it"
            raise MedbenchError(f"--runtime {name}: not on {where if device.type == 'cuda' else 'a CPU'}")
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


def _warm_up(timed: _Timed, clock: Callable[[Run], float], window: int, *, until_stable: bool) -> None:
    """Until the median of a window of passes is that of the window before, or for one window."""
    until = time.perf_counter() + LONGEST_WARM_UP_S
    before = np.inf
    while time.perf_counter() < until:
        now = float(np.median([clock(timed.run) for _ in range(window)]))
        timed.warm_up += window
        if not until_stable or abs(now / before - 1) < STABLE:
            return
        before = now


def _joules(run: Run, meter: Joules, device: torch.device) -> float:
    """Energy of a pass, the mean over a second of them."""
    n, started, before = 0, time.perf_counter(), meter()
    while time.perf_counter() < started + METERED_S:
        run()
        n += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
    return (meter() - before) / n


def _rows(every: Sequence[_Timed], shared: dict[str, Any]) -> list[dict[str, Any]]:
    first = every[0].name
    fastest = {
        name: min((each for each in every if each.name == name), key=lambda each: np.median(each.times))
        for name in {each.name for each in every}
    }
    no_ratio = {"ratio": None, "ratio_low": None, "ratio_high": None}
    rows: list[dict[str, Any]] = []
    for each in every:
        p5, median, p95 = np.percentile(each.times, (5, 50, 95))
        reference = next(other for other in every if other.runtime == each.runtime)
        to_best = ratio_to(each.instances, fastest[first].instances if each.name != first else None)
        rows.append(
            {
                "model": each.name,
                "runtime": RUNTIMES[each.runtime].label,
                **shared,
                "size": each.subject.size,
                "n": len(each.times),
                "warm_up": each.warm_up,
                "median_ms": float(median),
                "p5_ms": float(p5),
                "p95_ms": float(p95),
                "images_per_second": 1000 * shared["batch"] / float(median),
                "paused_ms": float(np.median(each.paused)) if each.paused else None,
                "peak_mb": None if each.peak_bytes is None else each.peak_bytes / 1e6,
                "joules": each.joules,
                "instance_ms": _of_instances(each.instances),
                **ratio_to(each.instances, reference.instances if reference is not each else None),
                **{f"best_{key}": v for key, v in (to_best if fastest[each.name] is each else no_ratio).items()},
            }
        )
    return rows


def ratio_to(instances: Instances, reference: Instances | None) -> dict[str, float | None]:
    """The ratio of two models' medians, and its 95 % interval; 1 and None for the reference itself.

    Rounds are paired, for what slowed the machine down in one slowed both: an instance's ratio is the geometric mean
    over its rounds. The interval is that of t over instances, since rounds of one pair of instances repeat what sets
    these two apart by chance. Drift within the run is in it, another machine or another day is not.

    Args:
        instances: for each instance the times of each round.
        reference: the same of the reference.
    """
    if reference is None:
        return {"ratio": 1.0, "ratio_low": None, "ratio_high": None}
    found = paired_ratio(_of_instances(instances), _of_instances(reference))
    return {"ratio": found.ratio, "ratio_low": found.low, "ratio_high": found.high}


def _of_instances(instances: Instances) -> list[float]:
    """The time of each instance: the geometric mean over rounds of their medians."""
    return [float(np.exp(np.mean([np.log(np.median(times)) for times in rounds]))) for rounds in instances]
