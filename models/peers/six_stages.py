"""The U of six stages that MALUNet, EGE-UNet and UltraLight VM-UNet share, and the bridge that two of them share.

Shapes: B = batch, K = maps of logits, C, D = channels, H, W = height and width.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks import check_size

STAGES = 6
STRIDE = 2 ** (STAGES - 1)
GROUPS = 4  # of every norm
WIDTHS = (8, 16, 24, 32, 48, 64)  # of the stages, in all three papers
Block = Callable[[int, int], nn.Module]  # of input and output channels, at the same height and width


class SixStages(nn.Module):
    """Encoder and decoder: the three outer stages are a 3x3 convolution, the three inner ones a family's own block.

    Args:
        widths: channels of the six stages, each a multiple of 4.
        down: builds the block of an inner stage of the encoder.
        up: builds that of the decoder.
        maps: K, channels of the logits.
        channels: C of the images.
    """

    def __init__(self, widths: Sequence[int], down: Block, up: Block, *, maps: int, channels: int) -> None:
        super().__init__()
        if len(widths) != STAGES or any(width % GROUPS for width in widths):
            raise ValueError(f"widths {list(widths)} are not {STAGES} multiples of {GROUPS}")
        there, back = list(pairwise([channels, *widths])), list(pairwise(reversed(widths)))
        self.down = nn.ModuleList([*(_convolution(*each) for each in there[:3]), *(down(*each) for each in there[3:])])
        self.down_norms = nn.ModuleList(nn.GroupNorm(GROUPS, width) for width in widths[:-1])
        self.up = nn.ModuleList([*(up(*each) for each in back[:3]), *(_convolution(*each) for each in back[3:])])
        self.up_norms = nn.ModuleList(nn.GroupNorm(GROUPS, width) for _, width in back)
        self.head = nn.Conv2d(widths[0], maps, 1)

    def encode(self, image_bchw: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps at strides 2 to 32, and the deepest one, at stride 32 too, of images (B, C, H, W).

        Raises:
            ValueError: H or W is no multiple of 32.
        """
        check_size(image_bchw, STRIDE)
        x_bchw, skips = image_bchw, list[Tensor]()
        for norm, stage in zip(self.down_norms, self.down, strict=False):
            x_bchw = F.gelu(F.max_pool2d(norm(stage(x_bchw)), 2))
            skips.append(x_bchw)
        return skips, F.gelu(self.down[-1](x_bchw))

    def decode(self, level: int, x_bchw: Tensor) -> Tensor:
        """A stage of the decoder, the deepest of which is 0 and keeps height and width; the others double them."""
        x_bchw = self.up_norms[level](self.up[level](x_bchw))
        return F.gelu(enlarge(x_bchw) if level else x_bchw)

    def logits(self, x_bchw: Tensor) -> Tensor:
        """Logits (B, K, H, W) of the last map, which is half as high and wide."""
        return enlarge(self.head(x_bchw))


class BridgedStages(SixStages):
    """The same where all skip connections pass one attention bridge."""

    def __init__(self, widths: Sequence[int], down: Block, up: Block, *, maps: int, channels: int) -> None:
        super().__init__(widths, down, up, maps=maps, channels=channels)
        self.bridge = AttentionBridge(widths[:-1])

    def forward(self, image_bchw: Tensor) -> Tensor:
        """Logits (B, K, H, W) of images (B, C, H, W); H and W multiples of 32, else ValueError."""
        skips, x_bchw = self.encode(image_bchw)
        for level, skip in enumerate(reversed(self.bridge(skips))):
            x_bchw = self.decode(level, x_bchw) + skip
        return self.logits(x_bchw)


class AttentionBridge(nn.Module):
    """MALUNet's spatial (SAB) and channel (CAB) attention bridges, one after the other, each with its residual.

    Where: one convolution for all stages looks at the mean and the maximum over channels. Which: the means of all
    channels of all stages, smoothed along the channels, decide together about each of them. One linear layer for all
    stages is the paper's one a stage, written at once.

    Args:
        widths: channels of the maps.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = list(widths)
        self.where = nn.Conv2d(2, 1, 7, padding=9, dilation=3)
        self.smooth = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.which = nn.Linear(sum(widths), sum(widths))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps of the same shapes."""
        placed = [self.place(each) * each for each in maps]
        both = [a + b for a, b in zip(placed, maps, strict=True)]
        means_b1c = torch.cat([each.mean(dim=(2, 3)) for each in both], dim=1).unsqueeze(1)
        gates_bc = self.which(self.smooth(means_b1c)).sigmoid().squeeze(1)
        gates = gates_bc[:, :, None, None].split(self.widths, dim=1)
        return [gate * each + there for gate, each, there in zip(gates, both, placed, strict=True)]

    def place(self, x_bchw: Tensor) -> Tensor:
        """Weights of the places in (0, 1), (B, 1, H, W)."""
        return self.where(torch.cat([x_bchw.mean(dim=1, keepdim=True), x_bchw.amax(dim=1, keepdim=True)], 1)).sigmoid()


def enlarge(x_bchw: Tensor, factor: int = 2) -> Tensor:
    """Bilinear interpolation to so many times height and width, corners on corners."""
    return F.interpolate(x_bchw, scale_factor=float(factor), mode="bilinear", align_corners=True)


def initialise(module: nn.Module) -> None:
    """Weights as the public code of all three draws them, for `nn.Module.apply`: linear layers as transformers have
    them, convolutions by their fan-out."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv1d | nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels
        fan_out //= module.groups if isinstance(module, nn.Conv2d) else 1
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
        nn.init.zeros_(module.bias)


def _convolution(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)
