"""The command line. Heavy imports wait inside the commands, so that help and completion answer at once."""

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from .data_cli import app as data_app
from .errors import MedbenchError
from .terminal import DataOption, JsonOption, console, print_table, progress_bar, told_in_one_line

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(data_app, name="data")

StoreOption = Annotated[Path, typer.Option(envvar="MEDBENCH_STORE", help="The store of finished trials.")]


@app.callback()
def main() -> None:
    """Benchmark and ablation suite for lightweight medical image segmentation."""


@app.command()
@told_in_one_line
def run(
    study: Annotated[str, typer.Argument(help="A YAML file, or the name of a study that ships, as in `baa`.")],
    store: StoreOption = Path("runs"),
    data: DataOption = None,
    profile: Annotated[str, typer.Option(help="quick, cpu, paper, or a profile of the study.")] = "paper",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key, as in training.epochs=20.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trials at once; they share the processor's cores.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Loader processes a trial; no result depends on it.")] = 0,
    from_report: Annotated[
        Path | None, typer.Option(help="A report.json: STUDY is one of those that it was made of, as it was resolved.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run again what failed before; else it is only told.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
) -> None:
    """Train and evaluate every trial of a study that the store does not have yet."""
    from ..ablations.loading import load_study, study_of_report
    from .planning import plan
    from .runner import annotate, decode, left_to_do, run_study, threads_for
    from .sets import Sets, cache_folder, data_folder
    from .store import Store, check_writable
    from .trials import Place
    from .view import View

    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: package.module:Class may lie beside the study
    terminal = console()
    with TemporaryDirectory() as folder:
        path = str(study_of_report(from_report, study, Path(folder))) if from_report else study
        loaded = load_study(path, profile=profile, settings=settings or [])
    cache = cache_folder()
    check_writable(cache, "set MEDBENCH_CACHE to a folder that can")
    if not dry_run:
        check_writable(store, "name another with --store")
    with View(terminal, 0) as view:
        sets = Sets(data_folder(data), cache, view.reading)
        planned = plan(loaded, sets)
        todo = left_to_do(planned, Store(store))
        if not dry_run:
            decode(todo, sets)
            annotate(planned, Store(store), sets)
    jobs = min(jobs, len(todo) or jobs)
    place = Place(store, sets.data, cache, threads_for(jobs), workers)
    record = planned.record
    n_images = record["n_images"]
    terminal.print(f"{record['study']}: {record['question']}")
    terminal.print(
        f"{len(planned.jobs)} trials on {n_images['train']} images, {n_images['validation']} for validation, "
        f"{n_images['test']} for test; {len(todo)} to do, {place.threads} thread(s) each"
    )
    if record["left_out"]:
        terminal.print(f"{record['left_out']} images left out: `medbench data verify` says which")
    if dry_run:
        for job in planned.jobs:
            terminal.print(
                f"{job.id}  {'to do' if job.id in {each.id for each in todo} else 'done '}  {job.cell.label}"
            )
        return
    try:
        with View(terminal, len(todo)) as view:
            failed = run_study(planned, place, view, jobs=jobs, retry_failed=retry_failed)
    except KeyboardInterrupt as error:
        terminal.print("stopped; the same command goes on from here")
        raise typer.Exit(130) from error
    if failed:
        terminal.print(f"{len(failed)} of {len(planned.jobs)} trials failed; the others are in {store}")
        raise typer.Exit(1)
    terminal.print(f"all {len(planned.jobs)} trials are in {store}; next: medbench report {store}")


@app.command()
@told_in_one_line
def status(
    store: Annotated[Path | None, typer.Argument(help="The store; `runs` where none is named.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say of each study in a store which trials are done, running, failed and left, and about how long they take."""
    from dataclasses import asdict

    from .status import statuses
    from .store import Store

    found = statuses(Store(_existing(store)))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=1))
        return
    terminal = console()
    for each in found:
        n_trials = len(each.done) + len(each.running) + len(each.failed) + len(each.left)
        terminal.print(
            f"{each.study}: {len(each.done)} of {n_trials} trials done, {len(each.running)} running, "
            f"{len(each.failed)} failed, {len(each.left)} left"
        )
        if each.seconds_left:
            terminal.print(f"  about {_duration(each.seconds_left)} of training left, one trial after the other")
        for label, what in each.running.items():
            terminal.print(f"  running: {label}, {what}")
        for label, error in each.failed.items():
            terminal.print(f"  failed: {label}: {error}")


@app.command()
@told_in_one_line
def verify(
    store: Annotated[Path | None, typer.Argument(help="The store; `runs` where none is named.")] = None,
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Move what is damaged to damaged/, so that the next run does it again.")
    ] = False,
    rerun: Annotated[
        str | None, typer.Option(metavar="TRIAL", help="Train and evaluate this trial again and compare every number.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Check every file of a store against its digest, or one trial against a second training; exit 1 on differences."""
    from .runner import threads_for
    from .sets import cache_folder, data_folder
    from .store import Store
    from .trials import Place
    from .verifying import damaged_folders, finished_folders
    from .verifying import rerun as again
    from .view import View

    opened, terminal = Store(_existing(store)), console()
    if rerun:
        with View(terminal, 1) as view:
            place = Place(opened.root, data_folder(data), cache_folder(), threads_for(1), 0)
            lines = again(opened, rerun, place, view)
        terminal.print("\n".join(lines) or f"{rerun}: identical: history, weights and scores")
        raise typer.Exit(1 if lines else 0)
    n_damaged, n_folders = 0, len(finished_folders(opened))
    with progress_bar("reading") as show:
        for folder, problems in damaged_folders(opened, show):
            n_damaged += 1
            for problem in problems:
                terminal.print(problem)
            if set_aside and folder.exists():  # an evaluation goes with its trial
                terminal.print(f"set aside as {opened.set_aside(folder)}")
    terminal.print(f"{n_folders} finished folders, {n_damaged} damaged")
    if n_damaged:
        raise typer.Exit(1)


def _existing(store: Path | None) -> Path:
    folder = store or _default_store()
    if not (folder / "studies").is_dir():
        raise MedbenchError(f"{folder}: no studies/ there; name the store that `medbench run --store` wrote")
    return folder


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min" if minutes else "a minute"


@app.command()
@told_in_one_line
def report(
    stores: Annotated[list[Path] | None, typer.Argument(help="Stores to read; `runs` where none is named.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")] = Path("report"),
) -> None:
    """Write index.html, tables/*.csv and report.json from one or more stores."""
    from ..reports.page import write_report

    index = write_report(stores or [_default_store()], out)
    console().print(f"the report is {index}")


def _default_store() -> Path:
    return Path(os.environ.get("MEDBENCH_STORE", "runs"))


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
