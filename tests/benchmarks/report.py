"""What `medbench report` takes for many trainings: seconds and peak memory, of reading the scores and of everything;
besides, `medbench status`.

python tests/benchmarks/report.py [VARIANTS SEEDS IMAGES]

By default 10 variants x 100 seeds, each scored on 1,000 images by the protocol's twelve metrics: 12 million values. The
store is made up: scores are drawn, trials have the files that `medbench run` writes but no weights, and the gallery
holds no picture. Status, reading and reporting run in a process of their own each, so that peaks are theirs; times hold
the start of the interpreter and its imports.
"""

import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from medbench.bench.metrics import METRICS
from medbench.bench.metrics.calibration import N_BINS
from medbench.bench.store.records import MANIFEST, short_id, write_json, write_text, write_yaml

SIDE = 256  # pixels
BETWEEN_SEEDS, BETWEEN_IMAGES, BETWEEN_VARIANTS, REST = 0.003, 0.1, 0.03, 0.04  # deviations, as in calibration.py
STATUS = (
    "from medbench.bench.study.status import statuses; from medbench.bench.store.folder import Store; "
    "print(len(statuses(Store(Path(sys.argv[1])))[0].done), 'done')"
)
LOAD = "from medbench.reports import load; print(len(load(Path(sys.argv[1]))), 'rows')"
REPORT = "from medbench.reports import write_report; print(write_report([Path(sys.argv[1])], Path(sys.argv[2])))"


def main() -> None:
    n_variants, n_seeds, n_images = map(int, sys.argv[1:] or (10, 100, 1_000))
    print(f"{n_variants} variants x {n_seeds} seeds x {n_images} images x {len(METRICS)} metrics")
    with tempfile.TemporaryDirectory() as folder:
        store, out = Path(folder, "runs"), Path(folder, "report")
        started = time.perf_counter()
        fabricate(store, n_variants, n_seeds, n_images)
        print(f"made up in {time.perf_counter() - started:.1f} s")
        measure("status", STATUS, store)
        measure("load", LOAD, store)
        measure("report", REPORT, store, out)


def measure(what: str, code: str, *folders: Path) -> None:
    """Runs code in a process of its own and prints what it took."""
    code = f"import resource, sys; from pathlib import Path; {code}"
    code += "; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *folders], check=True, stdout=subprocess.PIPE, text=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = int(done.stdout.split()[-1]) / 2**20  # ru_maxrss is in KiB, on Linux
    print(f"{what}: {seconds:.1f} s ({processor:.1f} s of processor time), peak memory {peak:.2f} GiB")


def fabricate(store: Path, n_variants: int, n_seeds: int, n_images: int) -> None:
    """A finished study with one evaluation."""
    rng = np.random.default_rng(0)
    images = [f"ISIC_{image:07d}" for image in range(n_images)]
    train = [f"ISIC_{image:07d}" for image in range(n_images, 3 * n_images)]
    ids_of_training, ids_of_test = yaml.safe_dump({"train": train}), yaml.safe_dump({"images": images})
    digest = short_id(images)
    difficulty = rng.normal(0, BETWEEN_IMAGES, n_images)
    epochs = pd.DataFrame({name: np.linspace(0.9, 0.1, 60) for name in ("train_loss", "validation_loss", "seconds")})
    history = parquet(epochs.assign(epoch=np.arange(1, 61), validation_dice=1 - epochs["train_loss"]))
    bins = pd.DataFrame({"image": np.repeat(images, N_BINS), "bin": np.tile(np.arange(N_BINS), n_images)})
    reliability = parquet(bins.assign(pixels=50.0, confidence=0.05 * bins["bin"] * 50, positives=2.0 * bins["bin"]))
    variants: dict[str, Any] = {}
    for variant in (f"variant_{place}" for place in range(n_variants)):
        level = difficulty + rng.normal(0, BETWEEN_VARIANTS, n_images)
        trials: list[dict[str, Any]] = []
        for seed in range(n_seeds):
            config = {"seed": seed, "model": variant, "size": SIDE, "images_digest": digest}
            trial, key = short_id(config), short_id([config, "clean"])
            folder = store / "trials" / trial
            write_text(folder / "config.yaml", yaml.safe_dump(config) + ids_of_training)
            (folder / "history.parquet").write_bytes(history)
            seal(folder)
            folder = folder / "evaluations" / key
            tested = {"trial": trial, "name": "clean", "score_at": "native", "images_digest": digest}
            write_text(folder / "config.yaml", yaml.safe_dump(tested) + ids_of_test)
            (folder / "scores.parquet").write_bytes(parquet(scores(rng, images, level + rng.normal(0, BETWEEN_SEEDS))))
            (folder / "reliability.parquet").write_bytes(reliability)
            seal(folder)
            trials.append({"seed": seed, "fold": None, "trial": trial, "evaluations": {"clean": key}})
        variants[variant] = {"description": None, "settings": {"model": variant}, "trials": trials}
    spec = {"study": "many", "question": None, "profile": "paper", "medbench": "0.1.0", "protocol": 2}
    spec |= {"dataset": {"name": "isic2018", "split": "holdout", "size": SIDE}, "left_out": 0, "score_at": "native"}
    spec |= {"n_images": {"train": len(train), "validation": 0, "test": n_images}, "evaluations": ["clean"]}
    spec |= {"baseline": "variant_0", "primary": "dice", "margin": 0.01, "variants": variants}
    write_yaml(store / "studies" / "many.yaml", spec)


def scores(rng: np.random.Generator, images: list[str], level: np.ndarray) -> pd.DataFrame:
    """A row an image: every metric, the pixels that it is counted from, and failures."""
    values = (0.85 + level + rng.normal(0, REST, (len(METRICS), len(images)))).clip(0, 1)
    table = pd.DataFrame({"image": images, "height": SIDE, "width": SIDE, **dict(zip(METRICS, values, strict=True))})
    inside = np.rint(9_000 * table["dice"])
    table = table.assign(tp=inside, fp=9_000 - inside, fn=9_000 - inside, tn=SIDE**2 - 18_000 + inside)
    return table.assign(brier=1 - table["dice"], missed=0.0, split=0.0, spilled=0.0, on_artifact=np.nan)


def parquet(table: pd.DataFrame) -> bytes:
    return table.to_parquet(index=False)


def seal(folder: Path) -> None:
    """Adds an environment, and the manifest of a finished folder."""
    environment = {"medbench": "0.1.0", "packages": {"torch": "2.8.0"}, "device_name": "none", "git_dirty": False}
    write_json(folder / "environment.json", environment)
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    entries = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in files.items()
    }
    write_json(folder / MANIFEST, {"files": entries})


if __name__ == "__main__":
    main()
