"""The JSON Schema of a study file, for editors that complete and explain keys, and for the documentation.

A file is a part of a study: what it leaves out stands in `defaults.yaml`, and a profile may leave out anything.
`medbench run` checks more than a schema can say, such as that the baseline is one of the variants.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from ...bench.metrics import METRICS
from .loading import HERE
from .spec import Study

DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def study_schema(
    *, models: Iterable[str], datasets: Iterable[str], artifacts: Iterable[str], losses: Iterable[str]
) -> Schema:
    """Describes every key of a study file, with its type, default and meaning.

    Args:
        models: names that need no colon.
        datasets: names of data sets.
        artifacts: kinds of artifacts.
        losses: terms of the loss.
    """
    schema = Study.model_json_schema()
    parts: dict[str, Schema] = schema["$defs"]
    for part in (schema, *parts.values()):
        part.pop("title")
        for key in part["properties"].values():
            key.pop("title", None)
            _forget_none(key)
    of_part = {name: part["properties"] for name, part in parts.items()}
    study: Schema = schema["properties"]
    model = {"anyOf": [{"enum": [*models]}, {"pattern": ".:."}], "type": "string"}
    kind = {"enum": [*artifacts]}
    of_part["VariantSpec"]["model"] |= model
    of_part["DatasetSpec"]["name"] |= {"enum": [*datasets]}
    of_part["OtherSet"]["dataset"] |= {"enum": [*datasets]}
    of_part["ArtifactTest"]["artifact"] |= kind
    of_part["Augment"]["artifacts"]["items"] |= kind
    further = [name for name in losses if f"{name}_weight" not in of_part["Training"]]
    of_part["Training"]["losses"] |= {"propertyNames": {"enum": further}}
    study["primary"] |= {"enum": [*METRICS]}
    _one_or_list(of_part["ArtifactTest"]["severity"], {"type": "integer", "minimum": 1, "maximum": 5})
    study["seeds"]["anyOf"] = [{"type": "integer", "minimum": 1}, *study["seeds"].pop("oneOf")]
    # A variant's own keys are some of the study's.
    of_part["VariantSpec"]["training"] = _described(of_part["VariantSpec"]["training"], {"$ref": "#/$defs/Training"})
    own = {key: of_part["DatasetSpec"][key] for key in ("name", "folder", "images", "size")}
    of_part["VariantSpec"]["dataset"] = _described(of_part["VariantSpec"]["dataset"], _mapping(own))

    for name in ("DatasetSpec", "EnsembleSpec", "Training", "Augment"):
        del parts[name]["required"]
    defaults = yaml.safe_load((HERE / "defaults.yaml").read_text(encoding="utf-8"))
    _set_defaults(schema, defaults, parts)
    profiles = study.pop("profiles")
    parts["Overlay"] = {"description": "Keys of a study that a profile changes.", **_mapping(study)}
    profiles["additionalProperties"] = {"$ref": "#/$defs/Overlay"}
    (any_name,) = study["sets"]["patternProperties"]
    study["sets"]["patternProperties"] = {any_name: {"$ref": "#/$defs/DatasetSpec"}}
    for named in (study["variants"], study["sets"], study["tasks"], of_part["VariantSpec"]["tasks"]):
        named["additionalProperties"] = False
    names = study["variants"]["patternProperties"]
    variant = {"allOf": [{"$ref": "#/$defs/VariantSpec"}, _either("model", "ensemble")]}
    one_set = {"required": ["dataset"], "properties": {"dataset": _either("name", "folder")}}
    whole = {
        **study,
        "variants": {**study["variants"], "patternProperties": dict.fromkeys(names, variant)},
        "profiles": profiles,
    }
    return {
        "$schema": DRAFT,
        "title": "medbench study",
        "description": schema["description"],
        **_mapping(whole),
        "required": ["question", "baseline", "variants"],
        "anyOf": [one_set, {"required": ["sets"]}],
        "$defs": parts,
    }


def _mapping(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _described(old: Schema, new: Schema) -> Schema:
    return {"description": old["description"], **new}


def _forget_none(key: Schema) -> None:
    """An optional key is left out rather than set to null."""
    if key.get("default", ...) in (None, {}):
        del key["default"]
    if {"type": "null"} in (choices := key.get("anyOf", [])):
        del key["anyOf"]
        key |= choices[0]


def _one_or_list(key: Schema, one: Schema) -> None:
    several = {name: key.pop(name) for name in ("items", "minItems", "type")}
    key["anyOf"] = [one, several]


def _set_defaults(part: Schema, defaults: Mapping[str, Any], parts: Mapping[str, Schema]) -> None:
    for name, value in defaults.items():
        key = part["properties"][name]
        if "$ref" in key:
            _set_defaults(parts[key["$ref"].rpartition("/")[2]], value, parts)
        else:
            key["default"] = value


def _either(*keys: str) -> Schema:
    """What a study must say once, and a profile need not say again."""
    return {"oneOf": [{"required": [key]} for key in keys]}
