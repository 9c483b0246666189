"""UltraLight VM-UNet (Wu et al. 2024, arXiv 2403.20035): a U of six stages whose inner ones run one small Mamba over
quarters of the channels, and MALUNet's attention bridge.

The public code (wurenkai/UltraLight-VM-UNet) settled what the paper leaves open: that the quarters share one Mamba
and one factor of the residual, that one norm stands before and after it, and that weights are drawn as MALUNet's are.
That takes from Mamba its own start: steps begin at softplus(0) = 0.69 instead of between 0.001 and 0.1. We follow it,
because the published scores are of models that began so.

Shapes: B = batch, L = tokens, C, D = channels, P = parts, H, W = height and width.
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .selective_scan import selective_scan
from .six_stages import WIDTHS, BridgedStages, initialise

STATE = 16  # numbers that a channel of Mamba remembers
EXPANSION = 2  # of Mamba's channels
KERNEL = 4  # tokens that its convolution sees


class UltraLightVMUNet(BridgedStages):
    """Six stages whose inner ones are the parallel vision Mamba layer.

    Args:
        widths: channels of the stages.
        parts: that the channels are split into, each seen by Mamba on its own; the paper's ablation has 1, 2 and 4.
        maps: channels of the logits.
        channels: of the images.
    """

    def __init__(self, *, widths: Sequence[int] = WIDTHS, parts: int = 4, maps: int = 1, channels: int = 3) -> None:
        block = partial(ParallelMamba, parts=parts)
        super().__init__(widths, down=block, up=block, maps=maps, channels=channels)
        self.apply(initialise)


class ParallelMamba(nn.Module):
    """The paper's PVM layer: the parts of the channels pass through one Mamba, with a residual, and are mixed.

    Args:
        in_channels: C of the input; a multiple of `parts`.
        out_channels: D of the output.
        parts: P.
    """

    def __init__(self, in_channels: int, out_channels: int, *, parts: int) -> None:
        super().__init__()
        if in_channels % parts:
            raise ValueError(f"{in_channels} channels are no multiple of {parts} parts")
        self.parts = parts
        self.norm = nn.LayerNorm(in_channels)
        self.mamba = Mamba(in_channels // parts)
        self.scale = nn.Parameter(torch.ones(1))
        self.mix = nn.Linear(in_channels, out_channels)

    def forward(self, x_bchw: Tensor) -> Tensor:
        x_blc = self.norm(x_bchw.flatten(2).transpose(1, 2))
        parts = x_blc.unflatten(2, (self.parts, -1)).transpose(1, 2).flatten(0, 1)  # (B * P, L, C / P)
        parts = self.mamba(parts) + self.scale * parts
        x_blc = parts.unflatten(0, (-1, self.parts)).transpose(1, 2).flatten(2)
        return self.mix(self.norm(x_blc)).transpose(1, 2).unflatten(2, x_bchw.shape[2:])


class Mamba(nn.Module):
    """Gu and Dao's block: a short causal convolution and a selective scan, gated; tokens (B, L, C) to the same.

    Source: arXiv 2312.00752, section 3.4, with the sizes that its public code (state-spaces/mamba) sets by default.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width, self.rank = EXPANSION * channels, math.ceil(channels / 16)
        self.expand = nn.Linear(channels, 2 * width, bias=False)
        self.convolve = nn.Conv1d(width, width, KERNEL, padding=KERNEL - 1, groups=width)
        self.select = nn.Linear(width, self.rank + 2 * STATE, bias=False)
        self.step = nn.Linear(self.rank, width)
        self.log_rate = nn.Parameter(torch.arange(1.0, STATE + 1).log().repeat(width, 1))
        self.skip = nn.Parameter(torch.ones(width))
        self.project = nn.Linear(width, channels, bias=False)

    def forward(self, x_blc: Tensor) -> Tensor:
        x_bld, gate_bld = self.expand(x_blc).chunk(2, dim=2)
        convolved_bdl = self.convolve(x_bld.transpose(1, 2))[..., : x_blc.shape[1]]  # no token sees a later one
        x_bld = F.silu(convolved_bdl).transpose(1, 2)
        step_blr, write_bln, read_bln = self.select(x_bld).split([self.rank, STATE, STATE], dim=2)
        step_bld = F.softplus(self.step(step_blr).to(self.log_rate.dtype))  # as the scan, in mixed precision too
        y_bld = selective_scan(x_bld, step_bld, -self.log_rate.exp(), write_bln, read_bln)
        return self.project((y_bld + self.skip * x_bld) * F.silu(gate_bld))
