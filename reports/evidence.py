"""What the sections of a study's report have in common: each number that more than one of them reads, computed once."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import pandas as pd

from ..bench.metrics import Metric
from ..bench.store.records import short_id
from .answers import Answer
from .doubts import constant_predictions, provenance, told_seeds
from .every_image import Room
from .load import Study, Trial
from .machines import Machine, load_machines
from .notes import listed
from .ranking import pairwise_rows
from .resolved import sets_of
from .settings import flatten
from .tables import KNOWN, Cells, cells, comparisons_table, records, variants_table

OF_ONE_JOB = {"command", "data"}  # of an environment's record: another command or set is no other environment
Row = dict[str, Any]
Made = TypeVar("Made")


class Evidence:
    """A study as the sections of its report read it.

    Attributes:
        study: as the store holds it.
        room: for thumbnails, shared by all studies of the page.
        anchor: the study's id in the page.
    """

    def __init__(
        self, study: Study, room: Room, answering: "Mapping[str, Callable[[Evidence], Sequence[Answer]]]"
    ) -> None:
        """`answering` has for each kind of question (`asks` of a study) who answers it."""
        self.study, self.room, self.anchor = study, room, anchor_of(study.name)
        self._answering = answering
        self._made: dict[Callable[[Evidence], Any], Any] = {}

    def once(self, make: "Callable[[Evidence], Made]") -> Made:
        """What `make` makes of this study, made once however many ask for it."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    @cached_property
    def answers(self) -> dict[str, list[Answer]]:
        """By kind of question what the study has to say to it; of trainings that failed each answer says so."""
        return {
            asks: [self._with_caveat(each, asks) for each in answer(self)] for asks, answer in self._answering.items()
        }

    def _with_caveat(self, answer: Answer, asks: str) -> Answer:
        others = {answer.variant, answer.compared_with}
        if asks == "robustness" and answer.compared_with:  # one answer tells of both comparisons
            others.add(self.spec["compare_with"])
        found = [
            f"every mask of {variant} is {word} ({told_seeds(seeds)})"
            for variant, word, seeds, evaluations in self.once(_constant)
            if variant in others and answer.evaluation in evaluations
        ]
        if not found:
            return answer
        caveat = f"But {listed(found)}, so this says nothing of the models."
        said = {
            key: f"{getattr(answer, key)} {caveat}" for key in ("rest", "brief", "abstract") if getattr(answer, key)
        }
        return replace(answer, claim=f"{answer.claim} (constant predictions)", **said)

    @property
    def asked(self) -> list[Answer]:
        """The answers to what the study asks; empty where it has none yet."""
        return self.answers.get(self.spec["asks"], [])

    def id(self, name: str) -> str:
        """The id of a thing of this study, unique in the page."""
        return f"{self.anchor}-{name}"

    @property
    def spec(self) -> Row:
        return self.study.spec

    @property
    def names(self) -> list[str]:
        """The variants in the study's order, which fixes their colours."""
        return list(self.spec["variants"])

    def label(self, variant: str) -> str:
        """A variant in words, fit to begin a sentence."""
        description = (self.spec["variants"][variant]["description"] or "").strip().rstrip(".")
        return description[:1].upper() + description[1:] or variant

    @property
    def baseline(self) -> str:
        return self.spec["baseline"]

    @property
    def primary(self) -> str:
        return self.spec["primary"]

    @property
    def metric(self) -> Metric:
        """What is known of the primary metric."""
        return KNOWN[self.primary]

    @property
    def first(self) -> str:
        """The evaluation that the study's answer is about."""
        return self.spec["evaluations"][0]

    @cached_property
    def scores(self) -> pd.DataFrame:
        return self.study.scores

    @cached_property
    def cells(self) -> Cells:
        return cells(self.study, self.scores)

    @cached_property
    def variants(self) -> pd.DataFrame:
        return variants_table(self.study, self.cells)

    @cached_property
    def variant_rows(self) -> list[Row]:
        return records(self.variants)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        return comparisons_table(self.study, self.cells, self.baseline)

    @cached_property
    def comparison_rows(self) -> list[Row]:
        return records(self.comparisons)

    @cached_property
    def compared(self) -> pd.DataFrame:
        """The same against the study's `compare_with`; empty where it names none."""
        other = self.spec["compare_with"]
        return comparisons_table(self.study, self.cells, other) if other else pd.DataFrame()

    @cached_property
    def compared_rows(self) -> list[Row]:
        return records(self.compared)

    @cached_property
    def pairwise(self) -> list[Row]:
        return pairwise_rows(self.study, self.cells)

    @cached_property
    def ranking(self) -> list[str]:
        """The variants with scores on the first evaluation, each training once, the best first."""
        rows = [row for row in self.variant_rows if row["evaluation"] == self.first]
        sign = -1 if self.metric.higher_is_better else 1
        ranked = [row["variant"] for row in sorted(rows, key=lambda row: sign * row[f"{self.primary}_mean"])]
        return [name for name in ranked if name in self.study.distinct]

    @cached_property
    def _machines(self) -> tuple[list[Machine], list[str]]:
        return load_machines(self.study)

    @property
    def machines(self) -> list[Machine]:
        """Where the models were measured in other runtimes."""
        return self._machines[0]

    @property
    def machines_left_out(self) -> list[str]:
        """A sentence for each file of such measurements that could not be used."""
        return self._machines[1]

    @cached_property
    def settings(self) -> dict[str, Row]:
        """By variant its settings, laid flat."""
        return {name: flatten(known["settings"]) for name, known in self.spec["variants"].items()}

    @cached_property
    def trained_on(self) -> dict[str, str]:
        """By variant the name of its data set."""
        return sets_of(self.spec)

    @property
    def hairless(self) -> list[str]:
        """The variants from whose images hair is removed."""
        return [name for name in self.names if self.settings[name].get("preprocess.hair_removal")]

    @cached_property
    def groups(self) -> dict[str, dict[str, int]]:
        """For each evaluation without artifact whose images come in groups the number of images and of groups, those
        that an image is by itself included."""
        found: dict[str, dict[str, int]] = {}
        for name, known in self.study.groups.items():
            if name not in self.study.artifacts:
                tested = [trial.evaluations[name] for trial in self.study.trials if name in trial.evaluations]
                images = {image for each in tested for image in each.config["images"]}
                found[name] = {"images": len(images), "groups": len({known.get(image, image) for image in images})}
        return found

    @property
    def split_sizes(self) -> dict[str, dict[str, int]]:
        """By variant the number of images of each part of its data set."""
        return {name: known["n_images"] for name, known in self.spec["variants"].items()}

    @cached_property
    def tested_on(self) -> dict[str, dict[str, tuple[str, int]]]:
        """For each evaluation and variant the data set and its number of images, those of several folds together."""
        images: dict[str, dict[str, tuple[str, set[str]]]] = {}
        for trial in self.study.trials:
            for name, each in trial.evaluations.items():
                dataset = each.config.get("dataset", self.spec["datasets"].get(name, ""))
                found = images.setdefault(name, {}).setdefault(trial.variant, (dataset, set()))
                found[1].update(each.config["images"])
        return {
            name: {variant: (dataset, len(ids)) for variant, (dataset, ids) in found.items()}
            for name, found in images.items()
        }

    @cached_property
    def mask_sizes(self) -> dict[str, dict[str, tuple[int, int]]]:
        """For each evaluation that is no repetition of the first the least and the greatest width and height of the
        masks that were compared, in pixels."""
        rows: Any = self.scores[~self.scores["evaluation"].isin([*self.study.repeated])]
        return {
            str(name): {side: (int(part[side].min()), int(part[side].max())) for side in ("width", "height")}
            for name, part in rows.groupby("evaluation", sort=False)
        }

    @cached_property
    def environments(self) -> dict[str, Row]:
        """The different environments, named E1, E2, ...: their fields (flat), the trials and evaluations made there,
        and in which fields they differ from the first. What says nothing that another does not say is no other: an
        evaluation does not tell how its model was trained."""
        found: list[Row] = []
        for what, environment in provenance(self.study).items():
            fields = flatten({key: value for key, value in environment.items() if key not in OF_ONE_JOB})
            same = (entry for entry in found if fields.items() <= entry["fields"].items())
            entry = next(same, None)
            if entry is None:
                entry = {"fields": fields, "of": []}
                found.append(entry)
            entry["of"].append(what)
        for entry in found:
            shared = [key for key in found[0]["fields"] if key in entry["fields"]]
            entry["differs"] = [key for key in shared if found[0]["fields"][key] != entry["fields"][key]]
        return {f"E{position}": entry for position, entry in enumerate(found, start=1)}

    @cached_property
    def trials(self) -> list[Row]:
        """The finished trials: variant, seed, fold, trial (id), members (ids, of an ensemble), evaluations (ids by
        name), environment (its name), seconds (None of an ensemble), sizes (of the input, one after the other)."""
        place = {what: name for name, entry in self.environments.items() for what in entry["of"]}
        return [
            {
                "variant": trial.variant,
                "seed": trial.seed,
                "fold": trial.fold,
                "trial": trial.id,
                "members": trial.members,
                "evaluations": {label: found.id for label, found in trial.evaluations.items()},
                "environment": place[f"trial {trial.id}"],
                "seconds": None if trial.history is None else sum(trial.history["seconds"].to_list()),
                "sizes": _sizes(trial),
            }
            for trial in self.study.trials
        ]


def _constant(evidence: Evidence) -> list[tuple[str, str, list[int], list[str]]]:
    return constant_predictions(evidence.scores)


def anchor_of(name: str) -> str:
    """A name as an HTML id: what is not a letter, digit, - or _ gives way, and a digest keeps names apart.

    >>> anchor_of("baa"), anchor_of("a b")
    ('baa', 'a-b-5e229e24')
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name)
    return plain if plain == name else f"{plain}-{short_id(name)[:8]}"


def _sizes(trial: Trial) -> list[int]:
    """The input sizes that a training went through, as far as its history tells."""
    if trial.history is None or "size" not in trial.history:
        return []
    return list(dict.fromkeys(trial.history["size"].to_list()))
