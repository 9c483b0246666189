"""Models made ready for inference: batch norms folded into the convolutions before them."""

import copy
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._pytree import tree_leaves


def fused(model: nn.Module, image: Tensor) -> nn.Module:
    """A copy in evaluation mode that computes the same with fewer kernels, channels last in memory.

    Which batch norm follows which convolution is seen in one pass: a norm is folded where its input is the very tensor
    that a convolution gave, and neither is used twice. A timm norm with an activation becomes that activation. Should
    the copy not compute the same, as where others use what a convolution gave, it stays unfused.

    Args:
        model: images to logits, or to several maps; it stays as it is.
        image: an input (B, 3, H, W) that the model takes, on its device.
    """
    model = copy.deepcopy(model).eval()
    calls: list[nn.Module] = []
    made_by: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # by the id of a tensor, which is kept, so that ids stay unique
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append(module)
        if isinstance(module, nn.Conv2d):
            made_by[id(output)] = (module, output)
        elif isinstance(module, nn.BatchNorm2d) and id(inputs[0]) in made_by and module.running_mean is not None:
            pairs.append((made_by[id(inputs[0])][0], module))

    handles = [
        each.register_forward_hook(look) for each in model.modules() if isinstance(each, nn.Conv2d | nn.BatchNorm2d)
    ]
    with torch.no_grad():
        expected = _tensors(model(image))
    for handle in handles:
        handle.remove()
    replacements: dict[nn.Module, nn.Module] = {}
    for convolution, norm in pairs:
        if calls.count(convolution) == calls.count(norm) == 1:
            replacements[convolution] = fuse_conv_bn_eval(convolution, norm)
            activation: Any = norm.act if isinstance(norm, BatchNormAct2d) else nn.Identity()
            replacements[norm] = activation
    plain, folded = copy.deepcopy(model), model
    for parent in list(folded.modules()):
        for name, child in list(parent.named_children()):
            if child in replacements:
                setattr(parent, name, replacements[child])
    with torch.no_grad():
        found = _tensors(folded(image))
    same = [  # not where either is no number
        float((each - wanted).abs().max()) <= 1e-3 * float(wanted.abs().max())
        for each, wanted in zip(found, expected, strict=True)
    ]
    return (folded if same and all(same) else plain).to(memory_format=torch.channels_last)


def _tensors(given: Any) -> list[Tensor]:
    return [each for each in tree_leaves(given) if isinstance(each, Tensor)]
