"""What other ways of scoring make of the same trainings: the headline number as this literature computes it.

Each way is one that papers, or their public code, use; they are named with it. Pooled scores and those of batches are
ratios of sums; their intervals go by what each image adds to them (the delta method), so that they are crossed like all
others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bench.metrics import COUNTS, from_counts
from ..bench.stats import paired_gap
from ..bench.stats.intervals import interval
from .load import Study, Trial
from .tables import Cell, Cells

Table = NDArray[np.float64]  # (S, N), a row a seed and a column an image
BOTH, TRAININGS = "new trainings and images", "new trainings alone"


@dataclass(frozen=True, slots=True)
class Way:
    """A way of scoring.

    Attributes:
        name: in tables.
        metric: whose headline it changes, "dice" or "iou".
        label: what is done.
        who: does so, and where that was read.
    """

    name: str
    metric: str
    label: str
    who: str


EGEUNET = "EGE-UNet, MALUNet, VM-UNet, UltraLight VM-UNet, ASP-VMUNet (public code)"
RESIZED = "EGE-UNet, UltraLight VM-UNet (public code: masks resized to 256 by 256 like images)"
WAYS = (
    Way("pooled_dice", "dice", "pooled over all pixels of the test set", EGEUNET),
    Way("input_dice", "dice", "on masks shrunk to the models' input", RESIZED),
    Way(
        "batches_dice",
        "dice",
        "each batch as one image, then averaged",
        "UNeXt, LV-UNet, U-Bench (public code)",
    ),
    Way(
        "validation_dice",
        "dice",
        "on the validation images, after the last epoch",
        "nobody by itself: what of the next line is not the choice of the epoch",
    ),
    Way(
        "best_epoch_dice",
        "dice",
        "at the best epoch, on the validation images that choose it",
        "EGE-UNet, MALUNet, VM-UNet, ASP-VMUNet, AViT, MobileUNETR, UNeXt, U-Bench (public code)",
    ),
    Way("best_seed_dice", "dice", "the best of these trainings", "whoever reports a run and does not say of how many"),
    Way("pooled_iou", "iou", "pooled over all pixels of the test set", EGEUNET),
    Way("input_iou", "iou", "on masks shrunk to the models' input", RESIZED),
    Way(
        "two_class_iou",
        "iou",
        "mean of that of the foreground and that of the background",
        "Awesome-U-Net (its table: a Dice of 0.867 beside an IoU of 0.849)",
    ),
    Way("thresholded_iou", "iou", "0 for an image below 0.65", "the ISIC 2018 challenge (Codella et al. 2019)"),
)


def protocol_table(study: Study, cells: Cells) -> pd.DataFrame:
    """One row per way of scoring and variant on the first evaluation; empty where there are several classes.

    Columns: study, way, metric, variant, ours (the mean over images and seeds), value (ours + change), change (of the
    trainings and images that both numbers are known of, so that it is the way's alone while others are unfinished),
    ci_low, ci_high (95 %, None where there is none), holds_for (what the interval is for), place_ours and place (among
    the variants, each training once; 1 is best), trials.
    """
    first = study.spec["evaluations"][0]
    of_set = study.spec["datasets"]
    at_input = next((name for name in study.spec["at_input"] if of_set.get(name) == of_set.get(first)), "")
    rows: list[dict[str, Any]] = []
    for variant in study.distinct if study.target is None or study.target.is_single else ():
        cell = cells.get((first, variant))
        if cell is None or not {"dice", "iou"} <= cell.tables.keys():
            continue
        trials = [trial for trial in study.trials if trial.variant == variant]
        for way in WAYS:
            ours = cell.tables[way.metric]
            found = _changed(way, cell, cells.get((at_input, variant)), trials, _batch_size(study, variant))
            if found is not None:
                row = {"study": study.name, "way": way.name, "metric": way.metric, "variant": variant}
                mean = float(ours.to_numpy().mean())
                row |= {"ours": mean, "value": mean + found["change"]}
                rows.append({**row, **found, "trials": cell.trials})
    table = pd.DataFrame(rows)
    if len(table):
        by_way: Any = table.groupby("way", sort=False)
        for column, of in (("place_ours", "ours"), ("place", "value")):
            table[column] = by_way[of].rank(ascending=False, method="min").astype(int)
        table["trials"] = table.pop("trials")
    return table


def _batch_size(study: Study, variant: str) -> int:
    return int(study.spec["variants"][variant]["settings"].get("training", {}).get("batch_size", 16))


def _changed(
    way: Way, cell: Cell, at_input: Cell | None, trials: list[Trial], batch_size: int
) -> dict[str, Any] | None:
    """Change and interval; None where the store does not tell what it takes."""
    ours = cell.tables[way.metric]
    if way.name.startswith("input_"):
        return _gap(cell, ours, at_input.tables[way.metric]) if at_input else None
    if way.name == "best_seed_dice":
        means = ours.to_numpy().mean(axis=1)
        return _told(float(means.max() - means.mean())) if len(means) > 1 else None
    if way.name in ("validation_dice", "best_epoch_dice"):
        return _of_history(ours, trials, (lambda dice: dice[-1]) if way.name == "validation_dice" else max)
    counts = {name: _table_of(cell, name, ours) for name in COUNTS}
    of_images = _SCORES[way.name](counts, batch_size)
    if of_images is None:
        return None
    return _gap(cell, ours, pd.DataFrame(of_images, ours.index, ours.columns))


def _gap(cell: Cell, ours: pd.DataFrame, others: pd.DataFrame) -> dict[str, Any] | None:
    """Of scores in another way against ours, on the trainings and images that have both."""
    seeds, images = ours.index.intersection(others.index), ours.columns.intersection(others.columns)
    own, other = ours.loc[seeds, images], others.loc[seeds, images]
    if own.empty:
        return None
    found = paired_gap(other.to_numpy(), own.to_numpy(), groups=cell.labels(own))
    return _told(float((other.to_numpy() - own.to_numpy()).mean()), found.ci_low, found.ci_high, BOTH)


def _told(
    change: float, low: float | None = None, high: float | None = None, holds_for: str | None = None
) -> dict[str, Any]:
    return {"change": change, "ci_low": low, "ci_high": high, "holds_for": None if low is None else holds_for}


def _of_history(
    ours: pd.DataFrame, trials: list[Trial], number: Callable[[list[float]], float]
) -> dict[str, Any] | None:
    """A number of each training's validation, seed by seed against its own test score."""
    found: dict[int, list[float]] = {}
    for trial in trials:
        if trial.history is None or "validation_dice" not in trial.history:
            return None
        dice: list[float] = cast(Any, trial.history["validation_dice"]).to_list()
        found.setdefault(trial.seed, []).append(number(dice))
    seeds = [seed for seed in ours.index if seed in found]
    if not seeds:
        return None
    values = np.array([np.mean(found[seed]) for seed in seeds])
    own = ours.loc[seeds].to_numpy().mean(axis=1)
    changes = values - own
    ends: tuple[float | None, float | None] = (None, None)
    if len(changes) > 2:
        ends = interval(float(changes.mean()), float(changes.std(ddof=1) / len(changes) ** 0.5), len(changes) - 1, 0.95)
    return _told(float(changes.mean()), *ends, TRAININGS)


def _table_of(cell: Cell, name: str, like: pd.DataFrame) -> Table:
    """Counts of pixels, a row a seed and a column an image, as the table of scores has them."""
    grouped: Any = cell.scores.groupby(["seed", "image"])[name]
    means = grouped.mean().unstack("image")
    return means.loc[like.index, like.columns].to_numpy(dtype=np.float64)


Counts = Mapping[str, Table]


def _ratio(counts: Counts, metric: str) -> tuple[Table, Table]:
    """What is divided by what, image by image."""
    twice = 2 if metric == "dice" else 1
    return twice * counts["tp"], twice * counts["tp"] + counts["fp"] + counts["fn"]


def pooled_of(counts: Counts, metric: str) -> Table | None:
    """For each image what it adds to the ratio of sums: the mean over images is that ratio. None where nothing is
    marked anywhere."""
    over, under = _ratio(counts, metric)
    sums = under.sum(axis=1, keepdims=True)
    if not sums.all():
        return None
    ratio = over.sum(axis=1, keepdims=True) / sums
    return ratio + over.shape[1] * (over - ratio * under) / sums


def of_batches(counts: Counts, batch_size: int) -> Table | None:
    """The same of batches of the images in their order; one without any marked pixel is right."""
    over, under = _ratio(counts, "dice")
    n_images = over.shape[1]
    n_batches = -(-n_images // batch_size)
    found = np.empty_like(over)
    for start in range(0, n_images, batch_size):
        part = slice(start, start + batch_size)
        sums = under[:, part].sum(axis=1, keepdims=True)
        safe = np.where(sums, sums, 1.0)
        ratio = np.where(sums, over[:, part].sum(axis=1, keepdims=True) / safe, 1.0)
        size = over[:, part].shape[1]
        found[:, part] = (n_images / n_batches) * (ratio / size + (over[:, part] - ratio * under[:, part]) / safe)
    return found


def _two_class(counts: Counts) -> Table:
    """The mean of the IoU and of that of masks turned inside out."""
    inside_out: Counts = dict(zip(COUNTS, (counts[name] for name in ("tn", "fn", "fp", "tp")), strict=True))
    return (from_counts(counts)["iou"] + from_counts(inside_out)["iou"]) / 2


_SCORES: Mapping[str, Callable[[Counts, int], Table | None]] = {
    "pooled_dice": lambda counts, _: pooled_of(counts, "dice"),
    "pooled_iou": lambda counts, _: pooled_of(counts, "iou"),
    "batches_dice": of_batches,
    "two_class_iou": lambda counts, _: _two_class(counts),
    "thresholded_iou": lambda counts, _: from_counts(counts)["iou_t65"],
}
