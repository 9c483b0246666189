"""What artifacts cost: the drop from the clean images, for each variant, artifact and severity."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from ..answers import Answer
from ..artifact_losses import CLEAN, Average, losses, losses_on_average, relative_robustness
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
from ..lost import Verdict, amount, more_or_less, sentence, spread, verdict
from ..naming import in_words_of, mean_over
from ..notes import counted, listed, p_equals
from ..section import Part, Section
from ..tables import KNOWN, records

NOT_SHOWN = "what other artifacts would do, or real ones, which lie on other lesions"
NOWHERE = "Under none of them does it lose."
PICKED = "; and the worst condition was picked for being the worst, so that other images may show less there"


@dataclass(frozen=True, slots=True)
class Facts:
    robustness: list[Row]
    """The rows of `robustness_table`."""
    relative_robustness: dict[str, Row]
    """By artifact and variant, `relative_robustness`."""
    lost_on_average: list[Row]
    """A row a variant, over all conditions: variant, n_conditions, lost, ci_low, ci_high, p_value, p_adjusted
    (Holm over the variants), too_few; and against the baseline, where there is a comparison, those of `Finding.row`
    under `more`."""
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
        view={"clean": _clean_means(evidence)},
    )


def answers(evidence: Evidence) -> list[Answer]:
    """For each variant what all artifacts cost on average, under which it loses most, and how that compares with the
    baseline."""
    return [_answer(evidence, each) for each in evidence.once(losses_on_average)]


def _answer(evidence: Evidence, found: Average) -> Answer:
    metric, name, lost, more = evidence.primary, found.variant, found.lost, found.more
    ends = lost.gap, lost.ci_low, lost.ci_high, lost.too_few
    said = verdict(lost.ci_low, lost.ci_high, found.p_adjusted, evidence.spec["margin"] or 0.0, lost.too_few)
    own = said.text
    over, worst = _over(evidence, found.conditions), worst_condition(evidence, name, found.conditions)
    effect, claim = amount(metric, *ends), own
    size = f"{counted(found.n_seeds, 'seed')} × {counted(found.n_images, 'image')}{mean_over(evidence.study.target)}"
    rest = [f"{over}, against the same images without ({size}): {own}."]
    told = [f"Under {_kinds(evidence, found.conditions)} {name} {sentence(metric, *ends)} on average: {own}."]
    may, not_shown = (
        _may(evidence, name, said),
        f"{in_words_of(evidence.study.target, NOT_SHOWN)}{PICKED if worst not in ('', NOWHERE) else ''}.",
    )
    if more and more.claim:
        against = f"That is {more_or_less(metric, more.row(), evidence.baseline)}"
        if more.comparison.ci_low is not None:
            against += f" ({p_equals(more.p_adjusted)}, Holm): {more.claim.verdict}"
            claim = f"{own}; against {evidence.baseline}: {more.claim.verdict}"
            may, not_shown = f"{may} {more.claim.may}", more.claim.not_shown
        else:
            against += f", which {more.claim.verdict}"
        rest.append(f"{against}.")
        told.append(f"{against}.")
    return Answer(
        evaluation=evidence.first,
        variant=name,
        compared_with=evidence.baseline if more else None,
        label=evidence.label(name),
        effect=effect,
        rest=" ".join(each for each in (*rest, worst) if each),
        claim=claim,
        may=may,
        not_shown=not_shown,
        cost=more and more.cost,
        brief=f": {effect} {over}: {claim}. {worst}".strip(),
        abstract=" ".join(told),
    )


def _over(evidence: Evidence, conditions: tuple[str, ...]) -> str:
    """What a mean is over, in words."""
    if len(conditions) == 1:
        return f"under {_name(evidence, conditions[0])}"
    n_planned = len(evidence.study.artifacts)
    of = "" if len(conditions) == n_planned else f" (of {n_planned}; the others are not scored for every variant yet)"
    return f"on average over {len(conditions)} artifact conditions{of}"


def _name(evidence: Evidence, condition: str) -> str:
    artifact = evidence.study.artifacts[condition]
    return f"{artifact['kind']} {artifact['severity']}"


def _may(evidence: Evidence, name: str, said: Verdict) -> str:
    metric = evidence.metric.label
    if said.kind in ("loses", "gains"):
        return f"For new trainings and new images, {name} {said.kind} in mean {metric} under these artifacts."
    if said.kind == "undecided":
        return f"These very checkpoints of {name} have that mean {metric} on these very images."
    return f"Under these artifacts, {name} is not shown to lose or to gain in mean {metric}."


def worst_condition(evidence: Evidence, variant: str, conditions: tuple[str, ...]) -> str:
    """Of several conditions the one under which a variant loses most, in a sentence."""
    names = {_name(evidence, each) for each in conditions}
    rows = [row for row in records(evidence.once(losses)) if row["variant"] == variant]
    known = [(name, row) for row in rows if (name := f"{row['artifact']} {row['severity']}") in names]
    if len(known) < 2:
        return ""
    name, worst = max(known, key=lambda each: each[1]["drop"])
    if worst["drop"] <= 0:
        return NOWHERE
    size = spread(evidence.primary, *(worst[key] for key in ("drop", "drop_ci_low", "drop_ci_high", "drop_too_few")))
    lows = [row["drop_ci_low"] for _, row in known if row["drop_ci_low"] is not None]
    if lows and max(lows) <= 0:
        return f"Under none of them alone is a loss shown; the largest is that under {name}, {size}."
    return f"It loses most under {name}: {size}."


def _kinds(evidence: Evidence, conditions: tuple[str, ...]) -> str:
    severities: dict[str, list[int]] = {}
    for each in conditions:
        artifact = evidence.study.artifacts[each]
        severities.setdefault(artifact["kind"], []).append(artifact["severity"])
    return "painted " + listed(f"{kind} ({', '.join(map(str, found))})" for kind, found in severities.items())


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
        panels(axes, len(kinds), n_columns, f"{KNOWN[metric].label} lost")
        legend(figure, variants, drawn)
        return as_svg(figure, name, f"{KNOWN[metric].label} lost by severity of artifacts")


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
        axis.set(xlabel=f"{KNOWN[metric].label} lost (above 0 is worse)", xlim=at_least(*axis.get_xlim()))
        return as_svg(figure, name, f"{KNOWN[metric].label} lost under artifacts")


SECTION = Section(
    name="robustness", title="Robustness", make=make, asks="robustness", lead="Under artifacts", answers=answers
)
