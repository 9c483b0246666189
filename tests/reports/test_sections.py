"""A section is one module and its template: page, report.json, tables, figures and contents follow."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from medbench.reports.page import write_report
from medbench.reports.section import Section
from medbench.reports.sections import SECTIONS

from ..conftest import ROOT
from ..fabricated_store import fabricate

MODULE = """
from dataclasses import dataclass

from medbench.reports.section import Part, Section


@dataclass(frozen=True)
class Facts:
    n_scores: int


def make(evidence):
    return Part(
        facts=Facts(len(evidence.scores)),
        is_shown=len(evidence.names) > 1,
        figures={"toy": '<svg id="toy"></svg>'},
        tables={"toy": evidence.scores[["image"]].head(1)},
        view={"word": "<em>"},
        warnings=("A toy.",),
    )


SECTION = Section(name="toy", title="Toys", make=make)
"""
TEMPLATE = '<h3 id="{{ id }}">Toys</h3><p>{{ facts.n_scores | counted("score") }} {{ view.word }}</p>{{ figures.toy }}'


@pytest.fixture
def toy(tmp_path: Path) -> ModuleType:
    (tmp_path / "toy.py").write_text(MODULE)
    (tmp_path / "toy.html.j2").write_text(TEMPLATE)
    spec: Any = importlib.util.spec_from_file_location("toy", tmp_path / "toy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(store: Path, out: Path, toy: ModuleType) -> tuple[str, dict[str, Any]]:
    page = write_report([store], out, sections=[*SECTIONS, toy.SECTION]).read_text()
    (facts,) = json.loads((out / "report.json").read_text())["studies"]
    return page, facts


def test_a_toy_is_on_the_page_in_the_numbers_and_among_the_files(tmp_path: Path, toy: ModuleType) -> None:
    fabricate(tmp_path / "store", n_seeds=1, n_images=4, variants=("medlitenet", "no_baa"))

    page, facts = written(tmp_path / "store", tmp_path / "out", toy)

    assert facts["n_scores"] == 2 * 2 * 4
    assert '<h3 id="baa-toy">Toys</h3><p>16 scores &lt;em&gt;</p><svg id="toy"></svg>' in page
    assert '<a href="#baa-toy">Toys</a>' in page
    assert "A toy." in facts["warnings"]
    assert len((tmp_path / "out" / "tables" / "baa-toy.csv").read_text().splitlines()) == 2
    assert "<svg" in (tmp_path / "out" / "figures" / "baa-toy.svg").read_text()


def test_what_has_nothing_to_show_keeps_its_numbers(tmp_path: Path, toy: ModuleType) -> None:
    fabricate(tmp_path / "store", n_seeds=1, n_images=4, variants=("medlitenet",))

    page, facts = written(tmp_path / "store", tmp_path / "out", toy)

    assert facts["n_scores"] == 8
    assert "baa-toy" not in page


def test_two_sections_cannot_write_one_number(tmp_path: Path, toy: ModuleType) -> None:
    fabricate(tmp_path / "store", n_seeds=1, n_images=4, variants=("medlitenet",))

    again = Section(name="toy", title="Again", make=toy.make)

    with pytest.raises(ValueError, match=r"section toy: another one writes 'n_scores' into report\.json"):
        write_report([tmp_path / "store"], tmp_path / "out", sections=[toy.SECTION, again])


def test_every_section_has_its_module_its_template_and_its_own_numbers() -> None:
    names = [section.name for section in SECTIONS]
    modules = {section.name: sys.modules[section.make.__module__] for section in SECTIONS}

    assert len(set(names)) == len(names)
    for name, module in modules.items():
        assert Path(str(module.__file__)).stem == name
        assert (ROOT / "reports" / "sections" / f"{name}.html.j2").is_file()
    keys = [key for module in modules.values() for key in module.Facts.__dataclass_fields__]
    assert len(set(keys)) == len(keys)
    folder = ROOT / "reports" / "sections"
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(names)


def test_the_page_knows_no_section_by_name() -> None:
    text = "".join((ROOT / "reports" / name).read_text() for name in ("page.py", "page.html.j2"))

    code = r"[\"'`.]{}\b"  # as a name in code, where `published` and `spread` are words of sentences too
    assert [s.name for s in SECTIONS if re.search(code.format(s.name), text)] == []
