"""MedLiteNet (Yu et al. 2025, arXiv 2509.03041): a light CNN-Transformer hybrid for skin lesion segmentation.

What the paper leaves open is a named default here and medbench's choice, made so that the whole has the published
3.2 M parameters: see `MedLiteNet`.

Shapes: B = batch, K = maps, C = channels of the images, H, W = height and width.
"""

from collections.abc import Sequence
from copy import copy
from typing import Any

import timm
import torch.nn.functional as F
from segmentation_models_pytorch.base.modules import SCSEModule
from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPP
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import Tensor, nn

from .blocks import ArtifactHead, BoundaryAwareAttention, ConvBlock, LocalGlobalBlock, UpsampleTwice, check_size
from .outputs import ARTIFACT, Outputs

STRIDE = 32
N_RATES = 3  # of smp's ASPP
DECODER_WIDTHS = (96, 48, 24, 16)


class MedLiteNet(nn.Module):
    """Encoder, Local-Global Block, Boundary-Aware Attention, ASPP, SCSE, U-Net decoder, maps of logits.

    Each mechanism can be switched off on its own, which is how the ablations are configured. Boundary-Aware
    Attention stands after the Local-Global Block and before the head: digests of the paper disagree on its place,
    and one of them names both ends.

    Args:
        backbone: any timm feature extractor of stride 32; the paper's is MobileNetV2.
        transformer: whether the Local-Global Block has its global branch.
        boundary_attention: whether there is Boundary-Aware Attention.
        aspp: whether there is ASPP; a 1x1 convolution of the same width stands in for it.
        scse: whether there is SCSE recalibration.
        local_width: channels of the MBConv branch (ours).
        token_width: channels of the Transformer (ours).
        transformer_layers: its depth (ours).
        heads: its attention heads (ours).
        width: channels after the Local-Global Block (ours).
        aspp_width: channels of ASPP and of each of its branches (ours).
        aspp_rates: three dilations (ours; larger ones leave an 8x8 map).
        decoder_widths: channels of the decoder's blocks, the deepest first, one a skip (ours); of a backbone with fewer
            skips the default is cut.
        artifact_weight: weight of the loss of a head that tells artifacts painted on training images apart from the
            rest (not the paper's); 0: no head. In evaluation nothing is left of it, unless attention is gated.
        gated: whether Boundary-Aware Attention takes no notice of edges where that head sees an artifact. The loss of
            the lesion does not reach the head, so that what it gives stays the probability of an artifact.
        maps: K, channels of the logits.
        channels: C of the images.
    """

    def __init__(
        self,
        *,
        backbone: str = "mobilenetv2_100",
        transformer: bool = True,
        boundary_attention: bool = True,
        aspp: bool = True,
        scse: bool = True,
        local_width: int = 192,
        token_width: int = 128,
        transformer_layers: int = 2,
        heads: int = 4,
        width: int = 256,
        aspp_width: int = 128,
        aspp_rates: Sequence[int] = (2, 4, 6),
        decoder_widths: Sequence[int] = DECODER_WIDTHS,
        artifact_weight: float = 0.0,
        gated: bool = False,
        maps: int = 1,
        channels: int = 3,
    ) -> None:
        super().__init__()
        if artifact_weight < 0:
            raise ValueError(f"artifact_weight: a number from 0 on, got {artifact_weight!r}")
        if transformer and transformer_layers < 1:
            raise ValueError(f"transformer_layers: 1 or more, got {transformer_layers}; transformer: false is without")
        if len(aspp_rates) != N_RATES:
            raise ValueError(f"aspp_rates: {N_RATES} dilations, got {len(aspp_rates)}")
        self.encoder: Any = timm.create_model(backbone, features_only=True, pretrained=False, in_chans=channels)
        depths, strides = self.encoder.feature_info.channels(), self.encoder.feature_info.reduction()
        if strides[-1] != STRIDE:
            raise ValueError(f"backbone {backbone!r} does not end at stride {STRIDE}; choose one that does")
        self.local_global = LocalGlobalBlock(
            depths[-1],
            width,
            local_width=local_width,
            token_width=token_width,
            layers=transformer_layers if transformer else 0,
            heads=heads,
        )
        self.boundary = BoundaryAwareAttention(width) if boundary_attention else nn.Identity()
        self.aspp = (
            ASPP(width, aspp_width, aspp_rates, separable=True, dropout=0.1) if aspp else ConvBlock(width, aspp_width)
        )
        self.scse = SCSEModule(aspp_width) if scse else nn.Identity()
        skips = depths[-2::-1]
        widths = list(decoder_widths)
        if widths == [*DECODER_WIDTHS]:
            widths = widths[-len(skips) :]
        if len(widths) != len(skips):
            raise ValueError(f"decoder_widths: {len(skips)}, one a skip of {backbone}, got {len(widths)}")
        inputs = [aspp_width, *widths]
        self.decoder = nn.ModuleList(UnetDecoderBlock(inputs[i], skips[i], widths[i]) for i in range(len(skips)))
        self.edge = BoundaryAwareAttention(widths[-1]) if boundary_attention else nn.Identity()
        self.head = nn.Conv2d(widths[-1], maps, 3, padding=1)
        self.to_input_size = (
            UpsampleTwice(maps) if strides[0] == 2 else nn.Upsample(scale_factor=strides[0], mode="bilinear")
        )
        if gated and not (artifact_weight and boundary_attention):
            raise ValueError("gated: needs boundary_attention and an artifact_weight above 0, whose head it listens to")
        # Last, so that a seed draws the same weights for all else with it and without.
        self.artifact = ArtifactHead(depths[:2]) if artifact_weight else None
        self.artifact_weight, self.gated = artifact_weight, gated

    @property
    def learns_artifacts(self) -> bool:
        """Whether its loss asks where artifacts lie."""
        return self.artifact is not None

    def at_inference(self) -> "MedLiteNet":
        """The network, of the same weights, without what only training asks for."""
        if self.artifact is None or self.gated:
            return self
        light = copy(self)
        light._modules = {**self._modules, "artifact": None}
        return light

    def forward(self, image_bchw: Tensor) -> Tensor | Outputs:
        """Logits (B, K, H, W) of images (B, C, H, W), in training with a head for artifacts `Outputs`; H and W
        multiples of 32, else ValueError."""
        check_size(image_bchw, STRIDE)
        *skips, x = self.encoder(image_bchw)
        told = self.artifact(*skips[:2]) if self.artifact is not None and (self.training or self.gated) else None
        gate = [told.detach().sigmoid()] if self.gated and told is not None else []
        x = self.scse(self.aspp(self.boundary(self.local_global(x), *gate)))
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            x = block(x, *skip.shape[-2:], skip_connection=skip)
        logits = self.to_input_size(self.head(self.edge(x, *gate)))
        if told is None or not self.training:
            return logits
        told = F.interpolate(told, size=image_bchw.shape[-2:], mode="bilinear", align_corners=False)
        return Outputs(logits, {ARTIFACT: told}, {ARTIFACT: self.artifact_weight})
