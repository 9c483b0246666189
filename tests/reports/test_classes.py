"""A report on several classes: every number against pandas on the stored tables, and words and pictures that fit."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medbench.bench.metrics import COUNTS, Target
from medbench.bench.stats import Comparison, compare, holm, summarize
from medbench.bench.store.records import read_yaml, write_yaml
from medbench.reports.every_image import Room
from medbench.reports.evidence import Evidence
from medbench.reports.load import load_studies
from medbench.reports.page import write_report
from medbench.reports.pictures import outline, pictures, planes
from medbench.reports.prose import methods
from medbench.reports.publishing import problems, publish
from medbench.reports.sections.classes import SECTION
from medbench.reports.sections.failing import failures_table
from medbench.reports.sections.probabilities import calibration_table, reliability_sums
from medbench.reports.tables import cells, records, variants_table
from medbench.reports.unpacking import opened

from ..fabricated_store import HEART, PARTS, fabricate, parts, unsealed
from .test_publishing import DAY
from .test_report import evaluation_of

POLYP = Target(("polyp",), ignores=True, background="bowel")
WITHOUT = "ISIC_0000011"  # the last of twelve images


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("heart")
    fabricate(store, "heart", target=HEART)
    return store


@pytest.fixture(scope="module")
def out(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report([store], tmp_path_factory.mktemp("out")).parent


@pytest.fixture(scope="module")
def facts(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())["studies"][0]


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return words_of(out)


@pytest.fixture(scope="module")
def by_class(store: Path) -> Any:
    """Every stored row of the clean test set, with variant and seed, read without the report's code."""
    tables = [
        pd.read_parquet(evaluation_of(store, variant, seed) / "classes.parquet").assign(variant=variant, seed=seed)
        for variant in ("medlitenet", "no_baa", "ensemble")
        for seed in range(3)
    ]
    return pd.concat(tables, ignore_index=True)


def words_of(out: Path) -> str:
    """The page without style, script and bibliography."""
    text = (out / "index.html").read_text()
    return re.sub(r"@\w+\{.*?\n\}", "", re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL), flags=re.DOTALL)


def of(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    [row] = [row for row in rows if row.items() >= wanted.items()]
    return row


def dice_of(counts: Any) -> Any:
    return 2 * counts["tp"] / (2 * counts["tp"] + counts["fp"] + counts["fn"])


def test_a_mean_over_images_and_one_over_classes_are_told_apart(facts: dict[str, Any], by_class: Any) -> None:
    row = of(facts["variants"], evaluation="clean", variant="no_baa")
    own = by_class[by_class["variant"] == "no_baa"]
    held = own[own["tp"] + own["fn"] > 0]

    over_images = dice_of(held).groupby([held["seed"], held["image"]]).mean().mean()
    over_classes = dice_of(held).groupby([held["seed"], held["name"]]).mean().mean()

    assert row["dice_mean"] == pytest.approx(over_images)
    assert row["dice_class_mean"] == pytest.approx(over_classes)
    assert over_images != pytest.approx(over_classes, abs=1e-4)
    assert row["n_images"] == held["image"].nunique() == 11


def test_pooled_scores_are_means_over_classes_of_all_pixels_and_no_micro_sum(
    facts: dict[str, Any], by_class: Any
) -> None:
    row = of(facts["variants"], evaluation="clean", variant="no_baa")
    own = by_class[by_class["variant"] == "no_baa"]
    sums = own.groupby(["seed", "name"])[list(COUNTS)].sum()

    assert row["pooled_dice"] == pytest.approx(dice_of(sums).mean())
    assert row["pooled_dice_sd_seeds"] == pytest.approx(dice_of(sums).groupby("seed").mean().std())
    assert row["pooled_dice"] != pytest.approx(dice_of(sums.groupby("seed").sum()).mean(), abs=1e-4)


def test_an_image_without_any_class_has_no_score_with_any_variant_and_the_reader_is_told(
    store: Path, facts: dict[str, Any]
) -> None:
    [study] = load_studies([store])
    found = cells(study, study.scores)

    assert all(WITHOUT not in cell.tables["dice"] for cell in found.values())
    assert all(WITHOUT in cell.tables["false_alarm"] for cell in found.values())
    assert any(
        each.startswith("Test images without any class in their reference: 1 of clean, 1 of ph2.")
        for each in facts["warnings"]
    )
    assert not any(each.startswith("Test images differ") for each in facts["warnings"])


def test_what_is_empty_is_counted_class_by_class(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=1, n_images=4, target=HEART, variants=("no_baa",))
    [study] = load_studies([tmp_path])
    table: Any = study.classes
    here = table[table["evaluation"] == "clean"]
    with unsealed(evaluation_of(tmp_path, "no_baa", 0)) as folder:
        changed: Any = pd.read_parquet(folder / "classes.parquet")
        missed = (changed["name"] == "myocardium") & (changed["present"] == 1)
        changed.loc[missed, ["tp", "fp"]] = 0.0
        changed.to_parquet(folder / "classes.parquet", index=False)
    [study] = load_studies([tmp_path])

    found: Any = variants_table(study, cells(study, study.scores)).set_index("evaluation")["n_empty"]

    assert found["clean"] == missed.sum() == 3
    assert ((here["tp"] == 0) & (here["fp"] > 0)).any()  # false alarms do not count as empty masks
    assert found["ph2"] == 0


def test_class_by_class_is_what_pandas_finds(facts: dict[str, Any], by_class: Any) -> None:
    for name, variant in (("myocardium", "ensemble"), ("left ventricle", "medlitenet")):
        row = of(facts["classes"], evaluation="clean", name=name, variant=variant)
        own = by_class[(by_class["name"] == name) & (by_class["variant"] == variant)]
        held, absent = own[own["tp"] + own["fn"] > 0], own[own["tp"] + own["fn"] == 0]
        table = held.assign(dice=dice_of(held)).pivot(index="seed", columns="image", values="dice")
        summary = summarize(table.to_numpy(), bounds=(0, 1))

        assert (row["n_images"], row["n_absent"]) == (table.shape[1], absent["image"].nunique())
        assert row["n_images"] + row["n_absent"] == 12
        assert row["dice_mean"] == pytest.approx(table.to_numpy().mean())
        assert (row["dice_ci_low"], row["dice_ci_high"]) == pytest.approx((summary.ci_low, summary.ci_high))
        assert row["n_predicted"] == pytest.approx((absent["fp"] > 0).sum() / 3)
        assert row["false_alarm_mean"] == pytest.approx((absent["fp"] > 0).mean())
        assert row["false_alarm_area_mean"] == pytest.approx((absent["fp"] / absent[list(COUNTS)].sum(axis=1)).mean())
        assert row["false_alarm_mean"] > 0


def test_differences_are_of_one_class_and_adjusted_over_all_of_them(facts: dict[str, Any], by_class: Any) -> None:
    held = by_class[by_class["tp"] + by_class["fn"] > 0]
    found: dict[tuple[str, str], Comparison] = {}
    for name in HEART.names:
        tables = {
            variant: part.assign(dice=dice_of(part)).pivot(index="seed", columns="image", values="dice").to_numpy()
            for variant, part in held[held["name"] == name].groupby("variant")
        }
        for variant in ("no_baa", "ensemble"):
            found[name, variant] = compare(tables[variant], tables["medlitenet"], bounds=(0, 1))
    adjusted = holm([each.p_value for each in found.values()])

    for ((name, variant), each), p_adjusted in zip(found.items(), adjusted, strict=True):
        row = of(facts["classes"], evaluation="clean", name=name, variant=variant)
        assert row["difference"] == pytest.approx(each.difference)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((each.ci_low, each.ci_high))
        assert row["p_adjusted"] == pytest.approx(p_adjusted)
    assert of(facts["classes"], evaluation="clean", name="myocardium", variant="medlitenet")["difference"] is None


def test_the_table_is_written_for_print_too(out: Path) -> None:
    table = pd.read_csv(out / "tables" / "heart-classes.csv")

    assert len(table) == 2 * 3 * 3
    assert {"hd95_mean", "brier_mean", "nsd2_ci_low"} <= set(table)
    assert "left ventricle & no\\_baa &" in (out / "tables" / "heart-classes.tex").read_text()
    assert "<svg" in (out / "figures" / "heart-classes.svg").read_text()


def test_failures_are_counted_class_by_class(store: Path, by_class: Any) -> None:
    [study] = load_studies([store])
    rows = records(failures_table(study, study.scores, cells(study, study.scores)))
    own = by_class[by_class["variant"] == "no_baa"]

    row = of(rows, evaluation="clean", variant="no_baa", name="myocardium")
    whole = of(rows, evaluation="clean", variant="no_baa", name=None)

    of_myocardium = own[own["name"] == "myocardium"]
    assert row["spilled"] == pytest.approx(of_myocardium["spilled"].sum() / 3)
    assert row["n_images"] == of_myocardium.loc[of_myocardium["present"] == 1, "image"].nunique()
    assert whole["spilled"] == pytest.approx(own.groupby(["seed", "image"])["spilled"].max().sum() / 3)
    assert whole["n_images"] == 12


def test_probabilities_are_judged_one_class_against_the_rest(store: Path) -> None:
    [study] = load_studies([store])
    table: Any = calibration_table(study, cells(study, study.scores), reliability_sums(study, ["clean"]))
    found = table.set_index(["variant", "name"]).loc[("no_baa", "myocardium")]

    errors: list[float] = []
    for seed in range(3):
        bins: Any = pd.read_parquet(evaluation_of(store, "no_baa", seed) / "reliability.parquet")
        sums = bins[bins["name"] == "myocardium"].groupby("bin")[["pixels", "confidence", "positives"]].sum()
        errors.append((sums["confidence"] - sums["positives"]).abs().sum() / sums["pixels"].sum())
    assert found["ece"] == pytest.approx(np.mean(errors))
    assert len(table) == 3 * 3


def test_what_a_training_never_predicts_is_named(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=1, n_images=6, target=HEART, variants=("medlitenet", "no_baa"))
    with unsealed(evaluation_of(tmp_path, "no_baa", 0)) as folder:
        table: Any = pd.read_parquet(folder / "classes.parquet")
        is_it = table["name"] == "myocardium"
        table.loc[is_it, "fn"] += table.loc[is_it, "tp"]
        table.loc[is_it, ["tp", "fp"]] = 0.0
        table.to_parquet(folder / "classes.parquet", index=False)

    [study] = load_studies([tmp_path])
    told = SECTION.make(Evidence(study, Room(), {})).warnings

    assert told == ("Constant predictions of myocardium on clean: every mask of it is empty by no_baa (seed 0).",)


def test_the_page_names_what_is_looked_for_and_what_numbers_are_means_of(page: str, facts: dict[str, Any]) -> None:
    assert not re.search(r"lesion|skin", page)
    assert "Missed structure" in page
    assert "share of structure among the pixels with a probability of one half or more" in page  # which is no mask
    assert "(3 seeds × 11 images, each the mean over the classes in its reference" in facts["asked"][0]["rest"]
    assert "one of the classes right ventricle, myocardium and left ventricle, or was background." in page
    assert "images of 1 channel resized" in page
    assert "over the classes right ventricle, myocardium, left ventricle</dd>" in page
    assert "a class counted in an image whose reference holds it, whatever was predicted" in page
    assert "the mean over images of the mean over the classes in each image" in page


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            HEART,
            "on 0.5 cross-entropy over the classes and background + 1.0 Dice loss averaged over images and classes",
        ),
        (PARTS, "on 0.5 binary cross-entropy of each label + 1.0 Dice loss averaged over images and labels"),
        (None, "on 0.5 binary cross-entropy + 1.0 Dice loss"),
    ],
)
def test_methods_say_what_was_learnt_from(tmp_path: Path, target: Target | None, said: str) -> None:
    study = fabricate(tmp_path, n_seeds=1, n_images=3, target=target, variants=("medlitenet",))
    losses = {"bce_weight": 0.5, "dice_weight": 1.0} | ({"class_weights": {"core": 2.0}} if target == PARTS else {})
    study["variants"]["medlitenet"]["settings"]["training"] |= losses
    write_yaml(tmp_path / "studies" / "baa.yaml", study)
    [loaded] = load_studies([tmp_path])

    told = methods(Evidence(loaded, Room(), {}))

    assert f"{said}, with the weights core 2.0." in told if target == PARTS else f"{said}." in told


def test_methods_say_what_was_photographed_and_through_which_window(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_seeds=2, n_images=3, target=HEART, variants=("medlitenet",))
    study["variants"]["medlitenet"]["settings"] |= {"modality": "mri", "window_percentiles": [0.5, 99.5]}
    write_yaml(tmp_path / "studies" / "baa.yaml", study)
    for trial, low in zip(study["variants"]["medlitenet"]["trials"], (3.0, 4.5), strict=True):
        with unsealed(tmp_path / "trials" / trial["trial"]) as folder:
            config = folder / "config.yaml"
            write_yaml(config, read_yaml(config) | {"source": {"window": [low, 4095.0]}})
    [loaded] = load_studies([tmp_path])

    told = methods(Evidence(loaded, Room(), {}))

    assert "images of isic2018 (MRI; a seeded 70/10/20 split" in told
    assert (
        "pixels and seen in 8 bits from 3 to 4095 and 4.5 to 4095 (0.5 and 99.5 % of the training part's pixels" in told
    )


def test_one_structure_with_a_name_of_its_own_has_no_classes(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=1, n_images=6, target=POLYP, variants=("medlitenet", "no_baa"))

    page = words_of(write_report([tmp_path], tmp_path / "out").parent)

    [told] = json.loads((tmp_path / "out" / "report.json").read_text())["studies"]
    assert "Missed polyp" in page
    assert "share of polyp among the pixels called polyp" in page
    assert "Each pixel was polyp or bowel; pixels that nobody labelled counted nowhere." in page
    assert "lesion" not in page
    assert "Class by class" not in page
    assert "classes" not in told
    assert "dice_class_mean" not in told["variants"][0]


def test_a_damaged_table_of_classes_is_named_and_its_evaluation_not_read(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=1, n_images=4, target=HEART)
    path = evaluation_of(tmp_path, "no_baa", 0) / "classes.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    [study] = load_studies([tmp_path])

    [missing] = study.missing
    assert "classes.parquet is damaged and was not read" in missing
    assert ("no_baa", "clean") not in set(zip(study.scores["variant"], study.scores["evaluation"], strict=True))


def test_a_published_result_gives_the_same_scores_from_those_of_classes(tmp_path: Path) -> None:
    store = tmp_path / "store"
    fabricate(store, "heart", n_seeds=1, n_images=5, variants=("medlitenet", "no_baa"), target=HEART)
    publish(store, "heart", tmp_path / "published", date=DAY)

    with opened([tmp_path / "published"]) as stores:
        [theirs] = load_studies(stores)
        found: tuple[Any, Any] = theirs.scores, theirs.classes
    [ours] = load_studies([store])

    assert list(problems(tmp_path / "published")) == []
    for told, wanted in zip(found, (ours.scores, ours.classes), strict=True):
        keys = [key for key in ("variant", "seed", "evaluation", "image", "name") if key in wanted]
        a, b = (each.sort_values(keys).reset_index(drop=True) for each in (told, wanted))
        assert set(a) == set(b)
        pd.testing.assert_frame_equal(a.reindex(columns=b.columns), b, check_dtype=False, rtol=1e-6)
    stored = pd.read_parquet(tmp_path / "published" / "scores" / "clean.parquet")
    assert not {"dice", "hd95", "tp"} & set(stored)


def test_contours_are_drawn_class_by_class(store: Path) -> None:
    [study] = load_studies([store])
    shown = {each.image: each for each in pictures(study, study.scores)}
    picture = shown[next(image for image in shown if int(image[-2:]) % 4 not in (0, 2, 3))]  # has all three

    gallery = next(path.parent for path in store.glob(f"gallery/*/{picture.image}.png"))
    masks = planes(gallery / f"{picture.image}.png", HEART)

    assert picture.references == tuple(outline(mask, picture.width, picture.height) for mask in masks)
    assert len(set(picture.references)) == 3
    assert all(len(each.paths) == 3 for each in picture.contours)


def test_labels_that_overlap_have_contours_that_cross(tmp_path: Path) -> None:
    centres = np.array([[24.0, 30.0]] * 3)
    wanted = parts(PARTS, centres)[1]
    fabricate(tmp_path, n_seeds=1, n_images=3, target=PARTS, variants=("medlitenet",))
    [gallery] = (tmp_path / "gallery").iterdir()

    found = planes(gallery / "ISIC_0000001.png", PARTS)

    assert (wanted[0] & wanted[1]).any()
    assert (found[0] & found[1]).any()
    page = words_of(write_report([tmp_path], tmp_path / "out").parent)
    assert "Label by label" in page
    assert "A pixel could have several of the labels whole and core." in page
