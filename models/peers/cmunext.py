"""CMUNeXt (Tang et al., ISBI 2024, arXiv 2308.01239): a U-Net of large depth-wise kernels, its skips fused by groups.

Kernel sizes, depths and widths are those of the authors' code (github.com/FengheTan9/CMUNeXt), which settles too that
bilinear interpolation upsamples and that a convolution of 3x3 pixels follows it and every stage of the encoder. No
convolution before a batch norm has a bias here, for the norm subtracts it again; where GELU stands between, it has one.

Shapes: B = batch, K = maps of logits, C = channels, H, W = height and width of the map.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..blocks import ConvBlock

EXPANSION = 4  # of the inverted bottlenecks


class CMUNeXt(nn.Module):
    """Five stages of CMUNeXt blocks down, four of upsampling and skip fusion up.

    Args:
        widths: channels after each stage, the finest first.
        depths: CMUNeXt blocks of each stage.
        kernel_sizes: of the depth-wise convolutions of each stage, odd.
        maps: K, channels of the logits.
        channels: C of the images.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (16, 32, 128, 160, 256),
        depths: Sequence[int] = (1, 1, 1, 3, 1),
        kernel_sizes: Sequence[int] = (3, 3, 7, 7, 7),
        maps: int = 1,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.stem = ConvBlock(channels, widths[0], 3)
        stages = zip((widths[0], *widths[:-1]), widths, depths, kernel_sizes, strict=True)
        self.down = nn.ModuleList(
            nn.Sequential(*(LargeKernelBlock(fine, kernel_size) for _ in range(depth)), ConvBlock(fine, deep, 3))
            for fine, deep, depth, kernel_size in stages
        )
        self.pool = nn.MaxPool2d(2)
        back = [(deep, fine) for fine, deep in pairwise(widths)][::-1]
        self.upsample = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), ConvBlock(deep, fine, 3)) for deep, fine in back
        )
        self.up = nn.ModuleList(_skip_fusion(fine) for _, fine in back)
        self.head = nn.Conv2d(widths[0], maps, 1)

    def forward(self, image_bchw: Tensor) -> Tensor:
        """Logits (B, K, H, W) of images (B, C, H, W); H and W multiples of 16 with five stages."""
        finest, *deeper = self.down
        x = finest(self.stem(image_bchw))
        skips: list[Tensor] = []
        for stage in deeper:
            skips.append(x)
            x = stage(self.pool(x))
        for upsample, fusion, skip in zip(self.upsample, self.up, reversed(skips), strict=True):
            x = fusion(torch.cat([skip, upsample(x)], dim=1))
        return self.head(x)


class LargeKernelBlock(nn.Module):
    """CMUNeXt block: a depth-wise convolution with a residual mixes places, an inverted bottleneck mixes channels.

    Args:
        channels: C, in and out.
        kernel_size: of the depth-wise convolution, odd.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.places = _activated(channels, channels, kernel_size, groups=channels)
        self.channels = nn.Sequential(
            _activated(channels, EXPANSION * channels, 1), _activated(EXPANSION * channels, channels, 1)
        )

    def forward(self, x_bchw: Tensor) -> Tensor:
        return self.channels(x_bchw + self.places(x_bchw))


def _skip_fusion(channels: int) -> nn.Sequential:
    """A skip and what was upsampled, `channels` each and convolved apart, become one map of `channels`."""
    return nn.Sequential(
        _activated(2 * channels, 2 * channels, 3, groups=2),
        _activated(2 * channels, EXPANSION * channels, 1),
        _activated(EXPANSION * channels, channels, 1),
    )


def _activated(in_channels: int, out_channels: int, kernel_size: int, *, groups: int = 1) -> nn.Sequential:
    """Convolution, GELU, batch norm, in the paper's order."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, groups=groups),
        nn.GELU(),
        nn.BatchNorm2d(out_channels),
    )
