"""What of a study can be seen to be wrong before data are opened and torch is imported."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from ..ablations.layers import names_set
from ..ablations.loading import Loaded
from ..ablations.spec import ArtifactTest, OtherSet, Study
from ..datasets.artifacts import ARTIFACTS
from ..datasets.catalog import check_name as check_dataset
from ..models.names import check_name as check_model
from .errors import MedbenchError


def check_names(loaded: Loaded) -> None:
    """Looks up every data set, model and artifact that a study names.

    Raises:
        MedbenchError: one is not known; with file, line and key.
    """
    study = loaded.study
    for name, variant in study.variants.items():
        if variant.model:
            with placed(loaded, "variants", name, also=("encoder_weights",)):
                check_model(variant.model, variant.options, study.encoder_weights_of(name))
            with placed(loaded, "variants", name, also=("training",)):
                for kind in study.training_of(name).augment.artifacts or ():
                    _ = ARTIFACTS[kind]
            if dataset := study.dataset_of(name).name:
                with placed(loaded, *key_of_dataset(study, name)):
                    check_dataset(dataset)
    with placed(loaded, "evaluate"):
        for wanted in study.evaluate:
            if isinstance(wanted, ArtifactTest):
                _ = ARTIFACTS[wanted.artifact]
            elif isinstance(wanted, OtherSet) and wanted.dataset:
                check_dataset(wanted.dataset)


def key_of_dataset(study: Study, variant: str) -> tuple[str, ...]:
    """Where the study says what a variant is trained on."""
    return ("variants", variant, "dataset") if names_set(study.variants[variant].dataset) else ("dataset",)


@contextmanager
def placed(loaded: Loaded, *keys: str, also: Sequence[str] = ()) -> Generator[None]:
    """Puts file, line and key before the message of a MedbenchError, or the `--set` that it comes of: one of these keys
    or of `also`, which is another dotted key that has a say."""
    try:
        yield
    except MedbenchError as error:
        raise MedbenchError(f"{loaded.place(*keys, also=also)}: {error}") from error
