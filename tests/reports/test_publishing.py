"""A published result: small, without names and places of a machine, and enough to find every number again."""

import importlib.util
import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medbench.bench.errors import MedbenchError
from medbench.bench.metrics import COUNTS, from_counts
from medbench.bench.store.folder import Store, as_made
from medbench.bench.store.records import MANIFEST, file_digest, read_json, read_yaml, write_json, write_yaml
from medbench.reports import load, packing
from medbench.reports.load import load_studies
from medbench.reports.packing import LARGEST
from medbench.reports.page import write_report
from medbench.reports.publishing import problems, publish
from medbench.reports.unpacking import check_store, incomplete, opened, unpack

from ..conftest import ROOT
from ..fabricated_store import (
    environment,
    fabricate,
    paint,
    trial_id,
    unsealed,
    write_deployment,
    write_timings,
)
from .test_report import Links, evaluation_of

DAY = date(2026, 1, 31)
SIZES = {0.0: 0.5, 0.5: 1.0}
COUNTED = from_counts(dict.fromkeys(COUNTS, np.ones(1)))  # the metrics that follow from counts
OF_PICTURES = ("gallery", "failure_examples", "disagreements")
PLACES = re.compile(rb"(?<![\w.])/(?:home|Users|root|tmp|mnt|work|var|opt|srv|data|scratch|private)/")
OF_RECORD = sorted(path.parent for path in (ROOT / "reports" / "published").glob(f"*/{MANIFEST}"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of everything that is published, made on a machine whose user and folders are nobody's business."""
    store = tmp_path_factory.mktemp("store")
    study = fabricate(store, dataset={"name": "isic2018", "folder": "/home/ann/isic", "split": "holdout", "size": 128})
    paint(store, study)
    write_timings(store, study, {"medlitenet": [8.0, 8.2, 8.1], "no_baa": [7.0, 7.1, 7.2]})
    write_deployment(store, study)
    rng = np.random.default_rng(0)
    for folder in sorted((store / "trials").glob("*")):
        config = read_yaml(folder / "config.yaml")
        source = {"set": {"folder": "/home/ann/isic"}, "encoder_weights": "/mnt/disk/weights/net.safetensors"}
        trained = {"training": {"epochs": 12, "progressive_sizes": SIZES}, "train": ["a", "b"], "source": source}
        write_yaml(folder / "config.yaml", config | ({} if "ensemble" in config else trained))
        command = "medbench run baa --store /home/ann/runs --data=/mnt/disk/data"
        write_json(folder / "environment.json", environment(command=command))
        (folder / "weights.safetensors").write_bytes(rng.bytes(16))
        resealed(folder)
    for folder in sorted((store / "trials").glob("*/evaluations/*")):
        with unsealed(folder) as working:
            table = pd.read_parquet(folder / "scores.parquet")
            table["missed"] = (table["dice"] < 0.5).astype(float)
            table = table.assign(split=0.0, spilled=1.0, on_artifact=np.nan)
            table.assign(brier=rng.uniform(size=len(table))).to_parquet(working / "scores.parquet")
            bins = {"image": np.repeat(table["image"], 3), "bin": np.tile([0, 7, 14], len(table)), "pixels": 90.0}
            sums = {"confidence": rng.uniform(0, 90, 3 * len(table)), "positives": 45.0}
            pd.DataFrame(bins | sums).to_parquet(working / "reliability.parquet")
    digest = read_yaml(evaluation_of(store, "no_baa", 0) / "config.yaml")["images_digest"]
    images = pd.read_parquet(evaluation_of(store, "no_baa", 0) / "scores.parquet")["image"]
    pairs = [{"image": image, "dice": 0.9, "iou": 0.82, "tools": ["T1", "T2"]} for image in images]
    write_json(store / "annotations" / f"{digest}.json", {"flags": {}, "lesions": {}, "agreement": pairs})
    return store


@pytest.fixture(scope="module")
def published(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "2026-01-31-baa"
    assert publish(store, "baa", folder, date=DAY) == folder / "index.html"
    return folder


@pytest.fixture(params=[None, *OF_RECORD], ids=lambda path: path.name if path else "fabricated")
def result(request: pytest.FixtureRequest) -> Path:
    """Every result in the repository, and one that is made here."""
    return request.param or request.getfixturevalue("published")


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    return shutil.copytree(published, tmp_path / "copy")


def texts(value: Any) -> Iterator[str]:
    """Every text in plain values."""
    if isinstance(value, str):
        yield value
    for each in [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from texts(each)


def numbers(value: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """Every number in plain values, with its place."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield where, value
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []:
        yield from numbers(each, f"{where}/{key}")


def resealed(folder: Path) -> Path:
    """With a manifest that fits whatever was changed, or was added beside it."""
    manifest = read_json(folder / MANIFEST)
    names = {*manifest["files"], *(path.name for path in folder.iterdir() if path.is_file())} - {MANIFEST}
    manifest["files"] = {
        name: {"sha256": file_digest(folder / name), "bytes": (folder / name).stat().st_size} for name in sorted(names)
    }
    write_json(folder / MANIFEST, manifest)
    return folder


def write_report_json(folder: Path, report: dict[str, Any]) -> None:
    """Another report.json, which the page names."""
    before, page = file_digest(folder / "report.json"), folder / "index.html"
    write_json(folder / "report.json", report)
    named = page.read_text(encoding="utf-8").replace(before, file_digest(folder / "report.json"))
    page.write_text(named, encoding="utf-8")


def test_every_file_is_in_its_manifest_and_every_number_is_found_again(result: Path) -> None:
    assert list(problems(result)) == []


def test_it_is_made_of_small_files_and_no_pictures(result: Path) -> None:
    files = [path for path in result.rglob("*") if path.is_file()]

    assert [path for path in files if path.stat().st_size > LARGEST] == []
    assert {path.suffix for path in files} <= {".yaml", ".json", ".parquet", ".html", ".csv", ".tex"}
    assert "data:image" not in (result / "index.html").read_text(encoding="utf-8")


def test_no_text_of_it_names_a_place_on_a_machine(result: Path) -> None:
    files = [path for path in result.rglob("*") if path.is_file()]
    readers = {".json": read_json, ".yaml": read_yaml}
    plain = [readers[path.suffix](path) for path in files if path.suffix in readers]

    assert [path for path in files if PLACES.search(path.read_bytes())] == []
    assert [text for value in plain for text in texts(value) if re.search(r"(?<![\w/.~<])/[\w.-]+/", text)] == []


def test_its_page_opens_by_itself_and_says_what_it_is(result: Path) -> None:
    page = (result / "index.html").read_text(encoding="utf-8")
    record, links = read_json(result / MANIFEST)["published"], Links(page)

    assert [target for target in links.targets if not target.startswith(("#", "data:,"))] == []
    assert {target[1:] for target in links.targets if target.startswith("#")} <= {*links.ids}
    head = page[page.index("<header>") : page.index("</header>")]
    assert f"Published result of {record['date']}" in head
    assert f"commit {record['git_commit'] or '–'}" in head
    assert f"medbench verify {record['folder']}" in head
    assert "and no picture is shown: the images are those of isic2018" in head


def test_a_report_of_the_store_has_the_same_numbers(store: Path, published: Path, tmp_path: Path) -> None:
    [own] = read_json(write_report([store], tmp_path).parent / "report.json")["studies"]
    [told] = read_json(published / "report.json")["studies"]

    own["comparisons"] = [row for row in own["comparisons"] if row["metric"] == "dice"]
    for study in (own, told):
        for key in OF_PICTURES:
            del study[key]
    assert dict(numbers(told)) == pytest.approx(dict(numbers(own)), rel=1e-6, abs=1e-6)
    assert len(dict(numbers(told))) > 500
    mine, theirs = (pd.read_csv(folder / "tables" / "baa-comparisons.csv") for folder in (tmp_path, published))
    for table in (mine, theirs):  # what is tied but for the last bits of double precision is tied in single
        table.loc[~table["metric"].isin(COUNTED), ["improvement", "rank_biserial"]] = 0.0
    pd.testing.assert_frame_equal(mine, theirs, rtol=1e-6, atol=1e-6)


def test_scores_come_back_exactly_where_they_are_counted_and_else_in_single_precision(
    store: Path, published: Path
) -> None:
    own, told = load(store), load(published)

    exact = ["study", "variant", "seed", "trial", "evaluation", "image", "height", "width", "missed", *COUNTS]
    exact += COUNTED
    assert {*own} == {*told}
    told = told.reindex(columns=[*own])
    pd.testing.assert_frame_equal(own.reindex(columns=exact), told.reindex(columns=exact), check_exact=True)
    pd.testing.assert_frame_equal(own, told, rtol=1e-7, atol=0)
    distances = told["hd95"].to_numpy()
    assert np.array_equal(distances, distances.astype(np.float32))


def test_configurations_come_back_without_places(store: Path, published: Path) -> None:
    trial = trial_id("no_baa", 1)
    own = read_yaml(store / "trials" / trial / "config.yaml")

    with opened([published]) as [unpacked]:
        told = read_yaml(unpacked / "trials" / trial / "config.yaml")
        made = read_json(unpacked / "trials" / trial / "environment.json")

    assert told["source"] == {"set": {"folder": "isic"}, "encoder_weights": "net.safetensors"}
    assert told | {"source": None} == own | {"source": None}
    assert told["training"]["progressive_sizes"] == SIZES
    assert made["command"] == "medbench run baa --store runs --data=data"
    assert not unpacked.exists()


def test_lists_and_environments_that_many_trials_share_stand_there_once(published: Path) -> None:
    known = read_json(published / "trials.json")
    evaluations = [each for trial in known["trials"] for each in trial["evaluations"].values()]

    assert len(evaluations) == 3 * 3 * 2
    assert len(known["lists"]) == 2  # of training and of the test
    assert len(known["environments"]) == 2
    assert {len(known["lists"][each["config"]["images"]]) for each in evaluations} == {12}


def test_digests_of_weights_are_told(store: Path, published: Path) -> None:
    folder = Path("trials", trial_id("medlitenet", 2))

    with opened([published]) as [unpacked]:
        made = as_made(unpacked / folder)

    assert made is not None
    assert made["weights.safetensors"] == file_digest(store / folder / "weights.safetensors")


def test_it_is_joined_with_a_store_that_has_other_seeds(store: Path, published: Path, tmp_path: Path) -> None:
    there = shutil.copytree(store, tmp_path / "there")
    study = read_yaml(there / "studies" / "baa.yaml")
    for name, known in study["variants"].items():
        known["trials"][0]["seed"] = 7
        known["trials"][0]["trial"] = trial_id(name, "another")
    write_yaml(there / "studies" / "baa.yaml", study)

    with opened([published, there]) as stores:
        [joined] = load_studies(stores)

    assert (joined.n_planned, len(joined.trials)) == (12, 9)
    assert len(joined.timings) == 2


def test_unpacked_and_published_again_it_is_the_same(published: Path, tmp_path: Path) -> None:
    """So a study can be finished by several machines, each of which has only what the ones before published."""
    unpack(published, tmp_path / "store")
    publish(tmp_path / "store", "baa", again := tmp_path / published.name, date=DAY)

    assert {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()} == {
        path.relative_to(published): path.read_bytes() for path in published.rglob("*") if path.is_file()
    }


def test_it_is_not_unpacked_beside_other_trainings_or_another_plan(
    store: Path, published: Path, tmp_path: Path
) -> None:
    """Scores of an ensemble, say, would be of other members, and looks at other seeds would be forgotten."""
    trial = trial_id("medlitenet", 2)
    unpack(published, other := tmp_path / "other")
    write_yaml(other / "studies" / "baa.yaml", read_yaml(other / "studies" / "baa.yaml") | {"question": "My own?"})
    begun, unsound = Store(tmp_path / "begun"), tmp_path / "unsound"
    write_json(begun.checkpoint(trial), {})
    (unsound / "trials" / trial).mkdir(parents=True)

    for place, n in ((store, 9), (begun.root, 1), (unsound, 1)):
        with pytest.raises(MedbenchError, match=rf"has other trainings of {n} of the 9 trials of .* \(\w{{16}}"):
            check_store(published, place)
    with begun.claimed(trial_id("no_baa", 0)), pytest.raises(MedbenchError, match="of 2 of the 9"):
        check_store(published, begun.root)
    with pytest.raises(MedbenchError, match=r"baa\.yaml: another study than that of"):
        check_store(published, other)


def test_unpacked_twice_it_is_there_once(published: Path, tmp_path: Path) -> None:
    unpack(published, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    shutil.rmtree(absent := tmp_path / "trials" / trial_id("medlitenet", 2))

    check_store(published, tmp_path)

    assert (unpack(published, tmp_path), unpack(published, tmp_path)) == (1, 0)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert before.keys() == after.keys()
    assert {path for path in after if before[path] != after[path]} == {*absent.rglob("*.*")}


def test_trials_that_lack_an_evaluation_and_their_ensembles_are_left_for_training(store: Path, tmp_path: Path) -> None:
    own = shutil.copytree(store, tmp_path / "store")
    shutil.rmtree(evaluation_of(own, "no_baa", 0))
    publish(own, "baa", result := tmp_path / "result", date=DAY, partial=True)

    left = incomplete(result)
    unpack(result, tmp_path / "again", without=left)

    assert left == {trial_id("no_baa", 0), trial_id("ensemble", 0)}
    assert not left & {path.name for path in (tmp_path / "again" / "trials").iterdir()}


def test_a_store_that_differs_is_told_apart_by_the_name_of_the_folder(
    store: Path, published: Path, tmp_path: Path
) -> None:
    there = shutil.copytree(store, tmp_path / "there")
    study = read_yaml(there / "studies" / "baa.yaml")
    write_yaml(there / "studies" / "baa.yaml", study | {"margin": 0.02})

    with opened([there, published]) as stores:
        names = [each.name for each in load_studies(stores)]

    assert names == ["baa", "baa@2026-01-31-baa"]


def test_a_changed_number_is_named(copy: Path) -> None:
    report = read_json(copy / "report.json")
    report["studies"][0]["comparisons"][0]["difference"] += 0.001
    write_json(copy / "report.json", report)

    [changed] = problems(copy)
    page, told = problems(resealed(copy))

    assert "report.json: SHA-256 differs" in changed
    assert page == f"{copy / 'index.html'}: not the page of report.json, whose SHA-256 it does not name"
    assert "comparisons[0]: difference: " in told
    assert "the files give" in told


def test_a_changed_verdict_is_named(copy: Path) -> None:
    report, table = read_json(copy / "report.json"), copy / "tables" / "baa-comparisons.csv"
    row = next(row for row in report["studies"][0]["comparisons"] if row["claim"] == "worse")
    row["claim"] = "equivalent within 0.01"
    write_report_json(copy, report)
    table.write_text(table.read_text(encoding="utf-8").replace(",worse,", ",no difference shown,"), encoding="utf-8")

    in_json, *in_csv = problems(resealed(copy))

    assert in_json.endswith("claim: 'equivalent within 0.01' is told, the files give 'worse'")
    assert in_csv
    assert all(line.endswith("claim: 'no difference shown' is told, the files give 'worse'") for line in in_csv)


def test_a_changed_score_shows_in_the_numbers(copy: Path) -> None:
    rows = pd.read_parquet(copy / "scores" / "clean.parquet")
    rows.loc[0, "tp"] += 40
    rows.to_parquet(copy / "scores" / "clean.parquet", index=False)

    found = list(problems(resealed(copy)))

    assert any(line.startswith("report.json") for line in found)
    assert any(line.startswith("tables/baa-variants.csv") for line in found)


def test_a_sentence_may_be_worded_otherwise(copy: Path) -> None:
    report = read_json(copy / "report.json")
    report["studies"][0]["comparisons"][0]["may"] = "Older words."
    report["studies"][0]["warnings"] = ["Older words."]
    write_report_json(copy, report)

    assert list(problems(resealed(copy))) == []


def test_a_file_that_is_not_in_the_manifest_is_named_and_nothing_is_read(copy: Path) -> None:
    (copy / "scores" / "more.parquet").touch()

    assert list(problems(copy)) == [f"{copy / 'scores' / 'more.parquet'}: not in the manifest"]
    with pytest.raises(MedbenchError, match="not in the manifest"), opened([copy]):
        pass


def test_what_lies_beside_a_result_does_not_keep_it_from_being_read(copy: Path) -> None:
    """Files that a file manager hides there are no part of it; others are named."""
    for name in (".DS_Store", "scores/.DS_Store", "scores/._clean.parquet", "README.md"):
        (copy / name).write_bytes(b"notes")

    assert list(problems(copy)) == [f"{copy / 'README.md'}: not in the manifest"]
    assert len(load(copy)) == 3 * 3 * 2 * 12


@pytest.mark.parametrize("name", ["../../else", "..", ""])
def test_what_is_read_stays_in_its_folder(copy: Path, name: str) -> None:
    ledger = read_json(copy / "trials.json")
    ledger["trials"][0]["id"] = name
    write_json(copy / "trials.json", ledger)

    with pytest.raises(MedbenchError, match="not what `medbench publish` writes"), opened([resealed(copy)]):
        pass


def test_a_folder_that_holds_something_is_refused(store: Path, published: Path) -> None:
    before = file_digest(published / MANIFEST)

    with pytest.raises(MedbenchError, match="there is something already"):
        publish(store, "baa", published, date=DAY)

    assert file_digest(published / MANIFEST) == before


def test_an_unfinished_study_is_published_only_when_that_is_asked_for(store: Path, tmp_path: Path) -> None:
    lacking, trial = shutil.copytree(store, tmp_path / "lacking"), trial_id("no_baa", 1)
    shutil.rmtree(lacking / "trials" / trial)
    write_json(lacking / "failed" / f"{trial}.json", {"error": "no memory at /home/ann/runs", "traceback": "long"})

    with pytest.raises(MedbenchError, match=r"not finished \(no_baa, seed 1: .*--partial"):
        publish(lacking, "baa", tmp_path / "out", date=DAY)
    assert not (tmp_path / "out").exists()
    index = publish(lacking, "baa", tmp_path / "out", date=DAY, partial=True)

    assert f"no_baa, seed 1: trial {trial} failed (no memory at runs)" in index.read_text(encoding="utf-8")
    assert list(problems(index.parent)) == []


def test_scores_that_do_not_follow_from_their_counts_are_refused(store: Path, tmp_path: Path) -> None:
    other = shutil.copytree(store, tmp_path / "other")
    with unsealed(evaluation_of(other, "no_baa", 0)) as working:
        pd.read_parquet(working / "scores.parquet").assign(specificity=0.5).to_parquet(working / "scores.parquet")

    with pytest.raises(MedbenchError, match="specificity is not what its counts of pixels give"):
        publish(other, "baa", tmp_path / "out", date=DAY)

    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_an_absolute_path_that_an_id_covers_is_refused(store: Path, tmp_path: Path) -> None:
    other = shutil.copytree(store, tmp_path / "other")
    trial = other / "trials" / trial_id("no_baa", 0)
    config = read_yaml(trial / "config.yaml")
    write_yaml(trial / "config.yaml", config | {"options": {"file": "/home/ann/net.py"}})
    resealed(trial)

    with pytest.raises(MedbenchError, match="a setting that its id covers names an absolute path"):
        publish(other, "baa", tmp_path / "out", date=DAY)


def test_an_evaluation_whose_name_begins_with_a_dot_is_not_hidden(tmp_path: Path) -> None:
    study = fabricate(tmp_path / "store", n_seeds=1, n_images=2, variants=("medlitenet",))
    for trial in study["variants"]["medlitenet"]["trials"]:
        trial["evaluations"][".ph2"] = trial["evaluations"].pop("ph2")
    write_yaml(tmp_path / "store" / "studies" / "baa.yaml", study | {"evaluations": ["clean", ".ph2"]})

    index = publish(tmp_path / "store", "baa", tmp_path / "out", date=DAY)

    assert set(load(index.parent)["evaluation"]) == {"clean", ".ph2"}


def test_large_scores_are_split_by_variant_and_too_large_a_file_is_refused(
    store: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "LARGEST", (published / "scores" / "clean.parquet").stat().st_size - 1)

    with pytest.raises(MedbenchError, match="a published file may have"):
        publish(store, "baa", tmp_path / "out", date=DAY)
    monkeypatch.setattr("medbench.reports.publishing.check_sizes", lambda folder: None)
    folder = publish(store, "baa", tmp_path / "out", date=DAY).parent

    assert sorted(path.stem for path in (folder / "scores" / "clean").iterdir()) == ["ensemble", "medlitenet", "no_baa"]
    assert len(load(folder)) == len(load(store))


def test_the_site_lists_what_is_published(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.spec_from_file_location("generated", ROOT / "docs" / "generated.py")
    assert found is not None
    assert found.loader is not None
    generated = importlib.util.module_from_spec(found)
    found.loader.exec_module(generated)

    monkeypatch.setattr(generated, "PUBLISHED", tmp_path / "nothing")
    assert generated.results() == "None is published yet.\n"
    monkeypatch.setattr(generated, "PUBLISHED", published.parent)
    text = generated.results()
    generated.write_results(tmp_path)

    assert text.startswith("## 2026-01-31: baa\n\nDoes boundary-aware attention improve MedLiteNet on ISIC 2018?\n\n- ")
    for address in re.findall(r'href="([^"]+)"', text):
        assert (tmp_path / address).is_file()
