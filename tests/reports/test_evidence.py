"""What a report says beyond the clean comparison: strata, other sets, calibration, failures, people."""

import json
import shutil
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medbench.bench.metrics.calibration import N_BINS, calibration_error
from medbench.bench.metrics.failures import FAILURES
from medbench.bench.stats import compare, gap, summarize
from medbench.bench.store.records import read_yaml, write_json, write_yaml
from medbench.reports import load
from medbench.reports.load import load_studies
from medbench.reports.page import write_report
from medbench.reports.sections import generalization, real_artifacts
from medbench.reports.sections.failing import failure_pictures, failures_table
from medbench.reports.sections.real_artifacts import CALIPER, match

from ..fabricated_store import fabricate, trial_id, unsealed

N_IMAGES = 40
SEED = 7
IMAGES = [f"ISIC_{i:07d}" for i in range(N_IMAGES)]
HAIRY = IMAGES[:15]
LESIONS: dict[str, dict[str, float | None]] = {
    image: {"area": 0.1 + 0.01 * (i % 10), "contrast": 20.0 + 10 * ((i // 10 + i) % 2) + i / 100}
    for i, image in enumerate(IMAGES)
}
LESIONS[IMAGES[-1]]["contrast"] = None  # no skin around it
PAIRS = [
    {"image": image, "dice": 0.7 + 0.01 * i, "iou": 0.6, "tools": ["T1", "T2"]} for i, image in enumerate(IMAGES[:8])
]
PAIRS.append({"image": IMAGES[0], "dice": 0.9, "iou": 0.8, "tools": ["T1", "T1"]})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fabricated store: `ph2` is another set, images are annotated, failures and probabilities are kept."""
    store = tmp_path_factory.mktemp("evidence")
    study = fabricate(store, n_images=N_IMAGES)
    study |= {"datasets": {"clean": "isic2018", "ph2": "ph2"}, "copies_left_out": {"clean": 3}}
    for known in study["variants"].values():
        known["settings"]["dataset"] = "isic2018"
    write_yaml(store / "studies" / "baa.yaml", study)
    rng = np.random.default_rng(SEED)
    for scores in sorted(store.glob("trials/*/evaluations/*/scores.parquet")):
        with unsealed(scores.parent) as folder:
            table = pd.read_parquet(scores).assign(brier=0.03, on_artifact=np.nan, split=0.0)
            table["missed"] = (np.arange(N_IMAGES) < 2).astype(float)
            table["spilled"] = (rng.random(N_IMAGES) < 0.5).astype(float)
            table.to_parquet(folder / "scores.parquet")
            bins = pd.DataFrame({"image": np.repeat(IMAGES, 2), "bin": [2, 18] * N_IMAGES, "pixels": 100.0})
            bins["confidence"], bins["positives"] = [12.0, 93.0] * N_IMAGES, rng.integers(0, 100, 2 * N_IMAGES) * 1.0
            bins.to_parquet(folder / "reliability.parquet")
    gallery = next((store / "gallery").iterdir()).name
    flags = {"hair": HAIRY, "ink": IMAGES[:3], "ruler": []}
    write_json(store / "annotations" / f"{gallery}.json", {"flags": flags, "lesions": LESIONS, "agreement": PAIRS})
    return store


@pytest.fixture(scope="module")
def out(store: Path) -> Path:
    return write_report([store], store / "out").parent


@pytest.fixture(scope="module")
def facts(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())["studies"][0]


def dice(store: Path, variant: str, evaluation: str = "clean") -> pd.DataFrame:
    scores = load(store)
    here = scores[(scores["variant"] == variant) & (scores["evaluation"] == evaluation)]
    return here.pivot(index="seed", columns="image", values="dice")


def only(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def test_a_stratum_is_compared_with_the_other_images_over_the_same_trainings(store: Path, facts) -> None:
    row = only(facts["strata"], artifact="hair", variant="no_baa", evaluation="clean")

    table = dice(store, "no_baa")
    lacking = [image for image in IMAGES if image not in HAIRY]
    expected = gap(table[lacking].to_numpy(), table[HAIRY].to_numpy())
    assert (row["n_with"], row["n_without"]) == (15, 25)
    assert row["mean_with"] == pytest.approx(table[HAIRY].to_numpy().mean())
    assert [row["lost"], row["lost_ci_low"], row["lost_ci_high"]] == pytest.approx(
        [expected.gap, expected.ci_low, expected.ci_high]
    )


def test_matched_images_are_compared_pair_by_pair(store: Path, facts) -> None:
    row = only(facts["strata"], artifact="hair", variant="no_baa", evaluation="clean")

    table = dice(store, "no_baa")
    pairs = match({i: LESIONS[i] for i in HAIRY}, {i: LESIONS[i] for i in IMAGES if i not in HAIRY})
    lost = table[[b for _, b in pairs]].to_numpy() - table[[a for a, _ in pairs]].to_numpy()
    expected = summarize(lost)
    assert row["n_pairs"] == len(pairs) == 15
    assert row["matched_lost"] == pytest.approx(expected.mean)
    assert row["matched_ci_low"] == pytest.approx(expected.ci_low)


def test_the_page_says_what_is_taken_from_what(store: Path, out: Path, tmp_path: Path) -> None:
    distances = shutil.copytree(store, tmp_path / "distances", ignore=shutil.ignore_patterns("out"))
    path = distances / "studies" / "baa.yaml"
    write_yaml(path, read_yaml(path) | {"primary": "hd95", "margin": 1.0})

    page = write_report([distances], tmp_path / "out", sections=[real_artifacts.SECTION]).read_text()

    assert "Lost: mean Dice without minus with, of all these images" in (out / "index.html").read_text()
    assert "Lost: mean HD95 with minus without, of all these images" in page


def test_strata_of_a_few_images_are_not_compared(facts) -> None:
    assert {row["artifact"] for row in facts["strata"]} == {"hair", "low contrast"}


def test_the_quarter_of_lowest_contrast_is_a_stratum_matched_by_area_alone(store: Path, facts) -> None:
    row = only(facts["strata"], artifact="low contrast", variant="no_baa", evaluation="clean")

    table = dice(store, "no_baa")
    traits: Any = pd.DataFrame(LESIONS).T
    most = traits["contrast"].quantile(0.25)
    is_low = traits["contrast"] <= most
    low, high = traits.index[is_low], traits.index[~is_low & traits["contrast"].notna()]
    expected = gap(table[high].to_numpy(), table[low].to_numpy())
    assert row["contrast_at_most"] == pytest.approx(most)
    assert (row["n_with"], row["n_without"]) == (len(low), len(high)) == (10, 29)
    assert [row["lost"], row["lost_ci_low"]] == pytest.approx([expected.gap, expected.ci_low])
    # Each of the ten has another area, and three images of its own area among the others, of any contrast.
    pairs = match({i: LESIONS[i] for i in low}, {i: LESIONS[i] for i in high}, by_contrast=False)
    assert [LESIONS[a]["area"] for a, _ in pairs] == [LESIONS[b]["area"] for _, b in pairs]
    assert match({i: LESIONS[i] for i in low}, {i: LESIONS[i] for i in high}) != pairs
    lost = summarize(table[[b for _, b in pairs]].to_numpy() - table[[a for a, _ in pairs]].to_numpy())
    assert row["n_pairs"] == len(pairs) == 10
    assert [row["matched_lost"], row["matched_ci_low"]] == pytest.approx([lost.mean, lost.ci_low])
    assert only(facts["strata"], artifact="hair", variant="no_baa", evaluation="clean")["contrast_at_most"] is None


def test_variants_are_compared_on_the_images_of_a_stratum_alone(store: Path, facts) -> None:
    row = only(facts["strata"], artifact="hair", variant="no_baa", evaluation="clean")

    a, b = (dice(store, name)[HAIRY].to_numpy() for name in ("no_baa", "medlitenet"))
    expected = compare(a, b)
    assert row["difference"] == pytest.approx(a.mean() - b.mean())
    assert [row["difference_ci_low"], row["difference_ci_high"]] == pytest.approx([expected.ci_low, expected.ci_high])
    assert only(facts["strata"], artifact="hair", variant="medlitenet", evaluation="clean")["difference"] is None
    assert "compared_difference" not in row


def test_variants_of_a_stratum_are_compared_with_the_one_that_the_study_names(store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    study = read_yaml(copy / "studies" / "baa.yaml") | {"compare_with": "no_baa"}
    write_yaml(copy / "studies" / "baa.yaml", study)

    page = write_report([copy], tmp_path / "out").read_text()

    (named,) = json.loads((tmp_path / "out" / "report.json").read_text())["studies"]
    found = {
        row["variant"]: row for row in named["strata"] if (row["artifact"], row["evaluation"]) == ("hair", "clean")
    }
    a, b = (dice(store, name)[HAIRY].to_numpy() for name in ("ensemble", "no_baa"))
    assert found["ensemble"]["compared_difference"] == pytest.approx(a.mean() - b.mean())
    assert found["ensemble"]["compared_ci_low"] == pytest.approx(compare(a, b).ci_low)
    assert found["medlitenet"]["compared_difference"] is found["no_baa"]["compared_difference"] is None
    assert found["ensemble"]["difference"] is not None
    assert "− no_baa, with" in page
    assert "low contrast<small>up to 20.2</small>" in page


def test_matching_pairs_as_many_as_it_can_and_then_as_alike_as_it_can() -> None:
    """Against every possible pairing of few images."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        a, b = (
            {f"{side}{i}": {"area": rng.uniform(0.1, 0.3), "contrast": rng.uniform(10, 30)} for i in range(n)}
            for side, n in (("a", 4), ("b", 5))
        )
        traits = {i: (np.log(x["area"]), x["contrast"]) for i, x in {**a, **b}.items()}
        scale = np.array(list(traits.values())).std(axis=0)

        def apart(i: str, j: str, traits: Any = traits, scale: Any = scale) -> float:
            return float(np.linalg.norm((np.array(traits[i]) - traits[j]) / scale))

        best = min(
            (-len(near), sum(apart(i, j) for i, j in near))
            for order in permutations(b, len(a))
            if (near := [(i, j) for i, j in zip(a, order, strict=True) if apart(i, j) <= CALIPER]) is not None
        )
        found = match(a, b)
        assert (-len(found), sum(apart(i, j) for i, j in found)) == pytest.approx(best)


def test_images_without_contrast_cannot_be_matched() -> None:
    known, unknown = {"area": 0.2, "contrast": 10.0}, {"area": 1.0, "contrast": None}

    assert match({"a": known}, {"b": known}) == [("a", "b")]
    assert match({"a": known}, {"b": unknown}) == []


def test_the_gap_is_home_minus_away_over_trainings_and_both_samples(store: Path, facts) -> None:
    row = only(facts["generalization"], variant="no_baa", evaluation="ph2")

    expected = gap(dice(store, "no_baa").to_numpy(), dice(store, "no_baa", "ph2").to_numpy())
    assert (row["trained_on"], row["dataset"], row["is_home"]) == ("isic2018", "ph2", False)
    assert [row["gap"], row["gap_ci_low"], row["gap_ci_high"], row["gap_p"]] == pytest.approx(
        [expected.gap, expected.ci_low, expected.ci_high, expected.p_value]
    )
    home = only(facts["generalization"], variant="no_baa", evaluation="clean")
    assert home["is_home"]
    assert home["gap"] is None


def test_test_sets_whose_names_differ_in_case_alone_have_a_column_each(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_seeds=1, n_images=4, variants=("medlitenet",))
    study |= {"evaluations": ["clean", "ph2", "PH2"], "datasets": {"clean": "isic2018", "ph2": "ph2", "PH2": "PH2"}}
    for trial in study["variants"]["medlitenet"]["trials"]:
        trial["evaluations"]["PH2"] = trial["evaluations"]["ph2"]
    write_yaml(tmp_path / "studies" / "baa.yaml", study)

    page = write_report([tmp_path], tmp_path / "out", sections=[generalization.SECTION]).read_text()

    for name in ("clean", "ph2", "PH2"):
        assert f'<th scope="col" class="n">{name}</th>' in page


def test_calibration_is_over_all_pixels_of_a_seed(store: Path, facts) -> None:
    row = only(facts["calibration"], variant="medlitenet", evaluation="clean")

    errors = []
    study = json.loads((store / "out" / "report.json").read_text())["studies"][0]
    for trial in [each for each in study["trials"] if each["variant"] == "medlitenet"]:
        path = store / "trials" / trial["trial"] / "evaluations" / trial["evaluations"]["clean"] / "reliability.parquet"
        sums = np.zeros((N_BINS, 3))
        for bin, *values in pd.read_parquet(path).drop(columns="image").itertuples(index=False):
            sums[bin] += values
        errors.append(calibration_error(sums))
    assert row["ece"] == pytest.approx(np.mean(errors))
    assert row["ece_sd"] == pytest.approx(np.std(errors, ddof=1))
    assert row["brier"] == pytest.approx(0.03)


def test_failures_are_counted_a_training(store: Path, facts) -> None:
    row = only(facts["failures"], variant="no_baa", evaluation="ph2")

    spilled = load(store).query("variant == 'no_baa' and evaluation == 'ph2'")["spilled"].sum() / 3
    assert (row["missed"], row["split"], row["on_artifact"]) == (2, 0, None)
    assert row["spilled"] == pytest.approx(spilled)


def test_a_training_with_a_fold_missing_counts_by_the_images_that_it_has_scored(tmp_path: Path) -> None:
    fabricate(tmp_path, n_seeds=2, n_images=5, n_folds=3, variants=("medlitenet",))
    for scores in tmp_path.glob("trials/*/evaluations/*/scores.parquet"):
        with unsealed(scores.parent) as folder:
            table = pd.read_parquet(scores).assign(**dict.fromkeys(FAILURES, 0.0))
            table["missed"] = [1.0, 0.0, 0.0, 0.0, 0.0]
            table.to_parquet(folder / "scores.parquet")
    for fold in (1, 2):
        shutil.rmtree(tmp_path / "trials" / trial_id("medlitenet", 1, fold))
    [study] = load_studies([tmp_path])

    row = only(failures_table(study, study.scores, {}).to_dict("records"), evaluation="clean")

    assert (row["n_trainings"], row["n_images"], row["missed"]) == (2, 15, pytest.approx(0.2 * 15))


def test_each_failure_is_shown_on_other_images_the_worst_first(store: Path, facts) -> None:
    shown = facts["failure_examples"]

    images = [picture["image"] for found in shown.values() for picture in found]
    assert len(set(images)) == len(images)
    assert {picture["image"] for picture in shown["missed"]} == set(IMAGES[:2])
    assert len(shown["spilled"]) == 3
    assert set(shown) <= set(FAILURES)


def test_of_a_distance_the_largest_is_the_worst(store: Path) -> None:
    [study] = load_studies([store])
    study = replace(study, spec=study.spec | {"primary": "hd95"})

    shown = failure_pictures(study, study.scores)["spilled"]

    failed = load(store).query("variant == 'medlitenet' and spilled == 1")
    failed = failed[~failed["image"].isin(IMAGES[:2])]  # shown as missed
    worst: Any = failed.groupby("image")["hd95"].max()
    worst = worst.sort_values(ascending=False)
    assert [worst[picture.image] for picture in shown] == list(worst[:3])


def test_people_stand_beside_the_models_on_the_images_that_they_share(store: Path, facts) -> None:
    people, model = (only(facts["agreement"], who=who, evaluation="clean") for who in ("two people", "no_baa"))

    by_image = np.array([(0.7 + 0.9) / 2, *(0.7 + 0.01 * i for i in range(1, 8))])
    more = summarize(dice(store, "no_baa")[IMAGES[:8]].to_numpy() - by_image)
    assert (people["n_images"], people["n_pairs"]) == (8, 9)
    assert people["mean"] == pytest.approx(by_image.mean())
    assert [model["more"], model["more_ci_low"]] == pytest.approx([more.mean, more.ci_low])
    assert [row["n_pairs"] for row in facts["tools"]["clean"]] == [1, 8]


def test_the_page_says_it_all(out: Path) -> None:
    page = (out / "index.html").read_text()

    for words in (
        "Artifacts that were really there",
        "confounded",
        "On images of other sources",
        "Are the probabilities true?",
        "Missed lesion: less than a tenth of the lesion is found.",
        "no random sample",
        "disagreement (1 − Dice between people, a mean over these images) 0.25",
        "By tools, over all pairs that are known of its images: both by hand (T1) 0.900 (1)",
        "left out because training images show the same picture: 3 of clean",
    ):
        assert words in page
    assert "label noise" not in page  # people differ on an image; what a mean over images may be out by is far less
    for name in ("strata", "generalization", "calibration", "failures", "agreement"):
        assert len(pd.read_csv(out / "tables" / f"baa-{name}.csv"))


def test_ways_to_fail_that_no_evaluation_knows_of_have_no_column(out: Path, facts) -> None:
    page = (out / "index.html").read_text()

    assert {row["on_artifact"] for row in facts["failures"]} == {None}
    assert "Missed lesion" in page
    assert "Artifact segmented" not in page


def test_a_store_that_knows_none_of_this_says_nothing_of_it(tmp_path: Path) -> None:
    fabricate(tmp_path, n_images=4)

    page = write_report([tmp_path], tmp_path / "out").read_text()

    assert "really there" not in page
    assert "between people" not in page
    assert not list((tmp_path / "out" / "tables").glob("*-strata.csv"))
