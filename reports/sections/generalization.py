"""What carries over: every training set against every test set, and what is lost on the way."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...bench.stats import Tested, gap, holm_over, summarize
from ..answers import Answer
from ..evidence import Evidence, Row
from ..load import Study
from ..lost import amount, sentence, verb, verdict
from ..naming import mean_over
from ..notes import counted, listed
from ..section import Part, Section
from ..settings import alike
from ..tables import KNOWN, Cell, Cells, records


@dataclass(frozen=True, slots=True)
class Facts:
    generalization: list[Row]
    """The rows of `generalization_table`."""
    elsewhere: list[Row]
    """`answers`, a row a variant."""


def make(evidence: Evidence) -> Part:
    table = evidence.once(_table)
    rows = records(table)
    return Part(
        facts=Facts(rows, [asdict(each) for each in evidence.answers["generalization"]]),
        is_shown=bool(rows),
        tables={"generalization": table} if rows else {},
    )


def answers(evidence: Evidence) -> list[Answer]:
    """For each variant with a home what it loses on every other set."""
    rows = [row for row in records(evidence.once(_table)) if row["gap"] is not None]
    adjusted = holm_over([Tested(p_value=row["gap_p"], too_few=row["gap_too_few"]) for row in rows])
    found = [row | {"p_adjusted": p} for row, p in zip(rows, adjusted, strict=True)]
    own = {name: [row for row in found if row["variant"] == name] for name in evidence.names}
    return [_answer(evidence, name, rows) for name, rows in own.items() if rows]


def _answer(evidence: Evidence, name: str, rows: list[Row]) -> Answer:
    metric, margin, home = evidence.primary, evidence.spec["margin"] or 0.0, rows[0]["trained_on"]
    claims = [
        verdict(row["gap_ci_low"], row["gap_ci_high"], row["p_adjusted"], margin, row["gap_too_few"]) for row in rows
    ]
    where = {row["evaluation"]: said for row, said in zip(rows, claims, strict=True)}
    groups = alike({name: said.text for name, said in where.items()})
    claim = "; ".join(f"{text} on {listed(names)}" if len(rows) > 1 else text for names, text in groups)
    shown = [
        f"{verb(metric, kind)} on {listed(names)}"
        for names, kind in alike({name: said.kind for name, said in where.items()})
        if kind in ("loses", "gains")
    ]
    effect = "; ".join(f"{amount(metric, *_ends(row))} on {row['evaluation']}" for row in rows)
    images = listed(f"{counted(row['n_images'], 'image')} of {row['evaluation']}" for row in rows)
    images += mean_over(evidence.study.target)
    label = f"trained on {home}" if name == home else f"{evidence.label(name)}, trained on {home}"
    return Answer(
        evaluation=evidence.first,
        variant=name,
        label=label[:1].upper() + label[1:],
        effect=effect,
        rest=f"against the test part of its own set ({counted(rows[0]['n_seeds'], 'seed')}; {images}; Holm over the "
        f"gaps of the study): {claim}.",
        claim=claim,
        may=f"For new trainings and new images of both sets, it {listed(shown)} (mean {evidence.metric.label})."
        if shown
        else f"It is not shown {verb(metric, 'to lose or to gain')} in mean {evidence.metric.label} elsewhere.",
        not_shown="why: how hard the images of a set are, and how they were outlined, is part of every gap.",
        brief=f" (trained on {home}): {effect}, against its own set: {claim}.",
        abstract=" ".join(
            f"Trained on {home} and tested on {row['evaluation']}, {name} {sentence(metric, *_ends(row))} against the "
            f"test part of its own set: {said.text}."
            for row, said in zip(rows, claims, strict=True)
        ),
    )


def _ends(row: Row) -> tuple[float, float | None, float | None, str | None]:
    return row["gap"], row["gap_ci_low"], row["gap_ci_high"], row["gap_too_few"]


def _table(evidence: Evidence) -> pd.DataFrame:
    return generalization_table(evidence.study, evidence.cells)


def generalization_table(study: Study, cells: Cells) -> pd.DataFrame:
    """One row per variant and set of images as they are, on the primary metric; empty where all test one data set.

    A variant's home is its first evaluation on the set that it was trained on. `gap` is by how much it scores worse
    elsewhere than at home, positive in either direction of the metric: the same trainings on two samples of images, so
    that how hard the images of each set are is part of it. Its interval (95 %) is for new trainings and new images of
    both sets.

    Columns: study, variant, trained_on, evaluation, dataset, is_home, n_seeds, n_images, mean, ci_low, ci_high, gap,
    gap_ci_low, gap_ci_high, gap_p, gap_too_few, trials; None where there is no home or no gap to speak of. Without an
    interval gap_too_few says what there should be more of.
    """
    tested = {name: dataset for name, dataset in study.spec["datasets"].items() if name not in study.repeated}
    if len(set(tested.values())) < 2:
        return pd.DataFrame()
    primary = study.spec["primary"]
    rows: list[dict[str, Any]] = []
    for variant, known in study.spec["variants"].items():
        trained_on = known["settings"].get("dataset")
        home = next((e for e, name in tested.items() if name == trained_on and (e, variant) in cells), None)
        for evaluation, dataset in tested.items():
            if (cell := cells.get((evaluation, variant))) is None:
                continue
            table = cell.tables[primary]
            summary = summarize(table.to_numpy(), bounds=KNOWN[primary].bounds, groups=cell.labels(table))
            row = {
                "study": study.name,
                "variant": variant,
                "trained_on": trained_on,
                "evaluation": evaluation,
                "dataset": dataset,
                "is_home": evaluation == home,
                "n_seeds": summary.n_seeds,
                "n_images": summary.n_images,
                "mean": summary.mean,
                "ci_low": summary.ci_low,
                "ci_high": summary.ci_high,
            }
            at_home = None if home is None or evaluation == home else cells[home, variant]
            rows.append({**row, **_gap(at_home, cell, primary), "trials": cell.trials})
    return pd.DataFrame(rows)


def _gap(home: Cell | None, away: Cell, primary: str) -> dict[str, Any]:
    names = ("gap", "gap_ci_low", "gap_ci_high", "gap_p", "gap_too_few")
    if home is None or not len(seeds := home.tables[primary].index.intersection(away.tables[primary].index)):
        return dict.fromkeys(names)
    metric = KNOWN[primary]
    first, second = (home, away) if metric.higher_is_better else (away, home)
    tables = [cell.tables[primary].loc[seeds] for cell in (first, second)]
    found = gap(
        *map(np.asarray, tables),
        bounds=metric.bounds,
        first_groups=first.labels(tables[0]),
        second_groups=second.labels(tables[1]),
    )
    return dict(zip(names, (found.gap, found.ci_low, found.ci_high, found.p_value, found.too_few), strict=True))


SECTION = Section(
    name="generalization",
    title="Other sources",
    make=make,
    asks="generalization",
    lead="On images of other sources",
    answers=answers,
)
