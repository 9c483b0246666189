"""Looks at a study while its seeds come in: boundaries against published ones and simulation, p-values and intervals
against their definitions."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from medbench.bench.stats import (
    SPENDING,
    Looks,
    against_baseline,
    chance_at_next,
    compare,
    compare_in_looks,
    effects,
    equivalence,
)
from medbench.bench.stats.intervals import ALPHA
from medbench.bench.stats.looking import looked_at
from medbench.bench.stats.sequential import nominal_levels

PLAN = Looks(tuple(range(3, 9)))
MARGIN = 0.01
SHIFTS = {"x": 0.05, "y": 0.0, "z": 0.02}


def z_values(fractions: list[float], level: float, spending: str) -> NDArray[np.float64]:
    known = [fractions[: place + 1] for place in range(len(fractions))]
    return stats.norm.isf(nominal_levels(known, level, spending))


def tables(seed: int, shift: float = 0.0, n_seeds: int = 8, n_images: int = 60) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    image = rng.normal(0.8, 0.1, n_images)

    def one(mean: float) -> NDArray[np.float64]:
        own = image + mean + rng.normal(0, 0.03, n_images) + rng.normal(0, 0.004, (n_seeds, 1))
        return own + rng.normal(0, 0.04, (n_seeds, n_images))

    return one(shift), one(0.0)


@pytest.mark.parametrize(
    ("spending", "published"),
    [  # of five equal steps, one-sided 2.5 %; gsDesign's and Lan and DeMets's numbers
        ("obrien-fleming", [4.877, 3.357, 2.680, 2.290, 2.031]),
        ("pocock", [2.438, 2.427, 2.410, 2.397, 2.386]),
    ],
)
def test_boundaries_are_the_published_ones(spending: str, published: list[float]) -> None:
    found = z_values([0.2, 0.4, 0.6, 0.8, 1.0], 0.025, spending)

    np.testing.assert_allclose(found, published, atol=0.002)


def test_one_look_is_no_sequence() -> None:
    for spending in SPENDING:
        assert nominal_levels([[1.0]], 0.03, spending)[0] == pytest.approx(0.03, abs=1e-6)


@pytest.mark.parametrize("spending", SPENDING)
@pytest.mark.parametrize(
    "fractions", [[0.48, 0.61, 0.7, 0.79, 0.9, 1.0], [0.9, 0.93, 0.97, 1.0], [0.05, 0.5, 0.52, 1.0]]
)
def test_a_true_null_hypothesis_is_rejected_as_often_as_is_allowed(spending: str, fractions: list[float]) -> None:
    bounds = z_values(fractions, 0.05, spending)
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(100_000, len(fractions))) * np.sqrt(np.diff([0.0, *fractions]))

    crossed = (steps.cumsum(axis=1) / np.sqrt(fractions) > bounds).any(axis=1).mean()

    assert crossed == pytest.approx(0.05, abs=0.0025)


def test_fractions_that_are_known_better_later_leave_the_whole_level_to_the_last_look() -> None:
    """Earlier looks stand as they were tested, and what they spent is counted by what is known now."""
    known = [[0.6], [0.3, 0.5], [0.35, 0.55, 1.0]]
    bounds = stats.norm.isf(nominal_levels(known, 0.05))
    rng = np.random.default_rng(1)
    steps = rng.normal(size=(100_000, 3)) * np.sqrt(np.diff([0.0, *known[-1]]))

    crossed = (steps.cumsum(axis=1) / np.sqrt(known[-1]) > bounds).any(axis=1).mean()

    assert crossed == pytest.approx(0.05, abs=0.0025)


def test_differences_at_two_looks_vary_together_as_the_later_one_varies() -> None:
    """What makes the sequence canonical, by simulation."""
    pairs = [tables(seed) for seed in range(3000)]
    at = {n: np.array([a[:n].mean() - b[:n].mean() for a, b in pairs]) for n in (3, 8)}

    assert np.cov(at[3], at[8])[0, 1] == pytest.approx(at[8].var(ddof=1), rel=0.1)
    assert at[8].var() < 0.8 * at[3].var()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(3, 8), st.sampled_from([0.0, 0.01, 0.02]), st.sampled_from([*SPENDING]))
def test_an_overall_p_value_is_the_least_level_at_which_some_look_crosses(
    seed: int, n_seeds: int, shift: float, spending: str
) -> None:
    a, b = tables(seed, shift)
    _, looked = looked_at(
        a[:n_seeds], b[:n_seeds], looks=Looks(PLAN.seeds, spending), level=0.95, bounds=None, groups=None
    )
    assert looked is not None

    for sign, margin in ((1, 0.0), (-1, 0.0), (1, MARGIN), (-1, MARGIN)):
        p = looked.overall_p(sign, margin)
        if p < 0.49:
            assert looked.rejects(sign, margin, level=p * 1.001)
            assert not looked.rejects(sign, margin, level=p * 0.999)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.integers(3, 8))
def test_interval_and_last_look_agree_and_are_wider_than_without_looks(seed: int, n_seeds: int) -> None:
    a, b = tables(seed, 0.012)

    found, plain = compare_in_looks(a[:n_seeds], b[:n_seeds], looks=PLAN), compare(a[:n_seeds], b[:n_seeds])

    assert found.difference == plain.difference
    assert found.ci_high - found.ci_low >= (plain.ci_high - plain.ci_low) * (1 - 1e-6)  # pyright: ignore
    assert found.tost_high - found.tost_low >= (plain.tost_high - plain.tost_low) * (1 - 1e-6)  # pyright: ignore
    assert found.p_value >= plain.p_value * (1 - 1e-6) or found.looked.looks[:-1]  # pyright: ignore
    if not found.ci_low <= 0 <= found.ci_high:  # pyright: ignore
        assert found.p_value <= ALPHA * 1.0001  # pyright: ignore
    if found.tost_low > -MARGIN and found.tost_high < MARGIN:  # pyright: ignore
        assert equivalence(found, MARGIN) <= ALPHA * 1.0001  # pyright: ignore


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(3, 8), st.sampled_from([0.0, 0.012]), st.sampled_from([*SPENDING]))
def test_what_p_values_show_the_interval_of_some_look_shows(
    seed: int, n_seeds: int, shift: float, spending: str
) -> None:
    a, b = tables(seed, shift)
    plan = Looks(PLAN.seeds, spending)
    found = compare_in_looks(a[:n_seeds], b[:n_seeds], looks=plan)
    assert found.looked is not None
    assert found.p_value is not None

    if found.p_value < ALPHA:
        shown = found.looked.last_showing((found.looked.side, 0.0), level=ALPHA / 2)
        assert shown is not None
        then = compare_in_looks(a[: shown.looks[-1].n_seeds], b[: shown.looks[-1].n_seeds], looks=plan)
        assert not then.ci_low <= 0 <= then.ci_high  # pyright: ignore
        assert (then.ci_low, then.ci_high) == pytest.approx((shown.end(1, ALPHA / 2), shown.end(-1, ALPHA / 2)))
    if (equivalence(found, MARGIN) or 1) < ALPHA:
        above, below = (found.looked.last_showing((sign, MARGIN), level=ALPHA) for sign in (1, -1))
        assert above is not None
        assert below is not None
        assert above.end(1, ALPHA) > -MARGIN
        assert below.end(-1, ALPHA) < MARGIN


def turning(*offsets: float) -> tuple[Any, Any]:
    """Tables of which seed after seed of the first lies that much above the second."""
    rng = np.random.default_rng(0)
    a, b = 0.8 + rng.normal(0, 0.01, (2, len(offsets), 300)) + rng.normal(0, 0.0005, (2, len(offsets), 1))
    return a + np.array(offsets)[:, None], b


def said(a: Any, b: Any, margin: float) -> Any:
    found = against_baseline({"a": (a, b)}, baseline="b", metric="Dice", margin=margin, looks=Looks((3, 4, 5, 6)))["a"]
    return found.comparison, found.claim


def test_what_an_early_look_showed_stays_claimed_with_that_looks_interval() -> None:
    a, b = turning(0.02, 0.02, 0.02, -0.08, -0.08, -0.08)
    then, claimed = said(a[:3], b[:3], 0.001)
    assert claimed.verdict == "better"

    now, claimed = said(a, b, 0.001)

    assert now.difference < 0
    assert now.ci_low < 0 < now.ci_high
    assert (claimed.kind, claimed.verdict) == ("better", "better at the look after 3 seeds")
    assert claimed.may == (
        "For new trainings and new images, a is better than b in mean Dice "
        f"(95 % interval {then.ci_low:+.3g} to {then.ci_high:+.3g} at the look after 3 seeds)."
    )
    assert claimed.not_shown.endswith(f"nor that it is by more than {then.ci_low:.3g}.")


def test_equivalence_of_an_early_look_quotes_that_looks_interval() -> None:
    a, b = turning(0.0, 0.0, 0.0, 0.03, 0.03, 0.03)
    then, _ = said(a[:3], b[:3], 0.01)

    now, claimed = said(a, b, 0.01)

    assert now.tost_high > 0.01
    assert (claimed.kind, claimed.verdict) == ("equivalent", "equivalent within 0.01 at the look after 3 seeds")
    ends = f"{then.tost_low:+.3g} to {then.tost_high:+.3g}".replace("-", "\N{MINUS SIGN}")
    assert f"(90 % interval {ends} at the look after 3 seeds, two one-sided tests)" in claimed.may


def test_equivalence_that_no_single_look_shows_has_an_end_of_each_of_two() -> None:
    a, b = turning(-0.008, -0.005, -0.006, 0.012, 0.014, 0.013)
    first, before = said(a[:3], b[:3], 0.01)
    assert before.kind != "equivalent"
    assert first.tost_high < 0.01

    last, claimed = said(a, b, 0.01)

    assert last.tost_low > -0.01
    assert last.tost_high > 0.01
    assert claimed.verdict == "equivalent within 0.01 at the looks after 6 and 3 seeds"
    assert f"to {first.tost_high:+.3g} at the looks after 6 and 3 seeds".replace("-", "\N{MINUS SIGN}") in claimed.may
    assert f"(90 % interval {last.tost_low:+.3g} to".replace("-", "\N{MINUS SIGN}") in claimed.may


def test_a_plan_of_one_look_is_the_plain_comparison() -> None:
    a, b = tables(3, 0.01)

    found, plain = compare_in_looks(a, b, looks=Looks((8,))), compare(a, b)

    for name in ("p_value", "ci_low", "ci_high", "tost_low", "tost_high"):
        assert getattr(found, name) == pytest.approx(getattr(plain, name), rel=1e-4)
    assert equivalence(found, MARGIN) == pytest.approx(min(equivalence(plain, MARGIN), 0.5), rel=1e-4)  # pyright: ignore


def test_seeds_beyond_a_complete_look_wait_for_the_next_one() -> None:
    a, b = tables(4)
    every_second = Looks((2, 4, 6))

    found = compare_in_looks(a[:5], b[:7], looks=every_second)

    assert found == compare_in_looks(a[:4], b[:4], looks=every_second)
    assert found.n_seeds_a == found.n_seeds_b == 4


def test_before_the_first_look_nothing_is_decided() -> None:
    a, b = tables(5)

    found = compare_in_looks(a[:2], b[:2], looks=PLAN)

    assert (found.p_value, found.ci_low, found.error, found.components) == (None, None, None, None)
    assert found.too_few == "2 seeds"
    assert found.reason == "the first look is planned after 3 seeds of every variant"


def test_a_study_is_looked_at_when_every_variant_has_its_seeds() -> None:
    a, b = tables(4)

    found = compare_in_looks(a, b, looks=PLAN, n_complete=4)

    assert found == compare_in_looks(a[:4], b[:4], looks=PLAN)
    waiting = compare_in_looks(a, b, looks=PLAN, n_complete=1)
    assert (waiting.p_value, waiting.too_few) == (None, "1 seed")


def test_a_study_that_goes_on_after_its_last_look_has_all_seeds_in_that() -> None:
    a, b = tables(6, n_seeds=8)

    found = compare_in_looks(a, b, looks=Looks((3, 4, 5)))

    assert found.n_seeds_a == 8
    assert found.looked is not None
    assert [look.n_seeds for look in found.looked.looks] == [3, 4, 8]
    assert found.looked.looks[-1].fractions[-1] == 1.0


def test_tables_without_variance_need_no_looks() -> None:
    a = np.full((4, 10), 0.5)

    assert compare_in_looks(a, a, looks=PLAN) == compare(a, a)
    assert compare_in_looks(a, a + 0.25, looks=PLAN) == compare(a, a + 0.25)


def test_a_family_is_tested_by_overall_p_values_in_holms_way_or_in_its_order() -> None:
    pairs = {name: tables(7 + place, shift) for place, (name, shift) in enumerate(SHIFTS.items())}
    alone = {name: compare_in_looks(*pair, looks=PLAN).p_value or 0.0 for name, pair in pairs.items()}

    by_holm = against_baseline(pairs, baseline="b", metric="Dice", margin=MARGIN, looks=PLAN)
    ordered = against_baseline(pairs, baseline="b", metric="Dice", margin=MARGIN, looks=PLAN, order=["x", "y", "z"])

    p = dict(sorted(alone.items(), key=lambda each: each[1]))
    expected = np.maximum.accumulate([value * (3 - rank) for rank, value in enumerate(p.values())]).clip(max=1)
    assert [by_holm[name].p_adjusted for name in p] == pytest.approx(expected.tolist())
    assert [ordered[name].p_adjusted for name in "xyz"] == [
        alone["x"],
        max(alone["x"], alone["y"]),
        max(alone.values()),
    ]
    assert by_holm["x"].claim is not None
    assert by_holm["x"].claim.kind == "better"


def test_what_could_be_found_is_told_at_the_level_that_a_comparison_is_tested_at() -> None:
    pairs = {name: tables(7 + place) for place, name in enumerate(SHIFTS)}
    one_seed = {name: (a[:1], b) for name, (a, b) in pairs.items() if name != "x"}
    known: dict[str, Any] = {"baseline": "b", "metric": "Dice", "margin": 0.015}

    def told(found: Any) -> tuple[Any, ...]:
        return found.minimum_detectable, found.needed, found.claim.may, found.cost

    alone = told(against_baseline({"x": pairs["x"]}, **known)["x"])

    assert told(against_baseline(pairs, **known, order=["x", "y", "z"])["x"]) == alone
    assert told(against_baseline({"x": pairs["x"], **one_seed}, **known)["x"]) == alone
    assert told(against_baseline(pairs, **known)["x"])[0] > alone[0]
    of_looks = against_baseline({"x": pairs["x"]}, **known, looks=PLAN)["x"]
    fixed = "in 80 % of such studies with a number of seeds fixed beforehand"
    assert of_looks.claim is not None
    assert f"would be found {fixed}." in of_looks.claim.may
    assert f"{fixed} takes " in (of_looks.cost or "")
    assert "beforehand" not in f"{alone}"


def test_in_an_order_an_interval_beside_0_shows_nothing_after_one_that_shows_nothing() -> None:
    pairs = {"y": tables(8), "x": tables(7, 0.05)}

    found = against_baseline(pairs, baseline="b", metric="Dice", margin=0.001, order=["y", "x"])["x"]

    assert (found.comparison.ci_low or 0) > 0
    assert found.claim is not None
    assert found.claim.kind == "no difference shown"
    assert found.claim.not_shown == (
        "a difference, though the 95 % interval leaves out 0: one before it in the order was not shown."
    )


def test_effect_sizes_are_of_the_seeds_that_were_looked_at() -> None:
    a, b = tables(4)

    found = against_baseline({"a": (a[:5], b)}, baseline="b", metric="Dice", margin=MARGIN, looks=Looks((2, 4, 6)))["a"]

    assert found.comparison.difference == pytest.approx(a[:4].mean() - b[:4].mean())
    assert found.effects == effects(a[:4], b[:4]) != effects(a[:5], b)


def test_groups_of_images_are_what_is_looked_at() -> None:
    a, b = tables(8)
    groups = [place // 6 for place in range(60)]

    found, plain = compare_in_looks(a, b, looks=PLAN, groups=groups), compare(a, b, groups=groups)

    assert (found.n_groups, found.error, found.df) == (10, plain.error, plain.df)


def test_the_chance_that_is_told_for_the_next_look_is_how_often_it_decides() -> None:
    rng, plan, margin = np.random.default_rng(5), Looks((3, 4, 5, 6, 7, 8)), 0.01
    said, was = list[float](), list[bool]()
    for shift in (0.0, 0.01, 0.02) * 40:
        seeds = rng.normal(0.01, 0.006, (2, 8, 1)) + np.array([[[shift]], [[0.0]]])
        a, b = seeds + rng.normal(0, 0.05, 40) + rng.normal(0, 0.02, (2, 8, 40))
        chance = None
        for number in plan.seeds:
            last, looked = looked_at(a[:number], b[:number], looks=plan, level=0.95, bounds=None, groups=None)
            assert looked is not None
            is_different = any(looked.rejects(sign, level=0.025) for sign in (1, -1))
            is_decided = is_different or all(looked.rejects(sign, margin, level=0.05) for sign in (1, -1))
            if chance is not None:
                said.append(chance)
                was.append(is_decided)
            if is_decided:
                break
            chance = chance_at_next(replace(last, looked=looked), margin)

    chances, happened = np.array(said), np.array(was)
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
        here = (low <= chances) & (chances < high)
        expected, error = chances[here].mean(), np.sqrt((chances[here] * (1 - chances[here])).sum()) / here.sum()
        assert here.sum() > 10
        assert happened[here].mean() == pytest.approx(expected, abs=3 * error)
