"""As much of the reference study, at the full recipe, as one GPU does in a few minutes.

`make reference-on-gpu` runs it. Trials run side by side, under MPS where it starts, until the time is up; what is
finished then is published (`medbench publish --partial`) and packed into one file, small enough to be carried away
from a machine that is only lent. Real images lie where MEDBENCH_DATA says. `--small` tries the script itself on
synthetic images, on any device.
"""

import argparse
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import torch

STUDY, SMALL = "medlitenet", ("--profile", "quick", "--set", "training.epochs=1", "--set", "dataset.images=40")
MEDBENCH = (sys.executable, "-m", "medbench.bench")
ENDING_S = 30.0  # for trials to let go, once they are told to


def train(store: Path, jobs: int, seconds: float, small: bool) -> None:
    """Runs the study until it is done or the time is up."""
    words = SMALL if small else ("--set", "seeds=5")
    process = subprocess.Popen([*MEDBENCH, "run", STUDY, "--store", str(store), "--jobs", str(jobs), *words])
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--store", type=Path, default=Path("runs/reference-on-gpu"), help="to go on from")
    parser.add_argument("--seconds", type=float, default=510, help="of training; publishing takes a minute more")
    parser.add_argument("--jobs", type=int, default=8, help="trials at once")
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    if not asked.small and not torch.cuda.is_available():
        sys.exit("no CUDA device here; --small tries the script itself")
    sys.path.insert(0, str(Path(__file__).parent))  # which PYTHONSAFEPATH leaves out
    from gpu_check import shared_gpu

    os.environ["PYTHONSAFEPATH"] = "1"
    with shared_gpu():
        train(asked.store, 2 if asked.small else asked.jobs, asked.seconds, asked.small)
    asked.out.mkdir(parents=True)
    name = f"{STUDY}-quick" if asked.small else STUDY
    folder = asked.out / f"{name}-on-gpu"
    done = subprocess.run([*MEDBENCH, "publish", str(asked.store), name, "-o", str(folder), "--partial"])
    if done.returncode:
        sys.exit(done.returncode)
    with tarfile.open(asked.out / f"{folder.name}.tar", "w") as archive:
        archive.add(folder, folder.name)
    subprocess.run([*MEDBENCH, "verify", str(folder)], check=True)


if __name__ == "__main__":
    main()
