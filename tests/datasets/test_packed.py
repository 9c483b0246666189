"""The .npz files of MedSegBench."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medbench.bench.errors import MedbenchError
from medbench.bench.metrics import LESION, Target
from medbench.datasets.catalog import open_dataset
from medbench.datasets.inspection import inspect
from medbench.datasets.splits import make_split

SIZES = {"train": 3, "val": 2, "test": 1}


def packed(path: Path, *, channels: int = 3, top: int = 1, **others: Any) -> Path:
    """A file of random images whose masks hold 0 to `top`."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, n in SIZES.items():
        shape = (n, 6, 5) if channels == 1 else (n, 6, 5, channels)
        arrays[f"{part}_images"] = rng.integers(0, 256, shape).astype(np.uint8)
        arrays[f"{part}_label"] = np.arange(n * 30).reshape(n, 6, 5).astype(np.uint8) % (top + 1)
    arrays |= others
    np.savez_compressed(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_masks_keep_their_values_and_official_parts(tmp_path: Path, channels: int) -> None:
    path = packed(tmp_path / "kvasirmsb_256.npz", channels=channels)
    found = open_dataset(f"folder:{path}")

    assert (found.name, found.channels, found.target, len(found)) == ("kvasirmsb_256", channels, LESION, 6)
    split = make_split(found, "official")
    assert split.train == ("train-00000", "train-00001", "train-00002")
    assert (split.validation, split.test) == (("validation-00000", "validation-00001"), ("test-00000",))
    with np.load(path) as arrays:
        assert found.image("validation-00001").tolist() == arrays["val_images"][1].reshape(6, 5, channels).tolist()
        assert found.mask("train-00002").tolist() == (arrays["train_label"][2] > 0).tolist()
    inspection = inspect(found)
    assert inspection.problems == []
    assert len(set(inspection.digests.values())) == 6


def test_masks_of_0_and_255_and_with_a_last_axis_are_one_structure_too(tmp_path: Path) -> None:
    label = (np.arange(90).reshape(3, 6, 5, 1) % 2 * 255).astype(np.uint8)
    others: dict[str, Any] = {f"{part}_label": label[:n] for part, n in SIZES.items()}

    found = open_dataset(folder=packed(tmp_path / "a.npz", **others))

    assert found.mask("train-00000").tolist() == (label[0, ..., 0] > 0).tolist()


@pytest.mark.parametrize("ending", ["yaml", "yml"])
def test_classes_are_named_in_a_file_beside_it(tmp_path: Path, ending: str) -> None:
    path = packed(tmp_path / "wbc_128.npz", top=2)
    with pytest.raises(MedbenchError, match=r"masks hold 0, 1, 2, not 0 and 1 .* name the classes in wbc_128\.yaml"):
        open_dataset(folder=path)
    (tmp_path / f"wbc_128.{ending}").write_text("classes: [background, cytoplasm, nucleus]\nmodality: microscopy\n")

    found = open_dataset(folder=path)

    assert (found.target, found.modality) == (Target(("cytoplasm", "nucleus")), "microscopy")
    assert found.mask("train-00000")[0].tolist() == [0, 1, 2, 0, 1]
    assert inspect(found).areas["test-00000"] == {"background": 10, "cytoplasm": 10, "nucleus": 10}


def test_a_level_without_a_class_is_told_with_file_and_image(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.npz", top=3)
    (tmp_path / "a.yaml").write_text("classes: [background, cytoplasm, nucleus]\n")

    with pytest.raises(MedbenchError, match=r"a\.npz: train-00000: no class has the level 3; known are 0 background"):
        open_dataset(folder=path).mask("train-00000")


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"val_images": None}, "has no array val_images, only train_images, "),
        ({"val_label": None}, "has no array val_label"),
        ({"train_images": np.zeros((3, 6, 4, 3), np.uint8)}, r"training: images of the shape \(3, 6, 4, 3\), masks of"),
        ({"test_images": np.zeros((1, 6, 5, 3))}, "test_images holds float64"),
        ({"test_images": np.full((1, 6, 5, 3), np.inf, np.float32)}, "test_images holds NaN or infinite values"),
        ({"train_label": np.array([{}, {}, {}])}, r"cannot be read as \.npz of numbers"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_told_by_name(tmp_path: Path, others: dict[str, Any], message: str) -> None:
    path = packed(tmp_path / "a.npz", **others)

    with pytest.raises(MedbenchError, match=rf"a\.npz: .*{message}"):
        [open_dataset(folder=path).image(id) for id in ("train-00000", "validation-00000", "test-00000")]


def test_a_file_that_is_cut_short_or_absent_is_told(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.npz")
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(MedbenchError, match="download it again"):
        open_dataset(folder=path)
    with pytest.raises(MedbenchError, match=r"b\.npz: there is no such file"):
        open_dataset(folder=tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("group: patient", "group: goes with a folder of files"),
        ("labels: [a, b]", "labels: goes with a folder of files"),
        ("channels: 1", "channels: says 1, the images have 3"),
    ],
)
def test_a_description_that_does_not_fit_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)

    with pytest.raises(MedbenchError, match=rf"a\.yaml: {message}"):
        open_dataset(folder=packed(tmp_path / "a.npz"))
