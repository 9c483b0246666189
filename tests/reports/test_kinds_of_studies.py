"""The page and its text to paste are true for every kind of study, also of stores that older versions wrote."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medbench.bench.store.records import write_yaml
from medbench.datasets.synthetic import SyntheticSet
from medbench.reports.load import load_studies

from ..fabricated_store import fabricate, paint, trial_id
from ..study.test_planning import planned, write_set
from .test_report import Links, write

TWO = ("medlitenet", "no_baa")
FOLDER = {"folder": "/somewhere/myset", "split": "holdout", "split_seed": 0, "size": 64, "leave_out_broken": False}
NOT_ALWAYS_THERE = ["question", "profile", "margin", "medbench", "protocol", "dataset", "left_out", "score_at"]
KINDS: dict[str, dict[str, Any]] = {
    "a folder": {"dataset": FOLDER, "datasets": {"clean": "myset", "ph2": "ph2"}},
    "several sets": {"variants": TWO, "trained_on": {"medlitenet": "isic2018", "no_baa": "ph2"}},
    "folds": {"n_seeds": 2, "n_images": 4, "n_folds": 3, "dataset": {**FOLDER, "split": "kfold:3"}},
    "one seed": {"n_seeds": 1},
    "one image": {"n_images": 1},
    "one variant": {"variants": ("medlitenet",)},
    "one of everything": {"n_seeds": 1, "n_images": 1, "variants": ("medlitenet",), "set": ["training.epochs = 1"]},
    "scored at input": {"score_at": "input", "exclude_copies": False},
    "an old store": dict.fromkeys(NOT_ALWAYS_THERE),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, dict[str, Any]]:
    """Of each kind its name, its page and what the page is made of."""
    store = tmp_path_factory.mktemp("store")
    sizes: dict[str, Any] = {"n_images": 6, "n_seeds": 2}
    study = fabricate(store, **sizes | KINDS[request.param])
    if request.param == "an old store":
        del study["n_images"]
        write_yaml(store / "studies" / "baa.yaml", study)
    page, (facts,) = write([store], store / "out")
    return request.param, page, facts


def visible(page: str) -> str:
    return re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL))


def test_it_has_a_page(kind: tuple[str, str, dict[str, Any]]) -> None:
    name, page, facts = kind
    links, text = Links(page), visible(page)

    assert {target[1:] for target in links.targets if target.startswith("#")} <= set(links.ids)
    assert "To paste into a paper" in text
    assert "Synthetic images" not in text
    assert "synthetic images" not in text
    assert not re.search(r"\b(None|Undefined|nan)\b", text)
    assert facts["n_trials"] == facts["n_planned"] > 0
    if name == "a folder":
        assert "· myset ·" in text


def test_nothing_is_counted_as_several_that_is_one(kind: tuple[str, str, dict[str, Any]]) -> None:
    text = visible(kind[1])

    assert re.findall(r"(?<![\d.,])1 [a-z ]*?(?:images|seeds|trainings|trials|epochs|pairs|folds)\b", text) == []


def numbers(value: Any) -> Iterator[float]:
    """Every number in nested plain values, and how many things each list holds."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from numbers(key)
            yield from numbers(each)
    elif isinstance(value, list | tuple):
        yield len(value)
        for each in value:
            yield from numbers(each)
    elif isinstance(value, str):
        yield from map(float, re.findall(r"\d+(?:\.\d+)?", value))
    elif value is not None:
        yield float(value)


def said_in(page: str) -> str:
    found = re.search(r"<summary>Methods</summary><pre[^>]*>(.*?)</pre>", page, flags=re.DOTALL)
    assert found
    return found[1].replace("&#39;", "'")


def test_every_number_of_the_methods_is_in_the_resolved_study(kind: tuple[str, str, dict[str, Any]]) -> None:
    _, page, facts = kind
    known = {*numbers(facts["settings"]), *numbers(facts["dataset"]), *numbers(facts["split_sizes"])}
    known |= {*numbers([trial["sizes"] for trial in facts["trials"]]), *numbers(facts["mask_sizes"])}
    known |= {*numbers(facts["margin"]), *numbers(facts["medbench"]), *numbers(facts["protocol"])}
    known |= {len({trial[key] for trial in facts["trials"]}) for key in ("seed", "fold")}
    known |= {trial["seed"] for trial in facts["trials"]} | {row["n_images"] for row in facts["variants"]}
    folds = {trial["fold"] for trial in facts["trials"]}
    known |= {len(folds) * row["n_images"] for row in facts["variants"]} | {2018, 2, 16, 32, 70, 10, 20, 63, 7, 30}

    text = said_in(page)

    assert {*numbers(text)} <= known
    assert "None" not in text


def test_a_plan_that_was_written_down_beforehand_is_quoted(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_images=6, n_seeds=2)
    before = write([tmp_path], tmp_path / "before")[0]
    write_yaml(tmp_path / "studies" / "baa.yaml", study | {"registered": "Committed <today>."})

    page, (facts,) = write([tmp_path], tmp_path / "out")

    assert "Registered beforehand" not in before
    assert "Registered beforehand: Committed &lt;today&gt;." in page
    assert facts["registered"] == "Committed <today>."


def test_networks_of_others_are_told_with_how_they_were_read_and_trained(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_images=6, n_seeds=2)
    for name, changes in (
        ("medlitenet", {"model": "egeunet", "options": {"deep_supervision": [0.1, 0.2]}}),
        (
            "no_baa",
            {
                "model": "mine:Net",
                "options": {},
                "output": {"kind": "probabilities", "upsample": True},
                "deep_supervision": [0.4],
            },
        ),
    ):
        settings = study["variants"][name]["settings"]
        settings |= changes | {"encoder_weights": "none"}
        settings["training"] |= {"learning_rate": 0.1, "encoder_learning_rate": 0.2, "weight_decay": 0.3}
        settings["training"] |= {"bce_weight": 0.5, "dice_weight": 0.5}
    write_yaml(tmp_path / "studies" / "baa.yaml", study)

    text = said_in(write([tmp_path], tmp_path / "out")[0])

    assert "(learning rate 0.1, weight decay 0.3) and cosine annealing" in text  # a peer has no encoder
    assert "and on the same of further maps of the network, with the weights 0.1 and 0.2; no_baa was trained" in text
    assert "0.2 for a part called encoder, if there is one" in text
    assert "with the weights 0.4." in text
    assert (
        "no_baa was taken to give its output as probabilities and as smaller maps, interpolated to the size of the "
        "image." in text
    )
    assert "medlitenet was started from random weights; no_baa was started as its own code starts it." in text


def test_variants_that_are_trained_alike_are_told_of_together_and_others_by_name(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_images=6, n_seeds=2, trained_on={"medlitenet": "isic2018", "no_baa": "ph2"})
    known = study["variants"]
    known["medlitenet"]["n_images"] = {"train": 113, "validation": 16, "test": 33}
    known["no_baa"]["n_images"] = {"train": 70, "validation": 10, "test": 20}
    known["no_baa"]["settings"]["training"]["epochs"] = 1
    known["no_baa"]["settings"]["encoder_weights"] = "none"
    write_yaml(tmp_path / "studies" / "baa.yaml", study)

    text = said_in(write([tmp_path], tmp_path / "out")[0])

    rule = "a seeded 70/10/20 split grouped by lesion and patient where known"
    assert f"medlitenet was trained on 113 images of isic2018 ({rule}; 16 for validation and 33 for test)" in text
    assert f"no_baa was trained on 70 images of ph2 ({rule}; 10 for validation and 20 for test)." in text
    assert "They were shown images resized to 128 × 128 pixels." in text
    assert "medlitenet was trained for 12 epochs at batch size 16; no_baa was trained for 1 epoch at batch" in text
    assert (
        "medlitenet was started from ImageNet weights of the encoder; no_baa was started from random weights." in text
    )
    assert "They were trained in mixed precision (FP16). They were trained with 2 seeds (0, 1)." in text
    assert (
        "ensemble averages the probabilities of medlitenet and no_baa of one seed, with their validation Dice" in text
    )


def test_the_methods_of_a_planned_study_follow_its_configuration(tmp_path: Path) -> None:
    mine = write_set(tmp_path / "mine", SyntheticSet(images=12, size=32))
    changes = ("dataset.split=kfold:3", "training.progressive_sizes={0.0: 0.5, 0.5: 1.0}", "training.augment.noise=0.0")
    record = planned(tmp_path, mine, *changes, "variants.full.training.checkpoint=best-val", "dataset.size=64").record
    assert record["set"][0] == "dataset.split = kfold:3"
    assert record["recipe"] == {"epochs": 300, "size": 256}
    assert record["variants"]["full"]["n_images"] == record["n_images"] == {"train": 7, "validation": 1, "test": 4}
    write_yaml(tmp_path / "st" / "studies" / "mine.yaml", record)

    page, _ = write([tmp_path / "st"], tmp_path / "out")

    assert "profile paper, with dataset.split = kfold:3, training.progressive_sizes" in page
    text, _, _ = said_in(page).partition(" No test image")
    assert text == (
        "Trained was full (medlitenet). "
        "full was trained on 7 images of mine (3-fold cross-validation grouped by lesion and patient where known; "
        "split seed 0; in the first fold 1 for validation and 4 for test). full was shown images resized to 64 × 64 "
        "pixels. full was trained for 1 epoch "
        "at batch size 16 with AdamW (learning rate 0.001, 0.0003 for the encoder, weight decay 0.01) and cosine "
        "annealing after 1 epoch of warm-up, on 0.5 binary cross-entropy + 0.5 Dice loss. full was started from random "
        "weights. full was trained with augmentation, each with its probability: flips (0.5), rotation, scaling and "
        "shifts (0.7), elastic deformation (0.2), changes of colour (0.5), CLAHE (0.1), blur (0.1). full was taken "
        "from the epoch with the best validation Dice."
    )


def test_a_folder_may_lie_elsewhere_in_another_laboratory(tmp_path: Path) -> None:
    sets = {"clean": "myset", "ph2": "ph2"}
    study = fabricate(tmp_path / "here", n_images=4, dataset=FOLDER, datasets=sets)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    newer = {"dataset": {**FOLDER, "folder": "/elsewhere/myset"}, "set": ["seeds = 3"], "copies_left_out": {}}
    write_yaml(tmp_path / "there" / "studies" / "baa.yaml", study | newer)

    (joined,) = load_studies([tmp_path / "here", tmp_path / "there"])

    assert joined.apart == ()
    assert joined.spec["set"] == ["seeds = 3"]
    write_yaml(tmp_path / "there" / "studies" / "baa.yaml", study | {"datasets": {"clean": "yours", "ph2": "ph2"}})
    assert len(load_studies([tmp_path / "here", tmp_path / "there"])) == 2


def test_the_methods_say_what_was_left_out_and_nothing_of_what_is_not_trained(tmp_path: Path) -> None:
    study = fabricate(tmp_path, n_images=6, n_seeds=1, exclude_copies=True, copies_left_out={"clean": 14})
    for trial in study["variants"]["ensemble"]["trials"] + study["variants"]["no_baa"]["trials"]:
        shutil.rmtree(tmp_path / "trials" / trial["trial"])

    text = said_in(write([tmp_path], tmp_path / "out")[0])

    assert "show the same picture as a training image were left out (14 of clean)." in text
    assert "no_baa" not in text
    assert "ensemble" not in text


def test_the_methods_name_every_term_of_the_loss(tmp_path: Path) -> None:
    study = fabricate(tmp_path / "st", n_images=4, variants=("medlitenet", "no_baa"))
    for known in study["variants"].values():
        known["settings"]["training"] |= {"bce_weight": 0.5, "dice_weight": 0.25, "losses": {"focal": 2.0}}
    write_yaml(tmp_path / "st" / "studies" / "baa.yaml", study)

    page, _ = write([tmp_path / "st"], tmp_path / "out")

    assert "on 0.5 binary cross-entropy + 0.25 Dice loss + 2.0 focal loss" in said_in(page)


def test_the_methods_name_what_is_asked_of_artifacts(tmp_path: Path) -> None:
    study = fabricate(tmp_path / "st", n_images=4, variants=("medlitenet", "no_baa"))
    medlitenet, no_baa = (known["settings"] for known in study["variants"].values())
    for each in (medlitenet, no_baa):
        each["training"] |= {"bce_weight": 0.5, "dice_weight": 0.5}
    medlitenet |= {"model": "medlitenet", "options": {"artifact_weight": 0.25, "gated": True}}
    no_baa["training"]["consistency"] = {"weight": 2.0, "ramp": 0.1, "band": 0.03}
    write_yaml(tmp_path / "st" / "studies" / "baa.yaml", study)

    text = said_in(write([tmp_path / "st"], tmp_path / "out")[0])

    assert (
        "and on 0.25 of the same of where artifacts are painted, told by a head of its own, which its attention" in text
    )
    assert "and on 2.0 of the mean squared difference of its probabilities with and without the artifacts, away" in text
    assert "away from contours (by 0.03 of the side) and rising over 0.1 of the steps" in text


@pytest.mark.parametrize(
    ("primary", "said"), [("dice", "without the artifact minus that with it"), ("hd95", "with the artifact minus that")]
)
def test_what_artifacts_cost_is_what_is_worse(tmp_path: Path, primary: str, said: str) -> None:
    paint(tmp_path / "st", fabricate(tmp_path / "st", n_seeds=2, n_images=4, variants=TWO, primary=primary, margin=0.1))

    assert f"the score {said}" in said_in(write([tmp_path / "st"], tmp_path / "out")[0])


def test_each_fold_of_a_seed_is_a_training(tmp_path: Path) -> None:
    fabricate(tmp_path / "st", n_seeds=2, n_images=4, n_folds=3, variants=TWO, dataset={**FOLDER, "split": "kfold:3"})
    whole = write([tmp_path / "st"], tmp_path / "whole")[0]
    for fold in (1, 2):
        shutil.rmtree(tmp_path / "st" / "trials" / trial_id("no_baa", 1, fold))

    lacking = write([tmp_path / "st"], tmp_path / "lacking")[0]

    assert "Over 6 trainings (2 seeds of 3 folds) and 12 test images medlitenet reached" in whole
    assert "They were trained with 2 seeds (0, 1) in each of 3 folds." in said_in(whole)
    assert (
        "medlitenet was trained with 2 seeds (0, 1) in each of 3 folds; no_baa was trained with 2 seeds (0 in 3 folds, "
        "1 in 1 fold)."
    ) in said_in(lacking)


def test_tests_in_a_declared_order_are_not_called_holms(tmp_path: Path) -> None:
    looks = {"seeds": [2, 3], "spending": "obrien-fleming", "order": ["no_baa"]}
    fabricate(tmp_path / "st", n_seeds=3, n_images=9, variants=("medlitenet", "no_baa"), looks=looks)

    page, (facts,) = write([tmp_path / "st"], tmp_path / "out")

    assert ", in order): " in facts["answers"][0]["rest"]
    assert ">p, in order</th>" in page
    assert ">p, Holm</th>" not in page
    assert "p-values were adjusted in a declared order over the variants" in said_in(page)


def test_in_the_midst_of_a_round_every_comparison_is_of_the_last_look_that_all_variants_have(tmp_path: Path) -> None:
    looks = {"seeds": [3, 4], "spending": "obrien-fleming", "order": None}
    fabricate(tmp_path / "st", n_seeds=4, n_images=9, looks=looks)
    shutil.rmtree(tmp_path / "st" / "trials" / trial_id("ensemble", 3))

    page, (facts,) = write([tmp_path / "st"], tmp_path / "out")

    assert "it was looked at after 3 seeds of each variant, which decided" in page
    assert any("the last seeds of medlitenet and no_baa wait for those of the" in each for each in facts["warnings"])
    counts = {(each["metric"], each["n_seeds_variant"], each["n_seeds_baseline"]) for each in facts["comparisons"]}
    assert {each for each in counts if each[0] == "dice"} == {("dice", 3, 3)}
    assert ("hd95", 4, 4) in counts
    assert "(3 seeds × 9 images, p" in facts["answers"][0]["rest"]
    assert "selected anything, but for when to stop adding seeds, which test scores decided." in said_in(page)
