"""Every variant against the baseline; of more than two every pair, and how firm their ranking is."""

from dataclasses import dataclass

import pandas as pd

from ...bench.stats import ALPHA
from .. import figures
from ..evidence import Evidence, Row
from ..notes import answer, digits_of, heading, p_text, signed
from ..ranking import ranks_of
from ..section import Part, Section


@dataclass(frozen=True, slots=True)
class Facts:
    comparisons: list[Row]
    """The rows of `comparisons.comparisons_table`."""
    answers: list[dict[str, str]]
    """Each comparison on the primary metric in words, `notes.answer`."""
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
        plain = table[(table["metric"] == evidence.primary) & ~has_own_figure]
        if len(plain):
            margin = evidence.spec["margin"]
            drawn["forest"] = figures.forest(plain, evidence.names, evidence.primary, margin, evidence.id("forest"))
    return Part(
        facts=Facts(
            rows,
            [answer(evidence.study, row) for row in rows if row["metric"] == evidence.primary],
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


SECTION = Section(name="comparisons", title="Comparisons", make=make)
