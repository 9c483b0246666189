"""From a study to jobs: every choice resolved, every image and weight named by its digest, every id known."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..ablations.grid import Cell, expand
from ..ablations.loading import Loaded
from ..ablations.spec import ArtifactTest, OtherSet, Study
from ..datasets.artifacts import ARTIFACTS
from ..datasets.splits import Split, make_split
from ..models.catalog import build_model, first_line, resolve_model
from ..models.counting import count_macs, count_parameters
from .errors import MedbenchError
from .provenance import package_version
from .sets import OpenSet, Sets
from .store import PROTOCOL, evaluation_id, trial_id


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
    """The jobs of a study, members before ensembles, and the record that the store keeps of it."""

    jobs: list[Job]
    record: dict[str, Any]


def plan(loaded: Loaded, sets: Sets) -> Plan:
    """Resolves a study against data and weights.

    Raises:
        MedbenchError: a set, a split, a model or its weights are not to be had.
    """
    study = loaded.study
    source = set_source(study)
    with placed(loaded, "dataset"):
        opened = sets.open(source, leave_out_broken=study.dataset.leave_out_broken)
    splits: dict[int | None, Split] = {}
    cells = expand(study)
    with placed(loaded, "dataset", "split"):
        for fold in dict.fromkeys(cell.fold for cell in cells):
            splits[fold] = make_split(opened.image_set, study.dataset.split, seed=study.dataset.split_seed, fold=fold)
            if len(splits[fold].train) < 2:
                raise MedbenchError(
                    f"{opened.image_set.name}: training needs two images at least, the split leaves one"
                )
    models: dict[str, _Model] = {}
    for name, variant in study.variants.items():
        if variant.model:
            with placed(loaded, "variants", name):
                models[name] = _resolve(study, name, sets)

    jobs: list[Job] = []
    ids: dict[Cell, str] = {}
    for cell in sorted(cells, key=lambda cell: cell.variant not in models):
        if cell.variant in models:
            config = _trial_config(study, cell, models[cell.variant], opened, splits[cell.fold], source)
        else:
            config = _ensemble_config(study, cell, ids)
        ids[cell] = trial_id(config)
        with placed(loaded, "evaluate"):
            evaluations = dict(_evaluations(study, cell, ids[cell], sets, opened, splits[cell.fold], source))
        jobs.append(Job(cell, ids[cell], config, evaluations))
    return Plan(jobs, _record(loaded, models, jobs, opened, splits))


@contextmanager
def placed(loaded: Loaded, *keys: str) -> Generator[None]:
    """Puts file, line and key before the message of a MedbenchError."""
    try:
        yield
    except MedbenchError as error:
        raise MedbenchError(f"{loaded.place(*keys)}: {error}") from error


def set_source(study: Study) -> dict[str, Any]:
    """The plain description of the study's data set."""
    spec = study.dataset
    source: dict[str, Any] = {"folder": spec.folder} if spec.folder else {"name": spec.name}
    if spec.name == "synthetic":
        source |= {"images": spec.images, "size": spec.size}
    return source


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    options: dict[str, Any]
    encoder_weights: str
    encoder_digest: str | None
    code_digest: str | None
    parameters: int
    macs: int | None
    description: str


def _resolve(study: Study, variant: str, sets: Sets) -> _Model:
    spec = study.variants[variant]
    assert spec.model is not None
    weights = study.encoder_weights_of(variant)
    built = build_model(spec.model, spec.options, encoder_weights=weights, data=sets.data)
    name, options, description = resolve_model(spec.model, spec.options)
    try:
        macs = count_macs(lambda: build_model(name, options).model)
    except Exception as error:
        if built.code_digest is None:
            raise MedbenchError(f"model {name!r} does not run on an image: {first_line(error)}") from error
        macs = None  # a model of the user's own may do what the meta device cannot
    parameters = count_parameters(built.model)
    return _Model(name, options, weights, built.encoder_digest, built.code_digest, parameters, macs, description)


def _trial_config(
    study: Study, cell: Cell, model: _Model, opened: OpenSet, split: Split, source: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "protocol": PROTOCOL,
        "model": model.name,
        "options": model.options,
        "encoder_digest": model.encoder_digest,
        "code_digest": model.code_digest,
        "size": study.size_of(cell.variant),
        "seed": cell.seed,
        "training": study.training_of(cell.variant).model_dump(),
        "images_digest": opened.digest_of([*split.train, *split.validation]),
        "train": list(split.train),
        "validation": list(split.validation),
        "source": {
            "set": dict(source),
            "leave_out_broken": study.dataset.leave_out_broken,
            "encoder_weights": model.encoder_weights,
        },
    }


def _ensemble_config(study: Study, cell: Cell, ids: Mapping[Cell, str]) -> dict[str, Any]:
    spec = study.variants[cell.variant].ensemble
    assert spec is not None
    sizes = {study.size_of(member) for member in spec.members}
    if len(sizes) > 1:
        raise MedbenchError(f"variants.{cell.variant}.ensemble: its members have different input sizes {sorted(sizes)}")
    members = {member: ids[Cell(member, cell.seed, cell.fold)] for member in spec.members}
    return {
        "protocol": PROTOCOL,
        "ensemble": {"members": members, "weighting": spec.weighting},
        "size": sizes.pop(),
        "seed": cell.seed,
    }


def _evaluations(
    study: Study, cell: Cell, trial: str, sets: Sets, opened: OpenSet, split: Split, source: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    learnt = {*split.train, *split.validation}
    seen = {opened.pixels[id] for id in learnt}
    for wanted in study.evaluate:
        if isinstance(wanted, ArtifactTest):
            _ = ARTIFACTS[wanted.artifact]
            for name, severity in wanted.names.items():
                artifact = {"kind": wanted.artifact, "severity": severity, "seed": 0}
                tested = sets.painted(opened, split.test, artifact)
                yield name, _evaluation(study, trial, name, tested, split.test, {**source}, artifact)
            continue
        if isinstance(wanted, OtherSet):
            name = wanted.name
            where: dict[str, Any] = {"folder": wanted.folder} if wanted.folder else {"name": wanted.dataset}
            if wanted.dataset == "synthetic":
                where["size"] = study.dataset.size
            tested = sets.open(where, leave_out_broken=study.dataset.leave_out_broken)
            ids = tested.image_set.ids
        else:
            name, where, tested, ids = "clean", dict(source), opened, split.test
        same_set = tested.image_set.name == opened.image_set.name
        trained_on = [
            id for id in ids if tested.pixels[id] in seen or (id in learnt and (same_set or id.startswith("ISIC_")))
        ]
        if trained_on:
            raise MedbenchError(
                f"{name}: {len(trained_on)} of its images were trained or selected on, the first is "
                f"{tested.image_set.name}/{trained_on[0]}; test on a set that does not share them"
            )
        yield name, _evaluation(study, trial, name, tested, ids, where, None)


def _evaluation(
    study: Study,
    trial: str,
    name: str,
    tested: OpenSet,
    ids: Sequence[str],
    where: dict[str, Any],
    artifact: dict[str, Any] | None,
) -> dict[str, Any]:
    config = {
        "protocol": PROTOCOL,
        "trial": trial,
        "name": name,
        "dataset": tested.image_set.name,
        "score_at": study.score_at,
        "images_digest": tested.digest_of(ids),
        "images": list(ids),
        "left_out": tested.left_out,
        "source": {"set": where, "leave_out_broken": study.dataset.leave_out_broken},
    }
    if artifact:
        config["source"] |= {"artifact": artifact}
    return {"id": evaluation_id(config), **config}


def _record(
    loaded: Loaded, models: Mapping[str, _Model], jobs: list[Job], opened: OpenSet, splits: Mapping[int | None, Split]
) -> dict[str, Any]:
    """What `studies/<study>.yaml` says: the resolved study and the ids of its trials."""
    study = loaded.study
    split = next(iter(splits.values()))
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
                "settings": {"ensemble": spec.ensemble.model_dump()},
                "trials": trials,
            }
        else:
            model = models[name]
            variants[name] = {
                "description": model.description if name == spec.model and not spec.options else None,
                "parameters": model.parameters,
                "macs": model.macs,
                "settings": {
                    "model": model.name,
                    "options": model.options,
                    "encoder_weights": model.encoder_weights,
                    "training": study.training_of(name).model_dump(),
                    "size": study.size_of(name),
                },
                "trials": trials,
            }
    return {
        "study": loaded.name,
        "profile": loaded.profile,
        "question": study.question,
        "baseline": study.baseline,
        "primary": study.primary,
        "margin": study.margin,
        "score_at": study.score_at,
        "medbench": package_version("medbench"),
        "protocol": PROTOCOL,
        "dataset": {key: value for key, value in study.dataset.model_dump().items() if value is not None},
        "n_images": {part: len(getattr(split, part)) for part in ("train", "validation", "test")},
        "left_out": opened.left_out,
        "evaluations": list(jobs[0].evaluations),
        "artifacts": {
            name: {key: artifact[key] for key in ("kind", "severity")}
            for name, config in jobs[0].evaluations.items()
            if (artifact := config["source"].get("artifact"))
        },
        "variants": variants,
    }
