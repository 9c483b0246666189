"""MALUNet (Ruan et al. 2022, arXiv 2211.01784): a U of six stages with dilated gated attention, inverted external
attention, and one attention bridge for all skip connections.

The public code (JCruan519/MALUNet) settled what the paper leaves open: dilations 7, 5, 2, 1 in this order, group norms
of 4 groups, GELU, bilinear interpolation with corners on corners, the attention's memory four times as wide as
the map, and how weights are drawn.

Shapes: B = batch, C, D = channels, K = slots of memory, H, W = height and width, N = H * W.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .six_stages import GROUPS, WIDTHS, BridgedStages, initialise

DILATIONS = (7, 5, 2, 1)
SLOTS = 4  # of memory, times the channels


class MALUNet(BridgedStages):
    """Six stages whose inner ones are external attention and dilated gated attention, in mirrored order in the decoder.

    Args:
        widths: channels of the stages.
        maps: channels of the logits.
        channels: of the images.
    """

    def __init__(self, *, widths: Sequence[int] = WIDTHS, maps: int = 1, channels: int = 3) -> None:
        super().__init__(
            widths,
            down=lambda a, b: nn.Sequential(ExternalAttention(a), DilatedGatedAttention(a, b)),
            up=lambda a, b: nn.Sequential(DilatedGatedAttention(a, b), ExternalAttention(b)),
            maps=maps,
            channels=channels,
        )
        self.apply(initialise)
        for each in self.modules():
            if isinstance(each, ExternalAttention):
                each.share()


class ExternalAttention(nn.Module):
    """The paper's IEA: tokens ask a learned memory that is wider than they are, with a residual.

    Each slot spreads its attention over all tokens of an image (softmax over N), then slots are normalised at each
    token; so images do not see each other.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = nn.Conv2d(channels, channels, 1)
        self.ask = nn.Conv1d(channels, SLOTS * channels, 1, bias=False)
        self.answer = nn.Conv1d(SLOTS * channels, channels, 1, bias=False)
        self.after = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, channels)

    def share(self) -> None:
        """Questions and answers start as one memory. The public code binds them, which its move to a GPU undoes."""
        with torch.no_grad():
            self.ask.weight.copy_(self.answer.weight.transpose(0, 1))

    def forward(self, x_bchw: Tensor) -> Tensor:
        attention_bkn = self.ask(self.before(x_bchw).flatten(2)).softmax(dim=2)
        attention_bkn = attention_bkn / (attention_bkn.sum(dim=1, keepdim=True) + 1e-9)
        recalled_bchw = self.answer(attention_bkn).unflatten(2, x_bchw.shape[2:])
        return F.gelu(x_bchw + self.norm(self.after(recalled_bchw)))


class DilatedGatedAttention(nn.Module):
    """The paper's DGA: a quarter of the channels each at its own dilation, mixed, then gated by a 3x3 neighbourhood."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        quarter = in_channels // len(DILATIONS)
        self.quarters = nn.ModuleList(
            nn.Conv2d(quarter, quarter, 3, padding=each, dilation=each, groups=quarter) for each in DILATIONS
        )
        self.norm = nn.GroupNorm(GROUPS, in_channels)
        self.mix = nn.Conv2d(in_channels, in_channels, 1)
        self.gate = separable(in_channels, in_channels, 3)
        self.value = separable(in_channels, in_channels, 5)
        self.out = separable(in_channels, out_channels, 3)
        self.residual = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x_bchw: Tensor) -> Tensor:
        parts = x_bchw.chunk(len(DILATIONS), dim=1)
        x_bchw = torch.cat([layer(part) for layer, part in zip(self.quarters, parts, strict=True)], dim=1)
        x_bchw = F.gelu(self.mix(self.norm(x_bchw)))
        gated_bchw = self.gate(x_bchw).sigmoid() * F.gelu(self.value(x_bchw))
        return F.gelu(self.out(gated_bchw)) + self.residual(x_bchw)


def separable(in_channels: int, out_channels: int, kernel_size: int) -> nn.Module:
    """Depth-wise convolution, group norm, point-wise convolution."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, kernel_size, padding=kernel_size // 2, groups=in_channels),
        nn.GroupNorm(GROUPS, in_channels),
        nn.Conv2d(in_channels, out_channels, 1),
    )
