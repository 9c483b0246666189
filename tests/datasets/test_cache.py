"""The cache: right pixels, mapped read-only, and never a damaged byte."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medbench.bench.errors import MedbenchError
from medbench.datasets.artifacts.painted import PaintedSet
from medbench.datasets.base import ImageSet
from medbench.datasets.cache import Arrays, load_arrays
from medbench.datasets.inspection import inspect
from medbench.datasets.resizing import squeeze
from medbench.datasets.synthetic import SyntheticSet


class Counted(SyntheticSet):
    """A set that counts how often it is asked for an image."""

    n_reads = 0

    def image(self, id: str) -> NDArray[np.uint8]:
        self.n_reads += 1
        return super().image(id)


@pytest.fixture
def image_set() -> Counted:
    return Counted(images=6, size=40)


def load(image_set: ImageSet, folder: Path, size: int = 32) -> Arrays:
    return load_arrays(image_set, image_set.ids, size, folder, inspect(image_set).digests)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_shapes_types_and_rows(tmp_path: Path, image_set: Counted) -> None:
    arrays = load(image_set, tmp_path)

    assert arrays.images.shape == (6, 32, 32, 3)
    assert arrays.masks.shape == (6, 32, 32)
    assert arrays.images.dtype == arrays.masks.dtype == np.uint8
    assert set(np.unique(arrays.masks)) == {0, 1}
    assert arrays.row == {id: row for row, id in enumerate(image_set.ids)}


def test_at_their_own_size_images_are_unchanged(tmp_path: Path, image_set: Counted) -> None:
    arrays = load(image_set, tmp_path, size=40)

    for id, row in arrays.row.items():
        assert np.array_equal(arrays.images[row], image_set.image(id))
        assert np.array_equal(arrays.masks[row] == 1, image_set.mask(id))


def test_halving_is_the_mean_of_four_pixels(tmp_path: Path, image_set: Counted) -> None:
    arrays = load(image_set, tmp_path, size=20)

    for id, row in arrays.row.items():
        blocks = image_set.image(id).reshape(20, 2, 20, 2, 3).mean(axis=(1, 3))
        shares = image_set.mask(id).reshape(20, 2, 20, 2).mean(axis=(1, 3))
        assert np.abs(arrays.images[row] - blocks).max() <= 0.5
        assert np.array_equal(arrays.masks[row] == 1, shares >= 0.5)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 40))
@settings(deadline=None)
def test_any_shape_is_squeezed_and_stays_in_range(height: int, width: int, size: int) -> None:
    array = np.random.default_rng(0).random((height, width), np.float32)

    squeezed = squeeze(array, size)

    assert squeezed.shape == (size, size)
    assert array.min() - 1e-5 <= squeezed.min() <= squeezed.max() <= array.max() + 1e-5


def test_an_axis_that_shrinks_is_averaged_while_the_other_grows() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (8, 64))

    assert np.abs(squeeze(stripes, 16).astype(int) - 127).max() <= 1


def test_arrays_are_mapped_and_cannot_be_written(tmp_path: Path, image_set: Counted) -> None:
    arrays = load(image_set, tmp_path)

    assert isinstance(arrays.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        arrays.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        arrays.masks[0] = 0


def test_the_second_load_decodes_nothing(tmp_path: Path, image_set: Counted) -> None:
    load(image_set, tmp_path)
    before = image_set.n_reads
    digests = inspect(image_set).digests
    inspected = image_set.n_reads

    load_arrays(image_set, image_set.ids, 32, tmp_path, digests)

    assert inspected > before
    assert image_set.n_reads == inspected


@pytest.mark.parametrize("change", ["content", "size", "ids"])
def test_other_content_size_or_ids_get_a_file_of_their_own(tmp_path: Path, image_set: Counted, change: str) -> None:
    digests = inspect(image_set).digests
    load_arrays(image_set, image_set.ids, 32, tmp_path, digests)

    other = {**digests, image_set.ids[0]: "0" * 64} if change == "content" else digests
    ids = image_set.ids[1:] if change == "ids" else image_set.ids
    load_arrays(image_set, ids, 16 if change == "size" else 32, tmp_path, other)

    assert len(list(tmp_path.iterdir())) == 2


def test_order_and_repetition_of_ids_do_not_matter(tmp_path: Path, image_set: Counted) -> None:
    digests = inspect(image_set).digests
    first = load_arrays(image_set, image_set.ids, 32, tmp_path, digests)

    second = load_arrays(image_set, [*reversed(image_set.ids), image_set.ids[0]], 32, tmp_path, digests)

    assert second.row == first.row
    only_file(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "cut", "longer", "first byte", "mask byte", "digest byte"])
def test_a_damaged_file_is_built_again(tmp_path: Path, image_set: Counted, damage: str) -> None:
    load(image_set, tmp_path)
    path = only_file(tmp_path)
    sound = path.read_bytes()
    broken = bytearray(sound)
    match damage:
        case "empty":
            broken = bytearray()
        case "cut":
            del broken[-1000:]
        case "longer":
            broken += b"x"
        case "first byte":
            broken[0] ^= 1
        case "mask byte":
            broken[32 * 32 * 3 + 5] ^= 1
        case _:
            broken[-1] ^= 1
    path.write_bytes(broken)

    load(image_set, tmp_path)

    assert only_file(tmp_path).read_bytes() == sound


def test_a_failed_build_leaves_nothing_behind(
    tmp_path: Path, image_set: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = inspect(image_set).digests

    def refuse(id: str) -> NDArray[np.bool_]:
        raise MedbenchError(f"{id}: cannot be decoded")

    monkeypatch.setattr(image_set, "mask", refuse)

    with pytest.raises(MedbenchError, match="synthetic-00000"):
        load_arrays(image_set, image_set.ids, 32, tmp_path, digests)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("age_s", "stays"), [(0, True), (7200, False)])
def test_what_a_killed_builder_left_goes_when_old(
    tmp_path: Path, image_set: Counted, age_s: float, stays: bool
) -> None:
    leftover = tmp_path / ".synthetic-32-0123456789abcdef.u8.x.tmp"
    leftover.write_bytes(b"half")
    os.utime(leftover, (time.time(), time.time() - age_s))

    load(image_set, tmp_path)

    assert leftover.exists() == stays


def test_builders_that_meet_agree(tmp_path: Path, image_set: Counted) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: np.array(load(image_set, tmp_path).images), range(4)))

    assert all(np.array_equal(results[0], other) for other in results)
    only_file(tmp_path)


def test_progress_counts_to_the_end(tmp_path: Path, image_set: Counted) -> None:
    digests = inspect(image_set).digests
    calls: list[tuple[int, int]] = []

    load_arrays(image_set, image_set.ids, 32, tmp_path, digests, lambda done, total: calls.append((done, total)))

    assert calls == [(done, 6) for done in range(1, 7)]


def test_an_image_without_digest_is_refused_by_name(tmp_path: Path, image_set: Counted) -> None:
    with pytest.raises(MedbenchError, match="synthetic-00000 could not be read"):
        load_arrays(image_set, image_set.ids, 32, tmp_path, {})


def test_a_mask_of_another_size_is_refused_by_name(
    tmp_path: Path, image_set: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = inspect(image_set).digests
    monkeypatch.setattr(image_set, "mask", lambda id: np.ones((40, 30), np.bool_))

    with pytest.raises(MedbenchError, match="synthetic-00000: image and mask differ in size"):
        load_arrays(image_set, image_set.ids, 32, tmp_path, digests)


def test_nothing_to_load_is_refused(tmp_path: Path, image_set: Counted) -> None:
    with pytest.raises(MedbenchError, match="no images to load"):
        load_arrays(image_set, [], 32, tmp_path, {})


def test_growing_images_are_interpolated_as_opencv_does(tmp_path: Path, image_set: Counted) -> None:
    arrays = load(image_set, tmp_path, size=80)

    expected = cv2.resize(image_set.image(image_set.ids[0]), (80, 80), interpolation=cv2.INTER_LINEAR)

    assert np.array_equal(arrays.images[0], expected)


@pytest.fixture
def hairy(image_set: Counted) -> PaintedSet:
    return PaintedSet(image_set, image_set.ids, kind="hair", severity=3)


def test_an_artifact_is_painted_once_for_images_and_masks_of_their_own_size(
    tmp_path: Path, hairy: PaintedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = {id: hairy.digest(id) for id in hairy.ids}
    expected = {id: hairy.painted(id) for id in hairy.ids}
    painted: list[str] = []
    paint = hairy.painted

    def counted(id: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        painted.append(id)
        return paint(id)

    monkeypatch.setattr(hairy, "painted", counted)

    for _ in range(2):
        arrays = load_arrays(hairy, hairy.ids, 32, tmp_path, digests)
        for id, (image, artifact) in expected.items():
            kept = arrays.artifact(id)
            assert kept is not None
            assert kept.dtype == np.bool_
            assert kept.any()
            np.testing.assert_array_equal(kept, artifact)
            np.testing.assert_array_equal(arrays.images[arrays.row[id]], squeeze(image, 32))

    assert sorted(painted) == list(hairy.ids)


@pytest.mark.parametrize("place", [-1, -33, -34, 32 * 32 * 4 * 6, 32 * 32 * 4 * 6 - 1])
def test_damaged_artifact_masks_are_painted_again(tmp_path: Path, hairy: PaintedSet, place: int) -> None:
    digests = {id: hairy.digest(id) for id in hairy.ids}
    load_arrays(hairy, hairy.ids, 32, tmp_path, digests)
    path = only_file(tmp_path)
    sound = path.read_bytes()
    broken = bytearray(sound)
    broken[place] ^= 1

    for content in (bytes(broken), sound[:place]):
        path.write_bytes(content)
        load_arrays(hairy, hairy.ids, 32, tmp_path, digests)
        assert path.read_bytes() == sound


def test_what_has_no_place_in_the_image_has_no_mask(tmp_path: Path, image_set: Counted) -> None:
    blurred = PaintedSet(image_set, image_set.ids, kind="defocus", severity=3)

    for each in (image_set, blurred):
        digests = {id: each.digest(id) for id in each.ids}
        assert load_arrays(each, each.ids, 32, tmp_path, digests).artifact(each.ids[0]) is None
