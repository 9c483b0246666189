"""UNeXt (Valanarasu and Patel, MICCAI 2022, arXiv 2203.04967): convolutions where maps are large, shifted MLPs where
they are small.

The authors' code (github.com/jeya-maria-jose/UNeXt-pytorch) is followed where it departs from the paper, for it is what
the printed 1.47 M parameters are counted from: the first two widths are 16 and 32 (the paper says 32 and 64), an MLP is
as wide inside as outside (768), channels are shifted by up to 2 pixels in 5 groups (by 5), along the height first (the
width), and a block is x + MLP(norm(x)), normed once more. It also settles that interpolation comes before ReLU
in the decoder, that the last 3x3 convolution has no norm, and how weights start. No convolution before a batch norm has
a bias here: the norm subtracts it again.

Shapes: B = batch, K = maps of logits, C = channels, H, W = height and width of the map.
"""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from ..blocks import ConvBlock

CONVOLUTIONAL = 3  # stages, the finest; the deeper ones are tokenized
REACH = 2  # pixels that the outermost groups of channels are shifted by
GROUPS = 2 * REACH + 1
PER_PIXEL_NORM = partial(LayerNorm2d, eps=1e-5)  # over the channels of a pixel, a token in the paper's words


class UNeXt(nn.Module):
    """Three convolutional and then tokenized stages down, the same up; skip connections are added.

    Args:
        widths: channels after each stage, which halves height and width, the finest first.
        maps: K, channels of the logits.
        channels: C of the images.
    """

    def __init__(self, *, widths: Sequence[int] = (16, 32, 128, 160, 256), maps: int = 1, channels: int = 3) -> None:
        super().__init__()
        steps = [*pairwise((channels, *widths))]
        self.down = nn.ModuleList(
            [nn.Sequential(ConvBlock(*step, 3), nn.MaxPool2d(2)) for step in steps[:CONVOLUTIONAL]]
            + [nn.Sequential(_to_tokens(*step), ShiftedBlock(step[1])) for step in steps[CONVOLUTIONAL:]]
        )
        back = [(deep, fine) for fine, deep in steps[:0:-1]]
        self.upsample = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(deep, fine, 3, padding=1, bias=False),
                nn.BatchNorm2d(fine),
                nn.Upsample(scale_factor=2, mode="bilinear"),
                nn.ReLU(inplace=True),
            )
            for deep, fine in back
        )
        n_tokenized = len(widths) - CONVOLUTIONAL
        self.up = nn.ModuleList(
            ShiftedBlock(fine) if index < n_tokenized else nn.Identity() for index, (_, fine) in enumerate(back)
        )
        self.head = nn.Sequential(
            nn.Conv2d(widths[0], widths[0], 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.ReLU(inplace=True),
            nn.Conv2d(widths[0], maps, 1),
        )

    def forward(self, image_bchw: Tensor) -> Tensor:
        """Logits (B, K, H, W) of images (B, C, H, W); H and W multiples of 32."""
        x, skips = image_bchw, []
        for stage in self.down:
            x = stage(x)
            skips.append(x)
        for upsample, stage, skip in zip(self.upsample, self.up, reversed(skips[:-1]), strict=True):
            x = stage(upsample(x) + skip)
        return self.head(x)


class ShiftedBlock(nn.Module):
    """Tokenized MLP block: out = norm(x + MLP(norm(x))), the MLP mixing what its shifts bring to a pixel.

    Between its two layers stands a depth-wise 3x3 convolution, which tells tokens their place.

    Args:
        channels: C, in, inside and out.

    Raises:
        ValueError: so few channels cannot be cut into `GROUPS` groups.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if len(range(0, channels, -(-channels // GROUPS))) != GROUPS:
            raise ValueError(f"{channels} channels cannot be cut into {GROUPS} groups that are shifted")
        self.norm = PER_PIXEL_NORM(channels)
        self.first = nn.Conv2d(channels, channels, 1)
        self.place = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.second = nn.Conv2d(channels, channels, 1)
        self.last_norm = PER_PIXEL_NORM(channels)
        for layer in (self.first, self.place, self.second):
            _start(layer)

    def forward(self, x_bchw: Tensor) -> Tensor:
        mixed_bchw = F.gelu(self.place(self.first(shifted(self.norm(x_bchw), dim=2))))
        return self.last_norm(x_bchw + self.second(shifted(mixed_bchw, dim=3)))


def shifted(x_bchw: Tensor, *, dim: int) -> Tensor:
    """The map with its channels in `GROUPS` groups, shifted by -`REACH` to `REACH` pixels; zeros move in.

    Args:
        x_bchw: the map.
        dim: 2 shifts along the height, 3 along the width.
    """
    size = x_bchw.shape[dim]
    padded = F.pad(x_bchw, (0, 0, REACH, REACH) if dim == 2 else (REACH, REACH))
    groups = enumerate(padded.chunk(GROUPS, dim=1))
    return torch.cat([group.narrow(dim, 2 * REACH - index, size) for index, group in groups], dim=1)


def _to_tokens(in_channels: int, out_channels: int) -> nn.Sequential:
    """Overlapping patches of 3x3 pixels, one at every second pixel."""
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
    _start(convolution)
    return nn.Sequential(convolution, PER_PIXEL_NORM(out_channels))


def _start(convolution: nn.Conv2d) -> None:
    """Weights as the authors start them: an MLP's small, others with a variance of 2 / fan-out; a bias of 0."""
    if convolution.kernel_size == (1, 1):
        nn.init.trunc_normal_(convolution.weight, std=0.02)
    else:
        fan_out = convolution.weight[0, 0].numel() * convolution.out_channels // convolution.groups
        nn.init.normal_(convolution.weight, std=math.sqrt(2 / fan_out))
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
