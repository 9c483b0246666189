"""Hair is found where it was painted and removed, and nothing else of an image changes."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from medbench.bench.errors import MedbenchError
from medbench.datasets.artifacts.painted import PaintedSet
from medbench.datasets.base import ImageSet
from medbench.datasets.cache import load_arrays
from medbench.datasets.hair_removal import HairlessSet, hair_mask, remove_hair
from medbench.datasets.synthetic import SyntheticSet

SKIN = SyntheticSet(images=4, size=192)
Image = NDArray[np.uint8]


def hairy(severity: int) -> PaintedSet:
    return PaintedSet(SKIN, SKIN.ids, kind="hair", severity=severity)


def error(a: Image, b: Image, where: NDArray[np.bool_] | slice) -> float:
    return float(np.abs(a.astype(float) - b)[where].mean())


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_painted_hair_is_found_and_nearly_gone(severity: int) -> None:
    painted = hairy(severity)
    images = np.stack([painted.image(id) for id in SKIN.ids])
    hair = np.stack([painted.artifact_mask(id) for id in SKIN.ids])
    clean = np.stack([SKIN.image(id) for id in SKIN.ids])
    found, removed = np.stack([*map(hair_mask, images)]), np.stack([*map(remove_hair, images)])

    assert found[hair].mean() > 0.85
    assert error(removed, clean, hair) < error(images, clean, hair) / 4


def test_every_pixel_that_is_no_hair_is_what_it_was() -> None:
    for id in SKIN.ids:
        image = hairy(3).image(id)
        large = cv2.resize(image, (900, 1100))
        for each in (image, np.asarray(large, np.uint8)):
            found = hair_mask(each)

            assert found.any()
            assert (remove_hair(each)[~found] == each[~found]).all()


def closed(channel: Image, offsets: list[tuple[int, int]]) -> Image:
    """A closing by hand: the least, over places of the line, of the greatest under it; nothing lies beyond the edge."""

    def extreme(values: Image, sign: int, beyond: int) -> Image:
        reach = max(max(map(abs, offset)) for offset in offsets)
        wide = np.pad(values, reach, constant_values=beyond)
        height, width = values.shape
        moved = [wide[reach + sign * y :, reach + sign * x :][:height, :width] for y, x in offsets]
        return np.max(moved, axis=0) if sign > 0 else np.min(moved, axis=0)

    return extreme(extreme(channel, 1, 0), -1, 255)


def test_the_mask_is_that_of_a_second_implementation() -> None:
    image = hairy(2).image(SKIN.ids[0])
    lines = [[(y * k, x * k) for k in range(-2, 3)] for y, x in ((0, 1), (1, 0))]
    lines += [[(y * k, x * k) for k in range(-1, 2)] for y, x in ((1, 1), (1, -1))]  # of 1.4 pixels each
    darker = [closed(image[..., c], line).astype(int) - image[..., c] for c in range(3) for line in lines]
    found: Any = ndimage.label(np.max(darker, axis=0) >= 14, np.ones((3, 3)))
    labels, n = found
    expected = np.zeros(labels.shape, bool)
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = place
        diagonal = np.hypot(rows.stop - rows.start, columns.stop - columns.start)
        if diagonal >= 0.05 * 192 and np.sum(labels == number) <= 0.3 * diagonal**2:
            expected |= labels == number

    assert n > 5
    assert np.array_equal(hair_mask(image), ndimage.binary_dilation(expected))


def drawn(side: int) -> Image:
    """A hair, a spot as dark and a short stroke on even skin, at any resolution."""
    image = np.full((side, side, 3), 200, np.uint8)
    unit = side / 256
    cv2.line(
        image,
        (round(20 * unit), round(40 * unit)),
        (round(230 * unit), round(90 * unit)),
        (60, 40, 30),
        round(2 * unit),
    )
    cv2.circle(image, (round(80 * unit), round(180 * unit)), round(25 * unit), (60, 40, 30), -1)
    cv2.line(
        image,
        (round(180 * unit), round(180 * unit)),
        (round(186 * unit), round(182 * unit)),
        (60, 40, 30),
        round(2 * unit),
    )
    return image


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_a_hair_goes_and_spots_and_short_strokes_stay_at_every_resolution(side: int) -> None:
    image = drawn(side)
    found = remove_hair(image)
    upper = slice(None, side // 2)

    assert error(found, np.full_like(image, 200), upper) < 0.1
    assert np.array_equal(found[side // 2 :], image[side // 2 :])


def test_an_image_without_hair_stays_as_it_is() -> None:
    image = np.full((50, 70, 3), 128, np.uint8)

    assert np.array_equal(remove_hair(image), image)


def test_what_was_painted_is_removed_and_stays_known(tmp_path: Path) -> None:
    painted = hairy(3)
    found = HairlessSet(painted)
    arrays = load_arrays(found, found.ids, 64, tmp_path, {id: found.digest(id) for id in found.ids})

    assert (found.is_painted, found.is_local, found.shown, found.original) == (True, True, painted, SKIN)
    assert (found.ids, found.target, found.channels) == (SKIN.ids, SKIN.target, 3)
    for id in found.ids:
        assert np.array_equal(found.image(id), remove_hair(painted.image(id)))
        assert np.array_equal(found.mask(id), SKIN.mask(id))
        assert found.digest(id) not in (painted.digest(id), HairlessSet(SKIN).digest(id), SKIN.digest(id))
        assert np.array_equal(np.asarray(arrays.artifact(id)), painted.artifact_mask(id))


class Grey(SyntheticSet):
    """Images of one channel."""

    channels = 1


def test_images_that_are_no_rgb_are_refused_by_name() -> None:
    grey: ImageSet = Grey(images=2, size=32)

    with pytest.raises(MedbenchError, match="RGB images, synthetic has 1 channels; leave hair_removal out"):
        HairlessSet(grey)
