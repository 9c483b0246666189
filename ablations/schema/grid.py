"""From a study to its trials: variants x seeds x folds."""

from dataclasses import dataclass
from itertools import product

from .spec import Study


@dataclass(frozen=True, slots=True)
class Cell:
    """One trial of a study, before data and weights are resolved."""

    variant: str
    seed: int
    fold: int | None

    @property
    def label(self) -> str:
        """How the trial is called on screen."""
        fold = "" if self.fold is None else f" fold {self.fold}"
        return f"{self.variant} seed {self.seed}{fold}"


def expand(study: Study) -> list[Cell]:
    """All trials, seed by seed, so that a study cut short has compared every variant on the seeds that it finished."""
    rule, _, folds = study.dataset.split.partition(":")
    numbers = range(int(folds)) if rule == "kfold" else [None]
    return [Cell(variant, seed, fold) for seed, fold, variant in product(study.all_seeds, numbers, study.variants)]
