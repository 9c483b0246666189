"""Figures as inline SVG that follows the page's colours in light and dark, and is the same bytes for the same data.

A figure draws text in INK and grids in RULE; both, and the variants' colours, become CSS variables of the page.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from ..bench.stats import Ranks
from .tables import KNOWN, wording

# Chosen so that readers with any of the three colour blindnesses can tell them apart; the test says how far.
PALETTE = ("#0d3e73", "#b54327", "#319a78", "#8a5cb7", "#b48304", "#a63873", "#437c8d", "#797f44")
INK, RULE, PAPER = "#010203", "#040506", "#070809"
Sums = dict[tuple[str, str], dict[int, NDArray[np.float64]]]
WIDTH = 9.5  # inches; the page scales it
MARKERS = {"fp32": "o", "fp16": "s", "bf16": "D", "int8": "o"}  # by number format; integers are hollow
LIKE = 1.3  # costs within this factor of each other are drawn on an axis that is wider than they are apart

STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "medbench",
    "text.color": INK,
    "text.parse_math": False,  # a name with a dollar sign is a name
    "xtick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.color": RULE,
    "ytick.labelcolor": INK,
}


def colour_of(position: int) -> str:
    """The colour of the variant at this position in the study; after eight they come round again."""
    return PALETTE[position % len(PALETTE)]


def training_curves(histories: pd.DataFrame, variants: Sequence[str], name: str) -> str:
    """Training loss and validation Dice by epoch: a line for the mean over trials, a band from lowest to highest, and
    a thin line for each trial, which page.js finds by its id.

    Args:
        histories: variant, trial, epoch, train_loss, validation_dice; one row a trial and epoch.
        variants: every variant of the study in order, which fixes the colours.
        name: unique in the page.
    """
    one_epoch = any(len(set(epochs)) == 1 for _, epochs in histories.groupby("variant")["epoch"])  # no line to see
    with _drawing(1, 2, 2.9) as (figure, axes):
        for axis, column, title in zip(
            axes, ("train_loss", "validation_dice"), ("Training loss", "Validation Dice"), strict=True
        ):
            sns.lineplot(
                histories,
                x="epoch",
                y=column,
                hue="variant",
                hue_order=[variant for variant in variants if variant in set(histories["variant"])],
                palette={variant: colour_of(i) for i, variant in enumerate(variants)},
                errorbar=("pi", 100),
                err_kws={"alpha": 0.16, "linewidth": 0},
                linewidth=1.6,
                marker="o" if one_epoch else None,
                legend=False,
                ax=axis,
            )
            for trial, own in histories.groupby("trial", sort=False):
                colour = colour_of(variants.index(own["variant"].iloc[0]))
                axis.plot(own["epoch"], own[column], color=colour, linewidth=0.7, alpha=0.6, gid=f"{column}-of-{trial}")
            axis.set(title=title, ylabel="", xlabel="epoch")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure, name, "Training curves: loss and validation Dice by epoch")


def distribution(scores: pd.DataFrame, variants: Sequence[str], metric: str, name: str) -> str:
    """Violins of the per-image scores, averaged over trials, from the lowest to the highest, with quartiles dashed.

    Args:
        scores: variant, image and the metric; one row an image and variant.
        variants: every variant of the study in order.
        metric: name of the column.
        name: unique in the page.
    """
    shown = [variant for variant in variants if variant in set(scores["variant"])]
    with _drawing(1, 1, 0.7 + 0.62 * len(shown)) as (figure, (axis,)):
        sns.violinplot(
            scores,
            x=metric,
            y="variant",
            order=shown,
            hue="variant",
            hue_order=shown,
            palette=[colour_of(variants.index(variant)) for variant in shown],
            cut=0,
            density_norm="width",
            inner="quart",
            inner_kws={"color": INK, "linewidth": 1.1},
            width=0.8,
            linewidth=0.8,
            saturation=1,
            alpha=0.75,
            legend=False,
            ax=axis,
        )
        axis.grid(visible=False, axis="y")
        axis.set(xlabel=f"{KNOWN[metric].label} of an image", ylabel="")
        return _svg(figure, name, f"Distribution of {KNOWN[metric].label} over images")


def cost(
    rows: pd.DataFrame, variants: Sequence[str], metric: str, fronts: Mapping[str, set[str]], name: str
) -> str | None:
    """The primary metric against parameters and, where measured, latency and energy; bars are 95 % CI, hollow points
    are off the Pareto front. Latencies without intervals are not drawn. None without any cost.

    Args:
        rows: one row a variant: variant, <metric>_mean, <metric>_ci_low, <metric>_ci_high, parameters, latency_ms,
            latency_ratio, latency_low, latency_high (to the baseline, whose own ends are None), joules.
        variants: every variant of the study in order.
        metric: the primary metric.
        fronts: by cost the variants on its front, as far as it is known.
        name: unique in the page.
    """
    costs = {
        "parameters": "parameters (millions, log)",
        "latency_ms": "latency (ms an image, log)",
        "joules": "energy (J an image, log)",
    }
    shown = [column for column in costs if column in rows and len(rows.dropna(subset=[column])) > 1]
    if "latency_ratio" not in rows or not len(rows.dropna(subset=["latency_ratio"])):
        shown = [column for column in shown if column != "latency_ms"]
    if not shown:
        return None
    with _drawing(1, len(shown), 3.1) as (figure, axes):
        for axis, column in zip(axes, shown, strict=True):
            points = rows.dropna(subset=[column]).to_dict("records")
            front = fronts.get(column, set(variants))
            unit = 1e6 if column == "parameters" else 1
            ends: list[float] = []
            for row in points:
                x = row[column] / unit
                ends.append(x)
                mean, low, high = (row[f"{metric}_{part}"] for part in ("mean", "ci_low", "ci_high"))
                bars = None if pd.isna(low) else [[mean - low], [high - mean]]
                colour = colour_of(variants.index(row["variant"]))
                face = colour if row["variant"] in front else PAPER
                if column == "latency_ms" and not pd.isna(row["latency_low"]):
                    reach = [x * row[f"latency_{end}"] / row["latency_ratio"] for end in ("low", "high")]
                    axis.plot(reach, [mean, mean], color=colour, linewidth=1.2, zorder=1)
                    ends += reach
                axis.errorbar(
                    x, mean, yerr=bars, fmt="o", color=colour, markerfacecolor=face, markersize=7, elinewidth=1.2
                )
                axis.annotate(
                    row["variant"], (x, mean), xytext=(7, 5), textcoords="offset points", color=colour, fontsize=8
                )
            axis.set(xscale="log", xlabel=costs[column], ylabel=KNOWN[metric].label)
            axis.margins(x=0.4, y=0.15)
            low, high = min(ends), max(ends)
            if high < LIKE * low:  # else a difference of nothing would span the panel
                axis.set_xlim(low / LIKE, high * LIKE)
            axis.xaxis.set_major_locator(MaxNLocator(5))
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        return _svg(figure, name, f"{KNOWN[metric].label} against cost")


def rank_stability(ranks: Ranks, variants: Sequence[str], name: str) -> str:
    """Blobs: how often each variant came in at each place under new seeds and images; the cross marks where it is.

    Args:
        ranks: of `bench.stats.rank_stability`.
        variants: every variant of the study in order, which fixes the colours.
        name: unique in the page.

    Source: the blob plot of Wiesenfarth et al. (2021), Scientific Reports 11 (challengeR).
    """
    order = sorted(range(len(ranks.names)), key=lambda each: (int(ranks.place[each]), ranks.names[each]))
    n = len(order)
    with _drawing(1, 1, 0.9 + 0.42 * n) as (figure, (axis,)):
        for x, each in enumerate(order):
            colour = colour_of(variants.index(ranks.names[each]))
            for place, share in enumerate(ranks.share[each], start=1):
                if share > 0:
                    axis.scatter(x, place, s=620 * share, color=colour, alpha=0.8, linewidth=0)
            axis.plot(x, ranks.place[each], "x", color=INK, markersize=5)
        axis.set(
            xlim=(-0.5, n - 0.5),
            ylim=(n + 0.6, 0.4),
            xticks=range(n),
            xticklabels=[ranks.names[each] for each in order],
            yticks=range(1, n + 1),
            ylabel="place",
        )
        if n > 5:
            axis.tick_params(axis="x", rotation=30)
        return _svg(figure, name, "How often each variant came in at each place")


def forest(rows: pd.DataFrame, variants: Sequence[str], metric: str, margin: float | None, name: str) -> str:
    """Differences to the baseline with 95 % CI, grouped by evaluation; the band is the study's margin.

    Args:
        rows: one row a comparison on the metric: evaluation, variant, difference, ci_low, ci_high (NaN: one seed).
        variants: every variant of the study in order.
        metric: what was compared.
        margin: differences within +- margin count as practically nothing; None draws no band.
        name: unique in the page.
    """
    n_lines = len(rows) + len(rows["evaluation"].unique())
    with _drawing(1, 1, 0.75 + 0.29 * n_lines) as (figure, (axis,)):
        if margin is not None:
            axis.axvspan(-margin, margin, color=RULE, alpha=0.45, linewidth=0)
        axis.axvline(0, color=INK, linewidth=0.9)
        positions: list[float] = []
        labels: list[str] = []
        y = 0.0
        for evaluation, group in rows.groupby("evaluation", sort=False):
            axis.text(0.0, y, f"  {evaluation}", transform=axis.get_yaxis_transform(), va="center", weight="bold")
            for row in group.to_dict("records"):
                y += 1
                colour = colour_of(variants.index(row["variant"]))
                if not pd.isna(row["ci_low"]):
                    axis.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=2)
                axis.plot(row["difference"], y, "o", color=colour, markersize=6)
                positions.append(y)
                labels.append(row["variant"])
            y += 1
        ends = np.abs(rows[["difference", "ci_low", "ci_high"]].to_numpy(dtype=float))
        reach = 1.15 * max(float(np.nanmax(ends)), margin or 0.0, 1e-6)
        axis.set(xlim=(-reach, reach), ylim=(y - 0.4, -0.7), yticks=positions, yticklabels=labels)
        axis.set_xlabel(f"difference in {KNOWN[metric].label} to the baseline ({wording(metric)})")
        axis.grid(visible=False, axis="y")
        return _svg(figure, name, f"Differences in {KNOWN[metric].label} to the baseline with 95 % CI")


def latencies(rows: Sequence[dict[str, Any]], variants: Sequence[str], name: str) -> str:
    """Time of an image by runtime and variant, the fastest runtime first: medians with whiskers from the 5th to the
    95th percentile; in each line integers are hollow, and below floating point.

    Args:
        rows: of a machine's timings, at one batch size: model, runtime, dtype, batch, median_ms, p5_ms, p95_ms.
        variants: every variant of the study in order, which fixes the colours.
        name: unique in the page.
    """
    by_runtime: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["median_ms"]):
        by_runtime.setdefault(row["runtime"], []).append(row)
    dtypes = sorted({row["dtype"] for row in rows}, key=list(MARKERS).index)
    n_lines = len(by_runtime) + sum(len({row["model"] for row in group}) for group in by_runtime.values())
    with _drawing(1, 1, 0.75 + 0.29 * n_lines) as (figure, (axis,)):
        ticks: dict[float, str] = {}
        y = 0.0
        for runtime, group in by_runtime.items():
            axis.text(0.0, y, f"  {runtime}", transform=axis.get_yaxis_transform(), va="center", weight="bold")
            for variant in [each for each in variants if any(row["model"] == each for row in group)]:
                y += 1
                ticks[y] = variant
                colour = colour_of(variants.index(variant))
                for row in [row for row in group if row["model"] == variant]:
                    at = y + 0.3 * (dtypes.index(row["dtype"]) - (len(dtypes) - 1) / 2)
                    low, x, high = (row[key] / row["batch"] for key in ("p5_ms", "median_ms", "p95_ms"))
                    axis.plot([low, high], [at, at], color=colour, linewidth=1.2)
                    face = PAPER if row["dtype"] == "int8" else colour
                    axis.plot(x, at, MARKERS[row["dtype"]], color=colour, markerfacecolor=face, markersize=5)
            y += 1
        ends = [row[key] / row["batch"] for row in rows for key in ("p5_ms", "p95_ms")]
        low, high = min(ends) / LIKE, max(ends) * LIKE
        axis.set(xscale="log", xlim=(low, high), ylim=(y - 0.4, -0.7), yticks=list(ticks), yticklabels=ticks.values())
        # Ticks close enough that the narrowest axis has one.
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 30 * low else (1, 1.5, 2, 3, 5, 7)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel("time of an image (ms, log)")
        axis.grid(visible=False, axis="y")
        return _svg(figure, name, "Time of an image by runtime and variant")


def severity(rows: pd.DataFrame, variants: Sequence[str], metric: str, name: str) -> str:
    """The primary metric lost by severity, a panel an artifact; bars are 95 % CI.

    Args:
        rows: one row an artifact, severity and variant: artifact, severity, variant, drop, drop_ci_low, drop_ci_high.
        variants: every variant of the study in order.
        metric: the primary metric.
        name: unique in the page.
    """
    kinds = list(rows["artifact"].unique())
    n_columns = min(len(kinds), 4)
    n_rows = -(-len(kinds) // n_columns)
    with _drawing(n_rows, n_columns, 2.2 * n_rows) as (figure, axes):
        for axis, kind in zip(axes, kinds, strict=False):
            axis.axhline(0, color=INK, linewidth=0.9)
            for variant, group in rows.query("artifact == @kind").groupby("variant", sort=False):
                position = variants.index(str(variant))
                columns = ("severity", "drop", "drop_ci_low", "drop_ci_high")
                x, y, low, high = (np.asarray(group[column], dtype=np.float64) for column in columns)
                x += 0.12 * (position - (len(variants) - 1) / 2)  # beside each other
                bars = None if np.isnan(low).all() else [y - low, high - y]
                axis.errorbar(x, y, yerr=bars, fmt="o-", color=colour_of(position), markersize=4, elinewidth=1)
            axis.set(title=kind, xlabel="severity")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axis in axes[len(kinds) :]:
            axis.set_visible(False)
        limits = np.array([axis.get_ylim() for axis in axes[: len(kinds)]])
        for position, axis in enumerate(axes):
            axis.set(ylim=(limits.min(), limits.max()))
            if position % n_columns == 0:
                axis.set_ylabel(f"{KNOWN[metric].label} lost")
        return _svg(figure, name, f"{KNOWN[metric].label} lost by severity of artifacts")


def reliability(sums: Sums, variants: Sequence[str], name: str) -> str:
    """Share of lesion by predicted probability, a panel an evaluation; on the diagonal probabilities are right.

    Args:
        sums: by evaluation and variant, then seed, (N_BINS, 3) pixels, sum of probabilities and lesion pixels.
        variants: every variant of the study in order.
        name: unique in the page.
    """
    evaluations = list(dict.fromkeys(evaluation for evaluation, _ in sums))
    n_columns = min(len(evaluations), 4)
    n_rows = -(-len(evaluations) // n_columns)
    with _drawing(n_rows, n_columns, 2.4 * n_rows) as (figure, axes):
        for axis, evaluation in zip(axes, evaluations, strict=False):
            axis.plot([0, 1], [0, 1], color=INK, linewidth=0.9)
            for position, variant in enumerate(variants):
                if (evaluation, variant) in sums:
                    pixels, confidence, positives = np.sum(list(sums[evaluation, variant].values()), axis=0).T
                    used = pixels > 0
                    x, y = confidence[used] / pixels[used], positives[used] / pixels[used]
                    axis.plot(x, y, "o-", color=colour_of(position), markersize=3)
            axis.set(title=evaluation, xlabel="probability", xlim=(0, 1), ylim=(0, 1))
        for position, axis in enumerate(axes):
            axis.set_visible(position < len(evaluations))
            if position % n_columns == 0:
                axis.set_ylabel("share of lesion")
        return _svg(figure, name, "Share of lesion by predicted probability")


@contextmanager
def _drawing(n_rows: int, n_columns: int, height: float) -> Iterator[tuple[Figure, list[Axes]]]:
    """A styled figure, outside pyplot so that nothing global is touched, and its axes from left to right."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # A browser draws the text, so glyphs that the measuring font lacks do no harm.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, list(figure.subplots(n_rows, n_columns, squeeze=False).flat)


def _svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an `<svg>` element whose ids are its own in the page and whose colours are the page's."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{description}"', 1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    colours = {INK: "var(--ink)", RULE: "var(--rule)", PAPER: "var(--paper)"} | {
        c: f"var(--c{i})" for i, c in enumerate(PALETTE)
    }
    for colour, variable in colours.items():
        # As an attribute a variable has no effect, in a style it has; matplotlib writes styles only.
        svg = svg.replace(colour, variable)
    return re.sub(r"font: [^;\"]*?(\d+(?:\.\d+)?)px[^;\"]*", r"font-size: \1px; font-family: inherit", svg)


def standalone(svg: str) -> str:
    """A figure of the page as a file of its own: light colours in the place of the page's."""
    light = {"var(--ink)": "#1e2124", "var(--rule)": "#dfddd6", "var(--paper)": "#ffffff"}
    light |= {f"var(--c{position})": colour for position, colour in enumerate(PALETTE)}
    for variable, colour in light.items():
        svg = svg.replace(variable, colour)
    svg = svg.replace("font-family: inherit", "font-family: sans-serif")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + svg + "\n"
