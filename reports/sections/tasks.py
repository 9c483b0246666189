"""What models say of images as a whole: how often they are right, and which classes they take for which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...bench.metrics.labels import LABEL_METRICS, confusion, roc
from ..drawing import INK, as_svg, beside, colour_of, dash_of, drawing, legend, panels, square
from ..evidence import Evidence, Row
from ..section import NOTHING, Part, Section
from ..tables import records
from ..told_labels import Key, Told, tasks_table, told_labels

GRID = np.linspace(0, 1, 201)


@dataclass(frozen=True, slots=True)
class Facts:
    tasks: list[Row]
    """The rows of `tasks_table`."""
    confusions: list[Row]
    """The rows of `confusions_table`."""


def make(evidence: Evidence) -> Part:
    told = told_labels(evidence)
    if not told:
        return Part(facts=NOTHING, is_shown=False)
    table, confusions = tasks_table(evidence, told), confusions_table(evidence, told)
    figures: dict[str, str] = {}
    for task in dict.fromkeys(task for _, task, _ in told):
        evaluation = next(each for each, name, _ in told if name == task)
        shown = {variant: each for (test, name, variant), each in told.items() if (test, name) == (evaluation, task)}
        if any(len(np.unique(each.truth)) > 1 for each in shown.values()):
            figures[f"roc-{task}"] = draw(shown, evidence.names, evidence.id(f"roc-{task}"))
    return Part(
        facts=Facts(records(table), records(confusions)),
        is_shown=True,
        figures=figures,
        tables={"tasks": table, "confusions": confusions},
        view={"metrics": LABEL_METRICS, "rows": _rows(table), "confusions": _matrices(told)},
    )


def confusions_table(evidence: Evidence, told: Mapping[Key, Told]) -> pd.DataFrame:
    """One row per evaluation, task, variant, true and predicted class: n, images summed over seeds. Columns: study,
    evaluation, task, variant, truth, predicted, n."""
    rows = [
        {
            "study": evidence.study.name,
            "evaluation": evaluation,
            "task": task,
            "variant": variant,
            "truth": truth,
            "predicted": predicted,
            "n": n,
        }
        for (evaluation, task, variant), each in told.items()
        for truth, counts in zip(each.classes, _summed(each), strict=True)
        for predicted, n in zip(each.classes, counts, strict=True)
    ]
    return pd.DataFrame(rows)


def _summed(told: Told) -> list[list[int]]:
    return np.sum([confusion(each, told.truth) for each in told.p], axis=0).tolist()


def _rows(table: pd.DataFrame) -> dict[str, list[Row]]:
    """By task a row per evaluation and variant, with what is known of each metric."""
    found: dict[str, dict[tuple[str, str], Row]] = {}
    for row in records(table):
        of_task = found.setdefault(row["task"], {})
        shared = {key: row[key] for key in ("evaluation", "variant", "trials", "n_images", "reference")}
        of_task.setdefault((row["evaluation"], row["variant"]), shared | {"metrics": {}})["metrics"][row["metric"]] = (
            row
        )
    return {task: [*rows.values()] for task, rows in found.items()}


def _matrices(told: Mapping[Key, Told]) -> dict[str, list[dict[str, Any]]]:
    """By task, on its first evaluation, each variant's confusion matrix: for each true class the counts, and their
    shares of its images."""
    first: dict[str, str] = {}
    found: dict[str, list[dict[str, Any]]] = {}
    for (evaluation, task, variant), each in told.items():
        if first.setdefault(task, evaluation) == evaluation:
            rows = [
                (name, counts, max(sum(counts), 1)) for name, counts in zip(each.classes, _summed(each), strict=True)
            ]
            matrix = [(name, [(n, n / total) for n in counts]) for name, counts, total in rows]
            told_of = {"evaluation": evaluation, "variant": variant, "classes": each.classes, "rows": matrix}
            found.setdefault(task, []).append(told_of | {"n_seeds": len(each.p)})
    return found


def draw(told: Mapping[str, Told], variants: Sequence[str], name: str) -> str:
    """ROC curves, mean sensitivity over seeds by false positive rate: of two classes of the later one, of more a panel
    a class against the rest.

    Args:
        told: by variant, of one task on one evaluation.
        variants: every variant of the study in order.
        name: unique in the page.
    """
    classes = list(dict.fromkeys(each for one in told.values() for each in _drawn(one)))
    n_columns = max(2, beside(len(classes)))
    n_rows = -(-len(classes) // n_columns)
    with drawing(n_rows, n_columns, square(n_rows, n_columns)) as (figure, axes):
        for axis, name_of_class in zip(axes, classes, strict=False):
            axis.plot([0, 1], [0, 1], color=INK, linewidth=0.9)
            for position, variant in enumerate(variants):
                if variant in told and name_of_class in _drawn(told[variant]):
                    one, place = told[variant], told[variant].classes.index(name_of_class)
                    curves = [roc(each[:, place], one.truth == place, GRID) for each in one.p]
                    mean = np.mean(curves, axis=0)
                    axis.plot(GRID, mean, color=colour_of(position), linestyle=dash_of(position), linewidth=1.4)
            axis.set(title=name_of_class, xlabel="false positive rate", xlim=(0, 1), ylim=(0, 1))
            for which in (axis.xaxis, axis.yaxis):
                which.set_ticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        panels(axes, len(classes), n_columns, "sensitivity")
        legend(figure, variants, [variant for variant in variants if variant in told])
        return as_svg(figure, name, "ROC curves by class")


def _drawn(told: Told) -> list[str]:
    """The classes that have a curve: there are images of them, and others."""
    places = np.unique(told.truth)
    if len(places) < 2:
        return []
    return [told.classes[place] for place in places if len(told.classes) > 2 or place == 1]


SECTION = Section(name="tasks", title="Labels", make=make)
