"""A small store, written without training anything, for the tests of whatever reads stores."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from medbench.bench.metrics import Target, score_masks
from medbench.bench.metrics.calibration import N_BINS, brier, reliability
from medbench.bench.metrics.classes import over_classes, score_classes
from medbench.bench.store.records import MANIFEST, read_yaml, sealed_folder, write_json, write_yaml

HEIGHT, WIDTH = 48, 64
SHIFTS = {"medlitenet": 1.0, "no_baa": 2.5, "ensemble": 0.6}  # pixels by which each variant misses, on average
HEART = Target(("right ventricle", "myocardium", "left ventricle"))
PARTS = Target(("whole", "core"), overlap=True)
DESCRIPTIONS = {"medlitenet": "The full model", "no_baa": "Without boundary-aware attention", "ensemble": None}


def trial_id(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def disc(row: float, column: float, radius: float) -> np.ndarray:
    """(H, W) True within `radius` of the centre."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(rows - row, columns - column) <= radius


def fabricate(
    store: Path,
    name: str = "baa",
    *,
    n_seeds: int = 3,
    n_images: int = 12,
    n_folds: int = 0,
    variants: Sequence[str] = tuple(SHIFTS),
    trained_on: Mapping[str, str] | None = None,
    target: Target | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Writes a study of two trained variants and an ensemble of them; returns what stands in its YAML.

    Predictions are the reference discs, moved by a variant's shift with noise of its own for every seed and image.

    Args:
        store: the folder of the store.
        name: of the study.
        n_seeds: trainings of each variant, in each fold.
        n_images: test images, in each fold.
        n_folds: 0 for a plain split.
        variants: which of the three.
        trained_on: the name of the data set of each variant, whose test images are its own.
        target: of several classes or labels, see `parts`; the last image has none.
        changes: keys of the study; one that is None is left out.
    """
    folds = list(range(n_folds)) or [None]
    known: dict[str, Any] = {}
    for variant in variants:
        dataset = (trained_on or {}).get(variant)
        trials = []
        for seed, fold in product(range(n_seeds), folds):
            key = (variant, seed) if fold is None else (variant, seed, fold)
            trial, noise = trial_id(*key), np.random.default_rng([seed, int(10 * SHIFTS[variant]), *key[2:]])
            evaluations = {label: trial_id(*key, label) for label in ("clean", "ph2")}
            write_trial(store / "trials" / trial, variant, seed, noise, key[2:])
            for label, id in evaluations.items():
                images, gallery = write_gallery(store, n_images, dataset, fold, target)
                centres, references = discs(n_images)
                moves = noise.normal(SHIFTS[variant] * (1 if label == "clean" else 1.6), 0.8, size=(n_images, 2))
                folder = store / "trials" / trial / "evaluations" / id
                if target:
                    predictions = parts(target, centres + moves, false_alarms=True)
                    write_classes(folder, trial, label, images, predictions, parts(target, centres), gallery, target)
                    continue
                predictions = np.stack([disc(row, column, 11) for row, column in centres + moves])
                write_evaluation(folder, trial, label, images, predictions, references, gallery)
            trials.append({"seed": seed, "fold": fold, "trial": trial, "evaluations": evaluations})
        known[variant] = {
            "description": DESCRIPTIONS[variant],
            "parameters": 3_200_000 if variant == "medlitenet" else 2_900_000,
            "macs": None if variant == "ensemble" else 410_000_000,
            "settings": settings_of(variant)
            | ({"dataset": dataset} if dataset else {})
            | ({"channels": 1, "target": target.plain()} if target else {}),
            "trials": trials,
        }
    study = {
        "study": name,
        "profile": "cpu",
        "question": "Does boundary-aware attention improve MedLiteNet on ISIC 2018?",
        "baseline": "medlitenet",
        "primary": "dice",
        "margin": 0.01,
        "medbench": "0.1.0",
        "protocol": 1,
        "dataset": {"name": "isic2018", "split": "holdout", "size": 128},
        "n_images": {"train": 42, "validation": 6, "test": n_images},
        "left_out": 0,
        "score_at": "native",
        "evaluations": ["clean", "ph2"],
        "target": target.plain() if target else None,
        "variants": known,
    } | changes
    study = {key: value for key, value in study.items() if value is not None}
    write_yaml(store / "studies" / f"{name}.yaml", study)
    return study


def discs(n_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres (N, 2) and masks (N, H, W) of the references."""
    rng = np.random.default_rng(sum(map(ord, "fabricated store")))
    centres = rng.uniform((18, 22), (30, 42), size=(n_images, 2))
    return centres, np.stack([disc(row, column, 11) for row, column in centres])


def parts(target: Target, centres: np.ndarray, *, false_alarms: bool = False) -> np.ndarray:
    """(N, K, H, W) discs beside each other, of which a later class covers what it meets: class k is not in the images
    i with i + k divisible by 4, and none is in the last. With `false_alarms` there is a small disc of it nonetheless
    where i + k is divisible by 8."""
    found = np.zeros((len(centres), len(target.names), HEIGHT, WIDTH), bool)
    for (i, (row, column)), k in product(enumerate(centres), range(len(target.names))):
        is_there = (i + k) % 4 > 0 and i < len(centres) - 1
        if is_there or (false_alarms and (i + k) % 8 == 0):
            found[i, k] = disc(row, column + 9 * (k - 1), 9 - k if is_there else 3)
    return np.stack([target.planes(target.codes(planes)) for planes in found])


def write_gallery(
    store: Path, n_images: int, dataset: str | None, fold: int | None, target: Target | None = None
) -> tuple[list[str], str]:
    """Pictures and masks of a test set, if they are not there; the images' names and the set's digest."""
    images = [f"{dataset or 'ISIC'}_{100 * (fold or 0) + i:07d}" for i in range(n_images)]
    gallery = store / "gallery" / trial_id("gallery", *filter(None, (dataset, fold, target)))
    if not gallery.is_dir():
        gallery.mkdir(parents=True)
        rng = np.random.default_rng(sum(map(ord, "gallery")))
        centres, references = discs(n_images)
        codes = [target.codes(planes) for planes in parts(target, centres)] if target else references
        for image, reference in zip(images, codes, strict=True):
            skin = np.where(reference[..., None] > 0, [142, 96, 74], [228, 194, 176])
            pixels = skin + rng.normal(0, 5, (HEIGHT, WIDTH, 1))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(gallery / f"{image}.jpg")
            Image.fromarray(reference).save(gallery / f"{image}.png")
    return images, gallery.name


def settings_of(variant: str) -> dict[str, Any]:
    if variant == "ensemble":
        return {"ensemble": {"members": ["medlitenet", "no_baa"], "weighting": "validation-dice"}, "size": 128}
    return {
        "model": "medlitenet",
        "options": {"boundary_attention": variant == "medlitenet"},
        "encoder_weights": "imagenet",
        "training": {"epochs": 12, "batch_size": 16, "checkpoint": "last"},
        "size": 128,
    }


def environment(**changes: Any) -> dict[str, Any]:
    return {
        "medbench": "0.1.0",
        "packages": {"torch": "2.8.0", "numpy": "2.4.6"},
        "python": "3.11.7",
        "platform": "Linux",
        "cpu": "a processor",
        "instructions": "AVX2",
        "cores": 2,
        "threads": 2,
        "device": "cpu",
        "device_name": "a processor, 2 threads",
        "driver": None,
        "cuda": None,
        "git_commit": "0123abc",
        "git_dirty": False,
        "deterministic": True,
        "precision": "fp32",
        "command": "medbench run baa",
    } | changes


def write_trial(folder: Path, variant: str, seed: int, rng: np.random.Generator, fold: tuple[int, ...] = ()) -> None:
    with sealed_folder(folder) as working:
        members = {name: trial_id(name, seed, *fold) for name in SHIFTS if name != "ensemble"}
        extra = {"ensemble": {"members": members, "weights": dict.fromkeys(members, 0.5)}}
        write_yaml(working / "config.yaml", {"seed": seed} | (extra if variant == "ensemble" else {}))
        write_json(working / "environment.json", environment(precision="fp16"))
        if variant != "ensemble":
            epochs = np.arange(1, 13)
            loss = np.exp(-epochs / 4) + rng.normal(0, 0.01, 12)
            columns = {"train_loss": loss, "validation_loss": loss, "validation_dice": 0.9 - loss / 2}
            pd.DataFrame({"epoch": epochs, **columns, "seconds": 5.0 + seed}).to_parquet(working / "history.parquet")
    times = {"median_ms": 20 * SHIFTS[variant] + seed, "p5_ms": 9.0, "p95_ms": 40.0, "n": 50}
    write_timing(folder, variant, "a processor, 2 threads", "fp32", times)


def write_timing(folder: Path, variant: str, device: str, dtype: str, times: dict[str, float]) -> None:
    row = {"model": variant, "runtime": "torch eager", "device": device, "dtype": dtype, "batch": 1, "size": 256}
    write_json(folder / "latency" / f"{trial_id(device)}.json", {"machine": device, "rows": [row | times]})


def write_timings(
    store: Path,
    study: dict[str, Any],
    times: Mapping[str, Sequence[float]],
    device: str = "a processor",
    **changes: Any,
) -> Path:
    """Writes what `medbench run` does when it times a study's variants in turns: of each the times of its instances,
    the first variant being what the others are divided by."""
    shared = {"runtime": "torch eager", "device": device, "threads": 1, "dtype": "fp32", "size": 128, "n": 40}
    rows = [
        {"model": variant, **shared, "batch": batch, "median_ms": batch * float(np.median(ms))}
        | {"p5_ms": batch * min(ms), "p95_ms": batch * max(ms), "instance_ms": [batch * each for each in ms]}
        for batch in (1, 16)
        for variant, ms in times.items()
    ]
    models = {
        variant: {"trial": study["variants"][variant]["trials"][0]["trial"], "model": variant} for variant in times
    }
    found = {"study": study["study"], "machine": device, "baseline": next(iter(times)), "models": models, "rows": rows}
    path = store / "latency" / study["study"] / f"{trial_id(device)}.json"
    write_json(path, found | changes)
    return path


@contextmanager
def unsealed(folder: Path) -> Iterator[Path]:
    """Gives a copy of a finished folder to change; sealed again, it takes the place of the first."""
    (folder / MANIFEST).unlink()
    with sealed_folder(folder) as working:
        shutil.copytree(folder, working, dirs_exist_ok=True)
        yield working


def write_evaluation(
    folder: Path,
    trial: str,
    label: str,
    images: list[str],
    predictions: np.ndarray,
    references: np.ndarray,
    gallery: str,
) -> None:
    with sealed_folder(folder) as working:
        config = {"trial": trial, "name": label, "images": images, "score_at": "native", "images_digest": gallery}
        write_yaml(working / "config.yaml", config)
        write_json(working / "environment.json", environment())
        scores = pd.DataFrame(
            {"image": images, "height": HEIGHT, "width": WIDTH, **score_masks(predictions, references)}
        )
        scores.to_parquet(working / "scores.parquet")
        (working / "masks").mkdir()
        for image, prediction in zip(images, predictions, strict=True):
            Image.fromarray(prediction).save(working / "masks" / f"{image}.png")


def write_classes(
    folder: Path,
    trial: str,
    label: str,
    images: list[str],
    predictions: np.ndarray,
    references: np.ndarray,
    gallery: str,
    target: Target,
) -> None:
    """`write_evaluation` of several classes, masks (N, K, H, W); probabilities are 0.05 and 0.95."""
    rows: list[dict[str, Any]] = []
    by_name: list[pd.DataFrame] = []
    bins: list[pd.DataFrame] = []
    for image, prediction, wanted in zip(images, predictions, references, strict=True):
        scores = score_classes(prediction, target.codes(wanted), target)
        probability = np.where(prediction, 0.95, 0.05)
        scores["brier"] = np.array([brier(*each) for each in zip(probability, wanted, strict=True)])
        rows.append({"image": image, "height": HEIGHT, "width": WIDTH, **over_classes(scores)})
        rows[-1]["brier"] = scores["brier"].mean()
        by_name.append(pd.DataFrame({"image": image, "name": target.names, **scores}))
        for name, *each in zip(target.names, probability, wanted, strict=True):
            sums = pd.DataFrame(reliability(*each), columns=pd.Index(["pixels", "confidence", "positives"]))
            bins.append(sums.assign(image=image, name=name, bin=range(N_BINS)).loc[sums["pixels"] > 0])
    with sealed_folder(folder) as working:
        config = {"trial": trial, "name": label, "images": images, "score_at": "native", "images_digest": gallery}
        write_yaml(working / "config.yaml", config | {"target": target.plain()})
        write_json(working / "environment.json", environment())
        pd.DataFrame(rows).to_parquet(working / "scores.parquet", index=False)
        pd.concat(by_name, ignore_index=True).to_parquet(working / "classes.parquet", index=False)
        pd.concat(bins, ignore_index=True).to_parquet(working / "reliability.parquet", index=False)
        (working / "masks").mkdir()
        for image, prediction in zip(images, predictions, strict=True):
            Image.fromarray(target.codes(prediction)).save(working / "masks" / f"{image}.png")


def paint(store: Path, study: dict[str, Any], n_kept: int = 3) -> None:
    """Makes the evaluation `ph2` of every trial one of the clean images under hair, which keeps the worst pictures."""
    artifacts = {"ph2": {"kind": "hair", "severity": 3}}
    write_yaml(store / "studies" / f"{study['study']}.yaml", study | {"artifacts": artifacts})
    for scores in sorted(store.glob("trials/*/evaluations/*/scores.parquet")):
        config = read_yaml(scores.parent / "config.yaml")
        if config["name"] == "ph2":
            with unsealed(scores.parent) as folder:
                table = pd.read_parquet(scores).assign(artifact_fpr=0.25)
                table.to_parquet(folder / "scores.parquet")
                write_yaml(folder / "config.yaml", config | {"images_digest": trial_id("painted")})
                gallery = store / "gallery" / config["images_digest"]
                (folder / "pictures").mkdir()
                for place, image in enumerate(table.sort_values("dice")["image"]):
                    if place < n_kept:
                        for ending in ("jpg", "png"):
                            shutil.copy(gallery / f"{image}.{ending}", folder / "pictures")
                    else:
                        (folder / "masks" / f"{image}.png").unlink()


def deployment_of(study: dict[str, Any], /, **changes: Any) -> dict[str, Any]:
    """What `medbench deployment` writes of a study's variants, the n-th of which takes 1 + n/10 times as long as the
    baseline; integers cost the baseline 0.003 Dice and the others nothing that shows."""
    variants = {name: known["trials"][0] for name, known in study["variants"].items()}
    models: list[dict[str, Any]] = []
    latency: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    for n, (variant, entry) in enumerate(variants.items()):
        model = {"variant": variant, "trial": entry["trial"], "seed": entry["seed"], "parameters": 3_200_000 - n}
        sizes = {"macs": 510_000_000, "activation_mb": 14.4, "weights_mb": 12.9, "onnx_mb": 13.1, "int8_mb": 3.4}
        models.append(model | sizes)
        for dtype, times in (("fp32", (8.0, 7.5, 3.9, 3.2)), ("int8", (None, None, 2.6, 1.9))):
            for runtime, ms in zip(("torch eager", "torch compiled", "ONNX Runtime", "OpenVINO"), times, strict=True):
                if ms is not None:
                    latency.append(timing_of(variant, runtime, dtype, ms * (1 + n / 10), n, ms == min(times[2:])))
        change = (-0.003, -0.0045, -0.0016) if n == 0 else (-0.0002, -0.0009, 0.0005)
        where = {"variant": variant, "trial": entry["trial"], "dtype": "int8", "evaluation": "clean", "n_images": 12}
        level: dict[str, Any] = {"dice": 0.905 + change[0], "reference_dice": 0.905}
        level |= dict(zip(("difference", "ci_low", "ci_high"), change, strict=True))
        level["worst"] = [{"image": f"ISIC_{i:07d}", "difference": -0.02 / (1 + i)} for i in range(10)]
        scores += [where | {"runtime": runtime} | level for runtime in ("ONNX Runtime", "OpenVINO")]
    return {
        "study": study["study"],
        "baseline": study["baseline"],
        "machine": "a processor, 1 thread",
        "instructions": "AVX2, AVX-512, VNNI",
        "versions": {"torch": "2.8.0", "onnxruntime": "1.22.0", "openvino": None},
        "energy": "this processor, or virtual machine, shows no RAPL counter",
        "calibration_images": 100,
        "models": models,
        "latency": latency,
        "scores": scores,
    } | changes


def timing_of(model: str, runtime: str, dtype: str, ms: float, n: int, is_fastest: bool) -> dict[str, Any]:
    """A row of timings of the n-th model; the first is what the others are divided by."""
    ratio = dict(zip(("ratio", "ratio_low", "ratio_high"), (1 + n / 10, 0.98 + n / 10, 1.02 + n / 10), strict=True))
    ratio = ratio if n else {"ratio": 1.0, "ratio_low": None, "ratio_high": None}
    best = {f"best_{key}": value if is_fastest else None for key, value in ratio.items()}
    where = {"device": "a processor, 1 thread", "threads": 1, "dtype": dtype, "batch": 1, "size": 128}
    times = {"n": 200, "warm_up": 20, "median_ms": ms, "p5_ms": 0.95 * ms, "p95_ms": 1.3 * ms, "paused_ms": 1.2 * ms}
    rest = {"images_per_second": 1000 / ms, "peak_mb": None, "joules": None}
    return {"model": model, "runtime": runtime} | where | times | rest | ratio | best


def write_deployment(store: Path, study: dict[str, Any], name: str = "0a1b2c", /, **changes: Any) -> Path:
    """Puts such a file into the store, with changes of its parts."""
    path = store / "deployment" / study["study"] / f"{name}.json"
    write_json(path, deployment_of(study, **changes))
    return path
