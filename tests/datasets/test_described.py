"""Folders with a dataset.yaml: what it may say, and what is read of images and masks then."""

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from medbench.bench.errors import MedbenchError, UnknownNameError
from medbench.bench.metrics import IGNORED, LESION, Target
from medbench.datasets.catalog import DATASETS, open_dataset
from medbench.datasets.described.description import MODALITIES, Description, read_description
from medbench.datasets.described.folder import SHIPPED, DescribedSet, read_described
from medbench.datasets.described.proposing import propose
from medbench.datasets.inspection import inspect
from medbench.datasets.layouts import read_folder

from ..image_files import LESION as LESION_PIXELS
from ..image_files import PICTURE, save

CODES = np.array([[0, 1, 2, 2], [0, 0, 1, 2]], np.uint8)
GREY = np.arange(0, 240, 30, dtype=np.uint8).reshape(2, 4)
THREE = "classes: [background, cytoplasm, nucleus]\n"


def described(root: Path, text: str, mask: NDArray[Any] | None = CODES, image: NDArray[Any] = GREY) -> DescribedSet:
    """A set of one image, `a`, in grey."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    np.save(root / "images" / "a.npy", image)
    if mask is not None:
        save(root / "masks" / "a.png", mask)
    (root / "dataset.yaml").write_text(text)
    return read_described(root)


def test_a_list_of_classes_gives_indices_their_names(tmp_path: Path) -> None:
    found = described(tmp_path, THREE)

    assert found.target == Target(("cytoplasm", "nucleus"))
    assert found.mask("a").tolist() == CODES.tolist()
    assert inspect(found).problems == []


def test_a_mapping_names_the_levels_that_files_hold(tmp_path: Path) -> None:
    levels = np.array([0, 128, 255], np.uint8)[CODES]

    found = described(tmp_path, "classes: {0: background, 128: cytoplasm, 255: nucleus}\n", levels)

    assert found.target == Target(("cytoplasm", "nucleus"))
    assert found.mask("a").tolist() == CODES.tolist()


@given(st.lists(st.integers(0, 255), min_size=3, max_size=8, unique=True), st.data())
def test_any_levels_become_codes_in_the_order_of_the_classes(levels: list[int], data: st.DataObject) -> None:
    levels = [0, *(level for level in levels if level)]
    codes = np.array(data.draw(st.lists(st.integers(0, len(levels) - 1), min_size=6, max_size=6))).reshape(2, 3)
    plain = {level: f"class {place}" for place, level in enumerate(levels)}
    found = DescribedSet(Description.model_validate({"classes": plain}), "x", Path(), [])
    pixels = np.array(levels, np.uint8)[codes]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medbench.datasets.described.folder.read_codes", lambda path: pixels)
        patch.setattr(found, "files", lambda id: (Path("x"), Path("x")))
        assert (found.mask("a") == codes).all() if len(levels) > 2 else (found.mask("a") == (codes > 0)).all()


@pytest.mark.parametrize("form", ["grey", "palette", "npy", "npy of floats", "16 bits", "grey saved as RGB"])
def test_classes_are_read_alike_from_every_kind_of_file(tmp_path: Path, form: str) -> None:
    found = described(tmp_path, THREE, CODES)
    path = tmp_path / "masks" / "a.png"
    if form == "palette":
        image = Image.fromarray(CODES, "L").convert("P")
        image.putpalette([255, 255, 255, 0, 0, 0, 9, 200, 9])  # brightness would say something else than the index
        image.putdata(CODES.ravel().tolist())
        image.save(path)
    elif form.startswith("npy"):
        path.unlink()
        np.save(path.with_suffix(".npy"), CODES.astype(np.float32) if "floats" in form else CODES)
        found = read_described(tmp_path)
    elif form == "16 bits":
        save(path, CODES.astype(np.uint16))
    elif form == "grey saved as RGB":
        save(path, np.repeat(CODES[..., None], 3, axis=2))

    assert found.mask("a").tolist() == CODES.tolist()
    assert found.mask("a").dtype == np.uint8


def test_an_ignored_level_has_the_code_of_what_nobody_labelled(tmp_path: Path) -> None:
    mask = CODES.copy()
    mask[0, 0] = 200

    found = described(tmp_path, f"{THREE}ignore: 200\n", mask)

    assert found.target == Target(("cytoplasm", "nucleus"), ignores=True)
    assert found.mask("a")[0].tolist() == [IGNORED, 1, 2, 2]
    assert inspect(found).areas == {"a": {"background": 2, "cytoplasm": 2, "nucleus": 3}}


@pytest.mark.parametrize("white", [1, 255])
def test_two_classes_are_one_structure_read_as_ever(tmp_path: Path, white: int) -> None:
    mask = (CODES > 0) * np.uint8(white)

    found = described(tmp_path, "classes: [tissue, polyp]\n", mask)

    assert found.target == Target(("polyp",), background="tissue")
    assert found.mask("a").dtype == np.bool_
    assert found.mask("a").tolist() == (CODES > 0).tolist()


def test_two_classes_of_a_palette_are_told_by_index_not_by_brightness(tmp_path: Path) -> None:
    found = described(tmp_path, "classes: [tissue, polyp]\n")
    image = Image.fromarray((CODES > 0).astype(np.uint8), "P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "masks" / "a.png")

    assert found.mask("a").tolist() == (CODES > 0).tolist()


def test_without_a_name_a_palette_is_read_as_ever(tmp_path: Path) -> None:
    found = described(tmp_path, "modality: ct\n")
    image = Image.fromarray((CODES > 0).astype(np.uint8), "P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "masks" / "a.png")

    assert found.mask("a").tolist() == (CODES == 0).tolist()
    assert inspect(found).areas["a"]["lesion"] == (CODES == 0).sum()


def test_two_classes_with_ignored_pixels_have_codes(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 255, 255]], np.uint8)

    found = described(tmp_path, "classes: [tissue, polyp]\nignore: 255\n", mask)

    assert found.mask("a").tolist() == [[0, 1, 255, 255]]


def test_a_level_without_a_class_is_an_error_that_names_file_level_and_classes(tmp_path: Path) -> None:
    [problem] = inspect(described(tmp_path, "classes: {0: none, 2: nucleus, 7: rest}\n")).problems

    assert (problem.kind, str(problem)) == (
        "error",
        "masks/a.png: no class has the level 1; known are 0 none, 2 nucleus, 7 rest: name what is missing among the "
        "classes, or mend the mask",
    )


def test_a_class_mask_as_jpeg_or_in_colours_is_refused(tmp_path: Path) -> None:
    found = described(tmp_path, THREE, np.stack([CODES, 9 - CODES, CODES], axis=2))
    with pytest.raises(MedbenchError, match=r"a\.png: holds colours; save the number of each pixel's class"):
        found.mask("a")

    (tmp_path / "masks" / "a.png").unlink()
    save(tmp_path / "masks" / "a.jpg", CODES)
    with pytest.raises(MedbenchError, match="JPEG moves the levels of classes; save masks as PNG"):
        read_described(tmp_path).mask("a")


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("text", ["modality: ct\n", "labels: [disc]\n", THREE, "classes: [a, b]\nignore: 9\n"])
def test_a_mask_with_a_value_that_is_no_number_is_refused(tmp_path: Path, text: str, strange: float) -> None:
    mask = np.full((2, 4), 0.9, np.float32)
    mask[0, :2] = 0, strange
    path = tmp_path / "masks" / ("disc" if "disc" in text else "") / "a.npy"
    path.parent.mkdir(parents=True)
    np.save(path, mask)

    found = inspect(described(tmp_path, f"{text}channels: 1\n", mask=None), tmp_path / "cache")

    [problem] = found.problems
    assert str(problem).split(";")[0] in (
        f"{path.relative_to(tmp_path)}: holds NaN or infinite values",
        f"{path.relative_to(tmp_path)}: holds fractions",
    )


def test_overlapping_labels_are_read_from_a_folder_each(tmp_path: Path) -> None:
    disc, cup = CODES > 0, CODES > 1
    save(tmp_path / "masks" / "Disc" / "a.png", disc)
    save(tmp_path / "masks" / "cup" / "a_mask.png", cup * np.uint8(255))

    found = described(tmp_path, "labels: [disc, cup]\nchannels: 1\n", mask=None)

    assert found.target == Target(("disc", "cup"), overlap=True)
    assert found.mask("a").tolist() == (disc + 2 * cup.astype(int)).tolist()
    assert found.files("a") == tuple(
        tmp_path / each for each in ("images/a.npy", "masks/Disc/a.png", "masks/cup/a_mask.png")
    )
    content = b"".join(path.read_bytes() for path in found.files("a"))
    assert found.digest("a") == hashlib.sha256(found.reading.encode() + content).hexdigest()
    inspection = inspect(found)
    assert inspection.problems == []
    assert {each: coding.name for each, coding in inspection.codings.items()} == {"disc/a": "0/1", "cup/a": "0/255"}
    assert inspection.areas == {"a": {"background": 3, "disc": 5, "cup": 3}}


def test_a_missing_mask_of_one_label_is_an_error_that_names_both(tmp_path: Path) -> None:
    for id in "ab":
        save(tmp_path / "images" / f"{id}.png", PICTURE)
        save(tmp_path / "masks" / "disc" / f"{id}.png", LESION_PIXELS)
    save(tmp_path / "masks" / "cup" / "a.png", LESION_PIXELS)
    save(tmp_path / "masks" / "stray.png", LESION_PIXELS)
    (tmp_path / "dataset.yaml").write_text("labels: [disc, cup]\n")

    found = read_described(tmp_path)

    assert found.ids == ("a",)
    assert [str(problem) for problem in found.unmatched] == [
        "masks/stray.png: lies in the folder of no label (disc, cup); name its label in dataset.yaml, or move it",
        "masks/cup: has no mask of b, and there is masks/disc/b.png; add an empty one",
    ]
    assert {problem.kind for problem in found.unmatched} == {"error"}


def test_masks_of_labels_that_differ_in_size_and_levels_are_told(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", PICTURE)
    save(tmp_path / "masks" / "disc" / "a.png", LESION_PIXELS)
    save(tmp_path / "masks" / "cup" / "a.png", LESION_PIXELS[:, :9])
    (tmp_path / "dataset.yaml").write_text("labels: [disc, cup]\n")

    told = [str(problem) for problem in inspect(read_described(tmp_path)).problems]

    assert told == [
        "masks/cup/a.png: is not as large as the mask of disc: 9x6 and 10x6",
        "masks/cup/a.png: the mask is 9x6, the image 10x6",
    ]


def test_a_label_without_any_mask_is_told_when_the_set_is_opened(tmp_path: Path) -> None:
    save(tmp_path / "masks" / "disc" / "a.png", LESION_PIXELS)

    with pytest.raises(MedbenchError, match=r"dataset\.yaml: labels: no masks of 'cup'; they go into .*masks/cup"):
        described(tmp_path, "labels: [disc, cup]\n", mask=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clases: [a, b]", "unknown key of .*dataset.yaml 'clases'. Did you mean 'classes'"),
        ("classes: a", "classes: write a list of names"),
        ("classes: [a]", "classes: needs the background and from 1 to 254 other classes, got 1 names"),
        ("classes: [no, yes]", "classes: a name is a text, got False; put it between quotes"),
        ("classes: [a, b, A]", "classes: two have the name 'a'; rename one"),
        ("classes: {1: b, 0: a}", "classes: the first class is the background: write level 0 first"),
        ("classes: {a: b, c: d}", "classes: a level is a whole number from 0 to 65535, got 'a'"),
        ("labels: [a, b, c, d, e, f, g, h, i]", "labels: write a list of 1 to 8 names"),
        ("classes: [a, b]\nlabels: [c]", "classes and labels: keep one"),
        ("ignore: 3", "ignore: goes with classes"),
        ("labels: [a]\nignore: 3", "ignore: goes with classes"),
        ("classes: [a, b, c]\nignore: 2", "ignore: the level 2 is that of a class"),
        ("channels: 0", "channels: Input should be greater than or equal to 1, got 0"),
        ("channels: '1'", "channels: Input should be a valid integer, got '1'"),
        ("spacing: [0.5]", r"spacing: say two numbers.*got \[0.5\]"),
        ("spacing: [0.5, -1]", "spacing: Input should be greater than 0, got -1"),
        ("modality: mrt", "modality: Input should be 'dermoscopy', 'mri', .*got 'mrt'"),
        ("[a, b]", "needs keys with values"),
        ("a: [", "2: is not valid YAML"),
        ("group: patient", "group: .* has no labels.csv or metadata.csv; put it there, or leave group out"),
        ("table: mine.csv", "table: .* has no mine.csv"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MedbenchError, match=message) as told:
        described(tmp_path, text + "\n")

    assert "dataset.yaml" in str(told.value)
    assert "\n" not in str(told.value)


def test_an_unknown_key_is_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        described(tmp_path, "chanels: 1\n")


def test_groups_and_labels_come_from_the_table(tmp_path: Path) -> None:
    for id in "abc":
        save(tmp_path / "images" / f"{id}.png", PICTURE)
        save(tmp_path / "masks" / f"{id}.png", LESION_PIXELS)
    (tmp_path / "labels.csv").write_text("image,patient,diagnosis\na.png,1,benign\nb,1,\nd,2,benign\n")
    (tmp_path / "dataset.yaml").write_text("group: patient\nlabel: diagnosis\nspacing: [0.5, 2]\nmodality: fundus\n")

    found = read_described(tmp_path)

    assert found.groups == {"a": "a", "b": "a", "c": "c"}
    assert found.label == "diagnosis"
    assert found.labels_of("diagnosis") == {"a": "benign"}
    assert found.labels_of("patient") == {"a": "1", "b": "1"}
    assert (found.spacing, found.modality) == ((0.5, 2), "fundus")
    assert [(problem.file, problem.id, problem.kind) for problem in found.unmatched] == [
        ("labels.csv", "d", "note"),
        ("images/c.png", "c", "note"),
    ]
    with pytest.raises(MedbenchError, match=r"labels\.csv: no column 'stage'"):
        found.labels_of("stage")


@pytest.mark.parametrize("key", ["group", "label"])
def test_a_column_that_the_table_lacks_is_told_when_the_set_is_opened(tmp_path: Path, key: str) -> None:
    tmp_path.joinpath("labels.csv").write_text("image,patient\na,1\n")

    with pytest.raises(MedbenchError, match=r"labels\.csv: no column 'diagnosis'"):
        described(tmp_path, f"{THREE}{key}: diagnosis\n")


def test_of_two_tables_one_must_be_named(tmp_path: Path) -> None:
    for name in ("labels.csv", "metadata.csv"):
        tmp_path.joinpath(name).write_text(f"image,group\na,{name}\n")

    with pytest.raises(MedbenchError, match=r"say which with table: labels\.csv"):
        described(tmp_path, f"{THREE}group: group\n")

    assert described(tmp_path, f"{THREE}group: group\ntable: metadata.csv\n").labels_of("group") == {
        "a": "metadata.csv"
    }


@pytest.mark.parametrize("text", ["spacing: [0.5, 0.5]\n", ""])
@pytest.mark.parametrize("tables", [("metadata.csv",), ("labels.csv",), ("labels.csv", "metadata.csv")])
def test_the_column_group_of_any_table_counts_where_none_is_named(
    tmp_path: Path, tables: tuple[str, ...], text: str
) -> None:
    for id in "abc":
        save(tmp_path / "images" / f"{id}.png", PICTURE)
        save(tmp_path / "masks" / f"{id}.png", LESION_PIXELS)
    if text:
        (tmp_path / "dataset.yaml").write_text(text)
    (tmp_path / tables[0]).write_text("image,stage\na,II\nb,III\nc,II\n")
    (tmp_path / tables[-1]).write_text(
        f"image,group{',stage' if len(tables) == 1 else ''}\na,p1,II\nb,p1,III\nc,p2,II\n"
    )

    found = open_dataset(folder=tmp_path)

    assert found.groups == {"a": "a", "b": "a", "c": "c"}
    assert found.labels_of("stage") == {"a": "II", "b": "III", "c": "II"}
    assert {*found.columns} == {"image", "group", "stage"}


@pytest.mark.parametrize("text", ["modality: ct\n", ""])
def test_a_column_that_two_tables_have_is_asked_for_in_vain(tmp_path: Path, text: str) -> None:
    save(tmp_path / "images" / "a.png", PICTURE)
    save(tmp_path / "masks" / "a.png", LESION_PIXELS)
    if text:
        (tmp_path / "dataset.yaml").write_text(text)
    for name, columns in (("labels.csv", "image,stage"), ("metadata.csv", "image,group,stage")):
        (tmp_path / name).write_text(f"{columns}\na,II,II\n")

    found = open_dataset(folder=tmp_path)

    with pytest.raises(
        MedbenchError, match=r"labels\.csv: has a column 'stage', and so has metadata\.csv: take it out"
    ):
        found.labels_of("stage")
    with pytest.raises(MedbenchError, match=r"labels\.csv and .*metadata\.csv: no column 'grade'"):
        found.labels_of("grade")


def test_sets_without_a_description_know_their_tables_too(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", PICTURE)
    save(tmp_path / "masks" / "a.png", LESION_PIXELS)
    with pytest.raises(MedbenchError, match=r"put labels\.csv with the columns image and stage into"):
        read_folder(tmp_path).labels_of("stage")

    (tmp_path / "labels.csv").write_text("image,stage\na,II\n")

    assert read_folder(tmp_path).labels_of("stage") == {"a": "II"}


def test_a_description_of_nothing_but_modality_changes_neither_digest_nor_mask(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", PICTURE)
    save(tmp_path / "masks" / "a.png", LESION_PIXELS)
    before = read_folder(tmp_path)
    (tmp_path / "dataset.yaml").write_text("modality: dermoscopy\n")

    after = open_dataset(folder=tmp_path)

    assert (after.target, after.modality, after.digest("a")) == (LESION, "dermoscopy", before.digest("a"))
    assert after.image("a").tolist() == before.image("a").tolist()
    assert after.mask("a").tolist() == before.mask("a").tolist()


def test_the_digest_changes_with_what_levels_mean_and_not_with_names(tmp_path: Path) -> None:
    texts = (THREE, "classes: [ground, plasma, core]\n", "classes: {0: a, 2: b, 1: c}\n", f"{THREE}channels: 1\n")

    digests = [described(tmp_path, text).digest("a") for text in texts]

    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_what_was_remembered_of_a_set_is_looked_at_again_when_its_description_changes(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert inspect(described(tmp_path / "set", "classes: {0: a, 1: b, 3: c}\n"), cache).problems

    assert inspect(described(tmp_path / "set", THREE), cache).problems == []


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.yaml")))
def test_known_sets_come_with_their_description(name: str) -> None:
    told = read_description(SHIPPED / f"{name}.yaml")

    assert told.classes
    assert told.modality in MODALITIES
    assert (DATASETS[name].licence, DATASETS[name].citation) == (told.licence, told.cite)
    assert told.licence and told.cite  # noqa: PT018


def test_a_folder_of_a_known_set_may_bring_its_own_description(tmp_path: Path) -> None:
    save(tmp_path / "wbc" / "images" / "a.png", np.repeat(GREY[..., None], 3, axis=2))
    save(tmp_path / "wbc" / "masks" / "a.png", CODES)
    (tmp_path / "wbc" / "labels.csv").write_text("image,label\na,basophil\n")

    assert open_dataset("wbc", data=tmp_path).target.names == ("cytoplasm", "nucleus")
    (tmp_path / "wbc" / "dataset.yaml").write_text("classes: [a, b, c]\n")
    assert open_dataset("wbc", data=tmp_path).target.names == ("b", "c")


@pytest.mark.parametrize("place", ["dataset.yaml", "dataset.yml", "x/dataset.yaml", "x/y/Dataset.yml"])
def test_a_description_is_found_where_images_and_masks_are(tmp_path: Path, place: str) -> None:
    home = tmp_path / "wbc" / "x" / "y"
    save(home / "images" / "a.png", GREY)
    save(home / "masks" / "a.png", CODES)
    (tmp_path / "wbc" / place).write_text("classes: [a, b, c]\nchannels: 1\n")

    own, known = open_dataset(folder=tmp_path / "wbc"), open_dataset("wbc", data=tmp_path)

    assert (own.target.names, own.channels) == (known.target.names, known.channels) == (("b", "c"), 1)
    with pytest.raises(MedbenchError, match=rf"{place}: is there already"):
        propose(tmp_path / "wbc")


def test_of_two_descriptions_none_is_chosen(tmp_path: Path) -> None:
    described(tmp_path, THREE)
    (tmp_path / "dataset.yml").write_text("classes: [a, b, c]\n")

    with pytest.raises(MedbenchError, match=r"dataset\.yaml: there is .*dataset\.yml too; keep the one that is meant"):
        open_dataset(folder=tmp_path)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "n_images", "n_groups", "n_labels", "channels", "codes"),
    [
        ("acdc", 1902, 99, 5, 1, {0, 1, 2, 3}),
        ("wbc", 400, 400, 5, 3, {0, 1, 2}),
        ("busi", 780, 645, 3, 1, {0, 1}),
        ("cvc_clinicdb", 609, 29, 0, 3, {0, 1}),
        ("dsb2018", 664, 664, 3, 3, {0, 1}),
    ],
)
def test_real_sets_of_other_modalities_are_read(
    real_data: Path, name: str, n_images: int, n_groups: int, n_labels: int, channels: int, codes: set[int]
) -> None:
    if not (real_data / name).is_dir():
        pytest.skip(f"no real data: {name}/")
    found = open_dataset(name, data=real_data)

    assert (len(found), len(set(found.groups.values())), found.channels) == (n_images, n_groups, channels)
    assert len(set(found.labels_of(found.label).values()) if found.label else ()) == n_labels
    some = found.ids[::97]
    assert set().union(*(np.unique(found.mask(id)).tolist() for id in some)) == codes
    assert {found.image(id).shape[2] for id in some} == {channels}
    assert found.unmatched == ()


def test_the_keys_that_decide_what_is_read_are_in_the_digest() -> None:
    told = Description.model_validate({"classes": {0: "a", 9: "b"}, "channels": 1, "ignore": 3})

    assert json.loads(told.reading) == {"channels": 1, "levels": [0, 9], "ignore": 3}
    assert Description.model_validate({"licence": "mine", "modality": "ct"}).reading == ""


@pytest.mark.parametrize("depth", [np.uint16, np.float32])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_pictures_of_many_bits_and_channels_keep_every_value(tmp_path: Path, depth: Any, ending: str) -> None:
    if (depth, ending) == (np.float32, "png"):
        pytest.skip("PNG holds no floats")
    values = np.arange(24, dtype=depth).reshape(2, 4, 3) * 1000
    found = described(tmp_path, THREE)
    (tmp_path / "images" / "a.npy").unlink()
    path = tmp_path / "images" / f"a.{ending}"
    path.write_bytes(cv2.imencode(f".{ending}", values[..., ::-1])[1].tobytes())
    found = read_described(tmp_path)

    assert found.is_wide
    assert found.image("a").dtype == depth
    assert found.image("a").tolist() == values.tolist()

    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(MedbenchError, match=rf"a\.{ending}: cannot be decoded"):
        found.image("a")


@pytest.mark.parametrize(
    ("stored", "channels", "shape", "kind"),
    [
        (np.zeros((2, 4), np.uint8), 3, (2, 4, 3), np.uint8),
        (np.zeros((2, 4, 4), np.uint8), 3, (2, 4, 3), np.uint8),
        (np.zeros((2, 4, 3), np.uint8), 1, (2, 4, 1), np.uint8),
        (np.zeros((2, 4, 7), np.uint16), 7, (2, 4, 7), np.uint16),
        (np.full((2, 4), -1000, np.int16), 1, (2, 4, 1), np.int16),
        (np.full((2, 4), -1000, np.int64), 1, (2, 4, 1), np.int16),
        (np.full((2, 4), 60000, np.int32), 1, (2, 4, 1), np.uint16),
        (np.full((2, 4), 0.5), 1, (2, 4, 1), np.float32),
    ],
)
def test_arrays_are_brought_to_their_channels_and_kept_in_few_kinds(
    tmp_path: Path, stored: NDArray[Any], channels: int, shape: tuple[int, ...], kind: Any
) -> None:
    found = described(tmp_path, f"{THREE}channels: {channels}\n", image=stored)

    assert (found.image("a").shape, found.image("a").dtype, found.is_wide) == (shape, kind, kind != np.uint8)
    assert (found.image("a") == stored.flat[0]).all()


@pytest.mark.parametrize(
    ("stored", "channels", "message"),
    [
        (np.zeros((7, 2, 4), np.uint8), 7, r"has 4 channels \(shape \(7, 2, 4\)\); dataset.yaml says channels: 7"),
        (PICTURE, 1, "is in colour; say channels: 3 in dataset.yaml, or save it as grey"),
        (np.full((2, 4), np.nan), 1, "holds NaN or infinite values"),
        (np.zeros((2, 4), np.bool_), 1, "holds True and False, no image"),
        (np.zeros((2, 4), "U3"), 1, "not numbers"),
        (np.array([[{}]]), 1, "cannot be decoded"),
    ],
)
def test_arrays_that_are_no_images_are_refused_by_name(
    tmp_path: Path, stored: NDArray[Any], channels: int, message: str
) -> None:
    found = described(tmp_path, f"{THREE}channels: {channels}\n", image=stored)

    with pytest.raises(MedbenchError, match=rf"images/a\.npy: .*{message}"):
        found.image("a")


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.jpg", "L"), ("a.jpg", None), ("a.png", "P"), ("a.png", "LA"), ("a.bmp", None), ("a.tif", "1")],
)
def test_pictures_of_8_bits_are_what_they_are_without_a_description(
    tmp_path: Path, name: str, mode: str | None
) -> None:
    save(tmp_path / "images" / name, PICTURE, mode)
    save(tmp_path / "masks" / "a.png", LESION_PIXELS)
    before = read_folder(tmp_path).image("a")
    (tmp_path / "dataset.yaml").write_text("classes: [skin, lesion]\n")

    assert read_described(tmp_path).image("a").tolist() == before.tolist()


def test_pages_of_a_tiff_are_channels_where_that_many_are_declared(tmp_path: Path) -> None:
    described(tmp_path, f"{THREE}channels: 5\n")
    (tmp_path / "images" / "a.npy").unlink()
    pages = [Image.fromarray(GREY + np.uint8(page)) for page in range(5)]
    pages[0].save(tmp_path / "images" / "a.tif", save_all=True, append_images=pages[1:])

    image = read_described(tmp_path).image("a")

    assert image.tolist() == np.stack([GREY + page for page in range(5)], axis=2).tolist()


def test_images_of_different_depth_in_one_set_are_refused(tmp_path: Path) -> None:
    described(tmp_path, f"{THREE}channels: 1\n")
    np.save(tmp_path / "images" / "b.npy", GREY.astype(np.uint16))
    save(tmp_path / "masks" / "b.png", CODES)

    [problem] = inspect(read_described(tmp_path)).problems

    assert str(problem) == "images/b.npy: is stored as uint16, the image a has 8 bits; save all alike"


def test_nifti_without_nibabel_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described(tmp_path, f"{THREE}channels: 1\n")
    (tmp_path / "images" / "a.npy").rename(tmp_path / "images" / "a.nii.gz")
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)

    with pytest.raises(MedbenchError, match=r"a\.nii\.gz: NIfTI files need nibabel: pip install 'medbench\[nifti\]'"):
        read_described(tmp_path).image("a")


def test_nifti_slices_are_read_and_volumes_refused(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    found = described(tmp_path, f"{THREE}channels: 1\n", mask=None)
    (tmp_path / "images" / "a.npy").unlink()
    (tmp_path / "masks").mkdir()
    for folder, values in (("images", GREY.astype(np.int16) - 100), ("masks", CODES)):
        nibabel.save(nibabel.Nifti1Image(values[..., None], np.eye(4)), tmp_path / folder / "a.nii.gz")
    found = read_described(tmp_path)

    assert found.image("a")[..., 0].tolist() == (GREY.astype(int) - 100).tolist()
    assert found.mask("a").tolist() == CODES.tolist()

    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 4, 3)), np.eye(4)), tmp_path / "images" / "a.nii.gz")
    with pytest.raises(MedbenchError, match="is a volume of 2 x 4 x 3; save its slices"):
        found.image("a")
