"""A training that was stopped goes on to the same bytes, and damaged checkpoints are not trusted."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from medbench.bench.training.checkpoints import Progress, _digest, restore_checkpoint, save_checkpoint
from medbench.bench.training.device import prepare
from medbench.bench.training.loop import Trained, train
from medbench.bench.training.schedule import optimizer_for
from medbench.datasets.cache import Arrays, load_arrays
from medbench.datasets.inspection import inspect
from medbench.datasets.synthetic import SyntheticSet
from medbench.models.catalog import build_model

from .test_loop import RECIPE, Small

EPOCHS = 4
QUICK = {**RECIPE, "epochs": EPOCHS, "batch_size": 4, "warmup_epochs": 1, "progressive_sizes": {0.0: 0.5, 0.5: 1.0}}


class Moody(Small):
    """Draws from every global generator, as a model of a user's own may."""

    def forward(self, image: Tensor) -> Tensor:
        noise = 0.01 * (random.random() + float(np.random.random()) + torch.rand(()).item())  # noqa: NPY002
        return super().forward(image) + (noise if self.training else 0)


def light() -> nn.Module:
    return build_model("medlitenet", {"backbone": "mobilenetv3_small_050", "width": 32}).model


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    images = SyntheticSet(images=20, size=64)
    return load_arrays(images, images.ids, 64, tmp_path_factory.mktemp("cache"), inspect(images).digests)


def run(
    arrays: Arrays, build: Callable[[], nn.Module], keep: str, file: Path | None = None, stop_after: int | None = None
) -> tuple[Trained, list[int]]:
    ids, resumed = sorted(arrays.row), list[int]()

    def on_epoch(row: dict[str, float]) -> None:
        if row["epoch"] == stop_after:
            raise StoppedError

    prepare(3, 1)
    done = train(
        build(),
        arrays,
        ids[:14],
        ids[14:],
        {**QUICK, "checkpoint": keep},
        size=64,
        seed=3,
        checkpoint=file,
        on_epoch=on_epoch,
        on_resume=resumed.append,
    )
    return done, resumed


def timeless(trained: Trained) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if "second" not in k} for row in trained.history]


@pytest.mark.parametrize("build", [Moody, light])
@pytest.mark.parametrize("keep", ["last", "best-val"])
def test_stopped_after_any_epoch_it_ends_with_the_same_bytes(
    arrays: Arrays, tmp_path: Path, build: Callable[[], nn.Module], keep: str
) -> None:
    whole, _ = run(arrays, build, keep)
    for epoch in range(1, EPOCHS):
        file = tmp_path / f"{epoch}.safetensors"
        with pytest.raises(StoppedError):
            run(arrays, build, keep, file, epoch)

        resumed, at = run(arrays, build, keep, file)

        assert at == [epoch]
        assert timeless(resumed) == timeless(whole)
        assert all(torch.equal(resumed.weights[name], whole.weights[name]) for name in whole.weights)


def test_a_checkpoint_of_the_last_epoch_leaves_nothing_to_train(arrays: Arrays, tmp_path: Path) -> None:
    whole, _ = run(arrays, Small, "last", tmp_path / "c")

    again, at = run(arrays, Small, "last", tmp_path / "c")

    assert at == [EPOCHS]
    assert again.history == whole.history
    assert all(torch.equal(again.weights[name], whole.weights[name]) for name in whole.weights)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    model = Small()
    save_checkpoint(
        tmp_path / "c", model, optimizer_for(model, RECIPE), torch.amp.GradScaler("cpu"), Progress([{"epoch": 1}], {})
    )
    return tmp_path / "c"


def restored(path: Path, *, mixed: bool = True, on_other: Callable[[str], None] = pytest.fail) -> Progress | None:
    model = Small()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    scaler = torch.amp.GradScaler("cpu", enabled=mixed)
    found = restore_checkpoint(path, model, optimizer_for(model, RECIPE), scaler, on_other)
    if found is None:
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    return found


def test_any_flipped_byte_and_any_cut_is_noticed(written: Path) -> None:
    content = written.read_bytes()
    assert restored(written) is not None
    rng = np.random.default_rng(0)
    for place in rng.integers(len(content), size=60):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        written.write_bytes(flipped)
        found = restored(written)
        assert found is None or found.history == [{"epoch": 1}]  # padding of the header may change without harm
        written.write_bytes(content[:place])
        assert restored(written) is None


def without_kind(path: Path) -> None:
    """Makes a checkpoint one of those that did not say what they were computed on."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state = json.loads(file.metadata()["state"])
    text = json.dumps({key: value for key, value in state.items() if key != "computed"})
    path.write_bytes(save(tensors, metadata={"state": text, "digest": _digest(tensors, text)}))


@pytest.mark.parametrize("age", [lambda _: None, without_kind], ids=["of now", "older"])
@pytest.mark.parametrize(("before", "now"), [(False, True), (True, False)])
def test_of_another_precision_it_is_told_and_nothing_is_restored(
    tmp_path: Path, age: Callable[[Path], None], before: bool, now: bool
) -> None:
    model, path, told = Small(), tmp_path / "c", list[str]()
    scaler = torch.amp.GradScaler("cpu", enabled=before)
    save_checkpoint(path, model, optimizer_for(model, RECIPE), scaler, Progress([{"epoch": 1}], {}))
    age(path)

    assert restored(path, mixed=now, on_other=told.append) is None
    assert restored(path, mixed=before) == Progress([{"epoch": 1}], {})
    names = {False: "fp32", True: "fp16"}
    assert told == [f"its checkpoint was computed on cpu in {names[before]}, this is cpu in {names[now]}"]


@pytest.mark.parametrize("age", [lambda _: None, without_kind], ids=["of now", "older"])
def test_of_a_gpu_it_is_not_gone_on_from_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: Callable[[Path], None]
) -> None:
    """A pretended GPU, whose generator is asked for by its device."""
    model, path, told = Small(), tmp_path / "c", list[str]()
    with monkeypatch.context() as pretended:
        pretended.setattr("medbench.bench.training.checkpoints._device", lambda _: torch.device("cuda:1"))
        pretended.setattr("torch.cuda.get_rng_state", lambda device: torch.full((3,), device.index, dtype=torch.uint8))
        save_checkpoint(path, model, optimizer_for(model, RECIPE), torch.amp.GradScaler("cpu"), Progress([], {}))
    age(path)

    assert restored(path, on_other=told.append) is None
    assert told == ["its checkpoint was computed on cuda in fp16, this is cpu in fp16"]
    given: list[tuple[list[int], int]] = []
    monkeypatch.setattr("medbench.bench.training.checkpoints._device", lambda _: torch.device("cuda:0"))
    monkeypatch.setattr("torch.cuda.set_rng_state", lambda state, device: given.append((state.tolist(), device.index)))
    assert restored(path) == Progress([], {})
    assert given == [([1, 1, 1], 0)]  # of the GPU that was in use, to the one that is


def test_a_training_that_may_not_go_on_begins_anew(arrays: Arrays, tmp_path: Path) -> None:
    whole, _ = run(arrays, Small, "last")
    model = Small()
    scaler = torch.amp.GradScaler("cpu")
    save_checkpoint(tmp_path / "c", model, optimizer_for(model, RECIPE), scaler, Progress([{"epoch": 1}], {}))

    anew, at = run(arrays, Small, "last", tmp_path / "c")

    assert at == []
    assert timeless(anew) == timeless(whole)
    assert all(torch.equal(anew.weights[name], whole.weights[name]) for name in whole.weights)


def test_no_file_is_no_progress(tmp_path: Path) -> None:
    assert restored(tmp_path / "none") is None


def test_a_failed_write_leaves_the_checkpoint_before_and_nothing_else(written: Path, monkeypatch) -> None:
    before = written.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    model = Small()

    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(written, model, optimizer_for(model, RECIPE), torch.amp.GradScaler("cpu"), Progress([], {}))

    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]
