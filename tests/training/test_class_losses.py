"""The loss of several classes against torch's own and against the loss of one structure."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from medbench.bench.metrics import IGNORED, LESION, Target
from medbench.bench.training.class_losses import CLASS_LOSSES
from medbench.bench.training.forward import found_in, probabilities
from medbench.bench.training.losses import LOSSES, segmentation_loss
from medbench.bench.training.step import total_loss
from medbench.models.outputs import Outputs

HEART = Target(("a", "b", "c"))
SPARSE = Target(HEART.names, ignores=True)
LABELS = Target(("disc", "cup"), overlap=True)
WEIGHTS = {"background": 0.5, "b": 2.0, "c": 3.0}
BOTH = {"bce_weight": 0.5, "dice_weight": 0.5, "losses": {"focal": 0.3}}


def drawn(target: Target, most: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, most + 1, (3, 1, 16, 16), generator=generator).byte()
    return torch.randn(3, target.n_maps, 16, 16, generator=generator), codes


def only(name: str, **more: Any) -> dict[str, Any]:
    return {"bce_weight": float(name == "bce"), "dice_weight": float(name == "dice"), **more}


@pytest.mark.parametrize("target", [HEART, SPARSE])
@pytest.mark.parametrize("weights", [{}, WEIGHTS])
def test_cross_entropy_is_torchs(target: Target, weights: dict[str, float]) -> None:
    logits, codes = drawn(target, 3)
    if target.ignores:
        codes[:, :, :5] = IGNORED
    of_codes = torch.tensor([weights.get(name, 1.0) for name in ("background", *target.names)])
    expected = F.cross_entropy(logits, codes[:, 0].long(), weight=of_codes, ignore_index=IGNORED)

    found = segmentation_loss(logits, codes, only("bce", class_weights=weights), target)

    torch.testing.assert_close(found, expected)


def test_labels_have_the_mean_of_their_own_losses() -> None:
    logits, codes = drawn(LABELS, 3)
    each = [segmentation_loss(logits[:, [i]], codes >> i & 1, BOTH, LESION) for i in range(2)]

    torch.testing.assert_close(segmentation_loss(logits, codes, BOTH, LABELS), torch.stack(each).mean())


def test_dice_of_classes_is_that_of_their_probabilities() -> None:
    logits, codes = drawn(HEART, 3)
    probability = logits.softmax(dim=1)
    each = []
    for index in (1, 2, 3):
        p, r = probability[:, index], (codes[:, 0] == index).float()
        overlap, total = (p * r).sum(dim=(1, 2)), p.sum(dim=(1, 2)) + r.sum(dim=(1, 2))
        each.append(1 - (2 * overlap + 1) / (total + 1))

    torch.testing.assert_close(segmentation_loss(logits, codes, only("dice"), HEART), torch.stack(each).mean())


@pytest.mark.parametrize("target", [SPARSE, Target(("lesion",), ignores=True)])
def test_ignored_pixels_have_no_gradient(target: Target) -> None:
    logits, codes = drawn(target, len(target.names))
    codes[:, :, :5] = IGNORED
    logits.requires_grad_()

    segmentation_loss(logits, codes, BOTH, target).backward()

    assert logits.grad is not None
    assert (logits.grad[:, :, :5] == 0).all()
    assert (logits.grad[:, :, 5:] != 0).any()


def test_one_structure_has_one_loss_whether_pixels_may_be_ignored_or_not() -> None:
    logits, codes = drawn(LESION, 1)

    torch.testing.assert_close(
        segmentation_loss(logits, codes, BOTH, Target(("lesion",), ignores=True)),
        segmentation_loss(logits, codes, BOTH),
    )


def test_a_map_of_one_channel_beside_classes_is_of_all_of_them() -> None:
    logits, codes = drawn(SPARSE, 3)
    codes[:, :, :5] = IGNORED
    stage = torch.randn(3, 1, 16, 16)
    union = torch.where(codes == IGNORED, IGNORED, (codes > 0).byte())
    expected = segmentation_loss(logits, codes, BOTH, SPARSE)
    expected = expected + 0.25 * segmentation_loss(stage, union, BOTH, Target(("any",), ignores=True))

    found = total_loss(Outputs(logits, {"stage": stage}, {"stage": 0.25}), {"mask": codes[:, 0]}, BOTH, SPARSE)

    torch.testing.assert_close(found, expected)


def test_every_loss_has_its_form_for_classes() -> None:
    assert [*LOSSES] == [*CLASS_LOSSES]


def test_what_is_found_has_the_highest_probability_of_all_classes_or_more_than_one_half() -> None:
    for target in (HEART, LABELS, LESION):
        logits, _ = drawn(target, 1)
        probability, found = probabilities(logits, target), found_in(logits, target)

        assert probability.shape == found.shape == (3, len(target.names), 16, 16)
        if target is HEART:
            background = 1 - probability.sum(dim=1, keepdim=True)
            best = torch.cat([background, probability], dim=1).argmax(dim=1)
            assert torch.equal(best, (found * torch.tensor([1, 2, 3]).view(3, 1, 1)).sum(dim=1))
        else:
            assert torch.equal(found, probability > 0.5)
