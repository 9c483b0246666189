"""The report says what the store holds: its numbers, what they came from, and what is missing."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medbench.bench.stats import compare, holm
from medbench.bench.store.records import file_digest, read_yaml, write_yaml
from medbench.reports import load
from medbench.reports.evidence import anchor_of
from medbench.reports.load import load_studies
from medbench.reports.page import write_report
from medbench.reports.pictures import chosen, outline, pictures
from medbench.reports.tables import cells, variants_table

from ..conftest import ROOT
from ..fabricated_store import HEIGHT, WIDTH, fabricate, trial_id, unsealed, write_deployment, write_timing

HOSTILE = "<script>alert('$1$')</script>"


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


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study with two seeds, a fold, twin variants, hostile names and an uncommon primary metric."""
    store = tmp_path_factory.mktemp("odd")
    study = fabricate(store, n_seeds=2, n_images=6)
    variants = study["variants"]
    variants["key"] = variants.pop("no_baa")
    variants["twin"] = variants["medlitenet"]
    study["question"] = variants["key"]["description"] = HOSTILE
    variants[HOSTILE] = variants.pop("ensemble")
    for variant in variants.values():
        variant["trials"] = [trial | {"fold": 0} for trial in variant["trials"]]
    write_yaml(store / "studies" / "baa.yaml", study | {"primary": "assd", "margin": 0.5})
    return write_report([store], store / "out").parent


@pytest.fixture(scope="module")
def odd_facts(odd: Path) -> dict[str, Any]:
    return json.loads((odd / "report.json").read_text())["studies"][0]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, Any]]]:
    """The page and the studies of a store with two studies of one seed each."""
    store = tmp_path_factory.mktemp("single")
    fabricate(store, "first", n_seeds=1, n_images=3)
    fabricate(store, "second one", n_seeds=1, n_images=3)
    return write([store], store / "out")


def evaluation_of(store: Path, variant: str, seed: int, label: str = "clean") -> Path:
    return store / "trials" / trial_id(variant, seed) / "evaluations" / trial_id(variant, seed, label)


def rescore(
    store: Path, variant: str, seed: int, change: Callable[[pd.DataFrame], pd.DataFrame], label: str = "clean"
) -> None:
    with unsealed(evaluation_of(store, variant, seed, label)) as folder:
        change(pd.read_parquet(folder / "scores.parquet")).to_parquet(folder / "scores.parquet")


def write(stores: list[Path], out: Path) -> tuple[str, list[dict[str, Any]]]:
    """The page and the studies of its report.json."""
    index = write_report(stores, out)
    return index.read_text(), json.loads((out / "report.json").read_text())["studies"]


OWN_SCRIPT = (ROOT / "reports" / "page.js").read_text()


def scripts_in(page: str) -> list[str]:
    """What stands between script tags, as a browser finds them."""
    return re.findall(r"<script[^>]*>(.*?)</script", page, flags=re.DOTALL | re.IGNORECASE)


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


def test_what_an_earlier_report_wrote_and_this_one_does_not_is_gone(store: Path, tmp_path: Path) -> None:
    """And nothing else: neither what lies there besides, nor what somebody changed since."""
    copy, out = shutil.copytree(store, tmp_path / "store"), tmp_path / "out"
    write_deployment(copy, read_yaml(copy / "studies" / "baa.yaml"))
    write_report([copy], out)
    (out / "tables" / "baa-notes.csv").write_text("mine")
    (out / "tables" / "baa-deployment.tex").write_text("my own words")
    report = json.loads((out / "report.json").read_text())
    outside = tmp_path / "outside.csv"
    outside.write_text("else")
    report["files"]["tables/../../outside.csv"] = file_digest(outside)
    (out / "report.json").write_text(json.dumps(report))
    shutil.rmtree(copy / "deployment")

    write_report([copy], out)
    write_report([copy], tmp_path / "fresh")

    there, fresh = (
        {path.relative_to(each).as_posix() for path in each.rglob("*") if path.is_file()}
        for each in (out, tmp_path / "fresh")
    )
    assert there - fresh == {"tables/baa-notes.csv", "tables/baa-deployment.tex"}
    assert {*json.loads((out / "report.json").read_text())["files"]} == fresh - {"index.html", "report.json"}
    assert outside.is_file()


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


def test_only_the_primary_metric_gets_a_claim(facts: dict[str, Any]) -> None:
    assert {row["metric"] for row in facts["comparisons"] if row["claim"] is not None} == {"dice"}


def test_the_csv_holds_the_same_numbers_as_the_json(out: Path, facts: dict[str, Any]) -> None:
    with (out / "tables" / "baa-comparisons.csv").open() as file:
        rows = list(csv.DictReader(file))

    assert [float(row["difference"]) for row in rows] == [row["difference"] for row in facts["comparisons"]]


def test_every_score_is_in_a_table(store: Path, out: Path) -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(out / "tables" / "baa-per-image.parquet"), load(store))


def test_a_cell_is_a_pivot_table_without_the_images_that_a_seed_lacks(store: Path) -> None:
    (study,) = load_studies([store])
    rng = np.random.default_rng(0)
    scores = study.scores.sample(frac=0.95, random_state=rng)
    scores["hd95"] = scores["hd95"].mask(rng.random(len(scores)) < 0.05)
    again = scores.sample(frac=0.5, random_state=rng).assign(fold=1, dice=0.25)  # images that a second fold scores

    found = cells(study, pd.concat([scores, again, again.assign(dice=0.3)]))

    assert len(found) == 6
    for cell in found.values():
        for metric, table in cell.tables.items():
            expected = cell.scores.pivot_table(index="seed", columns="image", values=metric).dropna(axis="columns")
            pd.testing.assert_frame_equal(table, expected, check_exact=True, check_column_type=False)


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
    assert "url(http" not in page


def test_settings_that_differ_are_shown_and_the_others_are_not(facts: dict[str, Any]) -> None:
    rows = facts["differing_settings"]

    assert rows["options.boundary_attention"]["no_baa"] is False
    assert rows["options.boundary_attention"]["ensemble"] is None
    assert "size" not in rows


def test_how_large_the_scored_masks_are_is_told(page: str, facts: dict[str, Any]) -> None:
    size = {"width": [WIDTH, WIDTH], "height": [HEIGHT, HEIGHT]}

    assert facts["mask_sizes"] == {"clean": size, "ph2": size}
    assert "clean 64 × 48 pixels; ph2 64 × 48 pixels" in page
    assert "at the reference masks&#39; own resolution (64 × 48 pixels), image by image" in page


def test_settings_that_an_ensemble_or_another_model_cannot_have_are_no_difference(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_images=4)
    variants = study["variants"]
    for name in ("medlitenet", "no_baa"):
        variants[name]["settings"]["options"]["heads"] = 4
        variants[name]["settings"]["training"] = {"epochs": 12, "clip_norm": 1.0}
    unet = {**variants["no_baa"]["settings"], "model": "unet", "training": {"epochs": 12}}
    unet["options"] = {"heads": 8, "depth": 3}
    variants["unet"] = {**variants["no_baa"], "settings": unet}
    write_yaml(tmp_path / "studies" / "baa.yaml", study)

    _, (facts,) = write([tmp_path], tmp_path / "out")

    assert [*facts["differing_settings"]] == [
        "model",
        "options.boundary_attention",
        "options.heads",
        "training.clip_norm",
        "ensemble.members",
        "ensemble.weighting",
    ]


def test_the_latency_of_trials_says_on_what_and_how_it_was_measured(page: str, facts: dict[str, Any]) -> None:
    row = next(row for row in facts["variants"] if row["variant"] == "no_baa")

    assert row["latency_ms"] == 51.0
    where = "a processor, 2 threads, torch eager, fp32, 256 × 256, batch 1"
    assert f"Latency: median; {where}; timed trial by trial, without an interval." in page
    assert "Latency is not drawn: it was timed trial by trial, without intervals." in page
    assert "latency_ms" not in facts["fronts"]


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
    assert len(files) == 13


def test_a_sound_store_has_no_warning_but_of_its_few_images_and_the_ensemble(facts: dict[str, Any]) -> None:
    assert facts["warnings"] == [
        "Few test images: clean 12, ph2 12. Others could give other numbers, as the intervals show.",
        "ensemble contains the baseline's own trainings; its interval is wider, and its p larger, than need be.",
    ]


def test_with_one_seed_no_claim_is_made(single: tuple[str, list[dict[str, Any]]]) -> None:
    page, (facts, _) = single

    assert "(1 seed × 3 images). One seed: no claim about the method can be made." in page
    assert {row["claim"] for row in facts["comparisons"] if row["metric"] == "dice"} == {
        "cannot be decided with 1 seed"
    }
    assert facts["warnings"][0].startswith("One seed only: medlitenet, no_baa, ensemble.")


def test_hostile_names_are_text(odd: Path) -> None:
    page = (odd / "index.html").read_text()

    assert scripts_in(page)[-1] == OWN_SCRIPT
    assert all(json.loads(data) for data in scripts_in(page)[:-1])  # the others are data, which no browser runs
    assert "&lt;script&gt;" in page


def test_several_studies_get_an_overview(single: tuple[str, list[dict[str, Any]]]) -> None:
    page, studies = single

    assert [study["study"] for study in studies] == ["first", "second one"]
    assert {"#first", f"#{anchor_of('second one')}"} <= set(Links(page).targets)


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


def test_the_equivalence_interval_is_in_the_tables_and_explained(store: Path, facts: dict[str, Any], page: str) -> None:
    scores = load(store).query("evaluation == 'clean'")
    a, b = (
        scores[scores["variant"] == variant].pivot(index="seed", columns="image", values="dice")
        for variant in ("ensemble", "medlitenet")
    )

    row = next(row for row in facts["comparisons"] if (row["variant"], row["metric"]) == ("ensemble", "dice"))

    expected = compare(a, b)
    assert (row["tost_low"], row["tost_high"]) == pytest.approx((expected.tost_low, expected.tost_high))
    assert "Equivalent: the 90 % interval" in page


def test_a_variant_without_description_goes_by_its_name(facts: dict[str, Any]) -> None:
    assert {answer["label"] for answer in facts["answers"]} == {"Without boundary-aware attention", "ensemble"}


def test_the_seconds_of_a_trial_are_those_of_its_epochs(facts: dict[str, Any]) -> None:
    seconds = {(trial["variant"], trial["seed"]): trial["seconds"] for trial in facts["trials"]}

    assert seconds["no_baa", 2] == 12 * 7.0
    assert seconds["ensemble", 2] is None


def test_latex_has_macros_where_pdflatex_knows_no_character(out: Path) -> None:
    text = "".join(path.read_text() for path in sorted((out / "tables").glob("*.tex")))

    assert text.isascii()
    assert "Dice, mean $\\pm$ SD over seeds" in text
    assert "difference in Dice" in text
    assert "$<$ 0.001" in text


def test_the_primary_metric_is_in_print_whatever_it_is(odd: Path) -> None:
    assert "ASSD (px), mean" in (odd / "tables" / "baa-variants.tex").read_text()


def test_variants_that_share_trials_have_one_row_of_them(odd: Path) -> None:
    links = Links((odd / "index.html").read_text())

    assert len(links.ids) == len(set(links.ids))
    assert len([id for id in links.ids if id.startswith("baa-trial-")]) == 6


def test_a_shared_trial_is_made_once(odd_facts: dict[str, Any]) -> None:
    made = [what for environment in odd_facts["environments"].values() for what in environment["of"]]

    assert len(made) == len(set(made)) == 6 + 12


def test_a_variant_that_contains_trainings_of_the_baseline_is_named(odd_facts: dict[str, Any]) -> None:
    assert any(text.startswith(f"{HOSTILE} contains the baseline's own trainings") for text in odd_facts["warnings"])


def test_variants_of_the_same_trials_are_told_to_be_one_and_never_compared(odd_facts: dict[str, Any]) -> None:
    others = {"medlitenet", "key", HOSTILE}

    assert odd_facts["same"] == [["medlitenet", "twin"]]
    assert odd_facts["warnings"][0].startswith("medlitenet and twin are one and the same training, ")
    assert {row["variant"] for row in odd_facts["variants"]} == {*others, "twin"}
    assert {row["variant"] for row in odd_facts["comparisons"]} == others - {"medlitenet"}
    assert {answer["variant"] for answer in odd_facts["answers"]} == others - {"medlitenet"}
    assert {name for row in odd_facts["pairwise"] for name in (row["a"], row["b"])} == others
    assert {*odd_facts["ranking"]} == {*odd_facts["ranks"]["variants"]} == others
    assert "twin" not in odd_facts["disagreements"]


@pytest.mark.parametrize("others", [[], ["no_baa", "ensemble"]])
def test_variants_of_other_trials_with_the_same_scores_are_one_as_well(tmp_path: Path, others: list[str]) -> None:
    """An option that changes nothing, under a trial id of its own; one of its seeds is not there yet."""
    study = fabricate(tmp_path, n_seeds=3, n_images=6, variants=("medlitenet", *others))
    trials = study["variants"]["medlitenet"]["trials"]
    for trial in trials[:2]:
        shutil.copytree(tmp_path / "trials" / trial["trial"], tmp_path / "trials" / f"{trial['seed']:016}")
    own = {"trials": [trial | {"trial": f"{trial['seed']:016}"} for trial in trials]}
    study["variants"]["inert"] = study["variants"]["medlitenet"] | own
    write_yaml(tmp_path / "studies" / "baa.yaml", study)

    page, (facts,) = write([tmp_path], tmp_path / "out")

    told = "medlitenet and inert have exactly the same scores, seed by seed and image by image, like one training under"
    assert facts["same"] == [["medlitenet", "inert"]]
    assert any(text.startswith(told) and text.endswith("; they are not compared.") for text in facts["warnings"])
    assert {row["variant"] for row in facts["comparisons"]} == {*others}
    assert {name for row in facts["pairwise"] for name in (row["a"], row["b"])} <= {"medlitenet", *others}
    assert (f"There is no comparison: {told}" in page) == (not others)


def test_two_seeds_are_warned_of(odd_facts: dict[str, Any]) -> None:
    assert any(text.startswith("Two seeds: intervals can be very wide, or too") for text in odd_facts["warnings"])


def test_where_two_seeds_decide_nothing_nothing_is_quoted_and_every_place_says_so(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_seeds=2, n_images=6)
    claim = {"metric": "hd95", "value": 2.0, "spread": None, "variant": "no_baa", "evaluation": "clean"}
    claim |= {"under": {}, "source": "somebody", "note": ""}
    write_yaml(tmp_path / "studies" / "baa.yaml", study | {"claims": [claim]})
    rescore(tmp_path, "no_baa", 1, lambda table: table.assign(dice=0.4 * table["dice"], hd95=20 * table["hd95"]))

    page, (facts,) = write([tmp_path], tmp_path / "out")

    (row,) = [
        r for r in facts["comparisons"] if (r["evaluation"], r["metric"], r["variant"]) == ("clean", "dice", "no_baa")
    ]
    quoted = ("error", "df", "ci_low", "ci_high", "tost_low", "p_value", "p_adjusted", "p_equivalence", "seed_share")
    assert {row[key] for key in (*quoted, "minimum_detectable", "seeds_needed", "images_needed", "cost")} == {None}
    assert row["claim"] == "cannot be decided with 2 seeds"
    assert re.search(
        r"\(2 seeds × 6 images\)\. 2 seeds leave fewer than the 2 degrees of freedom that an interval takes\.", page
    )
    assert "Whether no_baa differs from medlitenet cannot be decided with 2 seeds." in page
    assert "& -- & -- & cannot be decided with 2 seeds" in (tmp_path / "out/tables/baa-comparisons.tex").read_text()
    assert {pair["p_value"] for pair in facts["pairwise"] if "no_baa" in (pair["a"], pair["b"])} == {None}
    means = [variant for variant in facts["variants"] if variant["evaluation"] == "clean"]
    assert all(0 < each["dice_ci_low"] < each["dice_mean"] < each["dice_ci_high"] < 1 for each in means)
    assert all(0 <= each["hd95_ci_low"] < each["hd95_mean"] < each["hd95_ci_high"] for each in means)
    assert facts["published"][0]["why"].startswith("our interval is too wide to tell: ")


def test_split_sizes_of_a_cross_validation_are_said_to_be_those_of_fold_0(odd: Path) -> None:
    assert "test 6 (fold 0;" in (odd / "index.html").read_text()


def test_a_variant_may_be_called_key(odd_facts: dict[str, Any]) -> None:
    assert odd_facts["differing_settings"]["options.boundary_attention"]["key"] is False


def test_each_fold_shows_its_images_from_its_own_gallery_folder(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=1, n_images=6)
    first, second = (tmp_path / "gallery" / trial_id(name) for name in ("gallery", "another fold's"))
    second.mkdir()
    for path in sorted(first.iterdir())[:6]:
        path.rename(second / path.name)
    with unsealed(evaluation_of(tmp_path, "no_baa", 0)) as folder:
        write_yaml(folder / "config.yaml", read_yaml(folder / "config.yaml") | {"images_digest": second.name})

    (study,) = load_studies([tmp_path])
    shown = pictures(study, study.scores)

    assert len({picture.image for picture in shown}) == 6
    assert all(picture.references[0] for picture in shown)


def test_an_accelerator_gives_the_headline_latency(store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "copy")
    for variant in ("medlitenet", "no_baa", "ensemble"):
        write_timing(copy / "trials" / trial_id(variant, 0), variant, "some GPU", "fp16", {"median_ms": 1.5})

    (study,) = load_studies([copy])
    table = variants_table(study, cells(study, study.scores))

    assert set(table["latency_at"]) == {"some GPU, torch eager, fp16, 256 × 256, batch 1"}
    assert set(table["latency_ms"]) == {1.5}


def test_a_timing_found_twice_counts_once(store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "copy")

    (study,) = load_studies([store, copy, store / "trials" / ".."])

    assert [len(trial.latency) for trial in study.trials] == [1] * 9


def test_pooled_scores_are_over_the_images_of_the_mean(store: Path) -> None:
    (study,) = load_studies([store])
    partial = study.scores.query("not (variant == 'no_baa' and seed == 1 and image == 'ISIC_0000003')")

    table = variants_table(study, cells(study, partial)).set_index(["evaluation", "variant"])

    others = study.scores.query("image != 'ISIC_0000003'")
    expected = variants_table(study, cells(study, others)).set_index(["evaluation", "variant"])
    columns = ["dice_mean", "pooled_dice", "pooled_iou_sd_seeds"]
    assert list(table.loc[("clean", "no_baa"), columns]) == pytest.approx(
        list(expected.loc[("clean", "no_baa"), columns])
    )


def test_a_report_on_one_structure_knows_of_no_classes(facts: dict[str, Any], page: str) -> None:
    assert not {"target", "classes"} & facts.keys()
    assert not any("class_mean" in key for row in facts["variants"] for key in row)
    assert "by class" not in re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
