"""What a model costs on paper: parameters and multiply-accumulates, counted one way for all models."""

from collections.abc import Callable

import torch
from torch import nn
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
