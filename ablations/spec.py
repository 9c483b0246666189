"""The schema of a study, and how its YAML becomes one: defaults, study, profile, settings from the command line.

Closed, frozen and strict. Every error is one line with the file, the line and the key. The defaults are in
`defaults.yaml`, each with a comment; the schema has none of its own where a recipe is concerned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ..bench.errors import MedbenchError, UnknownNameError
from ..bench.metrics import METRICS

HERE = Path(__file__).parent
NOT_STUDIES = ("defaults", "profiles")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Range = Annotated[tuple[Positive, Positive], BeforeValidator(_tuple)]


class Spec(BaseModel):
    """Base of every part of a study: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Augment(Spec):
    """Random changes of training images; probabilities and ranges are explained in defaults.yaml."""

    flip: Share
    affine: Share
    rotate_degrees: Annotated[float, Field(ge=0, le=180)]
    scale: Range
    shift: Share
    elastic: Share
    elastic_shift: Positive
    elastic_sigma: Positive
    colour: Share
    brightness: Share
    contrast: Share
    saturation: Share
    hue: Annotated[float, Field(ge=0, le=0.5)]
    clahe: Share
    noise: Share
    noise_deviation: Range
    blur: Share
    blur_sigma: Range


class Training(Spec):
    """The recipe of one training."""

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: Positive
    encoder_learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_epochs: Annotated[float, Field(ge=0)]
    final_learning_rate: Share
    bce_weight: Annotated[float, Field(ge=0)]
    dice_weight: Annotated[float, Field(ge=0)]
    clip_norm: Positive
    precision: Literal["mixed", "full"]
    progressive_sizes: dict[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(gt=0, le=1)]]
    checkpoint: Literal["last", "best-val"]
    augment: Augment

    @model_validator(mode="after")
    def _starts_somewhere(self) -> "Training":
        if 0.0 not in self.progressive_sizes:
            raise ValueError("progressive_sizes must say what size the first epoch has (a key 0.0)")
        return self


class DatasetSpec(Spec):
    """A data set by name or folder, how it is split, and at what size it is trained on."""

    name: str | None = None
    folder: str | None = None
    split: Annotated[str, Field(pattern=r"^(official|holdout|egeunet|kfold:[0-9]+)$")]
    split_seed: int
    size: Annotated[int, Field(ge=32, multiple_of=32)]
    leave_out_broken: bool
    images: Count | None = None

    @model_validator(mode="after")
    def _is_one_set(self) -> "DatasetSpec":
        if (self.name is None) == (self.folder is None):
            raise ValueError("give either the name of a data set or a folder")
        if self.images is not None and self.name != "synthetic":
            raise ValueError("images is the number of synthetic images; other sets bring their own")
        return self


class EnsembleSpec(Spec):
    """Trained variants whose probabilities are averaged."""

    members: Annotated[tuple[str, ...], BeforeValidator(_tuple), Field(min_length=2)]
    weighting: Literal["validation-dice", "equal"]


class VariantSpec(Spec):
    """A model and what it overrides, or an ensemble of other variants."""

    model: str | None = None
    options: dict[str, Any] = {}
    ensemble: EnsembleSpec | None = None
    encoder_weights: str | None = None
    training: dict[str, Any] = {}
    dataset: dict[Literal["size"], int] = {}

    @model_validator(mode="after")
    def _is_one_thing(self) -> "VariantSpec":
        if (self.model is None) == (self.ensemble is None):
            raise ValueError("give either a model or an ensemble")
        return self


class OtherSet(Spec):
    """An evaluation on another data set."""

    dataset: str | None = None
    folder: str | None = None

    @model_validator(mode="after")
    def _is_one_set(self) -> "OtherSet":
        if (self.dataset is None) == (self.folder is None):
            raise ValueError("give either the name of a data set or a folder")
        return self

    @property
    def name(self) -> str:
        """What the evaluation is called in tables."""
        return self.dataset or Path(self.folder or "").name


def _seeds(value: Any) -> Any:
    return tuple(range(value)) if isinstance(value, int) and value > 0 else _tuple(value)


class Study(Spec):
    """One question: variants x seeds on a data set, with evaluations."""

    question: str
    baseline: str
    variants: Annotated[dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")], VariantSpec], Field(min_length=1)]
    dataset: DatasetSpec
    encoder_weights: str
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_seeds), Field(min_length=1)]
    training: Training
    evaluate: Annotated[tuple[Literal["clean"] | OtherSet, ...], BeforeValidator(_tuple), Field(min_length=1)]
    primary: str
    margin: Annotated[float, Field(ge=0)]
    score_at: Literal["native", "input"]
    profiles: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _names_exist(self) -> "Study":
        if self.baseline not in self.variants:
            raise ValueError(str(UnknownNameError("baseline", self.baseline, self.variants)))
        if self.primary not in METRICS:
            raise ValueError(str(UnknownNameError("primary metric", self.primary, METRICS)))
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ from each other, got {list(self.seeds)}")
        trained = [name for name, variant in self.variants.items() if variant.model]
        for name, variant in self.variants.items():
            for member in variant.ensemble.members if variant.ensemble else ():
                if member not in trained:
                    raise ValueError(str(UnknownNameError(f"member of ensemble {name!r}", member, trained)))
        return self

    def training_of(self, variant: str) -> Training:
        """The recipe of a variant: the study's with the variant's own keys laid over it."""
        overlay = self.variants[variant].training
        return Training.model_validate(merge(self.training.model_dump(), overlay), strict=True)

    def size_of(self, variant: str) -> int:
        """The input size of a variant, in pixels."""
        return self.variants[variant].dataset.get("size", self.dataset.size)

    def encoder_weights_of(self, variant: str) -> str:
        """Where the encoder of a variant gets its weights."""
        return self.variants[variant].encoder_weights or self.encoder_weights


@dataclass(frozen=True, slots=True)
class Loaded:
    """A study with where it came from."""

    name: str
    profile: str
    study: Study


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """`overlay` laid over `base`, mapping by mapping; lists and plain values are replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and key != "progressive_sizes":
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged


def shipped_studies() -> dict[str, Path]:
    """The studies that come with medbench, by name."""
    return {path.stem: path for path in sorted(HERE.glob("*.yaml")) if path.stem not in NOT_STUDIES}


def find_study(name: str) -> Path:
    """The file of a study named by path, or by the name of a shipped one."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        if path.stem in shipped_studies() and path.parent.name in ("", "ablations"):
            return shipped_studies()[path.stem]
        raise MedbenchError(f"{name}: there is no such file; studies that ship: {', '.join(shipped_studies())}")
    if name not in shipped_studies():
        raise UnknownNameError("study", name, shipped_studies(), " Or give the path of a YAML file.")
    return shipped_studies()[name]


def load_study(name: str, *, profile: str = "paper", settings: Sequence[str] = ()) -> Loaded:
    """Reads and checks a study.

    Args:
        name: the path of a YAML file, or the name of a shipped study.
        profile: a profile of `profiles.yaml` or of the study.
        settings: `key=value` with dotted keys and YAML values, laid over everything else.

    Raises:
        MedbenchError: with file, line and key of the first thing that is wrong.
    """
    path = find_study(name)
    document = _Document(path)
    study: dict[str, Any] = document.value
    shared = yaml.safe_load((HERE / "profiles.yaml").read_text(encoding="utf-8"))
    own = study.get("profiles") or {}
    if not isinstance(own, dict) or not all(isinstance(overlay, dict) for overlay in own.values()):
        raise MedbenchError(f"{document.place(('profiles',))}: profiles must map names to what they change")
    if profile not in {*shared, *own}:
        raise UnknownNameError("profile", profile, {*shared, *own})
    layers = [yaml.safe_load((HERE / "defaults.yaml").read_text(encoding="utf-8")), study]
    _check(merge(*layers), document, ())
    layers += [shared.get(profile, {}), own.get(profile, {})]
    merged: dict[str, Any] = {}
    for layer in layers:
        if "folder" in layer.get("dataset", {}) or "name" in layer.get("dataset", {}):
            merged.get("dataset", {}).pop("name", None)  # another set replaces the set, not only its name
            merged.get("dataset", {}).pop("folder", None)
        merged = merge(merged, layer)
    for setting in settings:
        merged = merge(merged, _parse_setting(setting))
    return Loaded(path.stem, profile, _check(merged, document, ("profiles", profile), settings))


def _parse_setting(setting: str) -> dict[str, Any]:
    key, equals, text = setting.partition("=")
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise MedbenchError(f"--set {setting}: the value is not YAML") from error
    if not equals or not all(key.split(".")):
        raise MedbenchError(f"--set {setting}: write it as key=value, as in --set training.epochs=20")
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


class _Document:
    """A YAML mapping that remembers at which line each key stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
            self.root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.value = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError) as error:
            raise MedbenchError(f"{path}: cannot be read ({error})") from error
        except yaml.YAMLError as error:
            line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
            raise MedbenchError(f"{path}:{line}: is not valid YAML ({getattr(error, 'problem', error)})") from error
        if not isinstance(self.value, dict):
            raise MedbenchError(f"{path}:1: a study is a mapping with the keys question, baseline, variants, ...")

    def line(self, keys: Sequence[Any]) -> tuple[int, bool]:
        """The line of the deepest of `keys` that the file has, and whether it has them all."""
        node, line = self.root, 1
        for key in keys:
            if isinstance(node, yaml.MappingNode):
                entry = next((pair for pair in node.value if pair[0].value == str(key)), None)
                if entry is None:
                    return line, False
                line, node = entry[0].start_mark.line + 1, entry[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = node.start_mark.line + 1
            else:
                return line, False
        return line, True

    def place(self, keys: Sequence[Any], overlay: Sequence[str] = ()) -> str:
        """`file:line`, preferring the profile that was laid over the study."""
        line, whole = self.line([*overlay, *keys])
        if not overlay or not whole:
            line = self.line(keys)[0]
        return f"{self.path}:{line}"


def _check(merged: dict[str, Any], document: _Document, overlay: Sequence[str], settings: Sequence[str] = ()) -> Study:
    """The validated study, the variants' own recipes included; or the first error in one line."""
    prefix: tuple[Any, ...] = ()
    try:
        study = Study.model_validate(merged)
        for name in study.variants:
            prefix = ("variants", name, "training")
            study.training_of(name)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        keys = [key for key in (*prefix, *first["loc"]) if not _is_branch(key)]
        dotted = ".".join(map(str, keys))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = "there is no such key"
        if first["type"] == "missing":
            message = "this key is missing"
        if any(setting.partition("=")[0] == dotted for setting in settings):
            place = f"--set {dotted}"
        else:
            place = document.place(keys, overlay)
        raise MedbenchError(f"{place}: {f'{dotted}: ' if dotted else ''}{message}") from error
    return study


def _is_branch(key: Any) -> bool:
    """pydantic names the branch of a union among the keys; the file has no such key."""
    return key in ("OtherSet",) or (isinstance(key, str) and key.startswith(("literal[", "constrained-", "function-")))
