"""`medbench score`: masks of several classes and labels, whose levels are told."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics.meandice import DiceMetric
from monai.metrics.meaniou import MeanIoU
from numpy.typing import NDArray
from PIL import Image
from torchmetrics.functional.segmentation import dice_score
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.evaluation.class_masks import told_masks
from medbench.bench.evaluation.class_scoring import score_class_folders
from medbench.bench.metrics import IGNORED, METRICS, Target
from medbench.bench.metrics.classes import over_classes, score_classes
from medbench.datasets.described.description import Description

from ..image_files import save
from ..metrics.test_classes import EYE, HEART, codes

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers warn of their own dependencies
NAMES = "background, right ventricle, myocardium, left ventricle"
SEEDS = (4, 6, 16, 21, 12)  # all classes, some, and again all
REFERENCE = {f"p{place}": codes(seed, 3) for place, seed in enumerate(SEEDS)} | {"p5": np.zeros((24, 31), np.uint8)}
PREDICTED = {id: np.roll(mask, 2, axis=1) for id, mask in REFERENCE.items()}
PREDICTED["p5"][:6] = 2


def write(folder: Path, predicted: dict[str, Any], reference: dict[str, Any]) -> Path:
    for part, masks in (("prediction", predicted), ("reference", reference)):
        for id, mask in masks.items():
            save(folder / part / f"{id}.png", mask)
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return write(tmp_path, PREDICTED, REFERENCE)


def score(folder: Path, *words: object) -> Any:
    command = ["score", "--prediction", str(folder / "prediction"), "--reference", str(folder / "reference")]
    return CliRunner().invoke(app, [*command, *map(str, words)], env={"COLUMNS": "200"})


def scored(folder: Path, *words: object) -> dict[str, Any]:
    result = score(folder, "--json", *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(folder: Path, *words: object) -> str:
    result = score(folder, *words)
    assert result.exit_code == 2, result.output
    [line] = result.stderr.strip().splitlines()
    return line


def expected(target: Target = HEART) -> dict[str, dict[str, Any]]:
    return {id: score_classes(target.planes(PREDICTED[id]), mask, target) for id, mask in REFERENCE.items()}


def test_json_has_both_means_and_every_class_and_image(folders: Path) -> None:
    found = scored(folders, "--classes", NAMES)

    by_image = expected()
    dice = np.stack([each["dice"] for each in by_image.values()])  # images x classes
    assert found["images"] == 6
    assert found["mean"]["dice"] == pytest.approx(np.nanmean([np.nanmean(row) for row in dice[:5]]))
    assert found["class_mean"]["dice"] == pytest.approx(np.nanmean(dice, axis=0).mean())
    assert found["mean"]["dice"] != pytest.approx(found["class_mean"]["dice"], abs=1e-4)
    assert [*found["classes"]] == ["right ventricle", "myocardium", "left ventricle"]
    for place, each in enumerate(found["classes"].values()):
        held = ~np.isnan(dice[:, place])
        assert each["images"] == held.sum()
        for name in METRICS:
            values = np.array([scores[name][place] for scores in by_image.values()])[held]
            assert (each["mean"][name], each["median"][name]) == pytest.approx((values.mean(), np.median(values)))
        alarms = [scores["false_alarm"][place] for scores in by_image.values()]
        areas = [scores["false_alarm_area"][place] for scores in by_image.values()]
        assert (each["false_alarm"], each["false_alarm_area"]) == pytest.approx((np.nanmean(alarms), np.nanmean(areas)))
    assert found["pooled"]["dice"] == pytest.approx(
        np.mean([each["pooled"]["dice"] for each in found["classes"].values()])
    )
    rows = {row["image"]: row for row in found["per_image"]}
    assert rows["p0"]["hd95"] == pytest.approx(over_classes(by_image["p0"])["hd95"])
    assert rows["p0"]["classes"]["myocardium"]["dice"] == pytest.approx(dice[0, 1], nan_ok=True)


def test_with_a_spacing_distances_of_each_class_are_in_millimetres_too(folders: Path) -> None:
    (folders / "dataset.yaml").write_text(f"classes: [{NAMES}]\nspacing: [0.5, 2]\n")

    found, shown = scored(folders), score(folders, "-o", folders / "scores.csv").output

    wanted = np.stack(
        [score_classes(HEART.planes(PREDICTED[id]), mask, HEART, (0.5, 2))["hd95_mm"] for id, mask in REFERENCE.items()]
    )
    by_class = np.nanmean(wanted, axis=0)
    assert [each["mean"]["hd95_mm"] for each in found["classes"].values()] == pytest.approx(by_class)
    assert found["class_mean"]["hd95_mm"] == pytest.approx(by_class.mean())
    assert found["mean"]["hd95_mm"] == pytest.approx(np.mean([np.nanmean(row) for row in wanted[:5]]))
    assert found["per_image"][0]["classes"]["myocardium"]["hd95_mm"] == pytest.approx(wanted[0, 1])
    assert "HD95 (mm)" in shown
    assert "HD95 (px)" not in shown  # the table has room for one of the two
    table = pd.read_csv(folders / "scores.csv").pivot(index="image", columns="class", values="hd95_mm")
    np.testing.assert_allclose(table[[*HEART.names]], wanted)


def test_an_image_without_any_class_has_no_score_but_false_alarms(folders: Path) -> None:
    row = scored(folders, "--classes", NAMES)["per_image"][-1]

    assert (row["image"], row["dice"], row["hd95"]) == ("p5", None, None)
    assert (row["false_alarm"], row["false_alarm_area"]) == pytest.approx((1 / 3, 6 / 24))
    assert {name: each["dice"] for name, each in row["classes"].items()} == dict.fromkeys(HEART.names)
    assert [each["false_alarm"] for each in row["classes"].values()] == [0, 1, 0]


def test_a_class_in_no_reference_has_no_score_and_is_in_no_mean(tmp_path: Path) -> None:
    write(tmp_path, {"a": PREDICTED["p0"] % 3}, {"a": REFERENCE["p0"] % 3})

    whole, known = scored(tmp_path, "--classes", "none,a,b,c"), scored(tmp_path, "--classes", "none,a,b")

    assert whole["classes"]["c"]["images"] == 0
    assert {*whole["classes"]["c"]["mean"].values(), *whole["classes"]["c"]["pooled"].values()} == {None}
    for key in ("mean", "class_mean", "pooled"):
        assert whole[key] == pytest.approx(known[key])


def test_the_table_names_both_means_apart(folders: Path) -> None:
    output = score(folders, "--classes", NAMES).output

    found = scored(folders, "--classes", NAMES)
    lines = {line[:20].strip(): line for line in output.splitlines()}
    assert f"{found['class_mean']['dice']:.4f}" in lines["mean over classes"]
    assert f"{found['mean']['dice']:.4f}" in lines["mean over images"]
    assert f"{found['pooled']['dice']:.4f}" in lines["mean over classes"]
    for name, each in found["classes"].items():
        assert f"{each['mean']['hd95']:.4f}" in lines[name]
        assert f"{each['pooled']['dice']:.4f}" in lines[name]
    assert "6 images, 1 without any class, which have no score" in output
    assert "masks hold 0 background, 1 right ventricle, 2 myocardium, 3 left ventricle, says --classes" in output


def test_csv_has_a_row_an_image_and_class_that_compare_reads(folders: Path) -> None:
    score(folders, "--classes", NAMES, "-o", folders / "scores.csv")

    table = pd.read_csv(folders / "scores.csv")
    assert len(table) == 6 * 3
    dice = table.pivot(index="image", columns="class", values="dice")[[*HEART.names]]
    np.testing.assert_allclose(dice, [each["dice"] for each in expected().values()])
    assert table["height"].unique() == [24]


@settings(deadline=None, max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 2**32)), min_size=1, max_size=4))
def test_written_masks_have_monais_means_and_torchmetrics_pooled_dice(seeds: list[tuple[int, int]]) -> None:
    pairs = {f"i{place}": (codes(first, 3), codes(second, 3)) for place, (first, second) in enumerate(seeds)}
    predicted, reference = ({id: pair[side] for id, pair in pairs.items()} for side in (0, 1))
    with TemporaryDirectory() as name:
        folder = write(Path(name), predicted, reference)
        description = Description.model_validate({"classes": ["none", *HEART.names]})
        found = score_class_folders(folder / "prediction", folder / "reference", description).summary()

    indices = [torch.from_numpy(np.stack([*each.values()]).astype(np.int64)) for each in (predicted, reference)]
    hot = [torch.nn.functional.one_hot(each, 4).permute(0, 3, 1, 2)[:, 1:] for each in indices]
    for name, metric in (("dice", DiceMetric), ("iou", MeanIoU)):
        theirs: Any = metric(include_background=True, reduction="none", ignore_empty=True)(*hot)
        by_class = [torch.nanmean(each).item() for each in theirs.T]
        means = [each["mean"][name] for each in found["classes"].values()]
        assert or_nan(means) == pytest.approx(by_class, abs=1e-6, nan_ok=True)
        assert or_nan([found["mean"][name], found["class_mean"][name]]) == pytest.approx(
            [torch.nanmean(torch.nanmean(theirs, dim=1)).item(), torch.nanmean(torch.tensor(by_class)).item()],
            abs=1e-6,
            nan_ok=True,
        )
    pooled = dice_score(
        *indices, num_classes=4, include_background=False, average="none", input_format="index",
        aggregation_level="global",
    )  # fmt: skip
    for each, theirs in zip(found["classes"].values(), pooled.ravel().tolist(), strict=True):
        assert each["pooled"]["dice"] is None or each["pooled"]["dice"] == pytest.approx(theirs, abs=1e-6)


def or_nan(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def as_palette(path: Path, mask: NDArray[np.uint8]) -> None:
    image = Image.fromarray(mask)
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(path.with_suffix(".png"))


KINDS = {
    "palette": as_palette,
    "tif": lambda path, mask: Image.fromarray(mask).save(path.with_suffix(".tif")),
    "npy": lambda path, mask: np.save(path.with_suffix(".npy"), mask.astype(np.int64)),
    "nii.gz": lambda path, mask: nibabel.save(
        nibabel.Nifti1Image(mask[..., None].astype(np.int16), np.eye(4)), path.with_suffix(".nii.gz")
    ),
}


@pytest.mark.parametrize("part", ["prediction", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_masks_of_classes_are_read_from_files_of_many_kinds(folders: Path, part: str, kind: str) -> None:
    before = scored(folders, "--classes", NAMES)
    for path in (folders / part).iterdir():
        mask = np.asarray(Image.open(path))
        path.unlink()
        KINDS[kind](path, mask)

    assert scored(folders, "--classes", NAMES) == before


@pytest.mark.parametrize("where", ["reference/dataset.yaml", "reference/dataset.yml", "dataset.yaml"])
def test_a_description_in_or_beside_the_references_is_found_and_classes_override_it(folders: Path, where: str) -> None:
    (folders / where).write_text("classes: [none, a, b, c]\nchannels: 1\n")

    assert [*scored(folders)["classes"]] == ["a", "b", "c"]
    assert f"says {folders / where}" in score(folders).output
    assert [*scored(folders, "--classes", NAMES)["classes"]] == [*HEART.names]


def test_the_folder_of_a_set_is_scored_by_its_masks(folders: Path) -> None:
    before = scored(folders, "--classes", "none,a,b,c")
    (folders / "reference").rename(folders / "masks")
    (folders / "reference").mkdir()
    (folders / "masks").rename(folders / "reference" / "masks")
    for id in REFERENCE:
        save(folders / "reference" / "images" / f"{id}.png", np.zeros((24, 31), np.uint8))
    (folders / "reference" / "dataset.yaml").write_text("classes: [none, a, b, c]\n")

    assert scored(folders) == before


@pytest.mark.parametrize("told", ["classes: [skin, lesion]", "modality: mri"])
def test_of_one_structure_a_description_changes_nothing(tmp_path: Path, told: str) -> None:
    masks = {id: (mask > 1).astype(np.uint8) * 255 for id, mask in REFERENCE.items()}
    write(tmp_path, {id: np.roll(mask, 1, axis=0) for id, mask in masks.items()}, masks)
    before = [score(tmp_path).output, score(tmp_path, "--json").output]

    (tmp_path / "dataset.yaml").write_text(told)

    assert [score(tmp_path).output, score(tmp_path, "--json").output] == before
    assert score(tmp_path, "--classes", "background,lesion").output == before[0]


@pytest.mark.parametrize("part", ["prediction", "reference"])
def test_a_level_that_no_class_has_is_refused(folders: Path, part: str) -> None:
    save(folders / part / "p1.png", np.full((24, 31), 7, np.uint8))

    message = refused(folders, "--classes", NAMES)

    assert (
        f"{folders / part / 'p1.png'}: no class has the level 7; known are 0 background, 1 right ventricle, " in message
    )
    assert message.endswith("name what is missing among the classes, or mend the mask")


def test_untold_masks_of_several_classes_are_refused_with_the_remedy(folders: Path) -> None:
    predicted = refused(folders)
    for id, mask in PREDICTED.items():
        save(folders / "prediction" / f"{id}.png", (mask > 0).astype(np.uint8) * 255)
    reference = refused(folders)

    assert predicted.endswith('of label maps one label, or name the classes: --classes "background,..."')
    assert "seems to hold several labels (levels " in reference
    assert 'save the lesion as 255 and the rest as 0, or name the classes: --classes "background,..."' in reference


def test_where_masks_hold_more_than_the_two_classes_that_are_told_these_are_named(folders: Path) -> None:
    message = refused(folders, "--classes", "background,cytoplasm")

    assert "--classes background,cytoplasm: two are one structure in black and white; " in message


def test_ignored_pixels_count_nowhere_and_may_be_ignored_in_predictions_there_alone(folders: Path) -> None:
    words = ("--classes", NAMES, "--ignore", 255)
    for id, mask in REFERENCE.items():
        save(folders / "reference" / f"{id}.png", np.where(np.arange(31) < 8, np.uint8(IGNORED), mask))
    before = scored(folders, *words)
    for id, mask in PREDICTED.items():
        save(folders / "prediction" / f"{id}.png", np.where(np.arange(31) < 8, np.uint8(IGNORED), mask))

    assert scored(folders, *words) == before
    row = before["per_image"][0]
    assert sum(row["classes"]["myocardium"][name] for name in ("tp", "fp", "fn", "tn")) == 24 * (31 - 8)
    save(folders / "prediction" / "p0.png", np.full((24, 31), 255, np.uint8))
    assert "p0.png: has the ignored level on pixels that count; predict one of the classes" in refused(folders, *words)


def test_of_other_levels_predictions_may_hold_the_levels_or_the_classes_numbers(tmp_path: Path) -> None:
    level = np.array([0, 200, 128, 255], np.uint8)
    write(tmp_path, PREDICTED, REFERENCE)
    before = scored(tmp_path, "--classes", "none,a,b,c")
    write(tmp_path, {}, {id: level[mask] for id, mask in REFERENCE.items()})
    (tmp_path / "dataset.yaml").write_text("classes: {0: none, 200: a, 128: b, 255: c}")

    by_number = scored(tmp_path)
    assert by_number.pop("codings")["prediction"] == {"numbers of the classes (0, 1, 2, ...), not their levels": 6}
    assert "masks by levels: predictions numbers of the classes (0, 1, 2, ...), not" in score(tmp_path).output
    write(tmp_path, {id: level[mask] for id, mask in PREDICTED.items()}, {})
    assert scored(tmp_path) == before
    assert before.pop("codings") == {part: {"levels of the classes": 6} for part in ("prediction", "reference")}
    assert by_number == before


def test_predictions_that_could_be_levels_or_numbers_are_refused(folders: Path) -> None:
    (folders / "dataset.yaml").write_text("classes: {0: none, 2: a, 1: b, 3: c}")

    message = refused(folders)

    assert "prediction: level 1 is that of b, and a has the number 1: which is meant?" in message
    assert [*scored(folders, "--classes", "none,b,a,c")["classes"]] == ["b", "a", "c"]


def test_one_class_with_a_level_of_its_own_is_predicted_in_black_and_white(tmp_path: Path) -> None:
    cell, found = REFERENCE["p0"] > 1, PREDICTED["p0"] > 1
    write(tmp_path, {"a": found}, {"a": np.where(cell, np.uint8(2), np.where(REFERENCE["p0"] > 0, np.uint8(9), 0))})
    (tmp_path / "dataset.yaml").write_text("classes: {0: none, 2: nucleus}\nignore: 9\n")

    each = scored(tmp_path)["classes"]["nucleus"]

    counted = cell | (REFERENCE["p0"] == 0)
    overlap, sizes = (cell & found).sum(), cell.sum() + (found & counted).sum()
    assert each["mean"]["dice"] == pytest.approx(2 * overlap / sizes)


@pytest.mark.parametrize(
    ("levels", "noise", "told"),
    [
        pytest.param((0, 1, 255), 1, "levels of the classes", id="as in references"),
        pytest.param((0, 1, 0), 1, "levels of the classes", id="nothing where nobody labelled"),
        pytest.param((0, 255, 0), 1, "0/255", id="black and white, and white is the ignored level"),
        pytest.param((0, 255, 255), 1, "0/255", id="black and white, white where nobody labelled"),
        pytest.param((0, 180, 90), 40, "probabilities, cut at half", id="probabilities"),
    ],
)
def test_of_one_class_with_ignored_pixels_predictions_are_read_as_they_are_written(
    tmp_path: Path, levels: tuple[int, int, int], noise: int, told: str
) -> None:
    parts = {id: np.where(np.arange(31) < 8, 2, mask > 0) for id, mask in REFERENCE.items() if id != "p5"}
    shades = np.random.default_rng(0).integers(0, noise, (24, 31))
    write(
        tmp_path,
        {id: (np.array(levels)[part] + shades).astype(np.uint8) for id, part in parts.items()},
        {id: np.array([0, 1, 255], np.uint8)[part] for id, part in parts.items()},
    )

    found = scored(tmp_path, "--classes", "background,lesion", "--ignore", 255)

    assert (found["mean"]["dice"], found["n_empty"]) == (1, 0)
    assert found["codings"] == {"prediction": {told: 5}, "reference": {"levels of the classes": 5}}


def write_labels(folder: Path) -> Path:
    """Disc and cup, a folder each; predictions of the disc are maps of probability."""
    for id in REFERENCE:
        for name, found, wanted in zip(EYE.names, EYE.planes(PREDICTED[id]), EYE.planes(REFERENCE[id]), strict=True):
            shades = found * np.uint8(180) + np.random.default_rng(0).integers(0, 40, found.shape, np.uint8)
            save(folder / "reference" / name.upper() / f"{id}.png", wanted)
            save(folder / "prediction" / name / f"{id}.png", shades if name == "disc" else found * np.uint8(255))
    (folder / "dataset.yaml").write_text("labels: [disc, cup]")
    return folder


def test_labels_have_a_folder_each(tmp_path: Path) -> None:
    found = scored(write_labels(tmp_path))

    by_image = expected(EYE)
    for place, name in enumerate(EYE.names):
        assert found["classes"][name]["mean"]["dice"] == pytest.approx(
            np.nanmean([each["dice"][place] for each in by_image.values()])
        )
    assert "masks of the labels disc, cup, says " in score(tmp_path).output


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: save(root / "reference/x.png", LABEL), "x.png: lies in the folder of no label (disc, cup)"),
        (lambda root: (root / "prediction/cup").rename(root / "lost"), "prediction/cup: there is no such folder"),
        (lambda root: (root / "reference/CUP/p1.png").unlink(), "CUP: has no mask of p1, and another label has"),
        (lambda root: (root / "prediction/cup/p1.png").unlink(), "cup: no prediction for p1 (1 of 6 references)"),
        (lambda root: save(root / "prediction/cup/p1.png", LABEL), "cup/p1.png: is not as large as the mask of disc"),
        (lambda root: save(root / "reference/CUP/p1.png", REFERENCE["p0"]), "CUP/p1.png: seems to hold several labels"),
    ],
)
def test_what_is_wrong_with_a_label_is_told(tmp_path: Path, spoil: Any, message: str) -> None:
    spoil(write_labels(tmp_path))

    assert message in refused(tmp_path)


@pytest.mark.parametrize("place", ["reference/CUP", "prediction/cup"])
def test_a_mask_with_a_value_that_is_no_number_is_refused_on_either_side(tmp_path: Path, place: str) -> None:
    path = write_labels(tmp_path) / place / "p1.npy"
    path.with_suffix(".png").unlink()
    values = EYE.planes(REFERENCE["p1"])[1].astype(np.float32)
    np.save(path, values)
    assert scored(tmp_path)["images"] == 6

    values[0, 0] = np.nan
    np.save(path, values)

    assert refused(tmp_path).endswith(f"{place}/p1.npy: holds NaN or infinite values; replace them")


LABEL = np.zeros((5, 6), np.uint8)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--classes", "background"), "--classes: classes: needs the background and from 1 to 254 other classes"),
        (("--classes", "background,a,A"), "--classes: classes: two have the name 'a'"),
        (("--classes", "background,a,,b"), "--classes: classes: a name is a text, got ''"),
        (("--classes", NAMES, "--ignore", 2), "ignore: the level 2 is that of a class"),
        (("--ignore", 255), "--ignore 255: goes with --classes; dataset.yaml has an ignore of its own"),
    ],
)
def test_mistakes_about_classes_are_told_in_one_line(folders: Path, words: tuple[object, ...], message: str) -> None:
    assert message in refused(folders, *words)


def test_a_prediction_of_another_size_is_named_with_both_sizes(folders: Path) -> None:
    save(folders / "prediction" / "p2.png", np.zeros((10, 15), np.uint8))

    assert "p2.png: differs in size from" in refused(folders, "--classes", NAMES)
    assert "(15x10 and 31x24); resize the prediction to the reference" in refused(folders, "--classes", NAMES)


@pytest.mark.real
def test_the_masks_of_acdc_agree_with_themselves(real_data: Path, tmp_path: Path) -> None:
    for part in ("prediction", "reference"):
        (tmp_path / part).mkdir()
        for path in sorted((real_data / "acdc" / "masks").iterdir())[:40]:
            (tmp_path / part / path.name).symlink_to(path)

    found = scored(tmp_path, "--classes", NAMES)

    assert (
        told_masks(real_data / "acdc" / "masks", None, None) is None
    )  # medbench's own description is not the folder's
    assert {each["mean"]["dice"] for each in found["classes"].values()} == {1}
    assert found["classes"]["myocardium"]["false_alarm"] == 0
