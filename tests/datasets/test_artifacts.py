"""Synthetic artifacts: pure, graded, of the same meaning at every size, and masked to the pixel."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.errors import MedbenchError
from medbench.bench.store.records import damage
from medbench.datasets.artifacts import ARTIFACTS, LOCAL, SEVERITIES, paint
from medbench.datasets.artifacts.painted import PaintedSet
from medbench.datasets.artifacts.painting import VISIBLE
from medbench.datasets.catalog import open_dataset
from medbench.datasets.inspection import inspect
from medbench.datasets.synthetic import SyntheticSet

from ..image_files import save

KINDS = sorted(ARTIFACTS)
GRADED_BY_COVER = sorted(LOCAL)
GRADED_BY_PSNR = sorted({*KINDS} - {*LOCAL})


def skin(height: int = 192, width: int = 256) -> NDArray[np.uint8]:
    """The same picture at any size: a dark lesion with texture on light skin."""
    image = SyntheticSet(images=3, size=1024).image("synthetic-00001")
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def painted(kind: str, severity: int, image: NDArray[np.uint8], id: str = "a", seed: int = 0):
    return paint(image, id=id, kind=kind, severity=severity, seed=seed)


@pytest.mark.parametrize("kind", KINDS)
def test_painting_is_a_function_of_image_id_kind_severity_and_seed(kind: str) -> None:
    image = skin()

    first, again = painted(kind, 3, image)[0], painted(kind, 3, image)[0]

    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(image, skin())
    if kind not in ("defocus", "contrast", "jpeg", "brightness"):  # nothing to draw, or little
        assert not np.array_equal(first, painted(kind, 3, image, id="b")[0])
        assert not np.array_equal(first, painted(kind, 3, image, seed=1)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(192, 256), (300, 200), (32, 32)])
def test_the_mask_holds_every_pixel_that_changed_visibly_and_no_other(kind: str, shape: tuple[int, int]) -> None:
    image = skin(*shape)

    for severity in SEVERITIES:
        changed, mask = painted(kind, severity, image)

        assert (changed.shape, changed.dtype, mask.shape, mask.dtype) == (image.shape, np.uint8, shape, np.bool_)
        difference = np.abs(changed.astype(int) - image).max(axis=2)
        np.testing.assert_array_equal(mask, difference >= VISIBLE)


@pytest.mark.parametrize("kind", GRADED_BY_COVER)
@pytest.mark.parametrize("id", ["a", "b", "c"])
def test_a_higher_severity_covers_more(kind: str, id: str) -> None:
    image = np.full((192, 256, 3), 200, np.uint8)

    cover = [painted(kind, severity, image, id)[1].mean() for severity in SEVERITIES]

    assert cover[0] > 0
    assert all(more > 1.15 * less for less, more in pairwise(cover))


@pytest.mark.parametrize("kind", ["hair", "corners", "patch"])
def test_a_higher_severity_adds_to_what_a_lower_one_covers(kind: str) -> None:
    image = np.full((192, 256, 3), 200, np.uint8)

    masks = [painted(kind, severity, image)[1] for severity in SEVERITIES]

    assert all((less & ~more).sum() <= 0.02 * less.sum() for less, more in pairwise(masks))


@pytest.mark.parametrize("kind", GRADED_BY_PSNR)
def test_a_higher_severity_leaves_less_of_the_signal(kind: str) -> None:
    grain = np.random.default_rng(0).normal(0, 2, (192, 256, 3))
    image = np.clip(skin() + grain, 0, 255).astype(np.uint8)

    psnr = [cv2.PSNR(image, painted(kind, severity, image)[0]) for severity in SEVERITIES]

    assert all(less > more + 0.5 for less, more in pairwise(psnr))


@pytest.mark.parametrize("kind", GRADED_BY_COVER)
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_a_severity_lays_as_much_paint_on_a_small_image_as_on_a_large_one(kind: str, severity: int) -> None:
    """In mean change of level: the mask of a strand thinner than a pixel is wider than the strand."""
    small, large = (np.full((side, side * 4 // 3, 3), 200, np.uint8) for side in (192, 1000))

    paint = [
        np.mean([cv2.absdiff(painted(kind, severity, image, id)[0], image).mean() for id in "abcd"])
        for image in (small, large)
    ]

    assert paint[0] == pytest.approx(paint[1], rel=0.2)


@pytest.mark.parametrize("kind", sorted({*GRADED_BY_PSNR} - {"noise"}))
def test_a_severity_takes_as_much_from_a_small_image_as_from_a_large_one(kind: str) -> None:
    psnr = [cv2.PSNR(image, painted(kind, 4, image)[0]) for image in (skin(192, 256), skin(768, 1024))]

    assert psnr[0] == pytest.approx(psnr[1], abs=2.5)


@pytest.mark.parametrize("kind", GRADED_BY_COVER)
def test_geometry_does_not_depend_on_the_size(kind: str) -> None:
    small, large = (np.full((side, side, 3), 200, np.uint8) for side in (192, 768))

    masks = [painted(kind, 5, image)[1].astype(np.float32) for image in (small, large)]

    shrunk = cv2.resize(masks[1], (192, 192), interpolation=cv2.INTER_AREA)
    places = [np.asarray(cv2.GaussianBlur(mask, (0, 0), 6)).ravel() for mask in (masks[0], np.asarray(shrunk))]
    correlation: Any = np.corrcoef(np.stack(places))
    assert correlation[0, 1] > 0.85


def test_hair_is_thin_and_much_longer_than_wide() -> None:
    image = np.full((768, 1024, 3), 200, np.uint8)

    mask = painted("hair", 3, image, id="long")[1].astype(np.uint8)

    widest = 2 * np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 5)).max()
    assert widest < 0.04 * 768
    assert mask.any(axis=0).mean() > 0.5


def test_hair_is_darker_than_light_skin_and_corners_are_black() -> None:
    image = np.full((192, 256, 3), 230, np.uint8)

    strands, mask = painted("hair", 3, image)
    field, _ = painted("corners", 5, image)

    assert strands[mask].mean() < 200
    assert field[0, 0].max() < 30
    assert field[96, 128].tolist() == [230, 230, 230]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "hairs"}, "unknown artifact 'hairs'. Did you mean 'hair'?"),
        ({"severity": 0}, "severity must be 1 to 5, got 0"),
        ({"severity": 6}, "severity must be 1 to 5, got 6"),
        ({"image": np.zeros((31, 90, 3), np.uint8)}, "a: 90x31 is too small to paint on"),
    ],
)
def test_what_cannot_be_painted_is_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MedbenchError, match=message.replace("?", r"\?")):
        paint(**{"image": skin(), "id": "a", "kind": "hair", "severity": 1, **options})


def test_a_painted_set_keeps_masks_and_groups_and_has_digests_of_its_own() -> None:
    clean = SyntheticSet(images=4, size=64)

    hairy, worse = (PaintedSet(clean, clean.ids[:2], kind="hair", severity=severity) for severity in (2, 3))

    assert hairy.ids == clean.ids[:2]
    assert not np.array_equal(hairy.image(hairy.ids[0]), clean.image(hairy.ids[0]))
    np.testing.assert_array_equal(hairy.mask(hairy.ids[0]), clean.mask(hairy.ids[0]))
    assert hairy.artifact_mask(hairy.ids[0]).any()
    assert len({each.digest(clean.ids[0]) for each in (clean, hairy, worse)}) == 3


def run(*words: object) -> Any:
    return CliRunner().invoke(app, ["artifacts", *map(str, words)], env={"COLUMNS": "200"})


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "mole.jpg"
    Image.fromarray(skin()).save(path)
    return path


def test_one_image_gets_a_painted_copy_and_its_mask(image: Path, tmp_path: Path) -> None:
    result = run(image, "--kind", "hair", "--severity", 3, "-o", tmp_path / "out")

    assert result.exit_code == 0, result.output
    original = np.asarray(Image.open(image))
    painted_image = np.asarray(Image.open(tmp_path / "out" / "mole-hair-3.png"))
    mask = np.asarray(Image.open(tmp_path / "out" / "mole-hair-3-mask.png"))
    np.testing.assert_array_equal(painted_image, paint(original, id="mole", kind="hair", severity=3)[0])
    assert mask.dtype == np.bool_
    assert mask.any()


def test_without_a_kind_one_image_gets_a_contact_sheet(image: Path, tmp_path: Path) -> None:
    result = run(image, "-o", tmp_path / "out")

    assert result.exit_code == 0, result.output
    sheet = np.asarray(Image.open(tmp_path / "out" / "mole-artifacts.png"))
    assert sheet.shape == (len(KINDS) * 144, 6 * 192, 3)


def test_a_whole_set_is_a_folder_set_that_can_be_read_again(tmp_path: Path) -> None:
    out = tmp_path / "painted"

    result = run("synthetic", "--kind", "ruler", "--severity", 2, "-o", out)

    assert result.exit_code == 0, result.output
    clean, found = open_dataset("synthetic"), open_dataset(folder=out)
    assert found.ids == clean.ids
    np.testing.assert_array_equal(found.mask(found.ids[0]), clean.mask(clean.ids[0]))
    np.testing.assert_array_equal(
        found.image(found.ids[0]), paint(clean.image(clean.ids[0]), id=clean.ids[0], kind="ruler", severity=2)[0]
    )
    made = json.loads((out / "made.json").read_text())
    assert (made["set"], made["kind"], made["severity"], len(made["images"])) == ("synthetic", "ruler", 2, 400)
    assert damage(out) == []


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        (
            "classes: {0: a, 100: b, 200: c}\nignore: 7\ngroup: patient\nlabel: stage\nspacing: [0.5, 2]\n",
            [0, 100, 200, 7],
        ),
        ("labels: [disc, cup]\nmodality: fundus\n", [0, 255, 0, 255]),
        ("labels: [disc]\ntable: labels.csv\n", [0, 255, 0, 255]),
        ("classes: [a, b]\n", [0, 255, 0, 255]),
    ],
)
def test_a_described_set_is_one_again(tmp_path: Path, text: str, levels: list[int]) -> None:
    root = tmp_path / "set"
    for place, id in enumerate("abc"):
        mask = np.roll(np.repeat(np.array(levels, np.uint8), 16), place)[None].repeat(64, axis=0)
        save(root / "images" / f"{id}.png", skin(64, 64))
        for turn, label in enumerate([label for label in ("disc", "cup") if label in text] or [""]):
            save(root / "masks" / label / f"{id}.png", np.rot90(mask, turn))
    (root / "labels.csv").write_text("image,patient,stage,group\na,1,II,g\nb,1,,g\nc,2,III,h\n")
    (root / "dataset.yaml").write_text(text)

    result = run(f"folder:{root}", "--kind", "hair", "--severity", 2, "-o", tmp_path / "out")

    assert result.exit_code == 0, result.output
    clean, found = open_dataset(folder=root), open_dataset(folder=tmp_path / "out")
    assert (found.target, found.spacing, found.modality, found.label) == (
        clean.target,
        clean.spacing,
        clean.modality,
        clean.label,
    )
    assert found.groups == clean.groups == {"a": "a", "b": "a", "c": "c"}
    assert found.labels_of("stage") == {"a": "II", "c": "III"}
    for id in "abc":
        np.testing.assert_array_equal(found.mask(id), clean.mask(id))
    assert inspect(found).problems == []


@pytest.mark.parametrize(
    ("text", "pixels", "message"),
    [
        ("channels: 1\n", np.full((64, 64), 90, np.uint8), "its images have 1 channels"),
        ("modality: ct\n", np.full((64, 64, 3), 900, np.uint16), "its images have more than 8 bits"),
    ],
)
def test_images_that_cannot_be_painted_are_told(tmp_path: Path, text: str, pixels: NDArray[Any], message: str) -> None:
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images" / "a.npy", pixels)
    save(tmp_path / "masks" / "a.png", np.eye(64, dtype=np.bool_))
    (tmp_path / "dataset.yaml").write_text(text)

    result = run(f"folder:{tmp_path}", "--kind", "hair", "--severity", 1, "-o", tmp_path / "out")

    assert result.exit_code == 2
    assert f"{message}; artifacts are painted on RGB of 8 bits" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["synthetic", "--kind", "hairs", "--severity", 1], "unknown artifact 'hairs'"),
        (["synthetic", "--kind", "hair", "--severity", 9], "severity must be 1 to 5, got 9"),
        (["none.jpg", "--kind", "hair", "--severity", 1], "none.jpg"),
        (["synthetic"], "name a --kind and a --severity"),
        (["synthetic", "--kind", "hair"], "name a --kind and a --severity"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, words: list[object], message: str) -> None:
    result = run(*words, "-o", tmp_path / "out")

    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    result = run("synthetic", "--kind", "hair", "--severity", 1, "-o", tmp_path / "out")

    assert result.exit_code == 2
    assert "exists already" in result.output
