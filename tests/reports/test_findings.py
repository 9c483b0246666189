"""The sentences on artifacts and other sources say what the rows say, and no more."""

from types import SimpleNamespace
from typing import Any

import pytest

from medbench.reports.findings import elsewhere, under_artifacts

EVIDENCE: Any = SimpleNamespace(primary="dice", baseline="a", names=["a", "b"])


def drop(variant: str, severity: int, value: float, more: tuple[float, float, float] | None = None) -> dict[str, Any]:
    names = ("more_drop", "more_ci_low", "more_ci_high")
    row = {"artifact": "hair", "severity": severity, "variant": variant, "drop": value}
    row |= {"drop_ci_low": value - 0.01, "drop_ci_high": value + 0.01, "drop_too_few": None}
    return row | dict(zip(names, more or (None, None, None), strict=True))


def test_the_worst_artifact_and_what_differs_from_the_baseline() -> None:
    rows = [
        drop("a", 1, 0.02),
        drop("a", 3, 0.05),
        drop("b", 1, 0.01, (-0.01, -0.02, -0.001)),
        drop("b", 3, 0.08, (0.03, 0.02, 0.04)),
        drop("b", 5, 0.04, (0.001, -0.01, 0.01)),
    ]

    first, second = under_artifacts(EVIDENCE, rows)

    assert first == {"variant": "a", "text": "loses most under hair 3: Dice lost +0.050 [+0.040, +0.060]."}
    assert second["text"] == (
        "loses most under hair 3: Dice lost +0.080 [+0.070, +0.090]. Against a it loses less under hair 1 (−0.010), "
        "and more under hair 3 (+0.030), of 3 conditions (intervals not corrected)."
    )


def test_where_no_interval_leaves_zero_nothing_is_seen() -> None:
    rows = [drop("b", 1, 0.01, (-0.01, -0.02, 0.001))]

    (found,) = under_artifacts(EVIDENCE, rows)

    assert found["text"].endswith("In no condition, of 1, is it seen to lose less or more than a.")


@pytest.mark.parametrize(
    ("gap", "low", "high", "end"),
    [
        (0.1, 0.05, 0.15, "+0.100 [+0.050, +0.150]."),
        (0.1, -0.05, 0.25, "+0.100 [−0.050, +0.250]; that it loses or gains anything is not shown."),
        (-0.1, -0.15, -0.05, "−0.100 [−0.150, −0.050]; it scores better there, whose images may be easier."),
        (0.1, None, None, "+0.100 (no interval with 2 seeds); that it loses or gains anything is not shown."),
    ],
)
def test_the_gap_to_another_source(gap: float, low: float | None, high: float | None, end: str) -> None:
    row = {"variant": "a", "trained_on": "isic2018", "evaluation": "ph2", "gap": gap, "gap_too_few": "2 seeds"}
    home = {**row, "evaluation": "clean", "gap": None}

    (found,) = elsewhere(EVIDENCE, [home, row | {"gap_ci_low": low, "gap_ci_high": high}])

    assert found["text"] == f"trained on isic2018, on ph2: against home, Dice lost {end}"


def test_without_such_evaluations_nothing_is_said() -> None:
    assert under_artifacts(EVIDENCE, []) == elsewhere(EVIDENCE, []) == []
