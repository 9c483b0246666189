"""A study of several data sets is one study a set, and what a modality changes of the recipe yields to what is said."""

from pathlib import Path

import pytest
import yaml

from medbench.ablations.schema.loading import HERE, augment_of, load_studies, load_study
from medbench.ablations.schema.recipe import Augment
from medbench.bench.errors import MedbenchError
from medbench.datasets.described.description import MODALITIES

SERIES = """\
question: Does it carry over?
baseline: full
variants:
  full: {model: medlitenet}
  less: {model: no_baa, training: {augment: {hue: 0.1}}}
dataset: {size: 64}
training: {augment: {saturation: 0.3}}
sets:
  skin: {name: isic2018}
  heart: {folder: hearts, size: 96}
profiles:
  small: {sets: {heart: {size: 32}}}
"""


def written(folder: Path, text: str = SERIES) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_each_set_is_a_study_of_its_own_with_the_keys_of_that_set(tmp_path: Path) -> None:
    skin, heart = load_studies(written(tmp_path))

    assert (skin.name, heart.name) == ("mine-skin", "mine-heart")
    assert skin.series_name == heart.series_name == "mine"
    assert skin.series == ("skin", "heart")
    assert (skin.study.dataset.name, skin.study.dataset.size) == ("isic2018", 64)
    assert (heart.study.dataset.folder, heart.study.dataset.size) == ("hearts", 96)
    assert skin.study.variants == heart.study.variants
    assert skin.study.sets is None


def test_profiles_and_settings_lie_over_the_sets(tmp_path: Path) -> None:
    skin, heart = load_studies(written(tmp_path), profile="small", settings=["dataset.split=kfold:3"])

    assert (skin.name, heart.study.dataset.size) == ("mine-skin-small", 32)
    assert {each.study.dataset.split for each in (skin, heart)} == {"kfold:3"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  heart: {folder: hearts, size: 96}\n", "", "sets are two or more"),
        ("{folder: hearts, size: 96}", "hearts", "sets must map names to what of `dataset` each has"),
        ("{folder: hearts, size: 96}", "{folder: hearts, size: 95}", "size"),
        ("{folder: hearts, size: 96}", "{folders: hearts}", "did you mean 'folder'"),
    ],
)
def test_a_wrong_set_is_told_with_file_and_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(MedbenchError, match=told) as caught:
        load_studies(written(tmp_path, SERIES.replace(old, new)))

    assert "mine.yaml:" in str(caught.value)


def test_what_is_wrong_with_a_set_later_is_told_at_the_set(tmp_path: Path) -> None:
    _, heart = load_studies(written(tmp_path))

    assert heart.place("dataset").endswith("mine.yaml:10: sets.heart")


def test_one_study_is_not_several(tmp_path: Path) -> None:
    with pytest.raises(MedbenchError, match=r"2 data sets \(skin, heart\)"):
        load_study(written(tmp_path))


def test_a_modality_changes_the_defaults_and_nothing_that_was_said(tmp_path: Path) -> None:
    _, heart = load_studies(written(tmp_path))
    defaults = yaml.safe_load((HERE / "defaults.yaml").read_text(encoding="utf-8"))["training"]["augment"]

    full, less = (heart.training_of(variant, "mri").augment for variant in ("full", "less"))

    assert (full.flip, full.hue, less.hue, full.saturation) == (0, 0, 0.1, 0.3)
    assert full.noise == defaults["noise"]
    assert heart.training_of("full", None) == heart.study.training_of("full")
    assert heart.training_of("full", "dermoscopy") == heart.study.training_of("full")


def test_every_modality_that_a_set_may_have_has_its_entry_with_keys_of_the_recipe() -> None:
    known = yaml.safe_load((HERE / "modalities.yaml").read_text(encoding="utf-8"))

    assert {*known} == {*MODALITIES}
    assert set().union(*map(augment_of, known)) <= {*Augment.model_fields}
