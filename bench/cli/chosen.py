"""Which model a command is asked about: a trial of the store, or a model's name, which has random weights."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from ..errors import MedbenchError, UnknownNameError

if TYPE_CHECKING:
    from torch import nn

    from ..store.folder import Store

OptionsOption = Annotated[
    str | None,
    typer.Option(
        "--options", metavar="MAPPING", help="Of models by name, as in '{num_classes: 1}'; trials have theirs."
    ),
]
DEFAULT_SIZE = 256


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model by the name that the user wrote: a trial of a store, or, where `trial` is None, one to be built."""

    said: str
    options: Mapping[str, Any]
    trial: "tuple[Store, str] | None" = None

    @property
    def id(self) -> str | None:
        """The trial's whole id."""
        return self.trial[1] if self.trial else None

    @property
    def size(self) -> int | None:
        """Pixels a side that the trial was trained on."""
        return self.trial[0].config(self.trial[1])["size"] if self.trial else None

    def build(self) -> "nn.Module":
        """The model, its weights trained or random."""
        from ...models.catalog import untrained_model
        from ..study.trials import trained_model

        return trained_model(*self.trial) if self.trial else untrained_model(self.said, self.options)


def choose(said: str, store: Path, options: Mapping[str, Any]) -> Chosen:
    """What a name leads to; `options` are left to models that are no trials.

    Raises:
        MedbenchError: it is neither a model nor a trial of the store, or the model has no such option.
    """
    from ...models.names import ENSEMBLE, MODELS, OTHERS, check_name_or_ensemble

    if is_trial_folder(said) or (
        ":" not in said and said not in (ENSEMBLE, *MODELS) and re.fullmatch("[0-9a-fA-F]+", said)
    ):
        return Chosen(said, {}, found_trial(said, store))
    if ":" not in said and said not in (known := [*MODELS, ENSEMBLE]):
        raise UnknownNameError("model", said, known, f"{OTHERS} Or a trial's id, which is of the digits 0 to f.")
    check_name_or_ensemble(said, options)
    return Chosen(said, options)


def read_options(text: str | None) -> dict[str, Any]:
    """The mapping that `--options` is; MedbenchError where it is none."""
    try:
        found: Any = yaml.safe_load(text or "{}")
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise MedbenchError(f"--options {text}: write a mapping, as in --options '{{num_classes: 1}}'")
    return found


def found_trial(trial: str, store: Path) -> "tuple[Store, str]":
    """The store and the id of a trial that is named by how its id begins or by its folder, and whose files are as they
    were written."""
    from ..store.folder import Store

    folder = Path(trial).absolute()
    is_folder = is_trial_folder(trial)
    opened = Store(folder.parent.parent if is_folder else store)
    id = opened.trial_named(folder.name if is_folder else trial)
    opened.check(id)
    return opened, id


def is_trial_folder(said: str) -> bool:
    folder = Path(said).absolute()
    return folder.is_dir() and folder.parent.name == "trials"
