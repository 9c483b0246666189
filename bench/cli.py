"""The command line. Heavy imports wait inside the commands, so that help and completion answer at once."""

import json
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from . import completing
from .cost_cli import deployment, latency, models
from .data_cli import app as data_app
from .errors import MedbenchError
from .run_cli import run, status, verify
from .terminal import (
    DataOption,
    JsonOption,
    StoreOption,
    at_work,
    console,
    existing_store,
    print_table,
    progress_bar,
    told_in_one_line,
)
from .use_cli import export, predict

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(data_app, name="data")

for command in (run, status, verify, predict, export, latency, deployment, models):
    app.command()(command)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"medbench {version('medbench')}")
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version and stop.")
    ] = False,
) -> None:
    """Benchmark and ablation suite for lightweight medical image segmentation."""


@app.command()
@told_in_one_line
def report(
    stores: Annotated[list[Path] | None, typer.Argument(help="Stores to read; `runs` where none is named.")] = None,
    named: Annotated[
        list[Path] | None, typer.Option("--store", help="The same, as other commands have it; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")] = Path("report"),
    all_images: Annotated[
        bool, typer.Option("--all-images", help="Put images that the page has no room for into pictures/ beside it.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it anew whenever a trial or an evaluation is finished, until Ctrl-C.")
    ] = False,
) -> None:
    """Write a report from one or more stores.

    index.html, tables, figures and report.json; several stores are read as one.
    """
    wanted = [existing_store(each) for each in [*(stores or ()), *(named or ())] or [None]]
    if not watch:
        with at_work("reading the store and writing the page"):
            from ..reports.page import write_report

            index = write_report(wanted, out, all_images=all_images)
        console().print(f"the report is {index}")
        return
    from ..reports.watching import watched

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
    """Score masks that any tool made, image by image.

    At the size of their references. Files belong together by their stems; the endings _segmentation, _mask and _lesion
    do not count.
    """
    if out and out.suffix not in (".csv", ".json"):
        raise MedbenchError(f"--out {out}: end the name in .csv or .json")
    from .metrics import METRICS
    from .records import write_json, write_text
    from .scoring import score_folders

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
    read_as = (
        f"{what}s {', '.join(f'{how} ({n})' for how, n in each.items())}" for what, each in scores.codings.items()
    )
    typer.echo(f"masks by levels: {'; '.join(read_as)}")
    if scores.without_reference:
        typer.echo(f"{len(scores.without_reference)} predictions have no reference and were not scored")
    if out:
        typer.echo(f"each image's scores are in {out}")


@app.command()
@told_in_one_line
def compare(
    scores: Annotated[Path, typer.Argument(help="CSV file with the columns variant, seed, image and metrics.")],
    baseline: Annotated[str, typer.Option(help="The variant that the others are compared with.")],
    metric: Annotated[str, typer.Option(help="The column that is compared.", autocompletion=completing.metrics)],
    margin: Annotated[
        float, typer.Option(min=0, help="A difference below it counts as practically nothing; 0: none does.")
    ] = 0.0,
    higher_is_better: Annotated[
        bool | None,
        typer.Option("--higher-is-better/--lower-is-better", help="For metrics that medbench does not know."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare variants from a table that any tool made.

    It says what may be claimed of new trainings and new images, and what may not.
    """
    if not scores.is_file():
        raise MedbenchError(f"{scores}: there is no such file")
    from .comparing import compare_variants, measure_of, read_scores

    measure = measure_of(metric, higher_is_better)
    tables = read_scores(scores, metric, measure.bounds)
    found = compare_variants(tables, baseline, measure=measure, margin=margin)
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
    header = ("variant", f"mean {measure.label}", "95 % CI", "seeds x images", "place", "first in")
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
        if fixed["wilcoxon_p"] is not None:
            terminal.print(
                f"  Of these very checkpoints alone: Wilcoxon p = {fixed['wilcoxon_p']:.2g}, "
                f"permutation p = {fixed['permutation_p']:.2g}."
            )


@app.command()
@told_in_one_line
def artifacts(
    what: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE|NAME",
            help="An image file, a data set, or folder:PATH.",
            autocompletion=completing.datasets,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")],
    kind: Annotated[
        str | None,
        typer.Option(help="hair, ruler, ink, bubbles, corners, patch, jpeg, ...", autocompletion=completing.artifacts),
    ] = None,
    severity: Annotated[int | None, typer.Option(help="1 to 5.")] = None,
    seed: Annotated[int, typer.Option(help="For other artifacts on the same images.")] = 0,
    data: DataOption = None,
) -> None:
    """Paint hair, a ruler or another artifact over images.

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
def doctor(store: StoreOption = Path("runs"), data: DataOption = None, as_json: JsonOption = False) -> None:
    """Say what this machine can do and what is missing.

    Exit 1 where something is wrong that every run needs.
    """
    from dataclasses import asdict

    from .doctor import examine
    from .sets import cache_folder, data_folder

    found = examine(store, cache_folder(), data_folder(data))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=1))
    else:
        for each in found:
            remedy = f" ({each.remedy})" if each.remedy and each.state != "ok" else ""
            console().print(f"{each.state:8}{each.what}: {each.found}{remedy}")
    if any(each.state == "wrong" for each in found):
        raise typer.Exit(1)


@app.command()
@told_in_one_line
def schema() -> None:
    """Print the JSON Schema of a study file.

    With it, editors complete and explain keys.
    """
    from ..ablations.schema import study_schema
    from ..datasets.artifacts import ARTIFACTS
    from ..datasets.catalog import DATASETS
    from ..models.names import VARIANTS

    typer.echo(json.dumps(study_schema(models=VARIANTS, datasets=DATASETS, artifacts=ARTIFACTS), indent=1))
