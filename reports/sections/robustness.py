"""What artifacts cost: the drop from the clean images, for each variant, artifact and severity."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from ..artifact_answers import answers, condition_name
from ..artifact_losses import CLEAN, asked_about, losses, losses_on_average, relative_robustness
from ..drawing import (
    INK,
    as_svg,
    at_least,
    beside,
    colour_of,
    count_along,
    dash_of,
    drawing,
    estimate,
    height_of,
    legend,
    lines_of,
    panels,
    write_lines,
)
from ..evidence import Evidence, Row
from ..lost import taken
from ..section import Part, Section
from ..tables import KNOWN, records


@dataclass(frozen=True, slots=True)
class Facts:
    robustness: list[Row]
    """The rows of `robustness_table`."""
    relative_robustness: dict[str, Row]
    """By artifact and variant, `relative_robustness`."""
    lost_on_average: list[Row]
    """A row a variant, over the conditions that the answer is about: variant, n_conditions, lost, ci_low, ci_high,
    p_value, p_adjusted (Holm over the variants), too_few; and against the baseline, where there is a comparison, those
    of `Finding.row` under `more`; under `more_compared` the same against `compare_with`, only where there is one."""
    under_artifacts: list[Row]
    """`answers`, a row a variant."""


def make(evidence: Evidence) -> Part:
    table = evidence.once(losses)
    rows, relative = records(table), relative_robustness(table)
    drawn: dict[str, str] = {}
    if rows:
        drawn["severity"] = draw(table, evidence.names, evidence.primary, evidence.id("severity"))
    return Part(
        facts=Facts(
            rows,
            dict(zip(map(str, relative.index), records(relative), strict=True)),
            [each.row() for each in evidence.once(losses_on_average)],
            [asdict(each) for each in evidence.answers["robustness"]],
        ),
        is_shown=bool(rows),
        figures=drawn,
        tables={"robustness": table} if rows else {},
        view={
            "clean": _clean_means(evidence),
            "taken": taken(evidence.primary),
            "asked_about": [condition_name(evidence, each) for each in asked_about(evidence.study)],
        },
    )


def _clean_means(evidence: Evidence) -> dict[str, float]:
    """By variant the mean of the primary metric on the clean images."""
    found = {name: evidence.cells.get((CLEAN, name)) for name in evidence.names}
    return {name: float(cell.tables[evidence.primary].to_numpy().mean()) for name, cell in found.items() if cell}


def draw(rows: pd.DataFrame, variants: Sequence[str], metric: str, name: str) -> str:
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
    n_columns = beside(len(kinds))
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
            axis.set(title=kind, xlabel="severity", ylim=at_least(*axis.get_ylim()))
            count_along(axis, severities)
        panels(axes, len(kinds), n_columns, f"{KNOWN[metric].label} {taken(metric)}")
        legend(figure, variants, drawn)
        return as_svg(figure, name, f"{KNOWN[metric].label} {taken(metric)} by severity of artifacts")


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
            estimate(axis, row["drop"], y, row["drop_ci_low"], row["drop_ci_high"], colour_of(position))
        write_lines(axis, at)
        axis.set(xlabel=f"{KNOWN[metric].label} {taken(metric)} (above 0 is worse)", xlim=at_least(*axis.get_xlim()))
        return as_svg(figure, name, f"{KNOWN[metric].label} {taken(metric)} under artifacts")


SECTION = Section(
    name="robustness", title="Robustness", make=make, asks="robustness", lead="Under artifacts", answers=answers
)
