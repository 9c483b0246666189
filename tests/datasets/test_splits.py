"""Splits: shares, groups, and independence of everything that must not matter."""

import hashlib
import os
import random
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medbench.bench.errors import MedbenchError
from medbench.datasets.base import ImageSet, Part
from medbench.datasets.catalog import open_dataset
from medbench.datasets.splits import Split, make_split

DATA = Path(os.environ.get("MEDBENCH_DATA") or Path(__file__).parents[3] / "shared" / "data")
RULES = ["holdout", "egeunet", "kfold:2", "kfold:5"]


class Named(ImageSet):
    """Ids and groups without pixels."""

    def __init__(
        self,
        groups: dict[str, str],
        official: dict[str, str] | None = None,
        without_truth: dict[str, int] | None = None,
    ) -> None:
        self.name = "named"
        self.ids = tuple(groups)
        self.groups = groups
        self.official = cast(dict[str, Part], official or {})
        self.without_truth = cast(dict[Part, int], without_truth or {})

    def image(self, id: str) -> NDArray[np.uint8]:
        raise AssertionError("a split looks at no image")

    def mask(self, id: str) -> NDArray[np.bool_]:
        raise AssertionError("a split looks at no mask")

    def digest(self, id: str) -> str:
        raise AssertionError("a split looks at no content")


def singles(n: int) -> Named:
    return Named({f"{i:05d}": f"{i:05d}" for i in range(n)})


def grouped(sizes: list[int]) -> Named:
    return Named({f"{g:03d}-{i:03d}": f"group {g}" for g, size in enumerate(sizes) for i in range(size)})


def test_a_random_split_is_that_of_single_images_whatever_their_groups() -> None:
    pairs = grouped([2] * 50)

    found = make_split(pairs, "random", seed=3)

    alone = Named({id: id for id in pairs.ids})
    assert found == make_split(alone, "holdout", seed=3)
    sides = {part: {pairs.groups[id] for id in getattr(found, part)} for part in ("train", "validation", "test")}
    assert sides["train"] & sides["test"]


def fold_of(rule: str) -> int | None:
    return 1 if rule.startswith("kfold") else None


def parts(split: Split) -> list[set[str]]:
    return [set(split.train), set(split.validation), set(split.test)]


@pytest.mark.parametrize(
    ("rule", "n", "sizes"),
    [
        ("holdout", 2594, (1815, 259, 520)),
        ("holdout", 10, (7, 1, 2)),
        ("egeunet", 2594, (1634, 181, 779)),
        ("egeunet", 100, (63, 7, 30)),
        ("kfold:5", 100, (72, 8, 20)),
        ("kfold:2", 3, (1, 1, 1)),
        ("holdout", 3, (1, 1, 1)),
    ],
)
def test_sizes_are_exact_among_single_images(rule: str, n: int, sizes: tuple[int, int, int]) -> None:
    split = make_split(singles(n), rule, fold=fold_of(rule))

    assert (len(split.train), len(split.validation), len(split.test)) == sizes


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=12, max_size=60), st.sampled_from(RULES), st.integers(0, 9))
def test_groups_are_never_divided_and_nothing_is_lost(sizes: list[int], rule: str, seed: int) -> None:
    image_set = grouped(sizes)

    three = parts(make_split(image_set, rule, seed=seed, fold=fold_of(rule)))

    assert set.union(*three) == set(image_set.ids)
    assert sum(map(len, three)) == len(image_set.ids)
    groups = [{image_set.groups[id] for id in part} for part in three]
    assert sum(map(len, groups)) == len(sizes)


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=12, max_size=60), st.integers(0, 9))
def test_sizes_are_as_near_as_groups_allow(sizes: list[int], seed: int) -> None:
    n = sum(sizes)

    split = make_split(grouped(sizes), "holdout", seed=seed)

    assert abs(len(split.test) - 0.2 * n) <= 1 + max(sizes) / 2
    assert abs(len(split.validation) - 0.1 * n) <= 1 + max(sizes)


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_ids_does_not_matter(rule: str) -> None:
    image_set = grouped([1, 2, 3, 1, 1, 4] * 5)
    ids = list(image_set.ids)
    random.Random(0).shuffle(ids)
    shuffled = Named({id: image_set.groups[id] for id in ids})

    assert make_split(shuffled, rule, fold=fold_of(rule)) == make_split(image_set, rule, fold=fold_of(rule))


def test_the_order_is_that_of_the_documented_hash() -> None:
    image_set = singles(100)

    hashed = sorted(image_set.ids, key=lambda id: hashlib.sha256(f"7:{id}".encode()).hexdigest())

    assert make_split(image_set, "holdout", seed=7).test == tuple(sorted(hashed[:20]))


def test_parts_are_sorted() -> None:
    split = make_split(singles(50), "holdout")

    for part in (split.train, split.validation, split.test):
        assert list(part) == sorted(part)


def test_another_seed_divides_differently() -> None:
    assert make_split(singles(50), "holdout", seed=0) != make_split(singles(50), "holdout", seed=1)


def test_every_image_is_tested_in_exactly_one_fold() -> None:
    image_set = grouped([1, 2, 3, 1, 1, 4] * 5)

    tested = [id for fold in range(5) for id in make_split(image_set, "kfold:5", fold=fold).test]

    assert sorted(tested) == sorted(image_set.ids)


def test_folds_are_of_nearly_one_size() -> None:
    image_set = grouped([9, 5, *[1] * 60])

    sizes = [len(make_split(image_set, "kfold:5", fold=fold).test) for fold in range(5)]

    assert max(sizes) - min(sizes) <= 1


def test_official_parts_are_kept_as_published() -> None:
    image_set = Named(dict.fromkeys("abcd", "one patient"), {"a": "train", "b": "validation", "d": "test"})

    assert make_split(image_set, "official") == Split(train=("a",), validation=("b",), test=("d",))


@pytest.mark.parametrize(
    ("image_set", "rule", "fold", "message"),
    [
        (Named({"a": "a"}, {"a": "train"}), "official", None, "no images of the official validation and test part"),
        (
            Named(dict.fromkeys("abcd", "one"), dict.fromkeys("abcd", "train"), {"validation": 100, "test": 1000}),
            "official",
            None,
            r"ground truth is missing for the official validation \(100 images\) and test \(1,000 images\) part.*"
            "holdout, egeunet and kfold:K can be run on the 4 images with masks",
        ),
        (
            Named({"a": "a"}, {"a": "train"}, {"test": 1000}),
            "official",
            None,
            r"no images of the official validation part.*ground truth is missing for the official test \(1,000 images",
        ),
        (singles(10), "official", None, "has no official split; holdout, egeunet and kfold:K can be run on the 10"),
        (singles(2), "holdout", None, "2 images in 2 groups are too few"),
        (singles(0), "holdout", None, "nothing is left for train"),
        (grouped([50, 50]), "egeunet", None, "100 images in 2 groups are too few"),
        (singles(9), "kfold:1", 0, "needs at least 2 folds"),
        (singles(9), "kfold:0", 0, "needs at least 2 folds"),
        (singles(4), "kfold:5", 0, "4 groups are too few"),
        (singles(2), "kfold:2", 0, "2 groups are too few"),
        (singles(9), "kfold:5", 5, "fold must be 0 to 4, got 5"),
        (singles(9), "kfold:5", None, "fold must be 0 to 4, got None"),
        (singles(9), "holdout", 0, "has no folds"),
        (singles(9), "holdoot", None, "Did you mean 'holdout'"),
        (singles(9), "kfold", None, "unknown split 'kfold'"),
    ],
)
def test_impossible_splits_are_refused(image_set: Named, rule: str, fold: int | None, message: str) -> None:
    with pytest.raises(MedbenchError, match=message):
        make_split(image_set, rule, fold=fold)


@pytest.mark.real
def test_real_isic_divides_as_the_papers_do_and_keeps_patients_together() -> None:
    if not (DATA / "isic2018").is_dir():
        pytest.skip("no real data: set MEDBENCH_DATA to a folder with isic2018/")
    image_set = open_dataset("isic2018", data=DATA)

    split = make_split(image_set, "egeunet")

    assert len(split.test) == 779
    assert len(set(image_set.groups.values())) < len(image_set)
    assert not {image_set.groups[id] for id in split.test} & {image_set.groups[id] for id in split.train}
