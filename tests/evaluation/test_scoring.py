"""`medbench score`: masks in files, as other tools leave them."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.metrics import METRICS, n_empty, pooled, score_masks
from medbench.datasets.catalog import open_dataset

from ..image_files import save

RNG = np.random.default_rng(0)
MASKS = {f"ISIC_{index}": RNG.random((20, 30)) > 0.5 for index in range(4)}
PREDICTED = {id: mask ^ (RNG.random(mask.shape) > 0.9) for id, mask in MASKS.items()}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """reference/ named as ISIC does, prediction/ by bare ids."""
    for id, mask in MASKS.items():
        save(tmp_path / "reference" / f"{id}_segmentation.png", mask.astype(np.uint8) * 255)
        save(tmp_path / "prediction" / f"{id}.png", PREDICTED[id].astype(np.uint8) * 255)
    return tmp_path


def score(folder: Path, *words: str) -> Any:
    command = ["score", "--prediction", str(folder / "prediction"), "--reference", str(folder / "reference"), *words]
    return CliRunner().invoke(app, command, env={"COLUMNS": "200"})


def scored(folder: Path) -> dict[str, Any]:
    result = score(folder, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def expected() -> dict[str, NDArray[np.float64]]:
    return score_masks(*(np.stack([masks[id] for id in sorted(masks)]) for masks in (PREDICTED, MASKS)))


def test_json_has_mean_median_pooled_and_every_image(folders: Path) -> None:
    found = scored(folders)

    scores = expected()
    assert found["images"] == 4
    assert found["n_empty"] == n_empty(scores)
    assert found["pooled"] == pytest.approx(pooled(scores))
    assert found["mean"] == pytest.approx({name: scores[name].mean() for name in METRICS})
    assert found["median"] == pytest.approx({name: np.median(scores[name]) for name in METRICS})
    assert [row["image"] for row in found["per_image"]] == sorted(MASKS)
    assert [row["hd95"] for row in found["per_image"]] == pytest.approx(scores["hd95"])


def test_the_table_names_every_metric_and_says_over_what(folders: Path) -> None:
    output = score(folders).output

    assert all(metric.label in output for metric in METRICS.values())
    assert "4 images, 0 with exactly one empty mask; mean and median over images, pooled over all pixels" in output


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_scores_of_each_image_are_written(folders: Path, ending: str) -> None:
    out = folders / f"scores.{ending}"

    assert score(folders, "-o", str(out)).exit_code == 0

    table = pd.read_csv(out) if ending == "csv" else pd.DataFrame(json.loads(out.read_text())["per_image"])
    assert table["dice"].to_list() == pytest.approx(expected()["dice"])
    assert table["width"].unique() == [30]


@pytest.mark.parametrize(
    ("levels", "name"),
    [
        (lambda mask: mask.astype(np.uint8), "0 and 1"),
        (lambda mask: mask.astype(np.uint8) * 200, "0 and 200"),
        (lambda mask: mask.astype(np.uint16) * 60000, "16 bit"),
        (lambda mask: mask.astype(np.uint8)[..., None].repeat(3, axis=2) * 255, "RGB"),
        (lambda mask: (mask * 90 + 80 + RNG.integers(0, 40, mask.shape)).astype(np.uint8), "probabilities"),
    ],
)
def test_predictions_are_read_as_tools_write_them(folders: Path, levels, name: str) -> None:
    for id, mask in PREDICTED.items():
        save(folders / "prediction" / f"{id}.png", levels(mask))

    assert scored(folders)["mean"]["dice"] == pytest.approx(expected()["dice"].mean())


def save_maps(folders: Path) -> None:
    for id, mask in PREDICTED.items():
        levels = mask * 180 + RNG.integers(0, 40, mask.shape)
        save(folders / "prediction" / f"{id}.png", levels.astype(np.uint8))


@pytest.mark.parametrize("faint", [0, 2, 60])
def test_among_maps_of_probability_a_faint_one_is_an_empty_prediction(folders: Path, faint: int) -> None:
    save_maps(folders)
    levels = PREDICTED["ISIC_0"] * faint // 2 + RNG.integers(0, faint // 2 + 1, (20, 30))
    save(folders / "prediction" / "ISIC_0.png", levels.astype(np.uint8))

    rows = scored(folders)["per_image"]

    assert rows[0]["tp"] + rows[0]["fp"] == 0
    assert [row["dice"] for row in rows][1:] == pytest.approx(expected()["dice"][1:])


@pytest.mark.parametrize("lesion", [1, 60])
def test_among_maps_of_probability_a_mask_that_half_would_empty_is_refused(folders: Path, lesion: int) -> None:
    save_maps(folders)
    save(folders / "prediction" / "ISIC_0.png", PREDICTED["ISIC_0"].astype(np.uint8) * lesion)

    result = score(folders)

    assert result.exit_code == 2
    assert f"ISIC_0.png: has no levels but 0 and {lesion}" in result.output
    assert "is it a mask, or a map of probability? save the lesion as 255 and the rest as 0" in result.output


def test_among_maps_of_probability_black_and_white_masks_are_masks(folders: Path) -> None:
    save_maps(folders)
    for id, levels in (("ISIC_0", 255), ("ISIC_1", 200), ("ISIC_2", 0)):
        save(folders / "prediction" / f"{id}.png", PREDICTED[id].astype(np.uint8) * np.uint8(levels))

    found = scored(folders)

    assert [row["dice"] for row in found["per_image"]] == pytest.approx(
        [*expected()["dice"][:2], 0, expected()["dice"][3]]
    )
    assert found["codings"]["prediction"] == {
        "0/255": 1,
        "0/200": 1,
        "all 0, empty": 1,
        "probabilities, cut at half": 1,
    }


def test_maps_of_8_and_16_bits_are_each_cut_at_half_of_what_their_files_hold(folders: Path) -> None:
    save_maps(folders)
    wide = PREDICTED["ISIC_0"] * 50000 + RNG.integers(0, 900, (20, 30))
    save(folders / "prediction" / "ISIC_0.png", wide.astype(np.uint16))
    save(folders / "prediction" / "ISIC_1.png", RNG.integers(0, 250, (20, 30)).astype(np.uint16))

    rows = scored(folders)["per_image"]

    assert rows[1]["tp"] + rows[1]["fp"] == 0
    assert [rows[i]["dice"] for i in (0, 2, 3)] == pytest.approx(expected()["dice"][[0, 2, 3]])


def test_references_in_tiff_count(folders: Path) -> None:
    for id, levels in (("ISIC_0", np.uint8(255)), ("ISIC_1", np.uint16(65535))):
        (folders / "reference" / f"{id}_segmentation.png").unlink()
        save(folders / "reference" / f"{id}_segmentation.tif", MASKS[id] * levels)

    found = scored(folders)

    assert found["images"] == 4
    assert found["mean"]["dice"] == pytest.approx(expected()["dice"].mean())
    assert found["codings"]["reference"] == {"0/255": 3, "0/65535": 1}


@pytest.mark.parametrize("ending", ["gif", "webp", "npy", "nii.gz", "dcm", ""])
def test_a_reference_that_is_not_read_is_named_not_passed_over(folders: Path, ending: str) -> None:
    for id in ("ISIC_1", "ISIC_3"):
        path = folders / "reference" / f"{id}_segmentation.png"
        path.rename(path.with_name(f"{id}_segmentation.{ending}".rstrip(".")))

    result = score(folders)

    assert result.exit_code == 2
    named = ", ".join(f"{id}_segmentation.{ending}".rstrip(".") for id in ("ISIC_1", "ISIC_3"))
    assert f"reference: {named} (2 files) are not read; save them as png" in result.output


def test_other_files_beside_references_do_no_harm(folders: Path) -> None:
    for name in ("ISIC_1_segmentation.npy", "scores.xlsx", "readme.txt", "ISIC_1.gif", ".hidden.gif"):
        (folders / "reference" / name).write_bytes(b"x")

    assert scored(folders)["images"] == 4


def test_a_prediction_that_is_not_read_is_named(folders: Path) -> None:
    (folders / "prediction" / "ISIC_2.png").rename(folders / "prediction" / "ISIC_2.npy")
    (folders / "prediction" / "model.pt").write_bytes(b"x")

    result = score(folders)

    assert result.exit_code == 2
    assert "prediction: ISIC_2.npy (1 files) are not read" in result.output


def test_a_label_map_as_reference_is_refused(folders: Path) -> None:
    save(folders / "reference" / "ISIC_2_segmentation.png", np.arange(4, dtype=np.uint8).repeat(150).reshape(20, 30))

    result = score(folders)

    assert result.exit_code == 2
    assert "ISIC_2_segmentation.png: seems to hold several labels (levels 0, 1, 2, 3)" in result.output


def test_a_reference_that_the_others_make_doubtful_is_refused(folders: Path) -> None:
    save(folders / "reference" / "ISIC_2_segmentation.png", np.ones((20, 30), np.uint8))

    result = score(folders)

    assert result.exit_code == 2
    assert "ISIC_2_segmentation.png: has the level 1 alone, ISIC_0 goes up to 255: empty or full?" in result.output


def test_an_empty_jpeg_reference_is_empty(folders: Path) -> None:
    for kind in ("reference", "prediction"):
        for path in (folders / kind).glob("ISIC_0*.png"):
            path.unlink()
    save(folders / "reference" / "ISIC_0.jpg", np.zeros((20, 30), np.uint8), quality=70)
    save(folders / "prediction" / "ISIC_0.png", np.zeros((20, 30), np.uint8))
    for id in list(MASKS)[1:]:
        (folders / "reference" / f"{id}_segmentation.png").rename(folders / "reference" / f"{id}.png")

    found = scored(folders)

    assert (found["per_image"][0]["dice"], found["per_image"][0]["hd95"]) == (1, 0)
    assert found["codings"]["reference"] == {"JPEG, empty": 1, "0/255": 3}


def test_how_masks_are_read_is_told(folders: Path) -> None:
    assert "masks by levels: predictions 0/255 (4); references 0/255 (4)" in score(folders).output


def test_label_maps_are_refused(folders: Path) -> None:
    for id, mask in PREDICTED.items():
        save(folders / "prediction" / f"{id}.png", mask.astype(np.uint8) + RNG.integers(0, 2, mask.shape, np.uint8))

    result = score(folders)

    assert result.exit_code == 2
    assert "ISIC_0.png: has more than the two levels of a mask, as 4 of the 4 predictions" in result.output
    assert "the highest of all 2, none above half of 255; save masks as 0 and 255" in result.output


def scaled(mask: NDArray[Any], by: int, method: int = cv2.INTER_NEAREST) -> NDArray[Any]:
    return np.asarray(cv2.resize(mask, None, fx=by, fy=by, interpolation=method))


@pytest.mark.parametrize("method", [cv2.INTER_NEAREST, cv2.INTER_LINEAR])
def test_a_label_map_is_refused_though_one_label_is_bright(tmp_path: Path, method: int) -> None:
    labels = np.zeros((30, 40), np.uint8)
    labels[5:25, 5:35], labels[10:20, 15:25] = 127, 255
    for id in "abcdef":
        save(tmp_path / "prediction" / f"{id}.png", scaled(labels, 3, method))
        save(tmp_path / "reference" / f"{id}.png", scaled((labels > 0) * np.uint8(255), 3))

    result = score(tmp_path)

    assert result.exit_code == 2
    assert "a.png: seems to hold several labels (levels 0, " in result.output
    assert 'or name the classes: --classes "background,..." (and 5 more like it)' in result.output


@pytest.mark.parametrize("width", [1, 8, 100])
def test_soft_rims_and_smooth_maps_are_cut_at_half(tmp_path: Path, width: float) -> None:
    lesion = np.zeros((520, 520), np.float32)
    cv2.ellipse(lesion, (260, 260), (160, 110), 30, 0, 360, 1, -1)
    soft = cv2.GaussianBlur(lesion, (0, 0), width)
    shades = np.round(soft * 255 / soft.max()).astype(np.uint8)
    for part, mask in (("prediction", shades), ("reference", (shades > 127) * np.uint8(255))):
        save(tmp_path / part / "a.png", mask)

    found = scored(tmp_path)

    assert (found["mean"]["dice"], found["codings"]["prediction"]) == (1, {"probabilities, cut at half": 1})


def test_names_that_belong_to_no_reference_are_told(folders: Path) -> None:
    (folders / "prediction" / "ISIC_2.png").rename(folders / "prediction" / "ISIC_2_pred.png")

    assert "ISIC_2_pred belong to none: names must be equal" in score(folders).output


def test_an_all_white_prediction_is_full_and_an_all_black_one_empty(folders: Path) -> None:
    first, second = sorted(MASKS)[:2]
    save(folders / "prediction" / f"{first}.png", np.full((20, 30), 255, dtype=np.uint8))
    save(folders / "prediction" / f"{second}.png", np.zeros((20, 30), dtype=np.uint8))

    rows = scored(folders)["per_image"]

    assert [row["tp"] + row["fp"] for row in rows[:2]] == [600, 0]


def test_images_and_regions_beside_marked_masks_are_passed_over(folders: Path) -> None:
    for id in MASKS:
        save(folders / "reference" / id / f"{id}.bmp", np.zeros((20, 30, 3), dtype=np.uint8))
        save(folders / "reference" / id / f"{id}_R1_Label4.bmp", np.zeros((20, 30), dtype=np.uint8))

    assert scored(folders)["images"] == 4


def test_of_two_files_that_could_be_one_prediction_neither_is_taken(folders: Path) -> None:
    """Though one has the ending of a mask: beside files that have none it may be anything."""
    right = folders / "prediction" / "ISIC_2.png"
    shutil.copy(right.with_name("ISIC_1.png"), right.with_name("ISIC_2_mask.png"))

    result = score(folders)

    assert result.exit_code == 2
    assert f"{right.with_name('ISIC_2_mask.png')}: {right} could be the mask of ISIC_2 as well" in result.output


def test_predictions_without_a_reference_are_counted(folders: Path) -> None:
    save(folders / "prediction" / "other.png", np.zeros((20, 30), dtype=np.uint8))

    assert "1 predictions have no reference and were not scored" in score(folders).output


def test_a_missing_prediction_is_named_and_nothing_is_scored(folders: Path) -> None:
    (folders / "prediction" / "ISIC_2.png").unlink()

    result = score(folders, "-o", str(folders / "scores.csv"))

    assert result.exit_code == 2
    assert "no prediction for ISIC_2 (1 of 4 references); write an empty mask" in result.output
    assert not (folders / "scores.csv").exists()


def test_an_unreadable_prediction_is_named(folders: Path) -> None:
    (folders / "prediction" / "ISIC_1.png").write_bytes(b"no image")

    result = score(folders)

    assert result.exit_code == 2
    assert "ISIC_1.png: cannot be decoded" in result.output


def test_a_prediction_of_another_size_is_named_with_both_sizes(folders: Path) -> None:
    for id in ("ISIC_1", "ISIC_3"):
        save(folders / "prediction" / f"{id}.png", np.zeros((10, 15), dtype=np.uint8))

    result = score(folders)

    assert result.exit_code == 2
    assert "ISIC_1.png: differs in size from" in result.output
    assert "(15x10 and 30x20); resize the prediction to the reference (and 1 more like it)" in result.output


def test_two_files_for_one_image_are_named_with_their_paths(folders: Path) -> None:
    again = save(folders / "prediction" / "again" / "ISIC_1.png", np.zeros((20, 30), dtype=np.uint8))

    result = score(folders)

    assert result.exit_code == 2
    paths = {str(again), str(folders / "prediction" / "ISIC_1.png")}
    told = result.output.removeprefix("error: ").split(" could be the mask of ISIC_1 as well")[0]
    assert {*told.split(": ")} == paths


@pytest.mark.parametrize("part", ["prediction", "reference"])
def test_the_folder_of_a_set_is_scored_by_its_masks(folders: Path, part: str) -> None:
    before = scored(folders)
    (folders / part).rename(folders / "masks")
    (folders / part).mkdir()
    (folders / "masks").rename(folders / part / "masks")
    for id in MASKS:
        save(folders / part / "images" / f"{id}.png", np.full((20, 30, 3), 90, np.uint8))

    assert scored(folders) == before


@pytest.mark.parametrize(("folder", "message"), [("nowhere", "there is no such folder"), ("empty", "holds no mask")])
def test_a_folder_without_masks_is_named(folders: Path, folder: str, message: str) -> None:
    (folders / "empty").mkdir()

    result = CliRunner().invoke(
        app, ["score", "--prediction", str(folders / folder), "--reference", str(folders / "reference")]
    )

    assert result.exit_code == 2
    assert message in result.output


def test_a_file_that_is_neither_csv_nor_json_is_refused(folders: Path) -> None:
    result = score(folders, "-o", "scores.xlsx")

    assert result.exit_code == 2
    assert "end the name in .csv or .json" in result.output


def test_with_a_spacing_distances_are_in_millimetres_too(tmp_path: Path) -> None:
    there, found = np.zeros((2, 9, 9), np.uint8)
    there[1, 4], found[4, 4] = 255, 255  # three rows apart
    save(tmp_path / "reference" / "a.png", there)
    save(tmp_path / "prediction" / "a.png", found)
    assert "hd95_mm" not in scored(tmp_path)["mean"]

    (tmp_path / "dataset.yaml").write_text("spacing: [0.5, 2]\n")

    [row] = scored(tmp_path)["per_image"]
    assert [row[name] for name in ("hd95", "assd", "hd95_mm", "assd_mm")] == pytest.approx([3, 3, 1.5, 1.5])
    assert score(tmp_path, "-o", str(tmp_path / "scores.csv")).output.count("(mm) ") == 2
    assert pd.read_csv(tmp_path / "scores.csv")["hd95_mm"].to_list() == pytest.approx([1.5])


@pytest.mark.real
def test_ph2_agrees_with_itself_in_its_publishers_layout(real_data: Path) -> None:
    images = open_dataset("ph2", data=real_data)
    folder = real_data / "ph2"

    result = CliRunner().invoke(app, ["score", "--prediction", str(folder), "--reference", str(folder), "--json"])

    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["images"] == len(images)
    assert (found["mean"]["dice"], found["mean"]["hd95"]) == (1, 0)


def test_a_folder_in_which_some_masks_have_an_ending_and_others_none_is_scored_whole(folders: Path) -> None:
    names = sorted((folders / "reference").iterdir())
    names[0].rename(names[0].with_name(names[0].name.replace("_segmentation", "")))

    assert scored(folders)["images"] == len(names)
