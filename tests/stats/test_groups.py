"""Images in groups: like so many images where those of a group are as one, and calibrated where they are alike."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from medbench.bench.stats import (
    Components,
    against_baseline,
    compare,
    gap,
    minimum_detectable,
    needed,
    paired_gap,
    rank_stability,
    summarize,
)
from medbench.bench.stats.claims import cost
from medbench.bench.stats.groups import groups_of

Table = NDArray[np.float64]
SIZES: dict[str, Callable[[np.random.Generator, int], NDArray[np.int64]]] = {
    "ten each": lambda rng, n: np.full(n, 10),
    "1 to 60": lambda rng, n: rng.integers(1, 61, n),
    "half of them single": lambda rng, n: np.where(np.arange(n) < n // 2, rng.integers(1, 61, n), 1),
}


def table(seed: int, n_seeds: int = 3, n_images: int = 8) -> Table:
    rng = np.random.default_rng(seed)
    return 0.8 + rng.normal(0, 0.1, n_images) + rng.normal(0, 0.02, (n_seeds, 1)) + rng.normal(0, 0.05, (3, n_images))


def repeated(scores: Table) -> Table:
    """Every image five times."""
    return np.repeat(scores, 5, axis=1)


LABELS = np.repeat(np.arange(8), 5).tolist()


def simulated(rng: np.random.Generator, n_seeds: int, sizes: NDArray[np.int64], patient: float = 0.02) -> Table:
    """(S, N) scores of one variant but for what it has in common with others; deviations as seen among networks."""
    own = rng.normal(0, patient, sizes.size).repeat(sizes) + rng.normal(0, 0.03, sizes.sum())
    return 0.85 + own + rng.normal(0, 0.003, (n_seeds, 1)) + rng.normal(0, 0.04, (n_seeds, sizes.sum()))


def labels_of(sizes: NDArray[np.int64]) -> list[int]:
    return np.arange(sizes.size).repeat(sizes).tolist()


@pytest.mark.parametrize("labels", [None, list("abcdefgh")], ids=["no labels", "all different"])
def test_images_that_are_each_one_by_itself_change_no_digit(labels: Any) -> None:
    a, b, c = table(1), table(2), table(3, n_images=5)
    others = None if labels is None else list("abcde")
    ranked = {"a": a, "b": b}

    assert compare(a, b, groups=labels) == compare(a, b)
    assert summarize(a, groups=labels, bounds=(0, 2)) == summarize(a, bounds=(0, 2))
    assert gap(a, c, first_groups=labels, second_groups=others) == gap(a, c)
    assert paired_gap(a, b, groups=labels) == paired_gap(a, b)
    found, expected = (
        against_baseline({"a": (a, b)}, baseline="b", metric="Dice", margin=0.01, groups=groups)["a"].row()
        for groups in ({"a": labels}, None)
    )
    assert found == expected
    assert list(found) == list(expected)
    shares = [
        rank_stability(ranked, rng=np.random.default_rng(0), n_resamples=99, groups=groups).share
        for groups in (labels, None)
    ]
    np.testing.assert_array_equal(shares[0], shares[1])


def test_copies_of_an_image_in_one_group_are_one_image() -> None:
    a, b, c = table(1), table(2), table(3)

    many, one = compare(repeated(a), repeated(b), groups=LABELS), compare(a, b)
    for name in ("difference", "error", "df", "ci_low", "ci_high", "p_value", "tost_low", "tost_high", "seed_share"):
        assert getattr(many, name) == pytest.approx(getattr(one, name)), name
    assert (many.n_images, many.n_groups) == (40, 8)
    summary, of_one = summarize(repeated(a), groups=LABELS, bounds=(0, 2)), summarize(a, bounds=(0, 2))
    assert (summary.ci_low, summary.ci_high, summary.df) == pytest.approx((of_one.ci_low, of_one.ci_high, of_one.df))
    between = gap(repeated(a), repeated(c), first_groups=LABELS, second_groups=LABELS)
    assert (between.p_value, between.ci_low) == pytest.approx((gap(a, c).p_value, gap(a, c).ci_low))
    paired = paired_gap(repeated(a), repeated(b), groups=LABELS)
    assert (paired.p_value, paired.df) == pytest.approx((paired_gap(a, b).p_value, paired_gap(a, b).df))


def test_the_order_of_images_and_the_names_of_groups_do_not_matter() -> None:
    a, b = table(1, n_images=40), table(2, n_images=40)
    order = np.random.default_rng(0).permutation(40)
    names = [("patient", LABELS[place]) for place in order]

    found = compare(a[:, order], b[:, order], groups=names)

    assert found.p_value == pytest.approx(compare(a, b, groups=LABELS).p_value)


@pytest.mark.parametrize("sizes", [[10] * 8, [200, 1, 1, 5, 9], [1, 1, 2], [50, 50], [3, 8, 1, 40, 7, 7]])
def test_variance_and_degrees_of_freedom_are_those_of_groups_that_vary_as_one(sizes: list[int]) -> None:
    """Against matrices: what T[g]^2 is on average, and how it varies, where scores are the same within a group."""
    share = np.array(sizes) / sum(sizes)
    away = np.eye(len(sizes)) - share[:, None]  # from the mean, of groups' parts of it
    covariance = away @ np.diag(share**2) @ away.T
    scaled = covariance / (1 - 2 * share + (share**2).sum())[:, None]
    groups = groups_of(labels_of(np.array(sizes)), sum(sizes))

    assert groups is not None
    assert np.trace(scaled) == pytest.approx((share**2).sum())
    assert groups.effective - 1 == pytest.approx(np.trace(scaled) ** 2 / np.trace(scaled @ scaled))


def test_mean_squares_worked_by_hand() -> None:
    """Deviations 1, 3 and -4 in groups of two and one image: sums 4, -4; shares 2/3 and 1/3, whose squares sum to 5/9;
    factors 1 / (1 - 4/3 + 5/9) = 9/2 and 1 / (1 - 2/3 + 5/9) = 9/8."""
    groups = groups_of(["a", "a", "b"], 3)

    assert groups is not None
    assert groups.mean_square(np.array([[1.0, 3.0, -4.0]])) == pytest.approx((9 / 2 * 16 + 9 / 8 * 16) / 3)


def test_a_patient_with_half_of_the_images_does_not_count_for_many() -> None:
    groups = groups_of([0] * 100 + list(range(1, 101)), 200)

    assert groups is not None
    assert len(groups) == 101
    assert 2 < groups.effective < 2.1


NULLS = [
    pytest.param(5, "ten each", 20, 0.02, (0.03, 0.07), id="20 groups of ten"),
    pytest.param(3, "ten each", 20, 0.02, (0.03, 0.07), id="three seeds"),
    pytest.param(10, "ten each", 40, 0.02, (0.03, 0.07), id="ten seeds, 40 groups"),
    pytest.param(5, "1 to 60", 20, 0.02, (0.03, 0.07), id="unequal groups"),
    pytest.param(5, "half of them single", 20, 0.02, (0.03, 0.07), id="half of the groups single images"),
    pytest.param(5, "ten each", 8, 0.02, (0.03, 0.08), id="eight groups"),
    pytest.param(5, "1 to 60", 8, 0.02, (0.02, 0.08), id="eight unequal groups"),
    pytest.param(5, "ten each", 20, 0.0, (0.03, 0.07), id="images of a group are no more alike than others"),
    pytest.param(5, "1 to 60", 20, 0.0, (0.03, 0.07), id="the same, of unequal groups"),
]


@pytest.mark.parametrize(("n_seeds", "kind", "n_groups", "patient", "within"), NULLS)
def test_a_true_null_hypothesis_is_rejected_in_about_5_percent(
    n_seeds: int, kind: str, n_groups: int, patient: float, within: tuple[float, float]
) -> None:
    rng = np.random.default_rng(1)

    def rejects() -> bool:
        sizes = SIZES[kind](rng, n_groups)
        a, b = (simulated(rng, n_seeds, sizes, patient) for _ in range(2))
        p_value = compare(a, b, groups=labels_of(sizes)).p_value
        return p_value is not None and p_value < 0.05

    assert within[0] < np.mean([rejects() for _ in range(1000)]) < within[1]


def test_images_taken_one_by_one_reject_far_too_often() -> None:
    rng = np.random.default_rng(2)
    sizes = SIZES["ten each"](rng, 20)

    found = [compare(*(simulated(rng, 5, sizes) for _ in range(2))).p_value or 0 for _ in range(500)]

    assert np.mean(np.array(found) < 0.05) > 0.15


@pytest.mark.parametrize("kind", SIZES)
def test_intervals_of_means_and_gaps_cover_the_truth_in_about_95_percent(kind: str) -> None:
    rng = np.random.default_rng(3)

    def covers() -> tuple[bool, bool]:
        sizes, others = (SIZES[kind](rng, 20) for _ in range(2))
        mean = summarize(simulated(rng, 5, sizes, 0.05), groups=labels_of(sizes), bounds=(0, 2))
        first, second = simulated(rng, 5, sizes, 0.05), simulated(rng, 5, others, 0.05)
        between = gap(first, second, first_groups=labels_of(sizes), second_groups=labels_of(others))
        assert mean.ci_low is not None
        assert mean.ci_high is not None
        return mean.ci_low < 0.85 < mean.ci_high, (between.ci_low or 0) < 0 < (between.ci_high or 0)

    of_means, of_gaps = np.mean([covers() for _ in range(1000)], axis=0)
    assert 0.93 < of_means < 0.975
    assert 0.93 < of_gaps < 0.975


def test_one_group_allows_no_claim_and_does_not_count_in_the_family() -> None:
    a, b = table(1), table(2)

    found = against_baseline(
        {"a": (a, b), "c": (a + 1, b)}, baseline="b", metric="Dice", margin=0.01, groups={"a": [0] * 8, "c": None}
    )

    assert found["a"].comparison.reason == "one group of images: no claim about new groups can be made"
    assert found["a"].row()["claim"] == "cannot be decided with 1 group"
    assert found["c"].p_adjusted == found["c"].comparison.p_value
    assert summarize(a, groups=[0] * 8).too_few == "1 group"
    assert gap(a, b, first_groups=[0] * 8).too_few == "1 group"


@pytest.mark.parametrize("together", [0.0, 0.2], ids=["alike", "far apart"])
def test_groups_too_uneven_to_tell_decide_nothing_whatever_the_scores(together: float) -> None:
    a, b = (table(seed) + together * seed * (np.arange(8) < 6) for seed in (1, 2))

    found = compare(a, b, groups=[0] * 6 + [1, 2])

    assert found.too_few == "3 groups"
    assert (
        found.reason
        == "3 groups of images, as unequal as they are, tell less than 3 equal ones would, the least that a test takes"
    )


def test_groups_without_a_miss_leave_the_interval_of_so_many_coins() -> None:
    summary = summarize(np.ones((3, 40)), groups=LABELS, bounds=(0, 1))

    assert summary.ci_low == pytest.approx(stats.beta.ppf(0.025, 8, 1))
    assert summarize(np.zeros((3, 40)), groups=LABELS, bounds=(0, np.inf)).too_few == "8 groups"


def test_residuals_alone_leave_the_error_of_groups() -> None:
    """Seeds that each miss a whole group of another patient have equal means, and are not certain."""
    scores = np.ones((3, 40))
    for seed in range(3):
        scores[seed, 5 * seed : 5 * seed + 5] = 0.0

    summary = summarize(scores, groups=LABELS)

    assert summary.error == pytest.approx(summarize(scores[:, ::5]).error)
    assert summary.error == pytest.approx(5**0.5 * (summarize(scores).error or 0), rel=0.1)


def test_labels_that_are_not_one_an_image_are_refused() -> None:
    with pytest.raises(ValueError, match="groups has 2 labels for 8 images; give one for each"):
        compare(table(1), table(2), groups=["a", "b"])
    with pytest.raises(ValueError, match="second_groups has 2 labels for 8 images"):
        gap(table(1), table(2), second_groups=["a", "b"])


COMPONENTS = Components(
    images=0.06**2,
    seeds=(0.003**2,) * 2,
    residuals=(0.04**2,) * 2,
    n_seeds=(5, 5),
    n_images=200,
    n_groups=20,
    effective_groups=16.0,
)


def test_four_of_five_simulated_studies_find_the_minimum_detectable_difference() -> None:
    rng = np.random.default_rng(4)
    sizes, labels = np.full(20, 10), labels_of(np.full(20, 10))
    images = 2 * (0.03**2 + 10 * 0.02**2)  # what ten images of one patient add to ten times the variance of their mean
    difference = minimum_detectable(
        Components(
            images=images,
            seeds=(0.003**2,) * 2,
            residuals=(0.04**2,) * 2,
            n_seeds=(5, 5),
            n_images=200,
            n_groups=20,
            effective_groups=20.0,
        )
    )

    def finds() -> bool:
        a, b = (simulated(rng, 5, sizes) for _ in range(2))
        return (compare(a + difference, b, groups=labels).p_value or 1) < 0.05

    assert np.mean([finds() for _ in range(1000)]) == pytest.approx(0.8, abs=0.04)


def test_the_groups_needed_are_just_enough() -> None:
    found = needed(COMPONENTS, 0.012)

    assert found.groups is not None
    assert found.groups > 20
    assert found.images == 10 * found.groups
    assert minimum_detectable(COMPONENTS, n_groups=found.groups) <= 0.012
    assert minimum_detectable(COMPONENTS, n_groups=found.groups - 1) > 0.012


def test_a_comparison_has_the_error_of_its_components() -> None:
    sizes = SIZES["1 to 60"](np.random.default_rng(5), 12)
    a, b = (simulated(np.random.default_rng(seed), 4, sizes, 0.05) for seed in (6, 7))

    found = compare(a, b, groups=labels_of(sizes))

    assert found.components is not None
    assert found.components.error(found.components.n_seeds, 12) == pytest.approx((found.error, found.df))


def test_images_are_not_asked_for_where_groups_count_nor_the_other_way_round() -> None:
    single = Components(images=0.06**2, seeds=(0.0,), residuals=(0.0,), n_seeds=(5,), n_images=200)

    for components, numbers in ((COMPONENTS, {"n_images": 100}), (single, {"n_groups": 10})):
        with pytest.raises(ValueError, match="say n_groups where images come in groups, else n_images"):
            minimum_detectable(components, **numbers)  # pyright: ignore[reportArgumentType]


def test_the_words_are_of_groups() -> None:
    sizes = np.full(20, 10)
    a, b = (simulated(np.random.default_rng(seed), 5, sizes) for seed in (8, 9))

    found = against_baseline(
        {"a": (a + 0.1, b), "b": (a, b)},
        baseline="base",
        metric="Dice",
        margin=0.01,
        groups=dict.fromkeys("ab", labels_of(sizes)),
    )

    assert found["a"].row()["may"] == "For new trainings and new groups of images, a is better than base in mean Dice."
    told = found["b"].row()
    assert (told["n_groups"], told["groups_needed"]) == (20, found["b"].needed and found["b"].needed.groups)
    assert cost(COMPONENTS, 0.012) == (
        "To find a difference of 0.012 in 80 % of such studies takes "
        f"{needed(COMPONENTS, 0.012).groups} groups of images instead of 20."
    )
    assert cost(COMPONENTS, 0.001) == (
        "Neither more seeds nor more groups of images alone would let a study like this find a difference of 0.001."
    )


def test_ranks_draw_groups_as_resampling_them_one_by_one_does() -> None:
    rng, sizes = np.random.default_rng(10), np.array([9, 1, 1, 4, 5, 2])
    labels = np.arange(6).repeat(sizes)
    common = rng.normal(0, 0.1, 22)
    own = {name: rng.normal(0, 0.05, 6).repeat(sizes) for name in "ab"}
    own["a"] += own["b"].mean() - own["a"].mean() - 0.015
    scores = {name: 0.8 + common + each + rng.normal(0, 0.01, (3, 22)) for name, each in own.items()}
    wins = 0
    for _ in range(4000):
        images = np.concatenate([np.flatnonzero(labels == group) for group in rng.integers(0, 6, 6)])
        means = {name: each[rng.integers(0, 3, 3)][:, images].mean() for name, each in scores.items()}
        wins += means["a"] > means["b"]

    found = rank_stability(scores, rng=np.random.default_rng(11), n_resamples=8000, groups=labels.tolist())

    assert found.share[0, 0] == pytest.approx(wins / 4000, abs=0.03)
    single = rank_stability(scores, rng=np.random.default_rng(11), n_resamples=8000)
    assert abs(single.share[0, 0] - found.share[0, 0]) > 0.05
