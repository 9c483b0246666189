"""What mixes places and what mixes channels in CMUNeXt, seen from single pixels."""

import torch
from torch import nn

from medbench.models.peers.cmunext import CMUNeXt, LargeKernelBlock


def test_one_pixel_reaches_as_far_as_the_large_kernel() -> None:
    torch.manual_seed(0)
    block = LargeKernelBlock(4, 7).eval()
    x = torch.zeros(1, 4, 11, 11)
    changed = x.clone()
    changed[0, :, 5, 5] = 3.0

    with torch.inference_mode():
        reached = (block(changed) != block(x)).any(dim=1)[0]

    assert reached[2:9, 2:9].all()
    assert reached.sum() == 7 * 7


def test_a_skip_and_what_was_upsampled_are_convolved_apart_and_then_mixed() -> None:
    torch.manual_seed(0)
    finest = CMUNeXt().eval().up[-1]
    assert isinstance(finest, nn.Sequential)
    x = torch.randn(1, 32, 4, 4)
    changed = x.clone()
    changed[:, 16:] += 1  # what was upsampled

    with torch.inference_mode():
        apart = (finest[0](changed) != finest[0](x)).flatten(2).any(dim=2)[0]
        mixed = (finest(changed) != finest(x)).flatten(2).any(dim=2)[0]

    assert apart.tolist() == [False] * 16 + [True] * 16
    assert mixed.all()
