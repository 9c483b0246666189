"""Places by bootstrap, against resampling done the long way."""

import numpy as np
import pytest

from medbench.bench.stats import rank_stability


def tables(seed: int = 0, means=(0.80, 0.81, 0.82), seeds=(3, 2, 4), n_images: int = 25):
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.1, n_images)
    return {
        f"v{index}": mean + image + rng.normal(0, 0.02, (n, 1)) + rng.normal(0, 0.03, (n, n_images))
        for index, (mean, n) in enumerate(zip(means, seeds, strict=True))
    }


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_agrees_with_resampling_tables_one_by_one() -> None:
    scores, draws = tables(), np.random.default_rng(2)
    counts = np.zeros((3, 3))
    for _ in range(4000):
        images = draws.integers(0, 25, 25)
        means = [table[draws.integers(0, len(table), len(table))][:, images].mean() for table in scores.values()]
        counts[np.arange(3), np.argsort(np.argsort(-np.array(means)))] += 1

    found = rank_stability(scores, rng=rng(), n_resamples=20_000)

    np.testing.assert_allclose(found.share, counts / 4000, atol=0.03)


def test_places_are_those_of_the_mean_scores() -> None:
    found = rank_stability({"low": [[0.1, 0.2]], "high": [[0.8, 0.9]]}, rng=rng(), n_resamples=50)

    assert dict(zip(found.names, found.place.tolist(), strict=True)) == {"low": 2, "high": 1}
    np.testing.assert_array_equal(found.share, [[0, 1], [1, 0]])


def test_of_a_distance_the_smallest_comes_first() -> None:
    scores = {"near": [[1.0, 2.0]], "far": [[8.0, 9.0]]}

    found = rank_stability(scores, rng=rng(), n_resamples=50, higher_is_better=False)

    assert found.place.tolist() == [1, 2]


def test_equal_variants_share_the_better_place() -> None:
    table = np.random.default_rng(3).normal(size=(1, 6))

    found = rank_stability({"a": table, "b": table, "c": table - 1}, rng=rng(), n_resamples=100)

    assert found.place.tolist() == [1, 1, 3]
    np.testing.assert_array_equal(found.share, [[1, 0, 0], [1, 0, 0], [0, 0, 1]])


def test_every_variant_has_a_place_in_every_resample() -> None:
    found = rank_stability(tables(), rng=rng(), n_resamples=1234)

    np.testing.assert_allclose(found.share.sum(axis=1), 1)


def test_the_same_generator_gives_the_same_answer() -> None:
    first, again = (rank_stability(tables(), rng=rng(), n_resamples=300).share for _ in range(2))

    np.testing.assert_array_equal(first, again)


def test_tables_of_different_images_are_refused() -> None:
    with pytest.raises(ValueError, match="scores of the same images"):
        rank_stability({"a": np.ones((2, 3)), "b": np.ones((2, 4))}, rng=rng())
