"""Arrays in, numbers out: how well masks agree, what probabilities mean, and how segmentations fail."""

from .agreement import (
    COUNTS,
    METRICS,
    MILLIMETRES,
    SCORING,
    Mask,
    Metric,
    band_width,
    constant,
    from_counts,
    n_empty,
    out_of_reach,
    pooled,
    score_in_both_units,
    score_masks,
    scores_near,
    with_millimetres,
)
from .targets import IGNORED, LESION, Target

__all__ = [
    "COUNTS",
    "IGNORED",
    "LESION",
    "METRICS",
    "MILLIMETRES",
    "SCORING",
    "Mask",
    "Metric",
    "Target",
    "band_width",
    "constant",
    "from_counts",
    "n_empty",
    "out_of_reach",
    "pooled",
    "score_in_both_units",
    "score_masks",
    "scores_near",
    "with_millimetres",
]
