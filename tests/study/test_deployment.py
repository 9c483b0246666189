"""What `medbench deployment` writes: sizes, timings, and what integers lose against the scores in the store."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.cost import latency
from medbench.bench.store.folder import Store
from medbench.bench.store.provenance import instructions
from medbench.bench.store.records import read_json, read_yaml, write_yaml
from medbench.bench.study.deployment import paired_loss, spread
from medbench.bench.study.trials import trained_model
from medbench.models.counting import count_macs

from ..conftest import Trained


def deployment(*words: object) -> Any:
    return CliRunner().invoke(app, ["deployment", *map(str, words)])


@pytest.fixture(scope="module")
def found(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    store = tmp_path_factory.mktemp("deployed") / "runs"
    shutil.copytree(small_store, store)
    record = read_yaml(store / "studies" / "small.yaml")
    del record["variants"]["two"]  # one export less to wait for
    write_yaml(store / "studies" / "small.yaml", record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "PAUSE_S", 0.0)
        done = deployment("small", "--store", store, "--runtime", "eager,onnxruntime", "--passes", 20)
    assert done.exit_code == 0, done.output
    [file] = (store / "deployment" / "small").iterdir()
    return read_json(file)


def test_every_variant_is_timed_in_every_runtime(found: dict[str, Any]) -> None:
    rows = {(row["model"], row["runtime"], row["dtype"]) for row in found["latency"]}

    kinds = {("torch eager", "fp32"), ("ONNX Runtime", "fp32"), ("ONNX Runtime", "int8")}
    assert rows == {(name, *kind) for name in ("one", "both") for kind in kinds}
    assert found["latency"][0]["model"] == found["baseline"] == "one"
    assert found["instructions"] == found["latency"][0]["instructions"] == instructions()


def test_sizes_are_those_of_the_files(found: dict[str, Any], small_store: Path) -> None:
    for each in found["models"]:
        file = small_store / "trials" / each["trial"] / "weights.safetensors"
        if file.exists():  # an ensemble has none
            assert each["weights_mb"] == pytest.approx(file.stat().st_size / 1e6, rel=0.1)  # less names and shapes
        assert each["int8_mb"] < each["onnx_mb"]
        assert each["activation_mb"] > 0


def test_integers_are_scored_on_the_images_of_the_study(found: dict[str, Any], small_store: Path) -> None:
    assert {(each["variant"], each["runtime"]) for each in found["scores"]} == {
        (name, "ONNX Runtime") for name in ("one", "both")
    }
    for each in found["scores"]:
        [scores] = (small_store / "trials" / each["trial"] / "evaluations").glob("*/scores.parquet")
        reference = pd.read_parquet(scores)["dice"]
        assert each["n_images"] == len(reference)
        assert each["reference_dice"] == pytest.approx(reference.mean())
        assert each["difference"] == pytest.approx(each["dice"] - each["reference_dice"])
        assert abs(each["difference"]) < 0.2  # an untrained model's scores, but not another model's


def test_of_several_classes_the_loss_is_that_of_the_mean_over_those_of_each_image(
    trained_on_classes: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained_on_classes.store, tmp_path / "runs")
    monkeypatch.setattr(latency, "PAUSE_S", 0.0)
    monkeypatch.setenv("MEDBENCH_CACHE", str(trained_on_classes.cache))

    done = deployment("few", "--store", tmp_path / "runs", "--runtime", "onnxruntime", "--passes", 20)

    assert done.exit_code == 0, done.output
    [file] = (tmp_path / "runs" / "deployment" / "few").iterdir()
    found = read_json(file)
    [scores] = (tmp_path / "runs").glob("trials/*/evaluations/*/scores.parquet")
    reference = pd.read_parquet(scores)["dice"]
    assert found["scores"][0]["reference_dice"] == pytest.approx(reference.mean())
    assert found["scores"][0]["n_images"] == reference.notna().sum()
    assert abs(found["scores"][0]["difference"]) < 0.1
    store, id = Store(trained_on_classes.store), trained_on_classes.trial
    assert found["models"][0]["macs"] == count_macs(lambda: trained_model(store, id), 64, channels=1)


def test_an_image_without_any_class_has_no_loss() -> None:
    names = ["a", "b", "c"]
    reference = pd.Series([0.5, float("nan"), 0.8], names)

    found = paired_loss(reference - pd.Series([0.1, 0, 0.2], names), reference)

    assert (found["n_images"], found["reference_dice"], found["difference"]) == pytest.approx((2, 0.65, -0.15))
    assert [each["image"] for each in found["worst"]] == ["c", "a"]


def test_a_loss_is_a_paired_t_interval() -> None:
    rng = np.random.default_rng(0)
    names = [f"i{i}" for i in range(30)]
    reference = pd.Series(rng.random(30), names)
    scores = (reference - rng.normal(0.01, 0.02, 30)).sample(frac=1, random_state=0)  # another order

    found = paired_loss(scores, reference)

    expected = stats.ttest_rel(scores[names], reference[names]).confidence_interval(0.95)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert found["worst"][0]["image"] == min(names, key=lambda name: scores[name] - reference[name])


def test_images_of_one_group_tell_as_much_as_one() -> None:
    """Each patient's images lose the same: the interval is that of the patients' means, not of twice as many images."""
    rng = np.random.default_rng(0)
    names, patients = [f"i{i}" for i in range(24)], [f"p{i // 2}" for i in range(24)]
    reference = pd.Series(0.5 + 0.4 * rng.random(24), names)
    losses = np.repeat(rng.normal(-0.01, 0.02, 12), 2)

    found = paired_loss(reference + losses, reference, dict(zip(names, patients, strict=True)))

    expected = stats.ttest_1samp(losses[::2], 0).confidence_interval(0.95)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert (found["n_images"], found["n_groups"]) == (24, 12)
    alike = paired_loss(reference, reference)
    assert (alike["ci_low"], alike["ci_high"]) == (0, 0)
    one = paired_loss(reference + losses, reference, dict.fromkeys(names, "p"))
    assert (one["ci_low"], one["ci_high"]) == (None, None)


@pytest.mark.parametrize("n", [1, 99, 100, 101, 150, 199, 250, 2594])
def test_images_for_the_ranges_of_integers_are_spread_evenly(n: int) -> None:
    ids = [f"{i:04d}" for i in range(n)]

    chosen = [int(id) for id in spread(ids[::-1])]

    assert len(chosen) == min(n, 100)
    steps = np.diff([*chosen, n])
    assert chosen[0] == 0
    assert steps.max() - steps.min() <= 1


@pytest.mark.parametrize(
    ("words", "said"),
    [(["other"], "no study 'other'; it has small"), (["small", "--batch", "0"], "--batch 0: numbers of images")],
)
def test_mistakes_are_told_in_one_line(small_store: Path, words: list[str], said: str) -> None:
    done = deployment(*words, "--store", small_store)

    assert done.exit_code == 2
    assert said in done.stderr


def test_a_store_without_a_finished_trial_is_told(small_store: Path, tmp_path: Path) -> None:
    shutil.copytree(small_store / "studies", tmp_path / "runs" / "studies")

    done = deployment("--store", tmp_path / "runs")

    assert done.exit_code == 2
    assert "no trial of small is finished" in done.stderr
