"""How often intervals of a mean hold the true mean: near the bounds of scores, far from them, and with two trainings.

`make benchmarks` runs it. Scores are simulated with known means: shares that pile up at 0 or 1, distances with a long
tail, images that are missed altogether. A calibrated interval covers in 95 %, and errs as often below as above.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import asin, inf, pi, sin

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from medbench.bench.stats import Bounds, Summary, summarize

STUDIES, LEVEL = 1_000, 0.95
SIZES = ((2, 20), (2, 200), (2, 1000), (3, 20), (3, 200), (5, 50), (5, 1000), (10, 200))  # seeds, images
SHARE, DISTANCE = (0.0, 1.0), (0.0, inf)
DIAGONAL = 360.0

Values = NDArray[np.float64]
Ends = tuple[float, float]


def censored(x: Values) -> Values:
    return np.clip(x, 0, 1)


def pixels(x: Values) -> Values:
    return np.minimum(np.exp(x), DIAGONAL)


@dataclass(frozen=True)
class Scenario:
    """Scores are `link` of a normal variable with this center and these standard deviations; of the share `missed` of
    images they are the worst."""

    name: str
    link: Callable[[Values], Values]
    center: float
    image: float
    seed: float
    residual: float
    missed: float = 0.0
    bounds: Bounds = SHARE

    @property
    def worst(self) -> float:
        return 0.0 if self.bounds == SHARE else DIAGONAL

    @property
    def truth(self) -> float:
        deviation = (self.image**2 + self.seed**2 + self.residual**2) ** 0.5
        every = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
        of_found = float(self.link(self.center + deviation * every).mean())
        return (1 - self.missed) * of_found + self.missed * self.worst

    def study(self, rng: np.random.Generator, n_seeds: int, n_images: int) -> Values:
        """(S, N) scores of one variant."""
        shape = (n_seeds, n_images)
        x = rng.normal(0, self.image, n_images) + rng.normal(0, self.seed, (n_seeds, 1))
        found = self.link(self.center + x + rng.normal(0, self.residual, shape))
        hidden = (rng.normal(0, 1, n_images) + rng.normal(0, 0.3, shape)) / 1.09**0.5  # by most trainings alike
        return np.where(hidden < stats.norm.ppf(self.missed), self.worst, found)


SCENARIOS = (
    Scenario("Dice 0.97", expit, 3.8, 0.8, 0.05, 0.4),
    Scenario("Dice 0.97, seeds differ", expit, 3.8, 0.8, 0.4, 0.4),
    Scenario("Dice 0.9, 4 % missed", expit, 2.8, 1.0, 0.1, 0.4, missed=0.04),
    Scenario("Dice 0.5", expit, 0.0, 2.0, 0.1, 0.7),
    Scenario("Dice 0.5, seeds differ", expit, 0.0, 2.0, 1.0, 0.7),
    Scenario("sensitivity 0.99, most at 1", censored, 1.02, 0.05, 0.005, 0.02),
    Scenario("the same, seeds differ", censored, 1.02, 0.05, 0.03, 0.02),
    Scenario("false positives 0.02, most at 0", censored, -0.03, 0.08, 0.01, 0.03),
    Scenario("all but 1 % at 1", censored, 1.5, 0.05, 0.005, 0.02, missed=0.01),
    Scenario("HD95 11 px", pixels, 2.0, 0.8, 0.05, 0.4, bounds=DISTANCE),
    Scenario("HD95 12 px, seeds differ", pixels, 2.0, 0.8, 0.4, 0.4, bounds=DISTANCE),
    Scenario("HD95 18 px, 2 % missed", pixels, 2.0, 0.8, 0.1, 0.4, missed=0.02, bounds=DISTANCE),
)


def medbench(found: Summary, bounds: Bounds) -> Ends:
    """On the logit or log scale. Without an interval, anything may be true."""
    return bounds if found.ci_low is None or found.ci_high is None else (found.ci_low, found.ci_high)


def t_cut(found: Summary, bounds: Bounds) -> Ends:
    """Student's on the scores' own scale, cut where that ends."""
    width = _t(found) * (found.error or 0.0)
    return max(found.mean - width, bounds[0]), min(found.mean + width, bounds[1])


def root(found: Summary, bounds: Bounds) -> Ends:
    """Student's on the scale of the root of a distance, or of the arcsine of a share's root; cut there."""
    if found.mean in bounds:
        return medbench(found, bounds)
    mean, error = found.mean, found.error or 0.0
    if bounds == DISTANCE:
        width = _t(found) * error / (2 * mean**0.5)
        return max(mean**0.5 - width, 0.0) ** 2, (mean**0.5 + width) ** 2
    center, width = asin(mean**0.5), _t(found) * error / (2 * (mean * (1 - mean)) ** 0.5)
    return sin(max(center - width, 0.0)) ** 2, sin(min(center + width, pi / 2)) ** 2


def effective(found: Summary, bounds: Bounds) -> Ends:
    """As many independent coins, or as long a count, as have this error (Korn and Graubard 1998, Survey Methodology
    24(2)): the exact interval of a binomial or Poisson mean."""
    error, mean = found.error or 0.0, found.mean
    if mean in bounds:
        return medbench(found, bounds)
    shrunk = (float(stats.norm.ppf((1 + LEVEL) / 2)) / _t(found)) ** 2
    tails = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    if bounds == DISTANCE:
        n = (mean / error) ** 2 * shrunk
        low, high = stats.gamma.ppf(tails[0], n), stats.gamma.ppf(tails[1], n + 1)
        return float(low) * mean / n, float(high) * mean / n
    n = mean * (1 - mean) / error**2 * shrunk
    hits, misses = n * mean, n * (1 - mean)
    return float(stats.beta.ppf(tails[0], hits, misses + 1)), float(stats.beta.ppf(tails[1], hits + 1, misses))


def _t(found: Summary) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, found.df))


METHODS: dict[str, Callable[[Summary, Bounds], Ends]] = {
    "medbench": medbench,
    "t, cut": t_cut,
    "root or arcsine": root,
    "effective number": effective,
}


def missed(scenario: Scenario, n_seeds: int, n_images: int) -> dict[str, tuple[float, float]]:
    """By method, percent of studies whose interval lies below the truth, and above it."""
    rng, truth = np.random.default_rng(0), scenario.truth
    found = {name: np.zeros(2) for name in METHODS}
    for _ in range(STUDIES):
        summary = summarize(scenario.study(rng, n_seeds, n_images), level=LEVEL, bounds=scenario.bounds)
        for name, method in METHODS.items():
            low, high = method(summary, scenario.bounds)
            found[name] += (high < truth, low > truth)
    return {name: (100 * below / STUDIES, 100 * above / STUDIES) for name, (below, above) in found.items()}


def main() -> None:
    print(f"{STUDIES} simulated studies a cell; 95 % intervals of a mean that hold it, in % (lie below it / above it)")
    print(f"{'':40}{'seeds x images':>16}" + "".join(f"{name:>23}" for name in METHODS))
    held: dict[tuple[str, bool], list[float]] = {}
    for scenario in SCENARIOS:
        for n_seeds, n_images in SIZES:
            line = f"{f'{scenario.name}: {scenario.truth:.3f}':40}{f'{n_seeds} x {n_images}':>16}"
            for name, (below, above) in missed(scenario, n_seeds, n_images).items():
                line += f"{f'{100 - below - above:.1f} ({below:.1f} / {above:.1f})':>23}"
                held.setdefault((name, n_seeds == 2), []).append(100 - below - above)
            print(line, flush=True)
    for is_two, label in ((True, "two seeds"), (False, "three seeds and more")):
        print(f"{f'mean, {label}':56}" + "".join(f"{np.mean(held[name, is_two]):>23.1f}" for name in METHODS))


if __name__ == "__main__":
    main()
