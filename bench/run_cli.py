"""The commands `medbench run`, `status` and `verify`: make a store's trials and look after them. Heavy imports wait
inside the commands."""

import json
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from . import completing
from .errors import MedbenchError
from .terminal import (
    DataOption,
    JsonOption,
    SameStoreOption,
    StoreArgument,
    StoreOption,
    console,
    existing_store,
    progress_bar,
    told_in_one_line,
)

if TYPE_CHECKING:
    from .executors import Execute, Resources
    from .planning import Job
    from .sets import Sets


class ExecutorName(StrEnum):
    """Where trials run."""

    LOCAL = "local"
    RAY = "ray"
    SLURM = "slurm"


class Tracker(StrEnum):
    """Who else is told of losses and scores."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"


def _number_or_auto(text: str) -> int | None:
    """The number of `--jobs`, None for auto."""
    if text == "auto":
        return None
    if not text.isdigit() or not int(text):
        raise typer.BadParameter(f"{text!r} is neither a number from 1 on nor auto")
    return int(text)


@told_in_one_line
def run(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="A YAML file, or the name of a study that ships, as in `baa`.",
            autocompletion=completing.studies,
        ),
    ],
    store: StoreOption = Path("runs"),
    data: DataOption = None,
    profile: Annotated[str, typer.Option(help="quick, cpu, paper, or a profile of the study.")] = "paper",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key, as in training.epochs=20.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            parser=_number_or_auto,
            metavar="N|auto",
            show_default="auto",
            help="Trials at once. auto: one a GPU, or as many as cores and free memory allow.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Loader processes a trial. On a GPU, 0 keeps images and augmentation there.")
    ] = 0,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile", help="Let torch compile each model before it is trained, for a GPU; no gain on a CPU."
        ),
    ] = False,
    from_report: Annotated[
        Path | None, typer.Option(help="A report.json: STUDY is one of those that it was made of, as it was resolved.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run again what failed before; else it is only told.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be done, about how long it takes on this machine, and stop."),
    ] = False,
    track: Annotated[
        Tracker | None, typer.Option(help="Log losses and scores there too; needs medbench[tensorboard] or [mlflow].")
    ] = None,
    executor: Annotated[
        ExecutorName, typer.Option(help="local, or a cluster that shares the store: ray, slurm.")
    ] = ExecutorName.LOCAL,
    address: Annotated[
        str | None,
        typer.Option(
            envvar="RAY_ADDRESS", help="Of the Ray cluster; `auto` finds it, none starts one on this machine."
        ),
    ] = None,
    cpus: Annotated[int, typer.Option(min=1, help="Processors of each trial on a cluster.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of each trial on a cluster; Ray takes parts of one.")] = 0,
    memory: Annotated[
        float | None, typer.Option(min=0, metavar="GB", help="Memory of each trial on a cluster.")
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="For sbatch, as in partition=gpu or time=240 (minutes)."),
    ] = None,
) -> None:
    """Train and evaluate the trials of a study that the store lacks.

    What is finished is not repeated, but looked at: what is damaged is set aside and made again.
    """
    from ..ablations.loading import load_study, study_of_report
    from .planning import plan
    from .sets import Sets, cache_folder, data_folder
    from .store import Store, check_writable
    from .view import View

    if executor == ExecutorName.LOCAL and (slurm or gpus or memory or cpus > 1):
        raise MedbenchError("--cpus, --gpus, --memory and --slurm are for a cluster: add --executor ray or slurm")
    terminal = console()
    with TemporaryDirectory() as folder:
        path = str(study_of_report(from_report, study, Path(folder))) if from_report else study
        loaded = load_study(path, profile=profile, settings=settings or [])
    terminal.print(f"{loaded.name}: {loaded.study.question}")
    cache = cache_folder()
    check_writable(cache, "set MEDBENCH_CACHE to a folder that can")
    if not dry_run:
        check_writable(store, "name another with --store")
    with View(terminal, 0) as view:
        sets = Sets(data_folder(data), cache, view.reading)
        planned = plan(loaded, sets)
        # These need torch, which takes seconds to import: what was wrong is told by now.
        from .executors import Resources
        from .executors.local import visible_gpus
        from .runner import annotate, decode, left_to_do, run_study
        from .sharing import threads_for, trials_at_once
        from .stats import same_training
        from .tracking import tracked
        from .trials import Place

        todo = left_to_do(planned, Store(store))
        if not dry_run:
            decode(todo, sets)
            annotate(planned, Store(store), sets)
    n_gpus = len(visible_gpus())
    at_once = jobs or trials_at_once(todo, n_gpus)
    at_once = min(at_once, len(todo) or at_once)
    threads = threads_for(at_once, n_gpus) if executor == ExecutorName.LOCAL else cpus
    # Absolute, so that processes elsewhere find them.
    place = Place(store.absolute(), sets.data and sets.data.absolute(), cache.absolute(), threads, workers, compiled)
    record = planned.record
    n_images = record["n_images"]
    terminal.print(
        f"{len(planned.jobs)} trials on {n_images['train']} images, {n_images['validation']} for validation, "
        f"{n_images['test']} for test; {len(todo)} to do, {threads} thread(s) each"
        f"{f', {at_once} at once' if executor == ExecutorName.LOCAL and todo else ''}"
    )
    if most := record["dataset"].get("test_images"):
        terminal.print(f"a first look: no more than {most} images of each test set (dataset.test_images)")
    if record["left_out"]:
        terminal.print(f"{record['left_out']} images left out: `medbench data verify` says which")
    for names in record["same"]:
        terminal.print(f"{same_training(names)}; they will not be compared")
    if dry_run:
        _tell_of(planned.jobs, todo, sets, threads, at_once)
        return
    execute = _executor(executor, at_once, Resources(cpus, gpus, memory), address, slurm or [], store)
    try:
        with View(terminal, len(todo)) as view, tracked(view, track, record, store) as listen:
            failed = run_study(planned, place, listen, execute=execute, retry_failed=retry_failed)
    except KeyboardInterrupt as error:
        terminal.print("stopped; the same command goes on from here")
        raise typer.Exit(130) from error
    if failed:
        terminal.print(f"{len(failed)} of {len(planned.jobs)} trials failed; the others are in {store}")
        raise typer.Exit(1)
    terminal.print(f"all {len(planned.jobs)} trials are in {store}; next: medbench report {store}")


def _executor(
    name: ExecutorName, jobs: int, resources: "Resources", address: str | None, slurm: list[str], store: Path
) -> "Execute":
    if name == ExecutorName.RAY:
        from .executors.on_ray import on_ray

        return on_ray(resources, address)
    if name == ExecutorName.SLURM:
        from .executors.on_slurm import on_slurm

        return on_slurm(resources, store.absolute() / "logs" / "slurm", slurm)
    from .executors.local import Local

    return Local(jobs)


def _tell_of(planned: "list[Job]", todo: "list[Job]", sets: "Sets", threads: int, at_once: int) -> None:
    """What a dry run prints."""
    from .estimates import estimate

    terminal = console()
    with progress_bar("measuring a few batches and images") as show:
        costs = estimate(planned, todo, sets, threads=threads, on_job=show)
    left = {job.id for job in todo}
    for job in planned:
        about = f", about {_duration(costs.seconds[job.id])}" if job.id in costs.seconds else ""
        trouble = f", no estimate: {costs.troubles[job.id]}" if job.id in costs.troubles else ""
        terminal.print(f"{job.id}  {job.cell.label}: {'to do' if job.id in left else 'done'}{about}{trouble}")
    if costs.seconds:
        without = f", without {len(costs.troubles)} trials that have no estimate" if costs.troubles else ""
        terminal.print(
            f"about {_duration(sum(costs.seconds.values()) / at_once + costs.caching)} on this machine, {at_once} at "
            f"once{without}; {_megabytes(costs.stored)} in the store, {_megabytes(costs.cached)} of decoded images in "
            f"the cache, {_megabytes(costs.at_work * at_once)} for checkpoints while it runs"
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

    from .status import statuses
    from .store import Store

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
            terminal.print(f"  about {_duration(each.seconds_left)} of training left, one trial after the other")
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
    from .sets import cache_folder, data_folder
    from .store import Store

    opened, terminal = Store(existing_store(store, named)), console()
    trial = opened.trial_named(rerun) if rerun else None
    from .trials import Place
    from .verifying import damaged_folders, finished_folders
    from .verifying import rerun as again
    from .view import View

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


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"


def _megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{max(round(n_bytes / 1e6), 1)} MB"
