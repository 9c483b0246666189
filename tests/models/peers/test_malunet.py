"""What MALUNet's mechanisms claim."""

import torch

from medbench.models.peers.malunet import DilatedGatedAttention, ExternalAttention, MALUNet
from medbench.models.peers.six_stages import AttentionBridge


def test_external_attention_sees_the_whole_of_its_own_image_and_no_other() -> None:
    torch.manual_seed(0)
    attention, x = ExternalAttention(8), torch.randn(2, 8, 6, 5, requires_grad=True)

    attention(x)[0, :, 0, 0].sum().backward()

    assert x.grad is not None
    assert bool(x.grad[0].abs().sum(dim=0).all())
    assert not x.grad[1].any()


def test_questions_and_answers_start_as_one_memory() -> None:
    memories = [each for each in MALUNet().modules() if isinstance(each, ExternalAttention)]

    assert len(memories) == 6
    assert all(torch.equal(each.ask.weight, each.answer.weight.transpose(0, 1)) for each in memories)


def test_each_quarter_of_the_channels_has_its_own_reach() -> None:
    layers, x = DilatedGatedAttention(8, 8).quarters, torch.randn(1, 2, 21, 21, requires_grad=True)
    reaches: list[int] = []
    for layer in layers:
        (gradient,) = torch.autograd.grad(layer(x)[0, :, 10, 10].sum(), x)
        reaches.append(int((gradient.abs().sum(dim=(0, 1)).nonzero() - 10).abs().max()))

    assert reaches == [7, 5, 2, 1]


def test_a_bridge_with_open_gates_worked_by_hand() -> None:
    """With no weights each gate is sigmoid(0) = 1/2: s = x/2, then (s + x)/2 + s = 5/4 x."""
    bridge, maps = AttentionBridge([8, 4]), [torch.randn(2, 8, 4, 4), torch.randn(2, 4, 2, 2)]
    for parameter in bridge.parameters():
        torch.nn.init.zeros_(parameter)

    for found, given in zip(bridge(maps), maps, strict=True):
        torch.testing.assert_close(found, 1.25 * given)
