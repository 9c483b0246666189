"""What a study can find, against simulation of studies."""

import numpy as np
import pytest
from scipy import stats

from medbench.bench.stats import Components, compare, minimum_detectable, needed
from medbench.bench.stats.claims import cost

COMPONENTS = Components(
    images=2 * 0.03**2, seeds=(0.003**2,) * 2, residuals=(0.04**2,) * 2, n_seeds=(5, 5), n_images=200
)


def test_four_of_five_simulated_studies_find_the_minimum_detectable_difference() -> None:
    rng = np.random.default_rng(1)
    difference = minimum_detectable(COMPONENTS)

    def finds() -> bool:
        a, b = (
            rng.normal(0, 0.03, 200) + rng.normal(0, 0.003, (5, 1)) + rng.normal(0, 0.04, (5, 200)) for _ in range(2)
        )
        return (compare(a + difference, b).p_value or 1) < 0.05

    assert np.mean([finds() for _ in range(2000)]) == pytest.approx(0.8, abs=0.03)


def test_without_seeds_it_is_that_of_a_paired_t_test() -> None:
    components = Components(images=0.05**2, seeds=(0.0, 0.0), residuals=(0.0, 0.0), n_seeds=(2, 2), n_images=30)

    difference = minimum_detectable(components)

    shift, bound = difference / (0.05 / 30**0.5), stats.t.ppf(0.975, 29)
    found = stats.nct.sf(bound, 29, shift) + stats.nct.cdf(-bound, 29, shift)
    assert found == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("df_seeds", [2, 3, 50])
def test_more_seeds_and_more_images_find_smaller_differences(df_seeds: int) -> None:
    here = minimum_detectable(COMPONENTS, n_seeds=(df_seeds, df_seeds))

    assert minimum_detectable(COMPONENTS, n_seeds=(df_seeds + 1, df_seeds + 1)) < here
    assert minimum_detectable(COMPONENTS, n_seeds=(df_seeds, df_seeds), n_images=400) < here


def test_what_is_needed_is_just_enough() -> None:
    found = needed(COMPONENTS, 0.0095)

    assert found.seeds is not None
    assert found.images is not None
    assert minimum_detectable(COMPONENTS, n_seeds=(found.seeds,) * 2) <= 0.0095
    assert minimum_detectable(COMPONENTS, n_seeds=(found.seeds - 1,) * 2) > 0.0095
    assert minimum_detectable(COMPONENTS, n_images=found.images) <= 0.0095
    assert minimum_detectable(COMPONENTS, n_images=found.images - 1) > 0.0095


@pytest.mark.parametrize("image", [0.02, 0.05, 0.1])
def test_beside_two_seeds_a_number_of_images_may_be_enough_though_a_million_are_not(image: float) -> None:
    components = Components(images=image**2, seeds=(0.002**2,) * 2, residuals=(0.0, 0.0), n_seeds=(2, 2), n_images=100)

    found = needed(components, 0.01)

    assert minimum_detectable(components, n_images=1_000_000) > 0.01
    assert found.images is not None
    assert minimum_detectable(components, n_images=found.images) <= 0.01
    assert all(minimum_detectable(components, n_images=n) > 0.01 for n in range(2, found.images))


def test_what_more_would_cost_never_asks_for_fewer() -> None:
    """Of 10,000 images so few degrees of freedom are left that a difference is missed which fewer would find."""
    components = Components(
        images=0.05**2, seeds=(0.002**2,) * 2, residuals=(0.0, 0.0), n_seeds=(2, 2), n_images=10_000
    )

    assert (needed(components, 0.01).images or 0) < 10_000
    assert cost(components, 0.01) == (
        "To find a difference of 0.01 in 80 % of such studies takes 3 seeds a variant instead of 2."
    )


def test_where_images_set_the_limit_no_number_of_seeds_is_enough() -> None:
    assert needed(COMPONENTS, 0.001).seeds is None


def test_where_seeds_set_the_limit_no_number_of_images_is_enough() -> None:
    assert needed(COMPONENTS, 0.001).images is None


def test_without_any_variance_everything_is_found() -> None:
    components = Components(images=0.0, seeds=(0.0, 0.0), residuals=(0.0, 0.0), n_seeds=(2, 2), n_images=2)

    assert minimum_detectable(components) == 0


def test_a_difference_of_nothing_cannot_be_looked_for() -> None:
    with pytest.raises(ValueError, match="difference must be above 0"):
        needed(COMPONENTS, 0)
