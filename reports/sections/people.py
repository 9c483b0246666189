"""The human ceiling: how far two people agree on the test images, beside the models' scores on the same images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...bench.stats import paired_gap
from ..evidence import Evidence, Row
from ..load import Study
from ..section import Part, Section
from ..tables import KNOWN, Cells, records

COMPARED = ("dice", "iou")  # what is known between people
TOOLS = {"T1": "by hand (T1)", "T2": "flood fill (T2)", "T3": "automatic (T3)"}  # of ISIC's masks, as IMA++ codes them


@dataclass(frozen=True, slots=True)
class Facts:
    agreement: list[Row]
    """The rows of `agreement_table`."""
    tools: dict[str, list[Row]]
    """By evaluation, `by_tools`."""


def make(evidence: Evidence) -> Part:
    study = evidence.study
    table = agreement_table(study, evidence.cells)
    rows = records(table)
    tools = {row["evaluation"]: by_tools(study, row["evaluation"], row["metric"]) for row in rows}
    return Part(
        facts=Facts(rows, tools),
        is_shown=bool(rows),
        tables={"agreement": table} if rows else {},
    )


def agreement_table(study: Study, cells: Cells) -> pd.DataFrame:
    """One row for the people and one per variant, on each evaluation with images that two people or more outlined.

    People's score is Dice, or IoU where that is the primary metric, between two masks of an image, first averaged over
    the image's pairs. `more` is by how much a variant agrees more with the reference than two people with each other,
    paired by image, with its 95 % interval for new trainings and new images.

    Columns: study, evaluation, who ("two people" or the variant), metric, n_images, n_pairs (people), mean, more,
    more_ci_low, more_ci_high, trials (None for people).
    """
    rows: list[dict[str, Any]] = []
    metric = study.spec["primary"] if study.spec["primary"] in COMPARED else "dice"
    for evaluation, known in study.annotations.items():
        pairs: Any = pd.DataFrame(known.get("agreement", []), columns=["image", "dice", "iou", "tools"])
        tested = {variant: cell for (name, variant), cell in cells.items() if name == evaluation}
        people: Any = pairs.groupby("image")[metric].mean()
        images = [i for i in people.index if all(i in cell.tables[metric] for cell in tested.values())]
        if not images or not tested:
            continue
        people = people.loc[images]
        shared = {"study": study.name, "evaluation": evaluation, "metric": metric, "n_images": len(images)}
        n_pairs = int(pairs["image"].isin(images).sum())
        rows.append({**shared, "who": "two people", "n_pairs": n_pairs, "mean": float(people.mean())})
        for variant, cell in tested.items():
            scores = np.asarray(cell.tables[metric].loc[:, images])
            more = paired_gap(
                scores,
                np.broadcast_to(people, scores.shape),
                bounds=KNOWN[metric].bounds,
                groups=cell.labels(images),
            )
            rows.append(
                {
                    **shared,
                    "who": variant,
                    "mean": float(scores.mean()),
                    "more": more.gap,
                    "more_ci_low": more.ci_low,
                    "more_ci_high": more.ci_high,
                    "trials": cell.trials,
                }
            )
    return pd.DataFrame(rows)


def by_tools(study: Study, evaluation: str, metric: str) -> list[dict[str, Any]]:
    """Agreement of people by the two tools that they drew with, over all pairs that are known, also of images that some
    variant was not tested on: tools, n_pairs, mean, sd (over pairs; None of one)."""
    pairs = study.annotations.get(evaluation, {}).get("agreement", [])
    groups: dict[str, list[float]] = {}
    for pair in pairs:
        tools = [TOOLS.get(tool) or str(tool) for tool in pair["tools"]]
        name = f"both {tools[0]}" if len(set(tools)) == 1 else " and ".join(tools)
        groups.setdefault(name, []).append(pair[metric])
    return [
        {
            "tools": tools,
            "n_pairs": len(values),
            "mean": float(np.mean(values)),
            "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        }
        for tools, values in sorted(groups.items())
    ]


SECTION = Section(name="people", title="People", make=make)
