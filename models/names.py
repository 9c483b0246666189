"""The models that medbench names, what each is for and what it costs: known without torch, so that a list comes and a
misspelt name is told at once."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..bench.errors import MedbenchError, UnknownNameError
from . import peers
from .entries import Cost, Entry, Family, Paper

VARIANTS = {
    "medlitenet": Entry(
        "MedLiteNet as digests of its paper describe it",
        "medlitenet",
        {},
        Cost(3_177_914, 798_169_600, 12_861_328, 14_417_920),
        Paper("Yu et al., IEEE JSAS", 2026, "https://arxiv.org/abs/2509.03041", parameters=3.2e6),
    ),
    "no_baa": Entry(
        "without boundary-aware attention",
        "medlitenet",
        {"boundary_attention": False},
        Cost(3_176_826, 795_871_232, 12_856_976, 14_417_920),
    ),
    "no_transformer": Entry(
        "Local-Global Block without its Transformer",
        "medlitenet",
        {"transformer": False},
        Cost(2_837_562, 774_502_912, 11_499_920, 14_417_920),
    ),
    "no_aspp": Entry(
        "a 1x1 convolution instead of ASPP",
        "medlitenet",
        {"aspp": False},
        Cost(2_956_730, 786_160_128, 11_971_432, 14_417_920),
    ),
    "no_scse": Entry(
        "without SCSE recalibration",
        "medlitenet",
        {"scse": False},
        Cost(3_175_601, 798_159_360, 12_852_076, 14_417_920),
    ),
    "resnet18": Entry(
        "ResNet-18 backbone instead of MobileNetV2",
        "medlitenet",
        {"backbone": "resnet18"},
        Cost(13_160_762, 3_055_393_280, 52_710_808, 15_073_280),
    ),
    "artifact_head": Entry(
        "a head that learns where artifacts are painted, dropped at inference",
        "medlitenet",
        {"artifact_weight": 0.5},
        Cost(3_177_914, 798_169_600, 12_861_328, 14_417_920),
    ),
    "gated_baa": Entry(
        "boundary-aware attention that takes no notice of edges where a head sees an artifact",
        "medlitenet",
        {"artifact_weight": 0.5, "gated": True},
        Cost(3_181_099, 846_404_096, 12_874_476, 14_417_920),
    ),
}
MODELS = {**VARIANTS, **peers.PEERS}
FAMILIES = {
    "medlitenet": Family(
        "medlitenet",
        "MedLiteNet",
        (
            "backbone",
            "transformer",
            "boundary_attention",
            "aspp",
            "scse",
            "local_width",
            "token_width",
            "transformer_layers",
            "heads",
            "width",
            "aspp_width",
            "aspp_rates",
            "decoder_widths",
            "artifact_weight",
            "gated",
        ),
        later=("artifact_weight", "gated"),
        parts_of={"transformer": ("token_width", "transformer_layers", "heads"), "aspp": ("aspp_rates",)},
    ),
    **peers.FAMILIES,
}
ENSEMBLE = "ensemble"
MEMBERS = ("medlitenet", "no_transformer", "no_aspp")  # ours: the paper does not name its three variants
ENSEMBLE_COST = Cost(8_972_206, 2_358_832_640, 36_332_680, 14_942_208)
IN_TIMM = {  # the encoders that smp builds itself, by timm's names of the same networks
    **{f"resnet{depth}": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    **{
        f"resnext{name}": f"resnext{name}"
        for name in ("50_32x4d", "101_32x4d", "101_32x8d", "101_32x16d", "101_32x32d")
    },
    **{f"densenet{depth}": f"densenet{depth}" for depth in (121, 161, 169, 201)},
    **{f"vgg{depth}{norm}": f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")},
    **{f"dpn{name}": f"dpn{name}" for name in ("68", "68b", "92", "98", "107", "131")},
    **{f"mobileone_s{size}": f"mobileone_s{size}" for size in range(5)},
    **{f"efficientnet-b{size}": f"efficientnet_b{size}" for size in range(5)},
    **{f"timm-efficientnet-b{size}": f"tf_efficientnet_b{size}" for size in range(8)},
    **{f"timm-tf_efficientnet_lite{size}": f"tf_efficientnet_lite{size}" for size in range(5)},
    "mobilenet_v2": "mobilenetv2_100",
    "inceptionv4": "inception_v4",
    "inceptionresnetv2": "inception_resnet_v2",
}
# Options by which networks set their classes and their channels; of medbench's own the data set decides.
SET_MAPS = ("maps", "num_classes", "classes", "n_classes", "num_class", "nclass", "out_channels", "out_chans", "out_ch")
SET_CHANNELS = ("channels", "in_channels", "in_chans", "n_channels", "num_channels", "input_channels", "in_ch")
LEFT_TO_THE_SET = "the data set decides, by its classes and the channels of its images; leave it out"
WEIGHTS = ("none", "imagenet")
OTHERS = " Or smp:Architecture/encoder, or package.module:Class."


def check_name(name: str, options: Mapping[str, Any] | None = None, encoder_weights: str = "none") -> None:
    """Refuses a model whose name, options or weights can be seen to be wrong without building it.

    Args:
        name: one of `MODELS`, `smp:Architecture/encoder`, or `package.module:Class`.
        options: keyword arguments of the model.
        encoder_weights: "none", "imagenet", or the path of a file.

    Raises:
        MedbenchError: the message says what would be right.
    """
    if encoder_weights not in WEIGHTS and not Path(encoder_weights).suffix:
        raise UnknownNameError("encoder_weights", encoder_weights, WEIGHTS, " Or the path of a safetensors file.")
    if name.startswith("smp:"):
        architecture, _, encoder = name.partition("/")
        if not encoder:
            raise MedbenchError(f"model {name!r}: name its encoder too, as in {architecture}/mobilenet_v2")
        if encoder_weights != "none" and not encoder.startswith("tu-"):
            same = IN_TIMM.get(encoder)
            remedy = f"write {architecture}/tu-{same}, timm's of the same network" if same else "which this is not"
            raise MedbenchError(
                f"model {name!r}: pretrained weights need a timm encoder ({architecture}/tu-<timm name>): {remedy}; "
                "or say encoder_weights: none for this variant"
            )
    elif ":" in name:
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: the module may lie in the folder where one is
        module, _, attribute = name.partition(":")
        if module.endswith(".py") or "/" in module:
            meant = module.removesuffix(".py").removeprefix("./").replace("/", ".")
            raise MedbenchError(f"model {name!r}: name the module, not its file: '{meant}:{attribute}'")
        package = module.partition(".")[0]
        if encoder_weights != "none":
            raise MedbenchError(
                f"model {name!r} brings its own weights, if any: say encoder_weights: none for this variant"
            )
        if not package or (package not in sys.modules and find_spec(package) is None):
            raise MedbenchError(
                f"model {name!r} cannot be imported: No module named {package!r}, neither installed nor in {Path.cwd()}"
            )
    elif name == ENSEMBLE:
        raise MedbenchError(f"model {name!r}: instead of model write ensemble: {{members: [...], weighting: equal}}")
    elif name not in MODELS:
        raise UnknownNameError("model", name, MODELS, OTHERS)
    else:
        for option in options or {}:
            if option in (*SET_MAPS, *SET_CHANNELS):
                raise MedbenchError(f"option {option!r} of model {name!r}: {LEFT_TO_THE_SET}")
        check_options(name, options or {}, FAMILIES[MODELS[name].family].options)
        if encoder_weights != "none" and name in peers.PEERS:
            raise MedbenchError(f"model {name!r} has no pretrained encoder: say encoder_weights: none for this variant")


def learns_artifacts(name: str, options: Mapping[str, Any]) -> bool:
    """Whether a model's loss asks where artifacts are painted on training images."""
    return name in MODELS and bool({**MODELS[name].options, **options}.get("artifact_weight"))


def check_output(name: str, output: bool, deep_supervision: bool) -> None:
    """Refuses `output` and `deep_supervision` where they mean nothing.

    Args:
        name: of the model.
        output: whether a study says how its outputs are read.
        deep_supervision: whether it weighs the losses of other maps.
    """
    if name in MODELS and (output or deep_supervision):
        own = "deep_supervision" in FAMILIES[MODELS[name].family].options
        remedy = "write options: {deep_supervision: [...]}, [] for none" if own and deep_supervision else "leave it out"
        key = "deep_supervision" if deep_supervision else "output"
        raise MedbenchError(f"{key}: model {name!r} is medbench's own and gives logits; {remedy}")
    if deep_supervision and not output:
        raise MedbenchError("deep_supervision needs output: index or key of the map that counts")


def check_name_or_ensemble(name: str, options: Mapping[str, Any] | None = None) -> None:
    """The same where "ensemble", of the members of `MEMBERS`, is a name too, which takes no options."""
    if ":" not in name and name not in (known := [*MODELS, ENSEMBLE]):
        raise UnknownNameError("model", name, known, OTHERS)
    if name == ENSEMBLE:
        check_options(name, options or {}, ())
    else:
        check_name(name, options)


def check_options(name: str, options: Mapping[str, Any], known: Collection[str], note: str = "") -> None:
    """Refuses options of a model that are not among those known; `note` is added to what is said of them."""
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of model {name!r}", option, known, note)


def describe_models() -> list[dict[str, Any]]:
    """Of every model that medbench itself brings: name, parameters, MACs and bytes of activations of one 256x256 image,
    bytes of the weights, purpose, names of its options, paper with year and link, costs published there, and why ours
    differ; None, or empty, where there is no such thing."""
    rows = [(name, each.cost, each.description, each.paper) for name, each in MODELS.items()]
    rows.append((ENSEMBLE, ENSEMBLE_COST, f"weighted mean of {', '.join(MEMBERS)}", None))
    return [
        {
            "name": name,
            **asdict(cost),
            "description": purpose,
            "options": list(FAMILIES[MODELS[name].family].options) if name in MODELS else [],
            "paper": f"{paper.reference} {paper.year}" if paper else None,
            "year": paper.year if paper else None,
            "link": paper.link if paper else None,
            "published_parameters": paper.parameters if paper else None,
            "published_macs": paper.macs if paper else None,
            "reason": paper.reason if paper else "",
        }
        for name, cost, purpose, paper in rows
    ]
