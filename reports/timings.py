"""How long a study's models take. `medbench run` times them in turns, once a machine, with intervals; stores of older
versions hold timings of single trials, without.

The files may come from anywhere: they are checked here, and what is checked is plain values.
"""

from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ..bench.stats import Ratio, paired_ratio
from .load import Study

Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Time = Annotated[float, Field(ge=1e-6, le=1e9)]  # above 0, for it goes on a log axis
Count = Annotated[int, Field(ge=1, le=10**9)]
KEPT = ("runtime", "device", "threads", "dtype", "batch", "size", "n", "median_ms", "p5_ms", "p95_ms")
RATIO = ("ratio", "ratio_low", "ratio_high")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class _Row(_Part):
    model: Text
    runtime: Text
    device: Text
    threads: Count
    dtype: Text
    batch: Count
    size: Count
    n: Count
    median_ms: Time
    p5_ms: Time
    p95_ms: Time
    instance_ms: Annotated[list[Time], Field(min_length=2, max_length=100)]


class _Model(_Part):
    trial: Text


class _Timing(_Part):
    study: Text
    baseline: Text
    models: dict[Text, _Model]
    rows: Annotated[list[_Row], Field(min_length=1, max_length=1000)]


Timing = dict[str, Any]
"""The plain values of a `_Timing`: `baseline` is the model that ratios refer to."""


def load_timings(study: Study) -> tuple[list[Timing], list[str]]:
    """What was timed, a machine after the other, and a sentence for each file that was left out. A copy of a file in
    another store counts once."""
    found: dict[bytes, Timing] = {}
    left_out: list[str] = []
    for path in study.timings:
        name = "/".join(path.parts[-3:])
        try:
            content = path.read_bytes()
            timing = _Timing.model_validate_json(content).model_dump()
        except OSError as error:
            left_out.append(f"Left out, what was timed: {name}: it cannot be read ({error.strerror}).")
            continue
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            left_out.append(f"Left out, what was timed: {name}: {'.'.join(map(str, first['loc']))}: {first['msg']}.")
            continue
        known = {variant: {entry["trial"] for entry in each["trials"]} for variant, each in _variants(study).items()}
        strange = [each for each, model in timing["models"].items() if model["trial"] not in known.get(each, ())]
        named = [timing["baseline"], *(row["model"] for row in timing["rows"])]
        strange += [each for each in named if each not in timing["models"]]
        if strange:
            left_out.append(f"Left out, what was timed: {name}: {strange[0]!r} is none of the study.")
            continue
        found.setdefault(content, timing)
    return list(found.values()), left_out


def _variants(study: Study) -> dict[str, Any]:
    return study.spec["variants"]


def ratio_of(timing: Timing, a: str, b: str, batch: int = 1) -> Ratio | None:
    """The time of a over that of b, images a pass; None where one of them was not timed so."""
    times = {row["model"]: row["instance_ms"] for row in timing["rows"] if row["batch"] == batch}
    if a not in times or b not in times or len(times[a]) != len(times[b]):
        return None
    return paired_ratio(times[a], times[b])


def latency_table(study: Study) -> pd.DataFrame:
    """Every timing, those in turns first: variant, trial, runtime, device, threads, dtype, batch, size, n, *_ms, ratio
    (to the baseline; None of itself and of trials that were timed one by one), ratio_low, ratio_high."""
    rows: list[dict[str, Any]] = []
    for timing in load_timings(study)[0]:
        for row in timing["rows"]:
            name, base = row["model"], timing["baseline"]
            found = None if name == base else ratio_of(timing, name, base, row["batch"])
            ratio = (found.ratio, found.low, found.high) if found else (None, None, None)
            told = {"variant": name, "trial": timing["models"][name]["trial"]} | {key: row[key] for key in KEPT}
            rows.append(told | dict(zip(RATIO, ratio, strict=True)))
    empty = dict.fromkeys(RATIO)
    rows += [
        {"variant": t.variant, "trial": t.id} | {key: row.get(key) for key in KEPT} | empty
        for t in study.trials
        for row in t.latency
    ]
    return pd.DataFrame(rows)


def headline_timing(study: Study) -> Timing | None:
    """The timing that a page opens with: of most variants, among equals in half precision, for only accelerators are
    timed in it."""
    timings = [each for each in load_timings(study)[0] if any(row["batch"] == 1 for row in each["rows"])]
    order = [(-len(each["models"]), each["rows"][0]["dtype"] == "fp32", each["rows"][0]["device"]) for each in timings]
    return timings[order.index(min(order))] if timings else None


def headline(study: Study) -> dict[str, dict[str, Any]]:
    """One latency a variant, an image at a time and all under one condition: latency_ms, latency_at (the condition),
    latency_over (whose time the ratio is to; None where there is no interval), latency_ratio, latency_low,
    latency_high."""
    timing = headline_timing(study)
    if timing is None:
        return _of_trials(study)
    rows = [row for row in timing["rows"] if row["batch"] == 1]
    sides = {row["size"] for row in rows}
    size = f"{rows[0]['size']} × {rows[0]['size']}" if len(sides) == 1 else "each at its input size"
    where = f"{rows[0]['device']}, {rows[0]['runtime']}, {rows[0]['dtype']}, {size}, batch 1"
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        name, base = row["model"], timing["baseline"]
        ratio = None if name == base else ratio_of(timing, name, base)
        found[name] = {"latency_ms": row["median_ms"], "latency_at": where, "latency_over": base} | {
            "latency_ratio": ratio.ratio if ratio else 1.0,
            "latency_low": ratio and ratio.low,
            "latency_high": ratio and ratio.high,
        }
    return found


NOT_TIMED: dict[str, Any] = dict.fromkeys(
    ("latency_ms", "latency_at", "latency_over", "latency_ratio", "latency_low", "latency_high")
)


def _of_trials(study: Study) -> dict[str, dict[str, Any]]:
    """The same of timings of single trials: the condition that most variants were timed in."""
    rows = [{"variant": t.variant, **row} for t in study.trials for row in t.latency if row["batch"] == 1]
    if not rows:
        return {}
    grouped: Any = pd.DataFrame(rows).groupby(["device", "runtime", "dtype", "size"])
    groups = sorted(grouped, key=lambda item: (-item[1]["variant"].nunique(), item[0][2] == "fp32", item[0]))
    (device, runtime, dtype, size), best = groups[0]
    where = f"{device}, {runtime}, {dtype}, {size} × {size}, batch 1"
    medians = best.groupby("variant")["median_ms"].median()  # over the variant's timed trials
    return {variant: NOT_TIMED | {"latency_ms": value, "latency_at": where} for variant, value in medians.items()}
