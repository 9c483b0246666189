"""Latency side by side: what is measured, that turns are taken, and the ratio's interval."""

import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.cost import latency
from medbench.bench.cost.latency import pinned, ratio_to, time_side_by_side
from medbench.bench.cost.runtimes import DTYPES, RUNTIMES, Runtime, Subject
from medbench.bench.errors import MedbenchError
from medbench.models.catalog import untrained_model
from medbench.models.counting import count_parameters

from ..conftest import Trained

CPU = torch.device("cpu")


class Sleeper(torch.nn.Module):
    """Takes as long as it is told."""

    seconds = 0.001
    order: list[str] = []  # noqa: RUF012

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.order.append(type(self).__name__)
        time.sleep(self.seconds)
        return image[:, :1]


class Slow(Sleeper):
    seconds = 0.003


def timed(passes: int = 40) -> list[dict[str, Any]]:
    subjects = [Subject("quick", Sleeper(), 32), Subject("slow", Slow(), 32)]
    Sleeper.order.clear()
    return time_side_by_side(subjects, batches=[2], dtypes=["fp32"], runtimes=["eager"], device=CPU, passes=passes)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "PAUSE_S", 0.0)


def test_the_ratio_is_that_of_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of our own: a busy machine would have a say in the other."""
    rng, now = np.random.default_rng(0), [0.0]
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now[-1] + seconds * rng.uniform(1, 1.2)))
    monkeypatch.setattr(time, "perf_counter", lambda: now[-1])

    quick, slow = timed()

    assert (quick["ratio"], quick["ratio_low"]) == (1, None)
    assert slow["ratio_low"] < slow["ratio"] < slow["ratio_high"]
    assert slow["ratio"] == pytest.approx(3, rel=0.05)
    assert slow["median_ms"] == pytest.approx(3.3, rel=0.05)
    assert slow["images_per_second"] == pytest.approx(2000 / slow["median_ms"])
    assert quick["n"] == slow["n"] == 40
    assert quick["warm_up"] >= 2 * latency.WINDOW
    assert quick["peak_mb"] is None


def test_models_take_turns() -> None:
    timed(passes=latency.INSTANCES * latency.ROUNDS)

    warmed_up = 10  # each of the last instance, then the rounds, then passes after a pause
    last = Sleeper.order[-2 * (latency.ROUNDS + latency.PAUSED_PASSES) :]
    assert last[:8] == ["Sleeper", "Slow", "Slow", "Sleeper"] * 2  # who begins changes
    assert last[8:] == ["Sleeper", "Slow"] * latency.PAUSED_PASSES
    before = Sleeper.order[: -len(last)][-2 * warmed_up :]
    assert before == ["Sleeper"] * warmed_up + ["Slow"] * warmed_up


def test_every_instance_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def prepare(subject: Subject, image: torch.Tensor, dtype: str) -> Any:
        made.append(subject.name)
        return lambda: None

    monkeypatch.setitem(RUNTIMES, "a", Runtime("a", ("cpu",), ("fp32",), prepare))
    subjects = [Subject("quick", Sleeper(), 32), Subject("slow", Slow(), 32)]

    time_side_by_side(subjects, batches=[1], dtypes=["fp32"], runtimes=["a"], device=CPU, passes=20)

    assert made == ["quick", "slow"] * latency.INSTANCES


def test_a_drift_that_hits_both_is_not_in_the_ratio() -> None:
    drift = np.linspace(1, 4, 20).reshape(5, 4)
    a = [[np.full(10, 2.0 * each) for each in rounds] for rounds in drift]
    b = [[np.full(10, 1.0 * each) for each in rounds] for rounds in drift]

    found = ratio_to(a, b)

    assert found == pytest.approx({"ratio": 2, "ratio_low": 2, "ratio_high": 2})


def test_the_interval_is_that_of_a_t_test_of_the_instances_log_ratios() -> None:
    rng = np.random.default_rng(0)
    a, b = ([list(rounds) for rounds in rng.lognormal(0, 0.1, (5, 4, 9))] for _ in range(2))
    logs = np.log(np.median(a, axis=2) / np.median(b, axis=2)).mean(axis=1)

    found = ratio_to(a, b)

    expected = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert (found["ratio_low"], found["ratio_high"]) == pytest.approx((np.exp(expected.low), np.exp(expected.high)))


def test_what_sets_two_instances_apart_by_chance_is_in_the_interval() -> None:
    """Of one model, loaded twice again and again: each time one of the two lies better in memory, in all its rounds."""
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(200):
        a, b = (
            [[np.full(3, speed) * rng.normal(1, 0.002, 3) for _ in range(4)] for speed in rng.normal(1, 0.02, 5)]
            for _ in range(2)
        )
        found = ratio_to(a, b)
        assert found["ratio_low"] is not None
        assert found["ratio_high"] is not None
        missed += not found["ratio_low"] <= 1 <= found["ratio_high"]

    assert 2 <= missed <= 20  # 5 % of 200


def test_the_fastest_runtimes_of_both_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def after(seconds: dict[str, float]) -> Any:
        return lambda subject, image, dtype: lambda: time.sleep(seconds[subject.name])

    for name, seconds in {"a": {"quick": 0.004, "slow": 0.002}, "b": {"quick": 0.001, "slow": 0.003}}.items():
        monkeypatch.setitem(RUNTIMES, name, Runtime(name, ("cpu",), ("fp32",), after(seconds)))
    subjects = [Subject("quick", Sleeper(), 32), Subject("slow", Slow(), 32)]

    rows = time_side_by_side(subjects, batches=[1], dtypes=["fp32"], runtimes=["a", "b"], device=CPU, passes=40)

    best = {row["model"]: row for row in rows if row["best_ratio"] is not None}
    assert {name: row["runtime"] for name, row in best.items()} == {"quick": "b", "slow": "a"}
    assert (best["quick"]["best_ratio"], best["quick"]["best_ratio_low"]) == (1, None)
    assert 1.4 < best["slow"]["best_ratio"] < 2.2  # 2 to 1
    assert best["slow"]["best_ratio_low"] < best["slow"]["best_ratio"] < best["slow"]["best_ratio_high"]


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.manual_seed(0)
    first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    return Subject("light", nn.Sequential(first, nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1)), 64)


@pytest.mark.parametrize(
    ("runtime", "dtype"),
    [("eager", "fp32"), ("compiled", "fp32"), ("onnxruntime", "fp32"), ("openvino", "fp32"), ("eager", "bf16")],
)
def test_every_runtime_runs_the_model_it_is_given(runtime: str, dtype: str, subject: Subject) -> None:
    image = torch.rand(2, 3, 64, 64)

    found = RUNTIMES[runtime].prepare(subject, image.to(DTYPES[dtype]), dtype)()

    with torch.no_grad():
        wanted = subject.plain(image)
    tolerance = 1e-4 if dtype == "fp32" else 0.03
    torch.testing.assert_close(torch.as_tensor(found).float(), wanted, rtol=0, atol=tolerance)
    assert {each.dtype for each in subject.fused.parameters()} == {torch.float32}  # the next runtime finds it whole


def test_energy_is_that_of_a_pass_over_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "meter_of", lambda device: lambda: 5.0 * len(Sleeper.order))
    monkeypatch.setattr(latency, "METERED_S", 0.05)

    assert [row["joules"] for row in timed(passes=20)] == [2.5, 2.5]  # 5 joules a pass of two images


def test_a_process_is_pinned_and_let_go() -> None:
    before = os.sched_getaffinity(0)

    with pinned(1):
        assert os.sched_getaffinity(0) == {max(before)}

    assert os.sched_getaffinity(0) == before


def test_half_precision_is_refused_on_a_cpu_with_the_reason() -> None:
    with pytest.raises(MedbenchError, match="torch emulates it"):
        time_side_by_side([], batches=[1], dtypes=["fp16"], runtimes=["eager"], device=CPU)


def test_the_command_prints_a_row_a_model_and_type() -> None:
    words = ["latency", "medlitenet", "no_transformer", "--options", "{backbone: mobilenetv3_small_050, width: 32}"]
    small = ["--size", "32", "--batch", "1", "--dtype", "fp32,bf16", "--passes", "20"]

    done = CliRunner().invoke(app, [*words, *small, "--json"])

    rows = json.loads(done.stdout)
    assert [(row["model"], row["dtype"]) for row in rows] == [
        ("medlitenet", "fp32"),
        ("no_transformer", "fp32"),
        ("medlitenet", "bf16"),
        ("no_transformer", "bf16"),
    ]
    assert {row["threads"] for row in rows} == {1}
    assert {"model", "runtime", "device", "dtype", "batch", "size", "median_ms", "p5_ms", "p95_ms", "n"} <= set(rows[0])
    assert rows[0]["macs"] > rows[1]["macs"]


class Pointwise(torch.nn.Conv2d):
    """Of torch's options."""


class Talking(torch.nn.Conv2d):
    """Prints, warns, asks for values, and gives two maps."""

    def __init__(self, *, width: int = 1) -> None:
        super().__init__(3, width, 1)
        print("talks")

    def forward(self, input: torch.Tensor) -> Any:
        print("talks")
        print("talks", file=sys.stderr)
        warnings.warn("talks", stacklevel=1)
        return super().forward(input) * input.max().item(), input


def test_networks_of_others_and_trials_are_timed_beside_each_other(small_store: Path) -> None:
    [id, *_] = sorted(path.name for path in (small_store / "trials").iterdir())
    names = [f"{__name__}:Talking", id[:8]]

    done = CliRunner().invoke(
        app, ["latency", *names, "--store", str(small_store), "--batch", "1", "--passes", "20", "--json"]
    )

    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [row["model"] for row in rows] == names
    assert [row["trial"] for row in rows] == [None, id]
    assert {row["size"] for row in rows} == {64}  # the trial's
    assert rows[0]["macs"] == 64 * 64 * 3


def test_a_model_by_name_is_built_for_the_classes_and_channels_of_the_trial_beside_it(
    trained_on_classes: Trained,
) -> None:
    words = ["latency", trained_on_classes.trial, "ulite", "--store", trained_on_classes.store, "--batch", 1]

    done = CliRunner().invoke(app, [*map(str, words), "--passes", "20", "--json"])

    assert done.exit_code == 0, done.output
    plain, wanted = untrained_model("ulite"), untrained_model("ulite", maps=3, channels=1)
    assert json.loads(done.stdout)[1]["parameters"] == count_parameters(wanted) != count_parameters(plain)


def test_options_go_to_the_network_of_others_that_is_timed_beside_ours() -> None:
    words = [f"{__name__}:Pointwise", "medlitenet", "--options", "{in_channels: 3, out_channels: 1, kernel_size: 1}"]

    done = CliRunner().invoke(app, ["latency", *words, "--size", "32", "--batch", "1", "--passes", "20", "--json"])

    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [row["parameters"] for row in rows] == [4, 3_177_914]
    assert rows[1]["options"] == {}


def test_what_cannot_be_counted_is_told_as_that_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    none = {"parameters": 4, "macs": None, "weight_bytes": 16, "activation_bytes": None}
    monkeypatch.setattr("medbench.models.counting.cost", lambda *_: none)
    words = ["latency", f"{__name__}:Talking", "--options", "{width: 2}", "--size", "48", "--batch", "1"]

    done = CliRunner().invoke(app, [*words, "--passes", "20"])

    assert done.exit_code == 0, done.output
    assert (
        'Talking: options {"width": 2}, 4 parameters, – MACs (not counted), 1.6e-05 MB of weights, – of activations'
        in done.stdout
    )
    assert "random weights;" in done.stdout
    assert "talks" not in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nosuch"], "unknown model"),
        (["medlitenet", "beef"], "no trials/ there"),
        (["smp:Unet/resnet18", "medlitenet", "--options", "{width: 8}"], "unknown option of model 'smp:Unet/resnet18'"),
        (["medlitenet", "--options", "{widht: 8}"], "Did you mean 'width'?"),
        (["medlitenet", "--output", "{index: 0}"], "is for package.module:Class, and none is named"),
        (
            ["torch.nn:Conv2d", "--output", "{kind: sigmoid}"],
            "--output {kind: sigmoid}: kind: Input should be 'logits'",
        ),
        (["ensemble", "--options", "{width: 8}"], "unknown option of model 'ensemble' 'width'"),
        (["medlitenet", "--options", "[1]"], "--options [1]: write a mapping"),
        (["medlitenet", "--batch", "1,x"], "--batch 1,x"),
        (["medlitenet", "--dtype", "int4"], "unknown --dtype 'int4'"),
        (["medlitenet", "--dtype", "int8"], "--dtype int8: needs --runtime onnxruntime or openvino"),
        (["medlitenet", "--runtime", "tensorrt"], "unknown runtime 'tensorrt'"),
        (
            ["medlitenet", "--size", "65"],
            "does not run on an image of 65 pixels: 65x65 is no multiple of 32",
        ),
        (["medlitenet", "--threads", "999"], "--threads 999: this process may use"),
        (["medlitenet", "--runtime", "graph"], "--runtime graph: not on a CPU"),
    ],
)
def test_mistakes_are_told_in_one_line(words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["latency", "--size", "32", *words])

    assert done.exit_code == 2
    assert message in done.stderr
