"""Nested settings laid flat, to be shown and compared."""

import json
from collections.abc import Mapping
from typing import Any


def told(value: Any) -> str:
    """A setting in a sentence."""
    return "not set" if value is None else str(value)


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted keys; lists stay whole, as JSON.

    >>> flatten({"model": "unet", "training": {"epochs": 3, "sizes": [32, 64]}})
    {'model': 'unet', 'training.epochs': 3, 'training.sizes': '[32, 64]'}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
    return flat


def alike(values: Mapping[str, Any]) -> list[tuple[list[str], Any]]:
    """The names that have one value, together, in the order given.

    >>> alike({"a": 1, "b": 2, "c": 1})
    [(['a', 'c'], 1), (['b'], 2)]
    """
    groups: list[tuple[list[str], Any]] = []
    for name, value in values.items():
        for names, known in groups:
            if known == value:
                names.append(name)
                break
        else:
            groups.append(([name], value))
    return groups
