"""What a study's answer is about, as far as the study names it: a rival beside the baseline, and artifacts."""

from collections.abc import Collection, Sequence

from ...bench.errors import UnknownNameError

WITH_RIVAL = ("difference", "robustness")  # the questions whose answers compare variants with each other


def wrong_rival(name: str | None, asks: str, baseline: str, variants: Collection[str]) -> str | None:
    """Why `compare_with` cannot be this; None where it can, or is left out."""
    if name is None:
        return None
    if name not in variants:
        return str(UnknownNameError("variant", name, variants))
    if name == baseline:
        return f"{name} is the baseline; name another variant, or leave the key out"
    if asks not in WITH_RIVAL:
        return f"the answer to asks: {asks} compares nothing with it; leave the key out"
    if len(variants) == 2:
        return f"there is no variant but {name} and the baseline; leave the key out"
    return None


def wrong_conditions(names: Sequence[str] | None, asks: str, painted: Sequence[str]) -> str | None:
    """Why `conditions` cannot be these, of the evaluations with an artifact; None where they can, or are left out."""
    if names is None:
        return None
    if asks != "robustness":
        return f"is for asks: robustness, not {asks}; leave the key out"
    for name in names:
        if name not in painted:
            return str(UnknownNameError("artifact evaluation", name, painted))
    if len(set(names)) < len(names):
        return f"one is named twice in {', '.join(names)}"
    return None
