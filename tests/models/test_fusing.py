"""Folded batch norms: the same function, fewer kernels, and no harm where they cannot be folded."""

import pytest
import torch
from torch import Tensor, nn

from medbench.models.catalog import build_model
from medbench.models.fusing import fused

IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def lived(model: nn.Module) -> nn.Module:
    """With statistics of its norms that are not those it was born with."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, std=0.1)
    return model.eval()


def norms(model: nn.Module) -> int:
    return sum(isinstance(each, nn.BatchNorm2d) for each in model.modules())


@pytest.mark.parametrize("name", ["medlitenet", "no_transformer", "resnet18", "smp:Unet/tu-mobilenetv2_100"])
def test_a_fused_model_computes_the_same_without_norms(name: str) -> None:
    model = lived(build_model(name).model)
    before = norms(model)

    quick = fused(model, IMAGE)

    assert before > 20
    assert (norms(model), norms(quick)) == (before, 0)
    with torch.no_grad():
        wanted, found = model(IMAGE), quick(IMAGE)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


class Borrowed(nn.Module):
    """Uses what its convolution gave, beside the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 1, 3, padding=1), nn.BatchNorm2d(1)

    def forward(self, image: Tensor) -> Tensor:
        raw = self.convolution(image)
        return raw + self.norm(raw)


class Twice(nn.Module):
    """Calls the same pair two times."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, image: Tensor) -> Tensor:
        return self.norm(self.convolution(self.norm(self.convolution(image))))[:, :1]


class BatchesOwn(nn.Module):
    """Normalises by the batch's own statistics, in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 1, 3, padding=1), nn.BatchNorm2d(1, track_running_stats=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.norm(self.convolution(image))


@pytest.mark.parametrize("kind", [Borrowed, Twice, BatchesOwn])
def test_what_cannot_be_folded_stays(kind: type[nn.Module]) -> None:
    model = lived(kind()) if kind is not BatchesOwn else kind().eval()

    quick = fused(model, IMAGE)

    assert norms(quick) == 1
    with torch.no_grad():
        torch.testing.assert_close(quick(IMAGE), model(IMAGE))
