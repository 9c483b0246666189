"""What only a GPU can show: captured steps train as eager ones do, mixed precision learns, latency and energy are those
of the GPU. `make gpu-check` runs them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medbench.ablations.schema.loading import load_study
from medbench.bench.cost.energy import conditions, meter_of
from medbench.bench.cost.latency import time_side_by_side
from medbench.bench.cost.runtimes import Subject
from medbench.bench.training import loop
from medbench.bench.training.device import prepare
from medbench.bench.training.forward import validate
from medbench.bench.training.labels import NO_LABELS, UNKNOWN, Labels
from medbench.bench.training.loop import Trained, train
from medbench.bench.training.schedule import optimizer_for, set_learning_rate
from medbench.bench.training.step import Replayed, Step, cuda_graph
from medbench.datasets.cache import Arrays, load_arrays
from medbench.datasets.inspection import inspect
from medbench.datasets.synthetic import SyntheticSet
from medbench.models.catalog import build_model
from medbench.models.counting import count_activation_bytes

from .training.test_loop import QUIET
from .training.test_step import batch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore:.*deterministic"),
]
GPU = torch.device("cuda")
KINDS = Labels({"kind": {}}, {"kind": 0.5})


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    images = SyntheticSet(images=80, size=64)
    return load_arrays(images, images.ids, 64, tmp_path_factory.mktemp("cache"), inspect(images).digests)


def trained(arrays: Arrays, checkpoint: Path | None = None, **options: Any) -> Trained:
    recipe = load_study("baa", profile="quick").study.training.model_dump(exclude_none=True)
    changes = ("epochs", "augment", "precision", "progressive_sizes", "consistency")
    recipe |= {key: options.pop(key) for key in changes if key in options}
    prepare(0, 1)
    ids = sorted(arrays.row)
    model = build_model(options.pop("model", "medlitenet")).model.to(GPU)
    return train(model, arrays, ids[:64], ids[64:], recipe, size=64, seed=0, checkpoint=checkpoint, **options)


def test_mixed_precision_learns_as_a_graph_on_images_that_stay(arrays: Arrays) -> None:
    done = trained(arrays)

    assert done.precision == "fp16"
    assert done.path == {"images": "on the device", "model": "eager", "steps": "CUDA graph"}
    assert done.history[-1]["train_loss"] < 0.7 * done.history[0]["train_loss"]
    assert all(torch.isfinite(each).all() for each in done.weights.values())


@pytest.mark.parametrize("more", [{}, {"consistency": {"weight": 1.0, "ramp": 0.5, "band": 0.02}}])
def test_artifacts_are_painted_ahead_and_learnt_as_a_graph(arrays: Arrays, more: dict[str, Any]) -> None:
    hairy = load_study("baa").study.training.augment.model_dump(exclude_none=True) | {"artifacts": ["hair", "ruler"]}

    done = trained(arrays, model="gated_baa", augment=hairy, **more)

    assert done.path == {"images": "on the device", "model": "eager", "steps": "CUDA graph"}
    assert done.history[-1]["train_loss"] < 0.8 * done.history[0]["train_loss"]


@pytest.mark.parametrize("options", [{"workers": 2}, {"compiled": True, "progressive_sizes": {0.0: 1.0}}])
def test_the_other_paths_learn_too(arrays: Arrays, options: dict[str, Any]) -> None:
    done = trained(arrays, **options)

    assert done.path["images"] == ("loaded" if "workers" in options else "on the device")
    assert done.path["model"] == ("compiled" if "compiled" in options else "eager")
    assert done.history[-1]["train_loss"] < 0.7 * done.history[0]["train_loss"]


@pytest.mark.parametrize(("mixed", "labels"), [(False, NO_LABELS), (True, NO_LABELS), (True, KINDS)])
def test_captured_steps_follow_the_eager_ones(mixed: bool, labels: Labels) -> None:
    classes = {"classes": torch.tensor([[0], [UNKNOWN], [1], [1]])} if labels else {}

    def losses(captured: bool) -> list[float]:
        prepare(0, 1)
        model = build_model("medlitenet", tasks=dict.fromkeys(labels.tasks, 2)).model.to(GPU).train()
        for dropout in (each for each in model.modules() if isinstance(each, nn.Dropout)):
            dropout.p = 0.0  # its draws may differ
        recipe = load_study("baa").study.training.model_dump(exclude_none=True)
        optimizer = optimizer_for(model, recipe)
        scaler = torch.amp.GradScaler("cuda", enabled=mixed)
        step = Step(model, model, optimizer, scaler, recipe, 1, labels=labels)
        run = Replayed(step, cuda_graph) if captured else step
        found: list[Tensor] = []
        for number in range(12):
            set_learning_rate(optimizer, 1 / (1 + number))
            given = batch(number, 64 if number < 6 else 96) | classes
            found.append(run({name: each.to(GPU) for name, each in given.items()}))
        assert not captured or run.failed is None  # pyright: ignore[reportAttributeAccessIssue]
        return [float(each) for each in found]

    assert losses(True) == pytest.approx(losses(False), rel=0.02)


def test_validation_agrees_between_gpu_and_cpu_after_the_same_steps(arrays: Arrays) -> None:
    done = trained(arrays, epochs=1, augment=QUIET, precision="full", workers=1)

    model = build_model("medlitenet").model
    model.load_state_dict(done.weights)
    ids = sorted(arrays.row)[64:]
    recipe = load_study("baa").study.training.model_dump()
    loss, dice, _ = validate(model, arrays, ids, recipe)
    assert (loss, dice) == pytest.approx(
        (done.history[-1]["validation_loss"], done.history[-1]["validation_dice"]), abs=2e-3
    )


def test_a_training_goes_on_from_its_checkpoint(
    arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        pass

    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise Stopped

    monkeypatch.setattr(loop, "GPU_SAVES_EVERY_S", 0.0)
    whole, resumed = trained(arrays, epochs=4), list[int]()
    with pytest.raises(Stopped):
        trained(arrays, tmp_path / "state", epochs=4, on_epoch=stop)

    done = trained(arrays, tmp_path / "state", epochs=4, on_resume=resumed.append)

    assert resumed == [2]
    assert done.path["steps"] == "CUDA graph"
    assert done.history[-1]["train_loss"] == pytest.approx(whole.history[-1]["train_loss"], rel=0.05)


def test_latency_is_timed_in_half_precision_and_under_the_meter() -> None:
    subject = Subject("medlitenet", build_model("medlitenet").model, 256)
    [eager, graph] = time_side_by_side(
        [subject], batches=[1], dtypes=["fp16"], runtimes=["eager", "graph"], device=GPU, passes=40
    )
    assert all(0 < row["p5_ms"] <= row["median_ms"] <= row["p95_ms"] for row in (eager, graph))
    assert graph["median_ms"] < eager["median_ms"]
    activations = count_activation_bytes(lambda: build_model("medlitenet").model)
    assert activations
    assert graph["peak_mb"] > activations / 2e6
    if not isinstance(meter_of(GPU), str):
        assert eager["joules"] > 0
        assert conditions(GPU)
