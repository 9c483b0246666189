"""Latencies with intervals on the page, and a Pareto front that goes by what is shown."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from medbench.bench.metrics import METRICS
from medbench.bench.stats import paired_ratio
from medbench.reports.load import load_studies
from medbench.reports.sections.cost import fronts
from medbench.reports.timings import latency_table, load_timings

from ..fabricated_store import fabricate, write_timings
from .test_report import write

ALIKE = [10.0, 10.4, 9.8, 10.1, 9.9]
SLOW = [20.0, 20.3, 19.9, 20.1, 20.2]


def facts(*rows: tuple[str, float, float], pairs: tuple[tuple[Any, ...], ...] = ()) -> Any:
    """Variants with their parameters and scores, and what is known of pairs: difference and interval."""
    keys = ("a", "b", "difference", "ci_low", "ci_high")
    return SimpleNamespace(
        primary="dice",
        metric=METRICS["dice"],
        first="clean",
        variant_rows=[
            {"evaluation": "clean", "variant": name, "parameters": size, "dice_mean": dice, "trials": name}
            | {"latency_over": "a"}
            for name, size, dice in rows
        ],
        comparison_rows=[],
        pairwise=[dict(zip(keys, pair, strict=True)) for pair in pairs],
        study=SimpleNamespace(same=[]),
    )


def timing(**times: list[float]) -> dict[str, Any]:
    rows = [{"model": name, "batch": 1, "instance_ms": ms} for name, ms in times.items()]
    return {"baseline": "a", "models": {name: {"trial": name} for name in times}, "rows": rows}


def test_a_variant_is_beaten_only_where_both_are_shown() -> None:
    shown = ("b", "a", -0.1, -0.12, -0.08)
    hidden = ("b", "a", -0.1, -0.3, 0.1)

    assert fronts(facts(("a", 2, 0.9), ("b", 3, 0.8), pairs=(shown,)), None) == {"parameters": {"a"}}
    assert fronts(facts(("a", 2, 0.9), ("b", 3, 0.8), pairs=(hidden,)), None) == {"parameters": {"a", "b"}}
    assert fronts(facts(("a", 3, 0.9), ("b", 2, 0.8), pairs=(shown,)), None) == {"parameters": {"a", "b"}}


def test_equal_in_one_and_better_in_the_other_beats() -> None:
    shown = ("b", "a", -0.1, -0.12, -0.08)

    assert fronts(facts(("a", 2, 0.9), ("b", 2, 0.8), pairs=(shown,)), None) == {"parameters": {"a"}}
    assert fronts(facts(("a", 2, 0.9), ("b", 3, 0.9)), None) == {"parameters": {"a"}}
    assert fronts(facts(("a", 2, 0.9), ("b", 2, 0.9)), None) == {"parameters": {"a", "b"}}


def test_a_twin_is_beaten_by_whatever_beats_the_training_that_it_is() -> None:
    known = facts(("a", 2, 0.9), ("b", 3, 0.8), ("twin", 3, 0.8), pairs=(("b", "a", -0.1, -0.12, -0.08),))
    known.study.same = [["b", "twin"]]

    assert fronts(known, None) == {"parameters": {"a"}}


def test_a_training_that_is_tested_on_other_images_too_is_no_twin() -> None:
    known = facts(("a", 2, 0.9), ("b", 3, 0.8), ("late", 3, 0.85), pairs=(("b", "a", -0.1, -0.12, -0.08),))
    known.variant_rows[2]["trials"] = "b"

    assert fronts(known, None) == {"parameters": {"a", "late"}}


def test_without_intervals_nobody_is_beaten_but_by_equals() -> None:
    unknown = ("b", "a", -0.1, None, None)

    assert fronts(facts(("a", 2, 0.9), ("b", 3, 0.8), pairs=(unknown,)), None) == {"parameters": {"a", "b"}}


def test_two_loadings_of_one_model_make_no_front() -> None:
    """Two trials of one model once measured 62.8 and 76.9 ms, and a front went through them."""
    shown = ("b", "a", -0.1, -0.12, -0.08)
    noisy = [62.8, 70.1, 68.0, 75.2, 66.3], [76.9, 64.0, 71.5, 69.9, 67.0]

    found = fronts(facts(("a", 2, 0.9), ("b", 2, 0.8), pairs=(shown,)), timing(a=noisy[0], b=noisy[1]))

    assert found["latency_ms"] == {"a", "b"}
    found = fronts(facts(("a", 2, 0.9), ("b", 2, 0.8), pairs=(shown,)), timing(a=ALIKE, b=SLOW))
    assert found["latency_ms"] == {"a"}


def test_a_ratio_is_paired_by_instance_with_the_t_interval_of_the_logs() -> None:
    found = paired_ratio([2.0, 4.4, 1.8], [1.0, 2.0, 1.0])

    interval = stats.ttest_1samp(np.log([2.0, 2.2, 1.8]), 0).confidence_interval(0.95)
    assert found.ratio == pytest.approx(stats.gmean([2.0, 2.2, 1.8]))
    assert (found.low, found.high) == pytest.approx((np.exp(interval.low), np.exp(interval.high)))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    study = fabricate(tmp_path, n_images=6, n_seeds=2)
    write_timings(tmp_path, study, {"medlitenet": ALIKE, "no_baa": SLOW, "ensemble": [3 * each for each in ALIKE]})
    return tmp_path


def test_the_page_shows_each_time_with_its_ratio_and_interval(store: Path, tmp_path: Path) -> None:
    page, (told,) = write([store], tmp_path / "out")

    rows = {row["variant"]: row for row in told["variants"] if row["evaluation"] == "clean"}
    ratio = paired_ratio(SLOW, ALIKE)
    assert (rows["no_baa"]["latency_ms"], rows["no_baa"]["latency_over"]) == (20.1, "medlitenet")
    assert [rows["no_baa"][f"latency_{end}"] for end in ("ratio", "low", "high")] == pytest.approx(
        [ratio.ratio, ratio.low, ratio.high]
    )
    assert f"<small>× {ratio.ratio:.3f}</small><small>{ratio.low:.3f} to {ratio.high:.3f}</small>" in page
    assert rows["medlitenet"]["latency_low"] is None
    assert (
        "Latency: median; a processor, torch eager, fp32, 128 × 128, batch 1; below it the time over medlitenet" in page
    )
    assert "was timed trial by trial" not in page
    assert "and latency (a processor, torch eager" in page
    assert told["fronts"]["latency_ms"]
    svg = (tmp_path / "out" / "figures" / "baa-cost.svg").read_text()
    assert "latency (ms an image, log)" in svg


def test_timings_of_trials_stay_in_the_table_of_every_timing(store: Path) -> None:
    (study,) = load_studies([store])

    table = latency_table(study)

    assert len(table) == 6 + 6  # two batches of three variants in turns; each trial by itself
    assert len(table.dropna(subset=["ratio"])) == 4


def test_a_copy_counts_once_and_another_machine_is_another(store: Path, tmp_path: Path) -> None:
    study = fabricate(tmp_path / "other", n_images=6, n_seeds=2)
    times = {"medlitenet": ALIKE, "no_baa": SLOW, "ensemble": [3 * each for each in ALIKE]}
    write_timings(tmp_path / "other", study, times)
    write_timings(tmp_path / "other", study, times, device="another processor")

    (joined,) = load_studies([store, tmp_path / "other"])

    assert [timing["rows"][0]["device"] for timing in load_timings(joined)[0]] == ["a processor", "another processor"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"rows": []}, "rows: List should have at least 1 item"),
        ({"models": {"medlitenet": {"trial": "0" * 16}}}, "'medlitenet' is none of the study"),
        ({"baseline": "stranger"}, "'stranger' is none of the study"),
    ],
)
def test_a_file_that_is_not_of_the_study_is_left_out_by_name(
    store: Path, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    [path] = store.glob("latency/*/*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    page, (told,) = write([store], tmp_path / "out")

    [warning] = [text for text in told["warnings"] if text.startswith("Left out, what was timed: latency/baa/")]
    assert why in warning
    assert re.search("timed trial by trial", page)
