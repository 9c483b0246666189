"""The commands `medbench status` and `verify`: how far a store is, and whether it, or a published result, is what it
says. Heavy imports wait inside the commands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import MedbenchError
from . import completing
from .terminal import (
    DataOption,
    JsonOption,
    SameStoreOption,
    StoreArgument,
    at_work,
    console,
    duration,
    existing_store,
    print_json,
    progress_bar,
    told_in_one_line,
)

if TYPE_CHECKING:
    from ..store.folder import Store


@told_in_one_line
def status(
    store: StoreArgument = None,
    named: SameStoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which trials are done, running, failed and left.

    For each study of a store, and about how long the rest takes. Of one that is trained until it is decided also what
    is decided, what one more seed of each variant takes, and how likely it decides.
    """
    from dataclasses import asdict

    from ..store.folder import Store
    from ..study.status import statuses
    from .rounds import NO_LOOK_LEFT, decisions_of, told

    folder = existing_store(store, named)
    found = statuses(Store(folder))
    decided = {each.study: decisions_of(each.study, folder) for each in found if each.looks}
    if as_json:
        rows = [asdict(each) | {"decisions": [*map(asdict, decided.get(each.study, []))]} for each in found]
        print_json(rows)
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
        for decision in decided.get(each.study, []):
            terminal.print(f"  {told(decision)}")
        if each.looks and not all(known.verdict for known in decided[each.study]):
            if min(known.n_seeds for known in decided[each.study]) >= each.looks[-1]:
                terminal.print(f"  {NO_LOOK_LEFT}")
            elif each.seconds_a_round:
                about = duration(each.seconds_a_round)
                terminal.print(
                    f"  one more seed of each variant: about {about} of training, {each.looks[-1]} seeds at most"
                )
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

    Every file of a store's trials, evaluations and galleries, or one trial against a second training with as many
    threads. Of a published result every file, and every number of its report, computed again. Exit 1 on differences.
    """
    from ..store.folder import Store, is_published

    folder = existing_store(store, named, or_published=True)
    if is_published(folder):
        if set_aside:
            raise MedbenchError(f"{folder} is a published result: --set-aside is for stores, which are run again")
        from ...reports.unpacking import opened

        if not rerun:
            _verify_published(folder)
            return
        with opened([folder]) as [unpacked]:
            _rerun(Store(unpacked), rerun, data)
    elif rerun:
        _rerun(Store(folder), rerun, data)
    else:
        _verify(Store(folder), set_aside)


def _verify(store: "Store", set_aside: bool) -> None:
    from ..study.verifying import damaged_folders, finished_folders

    terminal = console()
    n_damaged, n_folders = 0, len(finished_folders(store))
    with progress_bar("reading") as show:
        for folder, problems in damaged_folders(store, show):
            n_damaged += 1
            for problem in problems:
                terminal.print(problem)
            if set_aside and folder.exists():  # an evaluation goes with its trial
                terminal.print(f"set aside as {store.set_aside(folder)}")
    terminal.print(f"{n_folders} finished folders, {n_damaged} damaged")
    if n_damaged:
        raise typer.Exit(1)


def _verify_published(folder: Path) -> None:
    from ...reports.publishing import problems
    from ...reports.unpacking import opened
    from ..store.folder import Store
    from ..study.verifying import damaged_folders

    with at_work("computing the report again"):
        found = list(problems(folder))
        if not found:
            with opened([folder]) as [unpacked]:
                wrong = [line for _, lines in damaged_folders(Store(unpacked)) for line in lines]
                found = [line.replace(str(unpacked), str(folder)) for line in wrong]
    for line in found:
        console().print(line)
    if found:
        raise typer.Exit(1)
    console().print(f"{folder}: every file is as its manifest says, and gives report.json and its tables again")


def _rerun(store: "Store", named: str, data: Path | None) -> None:
    trial = store.trial_named(named)  # before torch is imported, which takes seconds
    from ..study.sets import cache_folder, data_folder
    from ..study.trials import Place
    from ..study.verifying import rerun
    from .live_view import View

    terminal = console()
    with View(terminal, 1) as view:
        place = Place(store.root, data_folder(data), cache_folder(), 1, 0)
        lines = rerun(store, trial, place, view)
    terminal.print("\n".join(lines) or f"{trial}: identical: history, weights and scores")
    raise typer.Exit(1 if lines else 0)
