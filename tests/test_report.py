"""The report says what the store holds: its numbers, what they came from, and what is missing."""

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medbench.bench.errors import MedbenchError
from medbench.bench.records import sealed_folder, write_json, write_yaml
from medbench.bench.stats import compare, holm
from medbench.reports import load
from medbench.reports.gallery import chosen, outline
from medbench.reports.page import anchor_of, write_report

from .fabricated_store import environment, fabricate, trial_id


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    fabricate(store)
    return store


@pytest.fixture(scope="module")
def out(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report([store], tmp_path_factory.mktemp("out")).parent


@pytest.fixture(scope="module")
def facts(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())["studies"][0]


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return (out / "index.html").read_text()


def write(stores: list[Path], out: Path) -> tuple[str, list[dict[str, Any]]]:
    """The page and the studies of its report.json."""
    index = write_report(stores, out)
    return index.read_text(), json.loads((out / "report.json").read_text())["studies"]


class Links(HTMLParser):
    """Collects ids, link targets and tags; what autoescaping missed would show up as tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.targets += [value for name, value in attrs if name in ("href", "xlink:href", "src") and value]


def test_load_gives_one_row_per_trial_evaluation_and_image(store: Path) -> None:
    scores = load(store)

    assert len(scores) == 3 * 3 * 2 * 12
    assert not scores.duplicated(["study", "variant", "seed", "evaluation", "image"]).any()
    assert list(scores.columns[:7]) == ["study", "variant", "seed", "fold", "trial", "evaluation", "image"]


def test_means_and_deviations_are_those_of_the_parquet_files(store: Path, facts: dict[str, Any]) -> None:
    for row in facts["variants"]:
        paths = [
            store / "trials" / trial_id(row["variant"], seed) / "evaluations" / trial_id(row["variant"], seed, label)
            for seed in range(3)
            for label in [row["evaluation"]]
        ]
        table = np.stack([pd.read_parquet(path / "scores.parquet")["hd95"] for path in paths])

        assert row["hd95_mean"] == pytest.approx(table.mean())
        assert row["hd95_sd_seeds"] == pytest.approx(np.std(table.mean(axis=1), ddof=1))
        assert row["hd95_sd_images"] == pytest.approx(np.std(table.mean(axis=0), ddof=1))


def test_pooled_dice_is_that_of_all_pixels_together(store: Path, facts: dict[str, Any]) -> None:
    scores = load(store).query("variant == 'no_baa' and evaluation == 'clean'")
    tp, fp, fn = (
        scores.pivot_table(index="seed", values=name, aggfunc="sum").to_numpy() for name in ("tp", "fp", "fn")
    )
    expected = (2 * tp / (2 * tp + fp + fn)).mean()

    row = next(row for row in facts["variants"] if (row["variant"], row["evaluation"]) == ("no_baa", "clean"))

    assert row["pooled_dice"] == pytest.approx(expected)


def test_a_difference_is_variant_minus_baseline_with_the_crossed_interval(store: Path, facts: dict[str, Any]) -> None:
    scores = load(store).query("evaluation == 'ph2'")
    a, b = (
        scores[scores["variant"] == variant].pivot(index="seed", columns="image", values="iou")
        for variant in ("no_baa", "medlitenet")
    )

    row = next(
        row
        for row in facts["comparisons"]
        if (row["variant"], row["evaluation"], row["metric"]) == ("no_baa", "ph2", "iou")
    )

    expected = compare(a, b)
    assert row["difference"] == pytest.approx(a.to_numpy().mean() - b.to_numpy().mean())
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((expected.ci_low, expected.ci_high))


def test_p_values_are_adjusted_over_the_variants_of_an_evaluation(facts: dict[str, Any]) -> None:
    family = [row for row in facts["comparisons"] if (row["evaluation"], row["metric"]) == ("clean", "dice")]

    assert [row["p_adjusted"] for row in family] == pytest.approx(holm([row["p_value"] for row in family]))


def test_only_the_primary_metric_gets_a_verdict(facts: dict[str, Any]) -> None:
    assert {row["metric"] for row in facts["comparisons"] if row["verdict"] is not None} == {"dice"}


def test_the_csv_holds_the_same_numbers_as_the_json(out: Path, facts: dict[str, Any]) -> None:
    with (out / "tables" / "baa-comparisons.csv").open() as file:
        rows = list(csv.DictReader(file))

    assert [float(row["difference"]) for row in rows] == [row["difference"] for row in facts["comparisons"]]


def test_the_answer_comes_first_with_effect_interval_and_what_it_is_over(page: str) -> None:
    text = re.sub(r"<[^>]+>", "", page)

    assert re.search(
        r"Without boundary-aware attention: Dice −0\.\d{3} \[−0\.\d{3}, −0\.\d{3}\] "
        r"against medlitenet \(3 seeds × 12 images, p < 0\.001, Holm\): worse\.",
        text.replace("&lt;", "<"),
    )
    assert page.index('class="answers"') < page.index("<table")


def test_every_number_names_trials_that_the_page_lists(page: str, facts: dict[str, Any]) -> None:
    links = Links(page)
    listed = {trial["trial"] for trial in facts["trials"]}
    named = [row["trials"].split() for row in [*facts["variants"], *facts["comparisons"]]]

    assert all(ids and set(ids) <= listed for ids in named)
    assert {f"#baa-trial-{trial}" for trial in listed} <= set(links.targets)
    assert {target[1:] for target in links.targets if target.startswith("#")} <= set(links.ids)


def test_ids_are_unique_in_the_page(page: str) -> None:
    ids = Links(page).ids

    assert len(ids) == len(set(ids))


def test_an_ensemble_names_the_trials_of_its_members(facts: dict[str, Any]) -> None:
    trial = next(t for t in facts["trials"] if t["variant"] == "ensemble" and t["seed"] == 1)

    assert trial["members"] == [trial_id("medlitenet", 1), trial_id("no_baa", 1)]


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    links = Links(page)

    assert all(target.startswith(("#", "data:")) for target in links.targets)
    assert "script" not in links.tags
    assert "url(http" not in page


def test_settings_that_differ_are_shown_and_the_others_are_not(facts: dict[str, Any]) -> None:
    rows = {row["key"]: row for row in facts["differing_settings"]}

    assert rows["options.boundary_attention"]["no_baa"] is False
    assert rows["options.boundary_attention"]["ensemble"] is None
    assert "size" not in rows


def test_latency_says_on_what_it_was_measured(page: str, facts: dict[str, Any]) -> None:
    row = next(row for row in facts["variants"] if row["variant"] == "no_baa")

    assert row["latency_ms"] == 51.0
    assert "laptop: cpu, torch, fp32, 256 × 256, batch 1" in page


def test_the_gallery_ranks_by_the_mean_over_variants_and_seeds(store: Path, facts: dict[str, Any]) -> None:
    scores = load(store).query("evaluation == 'clean'")
    means = scores.pivot_table(index="image", values="dice", aggfunc="mean")["dice"]

    shown = facts["gallery"]

    assert shown[0]["image"] == means.idxmax()
    assert shown[6]["image"] == means.idxmin()
    assert [picture["rank"] for picture in shown] == ["best"] * 3 + ["median"] * 3 + ["worst"] * 3


def test_the_same_store_gives_the_same_bytes(store: Path, out: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "elsewhere")

    again = write_report([copy], tmp_path / "again").parent

    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert [(again / name).read_bytes() for name in files] == [(out / name).read_bytes() for name in files]
    assert len(files) == 7


def test_a_sound_store_has_no_warnings(facts: dict[str, Any]) -> None:
    assert facts["warnings"] == []


def test_an_unfinished_trial_is_named_and_not_read(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=4)
    trial = trial_id("no_baa", 2)
    (tmp_path / "trials" / trial / "manifest.json").unlink()

    page, (facts,) = write([tmp_path], tmp_path / "out")

    assert f"8 of 9 trials done. no_baa, seed 2: trial {trial} is not finished" in page
    assert trial not in {row["trial"] for row in facts["trials"]}
    assert {row["n_seeds"] for row in facts["variants"] if row["variant"] == "no_baa"} == {2}


def test_an_unfinished_evaluation_is_named(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=1, n_images=3)
    trial = trial_id("no_baa", 0)
    shutil.rmtree(tmp_path / "trials" / trial / "evaluations" / trial_id("no_baa", 0, "ph2"))

    page, _ = write([tmp_path], tmp_path / "out")

    assert f"3 of 3 trials done. no_baa, seed 0: ph2 of trial {trial} not evaluated" in page


def test_a_store_without_finished_trials_still_gives_a_page(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=4)
    shutil.rmtree(tmp_path / "trials")

    page, _ = write([tmp_path], tmp_path / "out")

    assert "0 of 9 trials done" in page


def test_with_one_seed_no_claim_is_made(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=1, n_images=6)

    page, (facts,) = write([tmp_path], tmp_path / "out")

    assert "(1 seed × 6 images). One seed: no claim about the method can be made." in page
    assert {row["verdict"] for row in facts["comparisons"] if row["metric"] == "dice"} == {"no claim"}
    assert facts["warnings"][0].startswith("One seed only: medlitenet, no_baa, ensemble.")


def test_mixed_origins_and_dirty_code_are_named(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=4)
    folder = tmp_path / "trials" / trial_id("medlitenet", 0)
    (folder / "manifest.json").unlink()
    other = environment(device_name="a GPU", git_dirty=True, packages={"torch": "2.9.0", "numpy": "2.4.6"})
    with sealed_folder(tmp_path / "sealed") as working:
        shutil.copytree(folder, working, dirs_exist_ok=True)
        write_json(working / "environment.json", other)
    shutil.rmtree(folder)
    (tmp_path / "sealed").rename(folder)

    _, (facts,) = write([tmp_path], tmp_path / "out")

    assert [warning.split(":")[0] for warning in facts["warnings"]] == [
        "Mixed hardware",
        "Mixed versions of torch",
        "Uncommitted changes",
    ]


def test_a_half_done_cross_validation_is_compared_on_the_images_that_all_seeds_share(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_images=4)
    path = tmp_path / "trials" / trial_id("no_baa", 1) / "evaluations" / trial_id("no_baa", 1, "clean")
    scores = pd.read_parquet(path / "scores.parquet").iloc[1:]
    shutil.rmtree(path)
    with sealed_folder(path) as working:
        write_yaml(working / "config.yaml", {"trial": path.parents[1].name, "name": "clean"})
        write_json(working / "environment.json", environment())
        scores.to_parquet(working / "scores.parquet")
    study["variants"]["no_baa"]["trials"][1]["fold"] = 2
    write_yaml(tmp_path / "studies" / "baa.yaml", study)

    page, (facts,) = write([tmp_path], tmp_path / "out")

    rows = [row for row in facts["comparisons"] if row["evaluation"] == "clean" and row["metric"] == "dice"]
    assert {row["variant"]: row["n_images"] for row in rows} == {"no_baa": 3, "ensemble": 4}
    assert "Test images differ on clean: 3 of 4 images" in page


def test_hostile_names_are_text(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_seeds=1, n_images=3)
    hostile = "<script>alert('$1$')</script>"
    study["question"] = study["variants"]["no_baa"]["description"] = hostile
    study["variants"][hostile] = study["variants"].pop("no_baa")
    write_yaml(tmp_path / "studies" / "baa.yaml", study)

    page, _ = write([tmp_path], tmp_path / "out")

    assert "script" not in Links(page).tags
    assert "&lt;script&gt;" in page


def test_several_studies_get_an_overview(tmp_path: Path) -> None:
    fabricate(tmp_path, "first", n_seeds=1, n_images=3)
    fabricate(tmp_path, "second one", n_seeds=1, n_images=3)

    page, studies = write([tmp_path], tmp_path / "out")

    assert [study["study"] for study in studies] == ["first", "second one"]
    assert {"#first", f"#{anchor_of('second one')}"} <= set(Links(page).targets)


def test_stores_are_one_pool_of_trials(store: Path, tmp_path: Path) -> None:
    left, right = (shutil.copytree(store, tmp_path / name) for name in ("left", "right"))
    shutil.rmtree(left / "trials" / trial_id("no_baa", 0))
    shutil.rmtree(right / "trials" / trial_id("ensemble", 1))

    _, (facts,) = write([left, right], tmp_path / "out")

    assert facts["n_trials"] == 9


def test_a_path_without_studies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MedbenchError, match=r"no studies/\*\.yaml there"):
        write_report([tmp_path], tmp_path / "out")


def test_stores_that_disagree_about_a_study_are_refused(store: Path, tmp_path: Path) -> None:
    other = shutil.copytree(store, tmp_path / "other")
    text = (other / "studies" / "baa.yaml").read_text()
    (other / "studies" / "baa.yaml").write_text(text.replace("margin: 0.01", "margin: 0.02"))

    with pytest.raises(MedbenchError, match="describe 'baa' differently"):
        write_report([store, other], tmp_path / "out")


@pytest.mark.parametrize("n", range(1, 12))
def test_no_image_is_chosen_twice(n: int) -> None:
    images = [str(i) for i in range(n)]

    picks = [image for _, image in chosen(images)]

    assert len(picks) == len(set(picks))
    assert {images[0], images[-1]} <= set(picks)


def test_an_outline_is_scaled_to_the_picture() -> None:
    mask = np.zeros((4, 4), dtype=bool)
    mask[1:3, 1:3] = True

    points = re.findall(r"([\d.]+) ([\d.]+)", outline(mask, 40, 80))

    assert {(float(x), float(y)) for x, y in points} == {(15, 30), (25, 30), (25, 50), (15, 50)}


def test_an_empty_mask_has_no_outline() -> None:
    assert outline(np.zeros((4, 4), dtype=bool), 4, 4) == ""
