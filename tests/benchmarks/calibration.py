"""How often each method finds a difference between two variants where there is none, and where there is one.

`make benchmarks` runs it. Scores are simulated with known variances: of images, of each variant on each image, of seeds
and of the rest. At 5 % a calibrated test rejects about 5 % of true null hypotheses; one that rejects more makes claims
that a new training would not keep. Power is only worth comparing between methods that are calibrated.

With two seeds medbench decides nothing where they leave fewer than two degrees of freedom. That rejects no hypothesis
more; but two seeds may lie close to each other by chance, and it is these studies that are left to decide. The last
columns say what that comes to.

A second table has images in groups, of one patient say, whose images a variant does well or badly on together: the test
that takes images one by one, the one by groups, in which share of studies it decides at all and of them rejects, and
how often intervals by groups hold a mean and a gap.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from medbench.bench.stats import compare, gap, summarize

STUDIES, RESAMPLES, ALPHA = 1_000, 500, 0.05
SHIFT = 0.01  # the true difference that power is counted for

PATIENT = 0.05  # deviation of patients, whatever the variant, in means and gaps

Table = NDArray[np.float64]
Sizes = NDArray[np.int64]


@dataclass(frozen=True)
class Scenario:
    """Numbers and standard deviations that scores are simulated with; `skewed` puts them below 1 as Dice is."""

    name: str
    seeds: int = 5
    images: int = 200
    image: float = 0.1
    variant_by_image: float = 0.03
    seed: float = 0.003
    residual: float = 0.04
    skewed: bool = False


SCENARIOS = (
    Scenario("as seen in practice"),
    Scenario("two seeds", seeds=2),
    Scenario("two seeds, many images", seeds=2, images=1000),
    Scenario("two seeds, large seed variance", seeds=2, seed=0.03),
    Scenario("three seeds", seeds=3),
    Scenario("three seeds, many images", seeds=3, images=1000),
    Scenario("ten seeds", seeds=10),
    Scenario("few images", images=50),
    Scenario("no seed variance", seed=0.0),
    Scenario("large seed variance", seed=0.03),
    Scenario("three seeds, large seed variance", seeds=3, seed=0.03),
    Scenario("one variant under two names", seed=0.0, variant_by_image=0.0),
    Scenario("skewed, bounded", skewed=True),
    Scenario("skewed, large seed variance", seed=0.03, skewed=True),
)


def pair(rng: np.random.Generator, scenario: Scenario, shift: float) -> tuple[Table, Table]:
    """Scores of two variants, (seeds, images) each, the first `shift` higher on average, before they are skewed."""
    shape = (scenario.seeds, scenario.images)
    image = rng.normal(0, scenario.image, scenario.images)

    def scores(mean: float) -> Table:
        own = image + rng.normal(0, scenario.variant_by_image, scenario.images)
        deviation = own + rng.normal(0, scenario.seed, (scenario.seeds, 1)) + rng.normal(0, scenario.residual, shape)
        return expit(2.2 + 10 * (deviation + mean)) if scenario.skewed else 0.85 + mean + deviation

    return scores(shift), scores(0.0)


def crossed(a: Table, b: Table, _: np.random.Generator) -> bool:
    p_value = compare(a, b).p_value
    return p_value is not None and p_value < ALPHA


def seeds_cut(a: Table, b: Table, _: np.random.Generator) -> bool:
    """The same sum of variances, cut as Obuchowski and Rockette cut it: the seeds' part is never below 0."""
    n_seeds, n_images = a.shape
    d = a.mean(axis=0) - b.mean(axis=0)
    variance = d.var(ddof=1) / n_images
    squares = variance**2 / (n_images - 1)
    for table in (a, b):
        rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
        of_seeds = table.mean(axis=1).var(ddof=1) / n_seeds
        of_rest = np.square(rest).sum() / ((n_seeds - 1) * (n_images - 1)) / table.size
        if of_seeds > of_rest:
            variance += of_seeds - of_rest
            squares += of_seeds**2 / (n_seeds - 1) + of_rest**2 / ((n_seeds - 1) * (n_images - 1))
    return bool(2 * stats.t.sf(abs(d.mean()) / variance**0.5, variance**2 / squares) < ALPHA)


def pooled_t(a: Table, b: Table, _: np.random.Generator) -> bool:
    found: Any = stats.ttest_rel(a.ravel(), b.ravel())
    return found.pvalue < ALPHA


def pooled_wilcoxon(a: Table, b: Table, _: np.random.Generator) -> bool:
    found: Any = stats.wilcoxon((a - b).ravel())
    return found.pvalue < ALPHA


def averaged_wilcoxon(a: Table, b: Table, _: np.random.Generator) -> bool:
    found: Any = stats.wilcoxon(a.mean(axis=0) - b.mean(axis=0))
    return found.pvalue < ALPHA


def welch(a: Table, b: Table, _: np.random.Generator) -> bool:
    found: Any = stats.ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False)
    return found.pvalue < ALPHA


def bootstrap(a: Table, b: Table, rng: np.random.Generator) -> bool:
    """Two-way: images for both variants, seeds for each; the percentile interval leaves 0 out."""
    n_seeds, n_images = a.shape
    images = rng.multinomial(n_images, np.full(n_images, 1 / n_images), RESAMPLES) / n_images
    weights = [rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), RESAMPLES) / n_seeds for _ in range(2)]
    means = [(weight * (images @ table.T)).sum(axis=1) for weight, table in zip(weights, (a, b), strict=True)]
    low, high = np.quantile(means[0] - means[1], [ALPHA / 2, 1 - ALPHA / 2])
    return not low <= 0 <= high


METHODS: dict[str, Callable[[Table, Table, np.random.Generator], bool]] = {
    "medbench": crossed,
    "seeds cut": seeds_cut,
    "pooled t": pooled_t,
    "pooled Wilcoxon": pooled_wilcoxon,
    "averaged Wilcoxon": averaged_wilcoxon,
    "Welch on seeds": welch,
    "bootstrap": bootstrap,
}


def rates(scenario: Scenario, shift: float) -> dict[str, float]:
    """Percent of simulated studies in which each method rejects; in which medbench decides at all; and, of these, in
    which it rejects and its interval covers the shift."""
    rng = np.random.default_rng(0)
    found = dict.fromkeys([*METHODS, "covers"], 0)
    n_decided = 0
    for _ in range(STUDIES):
        a, b = pair(rng, scenario, shift)
        for name, rejects in METHODS.items():
            found[name] += rejects(a, b, rng)
        comparison = compare(a, b)
        if comparison.ci_low is not None and comparison.ci_high is not None:
            n_decided += 1
            found["covers"] += comparison.ci_low <= shift <= comparison.ci_high
    of_decided = {"rejects": 100 * found["medbench"] / n_decided, "covers": 100 * found.pop("covers") / n_decided}
    return (
        {name: 100 * count / STUDIES for name, count in found.items()}
        | of_decided
        | {"decided": 100 * n_decided / STUDIES}
    )


SIZES: dict[str, Callable[[np.random.Generator, int], Sizes]] = {
    "10 each": lambda rng, n: np.full(n, 10),
    "20 each": lambda rng, n: np.full(n, 20),
    "1 to 60": lambda rng, n: rng.integers(1, 61, n),
    "half single": lambda rng, n: np.where(np.arange(n) < n // 2, rng.integers(1, 61, n), 1),
    "geometric": lambda rng, n: rng.geometric(0.08, n),
    "one of 200": lambda rng, n: np.r_[200, rng.integers(1, 21, n - 1)],
}


def in_groups(rng: np.random.Generator, sizes: Sizes, n_seeds: int, by_patient: float) -> Table:
    """(S, N) scores of one variant, but for what images have in common for all; images of a group side by side."""
    case, n_images = SCENARIOS[0], int(sizes.sum())
    own = rng.normal(0, by_patient, sizes.size).repeat(sizes) + rng.normal(0, case.variant_by_image, n_images)
    return own + rng.normal(0, case.seed, (n_seeds, 1)) + rng.normal(0, case.residual, (n_seeds, n_images))


def rates_by_groups(kind: str, n_groups: int, n_seeds: int, by_patient: float) -> dict[str, float]:
    """Percent of simulated studies without a difference: rejected image by image and by groups, decided by groups and
    rejected of these, and those in which the interval by groups holds a mean and a gap of two samples, of gaps that are
    decided."""
    rng = np.random.default_rng(0)
    found = dict.fromkeys(("one by one", "by groups", "decided", "mean held", "gap decided", "gap held"), 0)

    def patients(each: Sizes) -> Table:
        return rng.normal(0, PATIENT, n_groups).repeat(each) + rng.normal(0, SCENARIOS[0].image, each.sum())

    for _ in range(STUDIES):
        sizes, others = (SIZES[kind](rng, n_groups) for _ in range(2))
        labels, of_others = (np.arange(n_groups).repeat(each).tolist() for each in (sizes, others))
        a, b = (in_groups(rng, sizes, n_seeds, by_patient) for _ in range(2))
        found["one by one"] += crossed(a, b, rng)
        p_value = compare(a, b, groups=labels).p_value
        found["decided"] += p_value is not None
        found["by groups"] += p_value is not None and p_value < ALPHA

        a += patients(sizes)
        mean = summarize(a, groups=labels)
        found["mean held"] += mean.ci_low is not None and mean.ci_high is not None and mean.ci_low < 0 < mean.ci_high
        other = in_groups(rng, others, n_seeds, by_patient) + patients(others)
        p_value = gap(a, other, first_groups=labels, second_groups=of_others).p_value
        found["gap decided"] += p_value is not None
        found["gap held"] += p_value is not None and p_value >= ALPHA
    n_decided, n_gaps = max(found["decided"], 1), max(found.pop("gap decided"), 1)
    shares = {name: 100 * count / STUDIES for name, count in found.items()}
    return shares | {"of them": 100 * found["by groups"] / n_decided, "gap held": 100 * found["gap held"] / n_gaps}


def tell_groups() -> None:
    """Prints the table of images in groups."""
    print(f"\nimages in groups; {STUDIES} simulated studies a row without a difference; in %")
    heads = ("one by one", "by groups", "decided", "of them", "mean held", "gap held")
    print(f"{'groups':>8}{'their sizes':>14}{'by patient':>12}{'seeds':>8}" + "".join(f"{name:>13}" for name in heads))
    for by_patient, every_n_seeds in ((0.02, (3, 5, 10)), (0.0, (5,)), (0.05, (5,))):
        for kind, n_groups, n_seeds in product(SIZES, (8, 20, 40), every_n_seeds):
            rates_here = rates_by_groups(kind, n_groups, n_seeds, by_patient)
            cells = "".join(f"{rates_here[name]:>13.1f}" for name in heads)
            print(f"{n_groups:>8}{kind:>14}{by_patient:>12}{n_seeds:>8}{cells}", flush=True)


def main() -> None:
    print(f"{STUDIES} simulated studies a cell; rejected in %: no difference / a difference of {SHIFT}")
    heads = "".join(f"{name:>19}" for name in METHODS)
    print(f"{'':34}{heads}{'decided':>9}{'of them rejected':>18}{'95 % CI covers':>16}")
    for scenario in SCENARIOS:
        null, power = rates(scenario, 0.0), rates(scenario, SHIFT)
        cells = "".join(f"{f'{null[name]:.1f} / {power[name]:.0f}':>19}" for name in METHODS)
        last = f"{null['decided']:>9.0f}{null['rejects']:>18.1f}{null['covers']:>16.1f}"
        print(f"{scenario.name:34}{cells}{last}", flush=True)
    tell_groups()


if __name__ == "__main__":
    main()
