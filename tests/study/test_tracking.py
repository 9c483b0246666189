"""What TensorBoard and MLflow are told, read back from their own files."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from medbench.bench.errors import MedbenchError
from medbench.bench.study.tracking import tracked
from medbench.bench.study.trials import Event

from .test_interrupted import ignore

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorBoard's and MLflow's own

RECORD = {"study": "mine"}


def epoch(number: int) -> Event:
    values = dict.fromkeys(
        ("train_loss", "validation_loss", "validation_dice", "learning_rate", "images_per_second"), 0.5
    )
    return Event("epoch", "abc", "one seed 0", {"epochs": 3, "epoch": number, **values, "train_loss": 1 / number})


SCORED = Event("evaluated", "abc", "one seed 0", {"evaluation": "clean", "images": 4, "dice": 0.8, "iou": 0.7})


def test_tensorboard_has_every_epoch_of_a_resumed_trial(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for events in ([epoch(1), epoch(2)], [epoch(3), SCORED]):  # two runs of the same command
        with tracked(ignore, "tensorboard", RECORD, tmp_path) as listen:
            for event in events:
                listen(event)

    [folder] = (tmp_path / "tensorboard" / "mine").iterdir()
    read = accumulator.EventAccumulator(str(folder))
    read.Reload()

    assert folder.name == "one-seed-0-abc"
    assert [(each.step, round(each.value, 4)) for each in read.Scalars("train_loss")] == [
        (1, 1.0),
        (2, 0.5),
        (3, 0.3333),
    ]
    assert [(each.step, round(each.value, 4)) for each in read.Scalars("clean/dice")] == [(3, 0.8)]


def test_mlflow_keeps_a_resumed_trial_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for events in ([epoch(1), epoch(2)], [epoch(3), SCORED]):
        with tracked(ignore, "mlflow", RECORD, tmp_path) as listen:
            for event in events:
                listen(event)

    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    [run] = client.search_runs([client.get_experiment_by_name("mine").experiment_id])

    assert run.data.tags["medbench.trial"] == "abc"
    assert run.info.run_name == "one seed 0"
    assert run.info.status == "FINISHED"
    assert [each.value for each in client.get_metric_history(run.info.run_id, "train_loss")] == [1.0, 0.5, 1 / 3]
    assert run.data.metrics["clean/iou"] == 0.7


def test_mlflow_without_a_server_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    with pytest.raises(MedbenchError, match="set MLFLOW_TRACKING_URI"), tracked(ignore, "mlflow", RECORD, tmp_path):
        pass


def test_mlflow_without_what_a_database_needs_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    address = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr("medbench.bench.study.tracking.find_spec", lambda _: None)

    with (
        pytest.raises(MedbenchError, match=r"sqlite:///.*pip install mlflow;") as caught,
        tracked(ignore, "mlflow", RECORD, tmp_path),
    ):
        pass

    assert "\n" not in str(caught.value)


@pytest.mark.skipif(find_spec("sqlalchemy") is None, reason="MLflow's smaller package has no databases")
def test_mlflow_writes_to_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    address = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with tracked(ignore, "mlflow", RECORD, tmp_path) as listen:
        listen(epoch(1))

    client = mlflow.MlflowClient(tracking_uri=address)
    [run] = client.search_runs([client.get_experiment_by_name("mine").experiment_id])

    assert run.data.metrics["train_loss"] == 1.0


def test_a_tracker_that_fails_is_told_once_and_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    events: list[Event] = []

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.add_scalar", refuse)
    with tracked(events.append, "tensorboard", RECORD, tmp_path) as listen:
        for number in (1, 2):
            listen(epoch(number))

    assert [event.kind for event in events] == ["epoch", "untracked", "epoch"]
    assert events[1].values["error"] == "disk full"
