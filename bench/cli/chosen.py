"""Which model a command is asked about: a trial of the store, or a model's name, which has random weights."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from ..errors import MedbenchError, UnknownNameError

if TYPE_CHECKING:
    from torch import nn

    from ..metrics import Target
    from ..store.folder import Store

OptionsOption = Annotated[
    str | None,
    typer.Option(
        "--options",
        metavar="MAPPING",
        help="Of models by name, as in '{num_classes: 1}': of those of others (package.module:Class, smp:...) where "
        "one is named, else of all. Trials have theirs.",
    ),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="MAPPING",
        help="How package.module:Class is to be read, as a study says, as in '{kind: probabilities}'.",
    ),
]
DEFAULT_SIZE = 256


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model by the name that the user wrote: a trial of a store, or, where `trial` is None, one to be built."""

    said: str
    options: Mapping[str, Any]
    trial: "tuple[Store, str] | None" = None
    output: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """How its outputs are read, as a study says."""

    @property
    def id(self) -> str | None:
        """The trial's whole id."""
        return self.trial[1] if self.trial else None

    @property
    def size(self) -> int | None:
        """Pixels a side that the trial was trained on."""
        return self.trial[0].config(self.trial[1])["size"] if self.trial else None

    @property
    def seen(self) -> dict[str, Any]:
        """The configuration that says what the trial's model sees and predicts; empty of a model by name."""
        from ..study.trials import seen_by

        return seen_by(*self.trial) if self.trial else {}

    @property
    def channels(self) -> int:
        """Of the images that the model takes."""
        return self.seen.get("channels", 3)

    @property
    def target(self) -> "Target":
        """What the model's maps mean."""
        from ..metrics import Target

        return Target.of(self.seen.get("target"))

    def build(self, *, maps: int = 1, channels: int = 3) -> "nn.Module":
        """The model, its weights trained or random; one by name of so many maps, for images of so many channels."""
        from ...models.catalog import untrained_model
        from ..study.trials import trained_model

        if self.trial:
            return trained_model(*self.trial)
        return untrained_model(self.said, self.options, self.output, maps=maps, channels=channels)

    def check_outputs(self, size: int) -> None:
        """Refuses a network by name whose outputs are no logits, unless `--output` says what they are."""
        from ...models.names import ENSEMBLE
        from ...models.probing import check_outputs

        if self.trial is None and self.said != ENSEMBLE:
            try:
                check_outputs(self.build(), size)
            except MedbenchError as error:
                raise MedbenchError(f"{self.said} {error} (here with --output)") from error


def choose_all(names: Sequence[str], store: Path, options: str | None, output: str | None) -> list[Chosen]:
    """What names lead to, with `--options` and `--output` for those that they are meant for.

    Raises:
        MedbenchError: one leads to nothing, or the options are meant for none.
    """
    given, read = _mapping("--options", options), _read_output(output)
    of_others = [name for name in names if ":" in name and not is_trial_folder(name)]
    of_own = [name for name in of_others if not name.startswith("smp:")]
    if read and not of_own:
        raise MedbenchError(f"--output {output}: is for package.module:Class, and none is named")
    chosen = [
        choose(name, store, given if name in (of_others or names) else {}, read if name in of_own else {})
        for name in names
    ]
    if given and all(each.trial for each in chosen):
        raise MedbenchError(f"--options {options}: trials have their own, and no other model is named")
    return chosen


def choose(said: str, store: Path, options: Mapping[str, Any], output: Mapping[str, Any]) -> Chosen:
    """What a name leads to; `options` and `output` are left to models that are no trials.

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
    return Chosen(said, options, output=output)


def _read_output(text: str | None) -> dict[str, Any]:
    """What `--output` says, checked as a study's `output` is."""
    from pydantic import ValidationError

    from ...ablations.schema.spec import OutputSpec

    if not (given := _mapping("--output", text)):
        return {}
    try:
        return OutputSpec.model_validate(given).model_dump(exclude_defaults=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{each}: " for each in first["loc"])
        raise MedbenchError(f"--output {text}: {where}{first['msg'].removeprefix('Value error, ')}") from error


def _mapping(option: str, text: str | None) -> dict[str, Any]:
    """The mapping that an option is; MedbenchError where it is none."""
    try:
        found: Any = yaml.safe_load(text or "{}")
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise MedbenchError(f"{option} {text}: write a mapping, as in '{{key: value}}'")
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
