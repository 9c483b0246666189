"""What every figure is drawn with: inline SVG that follows the page's colours in light and dark, and is the same bytes
for the same data.

A figure draws text in INK and grids in RULE; both, and the variants' colours, become CSS variables of the page.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .notes import MINUS

Dash = Literal["-", "--", ":"]

# Chosen so that readers with any of the three colour blindnesses can tell them apart; the test says how far.
LEAST = 0.002  # a difference below this is nothing to scale an axis by
PALETTE = ("#0d3e73", "#b54327", "#319a78", "#8a5cb7", "#b48304", "#a63873", "#437c8d", "#797f44")
DASHES: tuple[Dash, ...] = ("-", "--", ":")  # of lines, whose colours come round again after eight
INK, RULE, PAPER = "#010203", "#040506", "#070809"
WIDTH = 7.0  # inches; the page scales it, to WIDEST and no further, so that its text is as large as the page's
WIDEST = "52rem"
LIKE = 1.3  # values within this factor of each other are drawn on an axis that is wider than they are apart

STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.formatter.useoffset": False,  # a tick says its number, not what is to be added to it
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.borderaxespad": 0,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "medbench",
    "text.color": INK,
    "text.parse_math": False,  # a name with a dollar sign is a name
    "xaxis.labellocation": "left",  # where a narrow screen begins
    "xtick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.color": RULE,
    "ytick.labelcolor": INK,
}


def colour_of(position: int) -> str:
    """The colour of the variant at this position in the study; after eight they come round again."""
    return PALETTE[position % len(PALETTE)]


def dash_of(position: int) -> Dash:
    """The dash of the variant's line, another for each round of colours."""
    return DASHES[position // len(PALETTE) % len(DASHES)]


@contextmanager
def drawing(
    n_rows: int, n_columns: int, height: float, widths: Sequence[float] | None = None
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A styled figure, outside pyplot so that nothing global is touched, and its axes from left to right."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # A browser draws the text, so glyphs that the measuring font lacks do no harm.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, list(figure.subplots(n_rows, n_columns, squeeze=False, width_ratios=widths).flat)


def legend(figure: Figure, variants: Sequence[str], drawn: Sequence[str]) -> None:
    """Names the variants that are drawn, above the axes; the figure becomes as much higher."""
    handles = [
        Line2D([], [], color=colour_of(i), linestyle=dash_of(i), linewidth=2, label=variant)
        for i, variant in enumerate(variants)
        if variant in drawn
    ]
    longest = max(map(len, drawn), default=0)
    n_columns = max(1, int(72 * WIDTH // (5.5 * longest + 40)))  # points: a letter's width, and the line beside it
    figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(drawn) // n_columns))
    figure.legend(handles=handles, loc="outside upper left", ncols=n_columns)


def lines_of(pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Where each (heading, name) stands when they are written below each other, a line for each new heading too."""
    at: dict[tuple[str, str], float] = {}
    headings = list(dict.fromkeys(heading for heading, _ in pairs))
    for heading, name in sorted(pairs, key=lambda pair: headings.index(pair[0])):
        at.setdefault((heading, name), len(at) + len({each for each, _ in at} | {heading}))
    return at


def height_of(at: dict[tuple[str, str], float]) -> float:
    """Of a figure with these lines, in inches."""
    return 0.75 + 0.26 * (max(at.values()) + 1)


def write_lines(axis: Axes, at: dict[tuple[str, str], float], *, in_words: bool = True) -> None:
    """The headings and names, if `in_words`, and limits about the lines."""
    first: dict[str, float] = {}
    for (heading, _), y in at.items():
        first.setdefault(heading, y)
    for heading, y in first.items() if in_words else ():
        behind = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}  # no line goes through the letters
        across = axis.get_yaxis_transform()
        axis.text(0.01, y - 1, heading, transform=across, va="center", weight="bold", bbox=behind, clip_on=True)
    axis.set(
        yticks=list(at.values()),
        yticklabels=[name if in_words else "" for _, name in at],
        ylim=(max(at.values()) + 0.6, -0.7),
    )
    axis.grid(visible=False, axis="y")


def count_along(axis: Axes, counts: Sequence[int]) -> None:
    """A horizontal axis of whole numbers: few are the ticks themselves, and there is half a step beside them."""
    known = sorted(set(counts))
    few = len(known) <= 8 and known[-1] - known[0] < 24
    edge = 0.5 if few else 0.02 * (known[-1] - known[0])
    axis.set_xlim(known[0] - min(edge, 0.5), known[-1] + edge)
    if few:
        axis.set_xticks(known)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))


def log_along(axis: Axes, values: Sequence[float], n_ticks: int, *, in_short: bool = False) -> None:
    """A horizontal logarithmic axis about these values, all above 0, with some round numbers on it.

    Args:
        axis: to set up.
        values: what it must show.
        n_ticks: the most that there is room for.
        in_short: whether thousands and millions are written as "k" and "M".
    """
    low, high = min(values), max(values)
    edge = LIKE if high < LIKE * low else (high / low) ** 0.1
    low, high = low / edge, high * edge
    axis.set(xscale="log", xlim=(low, high))
    axis.set_xticks([], minor=True)
    ticks = _round_between(low, high, n_ticks)
    axis.set_xticks(ticks, labels=[_short(tick) if in_short else f"{tick:g}".replace("-", MINUS) for tick in ticks])


def _round_between(low: float, high: float, n: int) -> list[float]:
    """As many round numbers from low to high as fit in n, even steps where the scale is nearly even."""
    if high < 3 * low:
        even = MaxNLocator(n - 1, steps=[1, 2, 2.5, 5, 10])
        return [tick for tick in even.tick_values(low, high) if low <= tick <= high]
    decades = np.arange(np.floor(np.log10(low)), np.log10(high) + 1)
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{step}e{decade:.0f}") for decade in decades for step in steps]
        if len(found := [tick for tick in ticks if low <= tick <= high]) <= n:
            return found
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside[:: -(-len(inside) // n)]


def _short(count: float) -> str:
    """A count as it is said: 350, 4.1 k, 3.2 M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:g} {letter}"
    return f"{count:g}"


def as_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an `<svg>` element whose ids are its own in the page and whose colours are the page's."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    # Matplotlib's style sheet would hold for the whole page; what it says is inherited as well.
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    style = f"max-width: {WIDEST}; stroke-linejoin: round; stroke-linecap: butt"
    opening = f'<svg role="img" aria-label="{escape(description)}" style="{style}"'
    svg = svg[svg.index("<svg") :].replace("<svg", opening, 1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    colours = {INK: "var(--ink)", RULE: "var(--rule)", PAPER: "var(--paper)"} | {
        c: f"var(--c{i})" for i, c in enumerate(PALETTE)
    }
    for colour, variable in colours.items():
        # As an attribute a variable has no effect, in a style it has; matplotlib writes styles only.
        svg = svg.replace(colour, variable)
    # The family is the page's; matplotlib before 3.11 writes weight, size and family as one.
    svg = re.sub(r"font: (?:(\d+) )?([\d.]+px)[^;\"]*", _font, svg)
    return re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)


def _font(found: re.Match[str]) -> str:
    weight, size = found.groups()
    return f"{f'font-weight: {weight}; ' if weight else ''}font-size: {size}; font-family: inherit"


def standalone(svg: str) -> str:
    """A figure of the page as a file of its own: light colours in the place of the page's."""
    light = {"var(--ink)": "#1e2124", "var(--rule)": "#dfddd6", "var(--paper)": "#ffffff"}
    light |= {f"var(--c{position})": colour for position, colour in enumerate(PALETTE)}
    for variable, colour in light.items():
        svg = svg.replace(variable, colour)
    svg = svg.replace("font-family: inherit", "font-family: sans-serif")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + svg + "\n"


def estimate(axis: Axes, x: float, y: float, low: float, high: float, colour: str) -> None:
    """A point on a line, with its interval if it has one, which is not NaN."""
    if not pd.isna(low):
        axis.plot([low, high], [y, y], color=colour, linewidth=2)
    axis.plot(x, y, "o", color=colour, markersize=6)


def at_least(low: float, high: float) -> tuple[float, float]:
    """The limits of an axis of differences, which nothing is not enlarged on."""
    return min(low, -LEAST), max(high, LEAST)


def beside(n: int) -> int:
    """How many of n panels stand beside each other."""
    return 2 if n == 4 else min(n, 3)


def square(n_rows: int, n_columns: int) -> float:
    """The height in inches of a figure, without legend, whose panels are about square. Matplotlib cuts off what stands
    below axes that it is told to keep square."""
    return n_rows * (0.65 + 6.45 / n_columns)


def panels(axes: Sequence[Axes], n: int, n_columns: int, label: str) -> None:
    """Gives the first n panels one vertical axis, named and numbered on the left alone, and hides the rest."""
    limits = np.array([axis.get_ylim() for axis in axes[:n]])
    for position, axis in enumerate(axes):
        axis.set_visible(position < n)
        axis.set_ylim(limits[:, 0].min(), limits[:, 1].max())
        axis.tick_params(axis="y", labelleft=position % n_columns == 0)
        axis.set_ylabel("" if position % n_columns else label)
