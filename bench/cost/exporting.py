"""Models as files that run without medbench: ONNX, TorchScript, and ONNX in 8-bit integers.

Shapes: B = batch, C = channels of the images, K = maps of logits, S = size.
"""

import io
import json
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import chdir, contextmanager
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...models.heads import segmentation_only
from ..errors import MedbenchError, first_line
from ..metrics import LESION, Target
from ..quiet import quietly
from ..training.batches import normalisation

OPSET = 20
TOLERANCE = 1e-4  # of logits, relative to the largest where that is above 1
HOW_TO = "upright, squeezed to a square by averaging areas, from 0 to 1, less mean, over deviation"
IN_STEPS = "between which values are rounded to steps of 1/255 before anything else"  # for the model saw 8 bits
BATCHES = (1, 3)  # that an exported model is tried on
INPUT, OUTPUT = "image", "logits"
P = ParamSpec("P")
R = TypeVar("R")


def needs_extra(function: Callable[P, R]) -> Callable[P, R]:
    """Tells of the extra where a runtime is not installed."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            raise MedbenchError(f"{error.name} is not installed: pip install 'medbench[deploy]'") from error

    return wrapped


@needs_extra
def to_onnx(
    model: nn.Module,
    size: int,
    notes: Mapping[str, str] | None = None,
    *,
    channels: int = 3,
    target: Target = LESION,
    window: Sequence[float] | None = None,
) -> bytes:
    """An ONNX file: float32 `image` (B, C, S, S), normalised as training did, to float32 `logits` (B, K, S, S), any B.
    Softmax or sigmoid, where probabilities are wanted, are left to who runs it.

    Args:
        model: on the CPU, in evaluation mode; its heads, if it has any, are left out.
        size: S.
        notes: kept in the file's metadata, beside the input's mean and deviation and what the maps mean.
        channels: C.
        target: what the maps mean.
        window: the two values between which images of more than 8 bits are seen, 0 and 1 of the input.

    Raises:
        MedbenchError: torch cannot export the model, or the file computes something else than the model.
    """
    import_module("onnxruntime")  # whose absence is told before the export, which takes a while
    model = segmentation_only(model)
    _check_logits(model, size, channels)
    with quietly(), _telling_of("ONNX"):
        program = torch.onnx.export(
            model,
            (torch.rand(2, channels, size, size),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    for key, value in {**_facts(channels, target, window), **(notes or {})}.items():
        proto.metadata_props.add(key=key, value=value)
    content = proto.SerializeToString()
    run = onnxruntime_session(content, threads=1)
    _check_same(model, lambda image: torch.from_numpy(run(image.numpy())), size, channels, "ONNX")
    return content


def _facts(channels: int, target: Target, window: Sequence[float] | None) -> dict[str, str]:
    """What whoever runs an exported model must know, by key of the file's metadata."""
    mean, deviation = normalisation(channels)
    kind = {3: "RGB", 1: "grey"}.get(channels, f"{channels} channels")
    facts = {"mean": repr(mean), "deviation": repr(deviation), "input": f"{kind}, {HOW_TO}"}
    if window:
        facts |= {
            "window": repr(tuple(window)),
            "input": f"{kind}, {HOW_TO}; 0 and 1 are the ends of the window, {IN_STEPS}",
        }
    facts["output"] = "logits, lesion above 0"
    if target.overlap:
        facts |= {
            "labels": json.dumps(target.names),
            "output": "logits of the labels, each above 0; sigmoid is left out",
        }
    elif not target.is_single:
        names = json.dumps((target.background, *target.names))
        facts |= {"classes": names, "output": "logits of the classes, the highest is a pixel's; softmax is left out"}
    return facts


def to_torchscript(model: nn.Module, size: int, *, channels: int = 3) -> bytes:
    """A TorchScript file of the same inputs and outputs, traced; MedbenchError where it computes something else."""
    model = segmentation_only(model)
    _check_logits(model, size, channels)
    with quietly(), _telling_of("TorchScript"), torch.inference_mode():
        traced: Any = torch.jit.trace(model, torch.rand(2, channels, size, size))  # pyright: ignore[reportUnknownMemberType]
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer)
    _check_same(model, traced, size, channels, "TorchScript")
    return buffer.getvalue()


@needs_extra
def to_int8(onnx_model: bytes, calibration: Sequence[NDArray[np.float32]]) -> bytes:
    """The ONNX model in 8-bit integers: weights signed, one scale a channel; activations unsigned, their ranges the
    extremes that the calibration images drive them to (post-training quantization, QDQ format).

    Processors with AVX2 and no VNNI add two products in 16 bits, and cut off what does not fit: two weights of 127 make
    it another model there. So a channel's scale leaves its two largest weights of one sign a sum of 128 at most, which
    fits beside any activation, 255 * 128 < 2 ** 15. Weights of 7 bits fit as well and lose more; unsigned ones are as
    right, and slower than no integers at all where there is VNNI.

    Args:
        onnx_model: what `to_onnx` gave.
        calibration: inputs (B, C, S, S) of the kind that the model will meet, of training images say.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter(calibration)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            image = next(self.images, None)
            return None if image is None else {INPUT: image}

    # ONNX Runtime leaves a file where it is when it does not find every shape by symbols.
    with tempfile.TemporaryDirectory() as folder, chdir(folder), quietly():
        given, prepared, made = (Path(folder) / name for name in ("given.onnx", "prepared.onnx", "int8.onnx"))
        given.write_bytes(onnx_model)
        try:
            quant_pre_process(given, prepared)
        except Exception:  # it says no more where it does not find every shape by symbols; numbers are enough
            quant_pre_process(given, prepared, skip_symbolic_shape=True)
        spared = {"TensorQuantOverrides": _spared(onnx.load(prepared))}
        quantize_static(
            prepared,
            made,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,  # 7 bits, of weights that are not spared
            extra_options=spared,
        )
        return made.read_bytes()


def _spared(model: Any) -> dict[str, list[dict[str, Any]]]:
    """For each tensor of weights the range of each channel that stands for -127 to 127: from minus to plus the sum of
    its two largest weights of one sign. Rounding adds one to what they come to."""
    from onnx import numpy_helper
    from onnxruntime.quantization import QuantType

    weights = {each.name: each for each in model.graph.initializer}
    found: dict[str, list[dict[str, Any]]] = {}
    for node in model.graph.node:
        axis = {"Conv": 0, "ConvTranspose": 1, "MatMul": -1}.get(node.op_type)
        if axis is None or node.input[1] not in weights:
            continue
        tensor = numpy_helper.to_array(weights[node.input[1]])
        axis %= tensor.ndim
        channels = np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
        signs = np.stack([np.maximum(channels, 0), np.maximum(-channels, 0)])  # (2, channels, weights of each)
        reach = np.sort(signs, axis=2)[..., -2:].sum(axis=2).max(axis=0).clip(1e-9).astype(np.float32)
        shared = {"quant_type": QuantType.QInt8, "symmetric": True, "reduce_range": False}
        found[node.input[1]] = [{**shared, "rmin": -each, "rmax": each} for each in reach]
        found[node.input[1]][0]["axis"] = axis
    return found


@needs_extra
def onnxruntime_session(model: bytes, *, threads: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Runs an ONNX model in ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda image: session.run([OUTPUT], {INPUT: image})[0]


@needs_extra
def openvino_session(
    model: bytes, *, threads: int, shape: Sequence[int] | None = None
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Runs an ONNX model in OpenVINO on the CPU, for inputs of one `shape` where it is told, which is faster."""
    import openvino

    core = openvino.Core()
    read = core.read_model(model)
    if shape:
        read.reshape(list(shape))
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(read, "CPU", settings).create_infer_request()
    return lambda image: request.infer({INPUT: image})[0]


def _check_logits(model: nn.Module, size: int, channels: int) -> None:
    """Whether there is one output to export."""
    try:
        with quietly(), torch.inference_mode():
            given = model(torch.rand(1, channels, size, size))
    except Exception as error:  # of a size that it does not take, say
        raise MedbenchError(f"this model does not run on an image of {size} pixels: {first_line(error)}") from error
    if not isinstance(given, Tensor):
        raise MedbenchError(f"this model gives {type(given).__name__}, not one map; only logits can be exported")


def _check_same(model: nn.Module, run: Callable[[Tensor], Tensor], size: int, channels: int, what: str) -> None:
    generator = torch.Generator().manual_seed(0)
    for batch in BATCHES:
        image = torch.randn(batch, channels, size, size, generator=generator)
        with torch.inference_mode():
            wanted, found = model(image), run(image)
        error = float((wanted - found).abs().max()) / max(1.0, float(wanted.abs().max()))
        if not error <= TOLERANCE:
            raise MedbenchError(f"{what}: the exported model's logits differ from torch's by {error:.2g}; not written")


@contextmanager
def _telling_of(what: str) -> Generator[None]:
    try:
        yield
    except ModuleNotFoundError:
        raise
    except Exception as error:  # exporters fail in many ways, each with pages of text around the reason
        reason: BaseException = error
        while reason.__cause__:
            reason = reason.__cause__
        raise MedbenchError(f"this model cannot be exported to {what}: {first_line(reason)}") from error
