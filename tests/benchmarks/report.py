"""What `medbench report` takes for many trainings: seconds and peak memory, of reading the scores and of everything;
besides, `medbench status`; and what `publish` and `verify` take for a whole study, with the size of each file.

python tests/benchmarks/report.py [VARIANTS SEEDS IMAGES]
python tests/benchmarks/report.py publish

By default 10 variants x 100 seeds, each scored on 1,000 images by the protocol's twelve metrics: 12 million values.
What is published has 12 variants x 3 seeds x 11 evaluations of 200 to 2,000 images, as the reference study. Stores
are made up: scores are drawn, trials have the files that `medbench run` writes but no weights, and the gallery holds no
picture. Each command runs in a process of its own, so that peaks are theirs; times hold the start of the interpreter
and its imports.
"""

import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from medbench.bench.metrics import METRICS, from_counts
from medbench.bench.metrics.calibration import N_BINS
from medbench.bench.store.records import MANIFEST, short_id, write_json, write_text, write_yaml

SIDE = 256  # pixels of the input
HEIGHT, WIDTH = 384, 512  # of masks
BETWEEN_SEEDS, BETWEEN_IMAGES, BETWEEN_VARIANTS, REST = 0.003, 0.1, 0.03, 0.04  # deviations, as in calibration.py
STATUS = (
    "from medbench.bench.study.status import statuses; from medbench.bench.store.folder import Store; "
    "print(len(statuses(Store(Path(sys.argv[1])))[0].done), 'done')"
)
LOAD = "from medbench.reports import load; print(len(load(Path(sys.argv[1]))), 'rows')"
PUBLISH = (
    "import datetime; from medbench.reports.publishing import publish; "
    "print(publish(Path(sys.argv[1]), 'many', Path(sys.argv[2]), date=datetime.date(2026, 1, 31)))"
)
VERIFY = "from medbench.reports.publishing import problems; print(len(list(problems(Path(sys.argv[1])))), 'problems')"
ARTIFACTS = {f"{kind}-{severity}": (kind, severity) for kind in ("hair", "ruler", "ink", "jpeg") for severity in (3, 5)}
EVALUATIONS = {"clean": 520, "ph2": 200, "ham10000": 2_000, **dict.fromkeys(ARTIFACTS, 520)}
REPORT = "from medbench.reports import write_report; print(write_report([Path(sys.argv[1])], Path(sys.argv[2])))"


def main() -> None:
    if sys.argv[1:] == ["publish"]:
        of_a_published_result()
        return
    n_variants, n_seeds, n_images = map(int, sys.argv[1:] or (10, 100, 1_000))
    print(f"{n_variants} variants x {n_seeds} seeds x {n_images} images x {len(METRICS)} metrics")
    with tempfile.TemporaryDirectory() as folder:
        store, out = Path(folder, "runs"), Path(folder, "report")
        started = time.perf_counter()
        fabricate(store, n_variants, n_seeds, {"clean": n_images})
        print(f"made up in {time.perf_counter() - started:.1f} s")
        measure("status", STATUS, store)
        measure("load", LOAD, store)
        measure("report", REPORT, store, out)


def of_a_published_result() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, out = Path(folder, "runs"), Path(folder, "published")
        fabricate(store, 12, 3, EVALUATIONS)
        measure("report", REPORT, store, Path(folder, "report"))
        measure("publish", PUBLISH, store, out)
        measure("verify", VERIFY, out)
        files = {path.relative_to(out): path.stat().st_size for path in sorted(out.rglob("*")) if path.is_file()}
        print(*(f"{size:>9,} {path}" for path, size in files.items()), sep="\n")
        print(f"{sum(files.values()):>9,} all {len(files)} files")


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


def fabricate(store: Path, n_variants: int, n_seeds: int, evaluations: Mapping[str, int]) -> None:
    """A finished study with these evaluations, each of a number of images."""
    rng = np.random.default_rng(0)
    images = {name: [f"ISIC_{image:07d}" for image in range(n)] for name, n in evaluations.items()}
    n_images = max(evaluations.values())
    train = [f"ISIC_{image:07d}" for image in range(n_images, 3 * n_images)]
    ids_of_training = yaml.safe_dump({"train": train})
    ids_of_test = {name: yaml.safe_dump({"images": ids}) for name, ids in images.items()}
    digests = {name: short_id([name, ids]) for name, ids in images.items()}
    difficulty = rng.normal(0, BETWEEN_IMAGES, n_images)
    epochs = pd.DataFrame({name: np.linspace(0.9, 0.1, 60) for name in ("train_loss", "validation_loss", "seconds")})
    history = parquet(epochs.assign(epoch=np.arange(1, 61), validation_dice=1 - epochs["train_loss"]))
    variants: dict[str, Any] = {}
    for variant in (f"variant_{place}" for place in range(n_variants)):
        level = difficulty + rng.normal(0, BETWEEN_VARIANTS, n_images)
        trials: list[dict[str, Any]] = []
        for seed in range(n_seeds):
            config = {"seed": seed, "model": variant, "size": SIDE, "images_digest": short_id(train)}
            trial = short_id(config)
            folder = store / "trials" / trial
            write_text(folder / "config.yaml", yaml.safe_dump(config) + ids_of_training)
            (folder / "history.parquet").write_bytes(history)
            seal(folder)
            of_seed = level + rng.normal(0, BETWEEN_SEEDS)
            keys = {name: short_id([config, name]) for name in evaluations}
            for name, key in keys.items():
                folder = store / "trials" / trial / "evaluations" / key
                tested = {"trial": trial, "name": name, "score_at": "native", "images_digest": digests[name]}
                write_text(folder / "config.yaml", yaml.safe_dump(tested) + ids_of_test[name])
                table = scores(rng, images[name], of_seed[: len(images[name])], name in ARTIFACTS)
                (folder / "scores.parquet").write_bytes(parquet(table))
                (folder / "reliability.parquet").write_bytes(parquet(reliability(images[name])))
                seal(folder)
            trials.append({"seed": seed, "fold": None, "trial": trial, "evaluations": keys})
        variants[variant] = {"description": None, "settings": {"model": variant}, "trials": trials}
    painted = [name for name in evaluations if name in ARTIFACTS]
    artifacts = {name: dict(zip(("kind", "severity"), ARTIFACTS[name], strict=True)) for name in painted}
    spec = {"study": "many", "question": None, "profile": "paper", "medbench": "0.1.0", "protocol": 2}
    spec |= {"dataset": {"name": "isic2018", "split": "holdout", "size": SIDE}, "left_out": 0, "score_at": "native"}
    spec |= {"n_images": {"train": len(train), "validation": 0, "test": n_images}, "evaluations": list(evaluations)}
    spec |= {"artifacts": artifacts}
    spec |= {"baseline": "variant_0", "primary": "dice", "margin": 0.01, "variants": variants}
    write_yaml(store / "studies" / "many.yaml", spec)


def scores(rng: np.random.Generator, images: list[str], level: np.ndarray, painted: bool) -> pd.DataFrame:
    """A row an image: every metric, the pixels that it is counted from, and failures."""
    values = (0.85 + level + rng.normal(0, REST, (len(METRICS), len(images)))).clip(0, 1)
    drawn = dict(zip(METRICS, values, strict=True))
    area = np.rint(np.random.default_rng(0).uniform(0.05, 0.5, len(images)) * HEIGHT * WIDTH)  # of an image's lesion
    inside = np.rint(area * drawn["dice"])
    outside = np.rint(2 * inside / drawn["dice"].clip(0.01) - inside - area).clip(0) + rng.integers(0, 500, len(images))
    counts = {"tp": inside, "fp": outside, "fn": area - inside, "tn": HEIGHT * WIDTH - area - outside}
    table = pd.DataFrame({"image": images, "height": HEIGHT, "width": WIDTH, **drawn, **from_counts(counts), **counts})
    table = table.assign(hd95=60 * (1 - drawn["hd95"]), assd=20 * (1 - drawn["assd"]), brier=1 - drawn["nsd1"])
    if painted:
        table = table.assign(artifact_fpr=1 - drawn["iou"], assd_near=20 * drawn["nsd1"], nsd2_near=drawn["nsd2"] ** 2)
    return table.assign(missed=0.0, split=0.0, spilled=0.0, on_artifact=0.0 if painted else np.nan)


def reliability(images: list[str]) -> pd.DataFrame:
    """A row an image and bin."""
    bins = pd.DataFrame({"image": np.repeat(images, N_BINS), "bin": np.tile(np.arange(N_BINS), len(images))})
    return bins.assign(pixels=50.0, confidence=0.05 * bins["bin"] * 50, positives=2.0 * bins["bin"])


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
