"""What variants cost, and which are worth it: those that no other is shown to beat."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from ..answers import Answer
from ..drawing import PAPER, as_svg, colour_of, drawing, log_along, panels
from ..evidence import Evidence, Row
from ..labels import label_points
from ..machines import energy
from ..naming import mean_over
from ..notes import counted, digits_of, listed, number, signed
from ..section import Part, Section
from ..tables import KNOWN
from ..timings import Timing, headline_timing, load_timings, ratio_of

Shown = Literal["better", "equal", "not shown"]
Compared = Callable[[str, str], Shown]
COSTS = {"parameters": "parameters", "latency_ms": "latency"}  # those that have a front
FLAT = 0.02  # of a score: the least that an axis of scores spans


@dataclass(frozen=True, slots=True)
class Facts:
    fronts: dict[str, list[str]]
    """By cost the variants on its front, the best first."""
    costs: list[Row]
    """`answers`, a row a variant."""


def make(evidence: Evidence) -> Part:
    on_front = evidence.once(_fronts)
    machine, joules = energy(evidence.machines)
    drawn: str | None = None
    if len(evidence.variants):
        rows: Any = evidence.variants[evidence.variants["evaluation"] == evidence.first]
        rows = rows.copy().assign(joules=rows["variant"].map(joules))
        drawn = draw(rows, evidence.names, evidence.primary, on_front, evidence.id("cost"))
    return Part(
        facts=Facts(
            {cost: [each for each in evidence.ranking if each in found] for cost, found in on_front.items()},
            [asdict(each) for each in evidence.answers["cost"]],
        ),
        is_shown=drawn is not None,
        figures={} if drawn is None else {"cost": drawn},
        view={"variants": evidence.variant_rows, "energy_at": machine},
        warnings=tuple(load_timings(evidence.study)[1]),
    )


def answers(evidence: Evidence) -> list[Answer]:
    """For each variant but the baseline what it costs beside the baseline, what it scores for that, and whether another
    is shown to beat it."""
    rows = {row["variant"]: row for row in evidence.variant_rows if row["evaluation"] == evidence.first}
    if evidence.baseline not in rows:
        return []
    scored = {
        row["variant"]: row
        for row in evidence.comparison_rows
        if row["evaluation"] == evidence.first and row["metric"] == evidence.primary
    }
    return [_answer(evidence, rows[name], rows[evidence.baseline], scored[name]) for name in rows if name in scored]


def _answer(evidence: Evidence, row: Row, own: Row, scored: Row) -> Answer:
    name, baseline, digits = row["variant"], evidence.baseline, digits_of(evidence.primary)
    effects: list[str] = []
    if row["latency_ratio"] is not None and row["latency_over"] == baseline and row["latency_low"] is not None:
        ends = f"{number(row['latency_low'])}, {number(row['latency_high'])}"
        effects.append(f"{number(row['latency_ratio'])} times [{ends}] the time of {baseline}")
    if row["parameters"] is not None and own["parameters"]:
        effects.append(f"{number(row['parameters'] / own['parameters'], 2)} times the parameters of {baseline}")
    score = f"{evidence.metric.label} {signed(scored['difference'], digits)}"
    if scored["ci_low"] is not None:
        score += f" [{signed(scored['ci_low'], digits)}, {signed(scored['ci_high'], digits)}]"
    found = evidence.once(_fronts) if name in evidence.ranking else {}
    places = {"on": [COSTS[cost] for cost, front in found.items() if name in front]}
    places["off"] = [COSTS[cost] for cost, front in found.items() if name not in front]
    claim = "; ".join(
        [*(f"{where} the front of {listed(costs)}" for where, costs in places.items() if costs), scored["claim"]]
    )
    effect = " and ".join(effects) or "its cost was not measured"
    where = f" (timed on {row['latency_at']})" if row["latency_ratio"] is not None and row["latency_at"] else ""
    return Answer(
        evaluation=evidence.first,
        variant=name,
        compared_with=baseline,
        label=evidence.label(name),
        effect=effect,
        rest=f"for {score} ({counted(scored['n_seeds_variant'], 'seed')} × {counted(scored['n_images'], 'image')}"
        f"{mean_over(evidence.study.target)}){where}: {claim}.",
        claim=claim,
        may=scored["may"],
        not_shown=f"what another machine or input size would take; of {evidence.metric.label}, {scored['not_shown']}",
        cost=scored["cost"],
        abstract=f"{name} takes {effect}, for a difference of {score}: {claim}.",
    )


def _fronts(evidence: Evidence) -> dict[str, set[str]]:
    return fronts(evidence, headline_timing(evidence.study))


def fronts(evidence: Evidence, timing: Timing | None) -> dict[str, set[str]]:
    """By cost, `parameters` and, where it was timed with intervals, `latency_ms`: the variants on the Pareto front.

    A variant is off the front only where another is shown to beat it: shown better in one of cost and primary metric,
    and shown better or equal in the other. Shown better in the metric: the 95 % interval of their difference on the
    first evaluation leaves 0 on the good side. Cheaper: fewer parameters, which are exact; or the 95 % interval of the
    ratio of times lies below 1. Equal: the same number, or the same training.

    Args:
        evidence: of the study.
        timing: what latencies are taken from.
    """
    rows = {row["variant"]: row for row in evidence.variant_rows if row["evaluation"] == evidence.first}
    quality = _quality(evidence, rows)
    found: dict[str, set[str]] = {}
    sized = [name for name, row in rows.items() if row["parameters"] is not None]
    if sized:
        found["parameters"] = _front(
            sized, quality, lambda a, b: _smaller(rows[a]["parameters"], rows[b]["parameters"])
        )
    timed = [name for name, row in rows.items() if row["latency_over"] is not None]
    if timing is not None and timed:
        found["latency_ms"] = _front(timed, quality, lambda a, b: _faster(timing, a, b))
    return found


def _front(names: list[str], quality: Compared, cost: Compared) -> set[str]:
    def beats(a: str, b: str) -> bool:
        shown = {quality(a, b), cost(a, b)}
        return "better" in shown and "not shown" not in shown

    return {name for name in names if not any(beats(other, name) for other in names if other != name)}


def _quality(evidence: Evidence, rows: dict[str, Row]) -> Compared:
    """Whether the first of two variants is better in the primary metric."""
    metric, sign = evidence.primary, 1 if evidence.metric.higher_is_better else -1
    pairs = [(row["a"], row["b"], row) for row in evidence.pairwise] or [
        (row["variant"], row["baseline"], row)
        for row in evidence.comparison_rows
        if row["evaluation"] == evidence.first and row["metric"] == metric
    ]
    better: set[tuple[str, str]] = set()
    for a, b, row in pairs:
        if row["ci_low"] is not None and (row["ci_low"] > 0 or row["ci_high"] < 0):
            better.add((a, b) if sign * row["difference"] > 0 else (b, a))

    in_pairs = {name for a, b, _ in pairs for name in (a, b)}
    # Of variants that are the same training, one is compared.
    compared_of = [next((each for each in names if each in in_pairs), names[0]) for names in evidence.study.same]
    stands_for = {name: name for name in rows}
    for names, kept in zip(evidence.study.same, compared_of, strict=True):
        stands_for |= dict.fromkeys(names, kept)

    def compared(a: str, b: str) -> Shown:
        a, b = stands_for[a], stands_for[b]
        is_same = a == b or rows[a][f"{metric}_mean"] == rows[b][f"{metric}_mean"]
        return "better" if (a, b) in better else "equal" if is_same else "not shown"

    return compared


def _smaller(a: float, b: float) -> Shown:
    return "better" if a < b else "equal" if a == b else "not shown"


def _faster(timing: Timing, a: str, b: str) -> Shown:
    if timing["models"][a]["trial"] == timing["models"][b]["trial"]:
        return "equal"
    ratio = ratio_of(timing, a, b)
    return "better" if ratio and ratio.high < 1 else "not shown"


def draw(
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
        panels(axes, len(shown), n_columns, KNOWN[metric].label)
        for axis, (column, known) in zip(axes, shown.items(), strict=False):
            points = list(zip(known[column], known[f"{metric}_mean"], strict=True))
            colours = [colour_of(variants.index(variant)) for variant in known["variant"]]
            label_points(figure, axis, list(known["variant"]), points, colours, bars[column])
        return as_svg(figure, name, f"{KNOWN[metric].label} against cost")


SECTION = Section(name="cost", title="Cost", make=make, asks="cost", answers=answers)
