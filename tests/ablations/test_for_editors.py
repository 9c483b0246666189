"""`medbench schema`: an editor accepts what a run accepts, explains every key, and marks a misspelt one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from medbench.ablations.schema.loading import HERE, shipped_studies
from medbench.ablations.schema.spec import PARTS
from medbench.bench.cli import app

GOOD = """\
question: Is it?
baseline: a
variants: {a: {model: medlitenet}}
dataset: {name: synthetic}
"""


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json.loads(CliRunner().invoke(app, ["schema"]).stdout)


def mistakes(schema: dict[str, Any], text: str) -> list[str]:
    study = json.loads(json.dumps(yaml.safe_load(text)))  # keys are text, as editors see them
    return [error.message for error in Draft202012Validator(schema).iter_errors(study)]


def keys_of(part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that a schema describes, at any depth."""
    if isinstance(part, dict):
        yield from part.get("properties", {}).items()
        for inner in part.values():
            yield from keys_of(inner)


def test_it_is_a_json_schema(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", shipped_studies().values(), ids=lambda path: path.stem)
def test_every_shipped_study_is_valid(schema: dict[str, Any], path: Path) -> None:
    assert mistakes(schema, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "more",
    [
        "seeds: 3",
        "seeds: [4, 2]",
        "evaluate: [clean, {dataset: ph2}, {folder: a/b, part: test}, {artifact: hair, severity: 3}]",
        "training: {epochs: 3, progressive_sizes: {0.0: 1.0}, losses: {focal: 0.5}}",
        "tasks: {diagnosis: {column: dx, weight: 0.5}, kind: {}}",
        "profiles: {small: {dataset: {size: 64}, variants: {a: {training: {epochs: 2}}}}}",
    ],
)
def test_what_a_study_may_say_is_valid(schema: dict[str, Any], more: str) -> None:
    assert mistakes(schema, GOOD + more) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD + "trainig: {epochs: 3}", id="a key"),
        pytest.param(GOOD + "training: {epoch: 3}", id="a key of a part"),
        pytest.param(GOOD + "training: {augment: {flop: 1}}", id="a key of a part of a part"),
        pytest.param(GOOD.replace("model:", "modle:"), id="a key of a variant"),
        pytest.param(GOOD + "profiles: {small: {sedes: 2}}", id="a key of a profile"),
        pytest.param(GOOD + "primary: dise", id="a metric"),
        pytest.param(GOOD + "evaluate: [{artifact: hare, severity: 1}]", id="an artifact"),
        pytest.param(GOOD + "training: {losses: {fokal: 1}}", id="a loss"),
        pytest.param(GOOD.replace("medlitenet", "medlitnet"), id="a model"),
        pytest.param(GOOD + "tasks: {a b: {}}", id="a task's name"),
        pytest.param(GOOD + "tasks: {kind: {colum: dx}}", id="a key of a task"),
    ],
)
def test_what_is_misspelt_is_marked(schema: dict[str, Any], text: str) -> None:
    assert mistakes(schema, text) != []


@pytest.mark.parametrize(
    "text", [GOOD.replace("baseline: a\n", ""), GOOD.replace("name: synthetic", "size: 64"), GOOD + "seeds: []"]
)
def test_what_must_be_said_is_asked_for(schema: dict[str, Any], text: str) -> None:
    assert mistakes(schema, text) != []


def test_every_key_is_there_and_explained(schema: dict[str, Any]) -> None:
    described = dict(keys_of(schema))

    assert set(described) == {key for part in PARTS for key in part.model_fields}
    assert [name for name, key in keys_of(schema) if not key.get("description")] == []


def test_defaults_are_those_of_a_run(schema: dict[str, Any]) -> None:
    defaults = yaml.safe_load((HERE / "defaults.yaml").read_text(encoding="utf-8"))

    assert schema["properties"]["margin"]["default"] == defaults["margin"]
    assert schema["$defs"]["Training"]["properties"]["epochs"]["default"] == defaults["training"]["epochs"]
    assert schema["$defs"]["DatasetSpec"]["properties"]["split"]["default"] == defaults["dataset"]["split"]
