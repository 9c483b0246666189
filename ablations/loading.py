"""How a study is read: defaults, the study, a profile, and settings from the command line, laid over each other.

Every error is one line with the file, the line and the key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ..bench.errors import MedbenchError, UnknownNameError
from ..bench.records import read_json, write_text
from .document import Document
from .spec import KEYS, Study, merge

HERE = Path(__file__).parent
MESSAGES = {
    "extra_forbidden": "there is no such key",
    "missing": "this key is missing",
    "tuple_type": "Input should be a valid list",
    "model_type": "write a mapping here, as in dataset: {name: isic2018}",
}
NOT_STUDIES = ("defaults", "profiles")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A study with where it came from."""

    stem: str
    profile: str
    study: Study
    document: Document
    overlay: tuple[str, ...]
    settings: tuple[str, ...]
    """What the command line laid over it, as in "training.epochs = 1"."""
    recipe: dict[str, int]
    """Epochs and input size of the recipe in `defaults.yaml`, for reports to compare with."""

    @property
    def name(self) -> str:
        """The file's name, and the profile where it is not the study as it stands: two profiles are two studies."""
        return self.stem if self.profile == "paper" else f"{self.stem}-{self.profile}"

    def place(self, *keys: str) -> str:
        """File, line and key, for errors that show only when data and models are looked for."""
        return f"{self.document.place(keys, self.overlay)}: {'.'.join(keys)}"


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
    """Reads and checks a study.

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
    layers = [defaults, study]
    _check(merge(*layers), document, ())
    layers += [shared.get(profile, {}), own.get(profile, {}), *map(_parse_setting, settings)]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = merge(merged, layer)
    overlay = ("profiles", profile)
    checked = _check(merged, document, overlay, settings)
    said = tuple(" = ".join(part.strip() for part in setting.split("=", 1)) for setting in settings)
    recipe = {"epochs": defaults["training"]["epochs"], "size": defaults["dataset"]["size"]}
    return Loaded(path.stem, profile, checked, document, overlay, said, recipe)


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


def _check(merged: dict[str, Any], document: Document, overlay: Sequence[str], settings: Sequence[str] = ()) -> Study:
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
        first = error.errors(include_url=False)[0]
        keys = [*prefix, *first["loc"], *first.get("ctx", {}).get("keys", ())]
        if keys[:1] == ["evaluate"]:
            del keys[2:3]  # pydantic names the branch of the union here; the file has no such key
        dotted = ".".join(map(str, keys))
        message = MESSAGES.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            close = get_close_matches(str(keys[-1]), KEYS - {keys[-1]}, n=1)
            message += f"; did you mean {close[0]!r}?" if close else ""
        if first["type"] == "float_type" and isinstance(first["input"], str):
            message += f" (YAML takes {first['input']!r} for text; write 0.001 or 1.0e-3)"
        if any(_concerns(setting, dotted) for setting in settings):
            place = f"--set {dotted}"
        else:
            place = f"{document.place(keys, overlay)}{f': {dotted}' if dotted else ''}"
        raise MedbenchError(f"{place}: {message}") from error
    return study


def _concerns(setting: str, dotted: str) -> bool:
    key = setting.partition("=")[0]
    return dotted == key or dotted.startswith(f"{key}.")
