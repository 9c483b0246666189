"""How a study is read: defaults, the study, a profile, and settings from the command line, laid over each other.

Every error is one line with the file, the line and the key.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ...bench.errors import MedbenchError, UnknownNameError
from ...bench.store.records import read_json, write_text
from .document import Document
from .layers import merge
from .recipe import Training
from .spec import NAME, PARTS, SPLIT, TASK, Study

HERE = Path(__file__).parent
STUDIES = HERE.parent
MESSAGES = {
    "extra_forbidden": "there is no such key",
    "missing": "this key is missing",
    "tuple_type": "write a list here, as in [a, b]",
    "model_type": "write a mapping here, as in {key: value}",
    "too_short": "needs one entry at least; or leave the key out",
}
PATTERNS = {  # in words, for those who do not read regular expressions
    SPLIT: "write holdout, official, egeunet, random, or kfold:K with 2 folds or more, as in kfold:5",
    NAME: "a name has letters, digits, _, . and - alone",
    TASK: "a name has letters, digits and _ alone, and begins with none of the digits",
}
TOLD = {"missing", "study", "value_error"}  # errors that name what was given, or that nothing was


@dataclass(frozen=True, slots=True)
class Loaded:
    """A study with where it came from."""

    stem: str
    profile: str
    study: Study
    document: Document
    overlay: tuple[str, ...]
    settings: tuple[str, ...]
    """What the command line laid over it, as in "training.epochs=1"."""
    recipe: dict[str, int]
    """Epochs and input size of the recipe in `defaults.yaml`, for reports to compare with."""
    said: dict[str, Any]
    """What study, profile and command line say themselves, without the defaults."""
    series: tuple[str, ...] = ()
    """The names of the sets of a study that is asked of several; empty for one set."""
    member: str | None = None
    """Which of them this is."""

    @property
    def name(self) -> str:
        """The file's name, the set of a series, and the profile where it is not the study as it stands: with another
        profile it is another study."""
        return self._named(self.stem if self.member is None else f"{self.stem}-{self.member}")

    @property
    def series_name(self) -> str:
        """What all members of a series share."""
        return self._named(self.stem)

    def _named(self, stem: str) -> str:
        return stem if self.profile == "paper" else f"{stem}-{self.profile}"

    def training_of(self, variant: str, modality: str | None) -> Training:
        """The recipe of a variant on images of a modality, which changes those defaults that nobody said otherwise."""
        own = self.study.training_of(variant)
        said = merge(self.said.get("training", {}), self.study.variants[variant].training).get("augment", {})
        changes = {key: value for key, value in augment_of(modality).items() if key not in said}
        return Training.model_validate(merge(own.model_dump(), {"augment": changes}), strict=True)

    def place(self, *keys: str, also: Sequence[str] = ()) -> str:
        """File, line and key, for errors that show only when data and models are looked for; or the setting of the
        command line that gave this key, or a part of one of `also`, the dotted keys that have a say in it."""
        if self.member is not None and keys[0] == "dataset":
            keys = "sets", self.member, *keys[1:]
        dotted = ".".join(keys)
        for setting in reversed(self.settings):
            key = setting.partition("=")[0]
            if any(_is_in(each, key) for each in (dotted, *also)) or any(_is_in(key, each) for each in also):
                return f"--set {setting}"
        return f"{self.document.place(keys, self.overlay)}: {dotted}"


def shipped_studies() -> dict[str, Path]:
    """The studies that come with medbench, by name."""
    return {path.stem: path for path in sorted(STUDIES.glob("*.yaml"))}


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


def study_of_report(report: Path, name: str, folder: Path) -> Path:
    """Writes the study that a report.json was made of, every choice resolved, as YAML into `folder`.

    Raises:
        MedbenchError: the file is no report, or has no study of that name.
    """
    try:
        studies = {each["study"]: each["spec"] for each in read_json(report)["studies"]}
    except (KeyError, TypeError) as error:
        raise MedbenchError(f"{report}: not the report.json of a medbench that can do this") from error
    if name not in studies:
        raise UnknownNameError("study", name, studies)
    if not studies[name]:
        raise MedbenchError(f"{report}: the store did not keep the resolved study; run the study's file instead")
    if Path(name).name != name:
        raise MedbenchError(f"{report}: {name!r} is no name of a study")
    path = folder / f"{name}.yaml"
    write_text(path, studies[name])
    return path


def load_study(name: str, *, profile: str = "paper", settings: Sequence[str] = ()) -> Loaded:
    """Reads and checks a study of one data set; see `load_studies`."""
    found = load_studies(name, profile=profile, settings=settings)
    if len(found) > 1:
        raise MedbenchError(f"{name}: is a study of {len(found)} data sets ({', '.join(found[0].series)})")
    return found[0]


def load_studies(name: str, *, profile: str = "paper", settings: Sequence[str] = ()) -> list[Loaded]:
    """Reads and checks a study, which is several where it is asked of several data sets (`sets`).

    Args:
        name: the path of a YAML file, or the name of a shipped study.
        profile: a profile of `profiles.yaml` or of the study.
        settings: `key=value` with dotted keys and YAML values, laid over everything else.

    Raises:
        MedbenchError: with file, line and key of the first thing that is wrong.
    """
    path = find_study(name)
    document = Document(path)
    study: dict[str, Any] = document.value
    shared = yaml.safe_load((HERE / "profiles.yaml").read_text(encoding="utf-8"))
    own = study.get("profiles") or {}
    if not isinstance(own, dict) or not all(isinstance(overlay, dict) for overlay in own.values()):
        raise MedbenchError(f"{document.place(('profiles',))}: profiles must map names to what they change")
    if profile not in {*shared, *own}:
        raise UnknownNameError("profile", profile, {*shared, *own})
    defaults = yaml.safe_load((HERE / "defaults.yaml").read_text(encoding="utf-8"))
    for _, layers in _members([defaults, study], document):
        _check(_merged(layers), document, ())
    overlay = ("profiles", profile)
    recipe = {"epochs": defaults["training"]["epochs"], "size": defaults["dataset"]["size"]}
    scaled = shared.get(profile, {})
    if isinstance(study.get("seeds"), dict):  # a plan of looks, which is no matter of scale
        scaled = {key: value for key, value in scaled.items() if key != "seeds"}
    members = _members([defaults, study, scaled, own.get(profile, {})], document)
    found: list[Loaded] = []
    for member, layers in members:
        checked = _checked_settings(_merged(layers), document, overlay, settings)
        said = _merged([*layers[1:], *map(_parse_setting, settings)])
        series = tuple(each for each, _ in members if each is not None)
        found.append(
            Loaded(path.stem, profile, checked, document, overlay, tuple(settings), recipe, said, series, member)
        )
    return found


def _members(
    layers: Sequence[Mapping[str, Any]], document: Document
) -> list[tuple[str | None, list[Mapping[str, Any]]]]:
    """The layers of each study: of one, or one for each of its sets, which lie over the study's `dataset`."""
    sets = _merged(layers).get("sets")
    if sets is None:
        return [(None, [*layers])]
    if not isinstance(sets, dict) or not all(isinstance(each, dict) for each in sets.values()):
        raise MedbenchError(f"{document.place(('sets',))}: sets must map names to what of `dataset` each has")
    if len(sets) < 2:
        raise MedbenchError(f"{document.place(('sets',))}: sets are two or more; say dataset for one")
    bare = [{key: value for key, value in layer.items() if key != "sets"} for layer in layers]
    return [(str(name), [*bare, {"dataset": each}]) for name, each in sets.items()]


def augment_of(modality: str | None) -> dict[str, Any]:
    """What a modality changes of the augmentation, by `modalities.yaml`; nothing where it is not known."""
    known = yaml.safe_load((HERE / "modalities.yaml").read_text(encoding="utf-8"))
    return known[modality] if modality else {}


def _merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return reduce(merge, layers, {})


def _checked_settings(
    base: dict[str, Any], document: Document, overlay: Sequence[str], settings: Sequence[str]
) -> Study:
    """The study with settings laid over it. What is wrong with it alone is blamed on a setting, the one without which
    it is not, as far as one is."""
    changes = [_parse_setting(each) for each in settings]
    try:
        return _check(_merged([base, *changes]), document, overlay)
    except InvalidStudyError as error:
        if not settings:
            raise
        _check(base, document, overlay)
        to_blame = list(settings)
        for left_out, setting in enumerate(settings):
            with suppress(InvalidStudyError):
                _check(_merged([base, *changes[:left_out], *changes[left_out + 1 :]]), document, overlay)
                to_blame = [setting]
        key = to_blame[0].partition("=")[0]
        where = "" if error.dotted in ("", key) else f" {error.dotted}:"
        raise MedbenchError(f"{' '.join(f'--set {each}' for each in to_blame)}:{where} {error.message}") from error


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


def _check(merged: dict[str, Any], document: Document, overlay: Sequence[str]) -> Study:
    """The validated study, the variants' own recipes included; or the first error in one line."""
    prefix: tuple[Any, ...] = ()
    try:
        study = Study.model_validate(merged)
        for name in study.variants:
            prefix = ("variants", name, "training")
            study.training_of(name)
            prefix = ("variants", name, "dataset")
            study.dataset_of(name)
    except ValidationError as error:
        first = _first(error.errors(include_url=False))
        keys = [*prefix, *first["loc"], *first.get("ctx", {}).get("keys", ())]
        # Pydantic names the branch of a union; the file has no such key.
        if keys[:1] == ["evaluate"]:
            del keys[2:3]
        if keys[:1] == ["seeds"]:
            del keys[1:2]
        raise InvalidStudyError(
            document.place(keys, overlay), ".".join(map(str, keys)), _message(first, keys)
        ) from error
    return study


def _first(errors: Sequence[ErrorDetails]) -> ErrorDetails:
    """The error to tell: the first, but where it is a missing key a misspelt one beside it."""
    first = errors[0]
    beside = [each for each in errors if each["type"] == "extra_forbidden" and each["loc"][:-1] == first["loc"][:-1]]
    return beside[0] if beside and first["type"] == "missing" else first


class InvalidStudyError(MedbenchError):
    """A key of a study, `dotted`, is wrong."""

    def __init__(self, place: str, dotted: str, message: str) -> None:
        self.dotted = dotted
        self.message = message
        super().__init__(f"{place}{f': {dotted}' if dotted else ''}: {message}")


def _message(error: ErrorDetails, keys: Sequence[Any]) -> str:
    """What is wrong, with what was given where it is short."""
    message = MESSAGES.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    message = PATTERNS.get(error.get("ctx", {}).get("pattern", ""), message)
    given = error["input"]
    if error["type"] == "extra_forbidden":
        return f"{message}{_meant(str(keys[-1]), keys[:-1])}"
    if error["type"] == "float_type" and isinstance(given, str):
        return f"{message} (YAML takes {given!r} for text; write 0.001 or 1.0e-3)"
    if error["type"] not in TOLD and isinstance(given, str | int | float | list | None) and len(repr(given)) <= 60:
        return f"{message}, got {repr(given) if isinstance(given, str) else json.dumps(given, default=str)}"
    return message


def _meant(key: str, within: Sequence[Any]) -> str:
    """What an unknown key may be instead, or where it belongs; empty where nothing is near."""
    if places := [where for part, where in PARTS.items() if key in part.model_fields]:
        return f" here; it belongs in {' or in '.join(places)}"
    close = get_close_matches(key, {each for part in PARTS for each in part.model_fields}, n=1, cutoff=0.72)
    if close:
        return f"; did you mean {close[0]!r}?"
    return "; what a model takes stands below options" if len(within) == 2 and within[0] == "variants" else ""


def _is_in(dotted: str, whole: str) -> bool:
    """Whether a dotted key is another or a part of it."""
    return f"{dotted}.".startswith(f"{whole}.")
