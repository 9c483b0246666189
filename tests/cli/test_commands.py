"""The command line as a program: what it refuses, it refuses at once and in one line."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.store.records import file_digest, read_json, write_json

STUDY = """\
question: Is it known?
baseline: one
variants: {one: {model: medlitenet}}
dataset: {name: synthetic, images: 40, size: 64}
encoder_weights: none
"""
MISTAKES = {  # of names and keys: the words of the command, and what is said
    "run nosuch": "unknown study 'nosuch'",
    "run mine.yaml --profile nosuch": "unknown profile 'nosuch'",
    "run mine.yaml --set training.epoch=3": "there is no such key",
    "run mine.yaml --set training.epochs=abc": "got 'abc'",
    "run mine.yaml --set primary=dise": "unknown metric 'dise'",
    "run mine.yaml --set variants.one.model=nosuch": "unknown model 'nosuch'",
    "run mine.yaml --set variants.one.model=nosuch.module:Net": "No module named 'nosuch'",
    "run mine.yaml --set variants.one.options.heds=3": "Did you mean 'heads'?",
    "run mine.yaml --set variants.one.options.width=.inf": "width=.inf: got inf; an option is a finite number",
    "run mine.yaml --set variants.one.options={width: 2026-01-31}": "got datetime.date(2026, 1, 31); an option is",
    "run mine.yaml --set dataset.name=nosuch": "unknown dataset 'nosuch'",
    "run mine.yaml --set dataset={folder: nowhere}": "/nowhere; ",
    "run mine.yaml --set evaluate=[{artifact: nosuch, severity: 1}]": "unknown artifact 'nosuch'",
    "run baa": "no data folder is set",
    "run mine.yaml --slurm partition=x": "add --executor ray or slurm",
    "status nowhere": "no studies/ there",
    "verify nowhere": "no studies/ there",
    "verify store --rerun nosuch": "no trials/ there",
    "report nowhere": "no studies/ there",
    "publish nowhere baa -o out": "no studies/ there",
    "publish store nosuch -o out": "no study 'nosuch'; it has none",
    "unpack store --store more": "store: no trials.json there",
    "unpack nowhere --store more": "nowhere: there is no such folder",
    "latency nosuch": "unknown model 'nosuch'",
    "latency medlitenet --batch none": "--batch none",
    "deployment nosuch --store store": "no study 'nosuch'; it has none",
    "predict nosuch mole.jpg -o out --store nowhere": "no trials/ there",
    "export nosuch --to onnx -o out.onnx --store nowhere": "unknown model 'nosuch'",
    "artifacts mole.jpg --kind nosuch -o out": "unknown artifact 'nosuch'",
    "data verify nosuch": "unknown dataset 'nosuch'",
    "data audit nosuch": "unknown dataset 'nosuch'",
    "score --prediction nowhere --reference nowhere": "nowhere",
    "score --prediction nowhere --reference nowhere -o mine.yaml/x.csv": "mine.yaml: cannot be written to (",
    "score --prediction nowhere --reference nowhere -o folder.csv": "folder.csv: is a folder; name the file to write",
    "export medlitenet --to torchscript -o mine.yaml/m.pt": "mine.yaml: cannot be written to (",
    "compare nowhere.csv --baseline a --metric dice": "nowhere.csv: there is no such file",
}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["run", "baa", "--jobs", "0"],
            "error: Invalid value for '--jobs': '0' is neither a number from 1 on nor auto",
        ),
        (["nosuch"], "error: No such command 'nosuch'"),
        (["run", "baa", "--slurm", "partition=x"], "add --executor ray or slurm"),
    ],
)
def test_every_mistake_is_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    command = [sys.executable, "-m", "medbench.bench", *words]

    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def in_a_fresh_process(folder: Path, commands: list[list[str]]) -> list[dict[str, Any]]:
    """Each command's code, output and what takes a second to import and is there afterwards, all run in one process."""
    script = """
import contextlib, io, json, sys
from medbench.bench.__main__ import main
for words in json.loads(sys.argv[1]):
    out, errors, sys.argv[1:] = io.StringIO(), io.StringIO(), words
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            main()
        except SystemExit as end:
            code = end.code
    heavy = [each for each in ("torch", "scipy.stats") if each in sys.modules]
    found = {"code": code, "out": out.getvalue(), "errors": errors.getvalue(), "heavy": heavy}
    print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_mistake_in_a_study_or_a_name_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(STUDY, encoding="utf-8")
    (tmp_path / "store" / "studies").mkdir(parents=True)
    (tmp_path / "folder.csv").mkdir()

    found = in_a_fresh_process(tmp_path, [split(line) for line in MISTAKES])

    for line, result in zip(MISTAKES, found, strict=True):
        assert (line, result["code"], result["heavy"]) == (line, 2, [])
        assert result["errors"].startswith("error: ")
        assert MISTAKES[line] in result["errors"]
        assert result["errors"].count("\n") == 1


def split(line: str) -> list[str]:
    """The words of a line; what follows --set is one."""
    before, _, setting = line.partition(" --set ")
    return [*before.split(), *(["--set", setting] if setting else [])]


def test_lists_and_versions_need_no_torch(tmp_path: Path) -> None:
    models, version, schema = in_a_fresh_process(tmp_path, [["models", "--json"], ["--version"], ["schema"]])

    assert not schema["heavy"]
    assert json.loads(models["out"])[0]["name"] == "medlitenet"
    assert version["out"] == f"medbench {metadata.version('medbench')}\n"


@pytest.mark.parametrize("group", [[], ["data"]])
def test_the_list_of_commands_cuts_no_sentence_at_80_columns(group: list[str]) -> None:
    told = CliRunner().invoke(app, [*group, "--help"], env={"COLUMNS": "80"}).output

    lines = told.partition("Commands:\n")[2].splitlines()
    command: Any = get_command(app)
    for name in group:
        command = command.commands[name]
    assert [line.split()[0] for line in lines] == list(command.commands)
    assert all(line.endswith(".") and not line.endswith("..") for line in lines)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("run ba", {"baa", "backbone"}),
        ("latency no_b medlit", {"medlitenet"}),
        ("data verify is", {"isic2018"}),
        ("artifacts mole.jpg --kind ru", {"ruler"}),
        ("compare scores.csv --metric bi", {"biou"}),
        ("predict 0a", {"0a1b2c"}),
        ("deployment m", {"mine-quick"}),
    ],
)
def test_a_shell_completes_names(tmp_path: Path, line: str, offered: set[str]) -> None:
    (tmp_path / "runs" / "trials" / "0a1b2c").mkdir(parents=True)
    (tmp_path / "runs" / "studies").mkdir()
    (tmp_path / "runs" / "studies" / "mine-quick.yaml").touch()
    words = f"medbench {line}"
    environment = {**os.environ, "_MEDBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split()) - 1)
    script = (
        "import sys; sys.argv[0] = 'medbench'; from medbench.bench.__main__ import main\ntry:\n    main()\nfinally:\n"
    )
    script += "    print('torch' in sys.modules, file=sys.stderr)"

    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )

    assert {*done.stdout.split()} == offered, done.stderr
    assert done.stderr.strip() == "False"


def test_the_store_is_an_argument_or_an_option_and_not_both(tmp_path: Path, small_store: Path) -> None:
    def medbench(*words: object) -> Any:
        return CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200"})

    for command in (["status"], ["verify"], ["report", "-o", tmp_path / "report"]):
        assert medbench(*command, small_store).exit_code == 0
        assert medbench(*command, "--store", small_store).exit_code == 0
    assert "name one store" in medbench("status", small_store, "--store", small_store).stderr


def test_a_published_result_is_verified_run_again_and_reported_and_no_store(tmp_path: Path, small_store: Path) -> None:
    def medbench(*words: object) -> Any:
        return CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200", "OMP_NUM_THREADS": "1"})

    result, trial = tmp_path / "2026-01-31-small", next(small_store.glob("trials/*/history.parquet")).parent.name
    made = medbench("publish", small_store, "small", "-o", result, "--date", "2026-01-31")
    sound, again = medbench("verify", result), medbench("verify", result, "--rerun", trial)

    assert made.exit_code == 0, made.output
    assert read_json(result / "manifest.json")["published"]["date"] == "2026-01-31"
    assert (sound.exit_code, again.exit_code) == (0, 0), sound.output + again.output
    assert "gives report.json and its tables again" in sound.output
    assert f"{trial}: identical" in again.output
    assert medbench("report", small_store, result, "-o", tmp_path / "report").exit_code == 0
    assert "is a published result" in medbench("status", result).stderr
    assert "--set-aside is for stores" in medbench("verify", result, "--set-aside").stderr

    ledger = read_json(result / "trials.json")
    [entry] = [each for each in ledger["trials"] if each["id"] == trial]
    entry["files"]["weights.safetensors"] = "0" * 64
    entry["config"]["seed"] = 5
    write_json(result / "trials.json", ledger)
    damaged = medbench("verify", result)
    manifest = read_json(result / "manifest.json")
    manifest["files"]["trials.json"]["sha256"] = file_digest(result / "trials.json")
    write_json(result / "manifest.json", manifest)
    other, differs = medbench("verify", result), medbench("verify", result, "--rerun", trial)

    assert damaged.exit_code == other.exit_code == differs.exit_code == 1
    assert damaged.output.endswith(f"{result / 'trials.json'}: SHA-256 differs from the manifest's\n")
    assert f"{result / 'trials' / trial}: its configuration has the id" in other.output
    assert "weights: the SHA-256 of their file was 000" in differs.output


def test_a_run_goes_on_from_a_published_result(tmp_path: Path, small_store: Path) -> None:
    def medbench(*words: object) -> Any:
        return CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200", "OMP_NUM_THREADS": "1"})

    spec, result, store = small_store.parent / "small.yaml", tmp_path / "result", tmp_path / "runs"
    assert medbench("publish", small_store, "small", "-o", result).exit_code == 0
    trial = next(small_store.glob("trials/*/history.parquet")).parent.name
    unpacked = medbench("unpack", result, "--store", store)
    _, run, name, *options = shlex.split(unpacked.output.splitlines()[-1])
    known = medbench(run, spec, *options)
    shutil.rmtree(store / "latency")
    more = medbench("run", spec, "--store", store, "--set", "seeds=2")
    rerun = medbench("verify", store, "--rerun", trial)
    medbench("publish", store, "small", "-o", tmp_path / "more")
    again = medbench("unpack", tmp_path / "more", "--store", tmp_path / "again")
    tested = medbench("run", spec, "--store", store, "--set", "evaluate=[{artifact: ruler, severity: 5}]")
    exported = medbench("export", trial, "--store", store, "--to", "onnx", "-o", tmp_path / "net.onnx")

    assert unpacked.exit_code == 0, unpacked.output
    assert f"new in {store}: 3 trials; their study goes on there, where it is not done, with:\n" in unpacked.output
    assert (run, name) == ("run", "STUDY")
    assert f"\nmedbench run STUDY --profile paper --set seeds=2 --store {tmp_path / 'again'}\n" in again.output
    assert (known.exit_code, more.exit_code) == (0, 0), known.output + more.output
    assert "epoch" not in known.output
    assert more.output.count("epoch 1/1") == 2
    assert "timed" not in more.output  # what cannot be is told
    assert len([*(store / "latency").glob("*/*.json")]) == 1
    assert f"{trial}: identical" in rerun.output
    assert "trials: from a published result, without the weights that this run needs: " in tested.stderr
    assert (tested.exit_code, exported.exit_code) == (2, 2)
    assert "there is none, the trial is from a published result" in exported.stderr
    assert medbench("verify", store).exit_code == 0
    assert "is a published result, or in one" in medbench("unpack", result, "--store", result / "runs").stderr
    assert "has other trainings of 3 of the 3 trials" in medbench("unpack", result, "--store", small_store).stderr


def test_a_store_that_lies_below_the_one_that_is_asked_for_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs" / "demo" / "studies").mkdir(parents=True)

    told = CliRunner().invoke(app, ["status", str(tmp_path / "runs")]).stderr

    assert f"did you mean {tmp_path / 'runs' / 'demo'}?" in told
