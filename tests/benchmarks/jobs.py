"""Trials side by side, one thread each, against one after the other with all cores: why `--jobs auto` does the first.

python tests/benchmarks/jobs.py

As many trials of MedLiteNet on synthetic images as this process may use cores, through the executor of `medbench run`,
evaluation and bookkeeping included. The two ways take turns, so that a drift of the machine hits both. The figure holds
for an idle machine alone.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from medbench.ablations.schema.loading import load_study
from medbench.bench.store.provenance import n_cores
from medbench.bench.study.executors.local import Local
from medbench.bench.study.planning import Job, plan
from medbench.bench.study.runner import decode
from medbench.bench.study.sets import Sets
from medbench.bench.study.trials import Place, run_job


def seconds(jobs: list[Job], place: Place, at_once: int) -> float:
    """How long all jobs take."""
    started = time.perf_counter()
    if failed := Local(at_once)(jobs, place, lambda _: None, work=run_job):
        raise SystemExit(f"{len(failed)} trials failed")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    n = n_cores()
    settings = (
        f"dataset={{name: synthetic, images: 200, size: {asked.size}}}",
        f"seeds={n}",
        f"training.epochs={asked.epochs}",
        "training.progressive_sizes={0.0: 1.0}",
        "encoder_weights=none",
        "evaluate=[clean]",
        "exclude_copies=false",
    )
    with tempfile.TemporaryDirectory() as folder:
        sets = Sets(None, Path(folder, "cache"))
        planned = plan(load_study("baa", settings=settings), sets).jobs
        jobs = [job for job in planned if job.cell.variant == "medlitenet"]
        decode(jobs, sets)
        images = sum(len(job.config["train"]) for job in jobs) * asked.epochs
        ratios: list[float] = []
        for turn in range(asked.rounds + 1):
            places = [Place(Path(folder, f"{turn}-{t}"), None, sets.cache, t, 0) for t in (n, 1)]
            after = seconds(jobs, places[0], 1)
            beside = seconds(jobs, places[1], n)
            if turn == 0:
                continue  # it imports what the other rounds find imported
            ratios.append(after / beside)
            print(
                f"one after the other, {n} threads: {images / after:.1f} images/s; side by side, one thread each: "
                f"{images / beside:.1f} images/s; ratio {ratios[-1]:.2f}",
                flush=True,
            )
        print(f"{n} trials, {asked.size} pixels: median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
