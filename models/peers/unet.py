"""U-Net (Ronneberger, Fischer and Brox, MICCAI 2015, arXiv 1505.04597), as it is built today.

The paper's convolutions lose their borders and have no norms; here, as in nearly every later comparison, they keep the
map's size (zeros around it) and batch norm follows each. Dropout, which the paper mentions without a rate, is left out.
Transposed convolutions upsample, as in the paper, and give the 7.77 M and 31.0 M parameters that papers list for widths
from 32 and from 64; bilinear interpolation without a convolution would give 7.85 M and 31.4 M.

Shapes: B = batch, K = maps, C = channels of the images, H, W = height and width.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..blocks import ConvBlock


class UNet(nn.Module):
    """Levels of two 3x3 convolutions each, halved by max pooling on the way down, doubled and joined on the way up.

    Args:
        widths: channels of the levels, the finest first; the paper's are 64, 128, 256, 512, 1024.
        maps: K, channels of the logits.
        channels: C of the images.
    """

    def __init__(self, *, widths: Sequence[int] = (32, 64, 128, 256, 512), maps: int = 1, channels: int = 3) -> None:
        super().__init__()
        self.down = nn.ModuleList(_two_convolutions(*pair) for pair in pairwise((channels, *widths)))
        self.pool = nn.MaxPool2d(2)
        steps = [(deep, fine) for fine, deep in pairwise(widths)][::-1]
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(deep, fine, 2, stride=2) for deep, fine in steps)
        self.up = nn.ModuleList(_two_convolutions(2 * fine, fine) for _, fine in steps)
        self.head = nn.Conv2d(widths[0], maps, 1)

    def forward(self, image_bchw: Tensor) -> Tensor:
        """Logits (B, K, H, W) of images (B, C, H, W); H and W multiples of 16 with the five levels of the paper."""
        finest, *deeper = self.down
        x = finest(image_bchw)
        skips: list[Tensor] = []
        for level in deeper:
            skips.append(x)
            x = level(self.pool(x))
        for upsample, level, skip in zip(self.upsample, self.up, reversed(skips), strict=True):
            x = level(torch.cat([skip, upsample(x)], dim=1))
        return self.head(x)


def _two_convolutions(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(ConvBlock(in_channels, out_channels, 3), ConvBlock(out_channels, out_channels, 3))
