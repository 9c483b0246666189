"""Class by class: how well each is found, against the baseline, and how often where it is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from ...bench.metrics import COUNTS, constant
from ...bench.stats import Comparison, compare, holm_over, summarize
from ..doubts import told_seeds
from ..drawing import INK, as_svg, at_least, colour_of, drawing, estimate, height_of, lines_of, write_lines
from ..evidence import Evidence, Row
from ..load import Study
from ..naming import kind, names_of
from ..notes import digits_of, heading, listed, number, p_text, signed
from ..section import NOTHING, Part, Section
from ..tables import KNOWN, Cell, Cells, records, wording

OF_COMPARISON = ("difference", "ci_low", "ci_high", "p_value", "too_few")


@dataclass(frozen=True, slots=True)
class Facts:
    classes: list[Row]
    """The rows of `classes_table`."""


def make(evidence: Evidence) -> Part:
    study = evidence.study
    if not names_of(study.target):
        return Part(facts=NOTHING, is_shown=False)
    table = classes_table(study, evidence.cells)
    rows = records(table)
    drawn: dict[str, str] = {}
    if rows and (here := [row for row in rows if row["evaluation"] == evidence.first]):
        drawn["classes"] = draw(here, evidence.names, evidence.primary, evidence.id("classes-figure"))
    return Part(
        facts=Facts(rows),
        is_shown=bool(rows),
        figures=drawn,
        tables={"classes": table} if rows else {},
        excerpts={"classes": _excerpt(rows, evidence)} if rows else {},
        warnings=(*_never_there(evidence, rows), *_never_predicted(evidence)),
    )


def classes_table(study: Study, cells: Cells) -> pd.DataFrame:
    """One row per evaluation, class and variant with scores of it, in the order of the target.

    Columns: study, evaluation, name, variant, n_seeds, n_images (whose reference holds the class), n_absent (whose does
    not), n_predicted (of these, in how many something of it is predicted, on average over seeds); for each metric
    <metric>_mean, _sd_seeds, _ci_low and _ci_high (95 %, crossed) over the images that it is of: `false_alarm` and
    `false_alarm_area` those without the class, the others those with it; difference (variant - baseline in the primary
    metric over the images with the class), ci_low, ci_high, p_value, p_adjusted (Holm over all classes and variants of
    the evaluation, exploratory), too_few; trials.
    """
    rows: list[dict[str, Any]] = []
    for evaluation in study.spec["evaluations"]:
        here = {variant: cell for (name, variant), cell in cells.items() if name == evaluation}
        compared = _comparisons(study, here)
        for name in names_of(study.target):
            for variant, cell in here.items():
                if name in cell.classes:
                    row = {"study": study.name, "evaluation": evaluation, "name": name, "variant": variant}
                    row |= _levels(cell.classes[name], study.spec["primary"])
                    difference = compared.get((name, variant), dict.fromkeys((*OF_COMPARISON, "p_adjusted")))
                    rows.append({**row, **difference, "trials": cell.trials})
    return pd.DataFrame(rows)


def _levels(cell: Cell, primary: str) -> dict[str, Any]:
    """What is known of one variant and class by itself."""
    found, absent = cell.tables.get(primary), cell.tables.get("false_alarm")
    row: dict[str, Any] = {
        "n_seeds": cell.scores["seed"].nunique(),
        "n_images": 0 if found is None else found.shape[1],
        "n_absent": 0 if absent is None else absent.shape[1],
        "n_predicted": None if absent is None else float(absent.to_numpy().mean(axis=0).sum()),
    }
    for metric, table in cell.tables.items():
        summary = summarize(table.to_numpy(), bounds=KNOWN[metric].bounds, groups=cell.labels(table))
        row |= {f"{metric}_mean": summary.mean, f"{metric}_sd_seeds": summary.sd_seeds}
        row |= {f"{metric}_ci_low": summary.ci_low, f"{metric}_ci_high": summary.ci_high}
    return row


def _comparisons(study: Study, here: dict[str, Cell]) -> dict[tuple[str, str], dict[str, Any]]:
    """By class and variant the difference to the baseline on one evaluation; all of them are one family."""
    primary, baseline = study.spec["primary"], study.spec["baseline"]
    tables = {
        variant: {name: each.tables[primary] for name, each in cell.held(primary).items()}
        for variant, cell in here.items()
        if variant in study.distinct
    }
    own = tables.pop(baseline, {})
    found: dict[tuple[str, str], Comparison] = {}
    for name, variant in product(own, tables):
        if name in tables[variant]:
            pair = tables[variant][name], own[name]
            images = pair[0].columns.intersection(pair[1].columns)
            if not images.empty:
                a, b = (each[images].to_numpy() for each in pair)
                groups = here[variant].labels(images)
                found[name, variant] = compare(a, b, bounds=KNOWN[primary].bounds, groups=groups)
    return {
        key: {name: getattr(each, name) for name in OF_COMPARISON} | {"p_adjusted": p_adjusted}
        for (key, each), p_adjusted in zip(found.items(), holm_over([*found.values()]), strict=True)
    }


def _never_there(evidence: Evidence, rows: Sequence[Row]) -> list[str]:
    """A sentence for each class that no test image of an evaluation holds."""
    held = {(row["evaluation"], row["name"]) for row in rows if row["n_images"]}
    absent = dict.fromkeys(
        (row["evaluation"], row["name"]) for row in rows if (row["evaluation"], row["name"]) not in held
    )
    return [f"No test image of {evaluation} holds {name}: its scores say nothing." for evaluation, name in absent]


def _never_predicted(evidence: Evidence) -> list[str]:
    """A sentence for each class and evaluation where all masks of a training are empty, or full, and wrong."""
    found: dict[tuple[str, str, str, str], list[int]] = {}
    for (evaluation, variant), cell in evidence.cells.items():
        for name, each in cell.classes.items():
            counts: Any = each.scores.groupby("seed")[list(COUNTS)].sum()
            for seed, sums in counts.iterrows():
                if word := constant(sums):
                    found.setdefault((name, word, evaluation, variant), []).append(int(seed))
    whose: dict[tuple[str, str, str], list[str]] = {}
    for (name, word, evaluation, variant), seeds in found.items():
        whose.setdefault((name, word, evaluation), []).append(f"{variant} ({told_seeds(seeds)})")
    return [
        f"Constant predictions of {name} on {evaluation}: every mask of it is {word} by {listed(variants)}."
        for (name, word, evaluation), variants in whose.items()
    ]


def _excerpt(rows: Sequence[Row], evidence: Evidence) -> pd.DataFrame:
    """Class by class the primary metric, the difference and false alarms, as text."""
    digits = digits_of(evidence.primary)

    def within(row: Row, key: str, low: str, high: str, digits: int, signs: bool = False) -> str:
        if row.get(key) is None:
            return "–"
        say = signed if signs else number
        ends = "" if row[low] is None else f" [{say(row[low], digits)}, {say(row[high], digits)}]"
        return f"{say(row[key], digits)}{ends}"

    metric = evidence.primary
    return pd.DataFrame(
        [
            {
                "evaluation": row["evaluation"],
                kind(evidence.study.target): row["name"],
                "variant": row["variant"],
                "images": str(row["n_images"]),
                f"{heading(metric)} [95 % CI]": within(
                    row, f"{metric}_mean", f"{metric}_ci_low", f"{metric}_ci_high", digits
                ),
                "difference [95 % CI]": within(row, "difference", "ci_low", "ci_high", digits, signs=True),
                "p (Holm)": p_text(row["p_adjusted"]),
                "false alarms": within(
                    row, "false_alarm_mean", "false_alarm_ci_low", "false_alarm_ci_high", digits_of("false_alarm")
                ),
            }
            for row in rows
        ]
    )


def draw(rows: Sequence[Row], variants: Sequence[str], metric: str, name: str) -> str:
    """The metric's mean class by class with 95 % CI, and beside it the difference to the baseline with its.

    Args:
        rows: of `classes_table`, of one evaluation.
        variants: every variant of the study in order.
        metric: the primary one.
        name: unique in the page.
    """
    known = [row for row in rows if row.get(f"{metric}_mean") is not None]
    at = lines_of([(row["name"], row["variant"]) for row in known])
    with drawing(1, 2, height_of(at) + 0.2, widths=(3, 2)) as (figure, (level, difference)):
        difference.axvline(0, color=INK, linewidth=0.9)
        for row in known:
            y, colour = at[row["name"], row["variant"]], colour_of(variants.index(row["variant"]))
            low, high = (_or_nan(row[f"{metric}_{end}"]) for end in ("ci_low", "ci_high"))
            estimate(level, row[f"{metric}_mean"], y, low, high, colour)
            if row.get("difference") is not None:
                estimate(difference, row["difference"], y, _or_nan(row["ci_low"]), _or_nan(row["ci_high"]), colour)
        for axis in (level, difference):
            write_lines(axis, at, in_words=axis is level)
            axis.locator_params(axis="x", nbins=6 if axis is level else 4)
        low, high = difference.get_xlim()
        difference.set_xlim(*at_least(low, high))
        level.set(xlabel=heading(metric))
        difference.set(xlabel=f"difference to the baseline\n({wording(metric)})")
        return as_svg(figure, name, f"{KNOWN[metric].label} class by class with 95 % CI")


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


SECTION = Section(name="classes", title="Class by class", make=make)
