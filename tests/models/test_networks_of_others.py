"""Networks that others wrote: counted, built by functions, silenced, and led to the weights that there are."""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor, nn

from medbench.bench.errors import MedbenchError
from medbench.bench.quiet import quietly
from medbench.models.catalog import build_model
from medbench.models.counting import cost, count_activation_bytes, count_macs, count_parameters
from medbench.models.names import IN_TIMM, check_name

HERE = __name__


class Asking(nn.Module):
    """Asks for the value of a pixel, which no tensor on the meta device has."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: Tensor) -> Tensor:
        return self.inner(image) if image[0, 0, 0, 0].item() < 2 else image


class Attending(nn.Module):
    """A layer of a Transformer, which a CPU computes in a kernel of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(12, 2, dim_feedforward=8, batch_first=True)
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, image: Tensor) -> Tensor:
        tokens = self.layer(image.flatten(2).transpose(1, 2).repeat(1, 1, 4))
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


class OfOneSize(nn.Module):
    """Runs on images of 48 pixels alone."""

    def __init__(self, *, width: int = 1) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, width, 48, 48))

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :1] + self.bias


def of_one_size(num_classes: int = 1, **kwargs: Any) -> nn.Module:
    return OfOneSize(width=num_classes, **kwargs)


def of_whatever(**kwargs: Any) -> nn.Module:
    return OfOneSize(**kwargs)


def of_nothing() -> str:
    return "a network"


ready = OfOneSize()


@pytest.mark.parametrize(
    "build",
    [Attending, lambda: build_model("medlitenet", {"backbone": "mobilenetv3_small_050", "width": 32}).model],
    ids=["attention", "medlitenet"],
)
def test_a_cpu_counts_what_the_meta_device_counts(build: Any) -> None:
    on_meta = count_macs(build, 32), count_activation_bytes(build, 32)

    assert (count_macs(lambda: Asking(build()), 32), count_activation_bytes(lambda: Asking(build()), 32)) == on_meta
    assert on_meta[0]


def test_a_network_that_asks_for_values_is_counted() -> None:
    """Segformer's MiT-B0, whose depths of dropout are asked for: 1.746 G, counted on a CPU with torch's counter."""
    macs = count_macs(lambda: build_model("smp:Segformer/mit_b0").model)

    assert macs == pytest.approx(1.746e9, rel=1e-3)


def test_what_cannot_be_counted_is_none_and_the_rest_is_told() -> None:
    found = cost(OfOneSize, 64)

    assert found == {"parameters": 2304, "macs": None, "weight_bytes": 9216, "activation_bytes": None}
    assert cost(OfOneSize, 48)["macs"] == 0


def test_counting_moves_no_random_number() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)

    count_macs(lambda: Asking(nn.Conv2d(3, 1, 1)), 8)

    assert torch.equal(torch.rand(1), expected)


def fetching() -> nn.Module:
    raise URLError("no route")


def test_a_function_that_gives_a_network_is_a_model() -> None:
    built = build_model(f"{HERE}:of_one_size", {"num_classes": 2})

    assert count_parameters(built.model) == 2 * 48 * 48
    assert built.code_digest == build_model(f"{HERE}:OfOneSize").code_digest is not None


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("of_one_size", {"num_clases": 1}, r"Did you mean 'num_classes'\?.*\*\*kwargs .*name each option"),
        ("of_whatever", {"width": 1}, r"Known: none\. What \*\*kwargs takes"),
        (
            "fetching",
            {},
            r"wants weights from the network, which is not reached \(no route\); .*weights_backbone: null",
        ),
        ("of_nothing", {}, "gives str; needs torch.nn.Module"),
        ("ready", {}, "is built already"),
        ("HERE", {}, "is not a class of torch.nn.Module, nor a function"),
        ("OfOneSize", {"widht": 1}, r"Did you mean 'width'\? Known: width\.$"),
    ],
)
def test_what_is_no_network_is_told_in_one_line(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(MedbenchError, match=said) as caught:
        build_model(f"{HERE}:{name}", options)

    assert "\n" not in str(caught.value)


@pytest.fixture
def loud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A network that talks while it is imported, built and run."""
    talk = "print('talks')\nwarnings.warn('talks')\nlogging.getLogger('loud').warning('talks')\n"
    (tmp_path / "loud_net.py").write_text(
        f"import logging\nimport sys\nimport warnings\nfrom torch import nn\n{talk}kept = sys.stdout\n"
        "class Net(nn.Conv2d):\n"
        "    def __init__(self):\n"
        f"        super().__init__(3, 1, 1)\n        {talk.strip().replace(chr(10), '; ')}\n"
        "    def forward(self, image):\n"
        f"        {talk.strip().replace(chr(10), '; ')}\n        return super().forward(image)\n"
        "def broken():\n    print('talks')\n    raise ValueError('is broken')\n"
        "def leaving():\n    sys.exit(2)\n",
        encoding="utf-8",
    )
    (tmp_path / "loud_script.py").write_text("import sys\nsys.exit(2)\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return "loud_net:Net"


def test_a_network_says_nothing_and_its_errors_are_told(
    loud: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    build_model(loud)
    count_macs(lambda: build_model(loud).model, 8)
    with pytest.raises(MedbenchError, match="is broken"):
        build_model("loud_net:broken")
    with pytest.raises(MedbenchError, match="ends the program, as a script does"):
        build_model("loud_script:Net")
    sys.modules["loud_net"].kept.write("what kept standard output goes on\n")

    assert tuple(capfd.readouterr()) == ("", "")
    assert caplog.records == []
    print("heard")
    assert capfd.readouterr().out == "heard\n"


def test_silence_ends_with_its_block_also_after_an_error(caplog: pytest.LogCaptureFixture) -> None:
    @quietly()
    def fail() -> None:
        logging.getLogger("any").warning("not heard")
        raise ValueError("told")

    with pytest.raises(ValueError, match="told"):
        fail()

    logging.getLogger("any").warning("heard")
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)
    assert [each.message for each in caplog.records] == ["heard"]


@pytest.mark.parametrize("encoder", IN_TIMM)
def test_smps_own_encoders_are_told_by_timms_name_where_it_has_the_same(encoder: str) -> None:
    assert encoder in smp.encoders.encoders
    assert timm.is_model(IN_TIMM[encoder])
    with pytest.raises(MedbenchError, match=rf"write smp:Unet/tu-{IN_TIMM[encoder]}, timm's of the same network"):
        check_name(f"smp:Unet/{encoder}", encoder_weights="imagenet")


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "resnet18", "efficientnet-b0"])
def test_the_same_network_has_the_same_parameters(encoder: str) -> None:
    with torch.device("meta"):
        of_smp = smp.encoders.get_encoder(encoder, weights=None)
        of_timm = timm.create_model(IN_TIMM[encoder], num_classes=0)

    assert count_parameters(of_smp) == count_parameters(of_timm)


def test_an_encoder_that_timm_lacks_is_refused_weights_with_what_would_be_right() -> None:
    with pytest.raises(MedbenchError, match=r"tu-<timm name>\): which this is not; or say encoder_weights: none"):
        check_name("smp:Segformer/mit_b0", encoder_weights="imagenet")
