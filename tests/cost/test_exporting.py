"""Exported models: the same logits as torch's, for any batch, and messages where there is no file."""

import builtins
import io
from ast import literal_eval
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from medbench.bench.cli import app
from medbench.bench.cost import exporting
from medbench.bench.cost.exporting import OPSET, onnxruntime_session, openvino_session, to_int8, to_onnx, to_torchscript
from medbench.bench.errors import MedbenchError
from medbench.bench.store.folder import Store
from medbench.bench.study.trials import trained_model
from medbench.models.catalog import build_model

from ..conftest import Trained
from ..models.test_fusing import lived

SIZE = 64


class Pair(nn.Module):
    """Gives two maps."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return image[:, :1], image[:, 1:2]


class Asking(nn.Module):
    """Does one thing or another by the image's values."""

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :1] if image.mean().item() > 0 else -image[:, :1]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return lived(build_model("medlitenet", {"backbone": "mobilenetv3_small_050", "width": 32}).model)


@pytest.fixture(scope="module")
def file(model: nn.Module) -> bytes:
    return to_onnx(model, SIZE, {"trial": "abc"})


def images(batch: int) -> Tensor:
    return torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(batch))


@pytest.mark.parametrize("open_session", [onnxruntime_session, openvino_session])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_onnx_gives_torchs_logits_for_any_batch(
    model: nn.Module, file: bytes, open_session: Callable[..., Any], batch: int
) -> None:
    run = open_session(file, threads=1)

    found = run(images(batch).numpy())

    with torch.no_grad():
        np.testing.assert_allclose(found, model(images(batch)).numpy(), atol=1e-4)


def test_an_onnx_file_says_what_it_is(file: bytes) -> None:
    read: Any = onnx.load_from_string(file)

    onnx.checker.check_model(read)
    assert [each.version for each in read.opset_import if not each.domain] == [OPSET]
    assert [each.name for each in read.graph.input] == ["image"]
    assert [each.name for each in read.graph.output] == ["logits"]
    shape = read.graph.input[0].type.tensor_type.shape.dim
    assert (shape[0].dim_param, *(each.dim_value for each in shape[1:])) == ("batch", 3, SIZE, SIZE)
    notes = {each.key: each.value for each in read.metadata_props}
    assert notes["trial"] == "abc"
    assert notes["mean"] == "(0.485, 0.456, 0.406)"
    assert (
        notes["input"]
        == "RGB, upright, squeezed to a square by averaging areas, from 0 to 1, less mean, over deviation"
    )
    assert notes["output"] == "logits, lesion above 0"


def test_torchscript_gives_torchs_logits(model: nn.Module) -> None:
    content = to_torchscript(model, SIZE)

    with pytest.warns(FutureWarning, match="deprecated"):
        read = torch.jit.load(io.BytesIO(content))
    with torch.no_grad():
        torch.testing.assert_close(read(images(5)), model(images(5)))


@pytest.fixture(scope="module")
def small(file: bytes) -> bytes:
    return to_int8(file, [images(1).numpy() for _ in range(3)])


@pytest.mark.parametrize("open_session", [onnxruntime_session, openvino_session])
def test_integers_are_smaller_and_near(
    model: nn.Module, file: bytes, small: bytes, open_session: Callable[..., Any]
) -> None:
    found = open_session(small, threads=1)(images(1).numpy())

    assert len(small) < len(file) / 2.5
    read: Any = onnx.load_from_string(small)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {each.op_type for each in read.graph.node}
    with torch.no_grad():
        wanted = model(images(1)).numpy()
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.98
    assert not np.array_equal(found, wanted)


def test_a_model_of_which_not_every_shape_is_found_by_symbols_gets_integers_too_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = build_model("egeunet", maps=4, channels=1).model.eval()
    inputs = [torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)).numpy() for seed in range(4)]

    found = onnxruntime_session(to_int8(to_onnx(model, SIZE, channels=1), inputs), threads=1)(inputs[0])

    with torch.no_grad():
        wanted = model(torch.from_numpy(inputs[0])).numpy()
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.98
    assert not [*tmp_path.iterdir()]


def test_no_processor_cuts_off_a_sum_of_two_products(small: bytes) -> None:
    """Without VNNI two products of an activation and a weight are added in 16 bits."""
    read: Any = onnx.load_from_string(small)
    kinds = {each.name: onnx.numpy_helper.to_array(each) for each in read.graph.initializer}
    made_by = {each.output[0]: each for each in read.graph.node}
    activations = {kinds[each.input[2]].dtype for each in read.graph.node if each.op_type == "QuantizeLinear"}
    sums: list[int] = []
    for node in read.graph.node:
        if node.op_type in ("Conv", "MatMul") and (array := kinds.get(made_by[node.input[1]].input[0])) is not None:
            channels = array if node.op_type == "Conv" else array.T
            for channel in channels.reshape(len(channels), -1).astype(int):
                sums += [np.sort(side.clip(0))[-2:].sum() for side in (channel, -channel)]

    assert activations == {np.dtype(np.uint8)}
    assert len(sums) > 1000
    assert max(sums) > 120
    assert 255 * max(sums) < 2**15


class Reading(nn.Module):
    """Decides by what it sees, which exporters cannot follow."""

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :1] if float(image.sum()) > 0 else image[:, 1:2]


@pytest.mark.parametrize("write", [to_onnx, to_torchscript])
def test_a_file_that_computes_something_else_is_not_written(
    write: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    export, trace = torch.onnx.export, torch.jit.trace
    model, other = nn.Conv2d(3, 1, 1), nn.Conv2d(3, 1, 1)
    monkeypatch.setattr(torch.onnx, "export", lambda model, *args, **kwargs: export(other, *args, **kwargs))
    monkeypatch.setattr(torch.jit, "trace", lambda model, *args: trace(other, *args))

    with pytest.raises(MedbenchError, match=r"the exported model's logits differ from torch's by .*; not written"):
        write(model, SIZE)


def test_a_model_that_cannot_be_exported_is_told_in_one_line() -> None:
    with pytest.raises(MedbenchError, match="cannot be exported to ONNX: ") as caught:
        to_onnx(Reading(), SIZE)

    assert "\n" not in str(caught.value)


def test_without_the_runtimes_the_extra_is_named(file: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "openvino":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(MedbenchError, match=r"openvino is not installed: pip install 'medbench\[deploy\]'"):
        exporting.openvino_session(file, threads=1)


def export(*words: object) -> Any:
    return CliRunner().invoke(app, ["export", *map(str, words)])


@pytest.mark.parametrize("to", ["onnx", "torchscript"])
def test_a_trial_is_exported_by_the_beginning_of_its_id_or_its_folder(
    small_store: Path, tmp_path: Path, to: str
) -> None:
    store = Store(small_store)
    [id, *_] = sorted(path.name for path in (small_store / "trials").iterdir())

    where = [small_store / "trials" / id] if to == "torchscript" else [id[:6], "--store", small_store]
    done = export(*where, "--to", to, "-o", tmp_path / "a")

    assert done.exit_code == 0, done.output
    assert "any batch; logits as torch's to 1e-4" in done.stdout
    if to == "onnx":
        with torch.no_grad():
            wanted = trained_model(store, id)(images(2)).numpy()
        found = onnxruntime_session((tmp_path / "a").read_bytes(), threads=1)(images(2).numpy())
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_integers_are_exported_with_ranges_of_training_images(small_store: Path, tmp_path: Path) -> None:
    [id, *_] = sorted(path.name for path in (small_store / "trials").iterdir())

    done = export(id, "--to", "onnx", "--int8", "--store", small_store, "-o", tmp_path / "a.onnx")

    assert done.exit_code == 0, done.output
    assert "integers" in done.stdout
    assert onnxruntime_session((tmp_path / "a.onnx").read_bytes(), threads=1)(images(2).numpy()).shape == (2, 1, 64, 64)


@pytest.mark.parametrize(
    ("kind", "shape", "notes", "told"),
    [
        (
            "trained_on_classes",
            (1, 3),
            {"classes": '["background", "cell", "nucleus"]', "input": "grey, upright, squeezed to a square"},
            "maps in order: background, cell, nucleus; softmax, for probabilities, is left to you",
        ),
        (
            "trained_on_labels",
            (5, 2),
            {"labels": '["disc", "cup"]', "input": "5 channels, upright, squeezed to a square"},
            "maps in order: disc, cup; sigmoid, for probabilities, is left to you",
        ),
    ],
)
def test_maps_of_several_classes_are_exported_and_named_in_their_order(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, shape: tuple[int, int], notes: dict[str, str], told: str
) -> None:
    trained: Trained = request.getfixturevalue(kind)
    channels, maps = shape
    image = torch.randn(2, channels, 64, 64, generator=torch.Generator().manual_seed(0))
    done = [
        export(trained.trial, "--store", trained.store, "--to", to, "-o", tmp_path / to)
        for to in ("onnx", "torchscript")
    ]

    assert [each.exit_code for each in done] == [0, 0], done[0].output
    assert told in done[0].stdout
    with torch.no_grad():
        wanted = trained_model(Store(trained.store), trained.trial)(image).numpy()
    content = (tmp_path / "onnx").read_bytes()
    np.testing.assert_allclose(onnxruntime_session(content, threads=1)(image.numpy()), wanted, atol=1e-4)
    assert wanted.shape == (2, maps, 64, 64)
    with pytest.warns(FutureWarning, match="deprecated"):
        script = torch.jit.load(tmp_path / "torchscript")
    np.testing.assert_allclose(script(image).detach().numpy(), wanted, atol=1e-4)
    read: Any = onnx.load_from_string(content)
    found = {each.key: each.value for each in read.metadata_props}
    for key, value in notes.items():
        assert found[key].startswith(value)
    assert literal_eval(found["mean"]) == pytest.approx([0.449] * channels)  # of what RGB has, the mean
    config = Store(trained.store).config(trained.trial)
    assert ("window" in found) == ("window" in config["source"])
    if "window" in found:
        assert [*literal_eval(found["window"])] == config["source"]["window"]


class Pointwise(torch.nn.Conv2d):
    """Of torch's options."""


def test_a_model_is_exported_before_it_is_trained(tmp_path: Path) -> None:
    options = ("--options", "{in_channels: 3, out_channels: 1, kernel_size: 1}", "--size", 48)

    done = export(f"{__name__}:Pointwise", "--to", "onnx", *options, "-o", tmp_path / "a.onnx")

    assert done.exit_code == 0, done.output
    assert "48x48, any batch; random weights, nothing is trained" in done.stdout
    content = (tmp_path / "a.onnx").read_bytes()
    assert onnxruntime_session(content, threads=1)(np.zeros((2, 3, 48, 48), np.float32)).shape == (2, 1, 48, 48)
    read: Any = onnx.load_from_string(content)
    notes = {each.key: each.value for each in read.metadata_props}
    assert (notes["model"], notes["weights"]) == (f"{__name__}:Pointwise", "random")


class Squashed(torch.nn.Conv2d):
    """Ends in a sigmoid."""

    def __init__(self) -> None:
        super().__init__(3, 1, 1)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).sigmoid()


def test_a_network_by_name_is_exported_as_what_it_gives(tmp_path: Path) -> None:
    words = (f"{__name__}:Squashed", "--to", "onnx", "--size", 48, "-o", tmp_path / "a.onnx")

    refused, done = export(*words), export(*words, "--output", "{kind: probabilities}")

    assert refused.exit_code == 2
    assert "say output: {kind: probabilities}" in refused.stderr
    assert done.exit_code == 0, done.output
    found = onnxruntime_session((tmp_path / "a.onnx").read_bytes(), threads=1)(images(2)[..., :48, :48].numpy())
    assert found.min() < 0  # logits


def test_a_trial_has_its_own_options_and_size(small_store: Path, tmp_path: Path) -> None:
    [id, *_] = sorted(path.name for path in (small_store / "trials").iterdir())

    done = export(id, "--to", "onnx", "--size", 64, "--store", small_store, "-o", tmp_path / "a.onnx")

    assert done.exit_code == 2
    assert "leave out --size" in done.stderr


def test_a_folder_is_no_file_to_write(small_store: Path, tmp_path: Path) -> None:
    [id, *_] = sorted(path.name for path in (small_store / "trials").iterdir())

    done = export(id, "--to", "onnx", "--store", small_store, "-o", tmp_path)

    assert done.exit_code == 2
    assert "is a folder; name the file to write" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuch", "--to", "onnx"], "unknown model 'nosuch'"),
        (["beef", "--to", "onnx"], "no finished trial begins with 'beef'"),
        (["medlitenet", "--to", "onnx", "--options", "{widht: 8}"], "Did you mean 'width'?"),
        (["medlitenet", "--to", "onnx", "--options", "width"], "--options width: write a mapping"),
        (["medlitenet", "--to", "onnx", "--int8"], "--int8: takes ranges from the training images of a trial"),
        (["medlitenet", "--to", "onnx", "--size", "40"], "of 40 pixels in training: 40x40 is no multiple"),
        ([f"{__name__}:Pair", "--to", "onnx"], "gives 2 maps of (2, 1, 256, 256)"),
        ([f"{__name__}:Asking", "--to", "onnx"], "data-dependent"),
        (["x", "--to", "torchscript", "--int8"], "--int8: only with --to onnx"),
    ],
)
def test_mistakes_are_told_in_one_line(small_store: Path, tmp_path: Path, words: list[str], said: str) -> None:
    done = export(*words, "--store", small_store, "-o", tmp_path / "a")

    assert done.exit_code == 2
    assert said in done.stderr
    assert not (tmp_path / "a").exists()
