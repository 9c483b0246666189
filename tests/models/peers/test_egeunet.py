"""What EGE-UNet's mechanisms claim, and its deep supervision."""

import pytest
import torch
from torch import Tensor

from medbench.bench.errors import MedbenchError
from medbench.models.catalog import build_model
from medbench.models.outputs import Outputs
from medbench.models.peers.egeunet import EGEUNet, Gate


def test_masks_of_all_stages_are_trained_with_the_published_weights() -> None:
    given = EGEUNet().train()(torch.randn(1, 3, 64, 64))

    assert isinstance(given, Outputs)
    assert given.weights == {"stride_32": 0.1, "stride_16": 0.2, "stride_8": 0.3, "stride_4": 0.4, "stride_2": 0.5}
    assert list(given.auxiliary) == list(given.weights)


def test_a_mask_is_as_coarse_as_its_stage() -> None:
    """Corners lie on corners, so 2x2 pixels of a mask at stride 32 are one bilinear surface."""
    given = EGEUNet().train()(torch.randn(1, 3, 64, 64))
    coarse = given.auxiliary["stride_32"][0, 0]
    ramp = torch.linspace(0, 1, 64)

    top, bottom = (row[0] + (row[-1] - row[0]) * ramp for row in (coarse[0], coarse[-1]))

    torch.testing.assert_close(coarse, top + (bottom - top) * ramp[:, None], rtol=1e-4, atol=1e-5)


def test_without_deep_supervision_the_main_map_alone_trains_every_parameter() -> None:
    model = EGEUNet(deep_supervision=()).train()

    logits = model(torch.randn(2, 3, 64, 64))

    assert isinstance(logits, Tensor)
    logits.square().mean().backward()
    assert all(each.grad is not None for each in model.parameters())
    assert sum(each.numel() for each in model.parameters()) == sum(each.numel() for each in EGEUNet().parameters())


def test_weights_that_are_not_one_a_mask_are_refused() -> None:
    with pytest.raises(MedbenchError, match=r"deep_supervision has 2 weights; needs 5, or \[\] for none"):
        build_model("egeunet", {"deep_supervision": [0.5, 0.5]})


@pytest.mark.parametrize("axes", [1, 2])
def test_a_gate_fits_any_size_without_further_parameters(axes: int) -> None:
    gate = Gate(4, axes=axes)

    assert {size: gate(*[size] * axes).shape for size in (1, 8, 13)} == {
        size: (1, 4, *[size] * axes) for size in (1, 8, 13)
    }
