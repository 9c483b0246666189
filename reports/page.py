"""Writes a report: index.html that needs nothing else, its numbers as report.json, its tables and figures as files.

Only the stores' files decide what is written, so that the same stores give the same bytes.
"""

import base64
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..bench.metrics.failures import FAILURES
from ..bench.store.records import file_digest, write_bytes, write_json, write_text
from . import naming, notes, tables
from .answers import Answer
from .doubts import told_same
from .drawing import PALETTE, standalone
from .every_image import Room
from .evidence import Evidence, Row, anchor_of
from .load import load_studies
from .overview import overview
from .section import Part, Section
from .sections import SECTIONS
from .settings import alike
from .side_by_side import draw_series, side_by_side
from .writing import digests, earlier, remove, write_csv, write_latex

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the head of a published result says of it, and its manifest."""

    study: str
    folder: str
    """The name of the folder that it was published as."""
    date: str
    """Of its publication, as in 2026-01-31."""
    medbench: str | None
    """The version that wrote it."""
    git_commit: str | None
    git_dirty: bool | None


def write_report(
    stores: Sequence[Path],
    out: Path,
    *,
    all_images: bool = False,
    refresh: int | None = None,
    record: Record | None = None,
    keep: Callable[[dict[str, Any]], dict[str, Any]] = lambda facts: facts,
    sections: Sequence[Section] = SECTIONS,
) -> Path:
    """Writes the report of all studies in the stores into the folder `out` and returns the path of its index.html.

    Besides: report.json with the facts of every section, their tables as tables/<study>-<name>.csv and .tex with every
    score as tables/<study>-per-image.parquet, and each figure as figures/<study>-<name>.svg. With `all_images`,
    thumbnails that the page has no room for lie in pictures/. What an earlier report wrote there and this one does not
    is removed, unless somebody changed it since. With `refresh`, browsers load the page anew every so many seconds.
    With a `record` the page says that it is a published result; `keep` gives what report.json says of the facts of a
    study. `sections` stand in this order on the page; a section of your own is one more.
    Raises MedbenchError when a store holds no study.
    """
    modules = dict.fromkeys(Path(inspect.getfile(section.make)).parent for section in sections)
    environment = _environment(HERE, *modules)
    answering = {section.asks: section.answers for section in sections if section.asks and section.answers}
    room = Room(beside=out / "pictures" if all_images else None)
    before = earlier(out)
    facts: list[dict[str, Any]] = []
    studies: list[dict[str, Any]] = []
    written: list[Path] = []
    for study in load_studies(stores):
        evidence = Evidence(study, room, answering)
        parts = {section: section.make(evidence) for section in sections}
        for part in parts.values():
            written += _write_files(out, evidence, part)
        written.append(out / "tables" / f"{study.name}-per-image.parquet")
        write_bytes(written[-1], evidence.scores.to_parquet(index=False, compression="zstd"))
        facts.append(_merged(overview(evidence, parts), parts))
        studies.append(_rendered(environment, evidence, facts[-1], parts))
    series = side_by_side(facts)
    figures = [_series_figure(out, each, written) for each in series]
    files = digests(out, [*written, *room.written])
    told = {"studies": [keep(each) for each in facts]} | ({"series": series} if series else {})
    write_json(out / "report.json", told | ({} if record else {"files": files}))
    script = (HERE / "page.js").read_text(encoding="utf-8")
    page = environment.get_template("page.html.j2").render(
        studies=studies,
        series=[
            {**each, "anchor": f"{anchor_of(each['name'])}-series", "figure": figure}
            for each, figure in zip(series, figures, strict=True)
        ],
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        thumbnails=room.thumbnails,
        digest=file_digest(out / "report.json"),
        n_colours=len(PALETTE),
        refresh=refresh,
        record=record,
        has_files=any(not each.startswith("data:") for each in room.thumbnails.values()),
        version=version("medbench"),
    )
    index = out / "index.html"
    write_text(index, page)
    remove(out, before, kept=files)
    return index


def _series_figure(out: Path, found: Row, written: list[Path]) -> Markup | None:
    svg = draw_series(found)
    if svg is None:
        return None
    written.append(out / "figures" / f"{found['name']}-sets.svg")
    write_text(written[-1], standalone(svg))
    return Markup(svg)


def _merged(head: dict[str, Any], parts: dict[Section, Part]) -> dict[str, Any]:
    """Every fact of a study. Two sections that claim one key are a mistake: ValueError."""
    merged = dict(head)
    for section, part in parts.items():
        for key, value in asdict(part.facts).items():
            if key in merged:
                raise ValueError(f"section {section.name}: another one writes {key!r} into report.json")
            merged[key] = value
    return merged


def _write_files(out: Path, evidence: Evidence, part: Part) -> list[Path]:
    stem, written = f"{evidence.study.name}-", list[Path]()
    for name, table in part.tables.items():
        written.append(out / "tables" / f"{stem}{name}.csv")
        write_csv(written[-1], table)
    for name, excerpt in part.excerpts.items():
        written.append(out / "tables" / f"{stem}{name}.tex")
        write_latex(written[-1], excerpt)
    for name, svg in part.figures.items():
        written.append(out / "figures" / f"{stem}{name}.svg")
        write_text(written[-1], standalone(svg))
    return written


def _rendered(
    environment: Environment, evidence: Evidence, facts: dict[str, Any], parts: dict[Section, Part]
) -> dict[str, Any]:
    """What the page's template needs of a study: its head and its sections as HTML."""
    shared = {"study": facts, "anchor": evidence.anchor, "primary": evidence.metric, "n_colours": len(PALETTE)}
    shared["digits"] = notes.digits_of(evidence.primary)
    target = evidence.study.target
    shared |= {
        "names": naming.names_of(target),
        "kind": naming.kind(target),
        "kinds": naming.kinds(target),
        "in_words": partial(naming.in_words_of, target),
    }
    shown = {section: part for section, part in parts.items() if part.is_shown}
    known = {evidence.first, *evidence.study.artifacts}

    def html(name: str, **values: Any) -> Markup:
        return Markup(environment.get_template(f"{name}.html.j2").render(**shared, **values))

    return {
        "anchor": evidence.anchor,
        "facts": facts,
        "contents": {section.name: section.title for section in shown},
        "overview": html(
            "overview",
            asked=[each for each in evidence.asked if each.evaluation == evidence.first],
            others=[each for each in evidence.asked if each.evaluation not in known],
            same=told_same(evidence.study),
            leads=_leads(evidence, parts),
        ),
        "parts": [
            html(
                section.name,
                id=evidence.id(section.name),
                facts=part.facts,
                figures={name: Markup(svg) for name, svg in part.figures.items()},
                view=part.view,
            )
            for section, part in shown.items()
        ],
    }


def _leads(evidence: Evidence, sections: Iterable[Section]) -> dict[str, list[Answer]]:
    """What a study says to other questions than its own, by what it stands under."""
    found = {
        section.lead: [each for each in evidence.answers[section.asks] if each.evaluation == evidence.first]
        for section in sections
        if section.asks and section.lead and section.asks != evidence.spec["asks"]
    }
    return {lead: answers for lead, answers in found.items() if answers}


@cache
def _environment(*folders: Path) -> Environment:
    """The templates in these folders with the words and numbers of a report; every value is escaped. Compiled once, for
    a run that is watched is reported again and again."""
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": notes.number,
        "counted": notes.counted,
        "by_groups": notes.by_groups,
        "alike": alike,
        "signed": notes.signed,
        "sized": notes.sized,
        "in_giga": notes.in_giga,
        "p": notes.p_text,
        "digits": notes.digits_of,
        "rounded": lambda value: f"{value:.2f}" if isinstance(value, float) else "–" if value is None else str(value),
        "seconds": lambda value: "–" if value is None else f"{value:.1f}" if value < 10 else f"{value:.0f}",
        "setting": lambda value: (
            "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        ),
        "script": as_script,
    }
    environment.globals |= {
        "known": tables.KNOWN,
        "failures": FAILURES,
        "wording": tables.wording,
    }
    return environment


def as_script(value: Any) -> Markup:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
