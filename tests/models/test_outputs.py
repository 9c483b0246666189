"""Outputs of foreign networks are read as the study says, or refused with what to write."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medbench.bench.errors import MedbenchError
from medbench.models.catalog import build_model
from medbench.models.names import VARIANTS
from medbench.models.outputs import Adapted, Outputs, Reading, maps_of
from medbench.models.probing import check_outputs

SIZE = 32
IMAGE = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


class Net(nn.Module):
    """A network that makes something of its map of `channels`; "mode" is whether it is in training."""

    def __init__(self, give: Callable[[Tensor, bool], Any], channels: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.give = give

    def forward(self, image: Tensor) -> Any:
        return self.give(self.conv(image), self.training)


@dataclass
class Named:
    logits: Tensor
    hidden: None = None


def half(x: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(x, 2)


REFUSED = [
    (Net(lambda x, _: x.sigmoid()), "kind: probabilities"),
    (Net(lambda x, mode: x if mode else x.sigmoid()), "kind_in_eval: probabilities"),
    (
        Net(lambda x, _: (x, half(x))),
        r"2 maps .*say output: {index: 0}; deep_supervision, a list of 1 weight, trains the other too",
    ),
    (Net(lambda x, _: (half(x), x)), "say output: {index: 1}"),
    (Net(lambda x, mode: (half(x), x) if mode else x), "say output: {index: 1}"),
    (Net(lambda x, _: {"aux": half(x), "out": x}), "say output: {key: out}"),
    (Net(lambda x, _: [x]), "say output: {index: 0}"),
    (
        Net(lambda x, _: ((x, x), x.sigmoid())),
        r"gives 3 maps of \(2, 1, 32, 32\).*{index: 0} or {index: 1} or {index: 2",
    ),
    (Net(lambda x, _: (half(x), x.sigmoid())), "say output: {index: 1, kind: probabilities}"),
    (Net(lambda x, _: x, 2), "kind: softmax"),
    (Net(lambda x, _: x.softmax(dim=1), 2), "kind: probabilities"),
    (Net(lambda x, _: x, 19), "number of classes"),
    (Net(lambda x, _: half(x)), "upsample: true"),
    (Net(lambda x, _: x[:, 0]), "kind: logits"),
    (Net(lambda x, _: x.mean()), "needs logits"),
    (Net(lambda x, _: None), "gives no tensor"),
    (Net(lambda x, _: x / 0), "not finite"),
    (Net(lambda x, _: x @ x[..., 1:, :]), "does not run on 2 images of 32 pixels in training"),
]


@pytest.mark.parametrize(("network", "said"), REFUSED)
def test_what_would_be_read_wrongly_is_refused_with_its_remedy(network: nn.Module, said: str) -> None:
    with pytest.raises(MedbenchError, match=said) as caught:
        check_outputs(network, SIZE)

    assert "\n" not in str(caught.value)


READ = [
    (lambda x, _: x.sigmoid(), 1, Reading(kind="probabilities")),
    (lambda x, mode: x if mode else x.sigmoid(), 1, Reading(kind_in_eval="probabilities")),
    (lambda x, _: (half(x), x), 1, Reading(index=1)),
    (lambda x, _: ((half(x), half(x)), x.sigmoid()), 1, Reading(index=-1, kind="probabilities")),
    (lambda x, mode: (half(x), x) if mode else x, 1, Reading(index=1)),
    (lambda x, _: {"out": x, "aux": half(x)}, 1, Reading(key="out")),
    (lambda x, _: Named(x), 1, Reading(key="logits")),
    (lambda x, _: x[:, 0], 1, Reading(kind="logits")),
    (lambda x, _: torch.cat([0.25 - 0.5 * x, 0.25 + 0.5 * x], dim=1), 1, Reading(kind="softmax")),
    (lambda x, _: torch.cat([-x.sigmoid() + 1, x.sigmoid()], dim=1), 1, Reading(kind="probabilities")),
]


@pytest.mark.parametrize(("give", "channels", "reading"), READ)
def test_what_a_study_says_is_read_as_the_same_logits(
    give: Callable[[Tensor, bool], Any], channels: int, reading: Reading
) -> None:
    network = Net(give, channels)
    adapted = Adapted(network, reading)
    check_outputs(Adapted(Net(give, channels), reading), SIZE)

    for training in (True, False):
        torch.testing.assert_close(adapted.train(training)(IMAGE), network.conv(IMAGE), atol=1e-4, rtol=1e-4)


def test_small_maps_are_interpolated_to_the_image() -> None:
    network = Net(lambda x, _: half(x))

    expected = nn.functional.interpolate(half(network.conv(IMAGE)), scale_factor=2, mode="bilinear")

    torch.testing.assert_close(Adapted(network, Reading(upsample=True))(IMAGE), expected)


@pytest.mark.parametrize(
    ("give", "reading", "said"),
    [
        (lambda x, _: x, Reading(kind="probabilities"), "which are no probabilities"),
        (lambda x, _: x, Reading(kind="softmax"), "2 channels"),
        (lambda x, _: torch.cat([x, -x], dim=1), Reading(kind="probabilities"), "say kind: softmax"),
        (lambda x, _: x, Reading(index=7), "gives one map: leave index and key out"),
        (lambda x, _: x, Reading(key="out"), "gives one map: leave index and key out"),
        (lambda x, _: {"out": x}, Reading(key="oot"), "has no map oot"),
        (lambda x, _: (x, x), Reading(index=2), "has no map 2"),
        (lambda x, _: {"a": x, "b": x}, Reading(key="c"), "has no map c"),
        (lambda x, _: (x, x, x), Reading(index=0, deep_supervision=[1.0]), "2 maps besides"),
        (lambda x, _: x.sigmoid(), Reading(upsample=True), "kind: probabilities"),
        (lambda x, _: (x, x.repeat(1, 3, 1, 1)), Reading(index=0, deep_supervision=[1.0]), r"\(2, 3, 32, 32\)"),
    ],
)
def test_a_wrong_word_of_the_study_is_refused(give: Callable[[Tensor, bool], Any], reading: Reading, said: str) -> None:
    with pytest.raises(MedbenchError, match=said):
        check_outputs(Adapted(Net(give), reading), SIZE)


def test_a_network_that_says_logits_is_believed() -> None:
    check_outputs(Adapted(Net(lambda x, _: x.sigmoid()), Reading(kind="logits")), SIZE)


def test_logits_that_happen_to_lie_between_0_and_1_are_no_probabilities() -> None:
    for scale, offset in ((1e-4, 0.5), (0.0, 0.0)):
        network = Net(lambda x, _: x)
        for parameter in network.parameters():
            nn.init.constant_(parameter, scale if parameter.ndim > 1 else offset)

        check_outputs(network, SIZE)


class Heads(nn.Module):
    """Gives a map of each head in training, that of the last in evaluation, as U-Net++ does."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(3, 1, 1) for _ in range(3))

    def forward(self, image: Tensor) -> Any:
        maps = [head(image) for head in self.heads]
        return maps if self.training else maps[-1]


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (Reading(), r"gives 3 maps of .* say output: {index: 2}; deep"),
        (Reading(index=0), r"depends on heads.2.bias and 1 more, which map 0 does not; say output: {index: 2}"),
        (Reading(index=0, deep_supervision=[1.0, 0.0]), "tests what it does not train"),
    ],
)
def test_a_map_that_is_tested_and_not_trained_is_found(reading: Reading, said: str) -> None:
    with pytest.raises(MedbenchError, match=said):
        check_outputs(Heads() if reading == Reading() else Adapted(Heads(), reading), SIZE)
    check_outputs(Adapted(Heads(), Reading(index=2)), SIZE)
    check_outputs(Adapted(Heads(), Reading(index=0, deep_supervision=[0.5, 0.5])), SIZE)


def test_other_maps_come_with_their_weights_in_training_alone() -> None:
    network = Net(lambda x, _: ((half(x).sigmoid(), x.sigmoid()), (2 * x).sigmoid()))
    adapted = Adapted(network, Reading(index=2, kind="probabilities", deep_supervision=[0.1, 0.2]))

    given, alone = adapted.train()(IMAGE), adapted.eval()(IMAGE)

    assert isinstance(given, Outputs)
    assert isinstance(alone, Tensor)
    logits = network.conv(IMAGE)
    torch.testing.assert_close(given.logits, 2 * logits, atol=1e-4, rtol=1e-4)
    assert given.weights == {"0": 0.1, "1": 0.2}
    assert {each.shape for each in given.auxiliary.values()} == {logits.shape}
    torch.testing.assert_close(given.auxiliary["1"], logits, atol=1e-4, rtol=1e-4)


def test_probabilities_learn_as_their_logits_do() -> None:
    target = (IMAGE[:, :1] > 0).float()
    gradients: list[Tensor] = []
    for give, reading in ((lambda x, _: x, Reading()), (lambda x, _: x.sigmoid(), Reading(kind="probabilities"))):
        network = Net(give)
        nn.functional.binary_cross_entropy_with_logits(Adapted(network, reading)(IMAGE), target).backward()
        gradient = network.conv.weight.grad
        assert gradient is not None
        gradients.append(gradient)

    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


def test_maps_are_named_by_keys_and_counted_through_tuples() -> None:
    a, b, c = (torch.zeros(i) for i in (1, 2, 3))

    assert [name for name, _ in maps_of(((a, b), c))] == ["0", "1", "2"]
    assert [name for name, _ in maps_of({"out": a, "aux": [b, c]})] == ["out", "aux.0", "aux.1"]
    assert [name for name, _ in maps_of({"out": a, "aux": [b], "loss": None})] == ["out", "aux"]
    assert [name for name, _ in maps_of(Named(a))] == ["logits"]


def test_the_encoder_of_an_adapted_network_is_its_own() -> None:
    network = Net(lambda x, _: x)
    network.encoder = nn.Identity()

    assert Adapted(network, Reading()).encoder is network.encoder
    assert not hasattr(Adapted(Net(lambda x, _: x), Reading()), "encoder")


@pytest.mark.parametrize("name", [*VARIANTS, "smp:Unet/resnet18"])
def test_our_own_models_pass(name: str) -> None:
    check_outputs(build_model(name).model, 64)
