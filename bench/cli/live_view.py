"""What `medbench run` shows: a live bar a trial on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .terminal import Lines

if TYPE_CHECKING:  # which takes torch along
    from ..study.trials import Event

LINE_EVERY_S = 30.0
ALL = "all trials"  # the bar above those of single ones


class View:
    """Listens to events of any number of trials; a context manager, because a live display must be closed."""

    def __init__(self, console: Console, n_jobs: int) -> None:
        self.console = console
        self.n_jobs = n_jobs
        self.n_done = self.n_constant = 0
        self.bars: dict[str, TaskID] = {}
        self.last_line: dict[str, float] = {}
        self.dice: dict[str, str] = {}
        self.by_epochs: set[str] = set()
        self.lines = Lines(console)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "View":
        self.progress.start()
        self._count()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def reading(self, what: str, done: int, total: int) -> None:
        """Images being looked at or decoded before the first trial."""
        if not self.console.is_terminal:
            self.lines.show(f"{what}, which the cache will remember", done, total)
        self._bar(what, what, done, total, "")
        if done == total:
            self._drop(what)

    def __call__(self, event: "Event") -> None:
        """Shows an event."""
        values = event.values
        if event.kind == "step":
            note = f"loss {values['loss']:.3f}{self.dice.get(event.job, '')}"
            self._bar(event.job, event.label, values["step"], values["steps"], note)
        elif event.kind == "image":
            self._bar(event.job, event.label, values["done"], values["total"], f"scoring {values['evaluation']}")
        elif event.kind == "epoch":
            self.dice[event.job] = f", validation dice {values['validation_dice']:.3f}"
            if event.job not in self.bars or event.job in self.by_epochs:  # far away, steps are not told
                self.by_epochs.add(event.job)
                self._bar(event.job, event.label, values["epoch"], values["epochs"], self.dice[event.job])
            self._line(
                event,
                f"epoch {values['epoch']}/{values['epochs']}  {values['size']} px  loss {values['train_loss']:.4f}  "
                f"validation dice {values['validation_dice']:.4f}  {values['images_per_second']:.1f} images/s",
                seldom=values["epoch"] < values["epochs"],
            )
        elif event.kind == "resumed":
            self._line(event, f"goes on after epoch {values['done']} of {values['epochs']}")
        elif event.kind == "anew":
            self._line(event, f"begins anew: {values['why']}")
        elif event.kind == "smaller":
            self._line(event, f"out of memory: each batch is now computed in {values['parts']} parts")
        elif event.kind == "eager":
            self._line(event, f"torch cannot compile this model, it is trained as it was written: {values['why']}")
        elif event.kind == "damaged":
            self._line(event, f"{values['what']}; set aside as {values['place']}, done again")
        elif event.kind == "untracked":
            self._line(event, f"tracking ended, training goes on: {values['error']}")
        elif event.kind == "busy":
            self._line(event, f"{values['why']}; waiting", seldom=True)
        elif event.kind == "evaluated":
            scores = f"dice {values['dice']:.4f}, iou {values['iou']:.4f} over {values['images']} images"
            self._line(event, f"{values['evaluation']}: {scores}")
            if values["constant"]:
                self.n_constant += 1
                self._line(
                    event, f"{values['evaluation']}: WARNING: every mask that it predicts is {values['constant']}"
                )
        elif event.kind == "done":
            self.n_done += 1
            self._drop(event.job)
            self._count()
            self._line(event, f"done ({self.n_done} of {self.n_jobs})")
        elif event.kind == "failed":
            self.n_done += 1
            self._drop(event.job)
            self._count()
            if values["traceback"]:
                self.console.print(values["traceback"], style="dim")
            self._line(event, f"FAILED: {values['error']}")

    def _count(self) -> None:
        if self.n_jobs > 1:
            self._bar(ALL, ALL, self.n_done, self.n_jobs, "")

    def _bar(self, key: str, label: str, done: int, total: int, note: str) -> None:
        if key not in self.bars:
            self.bars[key] = self.progress.add_task(label, total=total, note=note)
        self.progress.update(self.bars[key], completed=done, total=total, note=note)

    def _drop(self, key: str) -> None:
        if key in self.bars:
            self.progress.remove_task(self.bars.pop(key))

    def _line(self, event: "Event", text: str, *, seldom: bool = False) -> None:
        """A line of log; `seldom` ones are dropped while the last of the same trial is fresh."""
        now = time.monotonic()
        if seldom and now - self.last_line.get(event.job, -LINE_EVERY_S) < LINE_EVERY_S:
            return
        self.last_line[event.job] = now
        self.console.print(f"{event.label}: {text}")
