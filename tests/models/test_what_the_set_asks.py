"""Classes, labels and channels of a data set reach every model; a network that does not fit is told what to write."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from medbench.bench.errors import MedbenchError
from medbench.bench.metrics import LESION, Target
from medbench.models.catalog import build_model, network_of, resolve_model, untrained_model
from medbench.models.counting import cost
from medbench.models.ensemble import Ensemble
from medbench.models.names import FAMILIES
from medbench.models.outputs import Adapted, Outputs, Reading
from medbench.models.probing import check_outputs

HERE = __name__
SIZE = 32
IMAGE = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


class Asking(nn.Module):
    """Names what the set decides, and gives what it is told to."""

    def __init__(self, *, maps: int = 1, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, maps, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


class Fixed(nn.Module):
    """Has an option for its classes and one for its channels, by names of their own."""

    def __init__(self, num_classes: int = 1, in_chans: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chans, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


class Giving(nn.Module):
    """A network that makes something of its map of four channels."""

    def __init__(self, give: Callable[[Tensor], Any], width: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.give = give

    def forward(self, image: Tensor) -> Any:
        return self.give(self.conv(image))


def made(n_classes: int = 1) -> nn.Module:
    return Fixed(n_classes)


def wide(maps: int = 1, channels: int = 8) -> nn.Module:
    return Asking(maps=maps, channels=channels)


def shape_of_first(model: nn.Module) -> tuple[int, ...]:
    return tuple(next(model.parameters()).shape[:2])


FINGERPRINTS = {  # sum over weights, each tensor's absolute values times its place, before models knew of other sets
    "medlitenet": 55639638.65907572,
    "unet": 4968267.64822484,
    "unext": 1236848.8446226406,
    "malunet": 4090274.635849071,
    "egeunet": 2138625.416724667,
    "ultralight_vmunet": 353343.7094437199,
    "cmunext": 13551839.331687115,
    "ulite": 2087549.2849064106,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_for_one_structure_and_three_channels_a_seed_draws_the_weights_that_it_always_drew(family: str) -> None:
    torch.manual_seed(0)
    state = build_model(family).model.state_dict()

    found = sum(place * float(value.double().abs().sum()) for place, value in enumerate(state.values(), 1))

    assert found == pytest.approx(FINGERPRINTS[family], rel=1e-6)


@pytest.mark.parametrize("option", ["maps", "channels", "classes", "num_classes", "in_channels"])
@pytest.mark.parametrize("name", ["no_baa", "egeunet"])
def test_what_the_set_decides_is_no_option_of_our_models(name: str, option: str) -> None:
    with pytest.raises(MedbenchError, match=f"option '{option}' of model '{name}': the data set decides"):
        build_model(name, {option: 2})

    assert not {"maps", "channels"} & {*resolve_model(name, {})[1]}


@pytest.mark.parametrize("option", ["classes", "in_channels"])
def test_nor_is_it_of_smps(option: str) -> None:
    with pytest.raises(MedbenchError, match=f"option '{option}' of model 'smp:Unet/resnet18': the data set decides"):
        build_model("smp:Unet/resnet18", {option: 2})


@pytest.mark.parametrize("name", ["smp:Unet/resnet18", "smp:Unet/tu-mobilenetv3_small_050"])
def test_smps_models_have_the_classes_and_channels_of_the_set(name: str) -> None:
    model = build_model(name, maps=3, channels=4).model.eval()

    assert model(torch.randn(1, 4, 64, 64)).shape == (1, 3, 64, 64)


def test_a_network_of_ones_own_is_passed_what_it_names_and_was_not_given() -> None:
    both = build_model(f"{HERE}:Asking", maps=4, channels=1).model
    given = build_model(f"{HERE}:Asking", {"maps": 2}, maps=4, channels=1).model
    neither = build_model(f"{HERE}:Fixed", maps=4, channels=1).model

    assert [shape_of_first(model) for model in (both, given, neither)] == [(4, 1), (2, 1), (1, 3)]


def test_what_is_usual_is_passed_to_nobody() -> None:
    assert shape_of_first(build_model(f"{HERE}:wide").model) == (1, 8)


@pytest.mark.parametrize("maps", [1, 3])
def test_medlitenets_maps_are_interpolated_each_on_its_own(maps: int) -> None:
    torch.manual_seed(0)
    model: Any = build_model("medlitenet", {"backbone": "mobilenetv3_small_050", "width": 32}, maps=maps).model
    small = torch.randn(2, maps, 7, 5)

    found = model.to_input_size(small)

    torch.testing.assert_close(found, nn.functional.interpolate(small, scale_factor=2, mode="bilinear"))


@pytest.mark.parametrize("channels", [1, 4])
def test_a_pretrained_first_convolution_is_made_to_fit_as_timm_does(tmp_path: Path, channels: int) -> None:
    name, path = "mobilenetv3_small_050", tmp_path / "weights.safetensors"
    torch.manual_seed(0)
    whole = timm.create_model(name, features_only=True)
    save_file(whole.state_dict(), path)
    file = {"file": str(path)}
    theirs = timm.create_model(
        name, features_only=True, in_chans=channels, pretrained=True, pretrained_cfg_overlay=file
    )

    built = build_model("medlitenet", {"backbone": name}, encoder_weights=str(path), channels=channels)
    of_smp = build_model(f"smp:Unet/tu-{name}", encoder_weights=str(path), channels=channels)

    rgb = whole.state_dict()["conv_stem.weight"]
    first = {1: rgb.sum(dim=1, keepdim=True), 4: torch.cat([rgb, rgb[:, :1]], dim=1) * 3 / 4}[channels]
    for encoder in (built.model.get_submodule("encoder"), of_smp.model.get_submodule("encoder.model")):
        state = encoder.state_dict()
        torch.testing.assert_close(state["conv_stem.weight"], first)
        assert all(torch.equal(state[key], value) for key, value in theirs.state_dict().items() if key in state)


def test_a_trials_configuration_says_which_network_it_is() -> None:
    classes = Target(("edge", "core"))
    labels = Target(("edge", "core"), overlap=True)

    assert network_of({"options": {}, "size": 64}) == {"options": {}}
    assert network_of({"options": {}, "target": LESION.plain()}) == {"options": {}}
    assert network_of({"target": classes.plain(), "channels": 1}) == {"maps": 3, "overlap": False, "channels": 1}
    assert network_of({"target": labels.plain()}) == {"maps": 2, "overlap": True}


def test_costs_follow_classes_and_channels() -> None:
    few = cost(lambda: build_model("unext_s").model, 64)
    many = cost(lambda: build_model("unext_s", maps=4, channels=1).model, 64, channels=1)

    assert few["macs"] is not None
    assert many["macs"] is not None
    assert many["parameters"] - few["parameters"] == 3 * (8 + 1) - 2 * 8 * 9  # of the head, of the first convolution
    assert many["macs"] - few["macs"] == 3 * 8 * 64 * 64 - 2 * 8 * 9 * 64 * 64
    assert cost(lambda: untrained_model("unext_s", maps=4, channels=1), 64, channels=1) == many


@pytest.mark.parametrize("overlap", [False, True])
def test_an_ensemble_of_several_maps_averages_probabilities(overlap: bool) -> None:
    members = [Giving(lambda x: x), Giving(lambda x: 2 * x)]

    def probabilities(logits: Tensor) -> Tensor:
        return logits.sigmoid() if overlap else logits.softmax(dim=1)

    with torch.inference_mode():
        expected = 0.75 * probabilities(members[0](IMAGE)) + 0.25 * probabilities(members[1](IMAGE))
        found = Ensemble(members, [3.0, 1.0], overlap=overlap)(IMAGE)

    torch.testing.assert_close(probabilities(found), expected)


@pytest.mark.parametrize(
    ("give", "overlap"), [(lambda x: x.softmax(dim=1), False), (lambda x: x.sigmoid(), True)], ids=["classes", "labels"]
)
def test_probabilities_of_several_maps_are_read_as_their_logits(
    give: Callable[[Tensor], Tensor], overlap: bool
) -> None:
    network = Giving(give)
    adapted = Adapted(network, Reading(kind="probabilities"), maps=4, overlap=overlap)
    check_outputs(
        Adapted(Giving(give), Reading(kind="probabilities"), maps=4, overlap=overlap), SIZE, maps=4, overlap=overlap
    )

    logits = adapted(IMAGE)

    torch.testing.assert_close(give(logits), give(network.conv(IMAGE)))


def test_other_maps_of_one_channel_are_read_beside_several_classes() -> None:
    network = Giving(lambda x: (x.softmax(dim=1), x[:, :1].sigmoid(), x.softmax(dim=1)))
    reading = Reading(index=0, kind="probabilities", deep_supervision=[0.1, 0.2])

    given = Adapted(network, reading, maps=4)(IMAGE)

    assert isinstance(given, Outputs)
    assert [each.shape[1] for each in given.auxiliary.values()] == [1, 4]
    torch.testing.assert_close(given.auxiliary["1"], network.conv(IMAGE)[:, :1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("reading", [Reading(kind="softmax"), Reading(kind_in_eval="softmax")])
def test_a_softmax_of_two_channels_means_nothing_of_several_classes(reading: Reading) -> None:
    with pytest.raises(MedbenchError, match="what comes before a softmax over all of them is logits, so leave it out"):
        Adapted(Giving(lambda x: x), reading, maps=4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            f"{HERE}:Fixed",
            r"the set has 4 classes with the background, needs logits \(B, 4, H, W\): .*{num_classes: 4}",
        ),
        (f"{HERE}:made", "say options: {n_classes: 4}"),
        ("", "say options: {num_classes: 4}"),
    ],
)
def test_too_few_channels_are_refused_with_the_option_that_sets_them(name: str, said: str) -> None:
    with pytest.raises(MedbenchError, match=said) as caught:
        check_outputs(Fixed(), SIZE, maps=4, name=name)

    assert str(caught.value).startswith("gives (2, 1, 32, 32) in training, of images (2, 3, 32, 32)")


def test_where_no_option_is_known_by_its_name_an_example_is_given() -> None:
    with pytest.raises(MedbenchError, match=r"number of classes to 3, as in options: {num_classes: 3}"):
        check_outputs(Giving(lambda x: x), SIZE, maps=3)
    with pytest.raises(MedbenchError, match=r"the set has 5 labels, needs logits \(B, 5, H, W\)"):
        check_outputs(Giving(lambda x: x), SIZE, maps=5, overlap=True)


def test_images_of_other_channels_are_refused_with_the_option_that_sets_them() -> None:
    with pytest.raises(MedbenchError, match=r"these have 4 channels: say options: {in_chans: 4}"):
        check_outputs(Fixed(), SIZE, channels=4)
    check_outputs(Fixed(in_chans=4), SIZE, channels=4)


@pytest.mark.parametrize(
    ("give", "overlap", "reading", "said"),
    [
        (lambda x: x.softmax(dim=1), False, None, "say output: {kind: probabilities}, or {kind: logits}"),
        (lambda x: x.sigmoid(), True, None, "say output: {kind: probabilities}, or {kind: logits}"),
        (lambda x: x.sigmoid(), False, None, "do not sum to 1.* may have one class: leave the sigmoid out"),
        (lambda x: x.softmax(dim=1), True, None, "that sum to 1.* may have several labels: leave the softmax out"),
        (lambda x: x.sigmoid(), False, "probabilities", "leave the sigmoid out"),
        (lambda x: x.softmax(dim=1), True, "probabilities", "leave the softmax out"),
        (lambda x: x, False, "probabilities", "which are no probabilities: leave kind out"),
        (lambda x: x[:, 0], False, None, r"gives \(2, 32, 32\).*needs logits \(B, 4, H, W\)$"),
        (
            lambda x: {"out": x, "aux": x},
            False,
            None,
            r"gives 2 maps.*needs logits \(B, 4, H, W\): say output: {key: out",
        ),
    ],
)
def test_what_would_be_read_wrongly_of_several_maps_is_refused_with_its_remedy(
    give: Callable[[Tensor], Any], overlap: bool, reading: str | None, said: str
) -> None:
    network: nn.Module = Giving(give)
    if reading:
        network = Adapted(network, Reading(kind=reading), maps=4, overlap=overlap)

    with pytest.raises(MedbenchError, match=said) as caught:
        check_outputs(network, SIZE, maps=4, overlap=overlap)

    assert "\n" not in str(caught.value)


def test_what_is_said_to_be_logits_is_believed() -> None:
    network = Adapted(Giving(lambda x: x.sigmoid()), Reading(kind="logits"), maps=4)

    check_outputs(network, SIZE, maps=4)


def test_options_of_a_trial_stay_what_they_were() -> None:
    assert json.dumps(resolve_model("egeunet", {})[1]) == (
        '{"widths": [8, 16, 24, 32, 48, 64], "deep_supervision": [0.1, 0.2, 0.3, 0.4, 0.5]}'
    )
