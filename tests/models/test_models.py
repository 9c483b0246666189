"""MedLiteNet and its mechanisms do what they claim; every way to name a model leads to it or to a clear error."""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from segmentation_models_pytorch.base.modules import SCSEModule
from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPP
from torch import Tensor, nn

from medbench.bench.errors import MedbenchError
from medbench.models.blocks import BoundaryAwareAttention, GlobalBranch, LocalGlobalBlock, UpsampleTwice
from medbench.models.catalog import Built, build_model, family_class, resolve_model, untrained_model
from medbench.models.counting import cost, count_activation_bytes, count_macs, count_parameters
from medbench.models.ensemble import Ensemble
from medbench.models.medlitenet import MedLiteNet
from medbench.models.names import ENSEMBLE, FAMILIES, MEMBERS, MODELS, VARIANTS, describe_models, learns_artifacts

SET_BY_DATA = ("maps", "channels")


class Tiny(nn.Module):
    """A model of a user's own, named as `package.module:Class`."""

    def __init__(self, *, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def disc(size: int = 32, radius: int = 10) -> tuple[Tensor, Tensor]:
    """A picture of a disc (1, 1, size, size), and the distance of each pixel from its contour."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    distance = (((y - size / 2) ** 2 + (x - size / 2) ** 2).sqrt() - radius).abs()
    inside = ((y - size / 2) ** 2 + (x - size / 2) ** 2).sqrt() <= radius
    return inside.float()[None, None], distance


def test_medlitenet_has_the_published_number_of_parameters() -> None:
    assert 3.1e6 < count_parameters(MedLiteNet()) < 3.3e6


def test_three_variants_of_the_ensemble_stay_below_ten_million_parameters() -> None:
    models = [build_model(name).model for name in MEMBERS]

    assert len(models) == 3
    assert count_parameters(Ensemble(models, [1.0, 1.0, 1.0])) < 10e6


@pytest.mark.parametrize("name", [name for name in VARIANTS if not learns_artifacts(name, {})])
def test_every_variant_gives_logits_at_input_size_and_trains_every_parameter(name: str) -> None:
    model = build_model(name).model

    logits = model(torch.randn(2, 3, 64, 96))
    logits.square().mean().backward()

    assert logits.shape == (2, 1, 64, 96)
    assert logits.dtype == torch.float32
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("backbone", ["mobilenetv3_small_050", "resnet18", "convnext_atto"])
def test_any_timm_backbone_of_stride_32_serves(backbone: str) -> None:
    model = build_model("medlitenet", {"backbone": backbone}).model.eval()

    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 1, 64, 64)


def test_a_size_that_is_no_multiple_of_32_is_refused_with_the_size_to_pad_to() -> None:
    with pytest.raises(ValueError, match="pad the images to 128x96"):
        MedLiteNet()(torch.zeros(1, 3, 100, 96))


def test_images_of_a_batch_do_not_see_each_other() -> None:
    model = MedLiteNet().eval()
    images = torch.randn(3, 3, 64, 64)

    with torch.inference_mode():
        together, alone = model(images), torch.cat([model(image[None]) for image in images])

    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "module"),
    [("no_baa", BoundaryAwareAttention), ("no_transformer", GlobalBranch), ("no_aspp", ASPP), ("no_scse", SCSEModule)],
)
def test_a_variant_lacks_its_mechanism_and_nothing_else(name: str, module: type[nn.Module]) -> None:
    kinds = (BoundaryAwareAttention, GlobalBranch, ASPP, SCSEModule)
    full = [kind for kind in kinds if any(isinstance(each, kind) for each in MedLiteNet().modules())]
    left = [kind for kind in kinds if any(isinstance(each, kind) for each in build_model(name).model.modules())]

    assert full == list(kinds)
    assert left == [kind for kind in kinds if kind is not module]


def reach_of_one_token(layers: int) -> Tensor:
    """Where an 8x8 output changes when the upper left token changes."""
    block = LocalGlobalBlock(16, 24, local_width=8, token_width=16, layers=layers, heads=2).eval()
    x = torch.randn(1, 16, 8, 8)
    changed = x.clone()
    changed[..., 0, 0] += 3.0
    with torch.inference_mode():
        return (block(changed) - block(x)).abs().sum(dim=1)[0] > 0


def test_one_token_reaches_the_whole_map_through_the_global_branch() -> None:
    assert reach_of_one_token(layers=1).float().mean() > 0.95


def test_without_the_transformer_one_token_reaches_its_neighbours_only() -> None:
    reached = reach_of_one_token(layers=0)

    assert reached[:2, :2].any()
    assert not reached[2:, :].any()
    assert not reached[:, 2:].any()


def test_the_transformer_knows_where_a_token_stands() -> None:
    branch = GlobalBranch(4, 8, layers=1, heads=2).eval()
    x = torch.randn(1, 4, 6, 6)

    with torch.inference_mode():
        moved = branch(x.flip(-1)).flip(-1)

        assert not torch.allclose(moved, branch(x), atol=1e-4)


@pytest.mark.parametrize("scale", [0.01, 1.0, 1000.0])
def test_the_boundary_response_is_high_on_a_contour_and_low_inside_and_outside(scale: float) -> None:
    picture, distance = disc()
    attention = BoundaryAwareAttention(8)
    features = picture * torch.randn(1, 8, 1, 1) * scale

    with torch.inference_mode():
        response = attention.response(features)[0, 0]

    assert response[distance < 0.5].min() > 0.5
    assert response[distance > 2].max() < 0.01


def test_boundary_attention_amplifies_the_contour_and_leaves_flat_ground() -> None:
    picture, distance = disc()
    features = (picture + 1).repeat(1, 8, 1, 1)

    with torch.inference_mode():
        gain = (BoundaryAwareAttention(8)(features) / features)[0, 0]

    assert gain[distance < 0.5].min() > 1.4
    assert gain[distance > 2].max() < 1.01


def test_the_boundary_response_survives_half_precision() -> None:
    picture, distance = disc()
    attention = BoundaryAwareAttention(8).half()

    with torch.inference_mode():
        response = attention.response((picture * 600).repeat(1, 8, 1, 1).half())[0, 0]

    assert response.isfinite().all()
    assert response[distance < 0.5].min() > 0.5


def test_aspp_sees_farther_than_a_3x3_convolution() -> None:
    aspp = MedLiteNet().aspp.eval()
    assert isinstance(aspp, ASPP)
    branches = list(aspp.convs)
    x = torch.randn(1, 256, 17, 17, requires_grad=True)

    branches[3](x)[0, :, 8, 8].sum().backward()

    assert x.grad is not None
    reached = x.grad.abs().sum(dim=(0, 1)).nonzero()
    assert (reached - 8).abs().max() == 6


def test_scse_only_rescales_what_it_is_given() -> None:
    scse = MedLiteNet().scse.eval()
    x = torch.rand(1, 128, 4, 4) + 0.1

    with torch.inference_mode():
        gain = scse(x) / x

    assert gain.min() > 0
    assert gain.max() < 2


def test_macs_agree_with_a_count_by_hand() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4))

    by_hand = 32 * 32 * (3 * 8 * 9 + 8 * 4 + 4 * 9)

    assert count_macs(build, size=32) == by_hand


def test_macs_include_attention() -> None:
    class Attention(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            tokens = image.flatten(2).transpose(1, 2).unsqueeze(1)
            return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)

    assert count_macs(Attention, size=8) == 2 * 64 * 64 * 3


def test_activations_are_counted_while_something_refers_to_them() -> None:
    class Chain(nn.Module):
        def __init__(self, keeps: bool) -> None:
            super().__init__()
            self.first, self.second, self.third = (nn.Conv2d(a, b, 1) for a, b in ((3, 8), (8, 8), (8, 1)))
            self.keeps = keeps

        def forward(self, image: Tensor) -> Tensor:
            wide = self.first(image)
            x = self.second(wide)
            if not self.keeps:
                del wide
            return self.third(x.relu_())

    by_hand = {keeps: 4 * 32 * 32 * (3 + 8 + 8 + keeps) for keeps in (False, True)}  # the image, two maps, the logits

    assert {keeps: count_activation_bytes(lambda keeps=keeps: Chain(keeps), 32) for keeps in by_hand} == by_hand


def test_activations_are_those_of_the_usual_kernels_while_training_asks_for_others() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        counted = count_activation_bytes(lambda: nn.Upsample(scale_factor=2, mode="bilinear"), 32)
        still = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)

    assert counted == 4 * 3 * (32 * 32 + 64 * 64)
    assert still == (True, True)


def test_a_view_is_no_second_activation() -> None:
    assert count_activation_bytes(lambda: nn.Flatten(), 32) == 4 * 32 * 32 * 3


def test_upsampling_twice_is_bilinear_interpolation() -> None:
    x = torch.randn(2, 1, 7, 5)

    found = UpsampleTwice()(x)

    torch.testing.assert_close(found, nn.functional.interpolate(x, scale_factor=2, mode="bilinear"))


def test_an_ensemble_is_the_weighted_mean_of_probabilities() -> None:
    members = [Tiny(), Tiny()]
    image = torch.randn(2, 3, 8, 8)

    with torch.inference_mode():
        expected = 0.75 * members[0](image).sigmoid() + 0.25 * members[1](image).sigmoid()
        found = Ensemble(members, [3.0, 1.0])(image).sigmoid()

    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("weights", [[0.0, 0.0], [0.8, float("nan")], [0.8, float("inf")], [0.8, -0.1]])
def test_weights_that_give_no_mean_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights must be finite, not negative and not all 0"):
        Ensemble([Tiny(), Tiny()], weights)


def test_two_names_of_one_configuration_resolve_to_the_same() -> None:
    by_name, by_option = resolve_model("no_baa", {}), resolve_model("medlitenet", {"boundary_attention": False})

    assert by_name[:2] == by_option[:2]
    assert by_name[1] != resolve_model("medlitenet", {})[1]
    json.dumps(by_name[1])


def test_an_option_of_a_part_that_is_off_makes_no_other_configuration() -> None:
    without = resolve_model("no_transformer", {})[1]

    assert resolve_model("no_transformer", {"heads": 8, "token_width": 64})[1] == without
    assert resolve_model("medlitenet", {"heads": 8})[1] != resolve_model("medlitenet", {})[1]
    assert resolve_model("no_aspp", {"aspp_rates": [1, 2, 3]})[1] == resolve_model("no_aspp", {})[1]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("medlitnet", {}, "unknown model 'medlitnet'. Did you mean 'medlitenet'"),
        ("medlitenet", {"boundry_attention": False}, "Did you mean 'boundary_attention'"),
        ("medlitenet", {"heads": 3}, "cannot be built"),
        (
            "medlitenet",
            {"transformer": "none"},
            "option 'transformer' of model 'medlitenet' is true or false, not 'none'",
        ),
        ("medlitenet", {"boundary_attention": 0}, "is true or false, not 0"),
        ("medlitenet", {"width": True}, "is a whole number, not True"),
        ("medlitenet", {"width": 64.0}, "is a whole number, not 64.0"),
        ("medlitenet", {"artifact_weight": float("nan")}, "is a number, not nan"),
        ("medlitenet", {"aspp_rates": 2}, "is a list, each a whole number, not 2"),
        ("medlitenet", {"aspp_rates": [2, 4]}, "aspp_rates: 3 dilations, got 2"),
        (
            "medlitenet",
            {"decoder_widths": [200, 96, 48, 24, 16]},
            "decoder_widths: 4, one a skip of mobilenetv2_100, got 5",
        ),
        ("medlitenet", {"decoder_widths": [96, 48]}, "decoder_widths: 4, .* got 2"),
        ("medlitenet", {"transformer_layers": 0}, "transformer: false is without"),
        ("egeunet", {"deep_supervision": None}, "is a list, each a number, not None"),
        ("egeunet", {"deep_supervision": [-1, 1, 1, 1, 1]}, "weights from 0 on"),
        ("medlitenet", {"backbone": "mobilenet_v22"}, "timm knows no backbone 'mobilenet_v22'"),
        ("medlitenet", {"backbone": "vit_tiny_patch16_224"}, "stride 32"),
        ("smp:Unett/resnet18", {}, "Did you mean 'Unet'"),
        ("smp:Unet", {}, "name its encoder too"),
        ("smp:Unet/resnet18", {"decoder_chanels": [1]}, "Did you mean 'decoder_channels'"),
        ("no.such.module:Net", {}, "cannot be imported: No module named 'no', neither installed nor in "),
        ("nets/tiny.py:Net", {}, "name the module, not its file: 'nets.tiny:Net'"),
        ("collections:OrderedDict", {}, "is not a class of torch.nn.Module"),
    ],
)
def test_a_wrong_name_or_option_is_told_in_one_line(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(MedbenchError, match=said) as caught:
        build_model(name, options)

    assert "\n" not in str(caught.value)


def test_models_of_smp_and_of_ones_own_can_stand_in() -> None:
    unet = build_model("smp:Unet/resnet18", {"decoder_channels": [32, 16, 16, 8, 8]}).model
    own = build_model(f"{__name__}:Tiny", {"channels": 3}).model

    assert unet(torch.randn(2, 3, 64, 64)).shape == (2, 1, 64, 64)
    assert own(torch.randn(1, 3, 32, 32)).shape == (1, 1, 32, 32)


def encoder_of(built: Built) -> Any:
    return built.model.encoder


def weights_file(folder: Path, **options: Any) -> Path:
    """Weights of a MobileNetV2 as timm saves them, every value 0.5."""
    state = MedLiteNet(**options).encoder.state_dict()
    halves = {name: torch.full_like(value, 0.5) for name, value in state.items() if value.is_floating_point()}
    path = folder / "weights" / "mobilenetv2_100.safetensors"
    path.parent.mkdir(parents=True)
    save_file({**state, **halves}, path)
    return path


def test_encoder_weights_come_from_the_data_folder(tmp_path: Path) -> None:
    weights_file(tmp_path)

    built = build_model("medlitenet", encoder_weights="imagenet", data=tmp_path)

    assert {float(parameter.detach().mean()) for parameter in encoder_of(built).parameters()} == {0.5}
    assert built.encoder_digest == build_model("no_baa", encoder_weights="imagenet", data=tmp_path).encoder_digest


def test_an_smp_model_takes_the_same_file_through_timms_encoder(tmp_path: Path) -> None:
    weights_file(tmp_path)

    built = build_model("smp:Unet/tu-mobilenetv2_100", encoder_weights="imagenet", data=tmp_path)

    assert {float(parameter.detach().mean()) for parameter in encoder_of(built).parameters()} == {0.5}


def test_a_file_for_another_model_is_refused(tmp_path: Path) -> None:
    path = weights_file(tmp_path)

    with pytest.raises(MedbenchError, match="resnet18"):
        build_model("resnet18", encoder_weights=str(path))


def test_a_file_that_covers_a_part_of_the_encoder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    state = MedLiteNet().encoder.state_dict()
    save_file({name: value for name, value in state.items() if "blocks.6" not in name}, path)

    with pytest.raises(MedbenchError, match="no weights for some layers"):
        build_model("medlitenet", encoder_weights=str(path))


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_a_file_of_weights_that_is_missing_or_no_safetensors_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("pth"):
        path.write_bytes(b"pickled")

    with pytest.raises(MedbenchError, match=name):
        build_model("medlitenet", encoder_weights=str(path))


def test_without_file_and_network_the_place_to_put_a_file_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medbench.models.encoder_weights._hub_answers", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    with pytest.raises(MedbenchError, match=r"weights/mobilenetv2_100\.safetensors.*encoder_weights: none"):
        build_model("medlitenet", encoder_weights="imagenet", data=tmp_path)


@pytest.mark.real
def test_the_real_imagenet_weights_load(real_data: Path) -> None:
    built = build_model("medlitenet", encoder_weights="imagenet", data=real_data)

    assert built.encoder_digest is not None
    assert all(torch.isfinite(value).all() for value in encoder_of(built).state_dict().values())


def test_the_list_of_models_names_each_with_its_cost() -> None:
    rows = {row["name"]: row for row in describe_models()}

    assert list(rows) == [*MODELS, ENSEMBLE]
    assert rows["ensemble"]["parameters"] == sum(rows[name]["parameters"] for name in MEMBERS)
    assert rows["ensemble"]["macs"] == sum(rows[name]["macs"] for name in MEMBERS)
    assert rows["medlitenet"]["macs"] > rows["no_transformer"]["macs"] > 0
    assert rows["medlitenet"]["weight_bytes"] > 4 * rows["medlitenet"]["parameters"]  # statistics of the norms besides
    assert rows["ensemble"]["activation_bytes"] < 2 * rows["medlitenet"]["activation_bytes"]  # one member at a time


@pytest.mark.parametrize("row", describe_models(), ids=lambda row: row["name"])
def test_the_list_of_models_says_what_is_counted(row: dict[str, Any]) -> None:
    counted = cost(lambda: untrained_model(row["name"]))

    assert {key: row[key] for key in counted} == counted


@pytest.mark.parametrize("family", FAMILIES)
def test_the_options_of_a_model_are_known_by_name(family: str) -> None:
    assert tuple(inspect.signature(family_class(family)).parameters) == (*FAMILIES[family].options, *SET_BY_DATA)


def test_a_network_of_ones_own_is_found_in_the_folder_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "network_beside.py").write_text("from torch import nn\n\n\nclass Net(nn.Conv2d):\n    pass\n")
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])

    with pytest.raises(MedbenchError, match="cannot be imported: No module named 'network_beside'"):
        build_model("network_beside:Net")
    monkeypatch.chdir(tmp_path)

    options = {"in_channels": 3, "out_channels": 1, "kernel_size": 1}
    assert isinstance(build_model("network_beside:Net", options).model, nn.Conv2d)
