"""The figures of a report: what is drawn of its tables. How they look and become SVG stands in `drawing`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ..bench.stats import Ranks
from .drawing import (
    INK,
    PAPER,
    RULE,
    as_svg,
    colour_of,
    count_along,
    dash_of,
    drawing,
    height_of,
    legend,
    lines_of,
    log_along,
    write_lines,
)
from .drawing import PALETTE as PALETTE
from .drawing import standalone as standalone
from .labels import label_points
from .notes import number
from .tables import KNOWN, wording

Sums = dict[tuple[str, str], dict[int, NDArray[np.float64]]]
MARKERS = {"fp32": "o", "fp16": "s", "bf16": "D", "int8": "o"}  # by number format; integers are hollow
THIN = 1 / 20  # of an axis: a band of the margin that takes less of it is drawn enlarged as well
WITH_SHARES = 6  # places beside each other that have room for a number
FEW = 10  # images that are drawn one by one
FLAT = 0.02  # of a score: the least that an axis of scores spans
LEAST = 0.002  # a difference below this is nothing to scale an axis by


def training_curves(histories: pd.DataFrame, variants: Sequence[str], name: str) -> str:
    """Training loss and validation Dice by epoch: a line for the mean over trials, a band from lowest to highest, and
    a thin line for each trial, which page.js finds by its id. Of one epoch alone, its values by variant.

    Args:
        histories: variant, trial, epoch, train_loss, validation_dice; one row a trial and epoch.
        variants: every variant of the study in order, which fixes the colours.
        name: unique in the page.
    """
    titles = {"train_loss": "Training loss", "validation_dice": "Validation Dice"}
    titles = {column: title for column, title in titles.items() if len(histories[column].dropna())} or titles
    with_values: Any = histories.dropna(subset=list(titles), how="all")
    drawn = [variant for variant in variants if variant in set(with_values["variant"])]
    epochs = sorted({int(epoch) for epoch in histories["epoch"]})
    is_single = len(epochs) == 1
    with drawing(1, len(titles), 0.7 + 0.36 * len(drawn) if is_single else 2.7) as (figure, axes):
        for axis, (column, title) in zip(axes, titles.items(), strict=True):
            grouped: Any = histories.groupby(["variant", "epoch"])[column]
            ranges = grouped.agg(["mean", "min", "max"]).dropna().reset_index()
            for line, variant in enumerate(drawn):
                known = ranges[ranges["variant"] == variant]
                colour, dash = colour_of(variants.index(variant)), dash_of(variants.index(variant))
                if is_single:
                    for _, _, mean, low, high in known.itertuples(index=False):
                        _estimate(axis, mean, line, low, high, colour)
                        axis.annotate(
                            number(mean), (mean, line), xytext=(0, 6), textcoords="offset points", ha="center"
                        )
                else:
                    axis.fill_between(known["epoch"], known["min"], known["max"], color=colour, alpha=0.16, linewidth=0)
                    marker = "o" if len(known) == 1 else None
                    axis.plot(known["epoch"], known["mean"], color=colour, linestyle=dash, marker=marker, linewidth=1.6)
            if not is_single:
                for trial, own in histories.groupby("trial", sort=False):
                    colour, id = colour_of(variants.index(own["variant"].iloc[0])), f"{column}-of-{trial}"
                    axis.plot(own["epoch"], own[column], color=colour, linewidth=0.7, alpha=0.6, gid=id)
            if is_single:
                axis.set(title=f"{title} after epoch {epochs[0]}", ylim=(len(drawn) - 0.5, -0.8))
                axis.set_yticks(range(len(drawn)), drawn if axis is axes[0] else [""] * len(drawn))
                axis.margins(x=0.25)
                axis.locator_params(axis="x", nbins=4)
                axis.grid(visible=False, axis="y")
            else:
                axis.set(title=title, xlabel="epoch")
                count_along(axis, epochs)
        if not is_single:
            legend(figure, variants, drawn)
        return as_svg(figure, name, "Training curves: loss and validation Dice by epoch")


def distribution(scores: pd.DataFrame, variants: Sequence[str], metric: str, name: str) -> str:
    """Violins of the per-image scores, averaged over trials, from the lowest to the highest, with quartiles dashed;
    a few images are dots as well.

    Args:
        scores: variant, image and the metric; one row an image and variant.
        variants: every variant of the study in order.
        metric: name of the column.
        name: unique in the page.
    """
    shown = [variant for variant in variants if variant in set(scores["variant"])]
    with drawing(1, 1, 0.7 + 0.5 * len(shown)) as (figure, (axis,)):
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
            linecolor=INK,
            linewidth=0.8,
            saturation=1,
            alpha=0.75,
            legend=False,
            ax=axis,
        )
        for line, variant in enumerate(shown):
            values = scores.loc[scores["variant"] == variant, metric]
            if len(values) < FEW:
                axis.plot(values, [line] * len(values), "o", color=INK, markersize=3)
        axis.grid(visible=False, axis="y")
        axis.set(xlabel=f"{KNOWN[metric].label} of an image", ylabel="")
        return as_svg(figure, name, f"Distribution of {KNOWN[metric].label} over images")


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
        "parameters": "parameters (log)",
        "latency_ms": "latency (ms an image, log)",
        "joules": "energy (J an image, log)",
    }
    shown: dict[str, Any] = {column: rows[rows[column].astype(float) > 0] for column in costs if column in rows}
    shown = {column: known for column, known in shown.items() if len(known) > 1}
    if "latency_ratio" not in rows or not len(rows.dropna(subset=["latency_ratio"])):
        shown.pop("latency_ms", None)
    if not shown:
        return None
    most, longest = max(map(len, shown.values())), max(map(len, rows["variant"]))
    n_columns = min(len(shown), 3 if most <= 5 and longest <= 12 else 2 if longest <= 24 else 1)  # as names have room
    n_rows = -(-len(shown) // n_columns)
    with drawing(n_rows, n_columns, n_rows * (2.6 + 0.08 * max(0, most - 5))) as (figure, axes):
        bars: dict[str, list[tuple[float, float, float, float]]] = {column: [] for column in shown}
        for axis, (column, known) in zip(axes, shown.items(), strict=False):
            for row in known.to_dict("records"):
                x, colour = row[column], colour_of(variants.index(row["variant"]))
                mean, low, high = (row[f"{metric}_{part}"] for part in ("mean", "ci_low", "ci_high"))
                ends = [] if pd.isna(low) else [(x, low, x, high)]
                if column == "latency_ms" and not pd.isna(row["latency_low"]):
                    left, right = (x * row[f"latency_{end}"] / row["latency_ratio"] for end in ("low", "high"))
                    ends.append((left, mean, right, mean))
                for left, bottom, right, top in ends:
                    axis.plot([left, right], [bottom, top], color=colour, linewidth=1.2)
                face = colour if row["variant"] in fronts.get(column, variants) else PAPER
                axis.plot(x, mean, "o", color=colour, markerfacecolor=face, markersize=6, zorder=3)
                bars[column] += ends
            reach = [x for left, _, right, _ in bars[column] for x in (left, right)]
            log_along(axis, [*known[column], *reach], n_ticks=15 // n_columns, in_short=column == "parameters")
            axis.margins(y=0.15)
            low, high = axis.get_ylim()
            edge = max(0.0, (FLAT * high - (high - low)) / 2)  # else a difference of nothing would span the panel
            axis.set(xlabel=costs[column], ylim=(low - edge, high + edge))
        _panels(axes, len(shown), n_columns, KNOWN[metric].label)
        for axis, (column, known) in zip(axes, shown.items(), strict=False):
            points = list(zip(known[column], known[f"{metric}_mean"], strict=True))
            colours = [colour_of(variants.index(variant)) for variant in known["variant"]]
            label_points(figure, axis, list(known["variant"]), points, colours, bars[column])
        return as_svg(figure, name, f"{KNOWN[metric].label} against cost")


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
    with drawing(1, 1, 0.6 + 0.42 * n) as (figure, (axis,)):
        for y, each in enumerate(order):
            colour = colour_of(variants.index(ranks.names[each]))
            for place, share in enumerate(ranks.share[each], start=1):
                if share > 0:
                    axis.scatter(place, y, s=520 * share, color=colour, alpha=0.8, linewidth=0)
                if share >= 0.01 and n <= WITH_SHARES:
                    beside = (6 + 12 * share**0.5, 0)
                    axis.annotate(f"{100 * share:.0f} %", (place, y), beside, textcoords="offset points", va="center")
            axis.plot(ranks.place[each], y, "x", color=INK, markersize=5)
        axis.set(ylim=(n - 0.4, -0.6), xlim=(0.5, n + 0.5), xticks=range(1, n + 1), xlabel="place")
        axis.set_yticks(range(n), [ranks.names[each] for each in order])
        return as_svg(figure, name, "How often each variant came in at each place")


def forest(rows: pd.DataFrame, variants: Sequence[str], metric: str, margin: float | None, name: str) -> str:
    """Differences to the baseline with 95 % CI, grouped by evaluation; the band between dashed lines is the study's
    margin. Where all differences make it thin, it is drawn enlarged as well, with arrows to what is outside.

    Args:
        rows: one row a comparison on the metric: evaluation, variant, difference, ci_low, ci_high (NaN: one seed).
        variants: every variant of the study in order.
        metric: what was compared.
        margin: differences within +- margin count as practically nothing; None draws no band.
        name: unique in the page.
    """
    at = lines_of(list(zip(rows["evaluation"], rows["variant"], strict=True)))
    ends: Any = rows[["difference", "ci_low", "ci_high"]].to_numpy(dtype=float)
    low, high = _at_least(min(float(np.nanmin(ends)), -(margin or 0)), max(float(np.nanmax(ends)), margin or 0))
    low, high = low - 0.06 * (high - low), high + 0.06 * (high - low)
    spans = [(low, high)]
    if margin and 2 * margin < THIN * (high - low):
        spans.append((-3.5 * margin, 3.5 * margin))
    with drawing(1, len(spans), height_of(at) + 0.35, widths=(3, 2)[: len(spans)]) as (figure, axes):
        for axis, (low, high) in zip(axes, spans, strict=True):
            if margin:
                axis.axvspan(-margin, margin, color=RULE, alpha=0.45, linewidth=0)
                for side in (-margin, margin):
                    axis.axvline(side, color=INK, linewidth=0.7, dashes=(4, 3))
            axis.axvline(0, color=INK, linewidth=0.9)
            for row in rows.to_dict("records"):
                y, colour = at[row["evaluation"], row["variant"]], colour_of(variants.index(row["variant"]))
                x, inset = row["difference"], 0.03 * (high - low)
                _estimate(axis, x, y, row["ci_low"], row["ci_high"], colour)
                if not low < x < high:
                    end, marker = (low + inset, "<") if x < low else (high - inset, ">")
                    axis.plot(end, y, marker, color=colour, markersize=6)
            write_lines(axis, at, in_words=axis is axes[0])
            axis.set(xlim=(low, high))
            axis.locator_params(axis="x", nbins=7 if axis is axes[0] else 4)
        label = f"difference in {KNOWN[metric].label} to the baseline ({wording(metric)})"
        if margin:
            label += f"\nbetween the dashed lines: the margin of ± {margin:g}, practically nothing"
        figure.supxlabel(label, x=0.01, ha="left", fontsize=9)
        if len(spans) > 1:
            axes[0].set_title("all differences")
            axes[1].set_title("the margin enlarged")
        return as_svg(figure, name, f"Differences in {KNOWN[metric].label} to the baseline with 95 % CI")


def latencies(rows: Sequence[dict[str, Any]], variants: Sequence[str], name: str) -> str:
    """Time of an image by runtime and variant, the fastest runtime first: medians with whiskers from the 5th to the
    95th percentile; in each line integers are hollow, and below floating point.

    Args:
        rows: of a machine's timings, at one batch size: model, runtime, dtype, batch, median_ms, p5_ms, p95_ms.
        variants: every variant of the study in order, which fixes the colours.
        name: unique in the page.
    """
    fastest = sorted(rows, key=lambda row: row["median_ms"])
    runtimes = list(dict.fromkeys(row["runtime"] for row in fastest))
    dtypes = sorted({row["dtype"] for row in rows}, key=list(MARKERS).index)
    timed = {(row["runtime"], row["model"]) for row in rows}
    at = lines_of([pair for runtime in runtimes for variant in variants if (pair := (runtime, variant)) in timed])
    with drawing(1, 1, height_of(at)) as (figure, (axis,)):
        times: list[float] = []
        for row in rows:
            y = at[row["runtime"], row["model"]]
            y += 0.3 * (dtypes.index(row["dtype"]) - (len(dtypes) - 1) / 2)
            low, x, high = (row[key] / row["batch"] for key in ("p5_ms", "median_ms", "p95_ms"))
            colour = colour_of(variants.index(row["model"]))
            face = PAPER if row["dtype"] == "int8" else colour
            axis.plot([low, high], [y, y], color=colour, linewidth=1.2)
            axis.plot(x, y, MARKERS[row["dtype"]], color=colour, markerfacecolor=face, markersize=5)
            times += [low, x, high]
        write_lines(axis, at)
        log_along(axis, times, n_ticks=9)
        axis.set_xlabel("time of an image (ms, log)")
        return as_svg(figure, name, "Time of an image by runtime and variant")


def severity(rows: pd.DataFrame, variants: Sequence[str], metric: str, name: str) -> str:
    """The primary metric lost by severity, a panel an artifact; bars are 95 % CI. Where each artifact has one severity,
    a line a variant below it.

    Args:
        rows: one row an artifact, severity and variant: artifact, severity, variant, drop, drop_ci_low, drop_ci_high.
        variants: every variant of the study in order.
        metric: the primary metric.
        name: unique in the page.
    """
    kinds = list(rows["artifact"].unique())
    if len(rows[["artifact", "severity"]].drop_duplicates()) == len(kinds):
        return _at_one_severity(rows, variants, metric, name)
    drawn = [variant for variant in variants if variant in set(rows["variant"])]
    severities = [int(each) for each in rows["severity"]]
    n_columns = _beside(len(kinds))
    n_rows = -(-len(kinds) // n_columns)
    with drawing(n_rows, n_columns, 0.1 + 1.8 * n_rows) as (figure, axes):
        for axis, kind in zip(axes, kinds, strict=False):
            axis.axhline(0, color=INK, linewidth=0.9)
            for line, variant in enumerate(drawn):
                group = rows[(rows["artifact"] == kind) & (rows["variant"] == variant)]
                columns = ("severity", "drop", "drop_ci_low", "drop_ci_high")
                x, y, low, high = (np.asarray(group[column], dtype=np.float64) for column in columns)
                x += min(0.12, 0.6 / len(drawn)) * (line - (len(drawn) - 1) / 2)  # beside each other
                position = variants.index(variant)
                axis.vlines(x, low, high, color=colour_of(position), linewidth=1)
                axis.plot(x, y, "o", color=colour_of(position), linestyle=dash_of(position), markersize=4)
            axis.set(title=kind, xlabel="severity", ylim=_at_least(*axis.get_ylim()))
            count_along(axis, severities)
        _panels(axes, len(kinds), n_columns, f"{KNOWN[metric].label} lost")
        legend(figure, variants, drawn)
        return as_svg(figure, name, f"{KNOWN[metric].label} lost by severity of artifacts")


def reliability(sums: Sums, variants: Sequence[str], name: str) -> str:
    """Share of lesion by predicted probability, a panel an evaluation; on the diagonal probabilities are right.

    Args:
        sums: by evaluation and variant, then seed, (N_BINS, 3) pixels, sum of probabilities and lesion pixels.
        variants: every variant of the study in order.
        name: unique in the page.
    """
    evaluations = list(dict.fromkeys(evaluation for evaluation, _ in sums))
    drawn = {variant for _, variant in sums}
    n_columns = max(2, _beside(len(evaluations)))  # one panel as wide as the page would be no square
    n_rows = -(-len(evaluations) // n_columns)
    with drawing(n_rows, n_columns, n_rows * (0.25 + 6.6 / n_columns)) as (figure, axes):
        for axis, evaluation in zip(axes, evaluations, strict=False):
            axis.plot([0, 1], [0, 1], color=INK, linewidth=0.9)
            for position, variant in enumerate(variants):
                if (evaluation, variant) in sums:
                    pixels, confidence, positives = np.sum(list(sums[evaluation, variant].values()), axis=0).T
                    used = pixels > 0
                    x, y = confidence[used] / pixels[used], positives[used] / pixels[used]
                    axis.plot(
                        x, y, "o", color=colour_of(position), linestyle=dash_of(position), linewidth=1.2, markersize=2.5
                    )
            axis.set(title=evaluation, xlabel="probability", xlim=(0, 1), ylim=(0, 1), box_aspect=1)
            for which in (axis.xaxis, axis.yaxis):
                which.set_ticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        _panels(axes, len(evaluations), n_columns, "share of lesion")
        legend(figure, variants, [variant for variant in variants if variant in drawn])
        return as_svg(figure, name, "Share of lesion by predicted probability")


def _at_one_severity(rows: pd.DataFrame, variants: Sequence[str], metric: str, name: str) -> str:
    """As `severity`, of artifacts of one severity each."""
    records = rows.assign(
        heading=[f"{a}, severity {s}" for a, s in zip(rows["artifact"], rows["severity"], strict=True)]
    )
    at = lines_of(list(zip(records["heading"], records["variant"], strict=True)))
    with drawing(1, 1, height_of(at)) as (figure, (axis,)):
        axis.axvline(0, color=INK, linewidth=0.9)
        for row in records.to_dict("records"):
            y, position = at[row["heading"], row["variant"]], variants.index(row["variant"])
            _estimate(axis, row["drop"], y, row["drop_ci_low"], row["drop_ci_high"], colour_of(position))
        write_lines(axis, at)
        axis.set(xlabel=f"{KNOWN[metric].label} lost (above 0 is worse)", xlim=_at_least(*axis.get_xlim()))
        return as_svg(figure, name, f"{KNOWN[metric].label} lost under artifacts")


def _estimate(axis: Axes, x: float, y: float, low: float, high: float, colour: str) -> None:
    """A point on a line, with its interval if it has one, which is not NaN."""
    if not pd.isna(low):
        axis.plot([low, high], [y, y], color=colour, linewidth=2)
    axis.plot(x, y, "o", color=colour, markersize=6)


def _at_least(low: float, high: float) -> tuple[float, float]:
    """The limits of an axis of differences, which nothing is not enlarged on."""
    return min(low, -LEAST), max(high, LEAST)


def _beside(n: int) -> int:
    """How many of n panels stand beside each other."""
    return 2 if n == 4 else min(n, 3)


def _panels(axes: Sequence[Axes], n: int, n_columns: int, label: str) -> None:
    """Gives the first n panels one vertical axis, named and numbered on the left alone, and hides the rest."""
    limits = np.array([axis.get_ylim() for axis in axes[:n]])
    for position, axis in enumerate(axes):
        axis.set_visible(position < n)
        axis.set_ylim(limits[:, 0].min(), limits[:, 1].max())
        axis.tick_params(axis="y", labelleft=position % n_columns == 0)
        axis.set_ylabel("" if position % n_columns else label)
