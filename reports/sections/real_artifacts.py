"""Real artifacts: test images that people marked as hairy, ruled or inked, against those without; and those whose
lesion hardly stands out, against the others."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy import optimize, sparse  # pyright: ignore[reportMissingTypeStubs]
from scipy.sparse import csgraph  # pyright: ignore[reportMissingTypeStubs]

from ...bench.stats import Labels, compare, gap, paired_gap
from ..evidence import Evidence, Row
from ..load import Study
from ..section import Part, Section
from ..tables import KNOWN, Cell, Cells, records

LEAST = 10  # images in each stratum
CALIPER = 0.25  # standard deviations that matched images may lie apart
LOW_CONTRAST = "low contrast"
LOWEST = 0.25  # ours: the share of the annotated images whose contrast is called low

DIFFERENCES = {  # columns, by the key of the study that names what is compared with
    "baseline": ("difference", "difference_ci_low", "difference_ci_high"),
    "compare_with": ("compared_difference", "compared_ci_low", "compared_ci_high"),
}


@dataclass(frozen=True, slots=True)
class Facts:
    strata: list[Row]
    """The rows of `strata_table`."""


def make(evidence: Evidence) -> Part:
    table = strata_table(evidence.study, evidence.cells)
    rows = records(table)
    by_stratum: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        by_stratum.setdefault((row["evaluation"], row["artifact"]), {})[row["variant"]] = row
    return Part(
        facts=Facts(rows),
        is_shown=bool(rows),
        tables={"strata": table} if rows else {},
        view={"strata": [*by_stratum.values()]},
    )


def strata_table(study: Study, cells: Cells) -> pd.DataFrame:
    """One row per annotated evaluation, artifact and variant, on the primary metric; artifacts with ten images or more
    in either stratum. After the artifacts comes low contrast, which is none: the images whose lesion stands out from
    the skin around it by `contrast_at_most` or less, a quarter of those annotated.

    `lost` is by how much images with the artifact score worse than those without, positive in either direction of the
    metric. The images are others, so their lesions are too: the difference is confounded. `matched_lost` is the same
    over pairs of images with lesions of like size and contrast (`match`), for low contrast of like size alone.
    `difference` is variant - baseline on the very images with the artifact, and `compared_difference` the same against
    the study's `compare_with`. All intervals are for new trainings and new images, 95 %, and exploratory: they are not
    adjusted for their number.

    Columns: study, evaluation, artifact, contrast_at_most (None but for low contrast), variant, n_with, n_without,
    mean_with, mean_without, lost, lost_ci_low, lost_ci_high, n_pairs, matched_lost, matched_ci_low, matched_ci_high,
    difference, difference_ci_low, difference_ci_high; compared_difference, compared_ci_low, compared_ci_high only where
    the study has `compare_with`; trials.
    """
    primary = study.spec["primary"]
    metric = KNOWN[primary]
    rows: list[dict[str, Any]] = []
    for (evaluation, variant), cell in cells.items():
        known = study.annotations.get(evaluation, {})
        lesions = known.get("lesions", {})
        table: Any = cell.tables[primary]
        for stratum in _strata(known):
            having, lacking = (
                [image for image in table if image in side] for side in (stratum.having, stratum.lacking)
            )
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
            sides = ({image: lesions[image] for image in side} for side in (having, lacking))
            pairs = match(*sides, by_contrast=stratum.contrast_at_most is None)
            rows.append(
                {
                    "study": study.name,
                    "evaluation": evaluation,
                    "artifact": stratum.name,
                    "contrast_at_most": stratum.contrast_at_most,
                    "variant": variant,
                    "n_with": len(having),
                    "n_without": len(lacking),
                    "mean_with": table[having].to_numpy().mean(),
                    "mean_without": table[lacking].to_numpy().mean(),
                    "lost": found.gap,
                    "lost_ci_low": found.ci_low,
                    "lost_ci_high": found.ci_high,
                    **_matched(cell, pairs, primary),
                    **_within(study, cells, evaluation, variant, having),
                    "trials": cell.trials,
                }
            )
    order = {
        key: place for place, key in enumerate(dict.fromkeys((row["evaluation"], row["artifact"]) for row in rows))
    }
    return pd.DataFrame(sorted(rows, key=lambda row: order[row["evaluation"], row["artifact"]]))


@dataclass(frozen=True, slots=True)
class _Stratum:
    name: str
    having: Collection[str]
    lacking: Collection[str]
    contrast_at_most: float | None = None


def _strata(known: Mapping[str, Any]) -> Iterator[_Stratum]:
    """The annotated images with each artifact and those without, and those of low contrast and the others. Where the
    lesion has no contrast, for want of skin around it, an image is neither."""
    lesions = known.get("lesions", {})
    for artifact, marked in known.get("flags", {}).items():
        yield _Stratum(artifact, {*marked} & lesions.keys(), lesions.keys() - {*marked})
    contrasts = {image: each["contrast"] for image, each in lesions.items() if each["contrast"] is not None}
    if contrasts:
        most = float(np.quantile([*contrasts.values()], LOWEST))
        low = {image for image, contrast in contrasts.items() if contrast <= most}
        yield _Stratum(LOW_CONTRAST, low, contrasts.keys() - low, most)


Lesions = Mapping[str, Mapping[str, float | None]]


def match(having: Lesions, lacking: Lesions, *, by_contrast: bool = True) -> list[tuple[str, str]]:
    """Pairs of an image with and one without the artifact, whose lesions are alike in size and, with `by_contrast`, in
    contrast.

    Each image is used once at most. Of all such pairings the one with the least sum of distances is taken; distances
    are Euclidean, in standard deviations (over all images) of the logarithm of the lesion's share of the image and of
    its contrast, and pairs more than a quarter apart are dropped.

    Source: optimal matching, Rosenbaum (1989), JASA 84(408).
    """
    a, b = _traits(having, by_contrast), _traits(lacking, by_contrast)
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


def _traits(lesions: Lesions, by_contrast: bool) -> dict[str, tuple[float, ...]]:
    return {
        image: (float(np.log(area)), contrast) if by_contrast else (float(np.log(area)),)
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


def _within(study: Study, cells: Cells, evaluation: str, variant: str, images: list[str]) -> dict[str, Any]:
    """How a variant differs from the baseline, and from `compare_with`, on these images alone."""
    primary, own = study.spec["primary"], cells[evaluation, variant]
    row: dict[str, Any] = {}
    for key, names in DIFFERENCES.items():
        if (other := study.spec[key]) is None:
            continue
        row |= dict.fromkeys(names)
        against = cells.get((evaluation, other))
        if against is None or variant not in study.compared(other):
            continue
        shared = [image for image in images if image in against.tables[primary]]
        if len(shared) >= LEAST:
            pair = (each.tables[primary][shared].to_numpy() for each in (own, against))
            found = compare(*pair, bounds=KNOWN[primary].bounds, groups=own.labels(shared))
            row |= dict(zip(names, (found.difference, found.ci_low, found.ci_high), strict=True))
    return row


SECTION = Section(name="real_artifacts", title="Real artifacts", make=make)
