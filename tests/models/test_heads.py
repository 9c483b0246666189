"""Heads of image-level tasks: any network keeps its weights and its map under them, and both learn."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medbench.bench.cost.exporting import to_onnx, to_torchscript
from medbench.bench.cost.runtimes import Subject
from medbench.bench.errors import MedbenchError
from medbench.models.catalog import build_model, network_of
from medbench.models.counting import cost
from medbench.models.encoder_weights import state_digest
from medbench.models.ensemble import Ensemble
from medbench.models.fusing import fused
from medbench.models.heads import BOTTLENECKS, WithHeads, segmentation_only
from medbench.models.names import FAMILIES
from medbench.models.outputs import Outputs
from medbench.models.probing import check_outputs

HERE = __name__
TASKS = {"malignant": 2, "type": 5}  # the second is a name that modules have themselves
SIZE = 64


class Own(nn.Module):
    """A network of a user's own, whose deepest map has 12 channels; its gate has one place."""

    def __init__(self, *, gives: str = "one", maps: int = 1, channels: int = 3) -> None:
        super().__init__()
        self.encoder = nn.Sequential()
        self.encoder.add_module(
            "first", nn.Sequential(nn.Conv2d(channels, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.Dropout2d(0.5))
        )
        self.encoder.add_module("deep", nn.Conv2d(6, 12, 3, 2, 1))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(12, 12, 1))
        self.unused = nn.Conv2d(3, 3, 1)
        self.head = nn.Conv2d(12, maps, 1)
        self.gives = gives

    def forward(self, image: Tensor) -> Any:
        x = self.encoder(image)
        x = x * self.gate(x).sigmoid()
        x = self.head(nn.functional.interpolate(self.gate(x) + x, image.shape[-2:], mode="bilinear"))
        return {"one": x, "two": (x, 2 * x)}[self.gives]


class OfOneSize(nn.Module):
    """Runs on images of 48 pixels alone."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 1, 48, 48))

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :1] + self.bias


OWN = {"output": {"bottleneck": "encoder.deep"}}
NAMED: dict[str, dict[str, Any]] = {
    **{family: {} for family in FAMILIES},
    "smp:Unet/tu-mobilenetv3_small_050": {},
    "smp:FPN/resnet18": {},
    f"{HERE}:Own": OWN,
}
WIDTHS = {  # channels of the deepest stage
    "medlitenet": 256,
    "unet": 512,
    "unext": 256,
    "malunet": 64,
    "egeunet": 64,
    "ultralight_vmunet": 64,
    "cmunext": 256,
    "ulite": 512,
    "smp:Unet/tu-mobilenetv3_small_050": 288,
    "smp:FPN/resnet18": 512,
    f"{HERE}:Own": 12,
}


def images(n: int, channels: int = 3) -> Tensor:
    return torch.randn(n, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def built(name: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    return build_model(name, **{**NAMED[name], **settings}).model


def test_every_family_has_a_bottleneck() -> None:
    assert {*BOTTLENECKS} == {*FAMILIES}


@pytest.mark.parametrize("name", NAMED)
def test_the_map_and_all_tasks_come_from_one_network(name: str) -> None:
    alone, model = built(name), built(name, tasks=TASKS)
    parameters = model.network.state_dict()

    assert list(parameters) == list(alone.state_dict())
    assert all(torch.equal(value, parameters[key]) for key, value in alone.state_dict().items())
    assert all(each.training for each in model.modules())  # though it was tried
    assert [head.weight.shape for head in model.heads] == [(2, WIDTHS[name]), (5, WIDTHS[name])]

    given = model(images(2))
    assert isinstance(given, Outputs)
    (given.logits.square().mean() + sum(each.square().mean() for each in given.labels.values())).backward()

    assert given.logits.shape == (2, 1, SIZE, SIZE)
    assert {key: value.shape for key, value in given.labels.items()} == {"malignant": (2, 2), "type": (2, 5)}
    assert bool(next(model.network.parameters()).grad.any())
    assert all(bool(parameter.grad.any()) for parameter in model.heads.parameters())

    alone.load_state_dict(model.network.state_dict())
    model.eval()
    alone.eval()
    with torch.inference_mode():
        tested = model(images(2))
        assert {*tested.labels} == {*TASKS}
        assert torch.equal(tested.logits, alone(images(2)))
        assert torch.equal(segmentation_only(model)(images(2)), alone(images(2)))


@pytest.mark.parametrize("name", ["unext", f"{HERE}:Own"])
def test_what_a_head_says_teaches_the_network_above_it(name: str) -> None:
    model = built(name, tasks={"malignant": 2})

    model(images(2)).labels["malignant"].square().mean().backward()

    learnt = [key for key, each in model.network.named_parameters() if each.grad is not None and each.grad.any()]
    assert learnt
    assert all(key.startswith(("down.", "network.encoder.")) for key in learnt)


def test_a_head_sees_the_mean_over_the_deepest_map() -> None:
    model = built(f"{HERE}:Own", tasks=TASKS).eval()
    deep = model.network.network.encoder(images(2))

    expected = model.heads[1](deep.mean(dim=(2, 3)))

    torch.testing.assert_close(model(images(2)).labels["type"], expected)


def test_heads_drop_a_part_of_what_they_see_in_training_alone() -> None:
    model = built("egeunet", tasks=TASKS)
    parts = [model.train(training)(images(2)).labels["type"] for training in (True, True, False, False)]

    assert not torch.equal(parts[0], parts[1])
    assert torch.equal(parts[2], parts[3])


def test_building_heads_moves_no_random_number_and_no_statistics() -> None:
    torch.manual_seed(0)
    network = Own()
    network.gate.eval()
    before, digest = torch.get_rng_state(), state_digest(network)

    WithHeads(network, {}, "encoder.deep")

    assert torch.equal(torch.get_rng_state(), before)
    assert state_digest(network) == digest
    assert [name for name, each in network.named_modules() if name and not each.training] == [
        "gate",
        "gate.0",
        "gate.1",
    ]


def test_tasks_in_another_order_are_the_same_model() -> None:
    ways = [built("unext", tasks=tasks) for tasks in (TASKS, dict(reversed(TASKS.items())))]

    assert state_digest(ways[0]) == state_digest(ways[1])


def test_a_copy_and_loaded_weights_say_the_same() -> None:
    model = built("malunet", tasks=TASKS).eval()
    copied, loaded = copy.deepcopy(model), build_model("malunet", tasks=TASKS).model.eval()
    loaded.load_state_dict(model.state_dict())
    nn.init.zeros_(next(model.parameters()))  # the copy no longer sees the original

    with torch.inference_mode():
        given, again, other = copied(images(2)), loaded(images(2)), model(images(2))

    assert torch.equal(given.logits, again.logits)
    assert torch.equal(given.labels["type"], again.labels["type"])
    assert not torch.equal(given.labels["type"], other.labels["type"])


@pytest.mark.parametrize("channels", [1, 4])
def test_heads_stand_on_networks_of_several_classes_and_other_channels(channels: int) -> None:
    model = built("medlitenet", options={"backbone": "resnet18"}, maps=3, channels=channels, tasks=TASKS).eval()

    assert model(images(1, channels)).logits.shape == (1, 3, SIZE, SIZE)


def test_the_encoder_is_the_networks_own() -> None:
    model, own = built("medlitenet", tasks=TASKS), built(f"{HERE}:Own", tasks=TASKS)

    assert model.encoder is model.network.encoder
    assert own.encoder is own.network.network.encoder
    assert not hasattr(built("unext", tasks=TASKS), "encoder")


def test_what_heads_cost_is_counted() -> None:
    alone, model = (cost(lambda tasks=tasks: built("unext", tasks=tasks), SIZE) for tasks in (None, TASKS))

    assert alone["macs"] is not None
    assert model["macs"] is not None
    assert model["parameters"] - alone["parameters"] == (256 + 1) * (2 + 5)
    assert model["macs"] - alone["macs"] == 256 * (2 + 5)


def test_the_map_alone_is_exported_and_timed() -> None:
    model = built(f"{HERE}:Own", tasks=TASKS, channels=4, maps=3).eval()

    assert to_onnx(model, SIZE, channels=4)
    assert to_torchscript(model, SIZE, channels=4)
    assert isinstance(Subject("with heads", model, SIZE, channels=4).fused(images(1, 4)), Tensor)


def test_folded_norms_say_the_same() -> None:
    model = built(f"{HERE}:Own", tasks=TASKS, output={"bottleneck": "encoder.first"}).eval()

    quick = fused(model, images(1))

    with torch.inference_mode():
        torch.testing.assert_close(quick(images(2)).labels, model(images(2)).labels, atol=1e-5, rtol=1e-5)
    assert not any(isinstance(each, nn.BatchNorm2d) for each in quick.modules())


def test_compiled_they_are_one_graph_that_is_made_once() -> None:
    model = built("unext", tasks=TASKS)
    graphs: list[Any] = []

    def look(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(model, dynamic=False, backend=look)
    given = [compiled(images(2)) for _ in range(3)]

    assert len(graphs) == 1
    assert {*given[-1].labels} == {*TASKS}


def test_an_ensemble_averages_what_heads_say_too() -> None:
    members = [built("malunet", tasks=TASKS).eval(), build_model("malunet", tasks=TASKS).model.eval()]
    ensemble = Ensemble(members, [3.0, 1.0]).eval()

    with torch.inference_mode():
        first, second, found = members[0](images(2)), members[1](images(2)), ensemble(images(2))
        expected = 0.75 * first.labels["type"].softmax(dim=1) + 0.25 * second.labels["type"].softmax(dim=1)
        mapped = 0.75 * first.logits.sigmoid() + 0.25 * second.logits.sigmoid()

        torch.testing.assert_close(found.labels["type"].softmax(dim=1), expected)
        torch.testing.assert_close(found.logits.sigmoid(), mapped)
        assert torch.equal(segmentation_only(ensemble)(images(2)), found.logits)


def test_a_trials_configuration_says_its_tasks() -> None:
    config = {"tasks": {"malignant": {"classes": ["no", "yes"], "weight": 1.0}}}

    assert network_of(config) == {"tasks": {"malignant": 2}}


@pytest.mark.parametrize(
    ("name", "output", "said"),
    [
        (
            "Own",
            {},
            r"output.bottleneck is not said.*: say output: {bottleneck: encoder} or {bottleneck: encoder.deep}$",
        ),
        (
            "Own",
            {"bottleneck": "encoder.depe"},
            "encoder.depe: the network has no such part: say .*{bottleneck: encoder}",
        ),
        ("Own", {"bottleneck": "unused"}, r"unused: gives no maps \(B, C, H, W\) in a pass, needs one: say output"),
        ("Own", {"bottleneck": "gate"}, "gate: gives 2 maps"),
        ("OfOneSize", {}, "does not run on an image of 3 channels and 64, 256 or 224 pixels"),
    ],
)
def test_without_one_map_to_see_the_parts_that_give_one_are_named(name: str, output: dict[str, Any], said: str) -> None:
    with pytest.raises(MedbenchError, match=said) as caught:
        build_model(f"{HERE}:{name}", output=output, tasks=TASKS)

    assert str(caught.value).startswith(f"model '{HERE}:{name}': ")
    assert "\n" not in str(caught.value)


def test_networks_with_heads_are_tried_as_those_without() -> None:
    def model(**output: Any) -> nn.Module:
        options = {"gives": "two"}
        return build_model(f"{HERE}:Own", options, output={"bottleneck": "encoder", **output}, tasks=TASKS).model

    check_outputs(model(index=0), SIZE)
    check_outputs(built("egeunet", tasks=TASKS), SIZE)
    with pytest.raises(MedbenchError, match=r"gives 2 maps .*say output: {index: 0} or {index: 1}"):
        check_outputs(model(), SIZE)


def test_where_the_bottleneck_alone_is_told_maps_are_read_as_if_nothing_was() -> None:
    network = build_model(f"{HERE}:Own", output={"bottleneck": "encoder"}).model

    check_outputs(network, SIZE)
