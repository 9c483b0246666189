"""Which images test a trial, where a study has several sets and where images have copies."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from medbench.ablations.schema.loading import load_study
from medbench.bench.errors import MedbenchError
from medbench.bench.study.planning import Job, Plan, plan
from medbench.bench.study.sets import Sets

from ..datasets.test_audit import textured

STUDY = """\
question: Does it carry over?
baseline: here
variants:
  here: {model: medlitenet, options: {backbone: mobilenetv3_small_050}}
  there: {model: medlitenet, options: {backbone: mobilenetv3_small_050}, dataset: {folder: THERE}}
dataset: {folder: HERE}
encoder_weights: none
seeds: 1
training: {epochs: 1}
evaluate: [{folder: HERE, part: test}, {folder: THERE, part: test}]
"""


def write(folder: Path, pictures: dict[str, np.ndarray]) -> Path:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for id, picture in pictures.items():
        Image.fromarray(picture).save(folder / "images" / f"{id}.png")
        mask = np.zeros(picture.shape[:2], bool)
        mask[20:60, 20:60] = True
        Image.fromarray(mask).save(folder / "masks" / f"{id}.png")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("sets")
    here = write(root / "here", {f"h{i:02d}": textured(i) for i in range(14)})
    return here, write(root / "there", {f"t{i:02d}": textured(i) for i in range(14, 26)})


def planned(tmp_path: Path, folders: tuple[Path, Path], *settings: str, text: str = STUDY) -> Plan:
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("THERE", str(folders[1])).replace("HERE", str(folders[0])), encoding="utf-8")
    return plan(load_study(str(path), settings=settings), Sets(None, tmp_path / "cache"))


def jobs(plan: Plan) -> dict[str, Job]:
    return {job.cell.variant: job for job in plan.jobs}


def copied(folders: tuple[Path, Path], tmp_path: Path, id: str) -> tuple[Path, Path]:
    """`there` with one more image: `id` of `here`, smaller and mirrored."""
    original = np.asarray(Image.open(folders[0] / "images" / f"{id}.png"))
    small = np.asarray(cv2.resize(original, (200, 200), interpolation=cv2.INTER_AREA), dtype=np.uint8)[:, ::-1]
    others = {path.stem: np.asarray(Image.open(path)) for path in (folders[1] / "images").iterdir()}
    return folders[0], write(tmp_path / "there", {**others, "copy": small})


def test_variants_are_trained_on_their_own_set_and_tested_on_the_same_images(tmp_path: Path, folders) -> None:
    found = jobs(planned(tmp_path, folders))

    assert {id[0] for id in found["here"].config["train"]} == {"h"}
    assert {id[0] for id in found["there"].config["train"]} == {"t"}
    for name in ("here", "there"):
        tested = [found[variant].evaluations[name]["images"] for variant in found]
        assert tested[0] == tested[1]
        learnt = {*found[name].config["train"], *found[name].config["validation"]}
        assert learnt.isdisjoint(tested[0])


def test_at_the_input_size_it_is_what_a_study_of_that_resolution_has(tmp_path: Path, folders) -> None:
    text = STUDY.replace("{folder: THERE, part: test}]", "clean, {score_at: input}]")
    both = planned(tmp_path, folders, text=text)
    alone = planned(tmp_path, folders, "score_at=input", text=text.replace(", {score_at: input}", ""))

    assert both.record["at_input"] == ["clean-at-input"]
    assert "at_input" not in alone.record
    for variant, found in jobs(both).items():
        native, at_input = found.evaluations["clean"], found.evaluations["clean-at-input"]
        assert (native["score_at"], at_input["score_at"]) == ("native", "input")
        assert native["images"] == at_input["images"]
        assert native["id"] != at_input["id"]
        assert at_input["id"] == jobs(alone)[variant].evaluations["clean"]["id"]


def test_without_part_a_foreign_set_is_tested_whole_and_ones_own_is_not(tmp_path: Path, folders) -> None:
    text = STUDY.replace(", part: test", "")

    found = jobs(planned(tmp_path, folders, text=text))

    assert len(found["here"].evaluations["there"]["images"]) == 12
    assert len(found["there"].evaluations["there"]["images"]) < 5


def test_clean_is_the_test_part_of_each_variants_own_set(tmp_path: Path, folders) -> None:
    plan = planned(tmp_path, folders, "evaluate=[clean]")

    clean = {variant: job.evaluations["clean"] for variant, job in jobs(plan).items()}
    assert [clean[name]["dataset"] for name in ("here", "there")] == ["here", "there"]
    assert [plan.record["variants"][name]["settings"]["dataset"] for name in ("here", "there")] == ["here", "there"]


def test_an_evaluation_has_one_id_whatever_it_is_called(tmp_path: Path, folders) -> None:
    alone = jobs(planned(tmp_path, folders, "evaluate=[clean]"))["here"].evaluations["clean"]

    assert jobs(planned(tmp_path, folders))["here"].evaluations["here"]["id"] == alone["id"]


def test_copies_of_trained_images_are_left_out_of_every_variants_test(tmp_path: Path, folders) -> None:
    first = jobs(planned(tmp_path, folders))["here"].config["train"][0]
    more = copied(folders, tmp_path, first)
    text = STUDY.replace("THERE, part: test", "THERE")

    with_copy = jobs(planned(tmp_path, more, text=text))["here"].evaluations["there"]
    without = planned(tmp_path, more, "exclude_copies=true", text=text)

    assert "copy" in with_copy["images"]
    assert set(with_copy["images"]) - set(jobs(without)["here"].evaluations["there"]["images"]) == {"copy"}
    assert without.record["copies_left_out"] == {"there": 1}
    assert jobs(without)["here"].id == jobs(planned(tmp_path, more, text=text))["here"].id


def test_copies_that_folds_leave_out_are_counted_over_all_of_them(tmp_path: Path) -> None:
    pictures = {f"h{i:02d}": textured(i) for i in range(14)}
    smaller = {f"{id}-again": cv2.resize(each, (200, 200))[:, ::-1] for id, each in [*pictures.items()][:5]}
    study = STUDY.replace("  there: {model", "  other: {model").replace(", dataset: {folder: THERE}", "")
    study = study.partition("evaluate:")[0] + "exclude_copies: true\n"
    mine = write(tmp_path / "mine", {**pictures, **smaller})

    found = planned(tmp_path, (mine, mine), "dataset.split=kfold:3", text=study)

    tested = {id for job in found.jobs for id in job.evaluations["clean"]["images"]}
    left_out = [job.evaluations["clean"]["copies_left_out"] for job in found.jobs if job.cell.variant == "here"]
    assert len(left_out) == 3
    assert max(left_out) < 19 - len(tested)
    assert found.record["copies_left_out"] == {"clean": 19 - len(tested)}


def test_a_copy_of_a_tested_image_stays(tmp_path: Path, folders) -> None:
    tested = jobs(planned(tmp_path, folders))["here"].evaluations["here"]["images"][0]
    text = STUDY.replace("THERE, part: test", "THERE").replace("there: {model", "other: {model", 1)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("  other:")) + "\n"

    found = jobs(planned(tmp_path, copied(folders, tmp_path, tested), "exclude_copies=true", text=text))

    assert "copy" in found["here"].evaluations["there"]["images"]


def test_trained_images_themselves_are_refused_or_left_out(tmp_path: Path, folders) -> None:
    first = jobs(planned(tmp_path, folders))["here"].config["train"][0]
    same = np.asarray(Image.open(folders[0] / "images" / f"{first}.png"))
    other = np.asarray(Image.open(folders[1] / "images" / "t14.png"))
    third = write(tmp_path / "third", {"again": same, "new": other})
    setting = f"evaluate=[clean, {{folder: {third}}}]"
    text = "\n".join(line for line in STUDY.splitlines() if not line.startswith("  there:")) + "\n"

    with pytest.raises(MedbenchError, match=r"third/again.*exclude_copies: true"):
        planned(tmp_path, folders, setting, text=text)
    found = jobs(planned(tmp_path, folders, setting, "exclude_copies=true", text=text))["here"]
    assert found.evaluations["third"]["images"] == ["new"]
    Image.fromarray(same).save(third / "images" / "new.png")
    with pytest.raises(MedbenchError, match="every one of its images has a copy"):
        planned(tmp_path, folders, setting, "exclude_copies=true", text=text)


ALONE = "\n".join(line for line in STUDY.splitlines() if not line.startswith("  there:")) + "\n"


def test_another_set_of_the_same_name_is_refused_for_its_images_may_have_the_same_ids(tmp_path: Path, folders) -> None:
    namesake = write(tmp_path / "elsewhere" / "here", {f"h{i:02d}": textured(i + 12) for i in range(14)})
    said = rf"two sets are called here: {folders[0].resolve()} and {namesake.resolve()}; rename one"

    with pytest.raises(MedbenchError, match=rf"mine\.yaml:\d+: evaluate: {said}"):
        planned(tmp_path, (folders[0], namesake), text=ALONE.replace("{folder: HERE, part: test}, ", ""))
    with pytest.raises(MedbenchError, match=rf"mine\.yaml:\d+: variants\.there\.dataset: {said}"):
        planned(tmp_path, (folders[0], namesake), text=STUDY.replace(STUDY.splitlines()[-1], "evaluate: [clean]"))


def test_ones_own_folder_is_known_however_its_path_is_written(tmp_path: Path, folders) -> None:
    other_way = folders[0] / ".." / "here"

    text = STUDY.replace(STUDY.splitlines()[-1], "evaluate: [{folder: THERE}]")
    found = jobs(planned(tmp_path, (folders[0], other_way), text=text))
    clean = jobs(planned(tmp_path, folders, "evaluate=[clean]"))["here"].evaluations["clean"]

    assert {variant: job.evaluations["here"]["id"] for variant, job in found.items()} == dict.fromkeys(
        found, clean["id"]
    )


def test_two_sets_are_audited_once(tmp_path: Path, folders, monkeypatch: pytest.MonkeyPatch) -> None:
    first = planned(tmp_path, folders, "exclude_copies=true")
    monkeypatch.setattr("medbench.bench.study.sets.look_at", lambda *_: pytest.fail("looked again"))

    assert planned(tmp_path, folders, "exclude_copies=true") == first


def test_training_on_artifacts_is_another_trial_and_an_unknown_kind_is_refused(tmp_path: Path, folders) -> None:
    plain = jobs(planned(tmp_path, folders))["here"]

    painted = jobs(planned(tmp_path, folders, "training.augment.artifacts=[hair]"))["here"]

    assert painted.id != plain.id
    assert "artifacts" not in plain.config["training"]["augment"]
    with pytest.raises(MedbenchError, match=r"Did you mean 'hair'"):
        planned(tmp_path, folders, "training.augment.artifacts=[hairs]")


def test_an_ensemble_needs_one_training_set(tmp_path: Path, folders) -> None:
    both = "  both: {ensemble: {members: [here, there], weighting: equal}}\ndataset:"

    with pytest.raises(
        MedbenchError, match=r"variants.both.ensemble: here and there are trained on different data sets"
    ):
        planned(tmp_path, folders, text=STUDY.replace("dataset:", both, 2).replace(both, "dataset:", 1))
