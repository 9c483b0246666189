"""`medbench` as a user runs it: train, evaluate, time, report; never twice; mistakes in one line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from medbench.ablations.schema.grid import Cell
from medbench.bench.cli import app
from medbench.bench.cost import latency
from medbench.bench.errors import MedbenchError
from medbench.bench.metrics import METRICS
from medbench.bench.store.folder import Store
from medbench.bench.store.records import damage, is_sealed
from medbench.bench.study.planning import Job
from medbench.bench.study.trials import Place, run_job, trained_model
from medbench.datasets.synthetic import SyntheticSet

STUDY = """\
question: Does it run?
baseline: full
variants:
  full: {model: medlitenet, options: {backbone: mobilenetv3_small_050}}
  less: {model: no_baa, options: {backbone: mobilenetv3_small_050}}
  both: {ensemble: {members: [full, less], weighting: validation-dice}}
dataset: {name: synthetic, images: 30, size: 64}
encoder_weights: none
seeds: 2
training: {epochs: 2, batch_size: 8}
"""


class Broken(nn.Module):
    """A model of a user's own that fails at its first batch of training, not at the two images of planning."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        if len(image) > 2:
            raise RuntimeError("this model is broken")
        return self.conv(image)


def medbench(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200", "OMP_NUM_THREADS": "1"})


def files_below(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "mine.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(study: Path) -> Path:
    """A store with the study's six trials."""
    store = study.parent / "runs"
    result = medbench("run", study, "--store", store)
    assert result.exit_code == 0, result.output
    return store


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def record_of(store: Path) -> dict[str, Any]:
    return yaml.safe_load((store / "studies" / "mine.yaml").read_text(encoding="utf-8"))


def trials_of(store: Path) -> dict[tuple[str, int], str]:
    variants = record_of(store)["variants"]
    return {(name, each["seed"]): each["trial"] for name, variant in variants.items() for each in variant["trials"]}


def test_a_run_leaves_what_the_design_says(finished: Path) -> None:
    record = record_of(finished)

    assert record["n_images"] == {"train": 21, "validation": 3, "test": 6}
    assert len(set(trials_of(finished).values())) == 6
    for (variant, _), id in trials_of(finished).items():
        folder = finished / "trials" / id
        names = {path.name for path in folder.iterdir()} - {"evaluations", "manifest.json"}
        trained = {"history.parquet", "weights.safetensors"} if variant != "both" else set()
        assert names == {"config.yaml", "environment.json"} | trained
        assert is_sealed(folder)
        assert damage(folder) == []
        [evaluation] = (folder / "evaluations").iterdir()
        assert is_sealed(evaluation)
        scores = pd.read_parquet(evaluation / "scores.parquet")
        assert len(scores) == 6
        assert set(METRICS) < set(scores.columns)


def test_the_models_of_a_study_are_timed_in_turns_once_a_machine(finished: Path) -> None:
    [path] = (finished / "latency").glob("*/*.json")

    found = json.loads(path.read_text(encoding="utf-8"))

    assert {name: each["trial"] for name, each in found["models"].items()} == {
        variant: id for (variant, seed), id in trials_of(finished).items() if seed == 0
    }
    assert [(row["model"], row["batch"]) for row in found["rows"]] == [
        (name, batch) for batch in (1, 16) for name in found["models"]
    ]
    assert next(iter(found["models"])) == found["baseline"] == record_of(finished)["baseline"]
    for row in found["rows"]:
        assert 0 < row["p5_ms"] <= row["median_ms"] <= row["p95_ms"]
        assert len(row["instance_ms"]) == latency.INSTANCES
        assert row["model"] == found["baseline"] or row["ratio_low"] <= row["ratio"] <= row["ratio_high"]


def test_nothing_of_the_test_set_is_learnt_or_selected_on(finished: Path) -> None:
    for (variant, _), id in trials_of(finished).items():
        if variant == "both":
            continue
        config = Store(finished).config(id)
        [evaluation] = (finished / "trials" / id / "evaluations").iterdir()
        tested = yaml.safe_load((evaluation / "config.yaml").read_text(encoding="utf-8"))["images"]

        parts = [set(config["train"]), set(config["validation"]), set(tested)]

        assert sum(map(len, parts)) == len(set.union(*parts)) == 30


def test_variants_and_seeds_share_one_split(finished: Path) -> None:
    configs = [Store(finished).config(id) for (variant, _), id in trials_of(finished).items() if variant != "both"]

    assert len({json.dumps([config["train"], config["validation"]]) for config in configs}) == 1


def test_an_ensemble_weighs_its_members_of_the_same_seed_by_validation_dice(finished: Path) -> None:
    ids, store = trials_of(finished), Store(finished)
    config = store.config(ids["both", 1])["ensemble"]
    image = torch.rand(1, 3, 64, 64)

    with torch.inference_mode():
        probabilities = [trained_model(store, ids[name, 1])(image).sigmoid() for name in ("full", "less")]
        combined = trained_model(store, ids["both", 1])(image).sigmoid()

    weights = [store.validation_dice(ids[name, 1]) for name in ("full", "less")]
    assert config["members"] == {"full": ids["full", 1], "less": ids["less", 1]}
    assert list(config["weights"].values()) == weights
    expected = (weights[0] * probabilities[0] + weights[1] * probabilities[1]) / sum(weights)
    torch.testing.assert_close(combined, expected)


@pytest.mark.parametrize("dice", [0.0, float("nan")])
def test_members_whose_validation_dice_gives_no_weights_are_refused_before_they_are_an_ensemble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dice: float
) -> None:
    config = {"ensemble": {"members": {"full": "1", "less": "2"}, "weighting": "validation-dice"}, "seed": 0}
    monkeypatch.setattr(Store, "validation_dice", lambda _, id: {"1": 0.0, "2": dice}[id])

    with pytest.raises(MedbenchError, match=rf"cannot be told from full 0, less {dice:g}; say weighting: equal"):
        run_job(Job(Cell("both", 0, None), "3", config, {}), Place(tmp_path, None, tmp_path, 1, 0), lambda _: None)

    assert not Store(tmp_path).trial("3").exists()


def test_the_environment_says_where_and_names_no_user(finished: Path) -> None:
    environment = Store(finished).environment(trials_of(finished)["full", 0])

    assert environment["packages"]["torch"] == torch.__version__.split("+")[0]
    assert environment["deterministic"] is True
    assert environment["precision"] == "fp32" if environment["device"] == "cpu" else "fp16"
    assert str(Path.home()) not in json.dumps(environment) or str(Path.home()) == "/"


def test_a_finished_study_is_not_touched_again(study: Path, store: Path) -> None:
    before = files_below(store / "trials")

    result = medbench("run", study, "--store", store)

    assert result.exit_code == 0
    assert "0 to do" in result.output
    assert files_below(store / "trials") == before


def test_one_more_evaluation_costs_no_training(study: Path, store: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    images = SyntheticSet(images=3, size=96, seed=9)
    for id in images.ids:
        for part, pixels in (("images", images.image(id)), ("masks", images.mask(id))):
            (other / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(other / part / f"{id}.png")
    weights = {path: when for path, when in files_below(store).items() if path.endswith("weights.safetensors")}

    result = medbench("run", study, "--store", store, "--set", f"evaluate=[clean, {{folder: {other}}}]")

    assert result.exit_code == 0, result.output
    assert "epoch" not in result.output
    assert record_of(store)["evaluations"] == ["clean", "elsewhere"]
    assert {p: t for p, t in files_below(store).items() if p.endswith("weights.safetensors")} == weights
    assert all(len(each["evaluations"]) == 2 for each in record_of(store)["variants"]["both"]["trials"])


def test_testing_on_images_that_were_trained_on_is_refused(study: Path, store: Path, tmp_path: Path) -> None:
    images = SyntheticSet(images=30, size=64)
    assert images.ids
    same = "evaluate=[clean, {dataset: synthetic}]"

    result = medbench("run", study, "--store", store, "--set", same)

    assert result.exit_code == 2
    assert "were trained or selected on" in result.stderr
    assert "synthetic/synthetic-000" in result.stderr


def test_a_damaged_trial_is_trained_again_to_the_same_bytes(study: Path, store: Path) -> None:
    folder = store / "trials" / trials_of(store)["less", 0]
    weights = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(weights[:-10])

    result = medbench("run", study, "--store", store)

    assert result.exit_code == 0, result.output
    assert (folder / "weights.safetensors").read_bytes() == weights


@pytest.mark.parametrize("name", ["scores.parquet", "reliability.parquet", "history.parquet", "environment.json"])
def test_a_flipped_byte_in_what_is_finished_is_told_set_aside_and_made_again(
    study: Path, store: Path, name: str
) -> None:
    folder = store / "trials" / trials_of(store)["less", 0]
    damaged = next(folder.rglob(name) if name != "environment.json" else folder.glob(name))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    weights = (folder / "weights.safetensors").stat().st_mtime_ns

    planned = medbench("run", study, "--store", store, "--dry-run")
    result = medbench("run", study, "--store", store)

    assert result.exit_code == 0, result.output
    assert f"{trials_of(store)['less', 0]}  less seed 0: to do" in planned.output
    assert f"{damaged}: SHA-256 differs from the manifest's; set aside as {store}/damaged/" in result.output
    assert ("epoch 2/2" in result.output) == (damaged.parent == folder)
    assert ((folder / "weights.safetensors").stat().st_mtime_ns == weights) == (damaged.parent != folder)
    assert medbench("verify", store).exit_code == 0
    assert "0 to do" in medbench("run", study, "--store", store, "--dry-run").output


def test_several_trials_at_once_give_the_same_bytes_as_one_after_the_other(
    study: Path, finished: Path, tmp_path: Path
) -> None:
    """In processes of its own, as a user starts it; one thread each, as sums depend on the number of threads."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "medbench.bench", "run", str(study), "--jobs", "2"]
    result = subprocess.run(
        [*command, "--store", str(tmp_path / "runs"), "--set", "seeds=1"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert "both seed 0: done" in result.stdout
    for name in ("full", "less"):
        here, there = trials_of(tmp_path / "runs")[name, 0], trials_of(finished)[name, 0]
        assert here == there
        files = [root / "trials" / here / "weights.safetensors" for root in (tmp_path / "runs", finished)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_failing_trial_is_told_and_the_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "half.yaml"
    path.write_text(
        STUDY.replace("{model: no_baa, options: {backbone: mobilenetv3_small_050}}", f"{{model: '{__name__}:Broken'}}")
        .replace("seeds: 2", "seeds: 1")
        .replace("epochs: 2", "epochs: 1"),
        encoding="utf-8",
    )

    result = medbench("run", path, "--store", tmp_path / "runs")

    assert result.exit_code == 1
    assert "less seed 0: FAILED: RuntimeError: this model is broken" in result.output
    assert "both seed 0: FAILED: a member failed" in result.output
    assert "2 of 3 trials failed" in result.output
    assert [is_sealed(folder) for folder in (tmp_path / "runs" / "trials").iterdir()] == [True]


def test_a_process_that_is_killed_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_killer.py").write_text(
        "import os\nimport torch\nclass Killer(torch.nn.Conv2d):\n"
        "    def __init__(self):\n        super().__init__(3, 1, 1)\n"
        "    def forward(self, image):\n"
        "        return super().forward(image) if len(image) < 3 else os.kill(os.getpid(), 9)\n",
        encoding="utf-8",
    )
    path = tmp_path / "half.yaml"
    path.write_text(STUDY.replace("{model: no_baa,", "{model: 'own_killer:Killer'} #"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)  # a model of one's own is found beside the study

    result = medbench("run", path, "--store", tmp_path / "runs", "--jobs", 2, "--set", "seeds=1")

    assert result.exit_code == 1
    assert "less seed 0: FAILED: its process ended with code -9" in result.output
    assert [is_sealed(folder) for folder in (tmp_path / "runs" / "trials").iterdir()] == [True]


def test_folds_test_every_image_once(study: Path, tmp_path: Path) -> None:
    settings = ["dataset.split=kfold:3", "seeds=1", "training.epochs=1"]
    words = [word for setting in settings for word in ("--set", setting)]

    result = medbench("run", study, "--store", tmp_path / "runs", *words)
    reported = medbench("report", tmp_path / "runs", "-o", tmp_path / "report")

    assert result.exit_code == 0, result.output
    assert reported.exit_code == 0, reported.output
    scores = pd.read_parquet(tmp_path / "report" / "tables" / "mine-per-image.parquet")
    assert set(scores.groupby("variant")["image"].nunique()) == {30}
    assert len(scores) == 3 * 30


def test_the_report_holds_what_the_store_holds(finished: Path, tmp_path: Path) -> None:
    result = medbench("report", finished, "-o", tmp_path)

    assert result.exit_code == 0, result.output
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    for (variant, _), id in trials_of(finished).items():
        assert id in page
        assert variant in page
    [facts] = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["studies"]
    scores = pd.read_parquet(tmp_path / "tables" / "mine-per-image.parquet")
    mean = scores[scores["variant"] == "full"]["dice"].mean()
    [row] = [row for row in facts["variants"] if row["variant"] == "full"]
    assert row["dice_mean"] == pytest.approx(mean)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nothing"], "unknown study 'nothing'"),
        (["run", "baa"], "isic2018: no data folder is set; pass --data DIR or set MEDBENCH_DATA"),
        (["run", "baa", "--data", "nowhere"], "nowhere: the data folder does not exist"),
        (["run", "baa", "--data", "."], "isic2018: not found, looked for the folder"),
        (["run", "baa", "--profile", "quick", "--set", "dataset.split=official"], "no official split"),
        (["run", "baa", "--profile", "quick", "--set", "dataset.images=2"], "too few for the split"),
        (["run", "baa", "--profile", "quick", "--set", "variants.no_baa.model=x"], "unknown model 'x'"),
        (["run", "baa", "--profile", "quick", "--set", "encoder_weights=w.safetensors"], "w.safetensors"),
        (["run", "baa", "--profile", "quick", "--set", "encoder_weights=imagnet"], "Did you mean 'imagenet'?"),
        (["report", "-o", "taken.txt"], "taken.txt: cannot be written to (File exists); name another folder with -o"),
        (["report", "nowhere"], "nowhere"),
        (["data", "verify", "nothing"], "unknown dataset 'nothing'"),
        (["data", "verify", "folder:nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken.txt").touch()
    Path("runs", "studies").mkdir(parents=True)

    result = medbench(*words)

    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_broken_images_stop_a_study_unless_they_may_be_left_out(study: Path, tmp_path: Path) -> None:
    images = SyntheticSet(images=12, size=64)
    for id in images.ids:
        for part, pixels in (("images", images.image(id)), ("masks", images.mask(id))):
            (tmp_path / "set" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "set" / part / f"{id}.png")
    first = tmp_path / "set" / "images" / f"{images.ids[0]}.png"
    first.write_bytes(first.read_bytes()[:200])
    words = [
        "run",
        study,
        "--store",
        tmp_path / "runs",
        "--dry-run",
        "--set",
        f"dataset={{folder: {tmp_path / 'set'}, images: null}}",
    ]

    refused = medbench(*words)
    allowed = medbench(*words, "--set", "dataset.leave_out_broken=true")
    verified = medbench("data", "verify", f"folder:{tmp_path / 'set'}", "--json")

    assert refused.exit_code == 2
    assert first.name in refused.stderr
    assert "leave_out_broken" in refused.stderr
    assert allowed.exit_code == 0, allowed.output
    assert "1 images left out" in allowed.output
    assert verified.exit_code == 1
    assert [problem["id"] for problem in json.loads(verified.stdout)["problems"]] == [images.ids[0]]


def test_models_and_data_are_listed_as_tables_and_as_json() -> None:
    models, sets = medbench("models", "--json"), medbench("data", "list", "--json")

    assert {row["name"] for row in json.loads(models.stdout)} >= {"medlitenet", "no_baa", "ensemble"}
    costs = {"parameters", "macs", "weight_bytes", "activation_bytes"}
    paper = {"paper", "year", "link", "published_parameters", "published_macs", "reason"}
    assert set(json.loads(models.stdout)[0]) == {"name", "description", "options", *costs, *paper}
    described = {"acdc", "busi", "cvc_clinicdb", "dsb2018", "wbc"}
    known = {"isic2018", "ph2", "ham10000", "synthetic", *described}
    assert {row["name"] for row in json.loads(sets.stdout)} == known
    assert "medlitenet" in medbench("models").stdout
    assert "synthetic" in medbench("data", "list").stdout


def test_help_answers_without_torch() -> None:
    script = "import sys; from medbench.bench import cli; print('torch' in sys.modules, 'pandas' in sys.modules)"

    found = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True).stdout

    assert found.split() == ["False", "False"]


@pytest.mark.real
def test_the_real_sets_are_sound(real_data: Path) -> None:
    for name, n in (("isic2018", 2594), ("ph2", 200), ("ham10000", 2000)):
        result = medbench("data", "verify", name, "--data", real_data, "--json")

        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["images"] == n


@pytest.mark.real
def test_artifacts_cost_no_training_and_are_reported(study: Path, store: Path) -> None:
    trainings = {path: path.stat().st_mtime_ns for path in store.glob("trials/*/weights.safetensors")}
    artifacts = "evaluate=[clean, {artifact: hair, severity: [1, 5]}, {artifact: jpeg, severity: 3}]"

    result = medbench("run", study, "--store", store, "--set", artifacts)
    reported = medbench("report", store, "-o", store / "out")

    assert result.exit_code == 0, result.output
    assert reported.exit_code == 0, reported.output
    assert {path: path.stat().st_mtime_ns for path in store.glob("trials/*/weights.safetensors")} == trainings
    rows = json.loads((store / "out" / "report.json").read_text())["studies"][0]["robustness"]
    assert len(rows) == 3 * 3
    assert all((row["artifact_fpr"] is None) == (row["artifact"] == "jpeg") for row in rows)
    pictures = [list(folder.glob("*.jpg")) for folder in store.glob("trials/*/evaluations/*/pictures")]
    assert len(pictures) == 3 * 6
    assert {len(found) for found in pictures} == {min(12, len(SyntheticSet(images=30, size=64).ids) // 5)}


@pytest.mark.slow
def test_a_short_training_on_real_images_learns_and_carries_over(real_data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        """\
question: Does it learn?
baseline: full
variants:
  full: {model: medlitenet}
dataset: {name: ph2, size: 64, test_images: 100}
evaluate: [clean, {dataset: isic2018}]
seeds: 1
training: {epochs: 4, progressive_sizes: {0.0: 1.0}}
""",
        encoding="utf-8",
    )

    result = medbench("run", tmp_path / "mine.yaml", "--data", real_data, "--store", tmp_path / "runs")

    assert result.exit_code == 0, result.output
    scores = [*(tmp_path / "runs" / "trials").glob("*/evaluations/*/scores.parquet")]
    assert len(scores) == 2
    for path in scores:
        assert np.mean(pd.read_parquet(path)["dice"]) > 0.6
