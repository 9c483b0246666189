"""Agreement of what a network says of an image with and without an artifact painted on it.

Shapes: B = batch, K = maps, H, W = height and width.
"""

import torch.nn.functional as F
from torch import Tensor

from ...models.outputs import Outputs, probabilities_of
from ..metrics import IGNORED, Target


def disagreement(first: Tensor, second: Tensor, codes_b1hw: Tensor, target: Target, band: float) -> Tensor:
    """Mean squared difference of the probabilities that two maps of logits (B, K, H, W) stand for, over the pixels that
    count, in single precision; in [0, 1].

    What lies within `band` of a contour of the masks (B, 1, H, W) does not count: there two predictions differ by a
    pixel for reasons of their own. Both maps are asked to move, none is the teacher.

    Args:
        first: of the painted images, say.
        second: of the same images without.
        codes_b1hw: what the masks hold, uint8.
        target: what their codes mean; pixels that nobody labelled do not count.
        band: half the width of the band, as a share of the side.

    Source: the squared difference between two passes is that of Laine and Aila (2017), "Temporal ensembling for
    semi-supervised learning", ICLR; the band is medbench's.
    """
    reach = max(1, round(band * codes_b1hw.shape[-1])) if band else 0
    counts = codes_b1hw.new_ones(codes_b1hw.shape, dtype=first.float().dtype)
    if reach:
        codes = codes_b1hw.to(counts.dtype)
        most, least = (sign * F.max_pool2d(sign * codes, 2 * reach + 1, stride=1, padding=reach) for sign in (1, -1))
        counts = (most == least).to(counts.dtype)
    if target.ignores:
        counts = counts * (codes_b1hw != IGNORED)
    a, b = (probabilities_of(each.float(), overlap=target.overlap) for each in (first, second))
    return ((a - b).square().mean(dim=1, keepdim=True) * counts).sum() / counts.sum().clamp(min=1)


def agreement_at(step: int, steps: int, weight: float, ramp: float) -> float:
    """The weight of disagreement at a step: it rises linearly over the share `ramp` of all steps.

    >>> [agreement_at(step, 100, 2.0, 0.1) for step in (0, 5, 10, 99)]
    [0.0, 1.0, 2.0, 2.0]
    """
    return weight * min(1.0, step / (ramp * steps)) if ramp else weight


def main_map(outputs: Tensor | Outputs) -> Tensor:
    """The logits that count."""
    return outputs.logits if isinstance(outputs, Outputs) else outputs


def halves(outputs: Tensor | Outputs) -> tuple[Tensor | Outputs, Tensor | Outputs]:
    """What a network gave of two batches in one pass, apart."""
    if isinstance(outputs, Tensor):
        first, second = outputs.chunk(2)
        return first, second
    pairs = outputs.logits.chunk(2)
    auxiliary, labels = (
        {name: each.chunk(2) for name, each in maps.items()} for maps in (outputs.auxiliary, outputs.labels)
    )
    first, second = (
        Outputs(
            pairs[side],
            {name: pair[side] for name, pair in auxiliary.items()},
            outputs.weights,
            {name: pair[side] for name, pair in labels.items()},
        )
        for side in (0, 1)
    )
    return first, second
