"""The axial convolutions of U-Lite see a cross, counted by hand."""

import pytest
import torch
from torch import Tensor, nn

from medbench.models.peers.ulite import AxialConvolution


def cross(kernel_size: int, dilation: int) -> Tensor:
    """What a single 1 in the middle of an 11x11 map becomes where all weights are 1."""
    convolution = AxialConvolution(1, kernel_size, dilation)
    for name, parameter in convolution.named_parameters():
        nn.init.constant_(parameter, 1.0 if name.endswith("weight") else 0.0)
    x = torch.zeros(1, 1, 11, 11)
    x[..., 5, 5] = 1
    with torch.inference_mode():
        return convolution(x)[0, 0]


@pytest.mark.parametrize(("kernel_size", "dilation"), [(7, 1), (3, 1), (3, 2), (3, 3)])
def test_a_pixel_is_spread_over_a_cross_and_added_to_itself(kernel_size: int, dilation: int) -> None:
    expected = torch.zeros(11, 11)
    for tap in range(-(kernel_size // 2), kernel_size // 2 + 1):
        expected[5 + tap * dilation, 5] += 1
        expected[5, 5 + tap * dilation] += 1
    expected[5, 5] += 1

    assert torch.equal(cross(kernel_size, dilation), expected)
