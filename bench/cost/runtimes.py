"""The ways to run a model that `medbench latency` can time, each for the devices and data types that it serves."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...models.fusing import fused
from ...models.heads import segmentation_only
from ..errors import MedbenchError, first_line
from ..quiet import quietly
from ..training.compiling import compiled_model
from .exporting import onnxruntime_session, openvino_session, to_int8, to_onnx

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "int8": torch.float32}
Run = Callable[[], Any]


class Subject:
    """A model to be timed: fused for torch's own runtimes, and exported when another first asks for it. It is exported
    as it was, for runtimes fold norms themselves, and OpenVINO's integers lose more where torch has done it before.

    Args:
        name: what it is called.
        model: images (B, C, H, W) to logits (B, K, H, W), on the CPU in single precision; its heads, if it has any, are
            left out.
        size: pixels a side.
        calibration: inputs (1, C, size, size) that ranges of integers are taken from. Noise where there are none: what
            such a model computes is of no use, but it costs the same.
        channels: C.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        size: int,
        calibration: Sequence[NDArray[np.float32]] | None = None,
        *,
        channels: int = 3,
    ) -> None:
        self.name = name
        self.size = size
        self.channels = channels
        self.plain = segmentation_only(model).eval()
        try:
            self.fused = fused(self.plain, torch.rand(1, channels, size, size))
        except Exception as error:  # of a size that it does not take, say
            raise MedbenchError(f"{name} does not run on an image of {size} pixels: {first_line(error)}") from error
        self.compiled: dict[tuple[torch.Size, str], Run] = {}
        self.calibration = calibration or list(
            np.random.default_rng(0).random((4, 1, channels, size, size), dtype=np.float32)
        )

    @cached_property
    def onnx(self) -> bytes:
        """The model as ONNX."""
        return to_onnx(self.plain, self.size, channels=self.channels)

    @cached_property
    def int8(self) -> bytes:
        """The same in 8-bit integers."""
        return to_int8(self.onnx, self.calibration)


@dataclass(frozen=True, slots=True)
class Runtime:
    """How it is called in tables, what it serves, and how a model is prepared to be run on an image again and again."""

    label: str
    devices: tuple[str, ...]
    dtypes: tuple[str, ...]
    prepare: Callable[[Subject, Tensor, str], Run]


def _eager(subject: Subject, image: Tensor, dtype: str) -> Run:
    model = _placed(subject, image)

    def run() -> Tensor:
        with torch.inference_mode():
            return model(image)

    return run


def _compiled(subject: Subject, image: Tensor, dtype: str) -> Run:
    """Compiled once, because it takes long."""
    key = image.shape, dtype
    if key not in subject.compiled:
        subject.compiled[key] = _compile(subject, image)
    return subject.compiled[key]


def _compile(subject: Subject, image: Tensor) -> Run:
    model = compiled_model(
        _placed(subject, image), {"freezing": True, "triton.cudagraphs": image.device.type == "cuda"}
    )

    def run() -> Tensor:
        with torch.inference_mode():
            return model(image)

    try:
        with quietly():
            run()
    except Exception as error:  # without a compiler, say, or of a model that it cannot read
        raise MedbenchError(f"{subject.name} cannot be compiled: {first_line(error)}") from error
    return run


def _graph(subject: Subject, image: Tensor, dtype: str) -> Run:
    """Captured after passes on a stream of its own, as torch asks."""
    run = _eager(subject, image, dtype)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = run()
    kept = graph, logits, run  # with its weights, which a graph does not hold

    def replay() -> Tensor:
        kept[0].replay()
        return kept[1]

    return replay


def _onnxruntime(subject: Subject, image: Tensor, dtype: str) -> Run:
    model = subject.int8 if dtype == "int8" else subject.onnx
    session, array = onnxruntime_session(model, threads=torch.get_num_threads()), _array(image)
    return lambda: session(array)


def _openvino(subject: Subject, image: Tensor, dtype: str) -> Run:
    model = subject.int8 if dtype == "int8" else subject.onnx
    session = openvino_session(model, threads=torch.get_num_threads(), shape=image.shape)
    array = _array(image)
    return lambda: session(array)


def _placed(subject: Subject, image: Tensor) -> nn.Module:
    return copy.deepcopy(subject.fused).to(image.device, image.dtype)


def _array(image: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(image.numpy())


RUNTIMES = {
    "eager": Runtime("torch eager", ("cpu", "cuda"), ("fp32", "fp16", "bf16"), _eager),
    "compiled": Runtime("torch compiled", ("cpu", "cuda"), ("fp32", "fp16", "bf16"), _compiled),
    "graph": Runtime("torch CUDA graph", ("cuda",), ("fp32", "fp16", "bf16"), _graph),
    "onnxruntime": Runtime("ONNX Runtime", ("cpu",), ("fp32", "int8"), _onnxruntime),
    "openvino": Runtime("OpenVINO", ("cpu",), ("fp32", "int8"), _openvino),
}
