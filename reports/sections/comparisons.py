"""Every variant against the baseline; of more than two every pair, and how firm their ranking is."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...bench.stats import ALPHA, Ranks
from ..answers import Answer
from ..drawing import (
    INK,
    RULE,
    as_svg,
    at_least,
    colour_of,
    drawing,
    estimate,
    height_of,
    lines_of,
    write_lines,
)
from ..evidence import Evidence, Row
from ..looks import adjusted_by, looked
from ..naming import mean_over
from ..notes import counted, digits_of, heading, p_equals, p_text, signed
from ..ranking import ranks_of
from ..section import Part, Section
from ..tables import KNOWN, wording

THIN = 1 / 20  # of an axis: a band of the margin that takes less of it is drawn enlarged as well
WITH_SHARES = 6  # places beside each other that have room for a number


@dataclass(frozen=True, slots=True)
class Facts:
    comparisons: list[Row]
    """The rows of `tables.comparisons_table`."""
    answers: list[Row]
    """`answers`, each comparison on the primary metric in words."""
    pairwise: list[Row]
    """`ranking.pairwise_rows`."""
    ranks: Row | None
    """variants, place (of each), share (of each, by place); None where there are but two."""
    ranking: list[str]
    """The variants with scores on the first evaluation, the best first."""


@dataclass(frozen=True, slots=True)
class FactsOfTwo(Facts):
    """Where the study names another variant beside the baseline."""

    compared: list[Row]
    """The rows of `tables.comparisons_table` against `compare_with`."""


def make(evidence: Evidence) -> Part:
    rows, table = evidence.comparison_rows, evidence.comparisons
    ranks = ranks_of(evidence.study, evidence.cells)
    drawn: dict[str, str] = {}
    if ranks:
        drawn["ranks"] = draw_ranks(ranks, evidence.names, evidence.id("ranks"))
    if rows:
        has_own_figure = table["evaluation"].isin(list(evidence.study.artifacts))
        plain: Any = table[(table["metric"] == evidence.primary) & ~has_own_figure]
        if len(plain):
            margin = evidence.spec["margin"]
            drawn["forest"] = draw_forest(plain, evidence.names, evidence.primary, margin, evidence.id("forest"))
    told: dict[str, Any] = {
        "comparisons": rows,
        "answers": [asdict(each) for each in evidence.answers["difference"]],
        "pairwise": evidence.pairwise,
        "ranks": ranks
        and {"variants": list(ranks.names), "place": ranks.place.tolist(), "share": ranks.share.tolist()},
        "ranking": evidence.ranking,
    }
    names_another = bool(evidence.spec["compare_with"])
    return Part(
        facts=FactsOfTwo(**told, compared=evidence.compared_rows) if names_another else Facts(**told),
        is_shown=True,
        figures=drawn,
        tables={"comparisons": table} | ({"compared": evidence.compared} if names_another else {}),
        excerpts={"comparisons": _excerpt(evidence)},
        view={
            "map": _significance_map(evidence),
            "looks": looked(evidence.study, evidence.cells),
            "adjusted_by": adjusted_by(evidence.study),
        },
    )


def answers(evidence: Evidence) -> list[Answer]:
    """Each comparison on the primary metric: by how much, over what, and what may be claimed. Those against the study's
    `compare_with` come last, and only where differences are what it asks for: other questions have them in their own
    answers."""
    rows = evidence.comparison_rows + (evidence.compared_rows if evidence.spec["asks"] == "difference" else [])
    return [_answer(evidence, row) for row in rows if row["metric"] == evidence.primary]


def _answer(evidence: Evidence, row: Row) -> Answer:
    digits, name, baseline = digits_of(row["metric"]), row["variant"], row["baseline"]
    counts = tuple(dict.fromkeys((row["n_seeds_variant"], row["n_seeds_baseline"])))
    seeds = counted(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} and {counts[1]} seeds"
    n_groups = row.get("n_groups")
    over = f"{seeds} × {counted(row['n_images'], 'image')}" + (f" in {counted(n_groups, 'group')}" if n_groups else "")
    over += mean_over(evidence.study.target)
    effect = f"{evidence.metric.label} {signed(row['difference'], digits)}"
    if row["ci_low"] is None:
        rest = f"against {baseline} ({over}). {row['reason'][0].upper()}{row['reason'][1:]}."
        told = f"Whether {name} differs from {baseline} {row['claim']}."
    else:
        holm = adjusted_by(evidence.study)
        if evidence.spec["compare_with"]:
            holm = f"{holm} over the variants against {baseline}"
        p = p_equals(row["p_adjusted"]) + (" over all looks" if evidence.spec["looks"] else "")
        low, high = (signed(row[end], digits) for end in ("ci_low", "ci_high"))
        effect += f" [{low}, {high}]"
        rest = f"against {baseline} ({over}, {p}, {holm}): {row['claim']}."
        told = (
            f"Against {baseline}, {name} differed by {signed(row['difference'], digits)} (95 % CI {low} to {high}, for "
            f"new trainings and new {'groups of images' if n_groups else 'images'}): {row['claim']}."
        )
    return Answer(
        evaluation=row["evaluation"],
        variant=name,
        compared_with=baseline,
        label=evidence.label(name),
        effect=effect,
        rest=rest,
        # Of two answers about one variant a line of the overview must tell which is which.
        claim=f"against {baseline}: {row['claim']}" if evidence.spec["compare_with"] else row["claim"],
        may=row["may"],
        not_shown=row["not_shown"],
        cost=row["cost"],
        brief=f": {effect} {rest}",
        abstract=told,
    )


def _significance_map(evidence: Evidence) -> dict[str, Row]:
    """For "a\\nb", row and column: their difference, its p in words, and whether a is the better or the worse one."""
    sign = 1 if evidence.metric.higher_is_better else -1
    found: dict[str, Row] = {}
    for row in evidence.pairwise:
        is_known = row["p_adjusted"] is not None and row["p_adjusted"] < ALPHA
        for a, b, turn in ((row["a"], row["b"], 1), (row["b"], row["a"], -1)):
            difference = turn * row["difference"]
            kind = ("better" if sign * difference > 0 else "worse") if is_known else ""
            found[f"{a}\n{b}"] = {"difference": difference, "p": p_text(row["p_adjusted"]), "kind": kind}
    return found


def _excerpt(evidence: Evidence) -> pd.DataFrame:
    """The comparisons on the primary metric, as text."""
    digits = digits_of(evidence.primary)
    return pd.DataFrame(
        [
            {
                "evaluation": row["evaluation"],
                "variant": row["variant"],
                f"difference in {heading(evidence.primary)}": signed(row["difference"], digits),
                "95 % CI": "–"
                if row["ci_low"] is None
                else f"[{signed(row['ci_low'], digits)}, {signed(row['ci_high'], digits)}]",
                f"p ({adjusted_by(evidence.study)})": p_text(row["p_adjusted"]),
                "claim": row["claim"],
            }
            for row in evidence.comparison_rows
            if row["metric"] == evidence.primary
        ]
    )


def draw_ranks(ranks: Ranks, variants: Sequence[str], name: str) -> str:
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


def draw_forest(rows: pd.DataFrame, variants: Sequence[str], metric: str, margin: float | None, name: str) -> str:
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
    low, high = at_least(min(float(np.nanmin(ends)), -(margin or 0)), max(float(np.nanmax(ends)), margin or 0))
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
                estimate(axis, x, y, row["ci_low"], row["ci_high"], colour)
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


SECTION = Section(
    name="comparisons",
    title="Comparisons",
    make=make,
    asks="difference",
    lead="Scores against the baseline",
    answers=answers,
)
