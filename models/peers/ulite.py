"""U-Lite (Dinh et al., APSIPA ASC 2023, arXiv 2306.16103): a U-Net of axial depth-wise convolutions.

The authors' code (github.com/duong-db/U-Lite) settles what the paper leaves open: a 7x7 convolution at the entrance,
which map is the skip connection (the one before the point-wise convolution), nearest-neighbour upsampling, and where
norm and GELU stand. No convolution that a batch norm follows at once has a bias here: the norm subtracts it again.

Shapes: B = batch, K = maps of logits, C = channels, H, W = height and width of the map.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DILATIONS = (1, 2, 3)  # of the bottleneck's convolutions


class ULite(nn.Module):
    """Levels of one axial depth-wise and one point-wise convolution, a dilated bottleneck, and as many levels up.

    Args:
        widths: channels after the entrance and after each level, which halves height and width.
        kernel_size: pixels of an axial convolution along its axis, odd.
        maps: K, channels of the logits.
        channels: C of the images.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (16, 32, 64, 128, 256, 512),
        kernel_size: int = 7,
        maps: int = 1,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 7, padding=3)
        self.down = nn.ModuleList(DownLevel(fine, deep, kernel_size) for fine, deep in pairwise(widths))
        self.bottleneck = DilatedBottleneck(widths[-1])
        self.up = nn.ModuleList(UpLevel(deep, fine, kernel_size) for fine, deep in reversed([*pairwise(widths)]))
        self.head = nn.Conv2d(widths[0], maps, 1)

    def forward(self, image_bchw: Tensor) -> Tensor:
        """Logits (B, K, H, W) of images (B, C, H, W); H and W multiples of 32 with the five levels of the paper."""
        x, skips = self.stem(image_bchw), []
        for level in self.down:
            x, skip = level(x)
            skips.append(skip)
        x = self.bottleneck(x)
        for level, skip in zip(self.up, reversed(skips), strict=True):
            x = level(x, skip)
        return self.head(x)


class AxialConvolution(nn.Module):
    """Depth-wise convolutions along the height and along the width, added to what they are given.

    Args:
        channels: C, in and out.
        kernel_size: pixels along the axis, odd.
        dilation: pixels from one tap to the next.
    """

    def __init__(self, channels: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        reach = kernel_size // 2 * dilation
        self.along_height = nn.Conv2d(
            channels, channels, (kernel_size, 1), padding=(reach, 0), dilation=(dilation, 1), groups=channels
        )
        self.along_width = nn.Conv2d(
            channels, channels, (1, kernel_size), padding=(0, reach), dilation=(1, dilation), groups=channels
        )

    def forward(self, x_bchw: Tensor) -> Tensor:
        return x_bchw + self.along_height(x_bchw) + self.along_width(x_bchw)


class DownLevel(nn.Module):
    """What the next level gets, (B, `out_channels`, H / 2, W / 2), and the skip, (B, `in_channels`, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.to_skip = nn.Sequential(AxialConvolution(in_channels, kernel_size), nn.BatchNorm2d(in_channels))
        self.to_next = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), nn.MaxPool2d(2), nn.GELU())

    def forward(self, x_bchw: Tensor) -> tuple[Tensor, Tensor]:
        skip_bchw = self.to_skip(x_bchw)
        return self.to_next(skip_bchw), skip_bchw


class DilatedBottleneck(nn.Module):
    """A narrow map beside its axial convolutions at three dilations, brought back to C channels.

    Args:
        channels: C, in and out; a multiple of 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels, channels // 4, 1)
        self.views = nn.ModuleList(AxialConvolution(channels // 4, 3, dilation) for dilation in DILATIONS)
        self.widen = nn.Sequential(nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 1), nn.GELU())

    def forward(self, x_bchw: Tensor) -> Tensor:
        narrow = self.narrow(x_bchw)
        return self.widen(torch.cat([narrow, *(view(narrow) for view in self.views)], dim=1))


class UpLevel(nn.Module):
    """Twice the height and width, joined with a skip of `out_channels`."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(in_channels + out_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            AxialConvolution(out_channels, kernel_size),
            nn.Conv2d(out_channels, out_channels, 1),
            nn.GELU(),
        )

    def forward(self, x_bchw: Tensor, skip_bchw: Tensor) -> Tensor:
        return self.mix(torch.cat([F.interpolate(x_bchw, scale_factor=2), skip_bchw], dim=1))
