"""The language of claims."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medbench.bench.stats import (
    Claim,
    Comparison,
    claim,
    compare,
    minimum_detectable,
    same_scores,
    same_training,
)

RNG = np.random.default_rng(0)
A, B = (0.8 + RNG.normal(0, 0.01, 50) + RNG.normal(0, 0.01, (3, 50)) for _ in range(2))


def around(difference: float, error: float) -> Comparison:
    """A comparison with that difference and standard error, and many degrees of freedom."""
    return replace(
        compare(A, B),
        difference=difference,
        error=error,
        df=1000.0,
        ci_low=difference - 1.96 * error,
        ci_high=difference + 1.96 * error,
    )


def say(comparison: Comparison, margin: float = 0.01, p: float | None = 0.5, **more: Any) -> Claim:
    return claim(comparison, margin, p, a="new", b="old", metric="Dice", **more)


@pytest.mark.parametrize(
    ("difference", "error", "p_adjusted", "higher_is_better", "expected"),
    [
        pytest.param(0.03, 0.005, 0.001, True, "better", id="higher dice"),
        pytest.param(-0.03, 0.005, 0.001, True, "worse", id="lower dice"),
        pytest.param(-0.03, 0.005, 0.001, False, "better", id="lower distance"),
        pytest.param(0.03, 0.005, 0.05, True, "no difference shown", id="5 % itself is not below 5 %"),
        pytest.param(0.0, 0.02, 0.9, True, "no difference shown", id="too few data to call it equal"),
        pytest.param(0.0, 0.003, 0.9, True, "equivalent within 0.01", id="the whole interval within the margin"),
        pytest.param(0.004, 0.001, 0.001, True, "equivalent within 0.01", id="significant, yet below the margin"),
        pytest.param(0.3, 0.005, None, True, "no difference shown", id="alone: its own p-value"),
    ],
)
def test_verdicts(difference, error, p_adjusted, higher_is_better, expected) -> None:
    assert say(around(difference, error), p=p_adjusted, higher_is_better=higher_is_better).verdict == expected


def test_one_seed_decides_nothing_even_with_a_p_value() -> None:
    words = say(compare(A[:1], B), p=0.001)

    assert words.kind == "undecided"
    assert words.verdict == "cannot be decided with 1 seed"
    assert words.may.startswith("These very checkpoints differ by")
    assert words.not_shown.startswith("anything about the method")


def test_one_image_decides_nothing() -> None:
    assert say(compare(A[:, :1], B[:, :1])).verdict == "cannot be decided with 1 image"


def test_a_better_variant_is_better_on_average_and_by_at_least_the_near_end_of_the_interval() -> None:
    words = say(around(0.03, 0.005), p=0.001)

    assert words.may == "For new trainings and new images, new is better than old in mean Dice."
    assert words.not_shown == "that every training or every image agrees, nor that it is by more than 0.0202."


def test_equivalence_rests_on_the_90_percent_interval_and_is_not_identity() -> None:
    comparison = replace(around(0.0, 0.003), tost_low=-0.005, tost_high=0.005)

    words = say(comparison)

    assert words.may == (
        "For new trainings and new images, new and old differ in mean Dice by less than 0.01 "
        "(90 % interval −0.005 to +0.005, two one-sided tests)."
    )
    assert words.not_shown.startswith("that they are the same: either may be ahead by less than that")


def test_a_significant_difference_within_the_margin_is_said_to_be_one() -> None:
    words = say(around(0.004, 0.001), p=0.001)

    assert words.kind == "equivalent"
    assert "new is better, though by less than that" in words.not_shown


def test_no_difference_shown_says_what_would_be_found() -> None:
    comparison = around(0.0, 0.02)
    assert comparison.components is not None

    words = say(comparison)

    assert f"Only differences of about {minimum_detectable(comparison.components):.2g} or more in Dice" in words.may
    assert words.not_shown == "that there is no difference."


def test_an_interval_that_leaves_out_0_is_no_difference_among_several_comparisons() -> None:
    comparison = around(0.05, 0.02)
    assert comparison.components is not None

    words = claim(comparison, 0.01, 0.06, a="new", b="old", metric="Dice", n_compared=4)

    smallest = minimum_detectable(comparison.components, alpha=0.05 / 4)
    assert f"about {smallest:.2g} or more" in words.may
    assert words.not_shown == (
        "a difference, though the 95 % interval leaves out 0: of 4 comparisons one may do so by chance."
    )


@pytest.mark.parametrize(("difference", "higher_is_better"), [(0.02, True), (-0.02, False)])
def test_a_variant_that_is_surely_not_much_worse_is_said_to_be_so(difference: float, higher_is_better: bool) -> None:
    words = say(around(difference, 0.012), p=0.1, higher_is_better=higher_is_better)

    assert "new is not worse than old by 0.01 or more (one-sided test at 5 %)." in words.may


@pytest.mark.parametrize(("difference", "error"), [(0.03, 0.005), (0.0, 0.003), (0.0, 0.02)])
def test_what_two_seeds_show_a_third_may_undo(difference: float, error: float) -> None:
    three = around(difference, error)

    two = replace(three, n_seeds_b=2)

    assert (
        say(two, p=None).not_shown
        == f"{say(three, p=None).not_shown} Two seeds may lie close by chance; a third would tell."
    )


def test_where_no_possible_difference_would_be_found_none_is_quoted() -> None:
    seeds = np.array([[0.42], [0.6], [0.78]]) + np.zeros((3, 50))
    comparison = compare(seeds, np.full((3, 50), 0.5), bounds=(0, 1))
    assert comparison.components is not None
    assert minimum_detectable(comparison.components, alpha=0.05 / 10) > 1

    words = say(comparison, n_compared=10)

    assert words.may == "Not even the largest possible difference in Dice would be found in 80 % of such studies."
    unbounded = compare(seeds, np.full((3, 50), 0.5))
    assert say(unbounded, n_compared=10).may.startswith("Only differences of about")


def test_a_copy_of_the_baseline_has_the_same_scores_and_is_no_method_of_its_own() -> None:
    words = same_scores("new", "old")

    assert (words.kind, words.verdict) == ("same", "the same scores")
    assert words.may == "new has exactly old's scores, seed by seed and image by image."


def test_variants_that_are_one_training_are_listed() -> None:
    assert same_training(["a", "b"]).startswith("a and b are one and the same training, for ")
    assert same_training(["a", "b", "c"]).startswith("a, b and c are one and the same training, for ")
    assert same_training(["a", "b"], by_scores=True).startswith(
        "a and b have exactly the same scores, seed by seed and "
    )


def test_without_a_margin_nothing_is_equivalent() -> None:
    assert say(compare(A, A), margin=0).verdict == "no difference shown"


def test_without_a_margin_nothing_is_said_to_be_not_much_worse() -> None:
    assert "not worse" not in say(around(0.02, 0.012), margin=0, p=0.1).may
