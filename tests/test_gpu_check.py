"""The script behind `make gpu-check`: a part that hangs ends with all that it started; MPS is used where it starts."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from . import gpu_check
from .conftest import ROOT


def test_a_part_that_hangs_ends_with_its_children(tmp_path: Path) -> None:
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(tmp_path / 'late')!r}).touch()"
    words = ["-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"]

    told = gpu_check.run(words, 1)

    assert told["code"] == -9
    assert "ended after 1 s" in told["err"]
    time.sleep(3)
    assert not (tmp_path / "late").exists()


def test_a_part_tells_what_it_printed() -> None:
    told = gpu_check.run(["-c", "import sys; print('figures'); print('why', file=sys.stderr); sys.exit(3)"], 60)

    assert (told["code"], told["out"], told["err"]) == (3, "figures\n", "why\n")


@pytest.mark.parametrize("starts", [True, False])
def test_mps_is_started_and_ended_where_it_can_be(
    starts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = tmp_path / gpu_check.MPS
    daemon.write_text(f'#!/bin/sh\necho "$@ $(cat)" >> {tmp_path}/calls\nexit {0 if starts else 1}\n')
    daemon.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    with gpu_check.shared_gpu() as started:
        assert started == starts
        assert ("CUDA_MPS_PIPE_DIRECTORY" in os.environ) == starts

    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert ("quit" in (tmp_path / "calls").read_text()) == starts


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "tests" / "gpu_check.py")], capture_output=True, text=True)

    assert done.returncode == 1
    assert "no CUDA device" in done.stderr
