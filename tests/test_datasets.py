"""Reading, layouts, inspection and catalog: everything that people's folders do to us."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from PIL import Image

from medbench.bench.errors import MedbenchError
from medbench.datasets.base import FileSet
from medbench.datasets.catalog import DATASETS, open_dataset
from medbench.datasets.inspection import inspect
from medbench.datasets.layouts import folder, ham10000, isic2018, ph2
from medbench.datasets.reading import binarise, read_image, read_mask

DATA = Path(os.environ.get("MEDBENCH_DATA") or Path(__file__).parents[2] / "shared" / "data")

# A picture without symmetry: any flip or turn of it shows. Left half red, lower right corner blue.
PICTURE = np.zeros((6, 10, 3), np.uint8)
PICTURE[:, :5] = (200, 30, 30)
PICTURE[4:, 7:] = (20, 20, 220)
LESION = np.zeros((6, 10), np.bool_)
LESION[1:4, 2:7] = True


def save(path: Path, pixels: NDArray[np.generic], mode: str | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)  # pyright: ignore[reportArgumentType]
    return path


def save_pair(root: Path, image: str, mask: str) -> None:
    save(root / image, PICTURE)
    save(root / mask, LESION)


# --- images


@pytest.mark.parametrize("ending", ["png", "PNG", "bmp", "Bmp"])
def test_lossless_images_are_read_exactly(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / f"a.{ending}", PICTURE)

    assert np.array_equal(read_image(path), PICTURE)


@pytest.mark.parametrize("ending", ["jpg", "JPG", "jpeg", "JPEG"])
def test_jpeg_images_are_read_nearly(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / f"a.{ending}", PICTURE, quality=95, subsampling=0)

    assert np.abs(read_image(path).astype(int) - PICTURE).max() < 20


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"), PICTURE, mode)

    image = read_image(path)

    assert image.shape == (6, 10, 3)
    assert image.dtype == np.uint8
    assert np.abs(image[0, 0].astype(int) - PICTURE[0, 0]).max() < 40


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_images_have_three_equal_channels(tmp_path: Path, mode: str) -> None:
    image = read_image(save(tmp_path / "a.png", PICTURE, mode))

    assert image.shape == (6, 10, 3)
    assert np.ptp(image, axis=2).max() == 0


def test_palette_images_with_transparency_are_read_without_warning(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", PICTURE, "P", transparency=bytes([0, 128, 255]))

    assert read_image(path).shape == (6, 10, 3)


def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 256, 65535]], np.uint16))

    assert read_image(path)[0, :, 0].tolist() == [0, 1, 255]


def test_eight_bits_in_a_sixteen_bit_file_are_not_made_black(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 100, 255]], np.uint16))

    assert read_image(path)[0, :, 0].tolist() == [0, 100, 255]


def test_sixteen_bit_colour_keeps_its_high_byte(tmp_path: Path) -> None:
    wide = PICTURE.astype(np.uint16) * 257
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", wide[..., ::-1])[1].tobytes())

    assert np.array_equal(read_image(tmp_path / "a.png"), PICTURE)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_exif_orientation_is_applied(tmp_path: Path, ending: str, orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{ending}", PICTURE, exif=exif)

    upright = np.rot90(PICTURE, turns)

    assert read_image(path).shape == upright.shape
    assert np.abs(read_image(path).astype(int) - upright).mean() < 25


def test_paths_may_hold_spaces_and_any_letters(tmp_path: Path) -> None:
    path = save(tmp_path / "Läsionen 皮膚" / "Bild ñ 1.PNG", PICTURE)

    assert np.array_equal(read_image(path), PICTURE)


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_file_cut_short_is_refused_by_name(tmp_path: Path, ending: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    path = save(tmp_path / f"half.{ending}", noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    with pytest.raises(MedbenchError, match=rf"half\.{ending}: cannot be decoded"):
        read_image(path)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_a_jpeg_whose_rest_is_zeros_is_refused(tmp_path: Path, share: float, read: Callable[[Path], object]) -> None:
    path = save(tmp_path / "a.jpg", np.kron(PICTURE, np.ones((16, 16, 1), np.uint8)))
    content = path.read_bytes()
    kept = int(len(content) * share)
    path.write_bytes(content[:kept] + bytes(len(content) - kept + 5000))

    with pytest.raises(MedbenchError, match=r"a\.jpg: cannot be decoded"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"<html>404 Not Found</html>", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "page.jpg").write_bytes(content)

    with pytest.raises(MedbenchError, match=r"page\.jpg: cannot be decoded"):
        read_image(tmp_path / "page.jpg")


def test_a_jpeg_that_claims_billions_of_pixels_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", PICTURE)
    content = bytearray(path.read_bytes())
    frame = content.find(b"\xff\xc0")
    content[frame + 5 : frame + 9] = b"\xff\xdc\xff\xdc"
    path.write_bytes(content)

    with pytest.raises(MedbenchError, match=r"a\.jpg: cannot be decoded"):
        read_image(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MedbenchError, match=r"gone\.png: cannot be read"):
        read_mask(tmp_path / "gone.png")


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", PICTURE)
    path.write_bytes(path.read_bytes() + b"made by a camera")

    assert read_image(path).shape == (6, 10, 3)


@pytest.mark.filterwarnings("ignore")  # of Pillow, about sizes and EXIF blocks that chance may write
@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a"]))
def test_no_bytes_whatever_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, head: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.png"
    path.write_bytes(head + tail)

    with pytest.raises(MedbenchError):
        read_image(path)


# --- masks


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(LESION, id="1 bit"),
        pytest.param(LESION.astype(np.uint8), id="0 and 1"),
        pytest.param(LESION.astype(np.uint8) * 255, id="0 and 255"),
        pytest.param(LESION.astype(np.uint8) * 80 + 120, id="120 and 200"),
        pytest.param(LESION.astype(np.uint16), id="16 bit, 0 and 1"),
        pytest.param(LESION.astype(np.uint16) * 65535, id="16 bit, 0 and 65535"),
        pytest.param(np.repeat(LESION[..., None] * np.uint8(255), 3, 2), id="RGB"),
        pytest.param(LESION[..., None] * np.array([128, 0, 0], np.uint8), id="RGB, dark red"),
        pytest.param(np.dstack([*[LESION * np.uint8(255)] * 3, np.full((6, 10), 255, np.uint8)]), id="RGBA, opaque"),
        pytest.param(np.dstack([*[np.full((6, 10), 255, np.uint8)] * 3, LESION * np.uint8(255)]), id="RGBA, in alpha"),
    ],
)
def test_masks_of_every_kind_are_read_alike(tmp_path: Path, pixels: NDArray[np.generic]) -> None:
    mask = read_mask(save(tmp_path / "m.png", pixels))

    assert mask.dtype == np.bool_
    assert np.array_equal(mask, LESION)


@pytest.mark.parametrize(
    "palette",
    [
        pytest.param([0, 0, 0, 255, 255, 255], id="black and white"),
        pytest.param([0, 0, 0, 1, 1, 1], id="nearly the same black"),
        pytest.param([0, 0, 0, 128, 0, 0], id="black and red"),
        pytest.param([0, 0, 0, 0, 0, 0], id="no colours: indices count"),
    ],
)
def test_palette_masks_are_read_by_colour(tmp_path: Path, palette: list[int]) -> None:
    image = Image.fromarray(LESION.astype(np.uint8)).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(palette)
    image.save(tmp_path / "m.png")

    assert np.array_equal(read_mask(tmp_path / "m.png"), LESION)


def test_a_jpeg_mask_loses_no_pixel_of_a_large_lesion(tmp_path: Path) -> None:
    large = np.kron(LESION, np.ones((16, 16), np.bool_))
    path = save(tmp_path / "m.jpg", large.astype(np.uint8) * 255, quality=75)

    assert np.array_equal(read_mask(path), large)


def test_grey_rims_fall_to_the_nearer_side(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", np.array([[0, 60, 127, 128, 200, 255]], np.uint8))

    assert read_mask(path)[0].tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize(("level", "is_full"), [(0, False), (1, True), (255, True)])
def test_a_mask_of_one_level_is_full_unless_black(tmp_path: Path, level: int, is_full: bool) -> None:
    mask = read_mask(save(tmp_path / "m.png", np.full((4, 5), level, np.uint8)))

    assert mask.all() == mask.any() == is_full


def test_a_full_mask_with_compression_noise_is_full() -> None:
    assert binarise(np.array([[250, 255, 253]])).all()


def test_colours_of_one_brightness_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", np.where(LESION[..., None], [255, 0, 0], [0, 255, 0]).astype(np.uint8))

    with pytest.raises(MedbenchError, match=r"m\.png: the mask's colours are equally bright"):
        read_mask(path)


@settings(deadline=None)
@given(npst.arrays(np.bool_, st.tuples(st.integers(2, 9), st.integers(2, 9))), st.sampled_from([1, 2, 128, 255, 65535]))
def test_the_scale_of_a_mask_does_not_matter(mask: NDArray[np.bool_], top: int) -> None:
    assert np.array_equal(binarise(mask * np.uint16(top)), mask)


# --- layouts


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


@pytest.mark.parametrize("mask", ["a.png", "a_segmentation.png", "a_mask.PNG", "a_lesion.bmp", "a_Mask.jpg"])
def test_a_folder_set_pairs_equal_stems(tmp_path: Path, mask: str) -> None:
    save_pair(tmp_path, "images/a.JPG", f"masks/{mask}")

    assert folder(tmp_path).ids == ("a",)


def test_an_image_may_itself_end_like_a_mask(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/a_lesion.png", "masks/a_lesion.png")
    save_pair(tmp_path, "images/a.png", "masks/a.png")

    assert folder(tmp_path).ids == ("a", "a_lesion")


def test_composed_and_decomposed_letters_are_one(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/l\u00e9sion 1.png", "masks/le\u0301sion 1.png")

    assert folder(tmp_path).ids == ("l\u00e9sion 1",)


def test_folder_metadata_groups_with_or_without_endings(tmp_path: Path) -> None:
    for id in "abc":
        save_pair(tmp_path, f"images/{id}.png", f"masks/{id}.png")
    (tmp_path / "metadata.csv").write_text("image,group\na.png,p1\nb,p1\nc,\n")

    assert folder(tmp_path).groups == {"a": "a", "b": "a", "c": "c"}


def test_metadata_that_names_a_missing_image_is_noted(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")
    (tmp_path / "metadata.csv").write_text("image,group\nb,p1\n")

    assert [(problem.id, problem.kind) for problem in folder(tmp_path).unmatched] == [("b", "note")]


def test_metadata_without_its_column_is_refused(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")
    (tmp_path / "metadata.csv").write_text("name,group\na,p1\n")

    with pytest.raises(MedbenchError, match=r"metadata\.csv: no column 'image'"):
        folder(tmp_path)


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

    assert folder(tmp_path).ids == ("a",)
    assert folder(tmp_path).unmatched == ()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        pytest.param("images/b.png", "images/b.png: no mask", id="image alone"),
        pytest.param("masks/b.png", "masks/b.png: no image", id="mask alone"),
        pytest.param("images/a.bmp", "images/a.png: a second image with the id a", id="two images"),
        pytest.param("masks/a_mask.png", "masks/a_mask.png: a second mask for the image a", id="two masks"),
        pytest.param("images/b.tif", "images/b.tif: .tif is not read", id="unread ending"),
    ],
)
def test_what_does_not_pair_is_recorded_by_name(tmp_path: Path, extra: str, message: str) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")
    save(tmp_path / extra, PICTURE)

    image_set = folder(tmp_path)

    assert image_set.ids == ("a",)
    assert [str(problem).split(";")[0] for problem in image_set.unmatched] == [message]
    assert inspect(image_set).problems == list(image_set.unmatched)


def test_a_digest_is_that_of_image_and_mask_bytes(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")

    content = (tmp_path / "images" / "a.png").read_bytes() + (tmp_path / "masks" / "a.png").read_bytes()

    assert folder(tmp_path).digest("a") == hashlib.sha256(content).hexdigest()


# --- inspection


def one_pair(tmp_path: Path, mask: NDArray[np.generic]) -> FileSet:
    save(tmp_path / "images" / "a.png", PICTURE)
    save(tmp_path / "masks" / "a.png", mask)
    return folder(tmp_path)


def test_a_sound_pair_has_digest_size_and_no_problem(tmp_path: Path) -> None:
    image_set = one_pair(tmp_path, LESION)

    inspection = inspect(image_set)

    assert inspection.digests == {"a": image_set.digest("a")}
    assert inspection.sizes == {"a": (6, 10)}
    assert inspection.problems == []


@pytest.mark.parametrize(
    ("mask", "kind", "message"),
    [
        (LESION[:, :9], "error", "the mask is 9x6, the image 10x6"),
        (LESION.T.copy(), "error", "the mask is 6x10, the image 10x6, as if turned by 90 degrees"),
        (np.zeros((6, 10), np.uint8), "note", "the mask is empty"),
        (np.tile(np.array([0, 255, 128, 255, 0], np.uint8), (6, 2)), "note", "20.0% of the mask is grey"),
    ],
)
def test_odd_masks_are_told_in_one_line(tmp_path: Path, mask: NDArray[np.generic], kind: str, message: str) -> None:
    (problem,) = inspect(one_pair(tmp_path, mask)).problems

    assert (problem.id, problem.file, problem.kind) == ("a", "masks/a.png", kind)
    assert problem.message.startswith(message)
    assert "\n" not in str(problem)


@pytest.mark.parametrize("file", ["images/a.png", "masks/a.png"])
def test_damaged_files_are_told_once_by_name(tmp_path: Path, file: str) -> None:
    image_set = one_pair(tmp_path, LESION)
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:50])

    (problem,) = inspect(image_set).problems

    assert str(problem).startswith(f"{file}: cannot be decoded")


def test_a_file_that_went_away_is_told(tmp_path: Path) -> None:
    image_set = one_pair(tmp_path, LESION)
    (tmp_path / "masks" / "a.png").unlink()

    inspection = inspect(image_set)

    assert inspection.digests == {}
    assert [str(problem)[:27] for problem in inspection.problems] == ["masks/a.png: cannot be read"]


def test_an_unchanged_set_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_set = one_pair(tmp_path / "set", LESION)
    first = inspect(image_set, tmp_path / "cache")
    monkeypatch.setattr(FileSet, "image", lambda self, id: pytest.fail("opened again"))

    assert inspect(image_set, tmp_path / "cache") == first


def test_a_changed_file_is_opened_again(tmp_path: Path) -> None:
    image_set = one_pair(tmp_path / "set", LESION)
    inspect(image_set, tmp_path / "cache")
    save(tmp_path / "set" / "masks" / "a.png", np.zeros((6, 10), np.uint8))

    inspection = inspect(image_set, tmp_path / "cache")

    assert inspection.digests == {"a": image_set.digest("a")}
    assert [problem.message for problem in inspection.problems] == ["the mask is empty"]


def test_a_broken_memory_is_only_forgotten(tmp_path: Path) -> None:
    image_set = one_pair(tmp_path / "set", LESION)
    first = inspect(image_set, tmp_path / "cache")
    (memory,) = (tmp_path / "cache").iterdir()
    memory.write_text('{"a": ')

    assert inspect(image_set, tmp_path / "cache") == first


def test_computed_sets_are_inspected_too() -> None:
    image_set = open_dataset("synthetic", images=3, size=32)

    inspection = inspect(image_set)

    assert inspection.sizes == dict.fromkeys(image_set.ids, (32, 32))
    assert inspection.problems == []


# --- catalog


def test_a_set_is_found_below_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = "ph2/IMD002"
    save_pair(tmp_path, f"{home}/IMD002_Dermoscopic_Image/IMD002.bmp", f"{home}/IMD002_lesion/IMD002_lesion.bmp")
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path))

    assert open_dataset("ph2").ids == open_dataset("ph2", data=tmp_path).ids == ("IMD002",)


def test_a_folder_may_be_given_either_way(tmp_path: Path) -> None:
    save_pair(tmp_path, "images/a.png", "masks/a.png")

    assert open_dataset(folder=tmp_path).ids == open_dataset(f"folder:{tmp_path}").ids == ("a",)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "synthetic"])
def test_a_missing_set_says_where_it_was_looked_for_and_how_to_get_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(MedbenchError) as refusal:
        open_dataset(name, data=tmp_path)

    assert str(tmp_path / name) in str(refusal.value)
    assert DATASETS[name].how in str(refusal.value)


def test_an_empty_set_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "isic2018").mkdir()

    with pytest.raises(MedbenchError, match="no image with a mask below"):
        open_dataset("isic2018", data=tmp_path)


def test_without_a_data_folder_the_option_and_the_variable_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDBENCH_DATA", raising=False)

    with pytest.raises(MedbenchError, match="--data DIR or set MEDBENCH_DATA"):
        open_dataset("ph2")


def test_a_misspelt_name_gets_a_hint() -> None:
    with pytest.raises(MedbenchError, match="Did you mean 'isic2018'"):
        open_dataset("isic2017")


@pytest.mark.parametrize("name", [None, "ph2"])
def test_either_a_name_or_a_folder_is_needed(name: str | None, tmp_path: Path) -> None:
    with pytest.raises(MedbenchError, match="either a name or a folder"):
        open_dataset(name, folder=tmp_path if name else None)


# --- the real thing


@pytest.mark.real
@pytest.mark.parametrize(("name", "n_images"), [("isic2018", 2594), ("ph2", 200), ("ham10000", 2000)])
def test_real_sets_pair_completely(name: str, n_images: int) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"no real data: set MEDBENCH_DATA to a folder with {name}/")

    image_set = open_dataset(name, data=DATA)

    assert len(image_set) == n_images
    assert image_set.unmatched == ()


@pytest.mark.real
def test_real_ph2_is_sound_and_darker_inside() -> None:
    if not (DATA / "ph2").is_dir():
        pytest.skip("no real data: set MEDBENCH_DATA to a folder with ph2/")
    image_set = open_dataset("ph2", data=DATA)

    def is_darker(id: str) -> bool:
        grey, mask = image_set.image(id).mean(axis=2), image_set.mask(id)
        return bool(grey[mask].mean() < grey[~mask].mean())

    assert inspect(image_set).problems == []
    assert np.mean([is_darker(id) for id in image_set.ids[::10]]) > 0.9
