"""The command `medbench run`: make the trials that a store lacks. Heavy imports wait inside it."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import MedbenchError
from . import completing
from .terminal import DataOption, StoreOption, console, duration, megabytes, progress_bar, told_in_one_line

if TYPE_CHECKING:
    from ..study.executors import Execute, Resources
    from ..study.planning import Job, Plan
    from ..study.sets import Sets


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
    from ...ablations.schema.loading import load_studies, study_of_report
    from ..store.folder import Store, check_writable
    from ..study.planning import plan
    from ..study.sets import Sets, cache_folder, data_folder
    from .live_view import View
    from .rounds import at_most, rounds

    if executor == ExecutorName.LOCAL and (slurm or gpus or memory or cpus > 1):
        raise MedbenchError("--cpus, --gpus, --memory and --slurm are for a cluster: add --executor ray or slurm")
    terminal = console()
    with TemporaryDirectory() as folder:
        path = str(study_of_report(from_report, study, Path(folder))) if from_report else study
        series = load_studies(path, profile=profile, settings=settings or [])
    terminal.print(f"{series[0].series_name}: {series[0].study.question}")
    cache = cache_folder()
    check_writable(cache, "set MEDBENCH_CACHE to a folder that can")
    if not dry_run:
        check_writable(store, "name another with --store")
    with View(terminal, 0) as view:
        sets = Sets(data_folder(data), cache, view.reading)
        plans = [plan(each, sets) for each in series]  # all, so that a set that is missing is told before hours of work
        troubles = [trouble for each in plans for trouble in each.troubles.values()]
        if troubles and not dry_run:
            raise MedbenchError("\n".join(troubles))
        # These need torch, which takes seconds to import: what was wrong is told by now.
        from ..study.executors import Resources
        from ..study.executors.local import Local, visible_gpus
        from ..study.runner import annotate, check_weights, decode, left_to_do, run_study, time_models
        from ..study.sharing import threads_for, trials_at_once
        from ..study.tracking import tracked
        from ..study.trials import Place

        left = _each_once([left_to_do(each, Store(store)) for each in plans])
        for planned, todo in zip(plans, left, strict=True):
            check_weights(planned, todo, Store(store))
        # Before images are decoded, which takes minutes: there may be no cluster, or none that gives so much.
        resources = Resources(cpus, gpus, memory)
        cluster = None if dry_run else _cluster(executor, resources, address, slurm or [], store)
        for planned, todo in zip(plans, left, strict=True) if not dry_run else ():
            decode(todo, sets)
            annotate(planned, Store(store), sets)
    n_gpus, n_trials, n_failed, n_constant, seconds = len(visible_gpus()), 0, 0, 0, 0.0
    for planned, whole in zip(plans, left, strict=True):
        ids, part, failed = {job.id for job in whole}, planned, list["Job"]()
        last: tuple[Place, Execute] | None = None
        for part in [at_most(planned, store, terminal)] if dry_run else rounds(planned, store, terminal):
            todo = [job for job in left_to_do(part, Store(store)) if job.id in ids]
            at_once = jobs or trials_at_once(todo, n_gpus)
            at_once = min(at_once, len(todo) or at_once)
            threads = threads_for(at_once, n_gpus) if executor == ExecutorName.LOCAL else cpus
            _tell_plan(part, todo, threads, at_once if executor == ExecutorName.LOCAL and todo else None)
            if dry_run:
                seconds += _tell_of(part, todo, sets, threads, at_once)
                continue
            # Absolute, so that processes elsewhere find them.
            folders = store.absolute(), sets.data and sets.data.absolute(), cache.absolute()
            place = Place(*folders, threads, workers, compiled)
            execute = cluster or Local(at_once)
            last = place, execute
            with (
                _stoppable(),
                View(terminal, len(todo)) as view,
                tracked(view, track, part.record, store) as listen,
            ):
                failed = run_study(part, place, listen, execute=execute, retry_failed=retry_failed)
            n_failed += len(failed)
            n_constant += view.n_constant
            if failed:
                break  # a look needs the seeds of all
        if last:
            place, execute = last
            with _stoppable(), View(terminal, 0) as view:
                is_timed = time_models(part, place, view, execute=execute, without=failed)
            if not is_timed:
                terminal.print(f"WARNING: the models of {part.record['study']} could not be timed, see above")
        n_trials += _n_trials(part)
    if dry_run:
        if len(plans) > 1:
            terminal.print(f"all {len(plans)} sets: about {duration(seconds)}")
        if troubles:
            raise MedbenchError("\n".join(troubles))
        return
    if n_constant:
        terminal.print(f"WARNING: in {n_constant} evaluation(s) every predicted mask is empty, or full, see above")
    if n_failed:
        terminal.print(f"{n_failed} of {n_trials} trials failed; the others are in {store}")
        terminal.print("--retry-failed runs again what failed")
        raise typer.Exit(1)
    terminal.print(f"all {n_trials} trials are in {store}; next: medbench report {store}")


@contextmanager
def _stoppable() -> Generator[None]:
    """Ctrl-C, or a SIGTERM, ends the command with a line and the exit code that shells give the former."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt as error:
        console().print("stopped; the same command goes on from here")
        raise typer.Exit(130) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _each_once(left: "list[list[Job]]") -> "list[list[Job]]":
    """What is left of several studies, without what an earlier one of them does too: sets may be the same."""
    seen: set[tuple[str, ...]] = set()
    found: list[list[Job]] = []
    for jobs in left:
        keys = [(job.id, *(each["id"] for each in job.evaluations.values())) for job in jobs]
        found.append([job for job, key in zip(jobs, keys, strict=True) if key not in seen])
        seen.update(keys)
    return found


def _tell_plan(planned: "Plan", todo: "list[Job]", threads: int, at_once: int | None) -> None:
    """What is printed of a study before its trials begin."""
    from ..stats import same_training

    terminal, record = console(), planned.record
    n_images = record["n_images"]
    terminal.print(
        f"{_on_set(record)}{_n_trials(planned)} trials on {n_images['train']} images, {n_images['validation']} for "
        f"validation, {n_images['test']} for test; {len(todo)} to do, {threads} thread(s) each"
        f"{f', {at_once} at once' if at_once else ''}"
    )
    if most := record["dataset"].get("test_images"):
        terminal.print(f"a first look: no more than {most} images of each test set (dataset.test_images)")
    if record["left_out"]:
        terminal.print(f"{record['left_out']} images left out: `medbench data verify` says which")
    for names in record["same"]:
        terminal.print(f"{same_training(names)}; they will not be compared")


def _n_trials(planned: "Plan") -> int:
    """Trials, of which variants may share some."""
    return len({job.id for job in planned.jobs})


def _on_set(record: dict[str, Any]) -> str:
    return f"on {record['series']['set']}: " if "series" in record else ""


def _cluster(
    name: ExecutorName, resources: "Resources", address: str | None, slurm: list[str], store: Path
) -> "Execute | None":
    """What places trials on other machines, where that is asked for."""
    if name == ExecutorName.RAY:
        from ..study.executors.on_ray import on_ray

        return on_ray(resources, address)
    if name == ExecutorName.SLURM:
        from ..study.executors.on_slurm import on_slurm

        return on_slurm(resources, store.absolute() / "logs" / "slurm", slurm)
    return None


def _tell_of(planned: "Plan", todo: "list[Job]", sets: "Sets", threads: int, at_once: int) -> float:
    """Prints what a dry run tells, and gives the seconds that it expects."""
    from ..study.estimates import estimate

    terminal, refused = console(), planned.refused()
    with progress_bar("measuring a few batches and images") as show:
        able = [job for job in todo if job.id not in refused]
        costs = estimate(planned.jobs, able, sets, threads=threads, on_job=show)
    left = {job.id for job in todo}
    known: dict[str, str] = {}
    for job in planned.jobs:
        if known.setdefault(job.id, job.cell.label) != job.cell.label:
            terminal.print(f"{job.id}  {job.cell.label}: the training of {known[job.id]}, done once for both")
            continue
        if job.id in refused:
            terminal.print(f"{job.id}  {job.cell.label}: cannot be trained as it is, see below")
            continue
        about = f", about {duration(costs.seconds[job.id])}" if job.id in costs.seconds else ""
        trouble = f", no estimate: {costs.troubles[job.id]}" if job.id in costs.troubles else ""
        terminal.print(f"{job.id}  {job.cell.label}: {'to do' if job.id in left else 'done'}{about}{trouble}")
    seconds = sum(costs.seconds.values()) / at_once + costs.caching
    if costs.seconds:
        n_without = len(costs.troubles)
        told = "1 trial that has" if n_without == 1 else f"{n_without} trials that have"
        without = f", without {told} no estimate" if n_without else ""
        terminal.print(
            f"about {duration(seconds)} on this machine, {at_once} at "
            f"once{without}; {megabytes(costs.stored)} in the store, {megabytes(costs.cached)} of decoded images in "
            f"the cache, {megabytes(costs.at_work * at_once)} for checkpoints while it runs"
        )
    if "looks" in planned.record and todo:
        first, last = planned.rounds[0], planned.rounds[-1]
        in_first = sum(costs.seconds.get(job.id, 0.0) for job in planned.first(first).jobs)
        terminal.print(
            f"it stops when every comparison is decided, looked at after {first} seeds of each variant (about "
            f"{duration(in_first / at_once + costs.caching)}), then after each further one up to {last}"
        )
    return seconds
