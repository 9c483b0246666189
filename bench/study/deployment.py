"""What the trained models of a study cost in other runtimes on this machine, and what 8-bit integers lose."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...models.counting import cost
from ..cost.energy import meter_of
from ..cost.exporting import onnxruntime_session, openvino_session
from ..cost.latency import PASSES, time_side_by_side
from ..cost.runtimes import RUNTIMES, Subject
from ..errors import MedbenchError
from ..evaluation.testing import evaluate
from ..stats.crossed import image_square, image_term
from ..stats.groups import groups_of
from ..stats.intervals import largest_difference, tested
from ..stats.tables import rounding_of
from ..store.folder import Store
from ..store.provenance import device_name, instructions, machine_id, package_version
from ..store.records import read_yaml, write_json
from ..training.batches import to_input
from .sets import Sets
from .trials import seen_by, trained_model

CPU = torch.device("cpu")
CALIBRATION_IMAGES = 100
DEFAULT_RUNTIMES = ("eager", "compiled", "onnxruntime", "openvino")
INTEGER_SESSIONS = {"onnxruntime": onnxruntime_session, "openvino": openvino_session}
WORST = 10
PACKAGES = ("torch", "onnx", "onnxruntime", "openvino")


def measure_deployment(
    store: Store,
    study: str,
    sets: Sets,
    *,
    batches: Sequence[int] = (1,),
    runtimes: Sequence[str] = DEFAULT_RUNTIMES,
    passes: int = PASSES,
    on_step: Callable[[str, int, int], None] = lambda *_: None,
) -> Path:
    """Exports one finished trial of each variant, its first seed's, times all of them side by side on this processor,
    scores the integer models on the study's own test images, and keeps it in the store; gives the file.

    Ranges for the integers come from 100 training images, or as many as there are. A loss of Dice is that of these
    checkpoints: the mean over images of the paired difference to the scores that torch's model has in the store, with
    its 95 % t interval.

    Args:
        store: where the trials are; `deployment/<study>/<machine>.json` is written there.
        study: its name in the store.
        sets: where the images come from.
        batches: images a pass to be timed.
        runtimes: as in `medbench latency`.
        passes: timed ones of each model, at least.
        on_step: called with what is being done, how much of it and of how much.

    Raises:
        MedbenchError: the study is not in the store or has no finished trial, or a model cannot be exported.
    """
    store.check_study(study)
    record = read_yaml(store.study(study))
    evaluation = "clean" if "clean" in record["evaluations"] else record["evaluations"][0]
    trials = {name: trial for name in _baseline_first(record) if (trial := _first_finished(store, record, name))}
    if not trials:
        raise MedbenchError(f"{store.root}: no trial of {study} is finished; `medbench run` goes on with it")
    for trial in trials.values():
        store.check(trial["trial"])
    models = {name: trained_model(store, trial["trial"]) for name, trial in trials.items()}
    sessions = {name: session for name, session in INTEGER_SESSIONS.items() if name in runtimes}
    subjects: dict[str, Subject] = {}
    for done, (name, model) in enumerate(models.items()):
        on_step("exporting", done, len(models))
        trial = trials[name]["trial"]
        size, channels = store.config(trial)["size"], seen_by(store, trial).get("channels", 3)
        subjects[name] = Subject(name, model, size, calibration_of(store, trial, sets), channels=channels)
        _ = subjects[name].int8
    latency = time_side_by_side(
        list(subjects.values()),
        batches=batches,
        dtypes=("fp32", "int8") if sessions else ("fp32",),
        runtimes=runtimes,
        device=CPU,
        passes=passes,
        on_round=lambda done, total: on_step("timing", done, total),
    )
    scores: list[dict[str, Any]] = []
    for name, trial in trials.items():
        for runtime, session in sessions.items():
            told = f"scoring {name} in integers, {runtime}"
            run = session(subjects[name].int8, threads=torch.get_num_threads())
            found = _loss(store, trial, evaluation, sets, run, lambda i, n, told=told: on_step(told, i, n))
            if found:
                shared = {"variant": name, "trial": trial["trial"], "runtime": RUNTIMES[runtime].label, "dtype": "int8"}
                scores.append(shared | {"evaluation": evaluation} | found)
    meter = meter_of(CPU)
    path = store.deployment(study, machine_id(CPU))
    write_json(
        path,
        {
            "study": study,
            "baseline": record["baseline"],
            "machine": device_name(CPU),
            "instructions": instructions(),
            "versions": {package: package_version(package) for package in PACKAGES},
            "energy": meter if isinstance(meter, str) else None,
            "calibration_images": max(len(subject.calibration) for subject in subjects.values()),
            "models": [_sizes(trial, models[name], subjects[name]) for name, trial in trials.items()],
            "latency": latency,
            "scores": scores,
        },
    )
    return path


def calibration_of(store: Store, trial: str, sets: Sets) -> list[NDArray[np.float32]]:
    """Inputs (1, channels, size, size) of 100 images, or as many as there are, spread evenly over what a trial, or the
    first member of an ensemble, was trained on."""
    config = seen_by(store, trial)
    images = sets.arrays(sets.of(config), config["size"])
    pixels = (torch.from_numpy(np.array(images.images[[images.row[id]]])) for id in spread(config["train"]))
    return [np.ascontiguousarray(to_input(each, CPU).numpy()) for each in pixels]


def spread(ids: Sequence[str], most: int = CALIBRATION_IMAGES) -> list[str]:
    """So many of these ids, or all where there are no more, at equal steps from the first to the last in order."""
    ordered, n = sorted(ids), min(most, len(ids))
    return [ordered[i * len(ids) // n] for i in range(n)]


def paired_loss(scores: pd.Series, reference: pd.Series, group_of: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Mean Dice of both, their paired difference over images with its 95 % t interval, and which images lose most.

    Of several classes an image's Dice is the mean over those that it holds; one without any has none, and is left out.
    `group_of` says of each image what it has in common with others, as groups do in `bench/stats`; as there, fewer
    images, or groups, than an interval takes leave none.
    """
    scores = scores.dropna()
    difference = (scores - reference[scores.index]).astype(float)
    n, mean = len(difference), float(difference.mean())
    groups = groups_of([group_of[str(image)] for image in difference.index] if group_of else None, n)
    low, high = None, None
    if (n if groups is None else len(groups)) > 1:
        term = image_term(image_square(difference.to_numpy(), groups), n, groups)
        rounding = rounding_of(difference.to_numpy()[None])
        low, high = tested(mean, [term], level=0.95, largest=largest_difference((0.0, 1.0)), rounding=rounding).ci
    worst = difference.sort_values().head(WORST)
    return {
        "n_images": n,
        "dice": float(scores.mean()),
        "reference_dice": float(reference[scores.index].mean()),
        "difference": mean,
        "ci_low": low,
        "ci_high": high,
        **({} if groups is None else {"n_groups": len(groups)}),
        "worst": [{"image": str(image), "difference": float(value)} for image, value in worst.items()],
    }


class _Elsewhere(nn.Module):
    """A runtime's session in the place of a torch model."""

    def __init__(self, run: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        super().__init__()
        self.run = run
        self.on_cpu = nn.Parameter(torch.empty(0))  # whoever asks a model's parameters where it is finds this

    def forward(self, image: Tensor) -> Tensor:
        return torch.from_numpy(self.run(np.ascontiguousarray(image.numpy())).copy())


def _baseline_first(record: Mapping[str, Any]) -> list[str]:
    return sorted(record["variants"], key=lambda name: name != record["baseline"])


def _first_finished(store: Store, record: Mapping[str, Any], variant: str) -> dict[str, Any] | None:
    return next((each for each in record["variants"][variant]["trials"] if store.has_trial(each["trial"])), None)


def _loss(
    store: Store,
    trial: Mapping[str, Any],
    evaluation: str,
    sets: Sets,
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    on_image: Callable[[int, int], None],
) -> dict[str, Any] | None:
    """What `paired_loss` says, or None where torch's model was not evaluated, or on no image that holds a class."""
    id = trial["evaluations"].get(evaluation)
    if id is None or not store.has_evaluation(trial["trial"], id):
        return None
    folder = store.evaluation(trial["trial"], id)
    config = read_yaml(folder / "config.yaml")
    opened = sets.of(config)
    images = sets.arrays(opened, store.config(trial["trial"])["size"])
    scored = evaluate(
        _Elsewhere(run),
        opened.image_set,
        images,
        config["images"],
        score_at=config["score_at"],
        masks=None,
        on_image=on_image,
    )
    reference = pd.read_parquet(folder / "scores.parquet").set_index("image")["dice"]
    found = cast(pd.Series, scored.images.set_index("image")["dice"])
    return paired_loss(found, cast(pd.Series, reference), opened.image_set.groups) if found.notna().any() else None


def _sizes(trial: Mapping[str, Any], model: nn.Module, subject: Subject) -> dict[str, Any]:
    costs = cost(lambda: copy.deepcopy(model), subject.size, subject.channels)
    activations = costs["activation_bytes"]
    return {
        "variant": subject.name,
        "trial": trial["trial"],
        "seed": trial["seed"],
        "parameters": costs["parameters"],
        "macs": costs["macs"],
        "activation_mb": None if activations is None else activations / 1e6,
        "weights_mb": costs["weight_bytes"] / 1e6,
        "onnx_mb": len(subject.onnx) / 1e6,
        "int8_mb": len(subject.int8) / 1e6,
    }
