"""Trials on a real Ray cluster of two nodes, and as jobs of submitit's local scheduler; what dies goes on elsewhere."""

import importlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.errors import MedbenchError
from medbench.bench.store.folder import Store
from medbench.bench.study.executors import Resources
from medbench.bench.study.executors.cluster import Cluster, Lost
from medbench.bench.study.executors.guard import Work
from medbench.bench.study.executors.local import Local, visible_gpus
from medbench.bench.study.executors.on_ray import on_ray
from medbench.bench.study.executors.on_slurm import on_slurm
from medbench.bench.study.planning import Job
from medbench.bench.study.trials import Event, Listen, Place, run_job

from ..conftest import ROOT
from .test_interrupted import STUDY, ignore, place, planned, results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's and submitit's own, which are many
]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes elsewhere are started in this folder, and look for `see_gpu` by the name of this module."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def see_gpu(job: Job, where: Place, listen: Listen) -> None:
    """Instead of a training: notes which GPU this process may see."""
    del listen
    time.sleep(0.5)
    (where.store / f"{job.id}.gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))


# Ray


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """A head without processors, and two nodes with one each."""
    ray, utils = pytest.importorskip("ray"), pytest.importorskip("ray.cluster_utils")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_ray_goes_on_elsewhere_when_a_node_is_killed_in_mid_training(two_nodes: Any, tmp_path: Path) -> None:
    state = importlib.import_module("ray._private.state")
    [job] = planned(tmp_path, epochs=12)
    Local()([job], place(tmp_path, "whole"), ignore, work=run_job)
    execute = on_ray(Resources(cpus=1), two_nodes.address)
    events: list[Event] = []
    killed: list[str] = []

    def listen(event: Event) -> None:
        events.append(event)
        if event.kind == "epoch" and event.values["epoch"] >= 2 and not killed:
            has, could = state.available_resources_per_node(), state.total_resources_per_node()
            [busy] = [id for id in has if has[id].get("CPU", 0) < could[id].get("CPU", 0)]
            node = next(each for each in two_nodes.worker_nodes if each.node_id == busy)
            two_nodes.remove_node(node, allow_graceful=False)
            killed.append(busy)

    failed = execute([job], place(tmp_path), listen, work=run_job)

    kinds = [event.kind for event in events]
    assert killed
    assert failed == []
    assert kinds.count("resumed") == 1
    assert kinds[-1] == "done"
    epochs = [event.values["epoch"] for event in events if event.kind == "epoch"]
    assert len(epochs) - len(set(epochs)) <= 1  # one at most is done twice
    assert 12 - len(set(epochs)) <= 1  # killed between an epoch's checkpoint and its line, it goes on without telling
    assert results(tmp_path / "runs") == results(tmp_path / "whole")
    two_nodes.add_node(num_cpus=1)


def test_ray_tells_of_a_failure_and_finishes_the_rest(two_nodes: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = STUDY.replace("variants:\n", "variants:\n  bad: {model: tests.study.test_run:Broken}\n")
    path.write_text(text, encoding="utf-8")
    jobs = planned(tmp_path, epochs=1, text=text)
    events: list[Event] = []

    failed = on_ray(Resources(cpus=1), two_nodes.address)(jobs, place(tmp_path), events.append, work=run_job)

    assert [job.cell.variant for job in failed] == ["bad"]
    [told] = [event for event in events if event.kind == "failed"]
    assert "this model is broken" in told.values["error"]
    assert "Traceback" in told.values["traceback"]
    assert all(Store(tmp_path / "runs").has_trial(job.id) for job in jobs if job not in failed)


def test_ray_says_what_no_node_has(two_nodes: Any) -> None:
    with pytest.raises(MedbenchError, match=r"no node .* has 64 CPUs, 0\.5 GPUs.*--cpus"):
        on_ray(Resources(cpus=64, gpus=0.5), two_nodes.address)


# Slurm, by submitit's local scheduler


def remember_handles(execute: Cluster, handles: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    submit = execute.scheduler.submit

    def remember(work: Work, job: Job, where: Place) -> Any:
        handles.append(submit(work, job, where))
        return handles[-1]

    monkeypatch.setattr(execute.scheduler, "submit", remember)


def test_submitted_jobs_train_and_fail_like_any(tmp_path: Path) -> None:
    text = STUDY.replace("variants:\n", "variants:\n  bad: {model: tests.study.test_run:Broken}\n")
    jobs = planned(tmp_path, epochs=2, text=text)
    [good] = [job for job in jobs if job.cell.variant == "one"]
    Local()([good], place(tmp_path, "whole"), ignore, work=run_job)
    events: list[Event] = []

    failed = on_slurm(Resources(), tmp_path / "logs", cluster="local")(
        jobs, place(tmp_path), events.append, work=run_job
    )

    assert [job.cell.variant for job in failed] == ["bad"]
    assert "this model is broken" in next(event.values["error"] for event in events if event.kind == "failed")
    assert results(tmp_path / "runs") == results(tmp_path / "whole")


def test_a_job_at_its_time_limit_is_queued_again_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [job] = planned(tmp_path, epochs=12)
    Local()([job], place(tmp_path, "whole"), ignore, work=run_job)
    execute = on_slurm(Resources(), tmp_path / "logs", cluster="local")
    events: list[Event] = []
    handles: list[Any] = []
    remember_handles(execute, handles, monkeypatch)

    def listen(event: Event) -> None:
        events.append(event)
        if event.kind == "epoch" and event.values["epoch"] == 2:
            controller = handles[0].job_id
            [task] = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
            os.kill(int(task), signal.SIGUSR2)  # what Slurm sends before the limit

    failed = execute([job], place(tmp_path), listen, work=run_job)

    assert failed == []
    assert "resumed" in [event.kind for event in events]
    assert results(tmp_path / "runs") == results(tmp_path / "whole")


def test_a_killed_job_is_told_with_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [job] = planned(tmp_path, epochs=200)
    execute = on_slurm(Resources(), tmp_path / "logs", cluster="local")
    handles: list[Any] = []
    remember_handles(execute, handles, monkeypatch)
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if event.kind == "epoch" and event.values["epoch"] == 1:
            handles[0].cancel()

    failed = execute([job], place(tmp_path), listen, work=run_job)

    assert failed == [job]
    assert str(tmp_path / "logs") in events[-1].values["error"]
    assert not Store(tmp_path / "runs").failure(job.id).is_file()  # the same command goes on from its checkpoint


@pytest.mark.parametrize(
    ("settings", "message"),
    [(["partition"], "say KEY=VALUE"), (["colour=blue"], "Unknown argument 'colour'")],
)
def test_settings_that_slurm_does_not_know_are_refused(tmp_path: Path, settings: list[str], message: str) -> None:
    with pytest.raises(MedbenchError, match=message):
        on_slurm(Resources(), tmp_path, settings, cluster="local")


def test_a_flag_of_slurm_has_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script that submitit would hand to sbatch, which is not here."""
    slurm = pytest.importorskip("submitit.slurm.slurm")
    monkeypatch.setattr(slurm.SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    scheduler: Any = on_slurm(Resources(cpus=3), tmp_path, ["exclusive=true", "time=90", "partition=gpu"]).scheduler

    script = slurm._make_sbatch_string("true", tmp_path, **scheduler.executor._executor.parameters)

    assert {"#SBATCH --exclusive", "#SBATCH --time=90", "#SBATCH --partition=gpu", "#SBATCH --cpus-per-task=3"} <= set(
        script.splitlines()
    )


def test_slurm_is_refused_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("MEDBENCH_CACHE", str(tmp_path / "cache"))
    decoded: list[Any] = []  # which takes minutes where images are many
    monkeypatch.setattr("medbench.bench.study.runner.decode", lambda *given: decoded.append(given))
    words = ["run", "baa", "--profile", "quick", "--executor", "slurm", "--store", str(tmp_path)]

    done = CliRunner().invoke(app, words)

    assert done.exit_code == 2
    assert "no Slurm on this machine" in done.stderr
    assert decoded == []


# What clusters share


class Scripted:
    """A scheduler that says what it was told to say."""

    def __init__(self, codes: list[int | Lost]) -> None:
        self.codes = codes
        self.submitted: list[str] = []
        self.cancelled: list[str] = []

    def submit(self, work: Callable[..., Any], job: Job, where: Place) -> str:
        self.submitted.append(job.id)
        return job.id

    def code(self, handle: str) -> int | None:
        if not self.codes:
            raise KeyboardInterrupt
        code = self.codes.pop(0)
        if isinstance(code, Lost):
            raise code
        return code

    def cancel(self, handle: str) -> None:
        self.cancelled.append(handle)


def test_a_busy_trial_is_submitted_again_and_a_lost_one_is_told(tmp_path: Path) -> None:
    [job] = planned(tmp_path)
    again, lost, events = Scripted([75, 0]), Scripted([Lost("node down")]), list[Event]()

    assert Cluster(again)([job], place(tmp_path), ignore, work=run_job) == []
    assert Cluster(lost)([job], place(tmp_path), events.append, work=run_job) == [job]

    assert again.submitted == [job.id, job.id]
    assert [event.values["error"] for event in events] == ["node down"]


def test_what_is_interrupted_is_cancelled(tmp_path: Path) -> None:
    jobs = planned(tmp_path, seeds=2)
    scheduler = Scripted([])

    with pytest.raises(KeyboardInterrupt):
        Cluster(scheduler)(jobs, place(tmp_path), ignore, work=run_job)

    assert scheduler.cancelled == [job.id for job in jobs]


def test_trials_take_turns_on_the_gpus_that_are_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    jobs = planned(tmp_path, seeds=3)
    (tmp_path / "runs").mkdir()

    failed = Local(at_once=2)(jobs, place(tmp_path), ignore, work=see_gpu)

    assert failed == []
    assert visible_gpus() == ["3", "5"]
    seen = [(tmp_path / "runs" / f"{job.id}.gpu").read_text() for job in jobs]
    assert set(seen) == {"3", "5"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3, 5"
