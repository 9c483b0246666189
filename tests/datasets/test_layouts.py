"""The publishers' layouts, and everything that unpacking does to them."""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from medbench.bench.errors import MedbenchError
from medbench.datasets.catalog import ham10000, isic2018, open_dataset, ph2
from medbench.datasets.inspection import inspect
from medbench.datasets.layouts import find_masks, read_folder

from ..image_files import LESION, PICTURE, save, save_pair


def test_isic2018_reads_its_three_parts(tmp_path: Path) -> None:
    for part in ("Training", "Validation", "Test"):
        inputs, truth = f"ISIC2018_Task1-2_{part}_Input", f"ISIC2018_Task1_{part}_GroundTruth"
        save_pair(tmp_path, f"{inputs}/{part}.jpg", f"{truth}/{part}_segmentation.png")

    image_set = isic2018(tmp_path)

    assert image_set.official == {"Test": "test", "Training": "train", "Validation": "validation"}
    assert image_set.ids == ("Test", "Training", "Validation")
    assert image_set.unmatched == ()


def test_isic2018_groups_by_lesion_and_patient_through_chains(tmp_path: Path) -> None:
    for id in "abcd":
        save_pair(
            tmp_path,
            f"ISIC2018_Task1-2_Training_Input/{id}.jpg",
            f"ISIC2018_Task1_Training_GroundTruth/{id}_segmentation.png",
        )
    table = "isic_id,lesion_id,patient_id\nc,L2,P1\na,L1,\nb,L1,P1\nd,,\n"
    (tmp_path / "metadata.csv").write_text(table, encoding="utf-8-sig")

    assert isic2018(tmp_path).groups == {"a": "a", "b": "a", "c": "a", "d": "d"}


@pytest.mark.parametrize("ending", ["bmp", "jpg", "PNG"])
def test_ph2_reads_its_folders_and_ignores_regions(tmp_path: Path, ending: str) -> None:
    home = "PH2Dataset/PH2 Dataset images/IMD002"
    save_pair(
        tmp_path, f"{home}/IMD002_Dermoscopic_Image/IMD002.{ending}", f"{home}/IMD002_lesion/IMD002_lesion.{ending}"
    )
    save(tmp_path / home / "IMD002_roi" / "IMD002_R1_Label4.bmp", LESION)

    image_set = ph2(tmp_path)

    assert image_set.ids == ("IMD002",)
    assert image_set.unmatched == ()


@pytest.mark.parametrize("table", ["HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata"])
def test_ham10000_reads_both_parts_and_groups_by_lesion(tmp_path: Path, table: str) -> None:
    for part, id in ((1, "a"), (2, "b")):
        save(tmp_path / f"HAM10000_images_part_{part}" / f"{id}.jpg", PICTURE)
        save(tmp_path / "HAM10000_segmentations_lesion_tschandl" / f"{id}_segmentation.png", LESION)
    comma = "\t" if table.endswith("tab") else ","
    rows = [["lesion_id", "image_id"], ["HAM_1", "a"], ["HAM_1", "b"]]
    (tmp_path / table).write_text("\n".join(comma.join(row) for row in rows))

    image_set = ham10000(tmp_path)

    assert image_set.ids == ("a", "b")
    assert image_set.groups["a"] == image_set.groups["b"]


@pytest.mark.parametrize("mask", ["a.png", "a_segmentation.png", "a_mask.PNG", "a_lesion.tif", "a_Mask.jpg"])
def test_a_folder_set_pairs_equal_stems(tmp_path: Path, mask: str) -> None:
    save_pair(tmp_path, "images/a.JPG", f"masks/{mask}")

    assert read_folder(tmp_path).ids == ("a",)


def test_an_image_may_itself_end_like_a_mask(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/a_lesion.png", "masks/a_lesion.png")
    save_pair(tmp_path, "images/a.png", "masks/a.png")

    assert read_folder(tmp_path).ids == ("a", "a_lesion")


def test_composed_and_decomposed_letters_are_one(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/l\u00e9sion 1.png", "masks/le\u0301sion 1.png")

    assert read_folder(tmp_path).ids == ("l\u00e9sion 1",)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no file can have such a name")
@pytest.mark.parametrize("read", [read_folder, lambda root: find_masks(root / "masks")])
def test_a_name_that_no_table_could_hold_is_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
        Path(os.fsdecode(os.fsencode(tmp_path / part) + b"/l\xe9sion.png")).touch()

    with pytest.raises(MedbenchError, match=r"s/l\\xe9sion\.png: its name is not UTF-8; rename it"):
        read(tmp_path)


def test_folder_metadata_groups_with_or_without_endings(tmp_path: Path) -> None:
    for id in "abc":
        save_pair(tmp_path, f"images/{id}.png", f"masks/{id}.png")
    (tmp_path / "metadata.csv").write_text("image,group\na.png,p1\nb,p1\nc,\n")

    assert read_folder(tmp_path).groups == {"a": "a", "b": "a", "c": "c"}


def test_metadata_that_names_a_missing_image_or_not_all_of_them_is_noted(tmp_path: Path) -> None:
    for id in "ac":
        save_pair(tmp_path, f"images/{id}.png", f"masks/{id}.png")
    (tmp_path / "metadata.csv").write_text("image,group\na,p1\nb,p1\n")

    assert [(problem.id, problem.kind) for problem in read_folder(tmp_path).unmatched] == [("b", "note"), ("c", "note")]


@pytest.mark.parametrize(
    ("table", "row"), [("metadata.csv", "img_1,p1"), ("labels.csv", "images/IMG_1.png,p1"), ("metadata.csv", "")]
)
@pytest.mark.parametrize("text", ["modality: ct\n", ""])
def test_groups_of_none_of_the_images_are_refused(tmp_path: Path, text: str, table: str, row: str) -> None:
    save_pair(tmp_path, "images/IMG_1.png", "masks/IMG_1.png")
    (tmp_path / table).write_text(f"image,group\n{row}\n")
    if text:
        (tmp_path / "dataset.yaml").write_text(text)

    with pytest.raises(
        MedbenchError, match=rf"{table}: names none of the 1 images, which are called 'IMG_1' and so on"
    ):
        open_dataset(folder=tmp_path)


def test_a_publishers_table_of_other_images_is_refused_and_of_some_noted(tmp_path: Path) -> None:
    for id in "ab":
        home = "ISIC2018_Task1{}_Training_{}"
        save_pair(
            tmp_path,
            f"{home.format('-2', 'Input')}/{id}.jpg",
            f"{home.format('', 'GroundTruth')}/{id}_segmentation.png",
        )
    table = tmp_path / "metadata.csv"
    table.write_text("isic_id,lesion_id,patient_id\na,L1,\nx,L1,\n")
    [problem] = isic2018(tmp_path).unmatched
    assert (problem.id, problem.kind) == ("b", "note")

    table.write_text("isic_id,lesion_id,patient_id\nx,L1,\n")
    with pytest.raises(MedbenchError, match=r"metadata\.csv: names none of the 2 images"):
        isic2018(tmp_path)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("image,patient_id\na,p1\n", r"no column 'group'; there are 'image', 'patient_id'; rename .* group: COLUMN"),
        ("image,group\na,p1\na.png,p2\n", "group of a is p1 in one row and p2 in another; keep one"),
    ],
)
def test_tables_that_do_not_say_one_group_are_refused(tmp_path: Path, table: str, said: str) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")
    (tmp_path / "metadata.csv").write_text(table)

    with pytest.raises(MedbenchError, match=rf"metadata\.csv: {said}"):
        read_folder(tmp_path)


def test_metadata_without_its_column_is_refused(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")
    (tmp_path / "metadata.csv").write_text("name,group\na,p1\n")

    with pytest.raises(MedbenchError, match=r"metadata\.csv: no column 'image'"):
        read_folder(tmp_path)


@pytest.mark.parametrize("text", ["modality: ct\n", ""])
def test_images_of_two_parts_are_no_set(tmp_path: Path, text: str) -> None:
    for part in ("test", "train"):
        save_pair(tmp_path, f"{part}/images/{part}.png", f"{part}/masks/{part}.png")
        (tmp_path / part / "metadata.csv").write_text(f"image,group\n{part},p1\n")
    if text:
        (tmp_path / "dataset.yaml").write_text(text)

    with pytest.raises(
        MedbenchError, match=r"there are images/ in .*/test and in .*/train; say which .* folder: .*/test"
    ):
        open_dataset(folder=tmp_path)
    assert open_dataset(folder=tmp_path / "train").ids == ("train",)


def test_of_two_tables_that_are_equally_near_none_is_chosen(tmp_path: Path) -> None:
    save_pair(tmp_path, "x/images/a.png", "x/masks/a.png")
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "metadata.csv").write_text("image,group\na,p1\n")
    assert read_folder(tmp_path).ids == ("a",)

    (tmp_path / "y" / "metadata.csv").write_text("image,group\na,p2\n")
    with pytest.raises(MedbenchError, match=r"x/metadata\.csv: there is .*y/metadata\.csv too; keep the one"):
        read_folder(tmp_path)


def test_folders_too_many_after_unpacking_do_not_matter(tmp_path: Path) -> None:
    name = "ISIC2018_Task1-2_Training_Input"
    save_pair(tmp_path, f"x/{name}/{name}/a.jpg", "x/ISIC2018_Task1_Training_GroundTruth/a_segmentation.png")

    assert isic2018(tmp_path).ids == ("a",)


def test_files_that_come_along_are_passed_over(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")
    for stray in ("ATTRIBUTION.txt", "LICENSE.txt", "a_superpixels.png", "Thumbs.db", ".DS_Store", "._a.png"):
        (tmp_path / "images" / stray).write_bytes(b"x")
    (tmp_path / "__MACOSX" / "images").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "images" / "a.png").write_bytes(b"x")

    assert read_folder(tmp_path).ids == ("a",)
    assert read_folder(tmp_path).unmatched == ()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        pytest.param("images/b.png", "images/b.png: no mask", id="image alone"),
        pytest.param("masks/b.png", "masks/b.png: no image", id="mask alone"),
        pytest.param("images/a.bmp", "images/a.png: a second image with the id a", id="two images"),
        pytest.param("masks/a_mask.png", "masks/a_mask.png: a second mask for the image a", id="two masks"),
        pytest.param("images/b.gif", "images/b.gif: .gif is not read", id="unread ending"),
    ],
)
def test_what_does_not_pair_is_recorded_by_name(tmp_path: Path, extra: str, message: str) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")
    save(tmp_path / extra, PICTURE)

    image_set = read_folder(tmp_path)

    assert image_set.ids == ("a",)
    assert [str(problem).split(";")[0] for problem in image_set.unmatched] == [message]
    assert inspect(image_set).problems == list(image_set.unmatched)


def test_a_part_without_any_ground_truth_is_one_note_and_stops_no_study(tmp_path: Path) -> None:
    home = "ISIC2018_Task1-2_{}_Input/{}.jpg"
    save_pair(tmp_path, home.format("Training", "a"), "ISIC2018_Task1_Training_GroundTruth/a_segmentation.png")
    for part in ("Validation", "Test"):
        for id in ("x", "y"):
            save(tmp_path / home.format(part, part + id), PICTURE)

    image_set = isic2018(tmp_path)

    assert image_set.without_truth == {"validation": 2, "test": 2}
    assert [(str(problem), problem.kind) for problem in image_set.unmatched] == [
        ("test: 2 images and no ground truth; no split uses them", "note"),
        ("validation: 2 images and no ground truth; no split uses them", "note"),
    ]


def test_a_missing_mask_in_a_part_that_has_others_is_an_error(tmp_path: Path) -> None:
    inputs = "ISIC2018_Task1-2_Training_Input"
    save_pair(tmp_path, f"{inputs}/a.jpg", "ISIC2018_Task1_Training_GroundTruth/a_segmentation.png")
    save(tmp_path / inputs / "b.jpg", PICTURE)

    image_set = isic2018(tmp_path)

    assert image_set.without_truth == {}
    assert [(str(problem), problem.kind) for problem in image_set.unmatched] == [(f"{inputs}/b.jpg: no mask", "error")]


def test_a_digest_is_that_of_image_and_mask_bytes(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")

    content = (tmp_path / "images" / "a.png").read_bytes() + (tmp_path / "masks" / "a.png").read_bytes()

    assert read_folder(tmp_path).digest("a") == hashlib.sha256(content).hexdigest()


def test_an_archive_unpacked_twice_is_read_once(tmp_path: Path) -> None:
    for copy in ("a", "b"):
        save_pair(tmp_path / copy, "HAM10000_images_part_1/x.png", "HAM10000_segmentations_lesion_tschandl/x.png")

    found = ham10000(tmp_path)

    assert found.ids == ("x",)
    assert [problem for problem in found.unmatched if problem.kind == "error"] == []


def test_ham10000_without_its_metadata_is_told_that_lesions_may_be_divided(tmp_path: Path) -> None:
    save_pair(tmp_path, "HAM10000_images/x.png", "HAM10000_segmentations_lesion_tschandl/x_segmentation.png")

    [problem] = ham10000(tmp_path).unmatched

    assert problem.kind == "note"
    assert "a split may divide a lesion" in str(problem)


def test_publishers_tables_say_the_diagnosis(tmp_path: Path) -> None:
    save_pair(tmp_path, "HAM10000_images/a.jpg", "HAM10000_segmentations_lesion_tschandl/a_segmentation.png")
    (tmp_path / "HAM10000_metadata.csv").write_text("lesion_id,image_id,dx\nL1,a,nv\nL2,b,mel\n")

    found = ham10000(tmp_path)

    assert (found.label, found.columns) == ("dx", ("lesion_id", "image_id", "dx"))
    assert found.labels_of("dx") == {"a": "nv"}


@pytest.mark.parametrize(
    ("columns", "label"),
    [("diagnosis,diagnosis_3", "diagnosis"), ("diagnosis_1,diagnosis_3", "diagnosis_3"), ("x,y", None)],
)
def test_isic2018s_diagnosis_goes_by_the_name_that_the_table_has(
    tmp_path: Path, columns: str, label: str | None
) -> None:
    save_pair(tmp_path, "ISIC2018_Task1-2_Test_Input/a.jpg", "ISIC2018_Task1_Test_GroundTruth/a_segmentation.png")
    (tmp_path / "metadata.csv").write_text(f"isic_id,lesion_id,patient_id,{columns}\na,,,one,two\n")

    assert isic2018(tmp_path).label == label


def test_a_table_that_says_two_things_of_an_image_is_refused(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")
    table = tmp_path / "labels.csv"
    table.write_text("image,label\na,benign\na.png,\na,benign\n")
    assert read_folder(tmp_path).labels_of("label") == {"a": "benign"}

    table.write_text("image,label\na,benign\na.png,malignant\n")
    with pytest.raises(MedbenchError, match=r"labels\.csv: label of a is benign and malignant; keep one row of it"):
        read_folder(tmp_path).labels_of("label")
