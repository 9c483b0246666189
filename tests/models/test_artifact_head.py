"""A head that learns where artifacts are painted: what is left of it at inference, and attention that listens to it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medbench.bench.errors import MedbenchError
from medbench.models.blocks import BoundaryAwareAttention
from medbench.models.catalog import build_model, resolve_model
from medbench.models.counting import count_parameters
from medbench.models.heads import WithHeads, at_inference, learns_artifacts, segmentation_only
from medbench.models.medlitenet import MedLiteNet
from medbench.models.names import FAMILIES
from medbench.models.outputs import ARTIFACT, Outputs

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
CERTAIN = 50.0  # a logit whose sigmoid is 1 in single precision


def drawn(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return build_model(name, options).model


def gives(model: nn.Module) -> Tensor:
    with torch.inference_mode():
        return model.eval()(IMAGES)


def saying(logit: float) -> Any:
    """`gated_baa` whose head is certain of the same everywhere."""
    model = drawn("gated_baa")
    last = model.artifact.read[-1]
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, logit)
    return model


def test_a_seed_draws_the_same_network_with_the_head_and_without() -> None:
    plain, headed = drawn("medlitenet"), drawn("artifact_head")

    weights = headed.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in plain.state_dict().items())
    assert {name.partition(".")[0] for name in weights.keys() - plain.state_dict().keys()} == {"artifact"}
    assert torch.equal(gives(headed), gives(plain))


def test_in_training_it_gives_logits_of_artifacts_too_and_every_parameter_learns() -> None:
    for name in ("artifact_head", "gated_baa"):
        model = drawn(name, artifact_weight=0.25).train()

        given = model(IMAGES)
        (given.logits.square().mean() + given.auxiliary[ARTIFACT].square().mean()).backward()

        assert isinstance(given, Outputs)
        assert given.logits.shape == given.auxiliary[ARTIFACT].shape == (2, 1, 64, 96)
        assert given.weights == {ARTIFACT: 0.25}
        assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []


def test_nothing_of_an_ungated_head_is_left_at_inference() -> None:
    plain, headed = drawn("medlitenet"), drawn("artifact_head")

    light = at_inference(headed)

    assert light.state_dict().keys() == plain.state_dict().keys()
    assert count_parameters(light) == count_parameters(plain) < count_parameters(headed)
    assert torch.equal(gives(light), gives(plain))
    assert headed.artifact is not None  # the model itself keeps it, and goes on learning
    assert light.encoder is headed.encoder
    with_task = build_model("artifact_head", tasks={"kind": 2}).model
    assert isinstance(at_inference(with_task), WithHeads)
    assert not any(name.startswith("artifact") for name in segmentation_only(with_task).state_dict())


def test_gated_attention_is_none_where_an_artifact_is_certain_and_as_usual_where_there_is_none() -> None:
    plain, without = drawn("medlitenet"), drawn("no_baa")
    without.load_state_dict({k: v for k, v in plain.state_dict().items() if k in without.state_dict()})

    torch.testing.assert_close(gives(saying(-CERTAIN)), gives(plain))
    torch.testing.assert_close(gives(saying(CERTAIN)), gives(without))
    assert not torch.allclose(gives(plain), gives(without), atol=1e-3)


def test_an_artifact_quiets_the_response_where_it_lies_and_nowhere_else() -> None:
    attention = BoundaryAwareAttention(4)
    x = torch.randn(1, 4, 8, 8)
    artifact = torch.zeros(1, 1, 16, 16)
    artifact[..., :8] = 1.0  # the left half, at twice the size
    artifact[..., 8:10] = 0.5  # half of the fifth column's cells

    found = attention(x, artifact) / x - 1

    response = attention.response(x)
    assert found[..., :4].abs().max() < 1e-5
    torch.testing.assert_close(found[..., 4], (0.5 * response.expand_as(x))[..., 4], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found[..., 5:], response.expand_as(x)[..., 5:], atol=1e-4, rtol=1e-3)


def test_the_loss_of_the_lesion_does_not_reach_the_head() -> None:
    model = drawn("gated_baa").train()

    model(IMAGES).logits.square().mean().backward()

    assert all(each.grad is None for each in model.artifact.parameters())
    assert all(each.grad is not None for each in model.boundary.parameters())


def test_what_listens_needs_something_to_listen_to() -> None:
    with pytest.raises(MedbenchError, match="artifact_weight: a number from 0 on"):
        build_model("medlitenet", {"artifact_weight": -0.5})
    for options in ({"gated": True}, {"gated": True, "artifact_weight": 0.5, "boundary_attention": False}):
        with pytest.raises(MedbenchError, match="gated: needs boundary_attention and an artifact_weight above 0"):
            build_model("medlitenet", options)


def test_options_that_came_later_are_in_a_configuration_only_where_they_are_used() -> None:
    before = {*FAMILIES["medlitenet"].options} - {"artifact_weight", "gated"}

    assert resolve_model("medlitenet", {})[1].keys() == before
    assert resolve_model("medlitenet", {"artifact_weight": 0.0, "gated": False})[1].keys() == before
    assert resolve_model("artifact_head", {})[1].keys() == before | {"artifact_weight"}
    assert (
        resolve_model("medlitenet", {"artifact_weight": 0.5, "gated": True})[:2] == resolve_model("gated_baa", {})[:2]
    )


def test_who_learns_artifacts_is_known() -> None:
    assert learns_artifacts(MedLiteNet(artifact_weight=0.1))
    assert learns_artifacts(build_model("gated_baa", tasks={"kind": 2}).model)
    assert not learns_artifacts(MedLiteNet())
    assert not learns_artifacts(nn.Identity())
