"""What of a study can be seen to be wrong before data are opened and torch is imported."""

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ...ablations.schema.evaluations import ArtifactTest, OtherSet
from ...ablations.schema.layers import OF_ONE_SET, names_set
from ...ablations.schema.loading import Loaded
from ...datasets.artifacts import ARTIFACTS, LOCAL
from ...datasets.base import ImageSet
from ...datasets.catalog import check_name as check_dataset
from ...datasets.hair_removal import HairlessSet
from ...models.names import check_name as check_model
from ...models.names import check_output, learns_artifacts
from ..errors import MedbenchError, UnknownNameError
from ..store.records import canonical
from ..training.class_losses import CLASS_LOSSES
from ..training.losses import LOSSES


def check_names(loaded: Loaded) -> None:
    """Looks up every data set, model, artifact and loss that a study names.

    Raises:
        MedbenchError: one is not known; with file, line and key.
    """
    study = loaded.study
    for name, variant in study.variants.items():
        if variant.model:
            for key, value in variant.options.items():
                with placed(loaded, "variants", name, "options", key):
                    _check_plain(value)
            with placed_model(loaded, name):
                check_model(variant.model, variant.options, study.encoder_weights_of(name))
                check_output(variant.model, variant.output is not None, variant.deep_supervision is not None)
            training = study.training_of(name)
            for keys, known, wanted in (
                (("training", "augment", "artifacts"), ARTIFACTS, training.augment.artifacts),
                (("training", "losses"), LOSSES, training.losses),
            ):
                own = {"training": variant.training}
                for key in keys:
                    own = own.get(key, {})
                where = ("variants", name, *keys) if own else keys
                with placed(loaded, *where, also=(".".join(keys), f"variants.{name}.{'.'.join(keys)}")):
                    for each in wanted or ():
                        _ = known[each]
            if learns_artifacts(variant.model, variant.options):
                with placed_model(loaded, name):
                    _check_what_is_learnt(variant.model, training.augment.artifacts)
            if dataset := study.dataset_of(name).name:
                with placed_dataset(loaded, name):
                    check_dataset(dataset)
    with placed(loaded, "evaluate"):
        for wanted in study.evaluate:
            if isinstance(wanted, ArtifactTest):
                _ = ARTIFACTS[wanted.artifact]
            elif isinstance(wanted, OtherSet) and wanted.dataset:
                check_dataset(wanted.dataset)


def _check_plain(value: Any) -> None:
    try:
        _ = canonical(value)
    except (TypeError, ValueError) as error:  # what no id can be made of
        raise MedbenchError(
            f"got {value!r}; an option is a finite number, a text, true, false or null, or a list or mapping of these"
        ) from error


def _check_what_is_learnt(model: str, painted: Sequence[str] | None) -> None:
    local = ", ".join(LOCAL)
    if not painted:
        raise MedbenchError(
            f"model {model!r} learns where artifacts are painted on training images, and none is: say "
            f"training.augment.artifacts, some of {local}"
        )
    if not set(painted) & set(LOCAL):
        raise MedbenchError(
            f"model {model!r} learns where artifacts are painted, and {', '.join(painted)} change all of an image: "
            f"training.augment.artifacts needs one of {local}"
        )


def check_fit(loaded: Loaded, variant: str, image_set: ImageSet) -> None:
    """Refuses what a recipe asks for and the images that it is to be learnt from do not have.

    Raises:
        MedbenchError: a class is weighed that there is none of, a loss is for one structure alone, or an artifact is to
            be painted on images that are no RGB, or hair to be removed from them; with file, line and key.
    """
    training, target = loaded.study.training_of(variant), image_set.target
    own, is_own = ("variants", variant, "training"), loaded.study.variants[variant].training

    def place(*keys: str) -> AbstractContextManager[None]:
        return placed(loaded, *(own if keys[0] in is_own else ("training",)), *keys)

    for name in training.class_weights or ():
        with place("class_weights"):
            if target.is_single:
                raise MedbenchError(f"{image_set.name} has one class, {target.names[0]}: there is nothing to weigh")
            if name not in (known := [target.background, *target.names]):
                raise UnknownNameError("class", name, known)
    for name in () if target.is_single and not target.ignores else training.losses or ():
        with place("losses"):
            _ = CLASS_LOSSES[name]
    if training.augment.artifacts and image_set.channels != 3:
        with place("augment", "artifacts"):
            raise MedbenchError(f"{image_set.name} has {image_set.channels} channels; artifacts are painted on RGB")
    if loaded.study.hair_removal_of(variant):
        with placed(loaded, "variants", variant, "preprocess"):
            _ = HairlessSet(image_set)


def placed_model(loaded: Loaded, variant: str) -> AbstractContextManager[None]:
    """`placed` for what is wrong with a variant's model, its options or its weights."""
    own = (f"variants.{variant}.{key}" for key in ("model", "options", "encoder_weights"))
    return placed(loaded, "variants", variant, also=(*own, "encoder_weights"))


def placed_dataset(loaded: Loaded, variant: str, key: str = "") -> AbstractContextManager[None]:
    """`placed` for what is wrong with the set that a variant is trained on, or with one key of it."""
    own = names_set(loaded.study.variants[variant].dataset)
    keys = ("variants", variant, "dataset") if own else ("dataset", *([key] if key else []))
    which = f"variants.{variant}.dataset" if own else "dataset"
    return placed(loaded, *keys, also=[f"{which}.{each}" for each in OF_ONE_SET])


@contextmanager
def placed(loaded: Loaded, *keys: str, also: Sequence[str] = ()) -> Generator[None]:
    """Puts file, line and key before the message of a MedbenchError, or the `--set` that it comes of; see
    `Loaded.place`."""
    try:
        yield
    except MedbenchError as error:
        raise MedbenchError(f"{loaded.place(*keys, also=also)}: {error}") from error
