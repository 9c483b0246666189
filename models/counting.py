"""What a model costs on paper: parameters, multiply-accumulates and memory, counted one way for all models."""

import weakref
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from ..bench.quiet import quietly


class Counts(TypedDict):
    """What a model costs for one image; None what could not be counted, because it does not run on such an image."""

    parameters: int
    macs: int | None
    weight_bytes: int
    activation_bytes: int | None


def count_parameters(model: nn.Module) -> int:
    """All parameters, trained or not."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(build: Callable[[], nn.Module], size: int = 256, channels: int = 3) -> int | None:
    """Multiply-accumulates of one (1, channels, size, size) image: matrix products and convolutions, as torch counts.

    Half of the floating-point operations of torch's flop counter, which sees what runs, attention included, and
    leaves out element-wise work, norms and interpolation. None where the model does not run on such an image.
    """

    def count(model: nn.Module, image: Tensor) -> int:
        with FlopCounterMode(display=False) as counter:
            model(image)
        return counter.get_total_flops() // 2

    return _counted(count, build, size, channels)


def count_weight_bytes(model: nn.Module) -> int:
    """Size of the weights in single precision, running statistics of norms included: that of a file of them."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def count_activation_bytes(build: Callable[[], nn.Module], size: int = 256, channels: int = 3) -> int | None:
    """The most memory that activations hold at one time while one (1, channels, size, size) float32 image runs through.

    Counted over torch's own operations, the image included, the weights and scratch memory inside an operation not; an
    activation counts until nothing refers to it. None where the model does not run on such an image.
    """

    def count(model: nn.Module, image: Tensor) -> int:
        with _Live(model, image) as live:
            model(image)
        return live.peak

    return _counted(count, build, size, channels)


def cost(build: Callable[[], nn.Module], size: int = 256, channels: int = 3) -> Counts:
    """All of it, for one image of size x size pixels and so many channels."""
    model = build()
    return {
        "parameters": count_parameters(model),
        "macs": count_macs(build, size, channels),
        "weight_bytes": count_weight_bytes(model),
        "activation_bytes": count_activation_bytes(build, size, channels),
    }


def _counted(
    count: Callable[[nn.Module, Tensor], int], build: Callable[[], nn.Module], size: int, channels: int
) -> int | None:
    """What a pass on the meta device counts, without memory or time; on a CPU where the model asks what its numbers
    are, which are nowhere there. A CPU's own kernels of attention would hide its products from the counters."""
    for device in ("meta", "cpu"):
        plain = sdpa_kernel(SDPBackend.MATH) if device == "cpu" else nullcontext()
        try:
            with (
                quietly(),
                torch.random.fork_rng(devices=[]),
                torch.device(device),
                torch.inference_mode(),
                _usual_kernels(),
                plain,
            ):
                return count(build().to(device).eval(), torch.rand(1, channels, size, size))
        except Exception:  # whatever a network makes of an image, or of a device
            continue
    return None


@contextmanager
def _usual_kernels() -> Generator[None]:
    """Not the deterministic ones that training asks for: some hold several times the memory."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


class _Live(TorchDispatchMode):
    """Follows every storage that is made while it is active."""

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        super().__init__()
        self.seen = {each.untyped_storage()._cdata for each in (*model.parameters(), *model.buffers())}
        self.bytes = self.peak = 0
        self._note(image)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor):
                self._note(each)
        return result

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, n_bytes = storage._cdata, storage.nbytes()
        if key in self.seen:
            return
        self.seen.add(key)
        self.bytes += n_bytes
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._forget, key, n_bytes)

    def _forget(self, key: int, n_bytes: int) -> None:
        self.seen.discard(key)
        self.bytes -= n_bytes
