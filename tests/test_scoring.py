"""`medbench score`: masks in files, as other tools leave them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.metrics import METRICS, n_empty, pooled, score_masks
from medbench.datasets.catalog import open_dataset

from .image_files import save

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
    return json.loads(result.output)


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


@pytest.mark.parametrize("faint", [1, 60])
def test_among_maps_of_probability_a_faint_one_is_an_empty_prediction(folders: Path, faint: int) -> None:
    for id, mask in PREDICTED.items():
        levels = mask * 180 + RNG.integers(0, 40, mask.shape)
        save(folders / "prediction" / f"{id}.png", levels.astype(np.uint8))
    save(folders / "prediction" / "ISIC_0.png", PREDICTED["ISIC_0"].astype(np.uint8) * faint)

    rows = scored(folders)["per_image"]

    assert rows[0]["tp"] + rows[0]["fp"] == 0
    assert [row["dice"] for row in rows][1:] == pytest.approx(expected()["dice"][1:])


def test_label_maps_are_refused(folders: Path) -> None:
    for id, mask in PREDICTED.items():
        save(folders / "prediction" / f"{id}.png", mask.astype(np.uint8) + RNG.integers(0, 2, mask.shape, np.uint8))

    result = score(folders)

    assert result.exit_code == 2
    assert "the highest 2, none above half of 255; save masks as 0 and 255" in result.output


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


def test_two_files_for_one_image_are_named(folders: Path) -> None:
    save(folders / "prediction" / "again" / "ISIC_1.bmp", np.zeros((20, 30), dtype=np.uint8))

    result = score(folders)

    assert result.exit_code == 2
    assert "could be the mask of ISIC_1 as well" in result.output


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


@pytest.mark.real
def test_ph2_agrees_with_itself_in_its_publishers_layout(real_data: Path) -> None:
    images = open_dataset("ph2", data=real_data)
    folder = real_data / "ph2"

    result = CliRunner().invoke(app, ["score", "--prediction", str(folder), "--reference", str(folder), "--json"])

    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["images"] == len(images)
    assert (found["mean"]["dice"], found["mean"]["hd95"]) == (1, 0)
