"""The commands `medbench status` and `verify`: how far a store is, and whether it is what it says. Heavy imports wait
inside the commands."""

import json
from typing import Annotated

import typer

from . import completing
from .terminal import (
    DataOption,
    JsonOption,
    SameStoreOption,
    StoreArgument,
    console,
    duration,
    existing_store,
    progress_bar,
    told_in_one_line,
)


@told_in_one_line
def status(
    store: StoreArgument = None,
    named: SameStoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which trials are done, running, failed and left.

    For each study of a store, and about how long the rest takes.
    """
    from dataclasses import asdict

    from ..store.folder import Store
    from ..study.status import statuses

    found = statuses(Store(existing_store(store, named)))
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
            terminal.print(f"  about {duration(each.seconds_left)} of training left, one trial after the other")
        for label, what in each.running.items():
            terminal.print(f"  running: {label}, {what}")
        for label, error in each.failed.items():
            terminal.print(f"  failed: {label}: {error}")


@told_in_one_line
def verify(
    store: StoreArgument = None,
    named: SameStoreOption = None,
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Move what is damaged to damaged/, so that the next run does it again.")
    ] = False,
    rerun: Annotated[
        str | None,
        typer.Option(
            metavar="TRIAL",
            help="Train and evaluate this trial again and compare every number.",
            autocompletion=completing.trials,
        ),
    ] = None,
    data: DataOption = None,
) -> None:
    """Check files against their digests, or train a trial again.

    Every file of a store, or one trial against a second training with as many threads; exit 1 on differences.
    """
    from ..store.folder import Store
    from ..study.sets import cache_folder, data_folder

    opened, terminal = Store(existing_store(store, named)), console()
    trial = opened.trial_named(rerun) if rerun else None
    from ..study.trials import Place
    from ..study.verifying import damaged_folders, finished_folders
    from ..study.verifying import rerun as again
    from .live_view import View

    if trial:
        with View(terminal, 1) as view:
            place = Place(opened.root, data_folder(data), cache_folder(), 1, 0)
            lines = again(opened, trial, place, view)
        terminal.print("\n".join(lines) or f"{trial}: identical: history, weights and scores")
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
