"""Two-way bootstrap of a large study, against rliable's stratified task bootstrap of the same scores in the same run.

`make benchmarks` runs it: `bootstrap.py PYTHON`, with the Python of an environment that has rliable. rliable draws
tasks and runs anew for one variant at a time and evaluates a function on each copy; ours draws images for all variants
at once and, besides the means, ranks the variants.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from medbench.bench.stats import rank_stability

VARIANTS, SEEDS, IMAGES, RESAMPLES = 8, 5, 1_000, 10_000
RLIABLE = """
import sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from rliable import library

tables = {str(index): table for index, table in enumerate(np.load(sys.argv[1]))}
start = time.perf_counter()
library.get_interval_estimates(
    tables, lambda scores: np.array([scores.mean()]), task_bootstrap=True, reps=int(sys.argv[2]),
    random_state=np.random.RandomState(0),
)
print(time.perf_counter() - start)
"""


def main(python: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(0.85, 0.1, IMAGES)
    tables = {f"variant {index}": image + rng.normal(0, 0.04, (SEEDS, IMAGES)) for index in range(VARIANTS)}

    start = time.perf_counter()
    rank_stability(tables, rng=rng, n_resamples=RESAMPLES)
    ours = time.perf_counter() - start

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tables.npy"
        np.save(file, np.stack(list(tables.values())))
        command = [python, "-c", RLIABLE, str(file), str(RESAMPLES)]
        theirs = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])

    print(f"{RESAMPLES} resamples of {VARIANTS} variants x {SEEDS} seeds x {IMAGES} images")
    print(f"medbench, means and ranks: {ours:.2f} s")
    print(f"rliable, means: {theirs:.1f} s, {theirs / ours:.0f} times medbench")


if __name__ == "__main__":
    main(sys.argv[1])
