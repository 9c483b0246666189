"""Every example in a docstring runs, and README and pages say what the code does."""

import doctest
import importlib
import json
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

import medbench.ablations
import medbench.bench
import medbench.datasets
import medbench.models
import medbench.reports
from medbench.ablations.schema.evaluations import ArtifactTest, AtInput, OtherSet
from medbench.ablations.schema.loading import load_studies, shipped_studies
from medbench.ablations.schema.spec import Study
from medbench.bench.cli import app
from medbench.bench.metrics import SCORING
from medbench.datasets.described.description import parse_description

from .image_files import save_pair

ROOT = Path(__file__).parent.parent
ADDED = """
import torch
from medbench.ablations.schema.loading import load_study
from medbench.bench.study.checking import check_names
from medbench.bench.training.losses import segmentation_loss
from medbench.datasets.artifacts import LOCAL, paint
from medbench.datasets.catalog import completeness, open_dataset

opened = open_dataset("clinic", data=Path("."))
assert (opened.ids, completeness("clinic", opened)) == (("a",), {"all": (1, 2)})
painted, where = paint(np.zeros((64, 64, 3), np.uint8), id="a", kind="fog", severity=3)
assert where.all() and 48 <= painted.min() == painted.max() <= 60 and "fog" not in LOCAL
nothing, all_of_it = torch.full((1, 1, 2, 2), -50.0), torch.ones(1, 1, 2, 2)
recipe = {"bce_weight": 0, "dice_weight": 0, "losses": {"tversky": 1}}
assert abs(float(segmentation_loss(nothing, all_of_it, recipe)) - (1 - 1 / (0.7 * 4 + 1))) < 1e-6
mine = ["dataset.name=clinic", "training.losses={tversky: 1}", "evaluate=[clean, {artifact: fog, severity: 1}]"]
check_names(load_study("baa", settings=mine))
Path("runs", "studies").mkdir(parents=True)
Path("runs", "studies", "a.yaml").write_text("a" * 100_000)
app(["weigh"], standalone_mode=False)
"""
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(ROOT).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
    if "_build" not in path.parts
}
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
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


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of every command in blocks and between backticks, without comments and variables before it."""
    lines = "".join(block for language, block in FENCE.findall(text) if language in ("", "sh", "text")).splitlines()
    for line in [*lines, *re.findall(r"`(medbench [^`]+)`", FENCE.sub("", text))]:
        if match := re.match(r"(?:\$ |[A-Z_]+=\S+ )*(medbench .*)", line, flags=re.DOTALL):
            yield shlex.split(match[1], comments=True)


@pytest.mark.parametrize("page", PAGES)
def test_pages_show_commands_and_options_that_exist(page: str) -> None:
    for _, *words in commands_in(PAGES[page]):
        command: Any = get_command(app)
        while hasattr(command, "commands") and not words[0].startswith("-"):
            known = command.commands
            assert words[0] in known, words
            command = known[words.pop(0)]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        used = {word.split("=")[0] for word in words if word.startswith("-")}
        assert used <= options, words


def test_commands_are_found_wherever_they_stand() -> None:
    text = "`medbench a\n--b`\n```\nX=1 medbench c  # why\n$ medbench d\n```\nmedbench e\n```yaml\nmedbench f\n```\n"

    assert list(commands_in(text)) == [["medbench", "c"], ["medbench", "d"], ["medbench", "a", "--b"]]
    assert len(list(commands_in(PAGES["README"]))) > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "pages",
    [
        ("docs/tutorial", "docs/howto/own-section", "docs/howto/own-metric", "docs/howto/cite-and-compare", "README"),
        ("docs/howto/own-model",),
        ("docs/howto/own-data",),
        ("docs/howto/other-modalities",),
    ],
    ids=lambda pages: pages[0],
)
def test_what_pages_tell_to_do_works(pages: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that build on each other share a folder. Blocks of Python run, `sh` holds commands that run, and a block
    that begins with a file's name in a comment is that file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for page in pages:
        for language, block in FENCE.findall(PAGES[page]):
            if name := re.match(r"(?:# |<!-- )([\w.]+\.(?:py|yaml|j2))(?: -->)?\n", block):
                Path(name[1]).write_text(block, encoding="utf-8")
            elif language == "python":
                exec(compile(block, page, "exec"), {})
            elif language == "sh":
                for line in block.splitlines():
                    medbench, *words = shlex.split(line, comments=True)
                    done = CliRunner().invoke(app, words, env={"COLUMNS": "200", "OMP_NUM_THREADS": "1"})
                    assert (medbench, done.exit_code) == ("medbench", 0), f"{line}: {done.output}"


def test_the_description_that_a_page_shows_is_one() -> None:
    [block] = [block for language, block in FENCE.findall(PAGES["docs/howto/other-modalities"]) if language == "yaml"]

    told = parse_description(block, Path("dataset.yaml"))

    assert (told.target.names, told.channels, told.group) == (("cytoplasm", "nucleus"), 1, "patient")


def test_the_tutorial_names_the_parts_of_a_report() -> None:
    templates = (ROOT / "reports" / "sections").glob("*.html.j2")
    template = "".join(path.read_text(encoding="utf-8") for path in templates)
    named = re.findall(r"^\| ([A-Z][a-z ]+) \|", PAGES["docs/tutorial"], flags=re.MULTILINE)

    assert len(named) == 9
    assert [part for part in named if not re.search(rf"<h[34][^>]*>{part}\b", template)] == []


def test_the_metric_that_a_page_adds_is_computed() -> None:
    [patch] = [block for language, block in FENCE.findall(PAGES["docs/howto/own-metric"]) if language == "diff"]
    head, *lines = patch.removeprefix("--- a/").splitlines()
    changed = (ROOT / head).read_text(encoding="utf-8")
    for before, line in pairwise(lines):
        if line[0] == "+":
            assert changed.count(f"{before[1:]}\n") == 1
            kept = "" if before[0] == "-" else f"{before[1:]}\n"
            changed = changed.replace(f"{before[1:]}\n", f"{kept}{line[1:]}\n")
    module = ModuleType("medbench.bench.metrics.changed")
    sys.modules[module.__name__] = module  # where dataclasses look for it
    exec(compile(changed, head, "exec"), module.__dict__)
    del sys.modules[module.__name__]

    found = module.score_masks(np.array([[[True, True, False, False]]]), np.array([[[True, False, True, True]]]))

    assert found["f2"].item() == pytest.approx(5 / (5 + 1 + 4 * 2))
    assert module.pooled(found)["f2"] == pytest.approx(5 / 14)
    assert module.SCORING == SCORING + 1


def test_what_a_page_adds_is_known_everywhere(tmp_path: Path) -> None:
    blocks = [block for language, block in FENCE.findall(PAGES["docs/howto/add"]) if language == "python"]
    save_pair(tmp_path / "clinic", "photos/a.png", "outlines/a_mask.png")
    script = "\n".join([*blocks, ADDED])

    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING"])
def test_files_that_a_page_names_are_there(page: str) -> None:
    text = (ROOT / f"{page}.md").read_text(encoding="utf-8")
    named = re.findall(r"\b(?:ablations|bench|datasets|docs|models|reports|tests)/[\w/-]+\.(?:py|yaml|md)\b", text)

    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_the_way_of_a_mask_leads_through_functions_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    steps = re.findall(r"`([\w/]+)\.py: (\w+)`", text)
    modules = {path: importlib.import_module(f"medbench.{path.replace('/', '.')}") for path, _ in steps}

    assert len(steps) == 20
    assert [name for path, name in steps if getattr(modules[path], name).__module__ != modules[path].__name__] == []


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_holds_the_schema(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(DOCS), str(tmp_path / "site")]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}

    built = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert (built.returncode, built.stderr) == (0, "")
    schema = json.loads((tmp_path / "site" / "schema" / "study.json").read_text(encoding="utf-8"))
    assert schema == json.loads(CliRunner().invoke(app, ["schema"]).stdout)
    commands = (tmp_path / "site" / "reference" / "cli.html").read_text(encoding="utf-8")
    assert all(f"medbench {name}" in commands for name in ("run", "schema", "data audit"))
    assert "from the code" not in commands


def test_the_readme_names_studies_that_ship() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert set(re.findall(r"ablations/(\w+)\.yaml", text)) - {"defaults", "profiles"} == set(shipped_studies())


def test_the_readme_says_what_each_study_is_tested_on() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    told = {
        name: {each for each in where.strip().split(", ") if each}
        for name, where in re.findall(r"^\| `ablations/(\w+)\.yaml` \| [^|]*\|([^|]*)\|$", text, flags=re.MULTILINE)
    }

    assert told == {name: besides(load_studies(name)[0].study) for name in shipped_studies()}


def besides(study: Study) -> set[str]:
    """What a study is tested on besides the held-out part of its own set."""
    words = {AtInput: "input size", ArtifactTest: "artifacts"}
    return {
        each.name if isinstance(each, OtherSet) else words[type(each)] for each in study.evaluate if each != "clean"
    }
