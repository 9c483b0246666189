"""What the levels of a mask mean, by themselves and beside the other masks of a folder."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from medbench.datasets.masks import Levels, clashes, coding_of, grey_share

DISC = np.zeros((60, 80), np.uint8)
cv2.circle(DISC, (35, 30), 18, 1, -1)
SMALL = np.zeros((60, 80), np.uint8)
SMALL[5:12, 60:70] = 1


def levels(*values: float, top: int = 255, is_lossy: bool = False) -> Levels:
    return Levels(np.array([values]), top, is_lossy)


def read(found: Levels) -> list[bool]:
    coding = coding_of(found)
    assert not coding.refusal
    return (found.values > coding.cut)[0].tolist()


@pytest.mark.parametrize(
    ("values", "expected", "name"),
    [
        ((0, 0), [False, False], "all 0, empty"),
        ((1, 1), [True, True], "all 1, full"),
        ((255, 255), [True, True], "all 255, full"),
        ((0, 1), [False, True], "0/1"),
        ((0, 255), [False, True], "0/255"),
        ((0, 100), [False, True], "0/100"),
        ((100, 200), [False, True], "100/200"),
        ((250, 255), [True, True], "250/255, full"),
        ((200, 220, 255), [True, True, True], "grey, full"),
        ((0, 100, 127, 128, 255), [False, False, False, True, True], "grey, cut at half"),
    ],
)
def test_a_lossless_file_by_itself(values: tuple[int, ...], expected: list[bool], name: str) -> None:
    assert read(levels(*values)) == expected
    assert coding_of(levels(*values)).name == name


@pytest.mark.parametrize(
    ("values", "expected", "name"),
    [
        pytest.param((1, 1), [False, False], "JPEG, empty", id="black decodes to 1"),
        pytest.param((0, 3, 60), [False] * 3, "JPEG, empty", id="nothing above a quarter"),
        pytest.param((254, 254), [True, True], "JPEG, full", id="white decodes to 254"),
        pytest.param((0, 9, 120, 140, 255), [False, False, False, True, True], "JPEG, cut at half", id="ringing"),
        pytest.param((0, 60, 70, 128), [False, False, True, True], "JPEG, cut at half of a narrow range", id="dark"),
    ],
)
def test_a_jpeg_by_itself(values: tuple[int, ...], expected: list[bool], name: str) -> None:
    assert read(levels(*values, is_lossy=True)) == expected
    assert coding_of(levels(*values, is_lossy=True)).name == name


@pytest.mark.parametrize(
    ("values", "top", "expected", "name"),
    [
        pytest.param((0, 65535), 65535, [False, True], "0/65535", id="16 bits"),
        pytest.param((0, 90, 200, 255), 65535, [False, False, True, True], "grey, cut at half", id="8 in 16 bits"),
        pytest.param((0, 1), 1, [False, True], "0/1", id="1 bit"),
        pytest.param((0.0, 0.49, 0.51, 0.98), 1, [False, False, True, True], "grey, cut at half", id="floats"),
    ],
)
def test_files_of_other_depths(values: tuple[float, ...], top: int, expected: list[bool], name: str) -> None:
    assert read(levels(*values, top=top)) == expected
    assert coding_of(levels(*values, top=top)).name == name


@pytest.mark.parametrize(
    ("values", "is_lossy", "message"),
    [
        pytest.param((1, 2), False, "1 to 2 of 255, are neither black and white nor 0 and 1", id="two labels"),
        pytest.param((100, 120), False, "100 to 120 of 255", id="two greys"),
        pytest.param((100, 110, 120), True, "100 to 120 of 255", id="a grey JPEG"),
        pytest.param((0, 1, 2), False, "several labels (levels 0, 1, 2)", id="labels, however small"),
        pytest.param(tuple(range(0, 40)), False, "0 to 39 of 255", id="a faint map"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_with_the_remedy(
    values: tuple[int, ...], is_lossy: bool, message: str
) -> None:
    refusal = coding_of(levels(*values, is_lossy=is_lossy)).refusal

    assert message in refusal
    assert "; save the lesion as 255 and the rest as 0" in refusal
    assert refusal.endswith("or name the classes: medbench data describe FOLDER --write") == ("labels" in refusal)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(DISC * 85 + SMALL * 170, id="0, 85, 170"),
        pytest.param(255 - DISC * 127 - SMALL * 255, id="white ground, grey disc, black cup"),
        pytest.param(DISC + SMALL * 255, id="0, 1 and 255 to be ignored"),
        pytest.param(DISC * 3 + SMALL * 200, id="a level near black"),
    ],
)
def test_a_third_level_in_a_flat_patch_is_a_label(values: NDArray[np.uint8]) -> None:
    assert "several labels" in coding_of(Levels(values, 255)).refusal


def test_colours_of_one_brightness_are_labels_too() -> None:
    red_and_green = np.dstack([DISC * 128, SMALL * 128, DISC * 0])

    found = coding_of(Levels(red_and_green.max(axis=2), 255, colours=red_and_green))

    assert "several labels" in found.refusal
    red = np.dstack([DISC * 128, DISC * 0, DISC * 0])
    assert coding_of(Levels(red.max(axis=2), 255, colours=red)).name == "0/128"


@pytest.mark.parametrize(
    "soften",
    [
        pytest.param(lambda mask: cv2.GaussianBlur(mask, (0, 0), 2), id="blurred"),
        pytest.param(lambda mask: cv2.resize(mask, None, fx=0.37, fy=0.37, interpolation=cv2.INTER_AREA), id="shrunk"),
        pytest.param(lambda mask: cv2.resize(mask, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC), id="enlarged"),
        pytest.param(lambda mask: cv2.resize(mask, None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST), id="blocks"),
        *(pytest.param(lambda mask, q=q: decoded(mask, q), id=f"JPEG {q} saved as PNG") for q in (10, 50, 90)),
    ],
)
def test_grey_rims_are_no_labels(soften: Any) -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        mask = np.zeros((150, 200), np.uint8)
        cv2.fillPoly(mask, [rng.integers(0, 150, (7, 2)).astype(np.int32)], 255)

        found = Levels(soften(mask), 255)

        coding = coding_of(found)
        assert coding.refusal == ""
        if found.values.shape == mask.shape:
            assert np.mean((found.values > coding.cut) != (mask > 0)) < 0.02


def decoded(mask: NDArray[np.uint8], quality: int) -> NDArray[Any]:
    data = cv2.imencode(".jpg", mask, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))


@settings(deadline=None)
@given(npst.arrays(np.bool_, st.tuples(st.integers(2, 9), st.integers(2, 9))), st.sampled_from([1, 2, 128, 255, 65535]))
def test_the_scale_of_a_mask_does_not_matter(mask: NDArray[np.bool_], top: int) -> None:
    found = Levels(mask * np.uint16(top), 65535)

    coding = coding_of(found)

    assert not coding.refusal
    assert np.array_equal(found.values > coding.cut, mask)
    assert coding.is_empty == (not mask.any())


@settings(deadline=None)
@given(npst.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6))), st.booleans())
def test_every_file_is_read_or_refused_and_told(values: NDArray[np.uint8], is_lossy: bool) -> None:
    coding = coding_of(Levels(values, 255, is_lossy))

    n_lesion = np.count_nonzero(values > coding.cut)

    assert coding.is_empty == (n_lesion == 0)
    assert coding.is_full == (n_lesion == values.size)
    assert coding.name


def clashing(**files: Levels) -> dict[str, str]:
    return clashes({name: coding_of(each) for name, each in files.items()})


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"a": levels(0, 1), "b": levels(0, 0), "c": levels(1, 1)}, id="0 and 1"),
        pytest.param({"a": levels(0, 255), "b": levels(0, 0), "c": levels(255, 255)}, id="0 and 255"),
        pytest.param({"a": levels(0, 255), "b": levels(0, 1)}, id="each of them plain"),
        pytest.param({"a": levels(0, 255), "b": levels(1, 1, top=1)}, id="1 of 1 bit is white"),
        pytest.param({"a": levels(0, 100), "b": levels(100, 100)}, id="one level, and full of it"),
        pytest.param({"a": levels(100, 200), "b": levels(200, 200)}, id="two levels, and full of the upper"),
        pytest.param({"a": levels(1, 1, is_lossy=True), "b": levels(0, 255)}, id="a black JPEG"),
        pytest.param({"a": levels(0, 2, is_lossy=True), "b": levels(0, 4, 255, is_lossy=True)}, id="noise of JPEG"),
        pytest.param({"a": levels(1, 1)}, id="1 alone in a folder"),
    ],
)
def test_masks_that_agree(files: dict[str, Levels]) -> None:
    assert clashing(**files) == {}


@pytest.mark.parametrize(
    ("files", "doubtful", "why"),
    [
        pytest.param({"a": levels(0, 255), "b": levels(1, 1)}, ["b"], "the level 1 alone, a goes up to 255", id="1"),
        pytest.param(
            {"a": levels(0, 99, 255), "b": levels(1, 1)}, ["b"], "the level 1 alone, a goes up to 255", id="1 and grey"
        ),
        pytest.param({"a": levels(100, 200), "b": levels(100, 100)}, ["b"], "neither black nor white", id="ground"),
        pytest.param({"a": levels(7, 7)}, ["a"], "the level 7 alone, neither black nor white", id="no other"),
        pytest.param({"a": levels(0, 1), "b": levels(0, 2), "c": levels(0, 3)}, ["b", "c"], "a at 1", id="labels"),
        pytest.param({"a": levels(0, 255), "b": levels(0, 128)}, ["b"], "at level 128, a at 255", id="disc and cup"),
        pytest.param(
            {"a": levels(0, 90), "b": levels(0, 90), "c": levels(0, 60)},
            ["c"],
            "at level 60, other masks at 90",
            id="two",
        ),
        pytest.param(
            {"a": levels(0, 1, is_lossy=True), "b": levels(0, 0)}, ["a"], "no mask is brighter", id="0 and 1 as JPEG"
        ),
    ],
)
def test_masks_that_the_others_make_doubtful(files: dict[str, Levels], doubtful: list[str], why: str) -> None:
    found = clashing(**files)

    assert sorted(found) == doubtful
    assert all(why in each and each.endswith("save the lesion as 255 and the rest as 0") for each in found.values())


def test_grey_is_what_lies_off_both_ends() -> None:
    assert grey_share(levels(0, 20, 128, 250, 255)) == pytest.approx(0.2)
    assert grey_share(levels(7, 7)) == 0
