"""Nested settings laid flat, to be shown and compared."""

import json
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
