"""How often balanced accuracy and AUROC differ between two variants that do not, and how often their intervals hold the
truth.

`make benchmarks` runs it. Logits of images are simulated: what they have in common for all, a variant's own part, the
trainings', whose quality varies too, and the rest. Strata are the classes; the first columns name their images.
"""

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench.bench.metrics.labels import auroc_parts, balanced_parts
from medbench.bench.stats import stratified, stratified_difference

STUDIES, ALPHA = 1_000, 0.05
SIGNAL, OWN, SEED, RESIDUAL = 1.6, 0.4, 0.15, 0.6  # of the true class's logit, and deviations; images deviate by 1
SIZES = ((100, 100), (150, 30), (300, 15), (20, 20), (134, 20, 10, 8))
MANY = 20_000  # images that the truth is taken from, and as many trainings as that takes
PARTS: dict[str, Callable[..., Any]] = {"AUROC": auroc_parts, "balanced accuracy": balanced_parts}

Values = NDArray[np.float64]
Classes = NDArray[np.intp]


def probabilities(rng: np.random.Generator, truth: Classes, common: Values, n_seeds: int) -> Values:
    """(S, N, n) of one variant; `common` (N, n) is what images have in common for all of them."""
    quality = SIGNAL + rng.normal(0, SEED, (n_seeds, 1, 1))
    own = common + rng.normal(0, OWN, common.shape)
    logits = quality * np.eye(common.shape[1])[truth] + own + rng.normal(0, RESIDUAL, (n_seeds, *common.shape))
    scaled = np.exp(logits - logits.max(axis=2, keepdims=True))
    return scaled / scaled.sum(axis=2, keepdims=True)


def strata(metric: str, p: Values, truth: Classes) -> list[Values]:
    """For each class (S, N_k) what its images add."""
    return [np.stack(each) for each in zip(*(PARTS[metric](one, truth) for one in p), strict=True)]


@cache
def true_value(metric: str, sizes: tuple[int, ...]) -> float:
    rng, n = np.random.default_rng(1), len(sizes)
    truth = np.arange(n).repeat([MANY * size // sum(sizes) for size in sizes])
    found = [
        sum(part.mean() for part in PARTS[metric](p, truth))
        for _ in range(60)
        for p in probabilities(rng, truth, rng.normal(0, 1, (len(truth), n)), 1)
    ]
    return float(np.mean(found))


def rates(metric: str, sizes: tuple[int, ...], n_seeds: int, studies: int) -> tuple[float, float]:
    """Shares of simulated studies in which a difference is found where there is none, and in which the interval of one
    variant holds the truth."""
    rng, truth, true = np.random.default_rng(0), np.arange(len(sizes)).repeat(sizes), true_value(metric, sizes)
    rejected = held = 0
    for _ in range(studies):
        common = rng.normal(0, 1, (len(truth), len(sizes)))
        a, b = (strata(metric, probabilities(rng, truth, common, n_seeds), truth) for _ in range(2))
        p_value = stratified_difference(a, b, bounds=(0, 1)).p_value
        rejected += p_value is not None and p_value < ALPHA
        one = stratified(a, bounds=(0, 1))
        held += one.ci_low is not None and one.ci_high is not None and one.ci_low < true < one.ci_high
    return rejected / studies, held / studies


def main() -> None:
    print(f"{STUDIES} simulated studies a row; in %")
    print(f"{'images by class':>20}{'metric':>20}{'seeds':>8}{'rejected':>10}{'held':>8}")
    for sizes, metric, n_seeds in product(SIZES, PARTS, (3, 5, 10)):
        rejected, held = rates(metric, sizes, n_seeds, STUDIES)
        told = ", ".join(map(str, sizes))
        print(f"{told:>20}{metric:>20}{n_seeds:>8}{100 * rejected:>10.1f}{100 * held:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
