"""Every model that a study can name, and the one door to build it: `build_model`.

Three kinds of names: MedLiteNet, its variants and light peers (`medbench models` lists them),
`smp:Architecture/encoder` for segmentation-models-pytorch, and `package.module:Class` for a model of one's own, or a
function that gives one.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.error import URLError

import segmentation_models_pytorch as smp
import timm
from torch import nn

from ..bench.errors import MedbenchError, UnknownNameError, first_line
from ..bench.metrics import Target
from ..bench.quiet import quietly
from .encoder_weights import load_timm_weights, state_digest
from .ensemble import Ensemble
from .heads import BOTTLENECKS, OF_SMP, WithHeads, at_inference
from .names import (
    ENSEMBLE,
    FAMILIES,
    LEFT_TO_THE_SET,
    MEMBERS,
    MODELS,
    SET_CHANNELS,
    SET_MAPS,
    check_name,
    check_options,
)
from .outputs import Adapted, Reading
from .source_code import code_digest

SET_BY_MEDBENCH = {"encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params"}  # in smp
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a name"}  # of options


@dataclass(frozen=True, slots=True)
class Built:
    """A model with what its behaviour depends on besides name and options.

    `encoder_digest` is that of the pretrained encoder that was loaded into it, `code_digest` that of the code of a
    model of the user's own; each is None where there is no such thing.
    """

    model: nn.Module
    encoder_digest: str | None = None
    code_digest: str | None = None


@quietly()
def build_model(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    output: Mapping[str, Any] | None = None,
    deep_supervision: Sequence[float] = (),
    encoder_weights: str = "none",
    data: Path | None = None,
    maps: int = 1,
    channels: int = 3,
    overlap: bool = False,
    tasks: Mapping[str, int] | None = None,
) -> Built:
    """The model of that name, its encoder pretrained or not.

    Args:
        name: one of `names.MODELS`, `smp:Architecture/encoder`, or `package.module:Class` (or a function).
        options: keyword arguments of the model; an unknown one is an error.
        output: fields of `outputs.Reading`, for a network that gives something else than logits (B, maps, H, W).
        deep_supervision: weights of the losses of its other maps.
        encoder_weights: "none", "imagenet", or the path of a safetensors file with timm's names.
        data: the data folder, where `weights/` may lie.
        maps: channels of the logits, as `Target.n_maps` has them.
        channels: of the images.
        overlap: whether several maps are labels that a pixel may have at once, else classes of which it has one.
        tasks: the number of classes of each image-level task by name; where there is one the model has `heads`.

    Raises:
        MedbenchError: the name, an option or the weights are not to be had; the message says what would be.
    """
    options = dict(options or {})
    check_name(name, options, encoder_weights)
    built = _build(name, options, encoder_weights, data, maps, channels)
    reading, model = Reading(**(output or {}), deep_supervision=deep_supervision), built.model
    try:
        if output:
            model = Adapted(model, reading, maps=maps, overlap=overlap)
        if tasks:
            model = WithHeads(model, tasks, reading.bottleneck or _bottleneck_of(name), channels=channels)
    except MedbenchError as error:
        raise MedbenchError(f"model {name!r}: {error}") from error
    return replace(built, model=model)


def _bottleneck_of(name: str) -> str | None:
    """Where heads see a model that is not of the user's own."""
    if name.startswith("smp:"):
        return OF_SMP
    return BOTTLENECKS[MODELS[name].family] if name in MODELS else None


def _build(
    name: str, options: dict[str, Any], encoder_weights: str, data: Path | None, maps: int, channels: int
) -> Built:
    if name.startswith("smp:"):
        return _build_smp(name, options, encoder_weights, data, maps, channels)
    if ":" in name:
        return _build_own(name, options, maps, channels)
    entry = MODELS[name]
    _check_types(name, options, inspect.signature(family_class(entry.family)).parameters)
    merged = {**entry.options, **options}
    backbone = merged.get("backbone", "mobilenetv2_100")
    if not (isinstance(backbone, str) and timm.is_model(backbone)):
        raise MedbenchError(f"model {name!r}: timm knows no backbone {backbone!r}")
    model = _call(name, partial(family_class(entry.family), **merged, maps=maps, channels=channels))
    if encoder_weights == "none":
        return Built(model)
    load_timm_weights(model.encoder, backbone, encoder_weights, data, channels)
    return Built(model, state_digest(model.encoder))


def family_class(family: str) -> type[nn.Module]:
    """The class of a family of `names.FAMILIES`."""
    where = FAMILIES[family]
    return getattr(importlib.import_module(f".{where.module}", __package__), where.name)


def resolve_model(name: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any], str]:
    """Name, complete options and description, so that two names of one configuration are one configuration.

    A variant becomes its family with every option written out; other models keep what was given. What the data set
    decides is no option, and what came later is left out where it is off. What belongs to a part that is off has its
    default.
    """
    if name not in MODELS:
        return name, dict(options), name
    entry = MODELS[name]
    family, parameters = FAMILIES[entry.family], inspect.signature(family_class(entry.family)).parameters
    defaults = {
        key: list(default) if isinstance(default := parameters[key].default, tuple) else default
        for key in family.options
    }
    complete = {**defaults, **entry.options, **options}
    for part, names in family.parts_of.items():
        if complete[part] is False:
            complete |= {key: defaults[key] for key in names}
    off = {key for key in family.later if complete[key] == defaults[key]}
    return entry.family, {key: value for key, value in complete.items() if key not in off}, entry.description


def _check_types(name: str, options: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]) -> None:
    """Refuses options of medbench's own models that are not of their default's kind. Python would take most of them:
    text counts as true, "none" too."""
    for option, value in options.items():
        if not _is_like(value, default := parameters[option].default):
            wanted = f"a list, each {KINDS[type(default[0])]}" if isinstance(default, tuple) else KINDS[type(default)]
            raise MedbenchError(f"option {option!r} of model {name!r} is {wanted}, not {value!r}")


def _is_like(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        return isinstance(value, list | tuple) and all(_is_like(each, default[0]) for each in value)
    if isinstance(default, float):
        return type(value) in (int, float) and isfinite(value)
    return type(value) is type(default)


def _check_signature(name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuses options that the signature does not name: `**kwargs` of a model may drop them without a word."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError as error:  # of some functions that are not written in Python
        raise MedbenchError(f"model {name!r} does not say which options it takes") from error
    note = " What **kwargs takes it may drop without a word: name each option in the signature."
    check_options(
        name,
        options,
        [each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)],
        note if any(each.kind == each.VAR_KEYWORD for each in parameters) else "",
    )


def _call(name: str, build: Callable[[], nn.Module]) -> Any:
    try:
        return build()
    except URLError as error:
        raise MedbenchError(
            f"model {name!r} wants weights from the network, which is not reached ({error.reason}); an option of its "
            "own may leave them out, as in options: {weights_backbone: null}"
        ) from error
    except Exception as error:  # whatever a constructor makes of options that do not fit
        raise MedbenchError(f"model {name!r} cannot be built with these options: {first_line(error)}") from error


def _build_smp(
    name: str, options: dict[str, Any], encoder_weights: str, data: Path | None, maps: int, channels: int
) -> Built:
    architecture, _, encoder = name.removeprefix("smp:").partition("/")
    known = {kind.__name__: kind for kind in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    if architecture not in known:
        raise UnknownNameError("smp architecture", architecture, known)
    _check_signature(name, known[architecture], options)
    for option in sorted(SET_BY_MEDBENCH & {*options}):
        why = LEFT_TO_THE_SET if option in (*SET_MAPS, *SET_CHANNELS) else "medbench sets it itself; leave it out"
        raise MedbenchError(f"option {option!r} of model {name!r}: {why}")
    of_the_set = {"in_channels": channels, "classes": maps}
    model = _call(
        name, partial(known[architecture], encoder_name=encoder, encoder_weights=None, **of_the_set, **options)
    )
    if encoder_weights == "none":
        return Built(model)
    load_timm_weights(model.encoder.model, encoder.removeprefix("tu-"), encoder_weights, data, channels)
    return Built(model, state_digest(model.encoder))


def _build_own(name: str, options: dict[str, Any], maps: int, channels: int) -> Built:
    build = builder(name)
    _check_signature(name, build, options)
    unlike = {key: value for key, value, usual in (("maps", maps, 1), ("channels", channels, 3)) if value != usual}
    asked = {key: value for key, value in unlike.items() if key in inspect.signature(build).parameters}
    model = _call(name, partial(build, **{**asked, **options}))
    if not isinstance(model, nn.Module):
        raise MedbenchError(f"model {name!r} gives {type(model).__name__}; needs torch.nn.Module")
    return Built(model, code_digest=code_digest(name.partition(":")[0], build))


def builder(name: str) -> Callable[..., Any]:
    """The class or the function that `package.module:Class` names.

    Raises:
        MedbenchError: it cannot be imported, or is neither.
    """
    module, _, attribute = name.partition(":")
    try:
        build = getattr(importlib.import_module(module), attribute)
    except SystemExit as error:
        raise MedbenchError(
            f"model {name!r} cannot be imported: {module} ends the program, as a script does that reads options of its "
            "own; put what it runs under if __name__ == '__main__'"
        ) from error
    except Exception as error:  # importing runs the user's code, which may fail in any way
        raise MedbenchError(f"model {name!r} cannot be imported: {first_line(error)}") from error
    if isinstance(build, nn.Module):
        raise MedbenchError(f"model {name!r} is built already, once for all seeds: name its class, or a function")
    if not (issubclass(build, nn.Module) if isinstance(build, type) else callable(build)):
        raise MedbenchError(f"model {name!r} is not a class of torch.nn.Module, nor a function that gives one")
    return build


def untrained_model(
    name: str,
    options: Mapping[str, Any] | None = None,
    output: Mapping[str, Any] | None = None,
    *,
    maps: int = 1,
    channels: int = 3,
) -> nn.Module:
    """The model of that name with random weights, without what only training asks for; `ensemble` included, whose
    members are those of `MEMBERS`, and which takes no options."""
    if name == ENSEMBLE:
        check_options(name, options or {}, ())
        members = [build_model(member, maps=maps, channels=channels).model for member in MEMBERS]
        return Ensemble(members, [1.0] * len(MEMBERS))
    return at_inference(build_model(name, options, output=output, maps=maps, channels=channels).model)


def network_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a trial's configuration decides which network it is, as `build_model` names it."""
    said = {key: config[key] for key in ("options", "output", "deep_supervision", "channels") if key in config}
    target = Target.of(config.get("target"))
    if not target.is_single:
        said |= {"maps": target.n_maps, "overlap": target.overlap}
    if config.get("tasks"):
        said["tasks"] = {name: len(task["classes"]) for name, task in config["tasks"].items()}
    return said
