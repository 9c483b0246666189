"""Every variant against the baseline; of more than two every pair, and how firm their ranking is."""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from ...bench.stats import ALPHA
from .. import figures
from ..answers import Answer
from ..evidence import Evidence, Row
from ..notes import counted, digits_of, heading, p_equals, p_text, signed
from ..ranking import ranks_of
from ..section import Part, Section


@dataclass(frozen=True, slots=True)
class Facts:
    comparisons: list[Row]
    """The rows of `comparisons.comparisons_table`."""
    answers: list[Row]
    """`answers`, each comparison on the primary metric in words."""
    pairwise: list[Row]
    """`ranking.pairwise_rows`."""
    ranks: Row | None
    """variants, place (of each), share (of each, by place); None where there are but two."""
    ranking: list[str]
    """The variants with scores on the first evaluation, the best first."""


def make(evidence: Evidence) -> Part:
    rows, table = evidence.comparison_rows, evidence.comparisons
    ranks = ranks_of(evidence.study, evidence.cells)
    drawn: dict[str, str] = {}
    if ranks:
        drawn["ranks"] = figures.rank_stability(ranks, evidence.names, evidence.id("ranks"))
    if rows:
        has_own_figure = table["evaluation"].isin(list(evidence.study.artifacts))
        plain: Any = table[(table["metric"] == evidence.primary) & ~has_own_figure]
        if len(plain):
            margin = evidence.spec["margin"]
            drawn["forest"] = figures.forest(plain, evidence.names, evidence.primary, margin, evidence.id("forest"))
    return Part(
        facts=Facts(
            rows,
            [asdict(each) for each in evidence.answers["difference"]],
            evidence.pairwise,
            ranks and {"variants": list(ranks.names), "place": ranks.place.tolist(), "share": ranks.share.tolist()},
            evidence.ranking,
        ),
        is_shown=True,
        figures=drawn,
        tables={"comparisons": table},
        excerpts={"comparisons": _excerpt(evidence)},
        view={"map": _significance_map(evidence)},
    )


def answers(evidence: Evidence) -> list[Answer]:
    """Each comparison on the primary metric: by how much, over what, and what may be claimed."""
    return [_answer(evidence, row) for row in evidence.comparison_rows if row["metric"] == evidence.primary]


def _answer(evidence: Evidence, row: Row) -> Answer:
    digits, name, baseline = digits_of(row["metric"]), row["variant"], row["baseline"]
    counts = tuple(dict.fromkeys((row["n_seeds_variant"], row["n_seeds_baseline"])))
    seeds = counted(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} and {counts[1]} seeds"
    over = f"{seeds} × {counted(row['n_images'], 'image')}"
    effect = f"{evidence.metric.label} {signed(row['difference'], digits)}"
    if row["ci_low"] is None:
        rest = f"against {baseline} ({over}). {row['reason'][0].upper()}{row['reason'][1:]}."
        told = f"Whether {name} differs from {baseline} {row['claim']}."
    else:
        low, high = (signed(row[end], digits) for end in ("ci_low", "ci_high"))
        effect += f" [{low}, {high}]"
        rest = f"against {baseline} ({over}, {p_equals(row['p_adjusted'])}, Holm): {row['claim']}."
        told = (
            f"Against {baseline}, {name} differed by {signed(row['difference'], digits)} (95 % CI {low} to {high}, for "
            f"new trainings and new images): {row['claim']}."
        )
    return Answer(
        evaluation=row["evaluation"],
        variant=name,
        label=evidence.label(name),
        effect=effect,
        rest=rest,
        claim=row["claim"],
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
                "p (Holm)": p_text(row["p_adjusted"]),
                "claim": row["claim"],
            }
            for row in evidence.comparison_rows
            if row["metric"] == evidence.primary
        ]
    )


SECTION = Section(
    name="comparisons",
    title="Comparisons",
    make=make,
    asks="difference",
    lead="Against the baseline",
    answers=answers,
)
