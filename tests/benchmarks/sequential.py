"""What a study costs and claims that trains seeds until it is decided, against one whose number of seeds is fixed.

`make benchmarks` runs it, and `sequential.py [STUDIES [SEED]]` other draws. Scores are simulated as in calibration.py:
500 images, deviations of an image 0.1, of a variant on an image 0.03, of a seed 0.003, of the rest 0.04; and with
others, those of the results that were published on 2026-11-29 (their `Comparison.components`, rounded up) among them.
Studies look after 3, 4, ... seeds of each variant and stop when the variant is better, worse or equivalent within the
margin of 0.01, at 12 seeds at the latest.

For each true difference: the seeds spent on average; in which share of studies 0 is rejected, equivalence is claimed,
and nothing is decided; how often the repeated confidence interval of the last look holds the truth; by how much the
difference at the end is off on average; and the seeds that a study without looks needs to be decided as often.

At a true difference of 0 no more than 5 % may reject, at one of the margin no more than 5 % may claim equivalence,
whatever the number of looks. Below stands what the same looks reject at p < 0.05 each, as it is done.
"""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medbench.bench.stats import ALPHA, SPENDING, Looks, compare, equivalence
from medbench.bench.stats.looking import looked_at

IMAGES, MARGIN, FIRST, MOST = 500, 0.01, 3, 12
SHIFTS = (0.0, 0.005, 0.01, 0.02)  # true differences
DEVIATIONS = {  # of seeds, of a variant on an image, and of the rest
    "as seen in practice": (0.003, 0.03, 0.04),
    "as published": (0.001, 0.01, 0.035),
    "seeds matter more": (0.01, 0.03, 0.04),
    "images matter more": (0.001, 0.08, 0.04),
}
COLUMNS = ("difference", "looks", "seeds", "rejects", "equivalent", "undecided", "covers", "bias", "fixed")
WIDTHS = (10, 14, 6, 8, 10, 9, 7, 8, 6)
Table = NDArray[np.float64]


def tables(
    rng: np.random.Generator, shift: float, seed: float, variant_by_image: float, rest: float
) -> tuple[Table, Table]:
    image = rng.normal(0.85, 0.1, IMAGES)

    def one(mean: float) -> Table:
        own = image + mean + rng.normal(0, variant_by_image, IMAGES) + rng.normal(0, seed, (MOST, 1))
        return own + rng.normal(0, rest, (MOST, IMAGES))

    return one(shift), one(0.0)


def decided(a: Table, b: Table, plan: Looks) -> dict[str, float]:
    """One study, look by look until it stops."""
    for number in plan.seeds:
        last, looked = looked_at(a[:number], b[:number], looks=plan, level=0.95, bounds=None, groups=None)
        assert looked is not None
        rejects = any(looked.rejects(sign, level=ALPHA / 2) for sign in (1, -1))
        is_equivalent = all(looked.rejects(sign, MARGIN, level=ALPHA) for sign in (1, -1))
        if rejects or is_equivalent or number == MOST:
            return {
                "seeds": number,
                "rejects": rejects,
                "equivalent": is_equivalent,
                "undecided": not (rejects or is_equivalent),
                "difference": last.difference,
                "half": looked.half_width(ALPHA / 2),
            }
    raise AssertionError


def fixed(a: Table, b: Table) -> list[tuple[bool, bool]]:
    """Of studies of FIRST to MOST seeds without looks, whether each rejects, and whether it claims equivalence."""
    found = [compare(a[:number], b[:number]) for number in range(FIRST, MOST + 1)]
    return [((each.p_value or 0) < ALPHA, (equivalence(each, MARGIN) or 1) < ALPHA) for each in found]


def report(name: str, studies: int, draws: int) -> None:
    seed, variant_by_image, rest = DEVIATIONS[name]
    print(f"\n{name}: deviation of seeds {seed}, of a variant on an image {variant_by_image}, of the rest {rest}")
    _print_row(COLUMNS)
    for shift in SHIFTS:
        rng = np.random.default_rng(draws)
        pairs = [tables(rng, shift, seed, variant_by_image, rest) for _ in range(studies)]
        without = np.array([fixed(*pair) for pair in pairs])  # (studies, numbers of seeds, 2)
        share = without.any(axis=2).mean(axis=0)
        for spending in SPENDING:
            rows = [decided(*pair, Looks(tuple(range(FIRST, MOST + 1)), spending)) for pair in pairs]
            found = {key: np.array([row[key] for row in rows], dtype=float) for key in rows[0]}
            means = [found[key].mean() for key in ("seeds", "rejects", "equivalent", "undecided")]
            off = found["difference"] - shift
            enough = np.flatnonzero(share >= 1 - means[3] - 0.005)
            needed = str(FIRST + enough[0]) if len(enough) else f">{MOST}"
            told = [f"{each:.3f}" for each in (*means[1:], (np.abs(off) <= found["half"]).mean())]
            _print_row((f"{shift:.3f}", spending, f"{means[0]:.2f}", *told, f"{off.mean():.4f}", needed))
        by_p = without[:, :, 0].any(axis=1).mean()
        _print_row((f"{shift:.3f}", "p < 0.05 each", "", f"{by_p:.3f}"))


def _print_row(cells: Sequence[str]) -> None:
    print(" ".join(cell.rjust(width) for cell, width in zip(cells, WIDTHS, strict=False)), flush=True)


if __name__ == "__main__":
    n_studies, n_draws = [*map(int, sys.argv[1:]), *(1_000, 7)[len(sys.argv) - 1 :]]
    for each in DEVIATIONS:
        report(each, n_studies, n_draws)
