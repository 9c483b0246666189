"""Runs that are killed, doubled, damaged or out of memory lose nothing and repeat nothing."""

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from medbench.ablations.schema.loading import load_study
from medbench.bench.cli import app
from medbench.bench.store.folder import BusyError, Store
from medbench.bench.store.records import file_digest, is_sealed
from medbench.bench.study.executors.guard import BUSY, guarded
from medbench.bench.study.executors.local import Local
from medbench.bench.study.planning import Job, plan
from medbench.bench.study.runner import decode, left_to_do, run_study
from medbench.bench.study.sets import Sets
from medbench.bench.study.trials import Event, Place, run_job
from medbench.bench.study.verifying import damaged_folders
from medbench.bench.training.device import device_id, prepare
from medbench.bench.training.loop import train
from medbench.datasets.cache import load_arrays
from medbench.datasets.inspection import inspect
from medbench.datasets.synthetic import SyntheticSet

from ..conftest import ROOT
from ..fabricated_store import unsealed
from ..training.test_loop import RECIPE, Small

STUDY = """\
question: Does it survive?
baseline: one
variants:
  one: {model: ulite}
dataset: {name: synthetic, images: 30, size: 32}
encoder_weights: none
seeds: SEEDS
training: {epochs: EPOCHS, batch_size: 8}
evaluate: [clean, {artifact: hair, severity: 3}]
"""
KILLS = int(os.environ.get("MEDBENCH_KILLS", "5"))  # 30 take minutes
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["medbench.bench.study.executors.local", "medbench.models.catalog", "medbench.datasets.augment"]
)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children look for `work` by the name of this module."""
    monkeypatch.syspath_prepend(ROOT)


class Greedy(Small):
    """Runs out of memory on more than three images."""

    def forward(self, image: Tensor) -> Tensor:
        if self.training and len(image) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(image)


def planned(folder: Path, seeds: int = 1, epochs: int = 3, text: str = STUDY) -> list[Job]:
    path = folder / "mine.yaml"
    path.write_text(text.replace("SEEDS", str(seeds)).replace("EPOCHS", str(epochs)), encoding="utf-8")
    return plan(load_study(str(path)), Sets(None, folder / "cache")).jobs


def place(folder: Path, store: str = "runs") -> Place:
    return Place(folder / store, None, folder / "cache", 1, 0)


def ignore(event: Event) -> None:
    del event


def work(jobs: list[Job], where: Place, log: Path | None = None) -> None:
    """What a child process does; `log` gets a line an event."""

    def listen(event: Event) -> None:
        if log:
            with log.open("a") as file:
                file.write(json.dumps([event.kind, event.job]) + "\n")

    Local()(jobs, where, listen, work=run_job)


def results(store: Path) -> dict[str, str]:
    """The digest of every file that a result is; times and machine differ from run to run."""
    kinds = ("weights.safetensors", "scores.parquet", "reliability.parquet", "*.png")
    return {path.relative_to(store).as_posix(): file_digest(path) for kind in kinds for path in store.rglob(kind)}


def test_killed_at_random_instants_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Anywhere between its start and its last evaluation."""
    text = STUDY.replace("batch_size: 8", "batch_size: 8, checkpoint: best-val")
    jobs, log = planned(tmp_path, epochs=max(10, KILLS // 2), text=text), tmp_path / "log"
    log.touch()
    duration = 0.0
    for target, args in (ignore, (None,)), (work, (jobs, place(tmp_path, "whole"))):  # the first waits for the server
        started = time.monotonic()
        child = SERVER.Process(target=target, args=args)
        child.start()
        child.join()
        duration = time.monotonic() - started
    rng, kills = random.Random(0), 0
    while kills < KILLS or '["resumed"' not in log.read_text():
        child = SERVER.Process(target=work, args=(jobs, place(tmp_path), log))
        child.start()
        child.join(rng.uniform(0.1, 0.5) * duration)
        if child.is_alive():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.join()
        if Store(tmp_path / "runs").has_evaluation(jobs[0].id, jobs[0].evaluations["hair-3"]["id"]):
            shutil.rmtree(tmp_path / "runs")  # it was quicker than its killer
    work(jobs, place(tmp_path), log)

    assert results(tmp_path / "runs") == results(tmp_path / "whole")
    assert [path.name for path in (tmp_path / "runs").rglob("*.safetensors")] == ["weights.safetensors"]
    assert not list((tmp_path / "runs").rglob("*.tmp"))


def test_two_runs_share_twenty_trials_and_repeat_none(tmp_path: Path) -> None:
    jobs = planned(tmp_path, seeds=20, epochs=1)
    logs = [tmp_path / "first", tmp_path / "second"]

    children = [SERVER.Process(target=work, args=(jobs, place(tmp_path), log)) for log in logs]
    for child in children:
        child.start()
    for child in children:
        child.join(120)

    told = [[json.loads(line) for line in log.read_text().splitlines()] for log in logs]
    trained = [[job for kind, job in lines if kind == "epoch"] for lines in told]
    assert sorted(trained[0] + trained[1]) == sorted(job.id for job in jobs)
    assert min(map(len, trained)) >= 3
    assert all(Store(tmp_path / "runs").has_trial(job.id) for job in jobs)


def test_a_trial_that_another_process_has_is_busy(tmp_path: Path) -> None:
    [job] = planned(tmp_path)
    store = Store(tmp_path / "runs")

    with store.claimed(job.id):
        with pytest.raises(BusyError):
            run_job(job, place(tmp_path), ignore)
        assert store.is_claimed(job.id)

    assert not store.is_claimed(job.id)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a flipped byte": lambda folder: flip(folder / "weights.safetensors"),
    "a truncated file": lambda folder: (folder / "weights.safetensors").write_bytes(b"short"),
    "a missing file": lambda folder: (folder / "history.parquet").unlink(),
    "a manifest that is no JSON": lambda folder: (folder / "manifest.json").write_text("{"),
    "a manifest of something else": lambda folder: (folder / "manifest.json").write_text('{"files": 3}'),
}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_trial_is_set_aside_and_done_again(tmp_path: Path, how: str) -> None:
    [job] = planned(tmp_path, epochs=1)
    work([job], place(tmp_path))
    before = results(tmp_path / "runs")
    store, events = Store(tmp_path / "runs"), list[Event]()
    DAMAGE[how](store.trial(job.id))
    evaluation = store.evaluation(job.id, job.evaluations["clean"]["id"])
    (evaluation / "manifest.json").unlink()  # so that there is something to do

    Local()([job], place(tmp_path), events.append, work=run_job)

    assert "damaged" in [event.kind for event in events]
    aside = {path: digest for path, digest in results(tmp_path / "runs").items() if path.startswith("damaged/")}
    assert {path: digest for path, digest in results(tmp_path / "runs").items() if path not in aside} == before
    assert list(damaged_folders(store)) == []


def test_what_is_set_aside_takes_the_first_number_that_is_free(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "damaged" / "x.1" / "kept").mkdir(parents=True)
    places: list[str] = []
    for _ in range(2):
        store.trial("x").mkdir(parents=True)
        places.append(store.set_aside(store.trial("x")).name)

    assert places == ["x.0", "x.2"]
    assert (tmp_path / "damaged" / "x.1" / "kept").is_dir()


def test_a_torn_evaluation_is_done_again_and_its_trial_is_not(tmp_path: Path) -> None:
    [job] = planned(tmp_path, epochs=1)
    work([job], place(tmp_path))
    before, store, events = results(tmp_path / "runs"), Store(tmp_path / "runs"), list[Event]()
    (store.evaluation(job.id, job.evaluations["clean"]["id"]) / "scores.parquet").write_bytes(b"PAR1")

    Local()([job], place(tmp_path), events.append, work=run_job)

    kinds = [event.kind for event in events]
    assert "epoch" not in kinds
    assert kinds.count("evaluated") == 1
    assert before.items() <= results(tmp_path / "runs").items()


def test_a_failure_is_recorded_and_told_again_until_it_is_retried(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = STUDY.replace("SEEDS", "1").replace("EPOCHS", "1")
    text = text.replace("variants:\n", "variants:\n  bad: {model: tests.study.test_run:Broken}\n")
    path.write_text(text, encoding="utf-8")
    made = plan(load_study(str(path)), Sets(None, tmp_path / "cache"))
    [bad] = [job for job in made.jobs if job.cell.variant == "bad"]
    record = Store(tmp_path / "runs").failure(bad.id)

    def run(*, retry_failed: bool = False) -> tuple[list[Job], list[Event]]:
        events: list[Event] = []
        return run_study(made, place(tmp_path), events.append, execute=Local(), retry_failed=retry_failed), events

    first, _ = run()
    written = record.read_text()
    again, events = run()
    retried, _ = run(retry_failed=True)

    assert first == again == retried == [bad]
    assert "this model is broken" in written
    assert "Traceback" in json.loads(written)["traceback"]
    assert json.loads(record.read_text())["error"] == json.loads(written)["error"]
    [told] = [event for event in events if event.kind == "failed"]
    assert "failed before" in told.values["error"]
    assert "--retry-failed" in told.values["error"]
    assert len(left_to_do(made, Store(tmp_path / "runs"))) == 1


def test_a_disk_that_takes_no_more_is_told_in_one_line_and_loses_nothing(tmp_path: Path) -> None:
    """The system's own refusal: no file may grow beyond a limit, which the checkpoint and the weights do."""
    jobs, events = planned(tmp_path, seeds=2, epochs=2), list[Event]()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    decode(jobs, Sets(None, tmp_path / "cache"))  # so that the cache is not what meets the limit

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        failed = Local()(jobs, place(tmp_path), events.append, work=run_job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert failed == jobs
    told = [event.values for event in events if event.kind == "failed"]
    assert all("File too large" in each["error"] and not each["traceback"] for each in told)
    assert not list((tmp_path / "runs").rglob("*.tmp"))
    assert Local()(jobs, place(tmp_path), ignore, work=run_job) == []
    work(jobs, place(tmp_path, "whole"))
    assert results(tmp_path / "runs") == results(tmp_path / "whole")


def test_out_of_memory_the_batch_is_computed_in_parts(tmp_path: Path) -> None:
    model = "{model: ulite}"
    [job] = planned(tmp_path, epochs=1, text=STUDY.replace(model, "{model: tests.study.test_interrupted:Greedy}"))
    events: list[Event] = []

    run_job(job, place(tmp_path), events.append)

    assert [event.values["parts"] for event in events if event.kind == "smaller"] == [2, 4]
    environment = json.loads((Store(tmp_path / "runs").trial(job.id) / "environment.json").read_text())
    assert environment["batch_parts"] == 4


def test_a_trial_that_others_leave_no_memory_waits_for_them_and_stays_whole(tmp_path: Path) -> None:
    model = "{model: ulite}"
    [job] = planned(tmp_path, epochs=1, text=STUDY.replace(model, "{model: tests.study.test_interrupted:Greedy}"))
    store, events = Store(tmp_path / "runs"), list[Event]()

    with store.claimed("another"):
        store.note_device("another", device_id(torch.device("cpu")))
        code = guarded(run_job, job, place(tmp_path), events.append)

    assert code == BUSY
    assert [event.kind for event in events][-1] == "busy"
    assert "smaller" not in {event.kind for event in events}
    assert "memory is full" in events[-1].values["why"]
    assert not store.failure(job.id).exists()


def test_only_trials_on_the_same_device_are_waited_for(tmp_path: Path) -> None:
    store = Store(tmp_path)

    with store.claimed("one"), store.claimed("another"):
        unknown = store.others_at_work("one", "this")
        store.note_device("another", "that")
        elsewhere, here = store.others_at_work("one", "this"), store.others_at_work("one", "that")

    assert (unknown, elsewhere, here) == (True, False, True)
    assert not store.others_at_work("one", "that")  # it is done
    with store.claimed("another"):
        assert store.others_at_work("one", "this")  # what is claimed anew has not said where it is


def test_parts_of_a_batch_add_up_to_its_gradient(tmp_path: Path) -> None:
    """Without batch norm and dropout, whose statistics are of a part, parts change nothing but rounding."""
    images = SyntheticSet(images=20, size=64)
    arrays = load_arrays(images, images.ids, 64, tmp_path, inspect(images).digests)

    def weights(parts: int) -> dict[str, Tensor]:
        prepare(0, 1)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 1, 1))
        recipe = {**RECIPE, "epochs": 2, "batch_size": 8}
        return train(model, arrays, images.ids[:16], images.ids[16:], recipe, size=64, seed=0, parts=parts).weights

    for name, whole in weights(1).items():
        torch.testing.assert_close(weights(4)[name], whole, rtol=1e-3, atol=1e-5)


def medbench(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200", "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Job]:
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "mine.yaml"
    path.write_text(STUDY.replace("SEEDS", "1").replace("EPOCHS", "2"), encoding="utf-8")
    made = plan(load_study(str(path)), Sets(None, folder / "cache"))
    run_study(made, place(folder), ignore, execute=Local())
    return folder / "runs", made.jobs[0]


def test_verify_finds_nothing_in_a_sound_store_and_names_every_damage(finished, tmp_path: Path) -> None:
    store = Path(shutil.copytree(finished[0], tmp_path / "runs"))
    sound = medbench("verify", store)
    scores = next(store.rglob("scores.parquet"))
    flip(scores)
    damaged = medbench("verify", store)
    aside = medbench("verify", store, "--set-aside")

    assert (sound.exit_code, damaged.exit_code, aside.exit_code) == (0, 1, 1)
    assert "0 damaged" in sound.output
    assert f"{scores}: SHA-256 differs" in damaged.output
    assert not scores.exists()
    assert medbench("verify", store).exit_code == 0
    assert len([path for path in store.rglob("scores.parquet") if "damaged" not in path.parts]) == 1


def test_what_is_set_aside_with_its_trial_is_no_damage_of_its_own(finished, tmp_path: Path) -> None:
    store = Path(shutil.copytree(finished[0], tmp_path / "runs"))
    flip(next(store.rglob("weights.safetensors")))

    assert " 1 damaged" in medbench("verify", store, "--set-aside").output


def test_a_folder_under_another_id_is_noticed(finished, tmp_path: Path) -> None:
    store = Path(shutil.copytree(finished[0], tmp_path / "runs"))
    (store / "trials" / finished[1].id).rename(store / "trials" / "0123456789abcdef")

    assert f"its configuration has the id {finished[1].id}" in medbench("verify", store).output


def test_a_rerun_is_identical_or_says_what_differs_first(finished, tmp_path: Path) -> None:
    store = Path(shutil.copytree(finished[0], tmp_path / "runs"))
    words = ["verify", str(store), "--rerun", finished[1].id]
    same = CliRunner().invoke(app, words, env={"COLUMNS": "200", "OMP_NUM_THREADS": "2"})  # it was trained with one
    history = store / "trials" / finished[1].id / "history.parquet"
    table = pd.read_parquet(history)
    table.loc[1, "validation_dice"] += 0.25
    manifest = json.loads((history.parent / "manifest.json").read_text())
    table.to_parquet(history)
    manifest["files"]["history.parquet"]["bytes"] = history.stat().st_size
    (history.parent / "manifest.json").write_text(json.dumps(manifest))
    folder = Store(store).evaluation(finished[1].id, finished[1].evaluations["clean"]["id"])
    with unsealed(folder) as working:
        scores, bins = (pd.read_parquet(working / f"{name}.parquet") for name in ("scores", "reliability"))
        scores.loc[1, "dice"], bins.loc[0, "positives"] = float("nan"), bins.loc[0, "positives"] + 1
        scores.to_parquet(working / "scores.parquet", index=False)
        bins.to_parquet(working / "reliability.parquet", index=False)
    other = medbench("verify", store, "--rerun", finished[1].id)

    assert same.exit_code == 0, same.output
    assert "identical" in same.output
    assert other.exit_code == 1
    assert "epoch 2 is the first that differs: validation_dice" in other.output
    n, image = len(scores), scores.loc[1, "image"]
    assert f"clean: scores: dice differs in 1 of {n} rows, most in {image}: nan, now 0." in other.output
    told = f"clean: reliability: positives differs in 1 of {len(bins)} rows, most in {bins.loc[0, 'image']}, "
    assert told in other.output
    assert "hair-3" not in [line.split(":")[0] for line in other.output.splitlines() if "differs in" in line]
    assert "no finished trial" in medbench("verify", store, "--rerun", "nothing").output


def test_a_report_is_enough_to_start_the_same_study_elsewhere(finished, tmp_path: Path) -> None:
    report = tmp_path / "out" / "report.json"
    assert medbench("report", finished[0], "-o", report.parent).exit_code == 0

    again = medbench("run", "mine", "--from-report", report, "--store", finished[0], "--dry-run")
    unknown = medbench("run", "yours", "--from-report", report, "--dry-run")

    assert f"{finished[1].id}  one seed 0: done" in again.output
    assert unknown.exit_code == 2
    assert "unknown study 'yours'" in unknown.output


def test_each_trial_has_a_log_of_what_happened_when(finished) -> None:
    lines = [json.loads(line) for line in Store(finished[0]).log(finished[1].id).read_text().splitlines()]

    assert [line["event"] for line in lines] == ["start", "epoch", "epoch", "evaluated", "evaluated", "done"]
    assert lines[1]["epoch"] == 1
    assert lines[0]["time"] <= lines[-1]["time"]


def test_status_counts_what_is_done_running_failed_and_left(finished, tmp_path: Path) -> None:
    store = Path(shutil.copytree(finished[0], tmp_path / "runs"))
    assert "1 of 1 trials done" in medbench("status", store).output
    shutil.rmtree(store / "trials" / finished[1].id)
    assert "0 of 1 trials done, 0 running, 0 failed, 1 left" in medbench("status", store).output
    with Store(store).claimed(finished[1].id):
        assert "running: one seed 0, epoch 0 of 2 done" in medbench("status", store).output
    Store(store).failure(finished[1].id).parent.mkdir()
    Store(store).failure(finished[1].id).write_text('{"error": "too hot"}')
    assert "failed: one seed 0: too hot" in medbench("status", store).output
    assert json.loads(medbench("status", store, "--json").stdout)[0]["failed"] == {"one seed 0": "too hot"}
    assert medbench("status", tmp_path).exit_code == 2


def in_session(id: int) -> list[str]:
    """The processes of a session that still run, by the names of their programs."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            program, rest = path.read_text().rsplit(")", 1)
            state, _, _, session = rest.split()[:4]
            found += [program] if int(session) == id and state != "Z" else []
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_two_trials_at_once_end_when_the_run_that_started_them_is_killed(
    tmp_path: Path, number: signal.Signals
) -> None:
    path, store = tmp_path / "mine.yaml", tmp_path / "runs"
    path.write_text(STUDY.replace("SEEDS", "2").replace("EPOCHS", "9999"), encoding="utf-8")
    command = [sys.executable, "-m", "medbench.bench", "run", str(path), "--store", str(store), "--jobs", "2"]
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(list(store.glob("running/*.safetensors"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(in_session(process.pid)) >= 4, (tmp_path / "out").read_text()

    os.kill(process.pid, number)
    code = process.wait(60)

    deadline = time.monotonic() + 20
    while (left := in_session(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    if left:
        os.killpg(process.pid, signal.SIGKILL)
    assert not left
    told = (tmp_path / "out").read_text()
    if number == signal.SIGTERM:
        assert code == 130
        assert "stopped; the same command goes on from here" in told
    assert "Traceback" not in told


def test_ctrl_c_stops_with_one_line_and_the_same_command_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY.replace("SEEDS", "1").replace("EPOCHS", "40"), encoding="utf-8")
    command = [sys.executable, "-m", "medbench.bench", "run", str(path), "--store", str(tmp_path / "runs")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "runs").glob("running/*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "stopped; the same command goes on from here" in out
    assert "Traceback" not in out + errors
    again = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "goes on after epoch" in again.stdout
    assert all(is_sealed(folder) for folder in (tmp_path / "runs" / "trials").iterdir())
