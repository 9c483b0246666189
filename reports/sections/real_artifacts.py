"""Real artifacts: test images that people marked as hairy, ruled or inked, against those without."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy import optimize, sparse  # pyright: ignore[reportMissingTypeStubs]
from scipy.sparse import csgraph  # pyright: ignore[reportMissingTypeStubs]

from ...bench.stats import Labels, gap, paired_gap
from ..evidence import Evidence, Row
from ..load import Study
from ..section import Part, Section
from ..tables import KNOWN, Cell, Cells, records

LEAST = 10  # images in each stratum
CALIPER = 0.25  # standard deviations that matched images may lie apart


@dataclass(frozen=True, slots=True)
class Facts:
    strata: list[Row]
    """The rows of `strata_table`."""


def make(evidence: Evidence) -> Part:
    table = strata_table(evidence.study, evidence.cells)
    rows = records(table)
    return Part(facts=Facts(rows), is_shown=bool(rows), tables={"strata": table} if rows else {})


def strata_table(study: Study, cells: Cells) -> pd.DataFrame:
    """One row per annotated evaluation, artifact and variant, on the primary metric; artifacts with ten images or more
    in either stratum.

    `lost` is by how much images with the artifact score worse than those without, positive in either direction of the
    metric. The images are others, so their lesions are too: the difference is confounded. `matched_lost` is the same
    over pairs of images with lesions of like size and contrast (`match`). Both intervals are for new trainings and new
    images, 95 %.

    Columns: study, evaluation, artifact, variant, n_with, n_without, mean_with, mean_without, lost, lost_ci_low,
    lost_ci_high, n_pairs, matched_lost, matched_ci_low, matched_ci_high, trials.
    """
    primary = study.spec["primary"]
    metric = KNOWN[primary]
    rows: list[dict[str, Any]] = []
    for (evaluation, variant), cell in cells.items():
        known = study.annotations.get(evaluation, {})
        lesions = known.get("lesions", {})
        table: Any = cell.tables[primary]
        annotated = [image for image in table if image in lesions]
        for artifact, marked in known.get("flags", {}).items():
            having = [image for image in annotated if image in set(marked)]
            lacking = [image for image in annotated if image not in set(marked)]
            if min(len(having), len(lacking)) < LEAST:
                continue
            first, second = (lacking, having) if metric.higher_is_better else (having, lacking)
            found = gap(
                table[first].to_numpy(),
                table[second].to_numpy(),
                bounds=metric.bounds,
                first_groups=cell.labels(first),
                second_groups=cell.labels(second),
            )
            pairs = match({i: lesions[i] for i in having}, {i: lesions[i] for i in lacking})
            rows.append(
                {
                    "study": study.name,
                    "evaluation": evaluation,
                    "artifact": artifact,
                    "variant": variant,
                    "n_with": len(having),
                    "n_without": len(lacking),
                    "mean_with": table[having].to_numpy().mean(),
                    "mean_without": table[lacking].to_numpy().mean(),
                    "lost": found.gap,
                    "lost_ci_low": found.ci_low,
                    "lost_ci_high": found.ci_high,
                    **_matched(cell, pairs, primary),
                    "trials": cell.trials,
                }
            )
    order = {
        key: place for place, key in enumerate(dict.fromkeys((row["evaluation"], row["artifact"]) for row in rows))
    }
    return pd.DataFrame(sorted(rows, key=lambda row: order[row["evaluation"], row["artifact"]]))


Lesions = Mapping[str, Mapping[str, float | None]]


def match(having: Lesions, lacking: Lesions) -> list[tuple[str, str]]:
    """Pairs of an image with and one without the artifact, whose lesions are alike in size and contrast.

    Each image is used once at most. Of all such pairings the one with the least sum of distances is taken; distances
    are Euclidean, in standard deviations (over all images) of the logarithm of the lesion's share of the image and of
    its contrast, and pairs more than a quarter apart are dropped.

    Source: optimal matching, Rosenbaum (1989), JASA 84(408).
    """
    a, b = _traits(having), _traits(lacking)
    if not a or not b:
        return []
    every = np.array([*a.values(), *b.values()])
    scale = np.maximum(every.std(axis=0), 1e-12)
    places = [np.array(list(each.values())) / scale for each in (a, b)]
    apart = np.linalg.norm(places[0][:, None] - places[1][None], axis=2)
    # A pair beyond the caliper costs more than any number of pairs within it, so as many as can be are formed.
    cost = np.where(apart <= CALIPER, apart, CALIPER * (len(a) + len(b)))
    rows, columns = cast(Any, optimize).linear_sum_assignment(cost)
    names = list(a), list(b)
    return [(names[0][i], names[1][j]) for i, j in zip(rows, columns, strict=True) if apart[i, j] <= CALIPER]


def _traits(lesions: Lesions) -> dict[str, tuple[float, float]]:
    return {
        image: (float(np.log(area)), contrast)
        for image, lesion in lesions.items()
        if (area := lesion["area"]) and (contrast := lesion["contrast"]) is not None
    }


def _matched(cell: Cell, pairs: list[tuple[str, str]], primary: str) -> dict[str, Any]:
    names = ("matched_lost", "matched_ci_low", "matched_ci_high")
    if len(pairs) < LEAST:
        return {"n_pairs": len(pairs), **dict.fromkeys(names)}
    metric, table = KNOWN[primary], cell.tables[primary]
    having, lacking = ([pair[side] for pair in pairs] for side in (0, 1))
    first, second = (lacking, having) if metric.higher_is_better else (having, lacking)
    found = paired_gap(
        table[first].to_numpy(), table[second].to_numpy(), bounds=metric.bounds, groups=_groups_of_pairs(cell, pairs)
    )
    return {"n_pairs": len(pairs), **dict(zip(names, (found.gap, found.ci_low, found.ci_high), strict=True))}


def _groups_of_pairs(cell: Cell, pairs: list[tuple[str, str]]) -> Labels | None:
    """Labels of pairs, for `paired_gap`: two pairs with images of one group have one label, and so has a chain of
    them. None where no image belongs together with another."""
    having, lacking = (cell.labels(side) for side in zip(*pairs, strict=True))
    if having is None or lacking is None:
        return None
    place = {label: n for n, label in enumerate(dict.fromkeys([*having, *lacking]))}
    rows, columns = ([place[label] for label in side] for side in (having, lacking))
    links = sparse.coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(place), len(place)))
    _, chains = cast(Any, csgraph).connected_components(links, directed=False)
    return chains[rows].tolist()


SECTION = Section(name="real_artifacts", title="Real artifacts", make=make)
