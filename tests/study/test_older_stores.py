"""A store that an older medbench made is found, continued and reported: its ids, files and numbers are written here as
version 0.1.0 wrote them when all its modules lay in one folder."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from medbench.ablations.schema.loading import load_study
from medbench.bench.cli import app
from medbench.bench.store.folder import Store, evaluation_id, trial_id
from medbench.bench.study.planning import plan
from medbench.bench.study.runner import left_to_do
from medbench.bench.study.sets import Sets
from medbench.models.catalog import build_model
from medbench.reports import load

STUDY = """\
question: Is a store that an older medbench made still found?
baseline: plain
variants:
  plain: {model: medlitenet, options: {backbone: mobilenetv3_small_050, width: 32}}
  no_baa: {model: medlitenet, options: {backbone: mobilenetv3_small_050, width: 32, boundary_attention: false}}
dataset: {folder: mine, size: 32}
encoder_weights: none
seeds: 1
training: {epochs: 1, batch_size: 4}
evaluate: [clean, {artifact: jpeg, severity: 2}]
"""
PLAIN, PLAIN_CLEAN, PLAIN_JPEG = "d75b63e79a2559f2", "db4a9edf05516933", "b8554858e489309b"
NO_BAA, NO_BAA_CLEAN, NO_BAA_JPEG = "bf478f540d8862ec", "aaee704c21539c50", "0ab6f2226202aa9c"
TRIAL = """\
protocol: 2
model: medlitenet
options: {backbone: mobilenetv3_small_050, transformer: true, boundary_attention: true, aspp: true, scse: true,
  local_width: 192, token_width: 128, transformer_layers: 2, heads: 4, width: 32, aspp_width: 128,
  aspp_rates: [2, 4, 6], decoder_widths: [96, 48, 24, 16]}
encoder_digest: null
code_digest: null
size: 32
seed: 0
training: {epochs: 1, batch_size: 4, learning_rate: 0.001, encoder_learning_rate: 0.0003, weight_decay: 0.01,
  warmup_epochs: 1.0, final_learning_rate: 0.01, bce_weight: 0.5, dice_weight: 0.5, clip_norm: 1.0, precision: mixed,
  progressive_sizes: {0.0: 0.5, 0.25: 0.75, 0.5: 1.0}, checkpoint: last,
  augment: {flip: 0.5, affine: 0.7, rotate_degrees: 180.0, scale: [0.8, 1.2], shift: 0.1, elastic: 0.2,
    elastic_shift: 0.01, elastic_sigma: 0.05, colour: 0.5, brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 0.02,
    clahe: 0.1, noise: 0.1, noise_deviation: [0.01, 0.05], blur: 0.1, blur_sigma: [0.3, 1.5]}}
images_digest: d4fa2b8221b92509
train: ['0', '1', '2', '3', '5', '6', '8']
validation: ['9']
source: {set: {folder: mine}, leave_out_broken: false, encoder_weights: none}
"""
CLEAN = f"""\
scoring: 3
trial: {PLAIN}
name: clean
dataset: mine
score_at: native
images_digest: 236da401ada0d941
images: ['4', '7']
left_out: 0
copies_left_out: 0
source: {{set: {{folder: mine}}, leave_out_broken: false}}
"""
HISTORY = {
    "epoch": [1],
    "size": [32],
    "learning_rate": [0.0005],
    "train_loss": [0.82],
    "validation_loss": [0.74],
    "validation_dice": [0.25],
    "seconds": [1.3],
    "images_per_second": [3.0],
}
SCORES = {
    "image": ["4", "7"],
    "height": [32, 32],
    "width": [32, 32],
    "dice": [0.75, 0.5],
    "iou": [0.6, 1 / 3],
    "sensitivity": [0.75, 0.5],
    "specificity": [0.95, 0.9],
    "precision": [0.75, 0.5],
    "accuracy": [0.92, 0.85],
    "hd95": [3.0, 5.5],
    "assd": [1.25, 2.5],
    "nsd1": [0.5, 0.25],
    "nsd2": [0.75, 0.5],
    "biou": [0.4, 0.2],
    "iou_t65": [0.0, 0.0],
    "tp": [108.0, 72.0],
    "fp": [36.0, 72.0],
    "fn": [36.0, 72.0],
    "tn": [844.0, 808.0],
    "brier": [0.06, 0.12],
    "missed": [0.0, 0.0],
    "split": [0.0, 0.0],
    "spilled": [0.0, 1.0],
    "on_artifact": [np.nan, np.nan],
}
REPORTED = {  # of these scores
    "n_images": 2,
    "dice_mean": 0.625,
    "dice_sd_images": 0.1767766952966369,
    "hd95_mean": 4.25,
    "brier_mean": 0.09,
    "pooled_iou": 180 / 396,
    "parameters": 1_287_354,
    "macs": 409_904_384,
    "trials": PLAIN,
}
ENVIRONMENT = {
    "medbench": "0.1.0",
    "packages": {"numpy": "2.4.6", "torch": "2.14.1"},
    "python": "3.11.7",
    "platform": "Linux",
    "cpu": "a processor",
    "instructions": "AVX2",
    "cores": 2,
    "threads": 1,
    "device": "cpu",
    "device_name": "a processor, 1 thread",
    "driver": None,
    "cuda": None,
    "git_commit": "7dca5e3d3bf944172eb67ecbdb8058c9f7dea636",
    "git_dirty": False,
    "deterministic": True,
    "deterministic_or_warn": True,
    "precision": "fp32",
    "data": {"images_digest": "d4fa2b8221b92509"},
    "command": "medbench run older.yaml --store runs",
}


def write(folder: Path, config: str, tables: Mapping[str, Mapping[str, object]]) -> None:
    """The files that a trial and an evaluation have alike, and their tables."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT, indent=1) + "\n", encoding="utf-8")
    for name, columns in tables.items():
        pd.DataFrame(columns).to_parquet(folder / f"{name}.parquet", index=False)


def seal(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    listed = {name: {"sha256": hashlib.sha256(each).hexdigest(), "bytes": len(each)} for name, each in files.items()}
    (folder / "manifest.json").write_text(json.dumps({"files": listed}, indent=1) + "\n", encoding="utf-8")


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images, a study of two variants, and the store `runs` with one trial, tested on clean images."""
    rows, columns = np.mgrid[:32, :32]
    for part in ("images", "masks"):
        (tmp_path / "mine" / part).mkdir(parents=True)
    for i in range(10):
        lesion = (rows - 12 - i % 5) ** 2 + (columns - 16) ** 2 < 49
        pixels = np.where(lesion[..., None], [120, 80, 60], [220 - i, 190, 170]).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "mine" / "images" / f"{i}.bmp")
        Image.fromarray(lesion).save(tmp_path / "mine" / "masks" / f"{i}.bmp")
    (tmp_path / "older.yaml").write_text(STUDY, encoding="utf-8")
    trial = tmp_path / "runs" / "trials" / PLAIN
    write(trial, TRIAL, {"history": HISTORY})
    torch.manual_seed(0)
    options = {"backbone": "mobilenetv3_small_050", "width": 32}
    save_file(build_model("medlitenet", options).model.state_dict(), trial / "weights.safetensors")
    seal(trial)
    found = trial / "evaluations" / PLAIN_CLEAN
    bins = {"image": ["4", "7"], "bin": [10, 10], "pixels": [1024.0] * 2, "confidence": [522.0] * 2}
    write(found, CLEAN, {"scores": SCORES, "reliability": bins | {"positives": [144.0] * 2}})
    (found / "masks").mkdir()
    for image in ("4", "7"):
        Image.fromarray(rows < columns).save(found / "masks" / f"{image}.png")
    seal(found)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_ids_are_those_that_the_older_version_computed(older: Path) -> None:
    jobs = plan(load_study("older.yaml"), Sets(None, older / "cache")).jobs

    assert {job.id: [each["id"] for each in job.evaluations.values()] for job in jobs} == {
        PLAIN: [PLAIN_CLEAN, PLAIN_JPEG],
        NO_BAA: [NO_BAA_CLEAN, NO_BAA_JPEG],
    }
    assert json.loads(json.dumps(jobs[0].config)) == json.loads(json.dumps(yaml.safe_load(TRIAL)))
    assert trial_id(yaml.safe_load(TRIAL)) == PLAIN
    assert evaluation_id(yaml.safe_load(CLEAN)) == PLAIN_CLEAN


def test_an_older_store_is_continued_and_reported_with_its_own_numbers(older: Path) -> None:
    store = Store(older / "runs")
    planned = plan(load_study("older.yaml", settings=["evaluate=[clean]"]), Sets(None, older / "cache"))
    assert [job.id for job in left_to_do(planned, store)] == [NO_BAA]
    before = {path: path.read_bytes() for path in store.trial(PLAIN).rglob("*") if path.is_file()}

    ran = CliRunner().invoke(app, ["run", "older.yaml"])
    assert ran.exit_code == 0, ran.output
    made = CliRunner().invoke(app, ["report"])
    assert made.exit_code == 0, made.output

    assert {path: path.read_bytes() for path in before} == before
    assert "plain seed 0: epoch" not in ran.output
    assert "no_baa seed 0: epoch 1/1" in ran.output
    assert {path.name for path in (store.trial(PLAIN) / "evaluations").iterdir()} == {PLAIN_CLEAN, PLAIN_JPEG}
    scores = load(store.root).query("variant == 'plain' and evaluation == 'clean'")
    assert {name: scores[name].tolist() for name in ("image", "dice", "assd", "fp")} == {
        name: SCORES[name] for name in ("image", "dice", "assd", "fp")
    }
    [study] = json.loads((older / "report" / "report.json").read_text(encoding="utf-8"))["studies"]
    [row] = [each for each in study["variants"] if (each["variant"], each["evaluation"]) == ("plain", "clean")]
    assert {key: row[key] for key in REPORTED} == REPORTED
