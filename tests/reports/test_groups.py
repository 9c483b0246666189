"""Reports of test images that come in groups: every interval goes by them, and nothing changes where there are none."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medbench.bench.evaluation.score_tables import read_scores
from medbench.bench.stats import Comparison, compare, gap, paired_gap, rank_stability, summarize
from medbench.bench.store.records import read_json, write_json, write_yaml
from medbench.reports import load
from medbench.reports.artifact_losses import robustness_table
from medbench.reports.load import Study, load_studies
from medbench.reports.packing import pack
from medbench.reports.page import write_report
from medbench.reports.ranking import RESAMPLES
from medbench.reports.sections.real_artifacts import match, strata_table
from medbench.reports.tables import cells
from medbench.reports.unpacking import unpack

from ..fabricated_store import fabricate, paint

N_IMAGES = 24
IMAGES = [f"ISIC_{i:07d}" for i in range(N_IMAGES)]
PATIENTS = {
    image: f"patient {i // 4}" if i < 16 else image for i, image in enumerate(IMAGES)
}  # four of four, and eight
SENTENCE = (
    "Intervals, tests and ranks go by groups of images (patients, lesions, videos): 12 groups of the 24 images of "
)


def write_groups(store: Path, groups: dict[str, str]) -> None:
    for gallery in (store / "gallery").iterdir():
        write_json(store / "groups" / f"{gallery.name}.json", groups)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("plain") / "store"
    study = fabricate(store, n_images=N_IMAGES)
    study |= {"datasets": {"clean": "isic2018", "ph2": "ph2"}}
    for known in study["variants"].values():
        known["settings"]["dataset"] = "isic2018"
    write_yaml(store / "studies" / "baa.yaml", study)
    return store


@pytest.fixture(scope="module")
def store(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = shutil.copytree(plain, tmp_path_factory.mktemp("grouped") / "store")
    write_groups(store, PATIENTS)
    return store


@pytest.fixture(scope="module")
def out(store: Path) -> Path:
    return write_report([store], store.parent / "out").parent


@pytest.fixture(scope="module")
def facts(out: Path) -> dict[str, Any]:
    return read_json(out / "report.json")["studies"][0]


def study_of(store: Path) -> Study:
    [study] = load_studies([store])
    return study


def dice(store: Path, variant: str, evaluation: str = "clean") -> pd.DataFrame:
    scores = study_of(store).scores
    here = scores[(scores["variant"] == variant) & (scores["evaluation"] == evaluation)]
    return here.pivot(index="seed", columns="image", values="dice")


def patients(images: Sequence[str]) -> list[str]:
    return [PATIENTS[image] for image in images]


def by_patient(a: pd.DataFrame, b: pd.DataFrame) -> Comparison:
    return compare(a.to_numpy(), b.to_numpy(), groups=patients(list(a)), bounds=(0, 1))


def only(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    [found] = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


def test_images_that_are_each_a_group_leave_every_byte_of_a_report_as_it_is(plain: Path, tmp_path: Path) -> None:
    before = write_report([plain], tmp_path / "before").parent
    singles = shutil.copytree(plain, tmp_path / plain.name)
    write_groups(singles, {image: image for image in IMAGES})

    after = write_report([singles], tmp_path / "after").parent

    names = sorted(path.relative_to(before) for path in before.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(after) for path in after.rglob("*") if path.is_file())
    assert [name for name in names if (before / name).read_bytes() != (after / name).read_bytes()] == []
    assert "n_groups" not in (after / "report.json").read_text(encoding="utf-8")


def test_comparisons_means_and_gaps_go_by_groups(store: Path, facts: dict[str, Any]) -> None:
    tables = {name: dice(store, name) for name in ("medlitenet", "no_baa")}
    away = dice(store, "no_baa", "ph2")

    row = only(facts["comparisons"], evaluation="clean", metric="dice", variant="no_baa")
    expected = by_patient(tables["no_baa"], tables["medlitenet"])
    assert (row["ci_low"], row["p_value"]) == pytest.approx((expected.ci_low, expected.p_value))
    assert (row["n_images"], row["n_groups"]) == (24, 12)
    mean = only(facts["variants"], evaluation="clean", variant="no_baa")
    summary = summarize(tables["no_baa"].to_numpy(), groups=patients(IMAGES), bounds=(0, 1))
    assert (mean["dice_ci_low"], mean["dice_ci_high"]) == pytest.approx((summary.ci_low, summary.ci_high))
    assert mean["n_groups"] == 12
    lost = only(facts["generalization"], evaluation="ph2", variant="no_baa")
    between = gap(
        tables["no_baa"].to_numpy(), away.to_numpy(), first_groups=patients(IMAGES), second_groups=patients(IMAGES)
    )
    assert (lost["gap_ci_low"], lost["gap_p"]) == pytest.approx((between.ci_low, between.p_value))


def test_pairs_and_ranks_go_by_groups(store: Path, facts: dict[str, Any]) -> None:
    tables = {name: dice(store, name) for name in ("medlitenet", "no_baa", "ensemble")}

    pair = only(facts["pairwise"], a="medlitenet", b="no_baa")
    assert pair["p_value"] == pytest.approx(by_patient(tables["medlitenet"], tables["no_baa"]).p_value)
    ranks = rank_stability(
        {name: table.to_numpy() for name, table in tables.items()},
        rng=np.random.default_rng(0),
        n_resamples=RESAMPLES,
        groups=patients(IMAGES),
    )
    np.testing.assert_allclose(facts["ranks"]["share"], ranks.share)


def test_the_report_says_by_what_it_counted(out: Path, facts: dict[str, Any]) -> None:
    page = (out / "index.html").read_text(encoding="utf-8")

    assert facts["groups"] == {name: {"images": 24, "groups": 12} for name in ("clean", "ph2")}
    assert page.count(f"{SENTENCE}clean and ph2.") == 2  # at its head and in the paragraph on methods
    assert "3 seeds × 24 images in 12 groups" in page
    assert ", for new trainings and new groups of images): worse." in page
    assert "For new trainings and new groups of images, no_baa is worse than medlitenet in mean Dice." in page


def test_loaded_scores_name_the_groups_that_compare_reads(store: Path, plain: Path, tmp_path: Path) -> None:
    load(store).query("evaluation == 'clean'").to_csv(tmp_path / "scores.csv", index=False)

    read = read_scores(tmp_path / "scores.csv", "dice")

    expected = by_patient(dice(store, "no_baa"), dice(store, "medlitenet"))
    found = compare(read.tables["no_baa"], read.tables["medlitenet"], groups=read.groups)
    assert (found.n_groups, found.p_value) == (12, pytest.approx(expected.p_value))
    assert "group" not in load(plain)


def test_losses_under_artifacts_go_by_the_groups_of_the_clean_images(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_images=N_IMAGES)
    write_groups(tmp_path, PATIENTS)
    paint(tmp_path, study)

    loaded = study_of(tmp_path)
    row = robustness_table(loaded, cells(loaded, loaded.scores)).set_index("variant").loc["no_baa"]

    drops = {name: (dice(tmp_path, name), dice(tmp_path, name, "ph2")) for name in ("medlitenet", "no_baa")}
    expected = paired_gap(*(each.to_numpy() for each in drops["no_baa"]), groups=patients(IMAGES))
    assert (row["drop_ci_low"], row["drop_ci_high"]) == pytest.approx((expected.ci_low, expected.ci_high))
    lost = {name: (clean - marked).to_numpy() for name, (clean, marked) in drops.items()}
    more = compare(lost["no_baa"], lost["medlitenet"], groups=patients(IMAGES))
    assert row["more_ci_low"] == pytest.approx(more.ci_low)
    facts = read_json(write_report([tmp_path], tmp_path / "out").parent / "report.json")["studies"][0]
    assert {f"{N_IMAGES} images in 12 groups" in each["rest"] for each in facts["under_artifacts"]} == {True}
    decided = [each for each in facts["under_artifacts"] if each["claim"].startswith(("loses", "gains"))]
    assert decided
    assert all(each["may"].startswith("For new trainings and new groups of images, ") for each in decided)


def test_pairs_of_strata_that_share_a_patient_are_one_group(plain: Path, tmp_path: Path) -> None:
    store = shutil.copytree(plain, tmp_path / "store")
    of = {image: f"patient {i // 2}" if i < 8 else image for i, image in enumerate(IMAGES)}
    write_groups(store, of)
    lesions = {image: {"area": 0.1 + 0.01 * (i % 5), "contrast": 20.0} for i, image in enumerate(IMAGES)}
    hairy, bald = IMAGES[1::2], IMAGES[::2]
    for gallery in (store / "gallery").iterdir():
        annotations = {"flags": {"hair": hairy}, "lesions": lesions, "agreement": []}
        write_json(store / "annotations" / f"{gallery.name}.json", annotations)

    study = study_of(store)
    table = strata_table(study, cells(study, study.scores))
    row = table[(table["variant"] == "no_baa") & (table["evaluation"] == "clean")].iloc[0]

    scores = dice(store, "no_baa")
    found = gap(scores[bald].to_numpy(), scores[hairy].to_numpy())  # one of each patient in either
    assert row["lost_ci_low"] == pytest.approx(found.ci_low)
    pairs = match({image: lesions[image] for image in hairy}, {image: lesions[image] for image in bald})
    label = {of[image]: of[image] for pair in pairs for image in pair}
    for a, b in pairs:
        kept, given = label[of[a]], label[of[b]]
        label = {patient: kept if known == given else known for patient, known in label.items()}
    matched = paired_gap(
        scores[[b for _, b in pairs]].to_numpy(),
        scores[[a for a, _ in pairs]].to_numpy(),
        groups=[label[of[a]] for a, _ in pairs],
    )
    assert 2 < len({*label.values()}) < len(pairs)
    assert (row["matched_lost"], row["matched_ci_low"]) == pytest.approx((matched.gap, matched.ci_low))


def test_variants_are_compared_on_the_images_of_a_stratum_by_their_groups(store: Path, tmp_path: Path) -> None:
    marked = shutil.copytree(store, tmp_path / "store")
    hairy = IMAGES[4:18]  # three patients of four images, and two images
    lesions = {image: {"area": 0.2, "contrast": 20.0} for image in IMAGES}
    for gallery in (marked / "gallery").iterdir():
        annotations = {"flags": {"hair": hairy}, "lesions": lesions, "agreement": []}
        write_json(marked / "annotations" / f"{gallery.name}.json", annotations)

    study = study_of(marked)
    table = strata_table(study, cells(study, study.scores))
    row = table[(table["variant"] == "no_baa") & (table["evaluation"] == "clean")].iloc[0]

    pair = [dice(marked, name)[hairy].to_numpy() for name in ("no_baa", "medlitenet")]
    by_group, by_image = compare(*pair, groups=patients(hairy)), compare(*pair)
    assert by_group.n_groups == 5
    assert (row["difference_ci_low"], row["difference_ci_high"]) == pytest.approx((by_group.ci_low, by_group.ci_high))
    assert by_group.ci_low != pytest.approx(by_image.ci_low)


def test_groups_of_several_folds_are_read_together_and_images_alone_are_left_out(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_images=4, n_folds=2)
    evaluations = [path.parent for path in sorted(tmp_path.glob("trials/*/evaluations/*/scores.parquet"))]
    images = sorted({image for each in evaluations for image in pd.read_parquet(each / "scores.parquet")["image"]})
    for gallery in (tmp_path / "gallery").iterdir():
        own = sorted(path.stem for path in gallery.glob("*.jpg"))
        write_json(tmp_path / "groups" / f"{gallery.name}.json", {own[0]: own[0], own[1]: own[0], own[2]: "x"})

    assert len(images) == 8
    assert study_of(tmp_path).groups == {
        name: {image: images[4 * (i // 2)] for i, image in enumerate(images[:2] + images[4:6])}
        | {
            images[2]: "x",
            images[6]: "x",
        }
        for name in study["evaluations"]
    }


def test_published_results_keep_their_groups(store: Path, tmp_path: Path) -> None:
    study = study_of(store)
    pack(study, store, tmp_path / "packed")
    unpack(tmp_path / "packed", tmp_path / "store")

    assert study_of(tmp_path / "store").groups == study.groups
    assert study.groups["clean"] == {image: PATIENTS[image] for image in IMAGES[:16]}
    assert json.loads(next((tmp_path / "packed" / "groups").glob("*.json")).read_text()) == PATIENTS
