"""MedLiteNet's own mechanisms: the Local-Global Block and Boundary-Aware Attention.

The paper (arXiv 2509.03041) names both and gives no equations; those here are medbench's reading, and every number
is medbench's choice. ASPP and SCSE are standard and come from segmentation-models-pytorch.

Shapes: B = batch, C, D = channels, H, W = height and width of the feature map, N = H * W tokens.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.models._efficientnet_blocks import InvertedResidual
from timm.models.vision_transformer import Block as TransformerLayer
from torch import Tensor, nn


class ConvBlock(nn.Sequential):
    """Convolution, batch norm, ReLU, at the same height and width."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class GlobalBranch(nn.Module):
    """A light Transformer over all tokens of the map, so that any pixel can inform any other.

    Tokens get their place from a depth-wise 3x3 convolution, which fits every input size and needs no table.

    Args:
        in_channels: C of the input.
        width: D of the tokens and of the output.
        layers: pre-norm Transformer layers (timm's ViT block, MLP ratio 2).
        heads: attention heads; divides `width`.
    """

    def __init__(self, in_channels: int, width: int, *, layers: int, heads: int) -> None:
        super().__init__()
        self.to_tokens = nn.Conv2d(in_channels, width, 1)
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.layers = nn.Sequential(
            *(TransformerLayer(width, heads, mlp_ratio=2.0, qkv_bias=True) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x_bchw: Tensor) -> Tensor:
        x_bdhw = self.to_tokens(x_bchw)
        x_bdhw = x_bdhw + self.position(x_bdhw)
        x_bnd = x_bdhw.flatten(2).transpose(1, 2)
        x_bnd = self.norm(self.layers(x_bnd))
        return x_bnd.transpose(1, 2).reshape_as(x_bdhw)


class LocalGlobalBlock(nn.Module):
    """Local (MBConv) and global (Transformer) views of the bottleneck, concatenated and fused by a 1x1 convolution.

    Args:
        in_channels: C of the input.
        out_channels: C of the output.
        local_width: channels of the MBConv branch (expansion 2).
        token_width: channels of the Transformer branch.
        layers: Transformer layers; 0 leaves the global branch out (the `no_transformer` ablation).
        heads: attention heads.

    Source: the structure is the paper's, as digests describe it; widths, depth, heads and the position encoding ours.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, local_width: int, token_width: int, layers: int, heads: int
    ) -> None:
        super().__init__()
        self.local_branch = InvertedResidual(in_channels, local_width, exp_ratio=2.0, act_layer=nn.ReLU6)
        self.global_branch = GlobalBranch(in_channels, token_width, layers=layers, heads=heads) if layers > 0 else None
        self.fuse = ConvBlock(local_width + (token_width if layers > 0 else 0), out_channels)

    def forward(self, x_bchw: Tensor) -> Tensor:
        views = [self.local_branch(x_bchw)]
        if self.global_branch is not None:
            views.append(self.global_branch(x_bchw))
        return self.fuse(torch.cat(views, dim=1))


def replicate_edges(x_bchw: Tensor) -> Tensor:
    """The map with its edges repeated once around it, (B, C, H + 2, W + 2)."""
    if x_bchw.requires_grad and torch.compiler.is_dynamo_compiling():
        # Compiled, the gradient of torch's own padding breaks off: it lies in memory otherwise than was promised.
        x_bchw = torch.cat([x_bchw[:, :, :1], x_bchw, x_bchw[:, :, -1:]], dim=2)
        return torch.cat([x_bchw[..., :1], x_bchw, x_bchw[..., -1:]], dim=3)
    return F.pad(x_bchw, (1, 1, 1, 1), mode="replicate")


class BoundaryAwareAttention(nn.Module):
    """Amplifies features where they change: out = x * (1 + r), r in [0, 1) high on contours and 0 on flat ground.

    A learned 1x1 mixing draws `maps` pictures m_k of the features, fixed Sobel kernels (edges replicated) take their
    gradients, and r = tanh(e / mean of e over the map) with e = sum_k |Sobel_x * m_k| + |Sobel_y * m_k|. Dividing by
    the mean makes r a statement about places within an image, whatever the scale of the features. Mixing comes
    first because it commutes with the gradient and leaves few maps to differentiate; the sum of absolute values
    stands for the Euclidean magnitude because squares of half-precision features overflow.

    Source: the paper derives a boundary response map from spatial gradients; this equation is ours.
    """

    kernels: Tensor

    def __init__(self, channels: int, *, maps: int = 4) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, maps, 1, bias=False)
        sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        both = torch.stack([sobel, sobel.T]).unsqueeze(1)
        self.register_buffer("kernels", both.repeat(maps, 1, 1, 1), persistent=False)  # (2 * maps, 1, 3, 3)

    def response(self, x_bchw: Tensor) -> Tensor:
        """The boundary response map r, (B, 1, H, W)."""
        maps = replicate_edges(self.mix(x_bchw))
        gradients = F.conv2d(maps, self.kernels.to(maps.dtype), groups=self.mix.out_channels)
        edges_b1hw = gradients.abs().sum(dim=1, keepdim=True)
        return torch.tanh(edges_b1hw / (edges_b1hw.mean(dim=(2, 3), keepdim=True) + 1e-4))

    def forward(self, x_bchw: Tensor, artifact_b1hw: Tensor | None = None) -> Tensor:
        """The map amplified where it changes, with r * (1 - a) in the place of r where it is told the probability a
        of an artifact, (B, 1, height, width) of any size: the mean over the places that one of the map's covers."""
        response_b1hw = self.response(x_bchw)
        if artifact_b1hw is not None:
            size = x_bchw.shape[-2], x_bchw.shape[-1]
            response_b1hw = response_b1hw * (1 - F.adaptive_avg_pool2d(artifact_b1hw, size))
        return x_bchw * (1 + response_b1hw)


class ArtifactHead(nn.Module):
    """Logits of where an artifact lies, from an encoder's two finest maps: a hair is lost in all deeper ones.

    Each is mixed to `width` channels, the coarser one is interpolated to twice its size, and two convolutions read
    their sum. Structure and numbers are ours.

    Args:
        channels: of the finest map and of the next, half its size.
        width: between the convolutions.
    """

    def __init__(self, channels: Sequence[int], *, width: int = 16) -> None:
        super().__init__()
        self.fine = ConvBlock(channels[0], width)
        self.coarse = nn.Sequential(ConvBlock(channels[1], width), UpsampleTwice(width))
        self.read = nn.Sequential(ConvBlock(width, width, 3), nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, fine_bchw: Tensor, coarse_bchw: Tensor) -> Tensor:
        """Logits (B, 1, H, W) of the finest map's size."""
        return self.read(self.fine(fine_bchw) + self.coarse(coarse_bchw))


class UpsampleTwice(nn.Module):
    """Bilinear interpolation of a few maps to twice their height and width, as a convolution and a pixel shuffle.

    Equal to `F.interpolate(scale_factor=2, mode="bilinear", align_corners=False)`, whose kernels for one channel are
    slow in OpenVINO.

    Args:
        channels: C, in and out.
    """

    kernels: Tensor

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        phases = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])  # of the even and of the odd pixels
        kernels = torch.einsum("ay,bx->abyx", phases, phases).reshape(4, 1, 3, 3)
        self.channels = channels
        self.register_buffer("kernels", kernels.repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, x_bchw: Tensor) -> Tensor:
        x_bchw = replicate_edges(x_bchw)
        return F.pixel_shuffle(F.conv2d(x_bchw, self.kernels.to(x_bchw.dtype), groups=self.channels), 2)


def check_size(image_bchw: Tensor, stride: int) -> None:
    """Refuses images whose height or width is no multiple of a network's stride.

    Raises:
        ValueError: the message says to which size to pad them.
    """
    height, width = image_bchw.shape[-2:]
    if height % stride or width % stride:
        up = [-(-side // stride) * stride for side in (height, width)]
        raise ValueError(f"{height}x{width} is no multiple of {stride}; pad the images to {up[0]}x{up[1]}")
