"""Image-level tasks of a study: their classes by the set's table, and what that says of images.

A task of a trial's or an evaluation's configuration is a mapping with `column` and `classes`, of a trial also `weight`.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...ablations.schema.spec import TaskSpec
from ...datasets.base import ImageSet
from ..errors import MedbenchError
from ..store.records import short_id

if TYPE_CHECKING:  # both take a second to import, and most mistakes are told before
    from ..evaluation.labels import Asked
    from ..training.labels import Labels

Tasks = Mapping[str, Mapping[str, Any]]


def resolved(name: str, spec: TaskSpec, image_set: ImageSet, parts: Iterable[Collection[str]]) -> dict[str, Any]:
    """A task as trials have it. Its classes are the sorted values of its column over the whole set.

    Args:
        name: of the task.
        spec: what the study says of it.
        image_set: what is learnt from.
        parts: the training images of each fold.

    Raises:
        MedbenchError: no column is told, the set has none of that name, or there is too little to learn from.
    """
    column = spec.column or image_set.label
    if column is None:
        known = f"; its table has {', '.join(image_set.columns)}" if image_set.columns else ""
        raise MedbenchError(f"{name}: {image_set.name} names no label of its own: say column{known}")
    told = image_set.labels_of(column)
    classes = sorted({*told.values()})
    if len(classes) < 2:
        what = f"{classes[0]!r} for every image" if classes else "nothing of any image"
        raise MedbenchError(f"{name}: the column {column} of {image_set.name} says {what}; a task needs two classes")
    for part in parts:
        learnt = {told[id] for id in part if id in told}
        if missing := [each for each in classes if each not in learnt]:
            raise MedbenchError(
                f"{name}: no training image of {image_set.name} is {missing[0]!r} in the column {column}: it cannot be "
                "learnt; empty these cells, put it together with another class, or split otherwise"
            )
    return {"column": column, "classes": classes, "weight": spec.weight}


def asked(tasks: Tasks, image_set: ImageSet) -> dict[str, "Asked"]:
    """Of each task the truth of the set's images.

    Raises:
        MedbenchError: the set's table has no such column, or says something there that is no class of the task.
    """
    from ..evaluation.labels import Asked

    found: dict[str, Asked] = {}
    for name, task in tasks.items():
        places = {each: place for place, each in enumerate(task["classes"])}
        told = image_set.labels_of(task["column"])
        for id in image_set.ids:
            if id in told and told[id] not in places:
                raise MedbenchError(
                    f"{name}: {image_set.name}/{id} is {told[id]!r} in the column {task['column']}, which no model has "
                    f"learnt; known are {', '.join(places)}: rename it there, or empty the cell"
                )
        found[name] = Asked(task["classes"], {id: places[value] for id, value in told.items()})
    return found


def labels_of(tasks: Tasks, image_set: ImageSet) -> "Labels":
    """What a training is told of the set's images."""
    from ..training.labels import Labels

    known = {name: each.truth for name, each in asked(tasks, image_set).items()}
    return Labels(known, {name: task["weight"] for name, task in tasks.items()})


def tested(tasks: Tasks, image_set: ImageSet, ids: Iterable[str]) -> dict[str, Any]:
    """What an evaluation on these images notes of the tasks that it scores: those whose column the set's table has,
    with a class for one of the images at least; nothing where it scores none."""
    here = {name: task for name, task in tasks.items() if task["column"] in image_set.columns}
    found = {name: each for name, each in asked(here, image_set).items() if not each.truth.keys().isdisjoint(ids)}
    if not found:
        return {}
    kept = {name: {key: here[name][key] for key in ("column", "classes")} for name in found}
    return {"tasks": kept, "labels_digest": digest_of(kept, image_set, ids)}


def digest_of(tasks: Tasks, image_set: ImageSet, ids: Iterable[str]) -> str:
    """One digest for what the set's table says of these images in the columns of the tasks."""
    told = {task["column"]: image_set.labels_of(task["column"]) for task in tasks.values()}
    return short_id({column: [[id, known.get(id, "")] for id in sorted(ids)] for column, known in told.items()})
