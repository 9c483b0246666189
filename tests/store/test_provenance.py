"""What is recorded of where a result was made: everything that counts, nothing that names a person."""

import json
import platform
import re
import warnings
from importlib.metadata import requires
from pathlib import Path

import pytest
import torch

from medbench.bench.store import provenance
from medbench.bench.store.provenance import (
    PACKAGES,
    environment,
    instructions,
    machine_id,
    noting_nondeterminism,
    without_names,
)

NOT_IN_NUMBERS = {  # they show, check or fetch; no score comes out of them
    "filelock",
    "huggingface-hub",
    "jinja2",
    "markupsafe",
    "matplotlib",
    "nvidia-ml-py",  # reads meters; trials have none
    "pooch",
    "pydantic",
    "pydantic-core",
    "pyyaml",
    "requests",
    "rich",
    "seaborn",
    "typer",
}
CONFIG = {"images_digest": "0123", "encoder_digest": None, "seed": 1}


def test_no_user_no_machine_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice.smith")
    monkeypatch.setenv("LOGNAME", "alice.smith")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setattr("socket.gethostname", lambda: "alices-laptop")
    words = [
        "/home/alice.smith/bin/medbench",
        "run",
        "/home/alice.smith/baa.yaml",
        "--data=/mnt/alice.smith/data",
        "--store",
        "/scratch/alice.smith",
    ]
    monkeypatch.setattr("sys.argv", words)

    made = json.dumps(environment(torch.device("cpu"), "fp32", CONFIG))

    assert "alice" not in made
    assert "hunter2" not in made
    assert "medbench run ~/baa.yaml --data=/mnt/user/data --store /scratch/user" in made


def test_an_error_of_a_compiler_names_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("LOGNAME", "alice")

    made = without_names(
        "/tmp/torchinductor_alice/ph/x.so: file too short; see /home/alice/a and /data/alice: no malice"
    )

    assert made == "/tmp/torchinductor_user/ph/x.so: file too short; see ~/a and /data/user: no malice"


def test_every_package_that_a_number_depends_on_is_named() -> None:
    needed = {re.split(r"[>=\[; ]", each)[0] for each in requires("medbench") or [] if "extra ==" not in each}

    assert needed - NOT_IN_NUMBERS <= set(PACKAGES)
    made = environment(torch.device("cpu"), "fp32", CONFIG)
    assert None not in made["packages"].values()
    assert made["data"] == {"images_digest": "0123"}


def test_the_environment_is_json_and_the_same_twice() -> None:
    once, again = (json.dumps(environment(torch.device("cpu"), "fp32", CONFIG)) for _ in range(2))

    assert once == again


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("flags\t\t: fpu sse4_2 avx avx2 fma\nvmx flags\t: vnmi", "AVX2"),
        ("flags : avx2 avx_vnni", "AVX2, VNNI"),
        ("flags : amx_int8 avx2 avx512f avx512_vnni", "AVX2, AVX-512, VNNI, AMX"),
        ("flags : fpu sse4_2", "none of AVX2, AVX-512, VNNI, AMX, dotprod, i8mm"),
        ("Features\t: fp asimd asimddp i8mm", "dotprod, i8mm"),
        ("model name : flags : avx2", platform.machine()),
    ],
)
def test_the_instructions_of_a_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, expected: str
) -> None:
    monkeypatch.setattr(provenance, "CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{told}\n\nprocessor : 1\nflags :\n")

    assert instructions() == environment(torch.device("cpu"), "fp32", CONFIG)["instructions"] == expected


def test_where_the_system_tells_no_more_the_architecture_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "CPU_INFO", Path("/nowhere"))

    assert instructions() == platform.machine()


def test_a_machine_keeps_its_id_whatever_instructions_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "CPU_INFO", tmp_path / "cpuinfo")

    ids: set[str] = set()
    for flags in ("avx2", "avx2 avx512f"):
        (tmp_path / "cpuinfo").write_text(f"model name : a processor\nflags : {flags}\n")
        ids.add(machine_id(torch.device("cpu")))

    assert len(ids) == 1


def test_operations_without_a_deterministic_kernel_are_noted_once_and_others_are_shown() -> None:
    text = "{} does not have a deterministic implementation, but you set 'torch.use_deterministic_algorithms(True)'"

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        with noting_nondeterminism() as operations:
            for name in ("scatter_cuda", "pool_backward_cuda", "scatter_cuda"):
                warnings.warn(text.format(name), stacklevel=1)
            warnings.warn("something else", stacklevel=1)

    assert operations == ["scatter_cuda", "pool_backward_cuda"]
    assert [str(each.message) for each in shown] == ["something else"]
