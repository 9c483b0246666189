"""The command line as a program: what it refuses, it refuses in one line."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "baa", "--jobs", "0"], "error: Invalid value for '--jobs'"),
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
