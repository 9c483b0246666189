"""Every family of light peers keeps one contract, and each peer has the size that its paper prints or says why not."""

import copy

import pytest
import torch
from torch import Tensor, nn

from medbench.bench.cost.exporting import to_onnx, to_torchscript
from medbench.bench.errors import MedbenchError
from medbench.models.catalog import build_model
from medbench.models.fusing import fused
from medbench.models.outputs import Outputs
from medbench.models.peers import FAMILIES, PEERS
from medbench.models.probing import check_outputs

NEAR = 0.03  # of a published figure


@pytest.fixture(params=FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name).model


def images(n: int, height: int = 64, width: int = 64) -> Tensor:
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(1))


def maps(given: Tensor | Outputs) -> list[Tensor]:
    return [given.logits, *given.auxiliary.values()] if isinstance(given, Outputs) else [given]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (96, 64)])
def test_logits_have_the_size_of_the_image(model: nn.Module, height: int, width: int) -> None:
    given = maps(model.train()(images(2, height, width)))
    alone = model.eval()(images(1, height, width))

    assert {each.shape for each in given} == {(2, 1, height, width)}
    assert isinstance(alone, Tensor)
    assert alone.shape == (1, 1, height, width)
    assert alone.dtype == torch.float32


@pytest.mark.parametrize(("n_maps", "channels"), [(3, 1), (1, 4), (3, 4)])
def test_classes_and_channels_are_those_of_the_set(name: str, n_maps: int, channels: int) -> None:
    model = build_model(name, maps=n_maps, channels=channels).model
    given = model.train()(torch.randn(2, channels, 32, 32))
    logits = given.logits if isinstance(given, Outputs) else given
    logits.square().mean().backward()

    assert logits.shape == (2, n_maps, 32, 32)
    assert {each.shape[1] for each in maps(given)[1:]} <= {1}  # masks of stages
    assert model.eval()(torch.randn(1, channels, 32, 32)).shape == (1, n_maps, 32, 32)
    first = next(model.parameters())
    assert first.grad is not None
    assert bool((first.grad.abs().sum(dim=(0, 2, 3)) > 0).all())  # every channel of the images is seen


@pytest.mark.parametrize("name", PEERS)
def test_a_study_reads_its_outputs_as_logits(name: str) -> None:
    check_outputs(build_model(name).model, 32)


def test_every_parameter_learns(model: nn.Module) -> None:
    torch.stack([each.square().mean() for each in maps(model.train()(images(2)))]).sum().backward()

    assert [key for key, each in model.named_parameters() if each.grad is None or not each.grad.any()] == []


def test_images_do_not_see_each_other_in_evaluation(model: nn.Module) -> None:
    model.double().eval()  # norms over few channels enlarge what rounding does in single precision
    batch = images(3).double()

    with torch.inference_mode():
        together, alone = model(batch), torch.cat([model(image[None]) for image in batch])

    torch.testing.assert_close(together, alone, atol=1e-8, rtol=1e-8)


def test_all_of_it_learns_at_one_rate(model: nn.Module) -> None:
    assert not hasattr(model, "encoder")  # which has a rate of its own, for pretrained weights


def test_one_seed_gives_one_model(name: str, model: nn.Module) -> None:
    torch.manual_seed(0)
    again = build_model(name).model

    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    with torch.inference_mode():
        assert torch.equal(model.eval()(images(2)), again.eval()(images(2)))


def test_a_few_steps_lower_the_loss(model: nn.Module) -> None:
    batch, target = images(4), (images(4)[:, :1] > 0).float()
    target = nn.functional.interpolate(nn.functional.avg_pool2d(target, 16), scale_factor=16).round()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses: list[float] = []
    model.train()
    for _ in range(8):
        loss = sum(nn.functional.binary_cross_entropy_with_logits(each, target) for each in maps(model(batch)))
        assert isinstance(loss, Tensor)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))

    assert losses[-1] < losses[0]


def test_folded_norms_compute_the_same(model: nn.Module) -> None:
    model.double().eval()

    quick = fused(copy.deepcopy(model), images(1).double())

    with torch.inference_mode():
        torch.testing.assert_close(quick(images(2).double()), model(images(2).double()), atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("name", [each for each in FAMILIES if each not in ("egeunet", "ulite")])
def test_it_runs_as_onnx(model: nn.Module) -> None:
    """But for those that tests/cost/test_exporting.py exports, for it takes long."""
    assert to_onnx(model.eval(), 32)  # compared with torch's logits before it is given


def test_it_runs_as_torchscript(model: nn.Module) -> None:
    assert to_torchscript(model.eval(), 64)  # compared likewise


@pytest.mark.parametrize("name", PEERS)
def test_costs_are_those_of_the_paper_or_the_reason_is_told(name: str) -> None:
    entry = PEERS[name]
    assert entry.paper is not None
    pairs = ((entry.cost.parameters, entry.paper.parameters), (entry.cost.macs, entry.paper.macs))
    far = [(ours, theirs) for ours, theirs in pairs if theirs is not None and abs(ours / theirs - 1) > NEAR]

    assert bool(far) == bool(entry.paper.reason), far


def test_a_study_is_told_that_peers_have_no_pretrained_encoder(name: str) -> None:
    with pytest.raises(MedbenchError, match="say encoder_weights: none"):
        build_model(name, encoder_weights="imagenet")
