"""Planning: nothing leaks, ids stand for everything that changes a result, and mistakes have a place."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medbench.ablations.schema.loading import load_study
from medbench.bench.errors import MedbenchError
from medbench.bench.store.folder import Store
from medbench.bench.store.records import read_json
from medbench.bench.study.planning import Plan, plan
from medbench.bench.study.runner import annotate, left_to_do
from medbench.bench.study.sets import Sets
from medbench.bench.study.unseen_images import some
from medbench.datasets.synthetic import SyntheticSet

STUDY = """\
question: Does it plan?
baseline: full
variants:
  full: {model: medlitenet, options: {backbone: mobilenetv3_small_050}}
dataset: {folder: SET}
encoder_weights: none
seeds: 1
training: {epochs: 1}
"""


def write_set(folder: Path, images: SyntheticSet, ids: tuple[str, ...] | None = None, prefix: str = "") -> Path:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for id in ids or images.ids:
        Image.fromarray(images.image(id)).save(folder / "images" / f"{prefix}{id}.png")
        Image.fromarray(images.mask(id)).save(folder / "masks" / f"{prefix}{id}.png")
    return folder


def planned(tmp_path: Path, folder: Path, *settings: str, text: str = STUDY) -> Plan:
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("SET", str(folder)), encoding="utf-8")
    return plan(load_study(str(path), settings=settings), Sets(None, tmp_path / "cache"))


def test_a_plan_that_was_registered_is_another_where_settings_change_it(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))
    text = STUDY + "registered: Written down before.\n"

    assert planned(tmp_path, mine, text=text).record["registered"] == "Written down before."
    assert planned(tmp_path, mine, "seeds=2", text=text).record["registered"] is None
    assert planned(tmp_path, mine).record["registered"] is None


def test_the_record_says_what_the_answer_is_about_only_where_the_study_does(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))
    others = "".join(
        f"  {name}: {{model: medlitenet, options: {{backbone: mobilenetv3_small_050, width: {width}}}}}\n"
        for name, width in (("painted", 32), ("gated", 48))
    )
    tests = "asks: robustness\nevaluate: [clean, {artifact: hair, severity: [1, 5]}]\n"
    text = STUDY.replace("dataset:", f"{others}dataset:") + tests
    named = {"compare_with": "painted", "conditions": ["hair-5"]}

    plain = planned(tmp_path, mine, text=text)
    asked = planned(tmp_path, mine, text=f"{text}compare_with: painted\nconditions: [hair-5]\n")

    assert asked.record | {"spec": ""} == plain.record | named | {"spec": ""}
    assert [job.id for job in asked.jobs] == [job.id for job in plain.jobs]
    assert not named.keys() & plain.record.keys()
    assert "compare_with" not in plain.record["spec"]
    assert "conditions" not in plain.record["spec"]


def test_an_image_of_the_training_set_under_another_name_and_mask_is_found(tmp_path: Path) -> None:
    images = SyntheticSet(images=12, size=32)
    mine = write_set(tmp_path / "mine", images)
    train = planned(tmp_path, mine).jobs[0].config["train"]
    other = write_set(tmp_path / "other", images, (train[0],), prefix="renamed-")
    mask = other / "masks" / f"renamed-{train[0]}.png"
    Image.fromarray(~np.asarray(Image.open(mask))).save(mask)

    with pytest.raises(MedbenchError, match=f"1 of its images were trained or selected on, .*renamed-{train[0]}"):
        planned(tmp_path, mine, f"evaluate=[clean, {{folder: {other}}}]")


def test_an_archive_id_is_known_in_another_set_even_with_other_pixels(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32), prefix="ISIC_")
    train = planned(tmp_path, mine).jobs[0].config["train"]
    same = (train[0].removeprefix("ISIC_"),)
    other = write_set(tmp_path / "other", SyntheticSet(images=12, size=64), same, prefix="ISIC_")

    with pytest.raises(MedbenchError, match=r"mine\.yaml:9: evaluate: .*trained or selected on"):
        planned(tmp_path, mine, text=f"{STUDY}evaluate: [clean, {{folder: {other}}}]\n")


def test_a_set_of_which_no_image_is_sound_is_told_by_its_first_error_whatever_may_be_left_out(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))
    other = write_set(tmp_path / "other", SyntheticSet(images=2, size=32))
    for path in (other / "masks").iterdir():
        Image.fromarray(np.arange(4, dtype=np.uint8).repeat(256).reshape(32, 32)).save(path)

    for settings in ((), ("exclude_copies=true",)):
        text = f"{STUDY}evaluate: [clean, {{folder: {other}}}]\n"
        with pytest.raises(
            MedbenchError, match=r"00000\.png: seems to hold several .* and 1 more; .*; no image is left"
        ):
            planned(tmp_path, mine, "dataset.leave_out_broken=true", *settings, text=text)


def test_what_is_no_image_leaves_none_out_and_is_not_counted(tmp_path: Path) -> None:
    images = SyntheticSet(images=3, size=32)
    mine = write_set(tmp_path / "mine", images)
    (mine / "masks").rename(mine / "disc")
    for place in ("masks/disc", "masks/old"):
        shutil.copytree(mine / "disc", mine / place)
    Image.fromarray(images.mask(images.ids[0])).save(mine / "masks" / "disc" / "nobody.png")
    (mine / "dataset.yaml").write_text("labels: [disc]\n")
    (mine / "images" / f"{images.ids[1]}.png").write_bytes(b"broken")
    Image.fromarray(images.image(images.ids[0])).save(mine / "images" / "without mask.png")

    found = Sets(None, tmp_path / "cache").open({"folder": str(mine)}, leave_out_broken=True)

    assert (found.image_set.ids, found.left_out) == ((images.ids[0], images.ids[2]), 2)


def test_images_with_equal_pixels_stay_on_one_side(tmp_path: Path) -> None:
    images = SyntheticSet(images=12, size=32)
    mine = write_set(write_set(tmp_path / "mine", images), images, prefix="twin-")

    for seed in range(5):
        job = planned(tmp_path, mine, f"dataset.split_seed={seed}").jobs[0]
        parts = [job.config["train"], job.config["validation"], job.evaluations["clean"]["images"]]
        sides = [{id.removeprefix("twin-") for id in part} for part in parts]
        assert sum(map(len, sides)) == 12


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        (
            "{model: artifact_head}",
            r"model 'artifact_head' learns where artifacts are painted .* say training\.augment\.",
        ),
        ("{model: medlitenet, options: {artifact_weight: 0.1}}", r"mine\.yaml:4: .* and none is: say"),
        (
            "{model: gated_baa, training: {augment: {artifacts: [jpeg, contrast]}}}",
            r"jpeg, contrast change all of an image: training\.augment\.artifacts needs one of hair, ",
        ),
    ],
)
def test_a_model_that_learns_artifacts_needs_some_that_lie_somewhere(tmp_path: Path, variant: str, said: str) -> None:
    text = STUDY.replace("{model: medlitenet, options: {backbone: mobilenetv3_small_050}}", variant)

    with pytest.raises(MedbenchError, match=said):
        planned(tmp_path, tmp_path, text=text)


def test_agreement_with_and_without_artifacts_needs_some(tmp_path: Path) -> None:
    text = STUDY.replace("{epochs: 1}", "{epochs: 1, consistency: {weight: 1.0}}")

    with pytest.raises(MedbenchError, match=r"consistency compares images with and without artifacts: say which"):
        planned(tmp_path, tmp_path, text=text)


def test_what_is_asked_of_artifacts_is_part_of_what_is_trained_and_its_head_of_no_cost(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))
    small, hairy = "backbone: mobilenetv3_small_050", "augment: {artifacts: [hair]}"
    text = STUDY.replace(
        "dataset:",
        f"""\
  painted: {{model: medlitenet, options: {{{small}}}, training: {{{hairy}}}}}
  head: {{model: artifact_head, options: {{{small}}}, training: {{{hairy}}}}}
  gated: {{model: gated_baa, options: {{{small}}}, training: {{{hairy}}}}}
  agreeing: {{model: medlitenet, options: {{{small}}}, training: {{{hairy}, consistency: {{weight: 2}}}}}}
dataset:""",
    )

    found = planned(tmp_path, mine, text=text)

    assert len(set(ids(found))) == 5
    full, *_, agreeing = (job.config for job in found.jobs)
    assert full["options"].keys().isdisjoint({"artifact_weight", "gated"})
    assert "consistency" not in full["training"]
    assert agreeing["training"]["consistency"] == {"weight": 2.0, "ramp": 0.2, "band": 0.02}
    parameters = {name: known["parameters"] for name, known in found.record["variants"].items()}
    assert parameters["full"] == parameters["head"] < parameters["gated"]


def ids(plan: Plan) -> list[str]:
    return [job.id for job in plan.jobs]


def test_a_trials_id_stands_for_what_changes_its_result_and_for_nothing_else(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))
    first = ids(planned(tmp_path, mine))

    mine.rename(tmp_path / "moved")
    assert ids(planned(tmp_path, tmp_path / "moved")) == first
    assert ids(planned(tmp_path, tmp_path / "moved", "question=Another?", "margin=0.5")) == first
    for change in ("seeds=[1]", "dataset.size=64", "training.epochs=2", "dataset.split_seed=1"):
        assert ids(planned(tmp_path, tmp_path / "moved", change)) != first

    mask = next((tmp_path / "moved" / "masks").iterdir())
    Image.fromarray(~np.asarray(Image.open(mask))).save(mask)
    assert ids(planned(tmp_path, tmp_path / "moved", "dataset.split_seed=0")) != first


def test_the_code_of_a_model_of_ones_own_is_part_of_the_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from torch import nn\nclass Net(nn.Conv2d):\n    def __init__(self):\n        super().__init__(3, 1, 1)\n"
    monkeypatch.syspath_prepend(tmp_path)
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))
    text = STUDY.replace("{model: medlitenet, options: {backbone: mobilenetv3_small_050}}", "{model: 'own_net:Net'}")

    (tmp_path / "own_net.py").write_text(code, encoding="utf-8")
    before = ids(planned(tmp_path, mine, text=text))
    (tmp_path / "own_net.py").write_text(code + "# changed\n", encoding="utf-8")

    assert ids(planned(tmp_path, mine, text=text)) != before


def test_a_network_that_cannot_be_counted_refuses_no_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import torch\nfrom torch import nn\nclass Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.bias = nn.Parameter(torch.zeros(1, 1, 32, 32))\n"
        "    def forward(self, image):\n        return image[:, :1] + self.bias\n"
    )
    (tmp_path / "own_small_net.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))
    text = STUDY.replace("dataset:", "  own: {model: 'own_small_net:Net'}\ndataset:").replace("SET}", "SET, size: 32}")

    variants = planned(tmp_path, mine, text=text).record["variants"]

    assert variants["own"]["macs"] is None
    assert variants["own"]["parameters"] == 32 * 32
    assert variants["full"]["macs"] > 0


def test_two_variants_of_one_configuration_are_one_trial_to_run(tmp_path: Path) -> None:
    twin = "  same: {model: medlitenet, options: {backbone: mobilenetv3_small_050}}\n"
    text = STUDY.replace("dataset:", f"{twin}dataset:")
    plan = planned(tmp_path, write_set(tmp_path / "mine", SyntheticSet(images=12, size=32)), text=text)

    assert len(plan.jobs) == 2
    assert len(left_to_do(plan, Store(tmp_path / "runs"))) == 1
    assert plan.record["same"] == [["full", "same"]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset: {folder: SET}": "dataset: {folder: nowhere}"}, "mine.yaml:5: dataset: "),
        ({"{folder: SET}": "{folder: SET, split: official}"}, "mine.yaml:5: dataset.split: "),
        ({"{backbone: mobilenetv3_small_050}": "{backbone: mobilenetv3}"}, "mine.yaml:4: variants.full: "),
        ({"{backbone: mobilenetv3_small_050}": "{heads: 0}"}, "mine.yaml:4: variants.full: model 'medlitenet' cannot"),
        ({"seeds: 1": "seeds: 1\nevaluate: [{folder: nowhere}]"}, "mine.yaml:8: evaluate: "),
    ],
)
def test_what_cannot_be_had_is_told_with_file_line_and_key(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    text = STUDY
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))

    with pytest.raises(MedbenchError) as caught:
        planned(tmp_path, mine, text=text)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_artifact_is_an_evaluation_a_severity_on_the_test_images_of_the_study(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))

    found = planned(
        tmp_path, mine, "evaluate=[clean, {artifact: hair, severity: [1, 5]}, {artifact: jpeg, severity: 2}]"
    )

    evaluations = found.jobs[0].evaluations
    assert list(evaluations) == ["clean", "hair-1", "hair-5", "jpeg-2"]
    assert len({each["id"] for each in evaluations.values()}) == 4
    assert {tuple(each["images"]) for each in evaluations.values()} == {tuple(evaluations["clean"]["images"])}
    assert found.record["artifacts"] == {
        "hair-1": {"kind": "hair", "severity": 1},
        "hair-5": {"kind": "hair", "severity": 5},
        "jpeg-2": {"kind": "jpeg", "severity": 2},
    }


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("evaluate=[{artifact: hairs, severity: 1}]", "unknown artifact 'hairs'. Did you mean 'hair'?"),
        ("evaluate=[{dataset: ph3}]", "unknown dataset 'ph3'. Did you mean 'ph2'?"),
        ("training.augment.artifacts=[hairs]", "unknown artifact 'hairs'"),
        ("training.losses={fokal: 1}", "unknown loss 'fokal'"),
        ("training.losses={dice: 1}", "dice has a key of its own: say dice_weight"),
        ("variants.full.model=medlitnet", "unknown model 'medlitnet'. Did you mean 'medlitenet'?"),
        ("variants.full.options.heds=2", "unknown option of model 'medlitenet' 'heds'. Did you mean 'heads'?"),
        ("variants.other.model=smp:Unet", "name its encoder too, as in smp:Unet/mobilenet_v2"),
        ("variants={other: {model: 'nosuch.module:Net'}}", "cannot be imported: No module named 'nosuch'"),
        ("encoder_weights=nowhere.safetensors", "there is no file nowhere.safetensors"),
        ("dataset.folder=nowhere", "/nowhere; "),
        ("dataset.split=official", "mine: has no official split; holdout, egeunet and kfold:K can be run"),
    ],
)
def test_what_a_setting_asks_for_in_vain_is_blamed_on_it(tmp_path: Path, setting: str, said: str) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))

    with pytest.raises(MedbenchError) as caught:
        planned(tmp_path, mine, "seeds=2", setting)

    assert str(caught.value).startswith(f"--set {setting}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize("setting", ["dataset.size=64", "dataset.split=kfold:3", "training.epochs=2"])
def test_a_set_that_is_missing_is_not_blamed_on_a_setting_that_has_no_say(tmp_path: Path, setting: str) -> None:
    with pytest.raises(MedbenchError, match=r"mine\.yaml:5: dataset: folder: not found"):
        planned(tmp_path, tmp_path / "nowhere", setting)


def test_an_unknown_artifact_has_a_place(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))
    text = f"{STUDY}evaluate: [{{artifact: hairs, severity: 1}}]\n"

    with pytest.raises(MedbenchError, match=r"mine.yaml:9: evaluate: unknown artifact 'hairs'. Did you mean 'hair'\?"):
        planned(tmp_path, mine, "seeds=2", text=text)


def test_an_unknown_loss_has_the_place_that_names_it(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))
    of_all = STUDY.replace("training: {", "training: {losses: {fokal: 1}, ")
    of_one = STUDY.replace("options: {", "training: {losses: {fokal: 1}}, options: {", 1)

    for text, place in ((of_all, "training.losses"), (of_one, "variants.full.training.losses")):
        assert text != STUDY
        line = 1 + next(i for i, each in enumerate(text.splitlines()) if "fokal" in each)
        with pytest.raises(MedbenchError, match=rf"mine.yaml:{line}: {place}: unknown loss 'fokal'"):
            planned(tmp_path, mine, text=text)


def test_a_first_look_tests_on_some_images_and_changes_no_training(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=40, size=32))
    other = write_set(tmp_path / "other", SyntheticSet(images=9, size=32, seed=1), prefix="other-")
    tests = f"evaluate=[clean, {{artifact: hair, severity: 1}}, {{folder: {other}}}]"

    whole = planned(tmp_path, mine, tests, "seeds=2")
    some = planned(tmp_path, mine, tests, "seeds=2", "dataset.test_images=5")
    fewer = planned(tmp_path, mine, tests, "seeds=2", "dataset.test_images=3")

    assert ids(some) == ids(whole)
    tested = [{name: each["images"] for name, each in job.evaluations.items()} for job in some.jobs]
    assert tested[0] == tested[1]
    assert {name: len(images) for name, images in tested[0].items()} == {"clean": 5, "hair-1": 5, "other": 5}
    assert tested[0]["clean"] == tested[0]["hair-1"]
    for name, each in whole.jobs[0].evaluations.items():
        assert set(fewer.jobs[0].evaluations[name]["images"]) < set(tested[0][name]) < set(each["images"])
        assert some.jobs[0].evaluations[name]["images_digest"] != each["images_digest"]
        assert some.jobs[0].evaluations[name]["copies_left_out"] == 0
    assert some.record["dataset"]["test_images"] == 5
    assert some.record["n_images"] == whole.record["n_images"]
    assert "test_images" not in whole.record["dataset"]


def test_which_images_a_first_look_takes_depends_on_nothing_but_their_ids() -> None:
    names = [f"image-{i}" for i in range(50)]

    chosen = some(names, 10, 0)

    assert len(chosen) == 10
    assert chosen != names[:10]
    assert set(some(names[::-1], 10, 0)) == set(chosen)
    assert set(some(chosen, 5, 0)) == set(some(names, 5, 0))
    assert set(some(names, 10, 1)) != set(chosen)
    assert some(names, None, 0) == some(names, 50, 0) == names


def test_a_part_without_ground_truth_stops_no_holdout_and_the_record_says_how_complete_the_set_was(
    tmp_path: Path,
) -> None:
    images, home = SyntheticSet(images=12, size=32), tmp_path / "data" / "isic2018"
    for folder, ids in (("Training", images.ids[:10]), ("Test", images.ids[10:])):
        (home / f"ISIC2018_Task1-2_{folder}_Input").mkdir(parents=True)
        for id in ids:
            Image.fromarray(images.image(id)).save(home / f"ISIC2018_Task1-2_{folder}_Input" / f"{id}.png")
    (home / "ISIC2018_Task1_Training_GroundTruth").mkdir()
    for id in images.ids[:10]:
        path = home / "ISIC2018_Task1_Training_GroundTruth" / f"{id}_segmentation.png"
        Image.fromarray(images.mask(id)).save(path)
    path = tmp_path / "isic.yaml"
    path.write_text(STUDY.replace("{folder: SET}", "{name: isic2018}"))
    sets = Sets(tmp_path / "data", tmp_path / "cache")

    found = plan(load_study(str(path)), sets)

    assert found.record["completeness"] == {"training": [10, 2594], "validation": [0, 100], "test": [0, 1000]}
    assert "completeness" not in found.jobs[0].config
    assert sum(found.record["n_images"].values()) == 10
    with pytest.raises(MedbenchError, match=r"ground truth is missing for the official test \(2 images\) part"):
        plan(load_study(str(path), settings=["dataset.split=official"]), sets)


def test_a_folder_is_complete_by_itself(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))

    assert planned(tmp_path, mine).record["completeness"] is None


def test_a_store_keeps_which_test_images_belong_together_and_no_names_of_groups(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))
    ids = sorted(path.stem for path in (mine / "images").iterdir())
    patient = {id: f"Mrs Smith {n // 3}" if n < 9 else id for n, id in enumerate(ids)}
    rows = [f"{id},{group}" for id, group in patient.items()]
    (mine / "metadata.csv").write_text("\n".join(["image,group", *rows]), encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY.replace("SET", str(mine)) + "evaluate: [clean, {artifact: hair, severity: [3]}]\n")
    sets, store = Sets(None, tmp_path / "cache"), Store(tmp_path / "runs")
    found = plan(load_study(str(path), settings=["dataset.split=kfold:2"]), sets)

    annotate(found, store, sets)

    tested = [config for job in found.jobs for config in job.evaluations.values()]
    assert len({config["images_digest"] for config in tested}) == 4
    for config in tested:
        kept = read_json(store.groups(config["images_digest"]))
        assert list(kept) == config["images"]
        together = {(a, b) for a in kept for b in kept if kept[a] == kept[b]}
        assert together == {(a, b) for a in kept for b in kept if patient[a] == patient[b]}
        assert "Smith" not in store.groups(config["images_digest"]).read_text()


def test_what_is_known_of_test_images_is_written_anew_and_removed_when_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, store = SyntheticSet(images=20, size=32), Store(tmp_path / "runs")
    mine, ids = write_set(tmp_path / "mine", images, images.ids[:12]), images.ids[12:]
    other = write_set(tmp_path / "other", images, ids)
    bias, groups = other / "isic_bias.csv", other / "metadata.csv"
    text = STUDY + f"evaluate: [{{folder: {other}}}]\n"
    header = "image,hair,ruler,ink,patches,gel_bubble,gel_border,dark_corner\n"

    def kept() -> tuple[dict[str, Any], dict[str, str]]:
        found, sets = planned(tmp_path, mine, text=text), Sets(None, tmp_path / "cache")
        annotate(found, store, sets)
        digest = found.jobs[0].evaluations["other"]["images_digest"]
        known, together = (
            read_json(path) if path.is_file() else {} for path in (store.annotations(digest), store.groups(digest))
        )
        return known, together

    bias.write_text(header + "".join(f"{id},1,0,0,0,0,0,0\n" for id in ids))
    groups.write_text("image,group\n" + "".join(f"{id},{n // 2}\n" for n, id in enumerate(ids)))
    first, together = kept()
    bias.write_text(header + "".join(f"{id},0,1,0,0,0,0,0\n" for id in ids))
    monkeypatch.setattr("medbench.datasets.annotations._lesion", lambda *_: pytest.fail("looked at images again"))
    second, _ = kept()
    for path in (bias, groups):
        path.unlink()

    assert len({*together.values()}) < len(together)
    assert (first["flags"]["hair"], first["flags"]["ruler"]) == (second["flags"]["ruler"], second["flags"]["hair"])
    assert first["flags"]["hair"] == sorted(ids)
    assert first["lesions"] == second["lesions"]
    assert kept() == ({}, {})


def test_images_that_are_each_by_themselves_leave_no_file_of_groups(tmp_path: Path) -> None:
    found = planned(tmp_path, write_set(tmp_path / "mine", SyntheticSet(images=12, size=32)))

    annotate(found, Store(tmp_path / "runs"), Sets(None, tmp_path / "cache"))

    assert not (tmp_path / "runs" / "groups").exists()
