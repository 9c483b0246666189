"""Every command of `medbench`. Heavy imports wait inside the commands, so that help and completion answer at once."""

import shlex
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from ..errors import MedbenchError
from ..store.folder import check_writable, is_published
from . import completing, data
from .costs import deployment, latency, models
from .painting import artifacts
from .running import run
from .scores import compare, score
from .terminal import (
    DataOption,
    JsonOption,
    StoreOption,
    at_work,
    console,
    existing_store,
    megabytes,
    print_json,
    told_in_one_line,
)
from .trained_models import export, predict
from .upkeep import status, verify


@told_in_one_line
def report(
    stores: Annotated[
        list[Path] | None, typer.Argument(help="Stores and published results to read; `runs` where none is named.")
    ] = None,
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

    index.html, tables, figures and report.json; several stores, and what was published, are read as one.
    """
    wanted = [existing_store(each, or_published=True) for each in [*(stores or ()), *(named or ())] or [None]]
    check_writable(out, "name another folder with -o")
    if not watch:
        with at_work("reading the store and writing the page"):
            from ...reports.page import write_report
            from ...reports.unpacking import opened

            with opened(wanted) as found:
                index = write_report(found, out, all_images=all_images)
        console().print(f"the report is {index}")
        return
    from ...reports.unpacking import opened
    from ...reports.watching import watched

    try:
        with opened(wanted) as found:
            for index in watched(found, out, all_images=all_images):
                console().print(f"{datetime.now():%H:%M:%S} the report is {index}; Ctrl-C ends")
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


@told_in_one_line
def publish(
    store: Annotated[Path, typer.Argument(help="The store.")],
    study: Annotated[
        str, typer.Argument(help="A study that is finished in it.", autocompletion=completing.stored_studies)
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="A new folder.")],
    date: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day that it bears; today where none is named.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Publish what there is of a study that is not done.")
    ] = False,
) -> None:
    """Pack a finished study and its report into a small folder.

    Every number can be computed again from it, without the store: `medbench verify` does so, and `medbench report`
    opens it. Images, masks and weights are left out.
    """
    from ..store.folder import Store

    Store(existing_store(store)).check_study(study)
    with at_work("reading the store, writing the folder and its page"):
        from ...reports.publishing import publish as write

        index = write(store, study, out, date=(date or datetime.now()).date(), partial=partial)
    n_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    console().print(f"{study} is published in {out} ({megabytes(n_bytes)}); its page is {index}")


@told_in_one_line
def unpack(
    result: Annotated[Path, typer.Argument(help="A folder that `medbench publish` wrote.")],
    store: StoreOption = Path("runs"),
) -> None:
    """Put the trials of a published result into a store.

    A run of its study there trains only what the result lacks: more seeds, or variants of your own. It has no weights,
    so what was trained cannot be tested on other images, or be part of a new ensemble.
    """
    if not is_published(result):
        what = "no trials.json there" if result.is_dir() else "there is no such folder"
        raise MedbenchError(f"{result}: {what}; name a folder that `medbench publish` wrote")
    if store.resolve().is_relative_to(result.resolve()):
        raise MedbenchError(f"{store} is a published result, or in one; name a store with --store")
    with at_work("writing its trials into the store"):
        from ...reports.unpacking import check_files, check_store, incomplete
        from ...reports.unpacking import unpack as write

        check_files(result)
        check_store(result, store)
        check_writable(store, "name another store with --store")
        left_out = incomplete(result)
        n_new = write(result, store, without=left_out)
    terminal = console()
    for trial in sorted(left_out):
        terminal.print(f"{trial} is left out: without weights it cannot have the evaluations that it lacks")
    n_told = f"{n_new} trial{'s' if n_new != 1 else ''}"
    terminal.print(f"new in {store}: {n_told}; their study goes on there, where it is not done, with:")
    terminal.print(_command_of(result, store))


def _command_of(result: Path, store: Path) -> str:
    """What trains more of a published study in a store: its name where it ships with medbench, else a word for it."""
    from ...ablations.schema.loading import shipped_studies
    from ...reports.resolved import complete
    from ..store.records import read_yaml

    study = complete(read_yaml(result / "study.yaml"))
    name = study["study"].removesuffix(f"-{study['profile']}")
    profile = ["--profile", study["profile"]] if study["profile"] else []
    settings = [word for each in study["set"] for word in ("--set", each.replace(" = ", "=", 1))]
    words = [name if name in shipped_studies() else "STUDY", *profile, *settings, "--store", str(store)]
    return f"medbench run {shlex.join(words)}"


@told_in_one_line
def doctor(store: StoreOption = Path("runs"), data: DataOption = None, as_json: JsonOption = False) -> None:
    """Say what this machine can do and what is missing.

    Exit 1 where something is wrong that every run needs.
    """
    from dataclasses import asdict

    from ..study.sets import cache_folder, data_folder
    from .doctor import examine

    found = examine(store, cache_folder(), data_folder(data))
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        for each in found:
            remedy = f" ({each.remedy})" if each.remedy and each.state != "ok" else ""
            console().print(f"{each.state:8}{each.what}: {each.found}{remedy}")
    if any(each.state == "wrong" for each in found):
        raise typer.Exit(1)


@told_in_one_line
def schema() -> None:
    """Print the JSON Schema of a study file.

    With it, editors complete and explain keys.
    """
    from ...ablations.schema.for_editors import study_schema
    from ...datasets.artifacts import ARTIFACTS
    from ...datasets.catalog import DATASETS
    from ...models.names import MODELS
    from ..training.losses import LOSSES

    known = study_schema(models=MODELS, datasets=DATASETS, artifacts=ARTIFACTS, losses=LOSSES)
    print_json(known)


COMMANDS = (  # as help lists them
    run,
    status,
    verify,
    predict,
    export,
    latency,
    deployment,
    models,
    report,
    publish,
    unpack,
    score,
    compare,
    artifacts,
    doctor,
    schema,
)

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(data.app, name="data")
for command in COMMANDS:
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
