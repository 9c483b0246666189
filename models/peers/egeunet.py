"""EGE-UNet (Ruan et al. 2023, arXiv 2307.08473): a U of six stages with Hadamard product attention along several axes,
skip connections that are aggregated in groups with the mask of the stage, and deep supervision.

The public code (JCruan519/EGE-UNet) settled what the paper leaves open: which axes a gate spans, that a bridge takes
what the bridge below gave and not the decoder's sum, group norms of 4 groups, interpolation with corners on corners,
and how weights are drawn.

Shapes: B = batch, K = maps of logits, C, D = channels, H, W = height and width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from ..outputs import Outputs
from .six_stages import WIDTHS, SixStages, enlarge, initialise

PARTS = 4  # that channels are split into
TABLE = 8  # entries of a gate's parameters along an axis, interpolated to the map
DILATIONS = (1, 2, 5, 7)


class EGEUNet(SixStages):
    """Six stages whose inner ones are group multi-axis Hadamard product attention.

    A mask is drawn at each stage of the decoder and guides the bridge, with deep supervision or without; trained or
    not, what is asked for in evaluation is the main map. Such a mask has one channel, whatever the logits have: of
    several classes or labels it learns where any of them is.

    Args:
        widths: channels of the stages.
        deep_supervision: weights of the losses of the masks at strides 32, 16, 8, 4, 2 beside the main map's, which is
            1; empty for the main map alone.
        maps: K, channels of the logits.
        channels: C of the images.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = WIDTHS,
        deep_supervision: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5),
        maps: int = 1,
        channels: int = 3,
    ) -> None:
        super().__init__(widths, down=HadamardAttention, up=HadamardAttention, maps=maps, channels=channels)
        *skips, deepest = widths
        if any(weight < 0 for weight in deep_supervision):
            raise ValueError(f"deep_supervision: weights from 0 on, got {list(deep_supervision)}")
        if len(deep_supervision) not in (0, len(skips)):
            raise ValueError(
                f"deep_supervision has {len(deep_supervision)} weights; needs {len(skips)}, or [] for none"
            )
        below = [deepest, *reversed(skips)]
        self.masks = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in reversed(skips))
        self.bridges = nn.ModuleList(AggregationBridge(*each) for each in zip(below, reversed(skips), strict=False))
        self.strides = [2**level for level in range(len(skips), 0, -1)]
        self.weights = {f"stride_{a}": weight for a, weight in zip(self.strides, deep_supervision, strict=False)}
        self.apply(initialise)

    def forward(self, image_bchw: Tensor) -> Tensor | Outputs:
        """Logits (B, K, H, W) of images (B, C, H, W), in training with deep supervision `Outputs`; H and W multiples of
        32, else ValueError."""
        skips, x_bchw = self.encode(image_bchw)
        below, masks = x_bchw, list[Tensor]()
        for level, skip in enumerate(reversed(skips)):
            x_bchw = self.decode(level, x_bchw)
            masks.append(self.masks[level](x_bchw))
            below = self.bridges[level](below, skip, masks[-1])
            x_bchw = x_bchw + below
        logits = self.logits(x_bchw)
        if not (self.training and self.weights):
            return logits
        sized = [enlarge(mask, stride) for mask, stride in zip(masks, self.strides, strict=True)]
        return Outputs(logits, dict(zip(self.weights, sized, strict=True)), self.weights)


class HadamardAttention(nn.Module):
    """The paper's GHPA: three quarters of the channels are multiplied by gates over both axes, the height, the width;
    the last one is convolved; then all are mixed.

    A gate is a small table of parameters, interpolated to the size of the map and convolved: the same for all images.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        quarter = in_channels // PARTS
        self.before, self.after = LayerNorm2d(in_channels), LayerNorm2d(in_channels)
        self.both, self.high, self.wide = Gate(quarter, axes=2), Gate(quarter, axes=1), Gate(quarter, axes=1)
        self.last = nn.Sequential(
            nn.Conv2d(quarter, quarter, 1), nn.GELU(), nn.Conv2d(quarter, quarter, 3, padding=1, groups=quarter)
        )
        self.mix = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels),
            nn.GELU(),
            nn.Conv2d(in_channels, out_channels, 1),
        )

    def forward(self, x_bchw: Tensor) -> Tensor:
        height, width = x_bchw.shape[2:]
        both, high, wide, last = self.before(x_bchw).chunk(PARTS, dim=1)
        gated = [
            both * self.both(height, width),
            high * self.high(height).unsqueeze(3),
            wide * self.wide(width).unsqueeze(2),
            self.last(last),
        ]
        return self.mix(self.after(torch.cat(gated, dim=1)))


class Gate(nn.Module):
    """Factors of channels along one axis or two, (1, C, size) or (1, C, size, size).

    Args:
        channels: C.
        axes: 1 or 2.
    """

    def __init__(self, channels: int, *, axes: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if axes == 2 else nn.Conv1d
        self.mode = "bilinear" if axes == 2 else "linear"
        self.table = nn.Parameter(torch.ones(1, channels, *[TABLE] * axes))
        self.layers = nn.Sequential(
            convolution(channels, channels, 3, padding=1, groups=channels),
            nn.GELU(),
            convolution(channels, channels, 1),
        )

    def forward(self, *size: int) -> Tensor:
        return self.layers(F.interpolate(self.table, size=size, mode=self.mode, align_corners=True))


class AggregationBridge(nn.Module):
    """The paper's GAB: a quarter of the skip's channels, a quarter of those below and the mask make a group; each group
    is convolved at its own dilation.

    Args:
        below_channels: C of the map from below.
        channels: D of the skip connection, and of what comes out.
    """

    def __init__(self, below_channels: int, channels: int) -> None:
        super().__init__()
        width = 2 * (channels // PARTS) + 1
        self.project = nn.Conv2d(below_channels, channels, 1)
        self.groups = nn.ModuleList(
            nn.Sequential(LayerNorm2d(width), nn.Conv2d(width, width, 3, padding=each, dilation=each, groups=width))
            for each in DILATIONS
        )
        self.mix = nn.Sequential(LayerNorm2d(PARTS * width), nn.Conv2d(PARTS * width, channels, 1))

    def forward(self, below_bchw: Tensor, skip_bdhw: Tensor, mask_b1hw: Tensor) -> Tensor:
        """What the skip connection gives, (B, D, H, W); the map from below may be smaller."""
        below_bdhw = F.interpolate(
            self.project(below_bchw), size=skip_bdhw.shape[2:], mode="bilinear", align_corners=True
        )
        parts = zip(below_bdhw.chunk(PARTS, dim=1), skip_bdhw.chunk(PARTS, dim=1), strict=True)
        groups = [group(torch.cat([*part, mask_b1hw], dim=1)) for group, part in zip(self.groups, parts, strict=True)]
        return self.mix(torch.cat(groups, dim=1))
