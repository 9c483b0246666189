"""Losses and scores of running trials in TensorBoard or MLflow, for those who watch there. The store stays the record:
a tracker that fails is given up, and no training with it."""

import importlib
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from ..errors import MedbenchError, first_line
from .trials import Event, Listen

OF_AN_EPOCH = ("train_loss", "validation_loss", "validation_dice", "learning_rate", "images_per_second")
OF_AN_EVALUATION = ("dice", "iou")
DATABASES = {"sqlite", "postgresql", "mysql", "mssql"}  # that MLflow can write to itself, through SQLAlchemy


class Tracker(Protocol):
    """Takes numbers of a trial at an epoch."""

    def log(self, event: Event, values: Mapping[str, float], epoch: int) -> None:
        """Adds to what is known of the event's trial."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


@contextmanager
def tracked(listen: Listen, name: str | None, record: Mapping[str, Any], store: Path) -> Generator[Listen]:
    """Gives a listener that also passes losses and scores to "tensorboard" or "mlflow", where one is named.

    Raises:
        MedbenchError: it is not installed, or not set up.
    """
    if name is None:
        yield listen
        return
    tracker = {"tensorboard": TensorBoard, "mlflow": MLflow}[name](record, store)
    telling = _Telling(listen, tracker, record["study"])
    try:
        yield telling
    finally:
        telling.guarded(tracker.close)


class _Telling:
    def __init__(self, listen: Listen, tracker: Tracker, study: str) -> None:
        self.listen = listen
        self.study = study
        self.tracker: Tracker | None = tracker
        self.epochs: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        self.listen(event)
        values: dict[str, float] = {}
        if event.kind == "epoch":
            self.epochs[event.job] = event.values["epoch"]
            values = {key: event.values[key] for key in OF_AN_EPOCH}
        elif event.kind == "evaluated":
            values = {f"{event.values['evaluation']}/{key}": event.values[key] for key in OF_AN_EVALUATION}
        if values and (tracker := self.tracker):
            self.guarded(lambda: tracker.log(event, values, self.epochs.get(event.job, 0)))

    def guarded(self, step: Any) -> None:
        if self.tracker is None:
            return
        try:
            step()
        except Exception as error:
            self.tracker = None
            self.listen(Event("untracked", "", self.study, {"error": first_line(error)}))


class TensorBoard:
    """One folder of event files a trial, in tensorboard/ of the store; a resumed trial adds a file to it."""

    def __init__(self, record: Mapping[str, Any], store: Path) -> None:
        try:
            self.writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        except ImportError as error:
            raise MedbenchError("--track tensorboard needs it: pip install 'medbench[tensorboard]'") from error
        self.folder = store / "tensorboard" / record["study"]
        self.open: dict[str, Any] = {}

    def log(self, event: Event, values: Mapping[str, float], epoch: int) -> None:
        """Writes scalars, at once: the run may be killed."""
        if event.job not in self.open:
            self.open[event.job] = self.writer(self.folder / f"{event.label} {event.job}".replace(" ", "-"))
        for name, value in values.items():
            self.open[event.job].add_scalar(name, value, epoch)
        self.open[event.job].flush()

    def close(self) -> None:
        """Closes all files."""
        for writer in self.open.values():
            writer.close()


class MLflow:
    """One run a trial, in an experiment of the study's name, on the server or in the database that MLFLOW_TRACKING_URI
    names; a resumed trial goes on in its run."""

    def __init__(self, record: Mapping[str, Any], store: Path) -> None:
        del store  # MLflow has its own
        try:
            mlflow = importlib.import_module("mlflow")
        except ImportError as error:
            raise MedbenchError("--track mlflow needs it: pip install 'medbench[mlflow]'") from error
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            raise MedbenchError("--track mlflow: set MLFLOW_TRACKING_URI to your server, as in http://localhost:5000")
        if uri.partition(":")[0].partition("+")[0] in DATABASES and find_spec("sqlalchemy") is None:
            raise MedbenchError(
                f"--track mlflow: for a database ({uri}, MLFLOW_TRACKING_URI) install the whole of MLflow: pip install "
                "mlflow; what medbench installs of it speaks with servers alone"
            )
        try:
            self.client = mlflow.MlflowClient(tracking_uri=uri)
            found = self.client.get_experiment_by_name(record["study"])
            self.experiment = found.experiment_id if found else self.client.create_experiment(record["study"])
        except Exception as error:  # MLflow's own, of its stores, of HTTP
            raise MedbenchError(f"--track mlflow: {first_line(error)} (MLFLOW_TRACKING_URI)") from error
        self.runs: dict[str, str] = {}

    def log(self, event: Event, values: Mapping[str, float], epoch: int) -> None:
        """Sends metrics to the run of the event's trial."""
        if event.job not in self.runs:
            found = self.client.search_runs([self.experiment], f"tags.`medbench.trial` = '{event.job}'")
            run = (
                found[0]
                if found
                else self.client.create_run(self.experiment, tags={"medbench.trial": event.job}, run_name=event.label)
            )
            self.runs[event.job] = run.info.run_id
        for name, value in values.items():
            self.client.log_metric(self.runs[event.job], name, value, step=epoch)

    def close(self) -> None:
        """Ends all runs."""
        for run in self.runs.values():
            self.client.set_terminated(run)
