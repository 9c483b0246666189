"""What is declared is what the code imports, and `make` installs what is asked for, as often as it must."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import metadata, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from medbench.bench.cli import app, doctor

ROOT = Path(__file__).parent.parent
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = CONFIG["project"]
FOLDERS = CONFIG["tool"]["setuptools"]["package-dir"].values()


def names_of(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(each).name) for each in requirements}


ALWAYS = names_of(PROJECT["dependencies"])
EXTRAS = {
    extra: names_of(found)
    for extra, found in PROJECT["optional-dependencies"].items()
    if extra not in ("dev", "docs")  # which are for those who work on medbench
}
DISTRIBUTIONS = {
    module: {canonicalize_name(each) for each in names} for module, names in packages_distributions().items()
}
PYTHON = """#!/bin/sh
mkdir -p .venv/bin
for name in pip pytest medbench; do
    printf '#!/bin/sh\\necho '$name' "$@" >> done\\ntest ! -e broken\\n' > .venv/bin/$name
    chmod +x .venv/bin/$name
done
"""


def imported(node: ast.AST, at_once: bool = True) -> Iterator[tuple[str, bool]]:
    """The packages of others below a node, and whether importing the file imports them."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                found = [name.name for name in names]
            case ast.ImportFrom(module=str(module), level=0):
                found = [module]
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module)), *_]):
                found = [module]
            case _:
                found = []
        for name in found:
            if (package := name.partition(".")[0]) not in sys.stdlib_module_names:
                yield package, at_once
        yield from imported(child, at_once and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


IMPORTED = {
    each
    for folder in FOLDERS
    for path in (ROOT / folder).glob("*.py")
    for each in imported(ast.parse(path.read_text(encoding="utf-8")))
}


def test_what_is_imported_at_once_is_always_installed() -> None:
    packages = {package for package, at_once in IMPORTED if at_once}

    assert packages >= {"torch", "cv2", "yaml"}
    assert {package for package in packages if not DISTRIBUTIONS[package] & ALWAYS} == set()


def test_what_is_imported_when_it_is_needed_is_in_an_extra_that_users_can_name() -> None:
    packages = {package for package, at_once in IMPORTED if not at_once}
    known = ALWAYS.union(*EXTRAS.values())

    assert packages >= {"onnx", "ray", "submitit", "mlflow", "torch"}
    assert {package for package in packages if not DISTRIBUTIONS[package] & known} == set()


def test_nothing_is_installed_that_is_not_imported() -> None:
    used = set[str]().union(*(DISTRIBUTIONS[package] for package, _ in IMPORTED))

    assert ALWAYS - used == set()


def test_the_doctor_looks_for_every_extra_that_is_not_for_developers() -> None:
    assert {extra: set(packages) for extra, (_, packages) in doctor.EXTRAS.items()} == EXTRAS


def test_pinned_versions_can_be_installed_on_the_first_python_of_the_oldest_line() -> None:
    oldest = PROJECT["requires-python"].removeprefix(">=") + ".0"
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    found = {name: metadata(name) for name in pinned}
    asked = {
        name: str(each.json.get("requires_python", ""))
        for name, each in found.items()
        if each["Version"] == pinned[name]
    }

    assert len(asked) > 100
    assert {name: python for name, python in asked.items() if not SpecifierSet(python).contains(oldest)} == {}


@pytest.mark.parametrize(
    ("words", "absent", "extra"),
    [
        ("run --executor ray", "ray", "ray"),
        ("run --executor slurm", "submitit", "slurm"),
        ("run --track tensorboard", "torch.utils.tensorboard", "tensorboard"),
        ("run --track mlflow", "mlflow", "mlflow"),
        ("latency medlitenet --size 32 --runtime onnxruntime", "onnxruntime", "deploy"),
    ],
)
def test_a_command_that_needs_an_extra_says_which_in_one_line(
    words: str, absent: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    study = ["baa", "--profile", "quick", "--set", "dataset.images=20", "--store", str(tmp_path / "runs")]
    command = words.split()

    done = CliRunner().invoke(app, command + study if command[0] == "run" else command)

    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].endswith(f"pip install 'medbench[{extra}]'")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What installing reads, and a Python whose pip notes down what it was asked for."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def installs(checkout: Path, *targets: str, code: int = 0) -> list[str]:
    """What `make` has had installed for some targets."""
    (checkout / "done").write_text("")
    command = ["make", "PYTHON=./python", *targets]
    made = subprocess.run(command, cwd=checkout, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert bool(made.returncode) == bool(code), made.stderr
    return re.findall(r"^pip install .* -c constraints.txt -e (.*)$", (checkout / "done").read_text(), re.MULTILINE)


def a_minute_passes(checkout: Path) -> None:
    """Since everything there was written."""
    for path in checkout.rglob("*"):
        written = path.stat().st_mtime_ns - 60 * 10**9
        os.utime(path, ns=(written, written))


def test_the_demo_installs_what_medbench_needs_and_tests_the_rest_in_any_order(checkout: Path) -> None:
    assert installs(checkout, "demo") == ["."]
    assert installs(checkout, "demo") == []
    assert installs(checkout, "test") == [".[dev]"]
    assert installs(checkout, "test", "demo") == []

    shutil.rmtree(checkout / ".venv")

    assert installs(checkout, "test") == [".", ".[dev]"]
    assert installs(checkout, "demo") == []


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_what_a_pull_changed_is_installed_again(checkout: Path, changed: str) -> None:
    installs(checkout, "test")
    a_minute_passes(checkout)

    (checkout / changed).touch()

    assert installs(checkout, "demo") == ["."]
    assert installs(checkout, "demo") == []
    assert installs(checkout, "test") == [".[dev]"]
    assert installs(checkout, "demo", "test") == []


def test_an_install_that_failed_is_made_again(checkout: Path) -> None:
    (checkout / "broken").touch()
    assert installs(checkout, "test", code=2) == ["."]
    (checkout / "broken").unlink()
    assert installs(checkout, "demo") == ["."]
    (checkout / "broken").touch()
    assert installs(checkout, "test", code=2) == [".[dev]"]
    (checkout / "broken").unlink()
    assert installs(checkout, "test") == [".[dev]"]
