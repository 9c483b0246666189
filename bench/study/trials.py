"""What a job does: train and evaluate. Each finished part goes to the store in one step."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from ...models.catalog import build_model, network_of
from ...models.ensemble import Ensemble
from ...models.heads import segmentation_only
from ..errors import MedbenchError
from ..evaluation.testing import evaluate, write_masks, write_pictures
from ..metrics import COUNTS, Target, constant
from ..metrics.failures import FAILURES
from ..store.folder import WEIGHTS, BusyError, Store, as_made, save_weights
from ..store.provenance import environment, noting_nondeterminism, without_names
from ..store.records import damage, is_sealed, read_json, sealed_folder, write_json, write_yaml
from ..training.device import best_device, device_id, prepare
from ..training.loop import train
from .planning import Job
from .sets import OpenSet, Sets
from .tasks import Tasks, asked, digest_of, labels_of

KEPT_OF_ARTIFACTS, KEPT_OF_FAILURES = 8, 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job runs: its folders and its share of the machine."""

    store: Path
    data: Path | None
    cache: Path
    threads: int
    workers: int
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something to show; `values` depends on the kind: start, resumed, anew, smaller, eager, step, epoch, image,
    evaluated, damaged, busy, done or failed."""

    kind: str
    job: str
    label: str
    values: dict[str, Any] = field(default_factory=dict)


Listen = Callable[[Event], None]


def run_job(job: Job, place: Place, listen: Listen) -> None:
    """Does what is missing of a job, and nothing that is there.

    Raises:
        BusyError: another process is at this trial, or others leave it no memory; it goes on when it is tried again.
    """
    store = Store(place.store)
    with store.claimed(job.id):
        _do(job, store, Sets(place.data, place.cache), place, listen)


def _do(job: Job, store: Store, sets: Sets, place: Place, listen: Listen) -> None:
    def tell(kind: str, **values: Any) -> None:
        listen(Event(kind, job.id, job.cell.label, values))

    if (before := store.failure(job.id)).is_file():
        raise MedbenchError(f"failed before ({read_json(before)['error']}); --retry-failed runs it again")
    store.clear_leftovers(job.id)
    prepare(job.config["seed"], place.threads)
    tell("start")
    missing = {name: config for name, config in job.evaluations.items() if not store.is_sound(job.id, config["id"])}
    doubtful = [store.evaluation(job.id, each["id"]) for each in missing.values()]
    if missing or not store.is_sound(job.id):  # before weights are used they are read once more
        doubtful.insert(0, store.trial(job.id))
    for folder in doubtful:
        damaged = damage(folder) if is_sealed(folder) else [f"{folder}: its manifest does not fit"]
        if folder.exists() and damaged:
            tell("damaged", what=damaged[0], place=str(store.set_aside(folder)))
    if not store.has_trial(job.id):
        missing = job.evaluations
        if job.is_ensemble:
            _combine(job, store)
        else:
            _train(job, store, sets, place, tell)
    if missing:
        model = trained_model(store, job.id).to(best_device())
        for name, config in missing.items():
            _evaluate(job, name, config, model, store, sets, tell)
    tell("done")


def trained_model(store: Store, trial: str, *, or_untrained: bool = False) -> nn.Module:
    """The model of a finished trial, ensembles included, on the CPU in evaluation mode.

    A trial from a published result has no weights: MedbenchError, but with `or_untrained` its model as it begins.
    """
    config = store.config(trial)
    if "ensemble" in config:
        members = config["ensemble"]["members"]
        weights = config["ensemble"]["weights"]
        models = [trained_model(store, id, or_untrained=or_untrained) for id in members.values()]
        overlap = Target.of(seen_by(store, trial).get("target")).overlap
        return segmentation_only(Ensemble(models, [weights[name] for name in members], overlap=overlap)).eval()
    model = build_model(config["model"], **network_of(config)).model
    if not (or_untrained and as_made(store.trial(trial))):
        model.load_state_dict(store.weights(trial))
    return model.eval()


def seen_by(store: Store, trial: str) -> dict[str, Any]:
    """The configuration that says what a finished trial's model sees and predicts: its own, an ensemble's first
    member's."""
    config = store.config(trial)
    members = config.get("ensemble", {}).get("members", {})
    return seen_by(store, next(iter(members.values()))) if members else config


def _train(job: Job, store: Store, sets: Sets, place: Place, tell: Callable[..., None]) -> None:
    config = job.config
    opened = sets.of(config)
    _same(opened.digest_of([*config["train"], *config["validation"]]), config["images_digest"], opened.image_set.name)
    labels = labels_of(_tasks(config, opened, [*config["train"], *config["validation"]]), opened.image_set)
    images = sets.arrays(opened, config["size"])
    device, parts = best_device(), 1
    store.note_device(job.id, device_id(device))
    while True:
        prepare(config["seed"], place.threads)
        built = build_model(
            config["model"],
            **network_of(config),
            encoder_weights=config["source"]["encoder_weights"],
            data=sets.data,
        )
        _same(built.encoder_digest, config["encoder_digest"], "the encoder's weights")
        _same(built.code_digest, config["code_digest"], f"the code of {config['model']}")
        try:
            with noting_nondeterminism() as operations:
                trained = train(
                    built.model.to(device),
                    images,
                    config["train"],
                    config["validation"],
                    config["training"],
                    size=config["size"],
                    seed=config["seed"],
                    labels=labels,
                    workers=place.workers,
                    parts=parts,
                    compiled=place.compiled,
                    checkpoint=store.checkpoint(job.id),
                    on_resume=lambda done: tell("resumed", epochs=config["training"]["epochs"], done=done),
                    on_anew=lambda why: tell("anew", why=why),
                    on_eager=lambda why: tell("eager", why=why),
                    on_step=lambda step, steps, loss: tell("step", step=step, steps=steps, loss=loss),
                    on_epoch=lambda row: tell("epoch", epochs=config["training"]["epochs"], **row),
                )
            break
        except torch.OutOfMemoryError:
            if store.others_at_work(job.id, device_id(device)):  # in parts it would be another training than alone
                raise BusyError("the GPU's memory is full, other trials are at work") from None
            if config["training"]["batch_size"] < 4 * parts:  # batch norm wants two images
                raise
            parts *= 2
            tell("smaller", parts=parts)
            torch.cuda.empty_cache()
    with sealed_folder(store.trial(job.id)) as folder:
        write_yaml(folder / "config.yaml", config)
        made = environment(device, trained.precision, config)
        path = {key: without_names(way) for key, way in trained.path.items()}  # compilers' errors name folders
        made |= {"path": path, "not_deterministic": operations} | ({"batch_parts": parts} if parts > 1 else {})
        write_json(folder / "environment.json", made)
        pd.DataFrame(trained.history).to_parquet(folder / "history.parquet", index=False)
        save_weights(folder / WEIGHTS, trained.weights)
    store.checkpoint(job.id).unlink(missing_ok=True)


def _tasks(config: dict[str, Any], opened: OpenSet, ids: list[str]) -> Tasks:
    """The tasks of a training or an evaluation; what the table says of these images must be what was planned."""
    tasks = config.get("tasks", {})
    if tasks:
        found = digest_of(tasks, opened.image_set, ids)
        _same(found, config["labels_digest"], f"what the table of {opened.image_set.name} says of images")
    return tasks


def _same(found: str | None, planned: str | None, what: str) -> None:
    """Hours may lie between planning and training; what the trial's id was computed from must still be so."""
    if found != planned:
        raise MedbenchError(f"{what} changed since the study was planned; run it again")


def _combine(job: Job, store: Store) -> None:
    ensemble = job.config["ensemble"]
    weights = {
        name: store.validation_dice(id) if ensemble["weighting"] == "validation-dice" else 1.0
        for name, id in ensemble["members"].items()
    }
    if not (np.isfinite([*weights.values()]).all() and sum(weights.values()) > 0):  # NaN where no image holds a class
        told = ", ".join(f"{name} {weight:.4g}" for name, weight in weights.items())
        raise MedbenchError(f"weights by validation Dice cannot be told from {told}; say weighting: equal")
    with sealed_folder(store.trial(job.id)) as folder:
        write_yaml(folder / "config.yaml", {**job.config, "ensemble": {**ensemble, "weights": weights}})
        write_json(folder / "environment.json", environment(best_device(), "fp32", job.config))


def _evaluate(
    job: Job, name: str, config: dict[str, Any], model: nn.Module, store: Store, sets: Sets, tell: Callable[..., None]
) -> None:
    opened = sets.of(config)
    _same(opened.digest_of(config["images"]), config["images_digest"], opened.image_set.name)
    tasks = asked(_tasks(config, opened, config["images"]), opened.image_set)
    images = sets.arrays(opened, job.config["size"])
    is_painted, shown = opened.image_set.is_painted, opened.image_set.shown
    gallery = store.gallery(config["images_digest"])
    if not is_painted and not is_sealed(gallery):
        with sealed_folder(gallery) as folder:
            write_pictures(folder, shown, config["images"])
    with sealed_folder(store.evaluation(job.id, config["id"])) as folder:
        scored = evaluate(
            model,
            opened.image_set,
            images,
            config["images"],
            score_at=config["score_at"],
            masks=None if is_painted else folder / "masks",
            tasks=tasks,
            on_image=lambda done, total: tell("image", evaluation=name, done=done, total=total),
        )
        if is_painted:  # of so many evaluations, pictures are kept of what went worst
            worst = worst_images(scored.images)
            (folder / "pictures").mkdir()
            write_pictures(folder / "pictures", shown, worst)
            write_masks(model, opened.image_set, images, worst, folder / "masks", score_at=config["score_at"])
        scored.images.to_parquet(folder / "scores.parquet", index=False)
        scored.reliability.to_parquet(folder / "reliability.parquet", index=False)
        if scored.classes is not None:
            scored.classes.to_parquet(folder / "classes.parquet", index=False)
        if scored.labels is not None:
            scored.labels.to_parquet(folder / "labels.parquet", index=False)
        write_yaml(folder / "config.yaml", {key: value for key, value in config.items() if key != "id"})
        write_json(folder / "environment.json", environment(next(model.parameters()).device, "fp32", config))
    means = np.nanmean(scored.images[["dice", "iou"]].to_numpy(), axis=0)  # without any class there is no score
    tell(
        "evaluated",
        evaluation=name,
        images=len(scored.images),
        dice=means[0].item(),
        iou=means[1].item(),
        constant=constant({count: scored.images[count].sum().item() for count in COUNTS}),
    )


def worst_images(scores: pd.DataFrame) -> list[str]:
    """The images of an artifact evaluation whose picture is kept: the lowest Dice, and a few of each failure."""
    ordered = scores.sort_values("dice")
    parts = [
        ordered.head(KEPT_OF_ARTIFACTS),
        *(ordered[ordered[mode] == 1].head(KEPT_OF_FAILURES) for mode in FAILURES),
    ]
    return sorted({image for part in parts for image in part["image"]})
