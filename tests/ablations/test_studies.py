"""Studies: every one that ships is valid under every profile, and a wrong one is told with file, line and key."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from medbench.ablations.schema.grid import expand
from medbench.ablations.schema.layers import merge
from medbench.ablations.schema.loading import HERE, find_study, load_studies, load_study, shipped_studies
from medbench.ablations.schema.spec import Study
from medbench.bench.errors import MedbenchError
from medbench.models.catalog import build_model
from medbench.models.counting import count_macs

GOOD = """\
question: Is it better?
baseline: full
variants:
  full: {model: medlitenet}
  less:
    model: no_baa
    training: {epochs: 7}
dataset: {name: synthetic, images: 40, size: 64}
encoder_weights: none
evaluate: [clean, {dataset: ph2}]
"""


def study_file(folder: Path, text: str = GOOD) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def studies_and_profiles() -> list[tuple[str, str]]:
    own = {name: yaml.safe_load(path.read_text()).get("profiles", {}) for name, path in shipped_studies().items()}
    return [(name, profile) for name in own for profile in dict.fromkeys(["paper", "cpu", "quick", *own[name]])]


@pytest.mark.parametrize(("name", "profile"), studies_and_profiles())
def test_every_shipped_study_is_valid_under_every_profile(name: str, profile: str) -> None:
    studies = [loaded.study for loaded in load_studies(name, profile=profile)]

    for study in studies:
        assert study.question.endswith("?")
        assert {variant.model for variant in study.variants.values()} != {None}
    for variant in studies[0].variants.values():
        if variant.model:
            assert macs_of(variant.model, json.dumps(variant.options))


@cache  # studies and profiles share most of their networks
def macs_of(model: str, options: str) -> int | None:
    return count_macs(lambda: build_model(model, json.loads(options)).model)


def test_the_five_studies_of_the_suite_ship() -> None:
    assert set(shipped_studies()) >= {"baa", "backbone", "transformer", "ensemble", "pretraining"}


def test_the_paper_profile_is_the_papers_recipe() -> None:
    study = load_study("baa").study

    assert (study.training.epochs, study.training.batch_size, study.dataset.size) == (300, 16, 256)
    assert (study.training.bce_weight, study.training.dice_weight) == (0.5, 0.5)
    assert study.seeds == (0, 1, 2, 3, 4)


def test_every_number_of_the_recipe_has_a_comment() -> None:
    lines = (HERE / "defaults.yaml").read_text(encoding="utf-8").splitlines()
    recipe = lines[next(i for i, line in enumerate(lines) if line.startswith("training:")) :]

    uncommented = [line for line in recipe if ": " in line and "#" not in line]

    assert [line.split(":")[0].strip() for line in uncommented] == [
        "brightness",
        "contrast",
        "saturation",
    ]  # their names say all


@pytest.mark.parametrize("name", ["backbone", "baa", "transformer", "pretraining"])
def test_variants_of_a_shipped_study_differ_in_one_factor(name: str) -> None:
    study = load_study(name).study
    first, second = study.variants

    same_recipe = study.training_of(first) == study.training_of(second)
    same_weights = study.encoder_weights_of(first) == study.encoder_weights_of(second)

    assert study.dataset_of(first) == study.dataset_of(second)
    assert (same_recipe and same_weights) == (name != "pretraining")


def test_a_variant_overrides_keys_of_the_recipe_and_keeps_the_rest(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path)).study

    assert study.training_of("less").epochs == 7
    assert study.training_of("full").epochs == 300
    assert study.training_of("less").learning_rate == study.training_of("full").learning_rate


def test_a_claim_may_say_its_split_and_the_size_of_its_masks(tmp_path: Path) -> None:
    claim = "{metric: dice, value: 0.9, variant: full, source: a paper, under: {split: official, score_at: input}}"

    [found] = load_study(study_file(tmp_path, f"{GOOD}claims: [{claim}]\n")).study.claims

    assert found.under == {"split": "official", "score_at": "input"}


def test_profiles_and_settings_are_laid_over_in_that_order(tmp_path: Path) -> None:
    path = study_file(tmp_path, GOOD + "profiles: {quick: {seeds: [4], training: {epochs: 5}}}\n")

    loaded = load_study(path, profile="quick", settings=["training.epochs=6", "dataset.images=50"])

    assert loaded.name == "mine-quick"
    assert loaded.study.seeds == (4,)
    assert loaded.study.training.epochs == 6
    assert loaded.study.dataset.images == 50
    assert loaded.study.evaluate == ("clean",)


def test_another_data_set_replaces_the_set_and_not_only_its_name(tmp_path: Path) -> None:
    text = GOOD.replace("{name: synthetic, images: 40, size: 64}", "{folder: mine}")

    assert load_study(study_file(tmp_path, text), profile="quick").study.dataset.folder is None
    assert load_study(study_file(tmp_path), settings=["dataset={folder: x, images: null}"]).study.dataset.name is None


def test_a_study_expands_to_variants_times_seeds_times_folds(tmp_path: Path) -> None:
    plain = expand(load_study(study_file(tmp_path), settings=["seeds=[3, 5]"]).study)
    folded = expand(load_study(study_file(tmp_path), settings=["seeds=2", "dataset.split=kfold:3"]).study)

    assert [(cell.variant, cell.seed, cell.fold) for cell in plain] == [
        ("full", 3, None),
        ("less", 3, None),
        ("full", 5, None),
        ("less", 5, None),
    ]
    assert len(set(folded)) == 2 * 2 * 3
    assert {cell.fold for cell in folded} == {0, 1, 2}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("baseline: full", "baseline: ful", "mine.yaml:2: baseline: unknown variant 'ful'. Did you mean 'full'?"),
        ("model: no_baa", "modl: no_baa", "mine.yaml:6: variants.less.modl: there is no such key"),
        ("epochs: 7", "epoch: 7", "mine.yaml:7: variants.less.training.epoch: there is no such key"),
        ("epochs: 7", "epochs: seven", "mine.yaml:7: variants.less.training.epochs: Input should be a valid integer"),
        ("epochs: 7", "epochs: 0", "mine.yaml:7: variants.less.training.epochs: Input should be greater than"),
        ("size: 64", "size: 65", "mine.yaml:8: dataset.size: Input should be a multiple of 32"),
        (
            "size: 64",
            "split: shuffled",
            "mine.yaml:8: dataset.split: write holdout, official, egeunet, random, or kfold:K",
        ),
        ("name: synthetic", "name: isic2018", "mine.yaml:8: dataset: images is the number of synthetic images"),
        ("question: Is it better?", "", "mine.yaml:1: question: this key is missing"),
        ("[clean, {dataset: ph2}]", "[clen]", "mine.yaml:10: evaluate.0: Input should be 'clean'"),
        ("{dataset: ph2}", "{datset: ph2}", "mine.yaml:10: evaluate.1.datset: there is no such key"),
        (
            "{dataset: ph2}",
            "{artifact: hair, severity: 6}",
            "mine.yaml:10: evaluate.1.severity.0: Input should be less",
        ),
        ("{dataset: ph2}", "{artifact: hair}", "mine.yaml:10: evaluate.1.severity: this key is missing"),
        (
            "{dataset: ph2}",
            "{artifact: hair, severity: [1, 1]}",
            "mine.yaml:10: evaluate.1: severities must differ",
        ),
        ("[clean, {dataset: ph2}]", "[clean, clean]", "mine.yaml:10: evaluate: two evaluations have one name"),
        ("{dataset: ph2}", "{score_at: native}", "mine.yaml:10: evaluate.1.score_at: Input should be 'input'"),
        (
            "evaluate: [clean, {dataset: ph2}]",
            "score_at: input\nevaluate: [clean, {score_at: input}]",
            "mine.yaml:11: evaluate: score_at: input is what the study says of all its evaluations",
        ),
        (
            GOOD[GOOD.index("    training:") :],
            "    dataset: {size: 96}\ndataset: {name: synthetic}\nevaluate: [clean, {score_at: input}]",
            "mine.yaml:9: evaluate: variants of the sizes [96, 256] can be compared at the native resolution only",
        ),
        ("evaluate:", "primary: dise\nevaluate:", "mine.yaml:10: primary: unknown metric 'dise'. Did you mean 'dice'?"),
        ("evaluate:", "margin: 1\nevaluate:", "mine.yaml:10: margin: margin 1: no two means of Dice are further apart"),
        ("evaluate:", "seeds: [1, 1]\nevaluate:", "mine.yaml:10: seeds: seeds must differ"),
        ("evaluate:", "seeds: yes\nevaluate:", "mine.yaml:10: seeds: say a number, a list of seeds, or"),
        (
            "evaluate:",
            "training: {augment: {scale: [1.2, 0.8]}}\nevaluate:",
            "mine.yaml:10: training.augment.scale: the least comes first, got 1.2 and 0.8",
        ),
        ("evaluate:", "seeds: -1\nevaluate:", "mine.yaml:10: seeds: say a number of trainings from 1 on, or a list"),
        ("evaluate:", "profiles: 3\nevaluate:", "mine.yaml:10: profiles must map names"),
        ("full: {model", "full: {ensemble: {members: [less, more], weighting: equal}, modl", "there is no such key"),
        (
            "{model: medlitenet}",
            "{ensemble: {members: [less, more], weighting: equal}}",
            "mine.yaml:4: variants.full.ensemble.members: unknown member 'more'",
        ),
        ("baseline: full", "baseline: [full", "mine.yaml:3: is not valid YAML"),
        *(
            ("evaluate:", f"{keys}\nevaluate:", f"mine.yaml:{line}: {said}")
            for keys, line, said in (
                (
                    "preprocess: {hair_removal: test}",
                    10,
                    "preprocess: there is no such key here; it belongs in variants",
                ),
                ("training: {until: decided}", 10, "training.until: there is no such key here; it belongs in seeds"),
                ("seeds: until decided", 10, "seeds: say a number, a list of seeds, or {until: decided, at_least"),
                (
                    "seeds: {until: decided, at_least: 3, atmost: 5}",
                    10,
                    "seeds.atmost: there is no such key; did you mean 'at_most'?",
                ),
                (
                    "asks: robustness\nconditions: hair-5",
                    11,
                    "conditions: write a list here, as in [a, b], got 'hair-5'",
                ),
                ("compare_with: les", 10, "compare_with: unknown variant 'les'. Did you mean 'less'?"),
                ("compare_with: full", 10, "compare_with: full is the baseline; name another variant"),
                ("compare_with: less", 10, "compare_with: there is no variant but less and the baseline"),
                ("asks: cost\ncompare_with: less", 11, "compare_with: the answer to asks: cost compares nothing with"),
                ("conditions: [hair-5]", 10, "conditions: is for asks: robustness, not difference"),
            )
        ),
    ],
)
def test_a_mistake_is_told_in_one_line_with_file_line_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    path = study_file(tmp_path, GOOD.replace(old, new, 1))

    with pytest.raises(MedbenchError) as caught:
        load_study(path)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["training.epochs=many"], "--set training.epochs=many: Input should be a valid integer, got 'many'"),
        (["training={epochs: 0.5}"], "--set training={epochs: 0.5}: training.epochs: Input should be a valid integer"),
        (["training.epoch=3"], "--set training.epoch=3: there is no such key; did you mean 'epochs'?"),
        (["training.epochs"], "write it as key=value"),
        (["training.epochs=[1"], "the value is not YAML"),
        (["training=3"], "--set training=3: write a mapping here"),
        (["seeds=0"], "--set seeds=0: say a number of trainings from 1 on, or a list of seeds, got 0"),
        (["question=null"], "--set question=null: Input should be a valid string, got null"),
        (
            ["dataset.name=ph2", "dataset.images=3"],
            "--set dataset.images=3: dataset: images is the number of synthetic images",
        ),
        (["variants.less.model=null"], "--set variants.less.model=null: variants.less: give either a model or"),
        (["variants={less: {ensemble: {members: [full, full], weighting: equal}}}"], "variants.less: give either"),
        (["baseline=none", "seeds=1"], "--set baseline=none: unknown variant 'none'"),
        (["seeds=1", "baseline=none"], "--set baseline=none: unknown variant 'none'"),
        (["baseline=a", "baseline=b"], "--set baseline=a --set baseline=b: unknown variant 'b'"),
    ],
)
def test_a_mistake_in_a_setting_is_blamed_on_it_and_says_what_was_given(
    tmp_path: Path, settings: list[str], said: str
) -> None:
    with pytest.raises(MedbenchError) as caught:
        load_study(study_file(tmp_path), settings=settings)

    assert said in str(caught.value)
    assert "mine.yaml" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_of_the_file_is_not_blamed_on_a_setting(tmp_path: Path) -> None:
    path = study_file(tmp_path, GOOD.replace("epochs: 7", "epochs: seven"))

    with pytest.raises(MedbenchError, match=r"mine\.yaml:7: variants\.less\.training\.epochs: .*, got 'seven'"):
        load_study(path, settings=["seeds=1", "training.epochs=3"])


def test_a_mistake_in_a_profile_is_told_at_its_own_line(tmp_path: Path) -> None:
    path = study_file(tmp_path, GOOD + "profiles:\n  mine:\n    training:\n      epochs: no\n")

    with pytest.raises(MedbenchError, match=r"mine\.yaml:14: training\.epochs"):
        load_study(path, profile="mine")


def test_unknown_studies_and_profiles_are_answered_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(MedbenchError, match="Did you mean 'baa'"):
        load_study("bba")
    with pytest.raises(MedbenchError, match="studies that ship"):
        load_study("nowhere/bba.yaml")
    with pytest.raises(MedbenchError, match="Did you mean 'quick'"):
        load_study(study_file(tmp_path), profile="quik")


def test_a_shipped_study_is_found_by_name_and_by_its_path_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert find_study("baa") == find_study("ablations/baa.yaml")


def test_yaml_is_loaded_safely(tmp_path: Path) -> None:
    path = study_file(tmp_path, "question: !!python/object/apply:os.system ['touch pwned']\n")

    with pytest.raises(MedbenchError, match=r"mine\.yaml:1: is not valid YAML"):
        load_study(path)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("[hair-4]", "conditions: unknown artifact evaluation 'hair-4'. Did you mean 'hair-5'? Known: hair-1, hair-5"),
        ("[clean]", "conditions: unknown artifact evaluation 'clean'"),
        ("[hair-5, hair-5]", "conditions: one is named twice in hair-5, hair-5"),
        ("[]", "conditions: needs one entry at least; or leave the key out"),
    ],
)
def test_an_answer_is_about_artifacts_that_the_study_tests_under(tmp_path: Path, named: str, said: str) -> None:
    tests = "asks: robustness\nevaluate: [clean, {artifact: hair, severity: [1, 5]}]\n"
    text = GOOD.replace("evaluate: [clean, {dataset: ph2}]\n", tests)

    right = load_study(study_file(tmp_path, f"{text}conditions: [hair-5, hair-1]\n")).study
    assert right.conditions == ("hair-5", "hair-1")
    with pytest.raises(MedbenchError) as error:
        load_study(study_file(tmp_path, f"{text}conditions: {named}\n"))
    assert str(error.value).startswith(f"{tmp_path / 'mine.yaml'}:12: {said}")


def test_overlays_merge_mappings_and_replace_the_rest() -> None:
    merged = merge({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"c": [2]}, "d": {"e": 3}})

    assert merged == {"a": {"b": 1, "c": [2]}, "d": {"e": 3}}


def test_the_schema_brings_no_default_of_the_recipe() -> None:
    defaults: dict[str, Any] = yaml.safe_load((HERE / "defaults.yaml").read_text(encoding="utf-8"))

    own = {"question", "registered", "baseline", "variants", "tasks", "claims", "profiles", "sets"}
    own |= {"compare_with", "conditions"}
    assert set(Study.model_fields) - set(defaults) == own
