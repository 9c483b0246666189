"""What a model costs on paper: parameters, multiply-accumulates and memory, counted one way for all models."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """All parameters, trained or not."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(build: Callable[[], nn.Module], size: int = 256) -> int:
    """Multiply-accumulates of one (1, 3, size, size) image: matrix products and convolutions, as torch counts them.

    Half of the floating-point operations of torch's flop counter, which sees what runs, attention included, and
    leaves out element-wise work, norms and interpolation. The model is built on the meta device: no memory, no time.
    """
    with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        build().eval()(torch.empty(1, 3, size, size))
    return counter.get_total_flops() // 2


def count_weight_bytes(model: nn.Module) -> int:
    """Size of the weights in single precision, running statistics of norms included: that of a file of them."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def count_activation_bytes(build: Callable[[], nn.Module], size: int = 256) -> int:
    """The most memory that activations hold at one time while one (1, 3, size, size) float32 image runs through.

    Counted over torch's own operations, the image included, the weights and scratch memory inside an operation not; an
    activation counts until nothing refers to it. The model is built on the meta device.
    """
    with torch.device("meta"), torch.inference_mode():
        model, image = build().eval(), torch.empty(1, 3, size, size)
        with _Live(model, image) as live:
            model(image)
    return live.peak


def cost(build: Callable[[], nn.Module], size: int = 256) -> dict[str, int]:
    """parameters, macs, weight_bytes, and activation_bytes of one image of size x size pixels."""
    model = build()
    return {
        "parameters": count_parameters(model),
        "macs": count_macs(build, size),
        "weight_bytes": count_weight_bytes(model),
        "activation_bytes": count_activation_bytes(build, size),
    }


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
