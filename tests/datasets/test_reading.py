"""Images and masks as people save them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from medbench.bench.errors import MedbenchError
from medbench.datasets.masks import coding_of
from medbench.datasets.reading import read_image, read_levels, read_mask

from ..image_files import LESION, PICTURE, save


@pytest.mark.parametrize("ending", ["png", "PNG", "bmp", "Bmp", "tif", "TIFF"])
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
@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
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


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "tif"])
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
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"II*\0", b"MM\0*"]),
)
def test_no_bytes_whatever_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, head: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.png"
    path.write_bytes(head + tail)

    with pytest.raises(MedbenchError):
        read_image(path)


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


def test_colours_of_one_brightness_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", np.where(LESION[..., None], [255, 0, 0], [0, 255, 0]).astype(np.uint8))

    with pytest.raises(MedbenchError, match=r"m\.png: the mask's colours are equally bright"):
        read_mask(path)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_black_mask_saved_as_jpeg_is_empty_whatever_level_it_decodes_to(tmp_path: Path, mode: str) -> None:
    black = np.zeros((96, 128), np.uint8)
    path = save(tmp_path / "m.jpg", black, mode, quality=70)
    assert read_levels(path).values.max() > 0  # Pillow's zeros decode to ones

    assert not read_mask(path).any()


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits", "group4"])
def test_tiff_masks_are_read_as_they_are_compressed(tmp_path: Path, compression: str) -> None:
    path = save(tmp_path / "m.tif", LESION, compression=compression)

    assert np.array_equal(read_mask(path), LESION)


@pytest.mark.parametrize("pixels", [np.array([[0, 300, 65535]], np.uint16), np.array([[0, 256, 65535]], np.int32)])
def test_wide_tiff_images_keep_their_high_byte(tmp_path: Path, pixels: NDArray[np.generic]) -> None:
    assert read_image(save(tmp_path / "a.tif", pixels))[0, :, 0].tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([0.0, 0.4, 0.6, 0.9], [False, False, True, True], id="probabilities"),
        pytest.param([0.0, 1.0], [False, True], id="0 and 1"),
        pytest.param([0.0, 255.0], [False, True], id="0 and 255"),
    ],
)
def test_floating_point_masks_are_read(tmp_path: Path, values: list[float], expected: list[bool]) -> None:
    path = save(tmp_path / "m.tif", np.array([values], np.float32))

    assert read_mask(path)[0].tolist() == expected


@pytest.mark.parametrize(
    ("pixels", "read", "message"),
    [
        (np.array([[0.5, np.nan]], np.float32), read_mask, "has values from nan to nan"),
        (np.array([[-1.5, 0.5]], np.float32), read_mask, r"has values from -1\.5 to 0\.5"),
        (np.array([[-1, 5]], np.int32), read_mask, "has levels from -1 to 5"),
        (np.array([[0, 70000]], np.int32), read_image, "has levels from 0 to 70000"),
        (np.array([[0.5, 0.1]], np.float32), read_image, "floating-point numbers is not read"),
        (np.array([[0, 1, 2, 3]], np.uint8), read_mask, r"several labels \(levels 0, 1, 2, 3\)"),
    ],
)
def test_what_no_rule_covers_is_refused_by_name(
    tmp_path: Path, pixels: NDArray[np.generic], read: Callable[[Path], object], message: str
) -> None:
    with pytest.raises(MedbenchError, match=rf"a\.tif: .*{message}"):
        read(save(tmp_path / "a.tif", pixels))


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_a_tiff_of_several_pages_is_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = save(tmp_path / "a.tif", PICTURE, save_all=True, append_images=[Image.fromarray(PICTURE)] * 2)

    with pytest.raises(MedbenchError, match=r"a\.tif: holds 3 pages"):
        read(path)


@pytest.mark.parametrize(("name", "options"), [("a.jpg", {}), ("a.tif", {"compression": "jpeg"})])
def test_where_compression_moves_levels_is_known(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    large = np.kron(LESION, np.ones((16, 16), np.uint8)).astype(np.uint8) * 255

    assert coding_of(read_levels(save(tmp_path / name, large, **options))).name == "JPEG, cut at half"


def test_alpha_and_palette_are_told(tmp_path: Path) -> None:
    alpha = np.dstack([*[np.full((6, 10), 255, np.uint8)] * 3, LESION * np.uint8(255)])
    palette = Image.frombytes("P", (10, 6), LESION.astype(np.uint8).tobytes())
    palette.putpalette([0, 0, 0, 0, 0, 0])
    palette.save(tmp_path / "p.png")

    assert coding_of(read_levels(save(tmp_path / "a.png", alpha))).name == "alpha 0/255"
    assert coding_of(read_levels(tmp_path / "p.png")).name == "palette 0/1"


@pytest.mark.real
@pytest.mark.parametrize("name", ["acdc", "wbc"])
def test_real_label_maps_are_refused(real_data: Path, name: str) -> None:
    files = sorted((real_data / name / "masks").glob("*.png"))[:40]
    if not files:
        pytest.skip(f"no real data: {name}")

    n_levels = [len(np.unique(np.asarray(Image.open(path)))) for path in files]

    assert max(n_levels) > 2
    for path, n in zip(files, n_levels, strict=True):
        if n > 2:
            with pytest.raises(MedbenchError, match="several labels"):
                read_mask(path)
