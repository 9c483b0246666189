"""Before you believe this: what keeps numbers from saying what they seem to say is named, the gravest first."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from medbench.reports.doubts import warnings_of
from medbench.reports.load import Study, Trial, load_studies

from ..fabricated_store import fabricate

RECIPE = {"epochs": 300, "size": 256}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    store = tmp_path_factory.mktemp("store")
    fabricate(store, n_images=3, variants=("medlitenet", "no_baa"))
    (study,) = load_studies([store])
    return study


def warned(study: Study, **changes: Any) -> list[str]:
    """What is warned of after changes of what the store says of the study; its few test images apart."""
    changed = replace(study, spec=study.spec | changes)
    return [text for text in warnings_of(changed, study.scores) if not text.startswith("Few test images")]


def test_a_sound_study_has_none(study: Study) -> None:
    assert warned(study) == []


def test_a_recipe_cut_short_is_named_with_the_recipes_own_numbers(study: Study) -> None:
    assert warned(study, recipe=RECIPE) == [
        "Few epochs: 12, where the recipe has 300; they say little of what the models can reach.",
        "Few pixels a side: 128, where the recipe has 256; what is finer no model sees.",
    ]
    assert warned(study, recipe={"epochs": 24, "size": 128}) == []


def test_variants_that_are_cut_short_more_than_others_are_told_apart(study: Study) -> None:
    short = study.spec["variants"]["no_baa"]
    short = short | {"settings": short["settings"] | {"training": {"epochs": 1}, "size": 256}}
    variants = study.spec["variants"] | {"no_baa": short}

    epochs, size = warned(study, recipe=RECIPE, variants=variants)

    assert epochs.startswith("Few epochs: 12 (medlitenet), 1 (no_baa), where the recipe has 300;")
    assert size.startswith("Few pixels a side: 128 (medlitenet), where the recipe has 256;")


def test_a_random_encoder_that_learns_slower_than_other_networks_is_named(study: Study) -> None:
    def start(model: str, encoder: float, weights: str = "none") -> dict[str, Any]:
        training = {"epochs": 12, "learning_rate": 0.001, "encoder_learning_rate": encoder}
        options = {"backbone": "mobilenetv2_100"} if model == "medlitenet" else {}
        settings = {"model": model, "options": options, "encoder_weights": weights, "training": training}
        return {"settings": settings, "trials": []}

    variants = {"medlitenet": start("medlitenet", 3e-4), "no_baa": start("mynet:Net", 3e-4)}

    (text,) = warned(study, variants=variants)

    assert text.startswith("Random encoders learn at 0.0003 (medlitenet), networks without one at 0.001 (no_baa)")
    for alike in (start("medlitenet", 1e-3), start("medlitenet", 3e-4, "imagenet"), start("unext", 3e-4)):
        assert warned(study, variants=variants | {"medlitenet": alike}) == []


def test_few_test_images_are_named(study: Study) -> None:
    (text,) = warnings_of(study, study.scores)

    assert text == "Few test images: clean 3, ph2 3. Others could give other numbers, as the intervals show."
    many = pd.concat([study.scores.assign(image=study.scores["image"] + str(i)) for i in range(34)])
    assert warnings_of(study, many) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"score_at": "input"}, "Scored at the models' input size, as some papers do:"),
        (
            {"completeness": {"training": [2594, 2594], "test": [10, 1000]}},
            "is not whole here (test 10 of 1000 images)",
        ),
        ({"dataset": {"test_images": 2}}, "only 2 of 3 test images (test_images)"),
        ({"dataset": {"test_images": 3}}, "only 3 test images (test_images)"),
        ({"dataset": {"name": "synthetic"}}, "Synthetic images: they are computed"),
    ],
)
def test_what_makes_the_test_another_than_others_is_named(study: Study, changes: dict[str, Any], said: str) -> None:
    if "dataset" in changes:
        changes["dataset"] = study.spec["dataset"] | changes["dataset"]

    (text,) = warned(study, **changes)

    assert said in text


@pytest.mark.parametrize(("word", "nothing"), [("empty", ("tp", "fp")), ("full", ("fn", "tn"))])
def test_a_model_that_predicts_one_and_the_same_is_named(study: Study, word: str, nothing: tuple[str, str]) -> None:
    scores = study.scores
    whole = (scores["variant"] == "no_baa") & (scores["seed"] != 1) & (scores["evaluation"] == "ph2")
    scores.loc[whole, nothing] = 0
    scores.loc[scores["image"] == "ISIC_0000001", nothing] = 0  # a single image is no evaluation

    text, *_ = warnings_of(study, scores)

    assert text == (
        f"Constant predictions: every mask that no_baa predicts on ph2 is {word} (seeds 0, 2); it has learnt nothing "
        "that this could show."
    )


def test_the_gravest_comes_first(study: Study) -> None:
    everything = replace(
        study,
        n_planned=study.n_planned + 1,
        missing=("no_baa, seed 3: trial 0 is not finished",),
        spec=study.spec
        | {"recipe": RECIPE, "score_at": "input", "exclude_copies": False, "completeness": {"test": [1, 2]}}
        | {"dataset": study.spec["dataset"] | {"name": "synthetic", "test_images": 3}},
    )
    scores = study.scores.assign(tp=0, fp=0)

    found = [text.split(":")[0].split(" (")[0] for text in warnings_of(everything, scores)]

    assert [text for text in dict.fromkeys(found)] == [
        "Synthetic images",
        "Constant predictions",
        "Unfinished",
        "The published set is not whole here",
        "A first look",
        "Few epochs",
        "Few pixels a side",
        "Few test images",
        "Scored at the models' input size, as some papers do",
    ]


def test_trials_of_a_variant_that_are_of_other_images_are_named(study: Study) -> None:
    def remade(trial: Trial) -> Trial:
        tested = trial.evaluations["ph2"]
        tested = replace(tested, config=tested.config | {"images_digest": "another version"})
        config = trial.config | {"images_digest": "other images"}
        return replace(trial, config=config, evaluations=trial.evaluations | {"ph2": tested})

    last = study.trials[-1]
    mixed = replace(study, trials=(*study.trials[:-1], remade(last)))

    assert last.variant == "no_baa"
    assert warned(mixed) == [
        f"Mixed {what}: trials of no_baa differ there. Numbers of different origins meet in these tables."
        for what in ("images to train on", "test images of ph2")
    ]
