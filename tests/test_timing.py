"""Latency side by side: what is measured, that turns are taken, and the ratio's interval."""

import json
import time
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from typer.testing import CliRunner

from medbench.bench import timing
from medbench.bench.cli import app
from medbench.bench.errors import MedbenchError
from medbench.bench.timing import ratio_to, time_side_by_side

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
    Sleeper.order.clear()
    names = [f"{__name__}:Sleeper", f"{__name__}:Slow"]
    return time_side_by_side(names, size=32, batches=[2], dtypes=["fp32"], device=CPU, passes=passes)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PAUSE_S", 0.0)


def test_the_ratio_is_that_of_the_models() -> None:
    quick, slow = timed()

    assert (quick["ratio"], quick["ratio_low"]) == (1, None)
    assert slow["ratio_low"] < slow["ratio"] < slow["ratio_high"]
    assert 1.5 < slow["ratio"] < 3.2  # 3 to 1, and what a pass costs besides
    assert slow["median_ms"] >= 3
    assert slow["images_per_second"] == pytest.approx(2000 / slow["median_ms"])
    assert quick["n"] == slow["n"] == 40
    assert quick["warm_up"] >= 2 * timing.WINDOW
    assert quick["peak_mb"] is None


def test_models_take_turns() -> None:
    timed(passes=20)

    timed_order = Sleeper.order[-(20 + 20 + 2 * timing.PAUSED_PASSES) :][:40]
    assert timed_order[:6] == ["Sleeper", "Slow", "Slow", "Sleeper", "Sleeper", "Slow"]  # who begins changes
    assert timed_order.count("Slow") == 20


def test_a_drift_that_hits_both_is_not_in_the_ratio() -> None:
    drift = np.linspace(1, 4, 20)
    a = [np.full(10, 2.0 * each) for each in drift]
    b = [np.full(10, 1.0 * each) for each in drift]

    found = ratio_to(a, b)

    assert found == pytest.approx({"ratio": 2, "ratio_low": 2, "ratio_high": 2})


def test_the_interval_is_that_of_a_t_test_of_log_ratios() -> None:
    rng = np.random.default_rng(0)
    a, b = (list(rng.lognormal(0, 0.1, (20, 9))) for _ in range(2))
    logs = np.log([np.median(x) / np.median(y) for x, y in zip(a, b, strict=True)])

    found = ratio_to(a, b)

    expected = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert (found["ratio_low"], found["ratio_high"]) == pytest.approx((np.exp(expected.low), np.exp(expected.high)))


def test_half_precision_is_refused_on_a_cpu_with_the_reason() -> None:
    with pytest.raises(MedbenchError, match="torch emulates it"):
        time_side_by_side(["medlitenet"], size=32, batches=[1], dtypes=["fp16"], device=CPU)


def test_the_command_prints_a_row_a_model_and_type() -> None:
    words = ["latency", "medlitenet", "no_transformer", "--size", "32", "--batch", "1", "--dtype", "fp32,bf16"]

    done = CliRunner().invoke(app, [*words, "--passes", "20", "--json"])

    rows = json.loads(done.stdout)["rows"]
    assert [(row["model"], row["dtype"]) for row in rows] == [
        ("medlitenet", "fp32"),
        ("no_transformer", "fp32"),
        ("medlitenet", "bf16"),
        ("no_transformer", "bf16"),
    ]
    assert {row["threads"] for row in rows} == {1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nosuch"], "unknown model"),
        (["medlitenet", "--batch", "1,x"], "--batch 1,x"),
        (["medlitenet", "--dtype", "int8"], "known are fp32, fp16, bf16"),
    ],
)
def test_mistakes_are_told_in_one_line(words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["latency", *words, "--size", "32"])

    assert done.exit_code == 2
    assert message in done.stderr
