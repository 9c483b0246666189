"""`dataset.yaml`: what the files of a set do not say of themselves.

The sentence below a key is what the documentation says of it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ...bench.errors import MedbenchError, UnknownNameError
from ...bench.metrics import IGNORED, LESION, Target
from ...bench.metrics.targets import MOST_CLASSES, MOST_LABELS

FILE, ENDINGS = "dataset.yaml", (".yaml", ".yml")  # the former where medbench writes one
Modality = Literal[
    "dermoscopy", "mri", "ct", "xray", "ultrasound", "endoscopy", "microscopy", "fundus", "other"
]  # how images were made; augmentation is chosen by it
MODALITIES: tuple[str, ...] = get_args(Modality)
MAX_LEVEL = 65535
UNKNOWN = -1  # instead of a code
FEW = 8  # levels that an error names


def _classes(value: Any) -> Any:
    """A list, whose levels are 0, 1, ..., or a mapping of levels to names; the background is the first."""
    if not isinstance(value, list | dict):
        raise ValueError("write a list of names, as in [background, myocardium], or {level: name, ...}")
    names = [*(value.values() if isinstance(value, dict) else value)]
    if not 2 <= len(names) <= MOST_CLASSES + 1:
        raise ValueError(f"needs the background and from 1 to {MOST_CLASSES} other classes, got {len(names)} names")
    _check_names(names)
    if isinstance(value, dict):
        for level in value:
            if not isinstance(level, int) or isinstance(level, bool) or not 0 <= level <= MAX_LEVEL:
                raise ValueError(f"a level is a whole number from 0 to {MAX_LEVEL}, got {level!r}")
        if 0 in value and next(iter(value)) != 0:
            raise ValueError("the first class is the background: write level 0 first")
        return value
    return tuple(value)


def _labels(value: Any) -> Any:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_LABELS:
        raise ValueError(f"write a list of 1 to {MOST_LABELS} names, each that of a folder in masks/")
    _check_names(value)
    return tuple(value)


def _check_names(names: list[Any]) -> None:
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"a name is a text, got {name!r}; put it between quotes")
    folded = [name.lower() for name in names]
    if twice := [name for name in names if folded.count(name.lower()) > 1]:
        raise ValueError(f"two have the name {twice[0]!r}; rename one")


def _pair(value: Any) -> Any:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"say two numbers, mm down and to the right, as in [0.5, 0.5], got {value!r}")
    return tuple(value)


Text = Annotated[str, Field(min_length=1)]
Millimetres = Annotated[float, Field(gt=0)]


class Description(BaseModel):
    """What lies in `images/` and `masks/`, beside which the file lies. Every key may be left out."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    classes: Annotated[tuple[str, ...] | dict[int, str] | None, BeforeValidator(_classes)] = None
    """The background's name first, then those of the others. A list: masks hold 0, 1, 2, ...; masks of two classes may
    hold whatever masks of black and white may. A mapping gives the levels in masks: `{0: background, 128: nucleus}`."""
    labels: Annotated[tuple[str, ...] | None, BeforeValidator(_labels)] = None
    """Instead of classes: structures that may overlap, each with its masks in a folder of that name in masks/."""
    ignore: Annotated[int, Field(ge=0, le=MAX_LEVEL)] | None = None
    """The level of pixels that nobody labelled: no loss and no score counts them."""
    channels: Annotated[int, Field(ge=1, le=64)] = 3
    """Of the images: 3 is RGB, 1 grey, another number bands."""
    spacing: Annotated[tuple[Millimetres, Millimetres] | None, BeforeValidator(_pair)] = None
    """Millimetres from one pixel to the next, down and to the right, where all images have the same."""
    modality: Modality | None = None
    """How the images were made."""
    licence: Text | None = None
    """What others may do with the set."""
    cite: Text | None = None
    """What to cite."""
    table: Text | None = None
    """The table beside images/ that tells of the images, by its column `image`; else labels.csv and metadata.csv."""
    group: Text | None = None
    """A column of the table: images with equal values (a patient) never lie on both sides of a split; else `group`,
    where the table has it."""
    label: Text | None = None
    """A column of the table: what is said of an image as a whole (a diagnosis)."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Description":
        if self.classes is not None and self.labels is not None:
            raise ValueError("classes and labels: keep one; classes divide the pixels, labels may overlap")
        if self.ignore is not None:
            if self.classes is None:
                raise ValueError("ignore: goes with classes; name them, or leave it out")
            if self.ignore in self.levels:
                raise ValueError(f"ignore: the level {self.ignore} is that of a class; leave one of them out")
        return self

    @property
    def target(self) -> Target:
        """What the codes of its masks mean; a lesion where no classes are named."""
        if self.labels is not None:
            return Target(self.labels, overlap=len(self.labels) > 1)
        if self.classes is None:
            return LESION
        background, *names = self.names
        return Target(tuple(names), ignores=self.ignore is not None, background=background)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, the background's first; empty without classes."""
        return tuple(self.classes.values() if isinstance(self.classes, dict) else self.classes or ())

    @property
    def levels(self) -> tuple[int, ...]:
        """The level of each class in a mask's file, the background's first; empty without classes."""
        if isinstance(self.classes, dict):
            return tuple(self.classes)
        return tuple(range(len(self.classes or ())))

    @property
    def has_levels(self) -> bool:
        """Whether masks hold levels of classes; else each file is black and white, and read as such."""
        return isinstance(self.classes, dict) or len(self.classes or ()) > 2 or self.ignore is not None

    def codes(self, levels: NDArray[np.integer], where: str) -> NDArray[np.uint8]:
        """The codes (H, W) of a mask's levels, 0 to 65535; MedbenchError, `where` first, where one is of no class."""
        code_of = {level: code for code, level in enumerate(self.levels)}
        known = [f"{level} {name}" for level, name in zip(self.levels, self.names, strict=True)]
        if self.ignore is not None:
            code_of[self.ignore] = IGNORED
            known.append(f"{self.ignore} ignored")
        table = np.full(MAX_LEVEL + 1, UNKNOWN, np.int16)
        table[[*code_of]] = [*code_of.values()]
        codes = table[levels]
        if strange := [*map(str, np.unique(levels[codes == UNKNOWN]).tolist())]:
            told = ", ".join(strange[:FEW]) + (", ..." if len(strange) > FEW else "")
            raise MedbenchError(
                f"{where}: no class has the level{'s' if len(strange) > 1 else ''} {told}; known are "
                f"{', '.join(known)}: name what is missing among the classes, or mend the mask"
            )
        return codes.astype(np.uint8)

    @property
    def reading(self) -> str:
        """What beside the files' bytes decides what is read of them; empty where nothing does."""
        told: dict[str, Any] = {"channels": self.channels} if self.channels != 3 else {}
        if self.has_levels:
            told |= {"levels": self.levels, "ignore": self.ignore}
        elif self.classes is not None:
            told["classes"] = 2
        if self.labels is not None:
            told["labels"] = len(self.labels)
        return json.dumps(told, sort_keys=True) if told else ""


def read_description(path: Path) -> Description:
    """The description in a file; MedbenchError with the file and the key of the first thing that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MedbenchError(f"{path}: cannot be read ({error})") from error
    return parse_description(text, path)


def description_at(place: Path) -> Path | None:
    """The description of that name, whose ending does not count; None where there is none.

    Raises:
        MedbenchError: there are two.
    """
    found = [path for ending in ENDINGS if (path := place.with_suffix(ending)).is_file()]
    if len(found) > 1:
        raise MedbenchError(f"{found[0]}: there is {found[1].name} too; keep the one that is meant")
    return found[0] if found else None


def parse_description(text: str, path: Path) -> Description:
    """The same of a text that is, or would be, in that file."""
    try:
        plain = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise MedbenchError(f"{path}:{line}: is not valid YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(plain, Mapping):
        raise MedbenchError(f"{path}: needs keys with values, as in classes: [background, myocardium]")
    for key in plain:
        if key not in Description.model_fields:
            raise UnknownNameError(f"key of {path}", str(key), Description.model_fields)
    return checked_description(plain, str(path))


def checked_description(plain: Mapping[str, Any], where: str) -> Description:
    """The description of known keys; MedbenchError, `where` first, where a value is wrong."""
    try:
        return Description.model_validate(plain)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = f"{first['loc'][0]}: " if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        given = f", got {first['input']!r}" if first["type"] != "value_error" else ""
        raise MedbenchError(f"{where}: {key}{message}{given}") from error
