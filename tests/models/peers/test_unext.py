"""The shifts of UNeXt move groups of channels, and zeros in."""

import pytest
import torch
from torch import Tensor

from medbench.models.peers.unext import ShiftedBlock, shifted


def moved(channel: Tensor, steps: int) -> Tensor:
    """(N, M) moved down pixel by pixel."""
    result = torch.zeros_like(channel)
    for row in range(len(channel)):
        if 0 <= row + steps < len(channel):
            result[row + steps] = channel[row]
    return result


@pytest.mark.parametrize(
    ("channels", "steps"),
    [
        pytest.param(5, [-2, -1, 0, 1, 2], id="one a group"),
        pytest.param(10, [-2, -2, -1, -1, 0, 0, 1, 1, 2, 2], id="two a group"),
        pytest.param(13, [-2] * 3 + [-1] * 3 + [0] * 3 + [1] * 3 + [2], id="the last group has the rest"),
    ],
)
def test_groups_of_channels_are_moved_by_up_to_two_pixels(channels: int, steps: list[int]) -> None:
    x = torch.randn(2, channels, 6, 4)

    along_height, along_width = shifted(x, dim=2), shifted(x, dim=3)

    for image in range(2):
        for channel, step in enumerate(steps):
            assert torch.equal(along_height[image, channel], moved(x[image, channel], step))
            assert torch.equal(along_width[image, channel], moved(x[image, channel].T, step).T)


def test_one_pixel_reaches_what_shifts_and_the_depth_wise_convolution_reach() -> None:
    torch.manual_seed(0)
    block = ShiftedBlock(10).eval()
    x = torch.randn(1, 10, 9, 9)
    changed = x.clone()
    changed[0, :, 4, 4] = torch.randn(10)

    with torch.inference_mode():
        reached = (block(changed) != block(x)).any(dim=1)[0].nonzero()

    assert reached.amin(dim=0).tolist() == [4 - 2 - 1, 4 - 1 - 2]
    assert reached.amax(dim=0).tolist() == [4 + 2 + 1, 4 + 1 + 2]


def test_channels_that_make_no_five_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="6 channels cannot be cut into 5 groups"):
        ShiftedBlock(6)
