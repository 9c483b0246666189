"""The studies of one question on several data sets, side by side on the page and in report.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from medbench.bench.stats.several_sets import dependence
from medbench.reports.page import write_report
from medbench.reports.side_by_side import side_by_side
from tests.fabricated_store import fabricate


def study(
    name: str, differences: dict[str, tuple[float, float, str | None]], means: dict[str, float]
) -> dict[str, Any]:
    """The facts of a study that side_by_side reads: (difference, error, claim) and means by variant."""
    rows = [
        {"evaluation": "clean", "variant": variant, "n_images": 40, "n_seeds": 3, "dice_mean": mean}
        | {"dice_ci_low": mean - 0.02, "dice_ci_high": mean + 0.02}
        for variant, mean in means.items()
    ]
    compared = [
        {"evaluation": "clean", "metric": "dice", "variant": variant, "difference": d, "error": error, "df": 6.0}
        | {"ci_low": d - 0.02, "ci_high": d + 0.02, "p_adjusted": 0.1, "claim": claim}
        for variant, (d, error, claim) in differences.items()
    ]
    return {
        "study": f"carry-{name}",
        "series": {"name": "carry", "set": name, "sets": ["skin", "heart", "eye"]},
        "question": "Does it carry over?",
        "baseline": "full",
        "primary": "dice",
        "margin": 0.01,
        "settings": {variant: {} for variant in means},
        "evaluations": ["clean"],
        "dataset": {"name": name},
        "variants": rows,
        "comparisons": compared,
        "trials": [{"trial": f"{name}-{variant}"} for variant in means],
    }


SKIN = study(
    "skin", {"less": (-0.05, 0.01, "worse"), "other": (0.0, 0.01, None)}, {"full": 0.9, "less": 0.85, "other": 0.9}
)
HEART = study("heart", {"less": (0.02, 0.01, "better")}, {"full": 0.7, "less": 0.72})


def test_each_set_has_its_means_ranks_and_verdicts_in_the_order_of_the_series() -> None:
    [found] = side_by_side([HEART, {"study": "apart"}, SKIN])

    assert [each["set"] for each in found["sets"]] == ["skin", "heart"]
    assert found["missing"] == ["eye"]
    assert [each["rank"] for each in found["means"]["less"]] == [3, 1]
    assert [each["rank"] for each in found["means"]["full"]] == [1, 2]
    assert found["means"]["other"][1] is None
    assert [each["difference"] for each in found["differences"]["less"]] == [-0.05, 0.02]


def test_a_sentence_says_where_which_verdict_stands_and_whether_it_depends_on_the_set() -> None:
    [found] = side_by_side([SKIN, HEART])
    expected = dependence([-0.05, 0.02], [0.01, 0.01], [6.0, 6.0])

    assert expected is not None
    assert found["depends"]["less"] == {
        "f": expected.f, "df": list(expected.df), "p_value": expected.p_value, "n_sets": 2
    }  # fmt: skip
    assert found["answers"]["less"] == (
        "less against full: worse on skin; better on heart. The difference depends on the set (p < 0.001)."
    )
    assert found["depends"]["other"] is None
    assert found["answers"]["other"] == "other against full: no verdict on any set yet."


def test_sets_that_are_the_same_trainings_are_told_and_count_once() -> None:
    again = SKIN | {"series": SKIN["series"] | {"set": "eye"}}

    [found] = side_by_side([SKIN, HEART, again])

    assert found["same"] == [["skin", "eye"]]
    assert found["depends"]["less"]["n_sets"] == 2


def test_a_study_that_is_told_apart_does_not_take_the_place_of_the_first() -> None:
    other = study("skin", {"less": (0.1, 0.01, "better")}, {"full": 0.4, "less": 0.5}) | {"study": "carry-skin@there"}

    [found] = side_by_side([SKIN, other, HEART])

    assert [each["study"] for each in found["sets"]] == ["carry-skin", "carry-heart"]
    assert [each["mean"] for each in found["means"]["full"]] == [0.9, 0.7]
    assert found["apart"] == ["carry-skin@there"]


def test_one_set_with_scores_is_no_series() -> None:
    assert side_by_side([SKIN, HEART | {"variants": [], "comparisons": []}]) == []
    assert side_by_side([{"study": "alone"}]) == []


def test_the_page_shows_the_sets_and_leads_to_their_studies(tmp_path: Path) -> None:
    for name in ("skin", "heart"):
        series = {"name": "carry", "set": name, "sets": ["skin", "heart"]}
        fabricate(tmp_path / "store", f"carry-{name}", series=series, question="Does <it> carry over?")

    page = write_report([tmp_path / "store"], tmp_path / "out").read_text(encoding="utf-8")

    told = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    [found] = told["series"]
    assert page.count('class="study series"') == 1
    assert '<a href="#carry-skin">skin</a>' in page
    assert '<a href="#carry-series">carry, side by side</a>' in page
    assert page.count('id="carry-series"') == 1
    assert "Does &lt;it&gt; carry over?" in page
    assert (tmp_path / "out" / "figures" / "carry-sets.svg").is_file()
    first = told["studies"][0]
    row = next(each for each in first["variants"] if each["variant"] == "no_baa" and each["evaluation"] == "clean")
    assert found["means"]["no_baa"][0]["mean"] == pytest.approx(row["dice_mean"])


def test_the_page_says_which_study_of_a_series_is_left_out(tmp_path: Path) -> None:
    for store, name, margin in (("here", "skin", 0.01), ("here", "heart", 0.01), ("there", "skin", 0.02)):
        series = {"name": "carry", "set": name, "sets": ["skin", "heart"]}
        fabricate(tmp_path / store, f"carry-{name}", n_seeds=1, n_images=3, series=series, margin=margin)

    stores = [tmp_path / "here", tmp_path / "there"]
    page = write_report(stores, tmp_path / "out").read_text(encoding="utf-8")

    assert "Without carry-skin@there, which could not be joined with the study of its set that stands here" in page


def test_reports_without_a_series_do_not_speak_of_one(tmp_path: Path) -> None:
    fabricate(tmp_path / "store")

    page = write_report([tmp_path / "store"], tmp_path / "out").read_text(encoding="utf-8")

    assert "series" not in json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert 'class="study series"' not in page
