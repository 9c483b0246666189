"""Parts of a study laid over each other: defaults, the study, a profile, settings."""

from collections.abc import Mapping
from typing import Any

OF_ONE_SET = {"name", "folder", "images"}  # what describes one data set and no other


def names_set(dataset: object) -> bool:
    """Whether a part of a study names a data set, which then replaces the one that lies under it."""
    return isinstance(dataset, Mapping) and not {"name", "folder"}.isdisjoint(dataset)


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """`overlay` laid over `base`, mapping by mapping; lists and plain values are replaced, and so is a data set, of
    which nothing may stay beside another."""
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        if key == "dataset" and names_set(value) and isinstance(old, Mapping):
            old = {each: old[each] for each in old if each not in OF_ONE_SET}
        if isinstance(old, Mapping) and isinstance(value, Mapping) and key != "progressive_sizes":
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged
