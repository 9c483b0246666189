"""What publishers tell of images is read from their tables, and a wrong cell is named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medbench.bench.errors import MedbenchError
from medbench.datasets.annotations import FLAGS, annotations
from medbench.datasets.catalog import isic2018, open_dataset
from medbench.datasets.lesions import describe, lesion_area, lesion_contrast
from medbench.datasets.synthetic import SyntheticSet

SOURCE = SyntheticSet(images=4, size=64)
IDS = tuple(f"ISIC_{i:07d}" for i in range(4))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four images in the layout of ISIC 2018, with both tables."""
    images, masks = tmp_path / "ISIC2018_Task1-2_Training_Input", tmp_path / "ISIC2018_Task1_Training_GroundTruth"
    images.mkdir()
    masks.mkdir()
    for id, source in zip(IDS, SOURCE.ids, strict=True):
        Image.fromarray(SOURCE.image(source)).save(images / f"{id}.jpg", quality=95)
        Image.fromarray(SOURCE.mask(source)).save(masks / f"{id}_segmentation.png")
    flags = "\n".join(f"{i};{id}.png;{i % 2};1;0;0;0;0;{int(i == 3)}" for i, id in enumerate(IDS[:3] + IDS[3:]))
    (tmp_path / "isic_bias.csv").write_text(
        f";image;dark_corner;hair;gel_border;gel_bubble;ruler;ink;patches\n{flags}\n"
    )
    (tmp_path / "annotators.csv").write_text(
        "isic_id,tool1,tool2,dice_score,jaccard_score\n"
        f"{IDS[0]},T2,T1,0.9,0.82\n{IDS[0]},T1,T1,0.8,0.7\nISIC_9999999,T1,T1,0.1,0.1\n"
    )
    return tmp_path


def test_flags_and_agreement_are_those_of_the_tables(root: Path) -> None:
    image_set = isic2018(root)

    found = annotations(image_set, set(IDS[:3]))

    assert found["flags"]["dark corners"] == [IDS[1]]
    assert found["flags"]["hair"] == list(IDS[:3])
    assert found["flags"]["patches"] == []
    assert set(found["flags"]) == set(FLAGS.values())
    assert set(found["lesions"]) == set(IDS[:3])
    assert found["agreement"] == [
        {"image": IDS[0], "dice": 0.9, "iou": 0.82, "tools": ["T1", "T2"]},
        {"image": IDS[0], "dice": 0.8, "iou": 0.7, "tools": ["T1", "T1"]},
    ]


def test_a_set_without_tables_has_none(root: Path) -> None:
    (root / "isic_bias.csv").unlink()
    (root / "annotators.csv").unlink()

    assert annotations(isic2018(root), set(IDS)) == {}
    assert annotations(SOURCE, set(SOURCE.ids)) == {}


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("isic_bias.csv", ";1;", ";maybe;", r"isic_bias.csv: ISIC_0000000: hair must be 0 or 1, got 'maybe'"),
        ("isic_bias.csv", ";hair", ";hairs", "isic_bias.csv: no column 'hair'"),
        ("annotators.csv", ",0.9,", ",1.9,", "annotators.csv: ISIC_0000000: dice_score must lie between 0 and 1"),
        ("annotators.csv", ",0.9,", ",,", "annotators.csv: ISIC_0000000: dice_score must lie between 0 and 1, got ''"),
    ],
)
def test_a_wrong_table_is_named(root: Path, file: str, old: str, new: str, said: str) -> None:
    path = root / file
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(MedbenchError, match=said):
        annotations(isic2018(root), set(IDS))


def test_contrast_is_the_distance_in_cielab_from_the_skin_around() -> None:
    image, mask = np.zeros((60, 60, 3), np.uint8), np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    image[14:46, 14:46] = 255  # skin; black beyond is no neighbour
    image[mask] = 119  # L* 50.03

    assert lesion_contrast(image, mask) == pytest.approx(100 - 50.03, abs=0.3)  # OpenCV interpolates
    assert lesion_area(mask) == pytest.approx(1 / 9)
    assert np.isnan(lesion_contrast(image, mask & False))
    assert np.isnan(lesion_contrast(image, mask | True))


def test_a_set_is_described_by_its_middle_and_its_spread(root: Path) -> None:
    image_set = isic2018(root)

    found = describe(image_set)

    assert (found["images"], found["groups"], found["empty_masks"]) == (4, 4, 0)
    areas = [image_set.mask(id).mean() for id in IDS]
    assert found["lesion_area"]["median"] == pytest.approx(np.median(areas))
    assert found["width"] == {"p5": 64, "median": 64, "p95": 64}


@pytest.mark.real
def test_real_annotations_are_counted_as_published(real_data: Path) -> None:
    image_set = open_dataset("isic2018", data=real_data)
    some = set(image_set.ids[:40])

    found = annotations(image_set, some)

    assert len(found["lesions"]) == 40
    assert all(0 < lesion["area"] < 1 for lesion in found["lesions"].values())
    assert found["agreement"][0] == {"image": "ISIC_0000004", "dice": 0.9075, "iou": 0.8307, "tools": ["T1", "T1"]}
