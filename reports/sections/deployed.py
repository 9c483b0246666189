"""What a study's trained models cost and lose where they are to be used, machine by machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..drawing import PAPER, as_svg, colour_of, drawing, height_of, lines_of, log_along, write_lines
from ..evidence import Evidence
from ..load import Study
from ..machines import Machine, fastest, image_ms, integer_score, model_of, single, variants_of
from ..notes import counted, number, signed
from ..section import Part, Section

DICE_DIGITS = 4  # losses are often below a thousandth
MARKERS = {"fp32": "o", "fp16": "s", "bf16": "D", "int8": "o"}  # by number format; integers are hollow


@dataclass(frozen=True, slots=True)
class Facts:
    deployment: list[Machine]
    """A machine after the other, with `sentences`."""


def make(evidence: Evidence) -> Part:
    study, machines = evidence.study, evidence.machines
    tables: dict[str, pd.DataFrame] = {}
    excerpts: dict[str, pd.DataFrame] = {}
    if machines:
        tables["deployment"], excerpts["deployment"] = timings_table(study, machines), excerpt(study, machines)
        if len(changed := scores_table(study, machines)):
            tables["deployment-scores"] = changed
    return Part(
        facts=Facts([each | {"sentences": sentences(study, each)} for each in machines]),
        is_shown=bool(machines),
        figures={
            name: draw(single(machine), evidence.names, evidence.id(name))
            for position, machine in enumerate(machines, start=1)
            for name in [f"deployment-{position}"]
        },
        tables=tables,
        excerpts=excerpts,
        warnings=tuple(evidence.machines_left_out),
    )


def sentences(study: Study, machine: Machine) -> list[dict[str, str]]:
    """For each variant: where it is fastest, how that compares, and what integers change. Keys: variant, text."""
    return [
        {"variant": variant, "text": f"{_speed(machine, variant)} {_integers(study, machine, variant)}"}
        for variant in variants_of(machine)
    ]


def _speed(machine: Machine, variant: str) -> str:
    row = fastest(machine, variant, integers=False)
    if row is None:
        return "was not timed in floating point."
    text = f"is fastest in {row['runtime']}: {number(image_ms(row), 2)} ms an image ({row['dtype']})"
    if variant != machine["baseline"] and row["best_ratio"] is not None:
        other, ratio = f"{machine['baseline']}'s fastest", number(row["best_ratio"])
        low, high = row["best_ratio_low"], row["best_ratio_high"]
        if low is not None and high is not None and low <= 1 <= high:
            text += f"; no difference in time to {other} is shown ({ratio} times {_interval(low, high, number)})"
        else:
            text += f", {ratio} times {_interval(low, high, number)} as long as {other}"
    return text + ("" if row["joules"] is None else f"; {number(row['joules'])} J an image") + "."


def _interval(low: float | None, high: float | None, say: Callable[[float], str]) -> str:
    return "(no interval)" if low is None or high is None else f"[{say(low)}, {say(high)}]"


def _integers(study: Study, machine: Machine, variant: str) -> str:
    """In 8-bit integers: Dice, the file, and the time."""
    score = integer_score(machine, variant, study.spec["evaluations"][0])
    timed = fastest(machine, variant, integers=True)
    model = model_of(machine, variant, score["trial"] if score else None)
    parts = [_loss(study, score) if score else "what it loses in Dice was not measured"]
    if model["onnx_mb"] is not None and model["int8_mb"] is not None:
        verb = "shrinks" if model["int8_mb"] < model["onnx_mb"] else "grows"
        parts.append(f"its file {verb} from {number(model['onnx_mb'], 1)} to {number(model['int8_mb'], 1)} MB")
    if timed:
        parts.append(f"an image takes {number(image_ms(timed), 2)} ms ({timed['runtime']})")
    if not score and len(parts) == 1:
        return "It was not tried in 8-bit integers."
    return f"In 8-bit integers {'; '.join(parts)}."


def _loss(study: Study, score: dict[str, Any]) -> str:
    """What the integers cost this checkpoint in Dice, decided by the interval and by the study's margin."""
    where = f"in {score['runtime']} on {counted(score['n_images'], 'image')} of {score['evaluation']}"
    change, low, high = score["difference"], score["ci_low"], score["ci_high"]
    if low is None or high is None:
        return f"this checkpoint changes by {_signed(change)} Dice {where} (no interval)"
    margin = (study.spec["margin"] if study.spec["primary"] == "dice" else None) or 0.0
    is_within = margin > 0 and -margin <= low and high <= margin
    end = f", within the margin of {margin}" if is_within else ""
    if low <= 0 <= high:
        change = f"{_signed(change)} {_interval(low, high, _signed)}"
        end = end or ", which does not show that there is none"
        return f"no loss of Dice is shown for this checkpoint {where} ({change}){end}"
    verb, ends = ("gains", (low, high)) if low > 0 else ("loses", (-high, -low))
    if margin and high < -margin:
        end = f", more than the margin of {margin}"
    return f"this checkpoint {verb} {_plain(abs(change))} Dice {_interval(*ends, _plain)} {where}{end}"


def _signed(value: float) -> str:
    return signed(value, DICE_DIGITS)


def _plain(value: float) -> str:
    return number(value, DICE_DIGITS)


def timings_table(study: Study, machines: Sequence[Machine]) -> pd.DataFrame:
    """One row a timing: study, machine_id, machine, instructions, the model (variant, trial, seed, parameters, macs,
    activation_mb, weights_mb, onnx_mb, int8_mb; of its first trial there), and the timing as in the file."""
    rows: list[dict[str, Any]] = []
    for machine in machines:
        for row in machine["latency"]:
            timing = {key: value for key, value in row.items() if key != "model"}
            rows.append(_of(study, machine) | model_of(machine, row["model"]) | timing)
    return pd.DataFrame(rows)


def scores_table(study: Study, machines: Sequence[Machine]) -> pd.DataFrame:
    """One row a score: study, machine_id, machine, instructions, and the score as in the file, `worst` as
    "image difference; ..."."""
    rows = [(machine, score) for machine in machines for score in machine["scores"]]
    return pd.DataFrame(
        [
            _of(study, machine)
            | score
            | {"worst": "; ".join(f"{each['image']} {each['difference']}" for each in score["worst"])}
            for machine, score in rows
        ]
    )


def _of(study: Study, machine: Machine) -> dict[str, str | None]:
    where = {"machine": machine["machine"], "instructions": machine["instructions"]}
    return {"study": study.name, "machine_id": machine["id"]} | where


def excerpt(study: Study, machines: Sequence[Machine]) -> pd.DataFrame:
    """A row a machine and variant, as text for print: its fastest runtime, its files, and Dice lost to the integers."""
    rows: list[dict[str, str]] = []
    for machine in machines:
        for variant in variants_of(machine):
            row = fastest(machine, variant, integers=False)
            score = integer_score(machine, variant, study.spec["evaluations"][0])
            model = model_of(machine, variant)
            ratio = row and row["best_ratio"] is not None and variant != machine["baseline"]
            ends = row and _interval(row["best_ratio_low"], row["best_ratio_high"], number)
            change = score and _interval(score["ci_low"], score["ci_high"], _signed)
            rows.append(
                {
                    "machine": machine["machine"],
                    "variant": variant,
                    "fastest runtime": f"{row['runtime']}, {row['dtype']}" if row else "–",
                    "ms": number(image_ms(row), 2) if row else "–",
                    "ratio to the baseline's, 95 % CI": f"{number(row['best_ratio'])} {ends}" if row and ratio else "–",
                    "ONNX, MB": number(model["onnx_mb"], 1),
                    "int8, MB": number(model["int8_mb"], 1),
                    "Dice in int8, 95 % CI": f"{_signed(score['difference'])} {change}" if score else "–",
                }
            )
    return pd.DataFrame(rows)


def draw(rows: Sequence[dict[str, Any]], variants: Sequence[str], name: str) -> str:
    """Time of an image by runtime and variant, the fastest runtime first: medians with whiskers from the 5th to the
    95th percentile; in each line integers are hollow, and below floating point.

    Args:
        rows: of a machine's timings, at one batch size: model, runtime, dtype, batch, median_ms, p5_ms, p95_ms.
        variants: every variant of the study in order, which fixes the colours.
        name: unique in the page.
    """
    fastest = sorted(rows, key=lambda row: row["median_ms"])
    runtimes = list(dict.fromkeys(row["runtime"] for row in fastest))
    dtypes = sorted({row["dtype"] for row in rows}, key=list(MARKERS).index)
    timed = {(row["runtime"], row["model"]) for row in rows}
    at = lines_of([pair for runtime in runtimes for variant in variants if (pair := (runtime, variant)) in timed])
    with drawing(1, 1, height_of(at)) as (figure, (axis,)):
        times: list[float] = []
        for row in rows:
            y = at[row["runtime"], row["model"]]
            y += 0.3 * (dtypes.index(row["dtype"]) - (len(dtypes) - 1) / 2)
            low, x, high = (row[key] / row["batch"] for key in ("p5_ms", "median_ms", "p95_ms"))
            colour = colour_of(variants.index(row["model"]))
            face = PAPER if row["dtype"] == "int8" else colour
            axis.plot([low, high], [y, y], color=colour, linewidth=1.2)
            axis.plot(x, y, MARKERS[row["dtype"]], color=colour, markerfacecolor=face, markersize=5)
            times += [low, x, high]
        write_lines(axis, at)
        log_along(axis, times, n_ticks=9)
        axis.set_xlabel("time of an image (ms, log)")
        return as_svg(figure, name, "Time of an image by runtime and variant")


SECTION = Section(name="deployed", title="Deployment", make=make)
