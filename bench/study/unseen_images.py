"""Which images test a trial: never one that it learnt from, and on request no copy of one either."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ...ablations.schema.evaluations import ArtifactTest, AtInput, OtherSet
from ...ablations.schema.spec import Study
from ...datasets.base import ImageSet
from ...datasets.hair_removal import VERSION as HAIR_REMOVAL_VERSION
from ...datasets.splits import Split, make_split
from ..errors import MedbenchError
from ..metrics import SCORING
from ..store.folder import evaluation_id
from . import tasks
from .sets import OpenSet, Sets, check_named_apart, resolved


@dataclass(frozen=True, slots=True)
class Material:
    """What a variant is trained on: a set by its plain description, opened, its split in each fold, and of images of
    more than 8 bits the window that the training part of each fold gives; whether hair is removed from its images, and
    in which of training and test; and its image-level tasks."""

    source: dict[str, Any]
    opened: OpenSet
    splits: dict[int | None, Split]
    windows: dict[int | None, list[float] | None]
    hair_removal: Literal["train_and_test", "test"] | None = None
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def learnt(self, fold: int | None) -> set[str]:
        """The ids that a trial of this fold is trained or selected on."""
        return {*self.splits[fold].train, *self.splits[fold].validation}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a trial is to be tested on: the name of the evaluation, the set by its plain description and opened, the
    images of it, what is painted on them, and the resolution at which masks are compared."""

    name: str
    source: dict[str, Any]
    opened: OpenSet
    ids: Sequence[str]
    score_at: str
    artifact: dict[str, Any] | None = None


def some(ids: Sequence[str], most: int | None, seed: int) -> list[str]:
    """No more than `most` of these ids, in their own order, chosen by a hash of seed and id: what else is in the list,
    and in which order, has no say in whether one comes before another."""
    if most is None or len(ids) <= most:
        return list(ids)
    chosen = {*sorted(ids, key=lambda id: hashlib.sha256(f"test:{seed}:{id}".encode()).digest())[:most]}
    return [id for id in ids if id in chosen]


class HeldOut:
    """The evaluations of a study's trials.

    Images that have a copy in the training images of any variant are left out for all of them, where the study says
    so, so that all variants are tested on the same.

    Raises:
        MedbenchError: a set that is to be tested on is not to be had, or has the name of another.
    """

    def __init__(self, study: Study, sets: Sets, materials: Sequence[Material]) -> None:
        self.study = study
        self.sets = sets
        self.materials = materials
        self._others: dict[str, tuple[dict[str, Any], OpenSet]] = {}
        for wanted in study.evaluate:
            if isinstance(wanted, OtherSet):
                source = self._source_of(wanted)
                opened = sets.open(source, leave_out_broken=study.dataset.leave_out_broken)
                self._others[wanted.name] = source, opened
        learnt_from = [(material.source, material.opened) for material in materials]
        all_sets = [*learnt_from, *self._others.values()]
        check_named_apart((source, opened.image_set.name) for source, opened in all_sets)
        self._copied: dict[int | None, set[str]] = {}

    def of(self, trial: str, material: Material, fold: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and configuration of every evaluation of a trial, in the study's order.

        Raises:
            MedbenchError: a set is missing, or a test image was trained on and may not be left out.
        """
        learnt = material.learnt(fold)
        seen = {material.opened.pixels[id] for id in learnt}
        for test in self._tests(material, fold):
            name, tested, wanted, artifact = test.name, test.opened, test.ids, test.artifact
            _check_same_kind(name, material.opened.image_set, tested.image_set, artifact is not None)
            same_set = tested.image_set.name == material.opened.image_set.name
            known = {id for id in wanted if id in learnt and (same_set or id.startswith("ISIC_"))}
            divides_copies = self.study.dataset.split == "random" and test.source == material.source
            known |= {id for id in wanted if tested.pixels[id] in seen and not divides_copies}
            if known and not self.study.exclude_copies:
                raise MedbenchError(
                    f"{name}: {len(known)} of its images were trained or selected on, the first is "
                    f"{tested.image_set.name}/{min(known)}; test on a set that does not share them, or say "
                    "exclude_copies: true"
                )
            copied = set[str]() if divides_copies else self._copies(fold)
            ids = [id for id in wanted if id not in known and f"{tested.image_set.name}/{id}" not in copied]
            if not ids:
                raise MedbenchError(f"{name}: every one of its images has a copy among those trained on")
            copies_left_out = len(wanted) - len(ids)
            ids = some(ids, self.study.dataset.test_images, self.study.dataset.split_seed)
            window = material.windows[fold] if tested.image_set.is_wide else None
            tested = self.sets.windowed(tested, window)
            if artifact:
                tested = self.sets.painted(tested, ids, artifact)
            if material.hair_removal:
                tested = self.sets.hairless(tested)
            config = {
                "scoring": SCORING,
                "trial": trial,
                "name": name,
                "dataset": tested.image_set.name,
                "score_at": test.score_at,
                "images_digest": tested.digest_of(ids),
                "images": ids,
                "left_out": tested.left_out,
                "copies_left_out": copies_left_out,
                "source": {"set": test.source, "leave_out_broken": self.study.dataset.leave_out_broken},
            }
            if artifact:
                config["source"] |= {"artifact": artifact}
            if window:
                config["source"] |= {"window": window}
            if material.hair_removal:
                config["source"] |= {"hair_removal": HAIR_REMOVAL_VERSION}
            if test.score_at == "native" and tested.image_set.spacing:
                config["spacing"] = list(tested.image_set.spacing)
            if not tested.image_set.target.is_single or tested.image_set.target.ignores:
                config["target"] = tested.image_set.target.plain()
            config |= tasks.tested(material.tasks, tested.image_set, ids)
            yield name, {"id": evaluation_id(config), **config}

    def _tests(self, material: Material, fold: int | None) -> Iterator[_Wanted]:
        own, opened, score_at = material.splits[fold].test, material.opened, self.study.score_at
        for wanted in self.study.evaluate:
            if isinstance(wanted, ArtifactTest):
                for name, severity in wanted.names.items():
                    artifact = {"kind": wanted.artifact, "severity": severity, "seed": 0}
                    yield _Wanted(name, dict(material.source), opened, own, score_at, artifact)
            elif isinstance(wanted, OtherSet):
                where, tested = self._others[wanted.name]
                if resolved(where) == resolved(material.source):
                    where, tested, ids = dict(material.source), opened, own
                elif wanted.part == "test":
                    spec = self.study.dataset
                    ids = make_split(tested.image_set, spec.split, seed=spec.split_seed, fold=fold).test
                else:
                    ids = tested.image_set.ids
                yield _Wanted(wanted.name, where, tested, ids, score_at)
            elif isinstance(wanted, AtInput):
                yield _Wanted(wanted.name, dict(material.source), opened, own, wanted.score_at)
            else:
                yield _Wanted("clean", dict(material.source), opened, own, score_at)

    def _source_of(self, wanted: OtherSet) -> dict[str, Any]:
        if wanted.folder:
            return {"folder": wanted.folder}
        if wanted.dataset == "synthetic":
            return {"name": "synthetic", "images": wanted.images, "size": self.study.dataset.size}
        return {"name": wanted.dataset}

    def _copies(self, fold: int | None) -> set[str]:
        """NAME/id of all images that show the same picture as one that some variant learns from in this fold."""
        if not self.study.exclude_copies:
            return set()
        if fold not in self._copied:
            opened = [material.opened for material in self.materials] + [opened for _, opened in self._others.values()]
            learnt = {
                f"{material.opened.image_set.name}/{id}" for material in self.materials for id in material.learnt(fold)
            }
            found = self.sets.copies(opened)
            self._copied[fold] = {b for a, b in found if a in learnt} | {a for a, b in found if b in learnt}
        return self._copied[fold]


def _check_same_kind(name: str, own: ImageSet, tested: ImageSet, is_painted: bool) -> None:
    """Refuses test images that a model was not made for."""
    if own.is_wide != tested.is_wide:
        bits = {False: "8", True: "more than 8"}
        raise MedbenchError(
            f"{name}: its images have {bits[tested.is_wide]} bits, those of {own.name} {bits[own.is_wide]}: no window "
            "fits both"
        )
    if own.channels != tested.channels:
        raise MedbenchError(
            f"{name}: its images have {tested.channels} channels, those of {own.name} {own.channels}; "
            "channels in dataset.yaml says how they are read"
        )
    mine, theirs = ((each.target.names, each.target.overlap) for each in (own, tested))
    if mine != theirs and not (own.target.is_single and tested.target.is_single):
        both = [", ".join(each[0]) for each in (theirs, mine)]
        raise MedbenchError(
            f"{name}: its masks hold {both[0]}, a model trained on {own.name} predicts {both[1]}; "
            "test on sets with the same classes in the same order"
        )
    if is_painted and own.channels != 3:
        raise MedbenchError(f"{name}: artifacts are painted on RGB images, {own.name} has {own.channels} channels")
