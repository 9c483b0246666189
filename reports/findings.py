"""What the evaluations beyond the clean one say, in a sentence a variant: under artifacts, and on other sources."""

from .evidence import Evidence, Row
from .notes import counted, digits_of, heading, signed


def under_artifacts(evidence: Evidence, rows: list[Row]) -> list[dict[str, str]]:
    """For each variant: under which artifact it loses most, and by how much, and where it loses otherwise than the
    baseline. Keys: variant, text."""
    metric, digits = heading(evidence.primary), digits_of(evidence.primary)
    found: list[dict[str, str]] = []
    for variant in evidence.names:
        own = [row for row in rows if row["variant"] == variant]
        if not own:
            continue
        worst = max(own, key=lambda row: row["drop"])
        text = f"loses most under {_name(worst)}: {metric} lost {_spread(worst, 'drop', 'drop_ci', digits)}."
        known = [row for row in own if row["more_ci_low"] is not None]
        if known:
            less = [row for row in known if row["more_ci_high"] < 0]
            more = [row for row in known if row["more_ci_low"] > 0]
            text += _against(evidence.baseline, less, more, len(known), digits)
        found.append({"variant": variant, "text": text})
    return found


def elsewhere(evidence: Evidence, rows: list[Row]) -> list[dict[str, str]]:
    """For each variant with a home: what it loses on the source where it loses most. Keys: variant, text."""
    metric, digits = heading(evidence.primary), digits_of(evidence.primary)
    found: list[dict[str, str]] = []
    for variant in evidence.names:
        own = [row for row in rows if row["variant"] == variant and row["gap"] is not None]
        if not own:
            continue
        worst = max(own, key=lambda row: row["gap"])
        verb = "loses most on" if len(own) > 1 else "on"
        text = (
            f"trained on {worst['trained_on']}, {verb} {worst['evaluation']}: against home, {metric} lost "
            f"{_spread(worst, 'gap', 'gap_ci', digits)}"
        )
        shown = worst["gap_ci_low"] is not None and (worst["gap_ci_low"] > 0 or worst["gap_ci_high"] < 0)
        if not shown:
            text += "; that it loses or gains anything is not shown"
        elif worst["gap"] < 0:
            text += "; it scores better there, whose images may be easier"
        found.append({"variant": variant, "text": text + "."})
    return found


def _name(row: Row) -> str:
    return f"{row['artifact']} {row['severity']}"


def _spread(row: Row, key: str, ends: str, digits: int) -> str:
    if row[f"{ends}_low"] is None:
        return f"{signed(row[key], digits)} (no interval with {row[f'{key}_too_few']})"
    return f"{signed(row[key], digits)} [{signed(row[f'{ends}_low'], digits)}, {signed(row[f'{ends}_high'], digits)}]"


def _against(baseline: str, less: list[Row], more: list[Row], n_known: int, digits: int) -> str:
    if not less and not more:
        return f" In no condition, of {n_known}, is it seen to lose less or more than {baseline}."
    parts: list[str] = []
    for word, rows in (("less", less), ("more", more)):
        named = [f"{_name(row)} ({signed(row['more_drop'], digits)})" for row in rows[:4]]
        others = f" and {len(rows) - 4} more" if len(rows) > 4 else ""
        parts += [f"{word} under {', '.join(named)}{others}"] if rows else []
    among = counted(n_known, "condition")
    return f" Against {baseline} it loses {', and '.join(parts)}, of {among} (intervals not corrected)."
