"""The words of a report: numbers as they are printed, and the answer to each comparison."""

from typing import Any

from .load import Study
from .tables import KNOWN

MINUS = "\N{MINUS SIGN}"


def number(value: float | None, digits: int = 3) -> str:
    """A number with a true minus sign; a dash when there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """A number with its sign, also when positive; zero has none."""
    if value is None:
        return "–"
    text = f"{value:+.{digits}f}"
    return (text[1:] if float(text) == 0 else text).replace("-", MINUS)


def counted(n: float, what: str) -> str:
    """A number of things: "1 image", "2 images"."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def p_text(value: float | None) -> str:
    """A p value to two significant digits, and below 0.001 as that."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def digits_of(metric: str) -> int:
    """Decimals to print: three for shares, two for distances."""
    return 2 if KNOWN[metric].unit else 3


def heading(metric: str) -> str:
    """The metric's label, with its unit where it has one."""
    known = KNOWN[metric]
    return f"{known.label} ({known.unit})" if known.unit else known.label


def answer(study: Study, row: dict[str, Any]) -> dict[str, str]:
    """One comparison in a sentence: what was changed, by how much, over what, and what may be claimed.

    Args:
        study: where the variant's description is.
        row: a record of the comparisons table, on the primary metric.
    """
    digits = digits_of(row["metric"])
    seeds = _seeds(row["n_seeds_variant"], row["n_seeds_baseline"])
    effect = f"{KNOWN[row['metric']].label} {signed(row['difference'], digits)}"
    over = f"{seeds} × {counted(row['n_images'], 'image')}"
    if row["ci_low"] is None:
        reason = row["reason"]
        rest = f"against {row['baseline']} ({over}). {reason[0].upper()}{reason[1:]}."
    else:
        effect += f" [{signed(row['ci_low'], digits)}, {signed(row['ci_high'], digits)}]"
        p = p_text(row["p_adjusted"])
        p = f"p {p}" if p.startswith("<") else f"p = {p}"
        rest = f"against {row['baseline']} ({over}, {p}, Holm): {row['claim']}."
    description = (study.spec["variants"][row["variant"]]["description"] or "").strip()
    label = description[:1].upper() + description[1:] or row["variant"]
    return {
        "evaluation": row["evaluation"],
        "variant": row["variant"],
        "label": label.rstrip("."),
        "effect": effect,
        "rest": rest,
        "claim": row["claim"],
        "may": row["may"],
        "not_shown": row["not_shown"],
        "cost": row["cost"],
    }


def _seeds(n_variant: int, n_baseline: int) -> str:
    return counted(n_variant, "seed") if n_variant == n_baseline else f"{n_variant} and {n_baseline} seeds"
