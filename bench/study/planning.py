"""From a study to jobs: every choice resolved, every image and weight named by its digest, every id known."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from ...ablations.schema.evaluations import AtInput
from ...ablations.schema.grid import Cell, expand
from ...ablations.schema.loading import Loaded
from ...ablations.schema.seeds import UntilDecided
from ...ablations.schema.spec import Study
from ...datasets.artifacts.painted import VERSION as ARTIFACTS_VERSION
from ...datasets.base import ImageSet
from ...datasets.catalog import completeness
from ...datasets.described.windowing import PERCENTILES
from ...datasets.hair_removal import VERSION as HAIR_REMOVAL_VERSION
from ...datasets.splits import Split, make_split
from ..errors import MedbenchError
from ..store.folder import PROTOCOL, trial_id
from ..store.provenance import package_version
from ..store.records import same_trials, short_id
from . import tasks
from .checking import check_fit, check_names, placed, placed_dataset, placed_model
from .networks import Network, resolve, smallest_size
from .sets import Sets, check_named_apart
from .unseen_images import HeldOut, Material


@dataclass(frozen=True, slots=True)
class Job:
    """One trial with its evaluations, as plain values that can travel to another process."""

    cell: Cell
    id: str
    config: dict[str, Any]
    evaluations: dict[str, dict[str, Any]]

    @property
    def is_ensemble(self) -> bool:
        """Whether there is nothing to train, only members to combine."""
        return "ensemble" in self.config


@dataclass(frozen=True, slots=True)
class Plan:
    """The jobs of a study, members before ensembles, and the record that the store keeps of it.

    `troubles` says of each variant whose network cannot be trained as it is why, with file, line and remedy.
    """

    jobs: list[Job]
    record: dict[str, Any]
    troubles: dict[str, str]

    @property
    def rounds(self) -> list[int]:
        """The numbers of seeds of each variant at which the study is looked at; one where it is trained through."""
        seeds = len({job.cell.seed for job in self.jobs})
        return self.record["looks"]["seeds"] if "looks" in self.record else [seeds]

    def first(self, n_seeds: int) -> "Plan":
        """The plan of the first seeds of each variant."""
        order = list(dict.fromkeys(job.cell.seed for job in self.jobs))[:n_seeds]
        variants = {
            name: {**known, "trials": [trial for trial in known["trials"] if trial["seed"] in order]}
            for name, known in self.record["variants"].items()
        }
        jobs = [job for job in self.jobs if job.cell.seed in order]
        return replace(self, jobs=jobs, record={**self.record, "variants": variants})

    def refused(self) -> set[str]:
        """Ids of the jobs of such variants, and of ensembles with one of them among their members."""
        found = {job.id for job in self.jobs if job.cell.variant in self.troubles}
        members = {job.id: job.config["ensemble"]["members"].values() for job in self.jobs if job.is_ensemble}
        return found | {id for id, each in members.items() if not found.isdisjoint(each)}


def plan(loaded: Loaded, sets: Sets) -> Plan:
    """Resolves a study against data and weights. Torch is imported when names and training images are found to be in
    order, so that most mistakes are told at once.

    Raises:
        MedbenchError: a set, a split, a model or its weights are not to be had.
    """
    study = loaded.study
    check_names(loaded)
    cells = expand(study)
    folds = list(dict.fromkeys(cell.fold for cell in cells))
    materials: dict[str, Material] = {}
    models: dict[str, Network] = {}
    for name, variant in study.variants.items():
        if variant.model:
            with placed_dataset(loaded, name):
                material = materials[name] = _open(study, name, sets)
                check_named_apart((each.source, each.opened.image_set.name) for each in materials.values())
            with placed_dataset(loaded, name, "split"):
                material.splits.update(_splits(study, name, material, folds))
                windows = {fold: sets.window(material.opened, each.train) for fold, each in material.splits.items()}
                material.windows.update(windows)
            check_fit(loaded, name, material.opened.image_set)
            for task, spec in study.tasks_of(name).items():
                with placed(loaded, *(() if variant.tasks is None else ("variants", name)), "tasks", task):
                    parts = [split.train for split in material.splits.values()]
                    material.tasks[task] = tasks.resolved(task, spec, material.opened.image_set, parts)
    for name, variant in study.variants.items():
        if variant.ensemble:
            with placed(loaded, "variants", name, "ensemble"):
                materials[name] = _shared_material(study, variant.ensemble.members, materials)
    resolved: dict[str, Network] = {}
    for name, variant in study.variants.items():
        if variant.model:
            smallest = smallest_size(study, name)
            seen = described(materials[name].opened.image_set)
            if materials[name].tasks:
                seen |= {"tasks": materials[name].tasks}
            parts = [variant.model, variant.options, study.output_of(name), study.encoder_weights_of(name), smallest]
            key = short_id([*parts, seen])
            with placed_model(loaded, name):
                models[name] = resolved.get(key) or resolve(study, name, smallest, seen, sets)
            resolved[key] = models[name]
    troubles = {
        name: f"{loaded.place('variants', name, 'model')}: {study.variants[name].model} {model.trouble}"
        for name, model in models.items()
        if model.trouble
    }

    jobs: list[Job] = []
    ids: dict[Cell, str] = {}
    with placed(loaded, "evaluate"):
        held_out = HeldOut(study, sets, list(materials.values()))
    for cell in sorted(cells, key=lambda cell: cell.variant not in models):
        material = materials[cell.variant]
        if cell.variant in models:
            config = _trial_config(loaded, cell, models[cell.variant], material, sets)
        else:
            config = _ensemble_config(study, cell, ids)
        ids[cell] = trial_id(config)
        with placed(loaded, "evaluate"):
            evaluations = dict(held_out.of(ids[cell], material, cell.fold))
        jobs.append(Job(cell, ids[cell], config, evaluations))
    return Plan(jobs, _record(loaded, models, materials, jobs), troubles)


def _open(study: Study, variant: str, sets: Sets) -> Material:
    spec = study.dataset_of(variant)
    source: dict[str, Any] = {"folder": spec.folder} if spec.folder else {"name": spec.name}
    if spec.name == "synthetic":
        source |= {"images": spec.images, "size": spec.size}
    opened = sets.open(source, leave_out_broken=spec.leave_out_broken)
    return Material(source, opened, {}, {}, study.hair_removal_of(variant))


def _splits(study: Study, variant: str, material: Material, folds: Sequence[int | None]) -> dict[int | None, Split]:
    spec, image_set = study.dataset_of(variant), material.opened.image_set
    splits = {fold: make_split(image_set, spec.split, seed=spec.split_seed, fold=fold) for fold in folds}
    if any(len(split.train) < 2 for split in splits.values()):
        raise MedbenchError(f"{image_set.name}: training needs two images at least, the split leaves one")
    return splits


def _shared_material(study: Study, members: Sequence[str], materials: Mapping[str, Material]) -> Material:
    first = materials[members[0]]
    for member in members[1:]:
        if materials[member].source != first.source:
            raise MedbenchError(f"{members[0]} and {member} are trained on different data sets")
        if study.dataset_of(member).size != study.dataset_of(members[0]).size:
            raise MedbenchError(f"{members[0]} and {member} have different input sizes")
        if materials[member].hair_removal != first.hair_removal:
            raise MedbenchError(f"{members[0]} and {member} differ in preprocess, and would see different images")
    return replace(first, tasks={})


def described(image_set: ImageSet) -> dict[str, Any]:
    """What a model must know of a set's images and masks: `channels` and `target`, as far as they are no RGB images
    with one structure each."""
    found: dict[str, Any] = {}
    if image_set.channels != 3:
        found["channels"] = image_set.channels
    if not image_set.target.is_single or image_set.target.ignores:
        found["target"] = image_set.target.plain()
    return found


def _trial_config(loaded: Loaded, cell: Cell, model: Network, material: Material, sets: Sets) -> dict[str, Any]:
    study, image_set = loaded.study, material.opened.image_set
    spec, split = study.dataset_of(cell.variant), material.splits[cell.fold]
    training = loaded.training_of(cell.variant, image_set.modality).model_dump(exclude_none=True)
    window = material.windows[cell.fold]
    learnt_from = sets.windowed(material.opened, window)
    is_hairless = material.hair_removal == "train_and_test"
    if is_hairless:
        learnt_from = sets.hairless(learnt_from)
    config = {
        "protocol": PROTOCOL,
        "model": model.name,
        "options": model.options,
        "encoder_digest": model.encoder_digest,
        "code_digest": model.code_digest,
        "size": spec.size,
        "seed": cell.seed,
        "training": training,
        "images_digest": learnt_from.digest_of([*split.train, *split.validation]),
        "train": list(split.train),
        "validation": list(split.validation),
        "source": {
            "set": dict(material.source),
            "leave_out_broken": spec.leave_out_broken,
            "encoder_weights": model.encoder_weights,
            **({"window": window} if window else {}),
            **({"hair_removal": HAIR_REMOVAL_VERSION} if is_hairless else {}),
        },
    }
    config |= model.output | described(image_set)
    if material.tasks:
        learnt = [*split.train, *split.validation]
        config |= {"tasks": material.tasks, "labels_digest": tasks.digest_of(material.tasks, image_set, learnt)}
    if "artifacts" in training["augment"]:
        config["artifacts_version"] = ARTIFACTS_VERSION
    return config


def _ensemble_config(study: Study, cell: Cell, ids: Mapping[Cell, str]) -> dict[str, Any]:
    spec = study.variants[cell.variant].ensemble
    assert spec is not None
    members = {member: ids[Cell(member, cell.seed, cell.fold)] for member in spec.members}
    return {
        "protocol": PROTOCOL,
        "ensemble": {"members": members, "weighting": spec.weighting},
        "size": study.dataset_of(spec.members[0]).size,
        "seed": cell.seed,
    }


def _record(
    loaded: Loaded, models: Mapping[str, Network], materials: Mapping[str, Material], jobs: list[Job]
) -> dict[str, Any]:
    """What `studies/<study>.yaml` says: the resolved study and the ids of its trials."""
    study = loaded.study
    own = materials[study.baseline]
    complete = completeness(own.source.get("name"), own.opened.image_set) if own.opened.image_set.official else {}
    variants: dict[str, Any] = {}
    for name, spec in study.variants.items():
        trials = [
            {
                "seed": job.cell.seed,
                "fold": job.cell.fold,
                "trial": job.id,
                "evaluations": {name: each["id"] for name, each in job.evaluations.items()},
            }
            for job in jobs
            if job.cell.variant == name
        ]
        if spec.ensemble:
            members = [models[member] for member in spec.ensemble.members]
            macs = [member.macs for member in members]
            variants[name] = {
                "description": f"ensemble of {', '.join(spec.ensemble.members)}",
                "parameters": sum(member.parameters for member in members),
                "macs": sum(each for each in macs if each is not None) if None not in macs else None,
                "n_images": _sizes(materials[name]),
                "settings": {
                    "ensemble": spec.ensemble.model_dump(),
                    "dataset": materials[name].opened.image_set.name,
                },
                "trials": trials,
            }
        else:
            model = models[name]
            image_set = materials[name].opened.image_set
            training = loaded.training_of(name, image_set.modality)
            variants[name] = {
                "description": model.title if name == spec.model and not spec.options else None,
                "parameters": model.parameters,
                "macs": model.macs,
                "n_images": _sizes(materials[name]),
                "settings": {
                    "model": model.name,
                    "options": model.options,
                    **model.output,
                    "encoder_weights": model.encoder_weights,
                    "dataset": image_set.name,
                    **({"modality": image_set.modality} if image_set.modality else {}),
                    **({"window_percentiles": list(PERCENTILES)} if image_set.is_wide else {}),
                    **({"preprocess": spec.preprocess.model_dump()} if spec.preprocess else {}),
                    "training": training.model_dump(exclude_none=True),
                    "size": study.dataset_of(name).size,
                    **described(image_set),
                    **({"tasks": materials[name].tasks} if materials[name].tasks else {}),
                },
                "trials": trials,
            }
    seen = described(own.opened.image_set)
    at_input = [each.name for each in study.evaluate if isinstance(each, AtInput)]
    return {
        "study": loaded.name,
        "profile": loaded.profile,
        "set": [" = ".join(map(str.strip, each.split("=", 1))) for each in loaded.settings],
        "recipe": loaded.recipe,
        "question": study.question,
        "registered": None if loaded.settings else study.registered,  # --set makes it another plan
        "asks": study.asks,
        "baseline": study.baseline,
        **({"compare_with": study.compare_with} if study.compare_with else {}),
        **({"conditions": list(study.conditions)} if study.conditions else {}),
        **({"looks": _looks(study.seeds)} if isinstance(study.seeds, UntilDecided) else {}),
        "primary": study.primary,
        "margin": study.margin,
        "score_at": study.score_at,
        "medbench": package_version("medbench"),
        "protocol": PROTOCOL,
        "dataset": {key: value for key, value in study.dataset.model_dump().items() if value is not None},
        "n_images": _sizes(own),
        **({"target": seen["target"]} if "target" in seen else {}),
        **({"series": _series_of(loaded)} if loaded.member else {}),
        "left_out": own.opened.left_out,
        "completeness": {part: list(counts) for part, counts in complete.items()} or None,
        "evaluations": list(jobs[0].evaluations),
        "datasets": {name: config["dataset"] for name, config in jobs[0].evaluations.items()},
        "copies_left_out": {name: most for name in jobs[0].evaluations if (most := _most_left_out(jobs, name))},
        "artifacts": {
            name: {key: artifact[key] for key in ("kind", "severity")}
            for name, config in jobs[0].evaluations.items()
            if (artifact := config["source"].get("artifact"))
        },
        **({"at_input": at_input} if at_input else {}),
        "exclude_copies": study.exclude_copies,
        "claims": [each.model_dump() for each in study.claims],
        "same": same_trials(variants),
        "variants": variants,
        "spec": yaml.safe_dump(study.model_dump(exclude_none=True, exclude={"profiles"}), sort_keys=False),
    }


def _most_left_out(jobs: Sequence[Job], name: str) -> int:
    """The copies that a training leaves out of an evaluation, the folds of one, which test other images, together."""
    counts: Counter[tuple[str, int]] = Counter()
    for job in jobs:
        counts[job.cell.variant, job.cell.seed] += job.evaluations[name]["copies_left_out"]
    return max(counts.values())


def _looks(seeds: UntilDecided) -> dict[str, Any]:
    """When the study is looked at (seeds of each variant), how the level is spent, and what order tests have."""
    numbers = list(range(seeds.at_least, seeds.at_most + 1))
    return {"seeds": numbers, "spending": seeds.spending, "order": list(seeds.order) if seeds.order else None}


def _series_of(loaded: Loaded) -> dict[str, Any]:
    """What puts the studies of one question on several data sets side by side."""
    return {"name": loaded.series_name, "set": loaded.member, "sets": [*loaded.series]}


def _sizes(material: Material) -> dict[str, int]:
    """Images of each part, in the first of several folds."""
    split = next(iter(material.splits.values()))
    return {part: len(getattr(split, part)) for part in ("train", "validation", "test")}
