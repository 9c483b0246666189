"""What the site says of commands, keys and data sets, taken from the code when it is built."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from typer.main import get_command

from medbench.ablations.schema.for_editors import study_schema
from medbench.ablations.schema.spec import PARTS as STUDY_PARTS
from medbench.ablations.schema.spec import Study
from medbench.bench.cli import app
from medbench.bench.metrics import METRICS
from medbench.bench.store.records import MANIFEST, read_json, write_text
from medbench.bench.training.losses import LOSSES
from medbench.datasets.artifacts import ARTIFACTS
from medbench.datasets.catalog import DATASETS
from medbench.datasets.described.description import Description
from medbench.models.names import MODELS, describe_models
from medbench.reports.notes import counted
from medbench.reports.publishing import record_of

PUBLISHED = Path(__file__).parent.parent / "reports" / "published"
MARK = "<!-- from the code -->"
PARTS = {part.__name__: where for part, where in STUDY_PARTS.items() if part is not Study}
BOUNDS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
}


def schema() -> dict[str, Any]:
    """The JSON Schema of a study file, as `medbench schema` prints it."""
    return study_schema(models=MODELS, datasets=DATASETS, artifacts=ARTIFACTS, losses=LOSSES)


def write_schema(site: Path) -> None:
    """Puts schema/study.json into the site."""
    write_text(site / "schema" / "study.json", json.dumps(schema(), indent=1) + "\n")


def commands() -> str:
    """A section for each command: what it does, its usage, arguments and options."""
    return "\n".join(_section(name, command) for name, command in _commands("medbench", get_command(app)))


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    for each, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(f"{name} {each}", inner)
    if not hasattr(command, "commands"):
        yield name, command


def _section(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=name)
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    rows = [(f"`{what}`", _text(means)) for each in command.params for what, means in [each.get_help_record(context)]]
    table = _table(("argument or option", "meaning"), rows) if rows else ""
    return f"## {name}\n\n{_text(command.help)}\n\n```text\n{usage}\n```\n\n{table}"


def keys() -> str:
    """A table of all keys for the study, and one for each part of it."""
    whole = schema()
    study = {**whole["$defs"]["Overlay"]["properties"], "profiles": whole["properties"]["profiles"]}
    tables = [_keys("The study", {**whole, "properties": study})]
    tables += [_keys(where, whole["$defs"][part]) for part, where in PARTS.items()]
    return "\n".join(tables)


def description_keys() -> str:
    """A table of the keys of dataset.yaml."""
    told = Description.model_json_schema()
    for key in told["properties"].values():
        choices = [each for each in key.pop("anyOf", ()) if each.get("type") != "null"]
        key |= choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {}
        if key.get("default", 0) is None:
            del key["default"]
    return _keys("The set", told)


def _keys(title: str, part: dict[str, Any]) -> str:
    rows = [
        (f"`{name}`", _text(key["description"]), _type(key), _default(name, key, part))
        for name, key in part["properties"].items()
    ]
    return f"## {title}\n\n{_text(part['description'])}\n\n{_table(('key', 'meaning', 'type', 'default'), rows)}"


def _default(name: str, key: dict[str, Any], part: dict[str, Any]) -> str:
    if "default" in key:
        return f"`{json.dumps(key['default']).strip(chr(34))}`"
    return "required" if name in part.get("required", ()) else ""


def _type(key: dict[str, Any]) -> str:
    """The type of a key in words."""
    if "$ref" in key:
        where = PARTS[key["$ref"].rpartition("/")[2]]
        return f"the keys of [{where}](#{_anchor(where)})"
    if "const" in key:
        return f"`{key['const']}`"
    if "enum" in key:
        return ", ".join(f"`{each}`" for each in key["enum"])
    for several in ("anyOf", "oneOf"):
        if several in key:
            return ", or ".join(_type(each) for each in key[several])
    if "prefixItems" in key:
        return " and ".join(map(_type, key["prefixItems"]))
    if key.get("type") == "array":
        return f"list of {_type(key['items'])}"
    if "pattern" in key:
        return f"text like `{key['pattern']}`"
    if key.get("type") == "object":
        inner = [_type(each) for each in key.get("patternProperties", {}).values()]
        named = [f"`{each}`" for each in key.get("properties", {})]
        return f"names, each with {inner[0]}" if inner else ", ".join(named) or "mapping"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
    bounds = [text.format(key[name]) for name, text in BOUNDS.items() if name in key and key[name] < 2**62]
    return " ".join([words[key["type"]], ", ".join(bounds)]).strip()


def _anchor(heading: str) -> str:
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def data_sets() -> str:
    """What each data set asks of those who use it."""
    rows = [(f"`{name}`", _text(each.licence), _text(each.citation)) for name, each in DATASETS.items()]
    return _table(("set", "licence", "cite"), rows)


def metrics() -> str:
    """Every metric in a row."""
    rows = [
        (
            f"`{name}`",
            metric.label,
            metric.unit or "share",
            "higher" if metric.higher_is_better else "lower",
            _text(metric.description),
        )
        for name, metric in METRICS.items()
    ]
    return _table(("name", "label", "unit", "better", "what it is"), rows)


def models() -> str:
    """Every model in a row, its costs beside the published ones."""
    rows = [
        (
            f"`{row['name']}`",
            f"{_text(row['description'])}{'. ' + _text(row['paper']) if row['paper'] else ''}",
            f"{row['parameters'] / 1e6:.3f} M",
            f"{row['published_parameters'] / 1e6:g} M" if row["published_parameters"] else "",
            f"{row['macs'] / 1e9:.3f} G",
            f"{row['published_macs'] / 1e9:g} G" if row["published_macs"] else "",
            f"{row['activation_bytes'] / 1e6:.1f} MB",
            _text(row["reason"]),
            ", ".join(f"`{each}`" for each in row["options"]),
        )
        for row in describe_models()
    ]
    heads = (
        "name",
        "what it is",
        "parameters",
        "published",
        "MACs",
        "published",
        "activations",
        "why ours differ",
        "options",
    )
    return _table(heads, rows)


def results() -> str:
    """What was published, the latest first: what was asked, what was found, and the page, which lies in the site."""
    folders = sorted((path.parent for path in PUBLISHED.glob(f"*/{MANIFEST}")), reverse=True)
    return "\n".join(map(_result, folders)) or "None is published yet.\n"


def _result(folder: Path) -> str:
    record = record_of(folder)
    [study] = read_json(folder / "report.json")["studies"]
    said = [
        f"- {_text(answer['label'])}: **{_text(answer['effect'])}** {_text(answer['rest'])}"
        for answer in study["asked"]
        if answer["evaluation"] == study["evaluations"][0]
    ]
    links = [f'<a href="results/{quote(folder.name)}/{name}">{name}</a>' for name in ("index.html", "report.json")]
    about = (
        f"{counted(study['n_trials'], 'trial')}, {counted(len(study['evaluations']), 'evaluation')}, "
        f"`reports/published/{folder.name}`: {', '.join(links)}"
    )
    head = f"## {record.date}: {record.study}\n\n{_text(study['question'] or '')}"
    return "\n\n".join([head, "\n".join(said), about]) + "\n"


def write_results(site: Path) -> None:
    """Puts what was published into the site."""
    if PUBLISHED.is_dir():
        shutil.copytree(PUBLISHED, site / "results", dirs_exist_ok=True)


def _text(text: str) -> str:
    """Plain text as Markdown: what looks like a tag is none."""
    return " ".join(text.split()).replace("<", "&lt;")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "reference/cli": commands,
    "reference/spec": keys,
    "reference/dataset-yaml": description_keys,
    "reference/models": models,
    "results": results,
    "howto/cite-and-compare": data_sets,
    "explanation/protocol": metrics,
}


def fill(page: str, text: str) -> str:
    """The text of a page with the mark replaced by what is made for it."""
    return text.replace(MARK, PAGES[page]()) if page in PAGES else text
