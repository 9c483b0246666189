"""What is told of printed costs that differ from ours holds: counted as papers count, ours are theirs."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medbench.models.catalog import build_model
from medbench.models.peers import COUNTS_MORE, LISTED_LATER, PEERS


def counted_as_in_papers(name: str) -> int:
    """With what THOP, the counter of most papers, adds to multiply-accumulates at 256x256.

    Four operations an element of a batch norm, eleven an element of a bilinear interpolation, and every tap of a
    transposed convolution at every output pixel, where of 2x2 taps at stride 2 one meets it.
    """
    extra = 0

    def look(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        nonlocal extra
        if isinstance(module, nn.BatchNorm2d):
            extra += 4 * output.numel()
        elif isinstance(module, nn.Upsample):
            extra += 11 * output.numel()
        elif isinstance(module, nn.ConvTranspose2d):
            extra += 3 * output.numel() * module.in_channels

    with torch.device("meta"), torch.inference_mode():
        model = build_model(name).model.eval()
        for module in model.modules():
            module.register_forward_hook(look)
        model(torch.empty(1, 3, 256, 256))
    return PEERS[name].cost.macs + extra


@pytest.mark.parametrize(
    "name", [name for name, entry in PEERS.items() if entry.paper and entry.paper.reason in (LISTED_LATER, COUNTS_MORE)]
)
def test_counted_as_in_papers_the_macs_are_those_printed(name: str) -> None:
    paper = PEERS[name].paper

    assert paper is not None
    assert counted_as_in_papers(name) == pytest.approx(paper.macs, rel=0.01)
