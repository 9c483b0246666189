"""What UltraLight VM-UNet's layer claims, and the sizes that its authors print."""

import pytest
import torch

from medbench.models.counting import count_parameters
from medbench.models.peers import PEERS
from medbench.models.peers.ultralight_vmunet import Mamba, ParallelMamba, UltraLightVMUNet


@pytest.mark.parametrize(("parts", "millions"), [(1, 0.136), (2, 0.070), (4, 0.049)])
def test_parameters_are_those_of_the_ablation_that_the_authors_print(parts: int, millions: float) -> None:
    assert round(count_parameters(UltraLightVMUNet(parts=parts)) / 1e6, 3) == millions


def test_no_token_sees_a_later_one_and_all_see_the_first() -> None:
    torch.manual_seed(0)
    tokens = torch.randn(1, 12, 8, requires_grad=True)

    (gradient,) = torch.autograd.grad(Mamba(8)(tokens)[0, 5].sum(), tokens)

    assert gradient[0].abs().sum(dim=1).gt(0).tolist() == [True] * 6 + [False] * 6


def test_parts_pass_through_one_mamba_each_on_its_own() -> None:
    torch.manual_seed(0)
    layer, x = ParallelMamba(8, 8, parts=4), torch.randn(1, 8, 2, 3)
    tokens = layer.norm(x.flatten(2).transpose(1, 2))

    seen = torch.cat([layer.mamba(part) + part for part in tokens.chunk(4, dim=2)], dim=2)
    expected = layer.mix(layer.norm(seen))

    torch.testing.assert_close(layer(x), expected.transpose(1, 2).reshape(1, 8, 2, 3))


def test_the_printed_macs_are_those_outside_mamba() -> None:
    inside = 0

    def look(module: Mamba, given: tuple[torch.Tensor], _: torch.Tensor) -> None:
        nonlocal inside
        matrices = (module.expand, module.select, module.step, module.project)
        weights = sum(each.weight.numel() for each in matrices)
        inside += given[0].shape[0] * given[0].shape[1] * weights
        inside += given[0].shape[0] * (given[0].shape[1] + 3) * module.convolve.weight.numel()

    with torch.device("meta"), torch.inference_mode():
        model = UltraLightVMUNet().eval()
        for module in model.modules():
            if isinstance(module, Mamba):
                module.register_forward_hook(look)
        model(torch.empty(1, 3, 256, 256))
    entry = PEERS["ultralight_vmunet"]

    assert entry.paper is not None
    assert entry.cost.macs - inside == pytest.approx(entry.paper.macs, rel=0.01)
