"""Steps of training: captured ones do what they do eagerly, and what cannot be captured is trained all the same."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from medbench.bench.training.batches import Batch
from medbench.bench.training.device import prepare
from medbench.bench.training.losses import segmentation_loss
from medbench.bench.training.schedule import optimizer_for, set_learning_rate
from medbench.bench.training.step import WARM_UP, Replayed, Step, total_loss
from medbench.models.outputs import Outputs

from .test_loop import Small, recipe

CPU = torch.device("cpu")


def batch(number: int, size: int) -> Batch:
    generator = torch.Generator().manual_seed(number)
    image = torch.randint(0, 256, (4, size, size, 3), generator=generator, dtype=torch.uint8)
    return {"image": image, "mask": (image[..., 0] > 128).byte()}


def step_of(model: Small, parts: int = 1) -> Step:
    optimizer = optimizer_for(model, recipe())
    return Step(model, model, optimizer, torch.amp.GradScaler("cpu", enabled=False), recipe(), parts)


class Recorder:
    """In the place of a CUDA graph: does the captured work again, on the memory that it was captured with."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.captures = self.replays = 0

    def __call__(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.captures += 1
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        kept = torch.zeros(())

        def replay() -> Tensor:
            self.replays += 1
            return kept.copy_(run())

        return replay


def trained(take: Callable[[Step], Any], sizes: list[int]) -> tuple[list[float], dict[str, Tensor]]:
    prepare(0, 1)
    model = Small()
    step = step_of(model)
    run = take(step)
    losses: list[Tensor] = []
    for number, size in enumerate(sizes):
        set_learning_rate(step.optimizer, 1 / (1 + number))
        losses.append(run(batch(number, size)))
    return [float(loss) for loss in losses], model.state_dict()


SIZES = [32] * 6 + [64] * 6


@pytest.mark.parametrize("fails", [False, True])
def test_replayed_steps_are_the_same_steps(fails: bool) -> None:
    recorder = Recorder(fails)

    eager = trained(lambda step: step, SIZES)
    replayed = trained(lambda step: Replayed(step, recorder), SIZES)

    assert replayed[0] == eager[0]  # each loss is kept, though the graph's own memory is written over
    assert all(torch.equal(replayed[1][name], eager[1][name]) for name in eager[1])


def test_a_shape_is_captured_once_after_its_warm_up() -> None:
    recorder = Recorder()

    trained(lambda step: Replayed(step, recorder), SIZES)

    assert recorder.captures == 2
    assert recorder.replays == 2 * (6 - WARM_UP)


def test_a_step_that_cannot_be_captured_says_why_and_is_not_tried_again() -> None:
    recorder, made = Recorder(fails=True), list[Replayed]()

    trained(lambda step: made.append(Replayed(step, recorder)) or made[0], SIZES)

    assert made[0].failed == "operation not permitted when stream is capturing"
    assert recorder.captures == 1


def test_a_capture_that_breaks_off_within_mixed_precision_leaves_a_scaler_that_works() -> None:
    prepare(0, 1)
    model = Small()
    optimizer = optimizer_for(model, recipe())
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    step = Step(model, model, optimizer, scaler, recipe(), 1)

    def breaks_off(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        scaler.unscale_(optimizer)
        raise RuntimeError("no")

    run = Replayed(step, breaks_off)

    losses = [float(run(batch(number, 32))) for number in range(8)]

    assert run.failed == "no"
    assert losses[-1] < losses[0]


def test_rates_that_are_tensors_train_as_numbers_do() -> None:
    def ends_with(as_tensor: bool) -> dict[str, Tensor]:
        prepare(0, 1)
        model = Small()
        step = step_of(model)
        if as_tensor:
            for group in step.optimizer.param_groups:
                group["lr"] = torch.tensor(group["lr"])
        for number in range(4):
            set_learning_rate(step.optimizer, 1 / (1 + number))
            step(batch(number, 32))
        return model.state_dict()

    numbers, tensors = ends_with(False), ends_with(True)

    for name, value in numbers.items():
        torch.testing.assert_close(tensors[name], value)


def test_auxiliary_maps_add_their_losses_times_their_weights() -> None:
    target = torch.randint(0, 2, (2, 1, 8, 8)).byte()
    main, first, second = (torch.randn(2, 1, 8, 8) for _ in range(3))
    expected = [segmentation_loss(each, target, recipe()) for each in (main, first, second)]

    wanted = {"mask": target[:, 0]}
    found = total_loss(Outputs(main, {"a": first, "b": second}, {"b": 0.25, "a": 0.5}), wanted, recipe())

    torch.testing.assert_close(found, expected[0] + 0.5 * expected[1] + 0.25 * expected[2])
    assert total_loss(main, wanted, recipe()) == expected[0]
