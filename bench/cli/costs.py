"""The commands `medbench latency`, `deployment` and `models`: what a model costs. Heavy imports wait inside the
commands."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import MedbenchError
from ..quiet import quietly
from . import completing
from .chosen import DEFAULT_SIZE, Chosen, OptionsOption, OutputOption, choose_all
from .terminal import (
    DataOption,
    JsonOption,
    StoreOption,
    console,
    existing_store,
    print_json,
    print_table,
    progress_bar,
    progress_bars,
    told_in_one_line,
)

BatchOption = Annotated[str, typer.Option(help="Images a pass, several with commas.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Of a CPU; the process is kept on as many processors.")]
PassesOption = Annotated[int, typer.Option(min=20, help="Timed passes of each model, at least.")]
RuntimeOption = Annotated[
    list[str] | None,
    typer.Option(help="eager, compiled, graph (CUDA), onnxruntime, openvino (CPU); several with commas."),
]


@told_in_one_line
def latency(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="As in a study, or ensemble, or a trial by its id; the first is the reference.",
            autocompletion=completing.models,
        ),
    ],
    size: Annotated[
        int | None, typer.Option(min=32, help="Pixels a side.", show_default="that of trials, or 256")
    ] = None,
    batch: BatchOption = "1,16",
    dtype: Annotated[
        str, typer.Option(help="fp32, fp16 (GPU), bf16, int8 (onnxruntime, openvino); several with commas.")
    ] = "fp32",
    runtime: RuntimeOption = None,
    passes: PassesOption = 200,
    threads: ThreadsOption = 1,
    options: OptionsOption = None,
    output: OutputOption = None,
    store: StoreOption = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Time models side by side on this machine.

    Median, spread, throughput, and each one's ratio to the first. The models take turns, so that whatever slows the
    machine down slows all of them. Weights are random but for trials, which costs what trained ones do; batch norms are
    folded into convolutions.
    """
    batches, chosen = _numbers("--batch", batch), choose_all(names, store, options, output)
    side, (maps, channels) = size or _shared_size(chosen), _shared_kind(chosen)
    import torch

    from ...models.counting import cost
    from ..cost.energy import conditions, meter_of
    from ..cost.latency import pinned, serving, time_side_by_side
    from ..cost.runtimes import Subject
    from ..training.device import best_device, prepare

    prepare(0, threads)
    device = best_device()
    runtimes = ",".join(runtime).split(",") if runtime else ["eager", *(["graph"] if device.type == "cuda" else [])]
    for each in dtype.split(","):
        serving(each, runtimes, device)  # before models are built, which takes seconds
    before = conditions(device)
    with progress_bar("timing") as show, pinned(threads), quietly():
        subjects = [
            Subject(
                each.said,
                each.build(maps=maps, channels=channels),
                side,
                channels=each.channels if each.trial else channels,
            )
            for each in chosen
        ]
        costs = {
            each.name: cost(lambda model=each.plain: copy.deepcopy(model), side, each.channels) for each in subjects
        }
        rows = time_side_by_side(
            subjects,
            batches=batches,
            dtypes=dtype.split(","),
            runtimes=runtimes,
            device=device,
            passes=passes,
            on_round=show,
        )
    meter, after = meter_of(device), conditions(device)
    made = {each.said: {"trial": each.id, "options": dict(each.options)} for each in chosen}
    where = {"torch": torch.__version__, "gpu_before": before, "gpu_after": after}
    where["no_energy"] = meter if isinstance(meter, str) else None
    rows = [row | costs[row["model"]] | made[row["model"]] | where for row in rows]
    if as_json:
        print_json(rows)
    else:
        _tell(rows)


def _shared_size(chosen: list[Chosen]) -> int:
    """The pixels a side that all trials were trained on; MedbenchError where these differ."""
    sizes = {each.said: each.size for each in chosen if each.size}
    if len({*sizes.values()}) > 1:
        told = ", ".join(f"{said} on {size}" for said, size in sizes.items())
        raise MedbenchError(f"trials of different sizes ({told} pixels): say at which --size they are to be timed")
    return next(iter(sizes.values()), DEFAULT_SIZE)


def _shared_kind(chosen: list[Chosen]) -> tuple[int, int]:
    """Maps and channels of models by name: those of the trials beside them; MedbenchError where these differ."""
    kinds = {each.said: (each.target.n_maps, each.channels) for each in chosen if each.trial}
    if len({*kinds.values()}) > 1 and len(kinds) < len(chosen):
        told = ", ".join(f"{said} has {channels} channels and {maps} maps" for said, (maps, channels) in kinds.items())
        raise MedbenchError(f"trials of different sets ({told}): time them without models by name")
    return next(iter(kinds.values()), (1, 3))


def _tell(rows: list[dict[str, Any]]) -> None:
    from ...reports.notes import in_giga, sized

    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "model": lambda row: row["model"],
        "runtime": lambda row: row["runtime"],
        "type": lambda row: row["dtype"],
        "batch": lambda row: str(row["batch"]),
        "ms": lambda row: f"{row['median_ms']:.2f}",
        "p5 to p95": lambda row: f"{row['p5_ms']:.2f} to {row['p95_ms']:.2f}",
        "paused": lambda row: f"{row['paused_ms']:.2f}",
        "images/s": lambda row: f"{row['images_per_second']:.1f}",
        "peak MB": lambda row: f"{row['peak_mb']:.0f}",
        "J/image": lambda row: f"{row['joules']:.3g}",
        "ratio": lambda row: _ratio(row, "ratio"),
    }
    for title, key in (("peak MB", "peak_mb"), ("J/image", "joules")):
        if rows[0][key] is None:
            del columns[title]
    cells = [tuple(cell(row) for cell in columns.values()) for row in rows]
    print_table(tuple(columns), cells, right=tuple(range(3, len(columns) - 1)))
    first, terminal = rows[0], console()
    models = {row["model"]: row for row in rows}
    untrained = [name for name, row in models.items() if row["trial"] is None]
    some = f" of {', '.join(untrained)}" if len(untrained) < len(models) else ""
    weights = f"random weights{some}" if untrained else "trained weights"
    terminal.print(
        f"{first['device']}, torch {first['torch']}, {first['size']}x{first['size']}, channels last, {weights}; "
        f"{first['n']} passes each, interleaved, of five instances; ratio to {first['model']} in the same runtime, "
        "the geometric mean of rounds' medians, with its 95 % interval over instances; paused: after 50 ms of rest"
    )
    fastest = [row for row in rows if row["best_ratio"] is not None]
    for row in fastest:
        if row["model"] != first["model"]:
            other = next(
                each["runtime"]
                for each in fastest
                if (each["model"], each["dtype"], each["batch"]) == (first["model"], row["dtype"], row["batch"])
            )
            terminal.print(
                f"fastest of each, {row['dtype']}, batch {row['batch']}: {row['model']} in {row['runtime']} takes "
                f"{_ratio(row, 'best_ratio')} of {first['model']} in {other}"
            )
    for name, row in models.items():
        activations = row["activation_bytes"]
        origin = [f"trial {row['trial']}"] if row["trial"] else []
        origin += [f"options {json.dumps(row['options'])}"] if row["options"] else []
        terminal.print(
            f"{name}: {', '.join([*origin, sized(row['parameters'])])} parameters, "
            f"{in_giga(row['macs'])} MACs{' (not counted)' if row['macs'] is None else ''}, "
            f"{row['weight_bytes'] / 1e6:.3g} MB of weights, "
            f"{'–' if activations is None else f'{activations / 1e6:.1f} MB'} of activations"
        )
    if first["no_energy"]:
        terminal.print(f"energy is not measurable here: {first['no_energy']}")
    for when in ("before", "after"):
        if first[f"gpu_{when}"]:
            told = ", ".join(f"{key} {value}" for key, value in first[f"gpu_{when}"].items())
            terminal.print(f"GPU {when}: {told}")


def _ratio(row: dict[str, Any], key: str) -> str:
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    return f"{row[key]:g}" if low is None else f"{row[key]:.3f} [{low:.3f}, {high:.3f}]"


@told_in_one_line
def deployment(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY]...",
            help="Studies of the store; all where none is named.",
            autocompletion=completing.stored_studies,
        ),
    ] = None,
    batch: BatchOption = "1",
    runtime: RuntimeOption = None,
    passes: PassesOption = 200,
    threads: ThreadsOption = 1,
    store: StoreOption = Path("runs"),
    data: DataOption = None,
) -> None:
    """Measure what trained models cost in other runtimes.

    On this processor, in torch, ONNX Runtime and OpenVINO, in single precision and in 8-bit integers, and what the
    integers lose on a study's test images; for the report. It takes minutes, and takes the place of what was measured
    of the study on this machine before.
    """
    from ..store.folder import Store

    opened, batches = Store(existing_store(store)), _numbers("--batch", batch)
    names = studies or opened.studies()
    for name in names:
        opened.check_study(name)
    from ..cost.latency import pinned
    from ..study.deployment import DEFAULT_RUNTIMES, measure_deployment
    from ..study.sets import Sets, cache_folder, data_folder
    from ..training.device import prepare

    prepare(0, threads)
    sets = Sets(data_folder(data), cache_folder())
    for name in names:
        with progress_bars() as show, pinned(threads), quietly():
            path = measure_deployment(
                opened,
                name,
                sets,
                batches=batches,
                runtimes=",".join(runtime).split(",") if runtime else DEFAULT_RUNTIMES,
                passes=passes,
                on_step=show,
            )
        console().print(f"{name}: {path}; `medbench report {store}` shows it")


@told_in_one_line
def models(as_json: JsonOption = False) -> None:
    """List the models that medbench brings, and what they cost.

    Parameters, multiply-accumulates and activations at 256x256, size of the weights, where each was published, and what
    it is for.
    """
    from ...models.names import describe_models

    rows = describe_models()
    if as_json:
        print_json(rows)
        return
    cells = [
        (
            row["name"],
            f"{row['parameters'] / 1e6:.3f} M",
            f"{row['macs'] / 1e9:.3f} G",
            f"{row['weight_bytes'] / 1e6:.1f} MB",
            f"{row['activation_bytes'] / 1e6:.1f} MB",
            row["paper"] or "",
            row["description"],
        )
        for row in rows
    ]
    heads = ("name", "parameters", "MACs at 256", "weights", "activations", "paper", "what it is")
    print_table(heads, cells, right=(1, 2, 3, 4))
    typer.echo("Besides: smp:Architecture/encoder (segmentation-models-pytorch) and package.module:Class of your own.")


def _numbers(option: str, text: str) -> list[int]:
    numbers = [int(each) for each in text.split(",") if each.isdigit() and int(each)]
    if len(numbers) < len(text.split(",")):
        raise MedbenchError(f"{option} {text}: numbers of images, separated by commas, as in 1,16")
    return numbers
