"""How commands speak: plain text, tables, a bar on standard error, and mistakes in one line."""

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from .errors import MedbenchError

P = ParamSpec("P")
PIPED_WIDTH = 160  # a file has no edge to fold lines at
DataOption = Annotated[
    Path | None, typer.Option(help="Folder with isic2018/, ph2/, ham10000/ and weights/; or set MEDBENCH_DATA.")
]
StoreOption = Annotated[Path, typer.Option(envvar="MEDBENCH_STORE", help="The store of finished trials.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def default_store() -> Path:
    """The store where none is named."""
    return Path(os.environ.get("MEDBENCH_STORE", "runs"))


def console(*, stderr: bool = False) -> Console:
    """Prints text as it is: paths and questions are no markup, and lines are for the terminal to wrap."""
    return Console(stderr=stderr, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(what: str) -> Generator[Callable[[int, int], None]]:
    """Gives a function of things done and to do, which moves a bar on the terminal's standard error."""
    with Progress(console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def progress_bars() -> Generator[Callable[[str, int, int], None]]:
    """Gives a function of what is done, how much of it and of how much, which moves a bar for each."""
    with Progress(console=console(stderr=True), transient=True) as progress:
        bars: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what)
            progress.update(bars[what], completed=done, total=total or None)

        yield show


def told_in_one_line(command: Callable[P, None]) -> Callable[P, None]:
    """Turns the user's mistakes into one line on standard error and exit code 2."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except MedbenchError as error:
            console(stderr=True).print(f"error: {error}")
            raise typer.Exit(2) from error

    return wrapped


def print_table(header: tuple[str, ...], rows: list[tuple[str, ...]], right: tuple[int, ...] = ()) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, title in enumerate(header):
        table.add_column(title, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table, highlight=False)
