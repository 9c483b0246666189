"""What `medbench deployment` measured of a study's trained models, on one machine or several: their speed in other
runtimes, their size, what 8-bit integers change, and energy.

The files may come from anywhere: they are checked here, and what is checked is plain values.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from .load import Study

INTEGERS = "int8"

Format = Literal["fp32", "fp16", "bf16", "int8"]
Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Count = Annotated[int, Field(ge=0, le=10**15)]
Amount = Annotated[float, Field(ge=0, le=1e9)]
Time = Annotated[float, Field(ge=1e-6, le=1e9)]  # above 0, for it goes on a log axis
Share = Annotated[float, Field(ge=-1, le=1)]


class _Part(BaseModel):
    """A part of a file: what it must hold is checked, what else it holds is left aside."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class _Model(_Part):
    variant: Text
    trial: Text
    seed: int
    parameters: Count | None
    macs: Count | None
    activation_mb: Amount | None
    weights_mb: Amount | None
    onnx_mb: Amount | None
    int8_mb: Amount | None


class _Timing(_Part):
    model: Text
    runtime: Text
    device: Text
    threads: Count | None
    dtype: Format
    batch: Annotated[int, Field(ge=1, le=10**6)]
    size: Count
    n: Count
    warm_up: Count
    median_ms: Time
    p5_ms: Time
    p95_ms: Time
    images_per_second: Amount
    paused_ms: Amount | None
    peak_mb: Amount | None
    joules: Amount | None
    ratio: Amount
    ratio_low: Amount | None
    ratio_high: Amount | None
    best_ratio: Amount | None
    best_ratio_low: Amount | None
    best_ratio_high: Amount | None


class _Image(_Part):
    image: Text
    difference: Share


class _Score(_Part):
    variant: Text
    trial: Text
    runtime: Text
    dtype: Format
    evaluation: Text
    n_images: Count
    dice: Share
    reference_dice: Share
    difference: Share
    ci_low: float | None
    ci_high: float | None
    worst: list[_Image]


class _Machine(_Part):
    study: Text
    baseline: Text
    machine: Text
    instructions: Text | None = None  # nothing in files from before integers were right on every processor
    versions: dict[Text, Text | None]
    energy: Annotated[str, Field(max_length=1000)] | None
    calibration_images: Count
    models: Annotated[list[_Model], Field(min_length=1, max_length=1000)]
    latency: Annotated[list[_Timing], Field(min_length=1, max_length=1000)]
    scores: Annotated[list[_Score], Field(max_length=1000)]


Machine = dict[str, Any]
"""The plain values of a `_Machine`, with `id` (the file's name) and a `machine` that no other of the study is called;
`baseline` is the model that ratios refer to."""


def load_machines(study: Study) -> tuple[list[Machine], list[str]]:
    """What was measured, a machine after the other, and a sentence for each file that was left out.

    A copy of a file in another store counts once; two files that differ are two, whatever they are called.
    """
    found: dict[bytes, Machine] = {}
    left_out: list[str] = []
    for path in study.deployment:
        try:
            content = path.read_bytes()
            if content not in found:
                machine = _Machine.model_validate_json(content).model_dump()
                _check(study, path.parent.name, machine)
                found[content] = {"id": path.stem} | machine
        except OSError as error:
            left_out.append(_note(path.parts, f"it cannot be read ({error.strerror})"))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            left_out.append(_note(path.parts, f"{where}: {first['msg']}" if where else first["msg"]))
        except ValueError as error:
            left_out.append(_note(path.parts, str(error)))
    machines = list(found.values())
    for position, machine in enumerate(machines):
        n_before = sum(other["machine"] == machine["machine"] for other in machines[:position])
        machine["label"] = machine["machine"] + (f" ({n_before + 1})" if n_before else "")
    return [machine | {"machine": machine.pop("label")} for machine in machines], left_out


def _note(parts: Sequence[str], why: str) -> str:
    return f"Left out, what was measured in other runtimes: {'/'.join(parts[-3:])}: {why}."


def _check(study: Study, name: str, machine: Machine) -> None:
    """Raises ValueError where a file speaks of something else than the study's trials."""
    if machine["study"] != name:
        raise ValueError(f"it is of the study {machine['study']!r}")
    known = {(variant, entry["trial"]) for variant, each in study.spec["variants"].items() for entry in each["trials"]}
    for row in [*machine["models"], *machine["scores"]]:
        if (row["variant"], row["trial"]) not in known:
            raise ValueError(f"trial {row['trial']!r} of {row['variant']!r} is none of the study")
    sized = [row["variant"] for row in machine["models"]]
    for row in machine["latency"]:
        if row["model"] not in sized:
            raise ValueError(f"{row['model']!r} was timed and is none of its models")
    if machine["baseline"] not in sized:  # no trial of it was finished: the first model stood in for it
        machine["baseline"] = sized[0]


def single(machine: Machine) -> list[dict[str, Any]]:
    """The timings of the smallest batch, which is an image at a time wherever that was measured."""
    least = min(row["batch"] for row in machine["latency"])
    return [row for row in machine["latency"] if row["batch"] == least]


def image_ms(row: dict[str, Any]) -> float:
    """Median time of one image of a timing's batch."""
    return row["median_ms"] / row["batch"]


def fastest(machine: Machine, variant: str, *, integers: bool) -> dict[str, Any] | None:
    """The timing of a variant's fastest runtime, an image at a time, in 8-bit integers or in floating point."""
    rows = [row for row in single(machine) if row["model"] == variant and (row["dtype"] == INTEGERS) == integers]
    return min(rows, key=image_ms, default=None)


def energy(machines: Sequence[Machine]) -> tuple[str, dict[str, float]]:
    """Joules an image of each variant in its fastest floating-point runtime, and the machine where it was measured: the
    one that knows most variants, the first of several. Nothing where none knows two."""
    known: dict[str, dict[str, float]] = {}
    for machine in machines:
        rows = [fastest(machine, variant, integers=False) for variant in variants_of(machine)]
        known[machine["machine"]] = {row["model"]: row["joules"] for row in rows if row and row["joules"]}
    best = max(known.items(), key=lambda item: len(item[1]), default=("", {}))
    return best if len(best[1]) > 1 else ("", {})


def variants_of(machine: Machine) -> list[str]:
    """The variants that a machine has models of, the one that ratios refer to first."""
    return list(dict.fromkeys([machine["baseline"], *(row["variant"] for row in machine["models"])]))


def integer_score(machine: Machine, variant: str, evaluation: str) -> dict[str, Any] | None:
    """What a variant scores in 8-bit integers: on the evaluation, and in its fastest runtime, where that is known."""
    rows = [row for row in machine["scores"] if row["variant"] == variant and row["dtype"] == INTEGERS]
    timed = fastest(machine, variant, integers=True)
    runtime = timed and timed["runtime"]
    return min(rows, key=lambda row: (row["evaluation"] != evaluation, row["runtime"] != runtime), default=None)


def model_of(machine: Machine, variant: str, trial: str | None = None) -> dict[str, Any]:
    """The sizes of a variant's model: of that trial where it is there, else of its first."""
    models = [each for each in machine["models"] if each["variant"] == variant]
    return next((each for each in models if each["trial"] == trial), models[0])
