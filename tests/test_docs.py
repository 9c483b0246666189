"""Every example in a docstring runs, and the README says what the code does."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.main import get_command

import medbench.ablations
import medbench.bench
import medbench.datasets
import medbench.models
import medbench.reports
from medbench.ablations.loading import shipped_studies
from medbench.bench.cli import app

ROOT = Path(__file__).parent.parent
PACKAGES = [medbench.ablations, medbench.bench, medbench.datasets, medbench.models, medbench.reports]
MODULES = [
    module.name
    for package in PACKAGES
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    module: ModuleType = importlib.import_module(name)

    assert doctest.testmod(module).failed == 0


def commands_in(text: str) -> list[list[str]]:
    return [line.split() for line in re.findall(r"^(?:\$ )?(medbench .*)$", text, flags=re.MULTILINE)]


def test_the_readme_shows_commands_and_options_that_exist() -> None:
    commands = commands_in((ROOT / "README.md").read_text(encoding="utf-8"))

    assert commands
    for _, *words in commands:
        command: Any = get_command(app)
        while hasattr(command, "commands"):
            known = command.commands
            assert words[0] in known, words
            command = known[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        used = {word.split("=")[0] for word in words if word.startswith("-")}
        assert used <= options, words


def test_the_readme_names_studies_that_ship() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert set(re.findall(r"ablations/(\w+)\.yaml", text)) - {"defaults", "profiles"} == set(shipped_studies())
