"""Numbers, names and counts as a report prints them."""

from collections.abc import Iterable, Mapping
from typing import Any

from .settings import alike
from .tables import KNOWN

MINUS = "\N{MINUS SIGN}"


def number(value: float | None, digits: int = 3) -> str:
    """A number with a true minus sign; a dash when there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def sides(known: Mapping[str, tuple[int, int]]) -> str:
    """Width and height of images, of each of which the least and the greatest are known."""
    spans = known["width"], known["height"]
    return " × ".join(f"{low}" if low == high else f"{low} to {high}" for low, high in spans)


def signed(value: float | None, digits: int = 3) -> str:
    """A number with its sign, also when positive; zero has none."""
    if value is None:
        return "–"
    text = f"{value:+.{digits}f}"
    return (text[1:] if float(text) == 0 else text).replace("-", MINUS)


def sized(count: float | None) -> str:
    """A number of parameters in three digits.

    >>> sized(3_204_000), sized(41_200), sized(950)
    ('3.20 M', '41.2 k', '950')
    """
    if count is None:
        return "–"
    for unit, letter in ((1e6, " M"), (1e3, " k")):
        if count >= 0.9995 * unit:
            value = count / unit
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}{letter}"
    return f"{count:.0f}"


def in_giga(count: float | None) -> str:
    """A number of multiplications, always in one unit, as the field writes them.

    >>> in_giga(3_350_000_000), in_giga(510_000_000), in_giga(72_400_000)
    ('3.35 G', '0.51 G', '0.072 G')
    """
    if count is None:
        return "–"
    return f"{count / 1e9:.2f} G" if count >= 95e6 else f"{count / 1e9:.2g} G"


def counted(n: float, what: str) -> str:
    """A number of things: "1 image", "2 images"."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def by_groups(groups: Mapping[str, Mapping[str, int]]) -> str:
    """What intervals count where images come in groups, in a sentence.

    >>> by_groups({"clean": {"images": 40, "groups": 20}}).partition(": ")[2]
    '20 groups of the 40 images of clean.'
    """
    where = alike(
        {
            name: f"{counted(each['groups'], 'group')} of the {counted(each['images'], 'image')}"
            for name, each in groups.items()
        }
    )
    listed_out = "; ".join(f"{text} of {listed(names)}" for names, text in where)
    return f"Intervals, tests and ranks go by groups of images (patients, lesions, videos): {listed_out}."


def p_text(value: float | None) -> str:
    """A p value to two significant digits, and below 0.001 as that."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def p_equals(value: float | None) -> str:
    """The same in a sentence: "p = 0.02", "p < 0.001"; nothing without one."""
    text = p_text(value)
    return "" if value is None else f"p {text}" if text.startswith("<") else f"p = {text}"


def listed(names: Iterable[Any]) -> str:
    """Names in a sentence: "a, b and c"."""
    *others, last = map(str, names)
    return f"{', '.join(others)} and {last}" if others else last


def digits_of(metric: str) -> int:
    """Decimals to print: three for shares, two for distances."""
    return 2 if KNOWN[metric].unit else 3


def heading(metric: str) -> str:
    """The metric's label, with its unit where it has one."""
    known = KNOWN[metric]
    return f"{known.label} ({known.unit})" if known.unit else known.label
