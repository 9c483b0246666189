"""How commands speak: plain text, tables, a bar on standard error, and mistakes in one line."""

import json
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from math import isfinite
from pathlib import Path
from threading import Timer
from typing import Annotated, Any, ParamSpec, cast

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from ..errors import MedbenchError
from ..store.folder import is_published

P = ParamSpec("P")
QUICK_S, LINE_EVERY_S = 1.0, 10.0  # of progress without a terminal
PIPED_WIDTH = 160  # a file has no edge to fold lines at
DataOption = Annotated[
    Path | None, typer.Option(help="Folder with isic2018/, ph2/, ham10000/ and weights/; or set MEDBENCH_DATA.")
]
StoreOption = Annotated[Path, typer.Option(envvar="MEDBENCH_STORE", help="The store of finished trials.")]
StoreArgument = Annotated[Path | None, typer.Argument(metavar="[STORE]", help="The store; `runs` where none is named.")]
SameStoreOption = Annotated[Path | None, typer.Option("--store", help="The same, as other commands have it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def default_store() -> Path:
    """The store where none is named."""
    return Path(os.environ.get("MEDBENCH_STORE", "runs"))


def existing_store(argument: Path | None, option: Path | None = None, *, or_published: bool = False) -> Path:
    """The store that is named as an argument or as an option, or the one where none is named; with `or_published` it
    may be a published result.

    Raises:
        MedbenchError: both name one, or there is no study in it.
    """
    if argument and option:
        raise MedbenchError(f"{argument} and --store {option}: name one store")
    store = argument or option or default_store()
    if is_published(store):
        if not or_published:
            raise MedbenchError(
                f"{store} is a published result, without weights; `medbench report` and `verify` read it"
            )
        return store
    if not (store / "studies").is_dir():
        near = sorted(path.parent for path in store.glob("*/studies"))
        hint = f"did you mean {near[0]}?" if near else "name the store that `medbench run --store` wrote"
        raise MedbenchError(f"{store}: no studies/ there; {hint}")
    return store


@contextmanager
def at_work(what: str) -> Generator[None]:
    """Shows that something goes on of which nobody knows how far it is."""
    with progress_bars() as show:
        show(what, 0, 0)
        yield


def console(*, stderr: bool = False) -> Console:
    """Prints text as it is: paths and questions are no markup, and lines are for the terminal to wrap. It keeps to the
    stream of now, so that it speaks where others are silenced."""
    return Console(file=sys.stderr if stderr else sys.stdout, markup=False, highlight=False, soft_wrap=True)


class Lines:
    """Progress where there is no terminal to move a bar on: a line when a phase has lasted a second, so that quick
    commands are silent, and then one every ten seconds at most."""

    def __init__(self, terminal: Console) -> None:
        self.terminal = terminal
        self.next_line: dict[str, float] = {}
        self.timer: Timer | None = None

    def begin(self, what: str) -> None:
        """A phase begins; else it does so when it is first shown."""
        self.next_line.setdefault(what, time.monotonic() + QUICK_S)

    def show(self, what: str, done: int, total: int) -> None:
        """How far a phase is; `total` is 0 where nobody knows: there is one line then."""
        self.end()
        if not total:
            self.timer = Timer(QUICK_S, lambda: self.terminal.print(what))
            self.timer.daemon = True
            self.timer.start()
            return
        self.begin(what)
        if time.monotonic() >= self.next_line[what]:
            self.next_line[what] = time.monotonic() + LINE_EVERY_S
            self.terminal.print(f"{what}: {done} of {total}")

    def end(self) -> None:
        """The last phase is over."""
        if self.timer:
            self.timer.cancel()


@contextmanager
def progress_bar(what: str) -> Generator[Callable[[int, int], None]]:
    """Gives a function of things done and to do, which moves a bar on standard error, or prints lines there where it is
    no terminal."""
    terminal = console(stderr=True)
    if not terminal.is_terminal:
        lines = Lines(terminal)
        lines.begin(what)
        yield lambda done, total: lines.show(what, done, total)
        return
    with Progress(console=terminal, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def progress_bars() -> Generator[Callable[[str, int, int], None]]:
    """Gives a function of what is done, how much of it and of how much (0 where nobody knows), which moves a bar for
    each, or prints lines."""
    terminal = console(stderr=True)
    if not terminal.is_terminal:
        lines = Lines(terminal)
        try:
            yield lines.show
        finally:
            lines.end()
        return
    with Progress(console=terminal, transient=True) as progress:
        bars: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            endless = {task.id for task in progress.tasks if task.total is None}
            for other in [name for name in bars if name != what and bars[name] in endless]:
                progress.remove_task(bars.pop(other))  # nobody else says that it is over
            if what not in bars:
                bars[what] = progress.add_task(what)
            progress.update(bars[what], completed=done, total=total or None)

        yield show


def told_in_one_line(command: Callable[P, None]) -> Callable[P, None]:
    """Turns the user's mistakes, and files that cannot be read or written, into one line on standard error and exit
    code 2."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except MedbenchError as error:
            console(stderr=True).print(f"error: {error}")
            raise typer.Exit(2) from error
        except OSError as error:
            if error.filename is None:  # a pipe's, say
                raise
            console(stderr=True).print(f"error: {error.filename}: {error.strerror}")
            raise typer.Exit(2) from error

    return wrapped


def print_table(header: tuple[str, ...], rows: list[tuple[str, ...]], right: tuple[int, ...] = ()) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, title in enumerate(header):
        table.add_column(title, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table, highlight=False)


def print_json(value: Any) -> None:
    """Prints plain values as JSON, in which a number that is not finite is null: JSON has no word for it."""
    typer.echo(json.dumps(_finite(value), indent=1, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in cast(Mapping[str, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in cast(Sequence[Any], value)]
    return None if isinstance(value, float) and not isfinite(value) else value


def duration(seconds: float) -> str:
    """As in "2 h 5 min"; never less than a minute."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"


def megabytes(n_bytes: float) -> str:
    """As in "1.2 GB" or "30 MB"."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{max(round(n_bytes / 1e6), 1)} MB"
