"""Variants that are one network under two names: an option that changes nothing makes other trials and equal scores."""

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa

from ..bench.metrics import COUNTS, constant

Known = Mapping[tuple[int, int | None, str], pa.Table]
"""Of a variant its scores, a row an image, by seed, fold and evaluation."""


def same_scores(found: Mapping[str, Known]) -> list[list[str]]:
    """The groups of variants whose scores are the same, image by image, of every seed that both have scores of. Those
    that have learnt nothing, and call every pixel alike, are no copies of each other."""
    groups: list[list[str]] = []
    for variant, known in found.items():
        group = next((names for names in groups if _is_same(found[names[0]], known)), None)
        if group is None:
            groups.append([variant])
        else:
            group.append(variant)
    return [names for names in groups if len(names) > 1]


def _is_same(a: Known, b: Known) -> bool:
    shared = a.keys() & b.keys()
    is_same = bool(shared) and all(_comparable(a[key]).equals(_comparable(b[key])) for key in shared)
    return is_same and not all(_has_learnt_nothing(a[key].to_pandas()) for key in shared)


def _comparable(scores: pa.Table) -> pd.DataFrame:
    """In single precision and one order of columns, which is what a published result keeps."""
    frame = scores.to_pandas().set_index("image")
    return frame[sorted(frame)].astype("float32")


def _has_learnt_nothing(scores: pd.DataFrame) -> bool:
    return constant(scores[list(COUNTS)].sum().to_dict()) is not None
