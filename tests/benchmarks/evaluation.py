"""What a trial's evaluations cost on one core: milliseconds an image of forward passes, painting, metrics and writing.

python tests/benchmarks/evaluation.py --size 128

On ISIC 2018 where the real data is (MEDBENCH_DATA or ../shared/data), else on synthetic images. Masks of artifacts come
from the cache or, to compare, are painted anew for every evaluation; both take turns, and their scores must have the
same bytes. The model costs what MedLiteNet does, and calls lesion what is dark.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from medbench.bench.evaluation import testing
from medbench.bench.evaluation.testing import evaluate
from medbench.bench.training.device import prepare
from medbench.datasets.artifacts import LOCAL
from medbench.datasets.artifacts.painted import PaintedSet
from medbench.datasets.base import ImageSet
from medbench.datasets.cache import Arrays, load_arrays
from medbench.datasets.catalog import open_dataset
from medbench.datasets.synthetic import SyntheticSet
from medbench.models.catalog import build_model

IMAGES, ROUNDS = 64, 3
PARTS: tuple[str, ...] = ("forward", "painting", "writing")  # what is left are metrics


class Dark(nn.Module):
    """Lesion where the image is darker than its mean by half its deviation, at the cost of another model."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        grey = F.avg_pool2d(image, 8).mean(dim=1, keepdim=True)
        dark = 4 * (grey.mean((2, 3), keepdim=True) - grey.std((2, 3), keepdim=True) / 2 - grey)
        return F.interpolate(dark, scale_factor=8, mode="bilinear") + 0 * self.net(image)


@dataclass(frozen=True)
class PaintedAnew(Arrays):
    """Images whose artifact masks are painted each time that one is asked for."""

    source: PaintedSet = field(kw_only=True)

    def artifact(self, id: str) -> NDArray[np.bool_] | None:
        return self.source.artifact_mask(id)


class Clock:
    """Seconds inside functions that are replaced by timed ones; those within another count to the inner."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._inner = [0.0]

    def time(self, owner: Any, name: str, part: str) -> None:
        work: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            started = time.process_time()
            try:
                return work(*args, **kwargs)
            finally:
                took = time.process_time() - started
                self.seconds[part] += took - self._inner.pop()
                self._inner[-1] += took

        setattr(owner, name, timed)


def find_images() -> ImageSet:
    data = Path(os.environ.get("MEDBENCH_DATA", "../shared/data"))
    if (data / "isic2018").is_dir():
        return open_dataset("isic2018", data=data)
    return SyntheticSet(images=IMAGES, size=256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128, help="of the model's input; 128 is profile cpu's")
    size = parser.parse_args().size
    prepare(0, 1)
    cv2.setNumThreads(1)
    clean = find_images()
    ids = list(clean.ids[:: len(clean) // IMAGES][:IMAGES])
    model = Dark(build_model("medlitenet", {}).model).eval()
    clock = Clock()
    clock.time(testing, "predict", "forward")
    clock.time(PaintedSet, "painted", "painting")
    clock.time(testing, "write_mask", "writing")
    clock.time(pd.DataFrame, "to_parquet", "writing")
    print(f"{clean.name}: {IMAGES} images at {size} pixels, one core, milliseconds of its time an image")
    print(f"{'':28}{'images/s':>10}{'all':>8}" + "".join(f"{part:>10}" for part in (*PARTS, "metrics")))
    with tempfile.TemporaryDirectory() as folder:

        def measured(
            ways: dict[str, tuple[ImageSet, Arrays]], rounds: int = ROUNDS
        ) -> tuple[dict[str, float], set[bytes]]:
            """Median seconds of each way, which take turns; and the bytes of all scores."""
            runs: dict[str, list[list[float]]] = {name: [] for name in ways}
            written: set[bytes] = set()
            for _, (name, (image_set, images)) in product(range(rounds), ways.items()):
                clock.seconds = dict.fromkeys(PARTS, 0.0)
                started = time.process_time()
                masks = None if isinstance(image_set, PaintedSet) else Path(folder) / "masks"
                scored = evaluate(model, image_set, images, ids, score_at="native", masks=masks)
                scored.images.to_parquet(scores := Path(folder) / "scores.parquet", index=False)
                scored.reliability.to_parquet(sums := Path(folder) / "reliability.parquet", index=False)
                took = time.process_time() - started
                runs[name].append([took, *clock.seconds.values(), took - sum(clock.seconds.values())])
                written.add(scores.read_bytes() + sums.read_bytes())
            for name, rows in runs.items():
                middle = [1e3 / IMAGES * statistics.median(column) for column in zip(*rows, strict=True)]
                print(f"{name:28}{1e3 / middle[0]:10.1f}{middle[0]:8.1f}" + "".join(f"{x:10.1f}" for x in middle[1:]))
            return {name: statistics.median(row[0] for row in rows) for name, rows in runs.items()}, written

        def arrays(image_set: ImageSet) -> Arrays:
            digests = {id: image_set.digest(id) for id in ids}
            return load_arrays(image_set, ids, size, Path(folder) / "cache", digests)

        measured({"clean": (clean, arrays(clean))})
        for kind in LOCAL:
            painted = PaintedSet(clean, ids, kind=kind, severity=5)
            images = arrays(painted)
            anew = PaintedAnew(images.images, images.masks, images.row, source=painted)
            names = f"{kind}-5, painted once", f"{kind}-5, painted anew"
            ways: dict[str, tuple[ImageSet, Arrays]] = {names[0]: (painted, images), names[1]: (painted, anew)}
            seconds, written = measured(ways, ROUNDS if kind == "hair" else 1)
            assert len(written) == 1, f"{kind}: scores differ"
            print(f"{'':28}{seconds[names[1]] / seconds[names[0]]:10.2f} times as fast, the same bytes of scores")


if __name__ == "__main__":
    main()
