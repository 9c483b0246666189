"""Hair removed before the network, as a variant: in training and test, or in test alone, which trains nothing more."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from medbench.ablations.schema.loading import load_study
from medbench.bench.cli import app
from medbench.bench.cost import exporting
from medbench.bench.errors import MedbenchError
from medbench.bench.evaluation.predicting import Sight
from medbench.bench.store.folder import Store
from medbench.bench.store.records import same_trials
from medbench.bench.study.planning import Job, Plan, plan
from medbench.bench.study.runner import annotate, left_to_do
from medbench.bench.study.sets import Sets
from medbench.datasets.artifacts.painted import PaintedSet
from medbench.datasets.hair_removal import remove_hair
from medbench.datasets.synthetic import SyntheticSet

from ..image_files import save

STUDY = """\
question: Is hair better removed than learnt?
baseline: plain
variants:
  plain: {model: medlitenet, options: {backbone: mobilenetv3_small_050}}
  shaved_late: {model: medlitenet, options: {backbone: mobilenetv3_small_050}, preprocess: {hair_removal: test}}
  shaved: {model: medlitenet, options: {backbone: mobilenetv3_small_050}, preprocess: {hair_removal: train_and_test}}
dataset: {name: synthetic, images: 30, size: 64}
encoder_weights: none
seeds: 1
training: {epochs: 1, batch_size: 8}
evaluate: [clean, {artifact: hair, severity: 5}]
"""
ALONE = re.sub("  shaved.*\n", "", STUDY)
IMAGES = SyntheticSet(images=30, size=64)


def medbench(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200", "OMP_NUM_THREADS": "1"})


def planned(folder: Path, text: str = STUDY) -> Plan:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return plan(load_study(str(path)), Sets(None, folder / "cache"))


def by_variant(found: Plan) -> dict[str, Job]:
    return {job.cell.variant: job for job in found.jobs}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return planned(tmp_path_factory.mktemp("planned"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the study's two trainings."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "mine.yaml").write_text(STUDY, encoding="utf-8")
    result = medbench("run", folder / "mine.yaml", "--store", folder / "runs")
    assert result.exit_code == 0, result.output
    assert "2 trials on" in result.output
    assert "2 to do" in result.output
    return folder / "runs"


def scores_of(store: Path, job: Job, evaluation: str) -> pd.DataFrame:
    folder = Store(store).evaluation(job.id, job.evaluations[evaluation]["id"])
    return pd.read_parquet(folder / "scores.parquet").set_index("image")


def test_a_variant_tested_without_hair_is_the_training_of_the_plain_one(tmp_path: Path, made: Plan) -> None:
    jobs = by_variant(made)
    alone = by_variant(planned(tmp_path, ALONE))["plain"]

    assert jobs["plain"] == alone
    assert jobs["shaved_late"].id == alone.id != jobs["shaved"].id
    assert jobs["shaved_late"].config == alone.config
    ids = {each["id"] for job in made.jobs for each in job.evaluations.values()}
    assert len(ids) == 6
    assert same_trials(made.record["variants"]) == made.record["same"] == []


def test_configurations_say_from_where_hair_is_removed(made: Plan) -> None:
    jobs = by_variant(made)

    def said(config: dict[str, Any]) -> Any:
        return config["source"].get("hair_removal")

    assert {name: said(job.config) for name, job in jobs.items()} == {"plain": None, "shaved_late": None, "shaved": 1}
    for name, expected in (("plain", None), ("shaved_late", 1), ("shaved", 1)):
        assert [said(each) for each in jobs[name].evaluations.values()] == [expected] * 2
    assert made.record["variants"]["shaved"]["settings"]["preprocess"] == {"hair_removal": "train_and_test"}
    assert "preprocess" not in made.record["variants"]["plain"]["settings"]


def test_a_training_that_variants_share_is_one_job_with_the_evaluations_of_all(tmp_path: Path, made: Plan) -> None:
    first, second = left_to_do(made, Store(tmp_path))

    assert {*first.evaluations} == {"clean", "hair-5", "clean of shaved_late", "hair-5 of shaved_late"}
    assert {*second.evaluations} == {"clean", "hair-5"}


def test_models_of_different_sight_do_not_join(tmp_path: Path) -> None:
    both = STUDY.replace("dataset:", "  both: {ensemble: {members: [plain, shaved], weighting: equal}}\ndataset:", 1)

    with pytest.raises(MedbenchError, match="plain and shaved differ in preprocess, and would see different images"):
        planned(tmp_path, both)


def test_members_without_hair_make_an_ensemble_tested_without_it(tmp_path: Path) -> None:
    other = "  late: {model: no_baa, options: {backbone: mobilenetv3_small_050}, preprocess: {hair_removal: test}}\n"
    both = f"{other}  both: {{ensemble: {{members: [shaved_late, late], weighting: equal}}}}\n"
    job = by_variant(planned(tmp_path, STUDY.replace("dataset:", f"{both}dataset:", 1)))["both"]

    assert [each["source"]["hair_removal"] for each in job.evaluations.values()] == [1, 1]


def test_images_of_other_channels_are_refused_with_file_and_line(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    for id in IMAGES.ids[:12]:
        for part, picture in (("images", IMAGES.image(id)[..., 0]), ("masks", IMAGES.mask(id))):
            (mine / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(mine / part / f"{id}.png")
    (mine / "dataset.yaml").write_text("channels: 1\n", encoding="utf-8")
    text = STUDY.replace("{name: synthetic, images: 30, size: 64}", f"{{folder: {mine}, size: 64}}")
    text = text.replace("\nevaluate: [clean, {artifact: hair, severity: 5}]", "")

    with pytest.raises(
        MedbenchError, match=r"mine\.yaml:5: variants\.shaved_late\.preprocess: .* leave hair_removal out"
    ):
        planned(tmp_path, text)


def test_an_ensemble_has_nothing_to_preprocess(tmp_path: Path) -> None:
    more = (
        "  both: {ensemble: {members: [plain, shaved], weighting: equal}, preprocess: {hair_removal: test}}\ndataset:"
    )

    with pytest.raises(MedbenchError, match="set these keys at its members"):
        planned(tmp_path, STUDY.replace("dataset:", more, 1))


def test_groups_and_annotations_are_those_of_the_images_with_hair(tmp_path: Path) -> None:
    data = tmp_path / "data"
    root = data / "isic2018"
    for folder in ("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"):
        (root / folder).mkdir(parents=True)
    ids = [f"ISIC_{number:07d}" for number in range(12)]
    for id, source in zip(ids, IMAGES.ids, strict=False):
        save(root / "ISIC2018_Task1-2_Training_Input" / f"{id}.jpg", IMAGES.image(source), quality=95)
        Image.fromarray(IMAGES.mask(source)).save(
            root / "ISIC2018_Task1_Training_GroundTruth" / f"{id}_segmentation.png"
        )
    head = ";image;dark_corner;hair;gel_border;gel_bubble;ruler;ink;patches\n"
    rows = (f"{n};{id}.png;0;1;0;0;0;0;0\n" for n, id in enumerate(ids))
    (root / "isic_bias.csv").write_text(head + "".join(rows), encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY.replace("{name: synthetic, images: 30, size: 64}", "{name: isic2018, size: 64}"))
    sets, store = Sets(data, tmp_path / "cache"), Store(tmp_path / "runs")
    found = plan(load_study(str(path)), sets)

    annotate(found, store, sets)

    jobs = by_variant(found)
    digests = {name: job.evaluations["clean"]["images_digest"] for name, job in jobs.items()}
    assert digests["plain"] != digests["shaved"] == digests["shaved_late"]
    told = [json.loads(store.annotations(digests[name]).read_text()) for name in ("plain", "shaved")]
    assert told[0] == told[1]
    assert set(told[0]["flags"]["hair"]) == set(told[0]["lesions"]) == {*jobs["plain"].evaluations["clean"]["images"]}


def test_every_evaluation_has_its_own_scores_of_one_training(finished: Path, made: Plan) -> None:
    jobs = by_variant(made)

    assert sorted(path.name for path in (finished / "trials").iterdir()) == sorted({job.id for job in made.jobs})
    plain, late = (scores_of(finished, jobs[name], "hair-5") for name in ("plain", "shaved_late"))
    assert plain["brier"].to_list() != late["brier"].to_list()
    known = [np.isfinite(table["artifact_fpr"].to_numpy()) for table in (plain, late)]
    assert known[0].any()
    assert np.array_equal(known[0], known[1])


def predicted(store: Path, job: Job, images: dict[str, np.ndarray], folder: Path) -> tuple[str, pd.DataFrame]:
    """What the command says, and true and false positives of its masks."""
    for id, image in images.items():
        save(folder / "images" / f"{id}.png", image)
    done = medbench("predict", job.id, folder / "images", "--store", store, "-o", folder / "masks")
    assert done.exit_code == 0, done.output
    rows: dict[str, dict[str, float]] = {}
    for id in images:
        mask, reference = np.asarray(Image.open(folder / "masks" / f"{id}.png")) > 0, IMAGES.mask(id)
        rows[id] = {"tp": float(np.sum(mask & reference)), "fp": float(np.sum(mask & ~reference))}
    return done.output, pd.DataFrame.from_dict(rows, orient="index")


@pytest.mark.parametrize("name", ["shaved_late", "shaved"])
def test_predicted_masks_have_the_scores_of_the_evaluation(
    finished: Path, made: Plan, tmp_path: Path, name: str
) -> None:
    job = by_variant(made)[name]
    hairy = PaintedSet(IMAGES, job.evaluations["hair-5"]["images"], kind="hair", severity=5)
    by_hand = {id: remove_hair(hairy.image(id)) for id in hairy.ids}
    given = by_hand if name == "shaved_late" else {id: hairy.image(id) for id in hairy.ids}

    said, found = predicted(finished, job, given, tmp_path)

    counts = {each: scores_of(finished, by_variant(made)[each], "hair-5")[["tp", "fp"]] for each in ("plain", name)}
    assert found.to_dict() == counts[name].to_dict() != counts["plain"].to_dict()
    assert ("hair was removed from the images first, as in the model's training" in said) == (name == "shaved")


def test_a_model_whose_hair_was_removed_in_another_way_does_not_predict() -> None:
    with pytest.raises(MedbenchError, match="removed in way 99, this medbench knows way 1: use the medbench that"):
        Sight.of(64, {"source": {"hair_removal": 99}})


@pytest.mark.parametrize(("form", "function"), [("onnx", "to_onnx"), ("torchscript", "to_torchscript")])
def test_an_exported_model_says_that_it_wants_no_hair(
    finished: Path, made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, function: str
) -> None:
    given: list[Any] = []

    def stand_in(*values: Any, **_: Any) -> bytes:
        given.extend(values)
        return b"exported"

    monkeypatch.setattr(exporting, function, stand_in)
    for name in ("plain", "shaved"):
        given.clear()
        job = by_variant(made)[name]
        done = medbench("export", job.id, "--store", finished, "--to", form, "-o", tmp_path / name)

        assert done.exit_code == 0, done.output
        assert ("trained on images without hair" in done.output) == (name == "shaved")
        if form == "onnx":
            assert ("remove_hair" in given[2].get("preprocess", "")) == (name == "shaved")


def test_the_report_compares_them_and_says_what_was_done(finished: Path, made: Plan, tmp_path: Path) -> None:
    done = medbench("report", finished, "-o", tmp_path)

    assert done.exit_code == 0, done.output
    [study] = json.loads((tmp_path / "report.json").read_text())["studies"]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    compared = {row["variant"] for row in study["comparisons"] if row["evaluation"] == "clean"}
    assert compared == {"shaved_late", "shaved"}
    assert study["n_trials"] == study["n_planned"] == 2  # as many as were trained
    assert study["differing_settings"] == {
        "preprocess.hair_removal": {"plain": None, "shaved_late": "test", "shaved": "train_and_test"}
    }
    how = "was shown images without dark hair, removed by closings along lines and inpainting after DullRazor"
    assert f"shaved_late {how}, in test alone; shaved {how}, in training and in test. They were trained for" in page
    assert "@article{dullrazor," in page
    assert "shown with the hair that was removed for shaved_late, shaved" in page
    assert "the removal of hair for shaved_late, shaved comes on top" in page
    for picture in study["gallery"]:
        for contour in picture["contours"]:
            expected = scores_of(finished, by_variant(made)[contour["variant"]], "clean").loc[picture["image"], "dice"]
            assert contour["score"] == expected


def test_what_is_lost_of_one_variant_alone_is_made_again(finished: Path, made: Plan, tmp_path: Path) -> None:
    store = tmp_path / "runs"
    shutil.copytree(finished, store)
    job = by_variant(made)["shaved_late"]
    lost = Store(store).evaluation(job.id, job.evaluations["clean"]["id"])
    before = (lost / "scores.parquet").read_bytes()
    weights = (Store(store).trial(job.id) / "weights.safetensors").stat().st_mtime_ns
    shutil.rmtree(lost)

    assert "1 of 2 trials done, 0 running, 0 failed, 1 left" in medbench("status", store).output
    with Store(store).claimed(job.id):
        assert "running: plain, shaved_late seed 0, epoch 1 of 1 done" in medbench("status", store).output
    done = medbench("run", finished.parent / "mine.yaml", "--store", store)

    assert done.exit_code == 0, done.output
    assert "1 to do" in done.output
    assert (lost / "scores.parquet").read_bytes() == before
    assert (Store(store).trial(job.id) / "weights.safetensors").stat().st_mtime_ns == weights
    assert "2 of 2 trials done" in medbench("status", store).output


def test_a_training_done_again_is_compared_on_the_evaluations_of_all_its_variants(
    finished: Path, made: Plan, tmp_path: Path
) -> None:
    store, jobs = tmp_path / "runs", by_variant(made)
    shutil.copytree(finished, store)
    for name in ("plain", "shaved_late"):
        path = Store(store).evaluation(jobs[name].id, jobs[name].evaluations["hair-5"]["id"]) / "scores.parquet"
        table = pd.read_parquet(path)
        table.loc[0, "dice"] += 0.125
        table.to_parquet(path, index=False)

    done = medbench("verify", store, "--rerun", jobs["plain"].id)

    assert done.exit_code == 1
    assert len(re.findall(r"hair-5.*: scores: dice differs in 1 of", done.output)) == 2
    assert "clean" not in done.output.rpartition("hair-5")[2]


def test_a_published_result_holds_the_scores_of_every_variant(finished: Path, made: Plan, tmp_path: Path) -> None:
    done = medbench("publish", finished, "mine", "-o", tmp_path / "mine")
    assert done.exit_code == 0, done.output

    verified = medbench("verify", tmp_path / "mine")
    assert verified.exit_code == 0, verified.output
    [rows] = [pd.read_parquet(path) for path in (tmp_path / "mine" / "scores").glob("hair-5.parquet")]
    assert set(rows["variant"]) == {"plain", "shaved_late", "shaved"}


def test_a_dry_run_tells_a_shared_training_once(finished: Path, tmp_path: Path) -> None:
    done = medbench("run", finished.parent / "mine.yaml", "--store", tmp_path, "--dry-run")

    assert done.exit_code == 0, done.output
    assert "shaved_late seed 0: the training of plain seed 0, done once for both" in done.output
    assert len(re.findall("to do, about", done.output)) == 2
