"""The command line. Heavy imports wait inside the commands, so that help and completion answer at once."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from .data_cli import app as data_app
from .errors import MedbenchError
from .run_cli import run, status, verify
from .terminal import DataOption, JsonOption, console, default_store, print_table, progress_bar, told_in_one_line

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(data_app, name="data")

for command in (run, status, verify):
    app.command()(command)


@app.callback()
def main() -> None:
    """Benchmark and ablation suite for lightweight medical image segmentation."""


@app.command()
@told_in_one_line
def report(
    stores: Annotated[list[Path] | None, typer.Argument(help="Stores to read; `runs` where none is named.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")] = Path("report"),
    all_images: Annotated[
        bool, typer.Option("--all-images", help="Put images that the page has no room for into pictures/ beside it.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it anew whenever a trial or an evaluation is finished, until Ctrl-C.")
    ] = False,
) -> None:
    """Write index.html, tables, figures and report.json from one or more stores, which are read as one."""
    from ..reports.page import write_report
    from ..reports.watching import watched

    wanted = stores or [default_store()]
    if not watch:
        console().print(f"the report is {write_report(wanted, out, all_images=all_images)}")
        return
    try:
        for index in watched(wanted, out, all_images=all_images):
            console().print(f"{datetime.now():%H:%M:%S} the report is {index}; Ctrl-C ends")
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


@app.command()
@told_in_one_line
def score(
    prediction: Annotated[
        Path, typer.Option(help="Folder of predicted masks, or of maps of probability, which are cut at half.")
    ],
    reference: Annotated[Path, typer.Option(help="Folder of reference masks with the same stems.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File for the scores of each image: .csv or .json.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score masks that any tool made, image by image, at the size of their references.

    Files belong together by their stems; the endings _segmentation, _mask and _lesion do not count.
    """
    from .metrics import METRICS
    from .records import write_json, write_text
    from .scoring import score_folders

    if out and out.suffix not in (".csv", ".json"):
        raise MedbenchError(f"--out {out}: end the name in .csv or .json")
    with progress_bar("scoring") as show:
        scores = score_folders(prediction, reference, on_image=show)
    summary = scores.summary()
    if out and out.suffix == ".csv":
        write_text(out, scores.per_image.to_csv(index=False))
    elif out:
        write_json(out, summary)
    if as_json:
        typer.echo(json.dumps(summary, indent=1))
        return
    cells = [
        (
            f"{metric.label}{f' ({metric.unit})' if metric.unit else ''}",
            *(f"{summary[kind][name]:.4f}" if name in summary[kind] else "" for kind in ("mean", "median", "pooled")),
        )
        for name, metric in METRICS.items()
    ]
    print_table(("", "mean", "median", "pooled"), cells, right=(1, 2, 3))
    typer.echo(
        f"{summary['images']} images, {summary['n_empty']} with exactly one empty mask; mean and median over images, "
        "pooled over all pixels"
    )
    if scores.without_reference:
        typer.echo(f"{len(scores.without_reference)} predictions have no reference and were not scored")
    if out:
        typer.echo(f"each image's scores are in {out}")


@app.command()
@told_in_one_line
def compare(
    scores: Annotated[Path, typer.Argument(help="CSV file with the columns variant, seed, image and metrics.")],
    baseline: Annotated[str, typer.Option(help="The variant that the others are compared with.")],
    metric: Annotated[str, typer.Option(help="The column that is compared.")],
    margin: Annotated[
        float, typer.Option(min=0, help="A difference below it counts as practically nothing; 0: none does.")
    ] = 0.0,
    higher_is_better: Annotated[
        bool | None,
        typer.Option("--higher-is-better/--lower-is-better", help="For metrics that medbench does not know."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare variants from a table that any tool made, and say what may be claimed of new trainings and new images."""
    from .comparing import compare_variants, direction_of, read_scores

    label, higher = direction_of(metric, higher_is_better)
    tables = read_scores(scores, metric)
    found = compare_variants(tables, baseline, metric=label, margin=margin, higher_is_better=higher)
    if as_json:
        typer.echo(json.dumps({**found, "metric": metric}, indent=1))
        return
    terminal = console()
    rows = [
        (
            row["variant"],
            f"{row['mean']:.4f}",
            "" if row["ci_low"] is None else f"{row['ci_low']:.4f} to {row['ci_high']:.4f}",
            f"{row['n_seeds']} x {row['n_images']}",
            str(row["place"]),
            "" if row["first_share"] is None else f"{100 * row['first_share']:.0f} %",
        )
        for row in found["variants"]
    ]
    header = ("variant", f"mean {label}", "95 % CI", "seeds x images", "place", "first in")
    print_table(header, rows, right=(1, 4, 5))
    terminal.print(
        "Intervals hold for new seeds and new images. First in: share of two-way bootstrap resamples; it describes "
        "stability and is no test.\n"
    )
    for row in found["comparisons"]:
        span = "" if row["ci_low"] is None else f" [{row['ci_low']:+.4f}, {row['ci_high']:+.4f}]"
        p = "" if row["p_adjusted"] is None else f", p = {row['p_adjusted']:.2g} (Holm)"
        terminal.print(f"{row['variant']} - {baseline}: {row['difference']:+.4f}{span}{p}: {row['claim']}")
        terminal.print(f"  It may be said: {row['may']}")
        terminal.print(f"  It does not show {row['not_shown']}")
        if row["cost"]:
            terminal.print(f"  {row['cost']}")
        fixed = row["fixed_model"]
        terminal.print(
            f"  Of these very checkpoints alone: Wilcoxon p = {fixed['wilcoxon_p']:.2g}, "
            f"permutation p = {fixed['permutation_p']:.2g}."
        )


@app.command()
@told_in_one_line
def artifacts(
    what: Annotated[str, typer.Argument(metavar="IMAGE|NAME", help="An image file, a data set, or folder:PATH.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")],
    kind: Annotated[str | None, typer.Option(help="hair, ruler, ink, bubbles, corners, patch, jpeg, ...")] = None,
    severity: Annotated[int | None, typer.Option(help="1 to 5.")] = None,
    seed: Annotated[int, typer.Option(help="For other artifacts on the same images.")] = 0,
    data: DataOption = None,
) -> None:
    """Paint hair, a ruler or another artifact over an image or over a whole data set.

    IMAGE gives <stem>-<kind>-<severity>.png and its -mask.png; without --kind or --severity, a sheet of all of them.
    A data set gives a folder set: images/, masks/, artifacts/ and how they were made.
    """
    from ..datasets.artifacts import ARTIFACTS
    from ..datasets.artifacts.export import write_painted, write_set, write_sheet
    from ..datasets.artifacts.painting import check_severity
    from ..datasets.catalog import DATASETS, open_dataset
    from ..datasets.reading import read_image
    from .sets import data_folder

    if kind is not None:
        _ = ARTIFACTS[kind]
    if severity is not None:
        check_severity(severity)
    is_set = what in DATASETS or what.startswith("folder:")
    if kind is None or severity is None:
        if is_set:
            raise MedbenchError(f"{what}: name a --kind and a --severity; sheets of all are for single images")
        path = out / f"{Path(what).stem}-artifacts.png"
        kinds = (kind,) if kind else ()
        write_sheet(read_image(Path(what)), Path(what).stem, path, kinds=kinds, seed=seed)
    elif is_set:
        path = out
        image_set = open_dataset(what, data=data_folder(data))
        with progress_bar("painting") as show:
            write_set(image_set, out, kind=kind, severity=severity, seed=seed, on_image=show)
    else:
        path = write_painted(read_image(Path(what)), Path(what).stem, out, kind=kind, severity=severity, seed=seed)
    typer.echo(f"written: {path}")


@app.command()
@told_in_one_line
def latency(
    names: Annotated[list[str], typer.Argument(metavar="MODEL...", help="As in a study; the first is the reference.")],
    size: Annotated[int, typer.Option(min=32, help="Pixels a side.")] = 256,
    batch: Annotated[str, typer.Option(help="Images a pass, several with commas.")] = "1,16",
    dtype: Annotated[str, typer.Option(help="fp32, fp16 (GPU), bf16; several with commas.")] = "fp32",
    passes: Annotated[int, typer.Option(min=20, help="Timed passes of each model, at least.")] = 200,
    threads: Annotated[int, typer.Option(min=1, help="Of a CPU.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Time models side by side on this machine: median, spread, throughput, and each one's ratio to the first.

    The models take turns, so that whatever slows the machine down slows all of them.
    """
    import torch

    from .timing import conditions, time_side_by_side
    from .training import best_device, prepare

    batches = [int(each) for each in batch.split(",") if each.isdigit() and int(each)]
    if len(batches) < len(batch.split(",")):
        raise MedbenchError(f"--batch {batch}: numbers of images, separated by commas, as in 1,16")
    prepare(0, threads)
    device = best_device()
    before = conditions(device)
    with progress_bar("timing") as show:
        rows = time_side_by_side(
            names, size=size, batches=batches, dtypes=dtype.split(","), device=device, passes=passes, on_round=show
        )
    found = {"torch": torch.__version__, "before": before, "after": conditions(device), "rows": rows}
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    cells = [
        (
            row["model"],
            row["runtime"].removeprefix("torch "),
            f"{row['dtype']}, {row['batch']}",
            f"{row['median_ms']:.2f}",
            f"{row['p5_ms']:.2f} to {row['p95_ms']:.2f}",
            f"{row['paused_ms']:.2f}",
            f"{row['images_per_second']:.1f}",
            "–" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}",
            "1"
            if row["ratio_low"] is None
            else f"{row['ratio']:.3f} [{row['ratio_low']:.3f}, {row['ratio_high']:.3f}]",
        )
        for row in rows
    ]
    header = ("model", "runtime", "type, batch", "ms", "p5 to p95", "paused", "images/s", "peak MB", "ratio")
    print_table(header, cells, right=(3, 4, 5, 6, 7))
    first = rows[0]
    typer.echo(
        f"{first['device']}, torch {torch.__version__}, {size}x{size}, channels last, random weights; {first['n']} "
        f"passes each, interleaved; ratio to {names[0]} with its 95 % interval over rounds; paused: after 50 ms of rest"
    )
    for when in ("before", "after"):
        if found[when]:
            typer.echo(f"GPU {when}: {', '.join(f'{key} {value}' for key, value in found[when].items())}")


@app.command()
@told_in_one_line
def models(as_json: JsonOption = False) -> None:
    """List the models that medbench brings: parameters, multiply-accumulates at 256x256, and what each is for."""
    from ..models.catalog import describe_models

    rows = describe_models()
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    cells = [
        (row["name"], f"{row['parameters'] / 1e6:.2f} M", f"{row['macs'] / 1e9:.2f} G", row["description"])
        for row in rows
    ]
    print_table(("name", "parameters", "MACs at 256", "what it is"), cells, right=(1, 2))
    typer.echo("Besides: smp:Architecture/encoder (segmentation-models-pytorch) and package.module:Class of your own.")


@app.command()
@told_in_one_line
def schema() -> None:
    """Print the JSON Schema of a study file, with which editors complete and explain its keys."""
    from ..ablations.schema import study_schema
    from ..datasets.artifacts import ARTIFACTS
    from ..datasets.catalog import DATASETS
    from ..models.catalog import VARIANTS

    typer.echo(json.dumps(study_schema(models=VARIANTS, datasets=DATASETS, artifacts=ARTIFACTS), indent=1))
