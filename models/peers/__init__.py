"""Light models of the literature that MedLiteNet is compared with, each written from its paper, a module a family.

Here stands what is known of them without torch. None has a pretrained encoder.
"""

from ..entries import Cost, Entry, Family, Paper

UNET = ("Ronneberger, Fischer and Brox, MICCAI", 2015, "https://arxiv.org/abs/1505.04597")
UNEXT = ("Valanarasu and Patel, MICCAI", 2022, "https://arxiv.org/abs/2203.04967")
CMUNEXT = ("Tang et al., ISBI", 2024, "https://arxiv.org/abs/2308.01239")
ULITE = ("Dinh et al., APSIPA ASC", 2023, "https://arxiv.org/abs/2306.16103")

LISTED_LATER = (
    "as later papers list it, for its own prints neither; they count norms too, and a transposed convolution as if it "
    "were multiplied out at every output pixel"
)
COUNTS_MORE = "the printed MACs count norms and interpolation too"

FAMILIES: dict[str, Family] = {
    "unet": Family("peers.unet", "UNet", ("widths",)),
    "unext": Family("peers.unext", "UNeXt", ("widths",)),
    "malunet": Family("peers.malunet", "MALUNet", ("widths",)),
    "egeunet": Family("peers.egeunet", "EGEUNet", ("widths", "deep_supervision")),
    "ultralight_vmunet": Family("peers.ultralight_vmunet", "UltraLightVMUNet", ("widths", "parts")),
    "cmunext": Family("peers.cmunext", "CMUNeXt", ("widths", "depths", "kernel_sizes")),
    "ulite": Family("peers.ulite", "ULite", ("widths", "kernel_size")),
}
PEERS: dict[str, Entry] = {
    "unet": Entry(
        "U-Net, half as wide as in its paper",
        "unet",
        {},
        Cost(7_763_041, 12_071_206_912, 31_075_860, 62_652_416),
        Paper(*UNET, parameters=7.77e6, macs=13.78e9, reason=LISTED_LATER),
    ),
    "unet_64": Entry(
        "U-Net, as wide as in its paper",
        "unet",
        {"widths": [64, 128, 256, 512, 1024]},
        Cost(31_037_633, 48_167_387_136, 124_197_780, 124_518_400),
        Paper(*UNET, parameters=31.04e6, macs=54.74e9, reason=LISTED_LATER),
    ),
    "unext": Entry(
        "UNeXt: convolutions, then shifted MLPs",
        "unext",
        {},
        Cost(1_471_409, 562_003_968, 5_889_788, 9_404_416),
        Paper(*UNEXT, parameters=1.47e6, macs=0.57e9),
    ),
    "unext_s": Entry(
        "UNeXt with fewer channels",
        "unext",
        {"widths": [8, 16, 32, 64, 128]},
        Cost(253_385, 99_229_696, 1_015_004, 4_980_736),
        Paper(*UNEXT, parameters=0.25e6, macs=0.10e9),
    ),
    "malunet": Entry(
        "MALUNet: dilated gated and external attention, skips under one attention bridge",
        "malunet",
        {},
        Cost(177_943, 82_740_224, 711_772, 4_980_736),
        Paper("Ruan et al., BIBM", 2022, "https://arxiv.org/abs/2211.01784", 0.175e6, 0.083e9),
    ),
    "egeunet": Entry(
        "EGE-UNet: Hadamard product attention, skips joined with a mask of each stage",
        "egeunet",
        {},
        Cost(53_374, 72_096_256, 213_496, 7_570_688),
        Paper("Ruan et al., MICCAI", 2023, "https://arxiv.org/abs/2307.08473", 0.053e6, 0.072e9),
    ),
    "ultralight_vmunet": Entry(
        "UltraLight VM-UNet: one small Mamba over quarters of the channels",
        "ultralight_vmunet",
        {},
        Cost(49_457, 66_001_728, 197_828, 16_270_656),
        Paper(
            "Wu et al., arXiv",
            2024,
            "https://arxiv.org/abs/2403.20035",
            0.049e6,
            0.060e9,
            reason="the printed MACs leave out the layers inside Mamba, whose kernel their counter does not see",
        ),
    ),
    "cmunext": Entry(
        "CMUNeXt: large depth-wise kernels, skips fused by groups",
        "cmunext",
        {},
        Cost(3_148_241, 7_230_627_840, 12_648_860, 62_259_200),
        Paper(*CMUNEXT, parameters=3.15e6, macs=7.42e9),
    ),
    "cmunext_s": Entry(
        "CMUNeXt with fewer channels and blocks",
        "cmunext",
        {"widths": [8, 16, 32, 64, 128], "depths": [1, 1, 1, 1, 1], "kernel_sizes": [3, 3, 7, 7, 9]},
        Cost(417_129, 1_012_383_744, 1_684_684, 30_932_992),
        Paper(*CMUNEXT, parameters=0.42e6, macs=1.09e9, reason=COUNTS_MORE),
    ),
    "ulite": Entry(
        "U-Lite: axial depth-wise convolutions",
        "ulite",
        {},
        Cost(877_921, 736_509_952, 3_523_804, 40_370_176),
        Paper(*ULITE, parameters=0.878e6, macs=0.76e9, reason=COUNTS_MORE),
    ),
}
