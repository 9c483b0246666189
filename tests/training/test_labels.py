"""Labels of whole images: they travel with their images on every way to a step, and count alike in every batch."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medbench.bench.training.batches import Batches, loader
from medbench.bench.training.forward import validate
from medbench.bench.training.images_on_gpu import OnDevice
from medbench.bench.training.labels import UNKNOWN, Labels
from medbench.bench.training.schedule import optimizer_for
from medbench.bench.training.step import Replayed, Step, total_loss
from medbench.datasets.cache import Arrays, load_arrays
from medbench.datasets.inspection import inspect
from medbench.datasets.synthetic import SyntheticSet
from medbench.models.outputs import Outputs

from .test_loop import QUIET, recipe
from .test_step import CPU, Recorder, batch

LABELS = Labels({"stage": {"a": 0, "b": 2}, "kind": {"a": 1, "c": 0}}, {"stage": 0.5, "kind": 2.0})


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    images = SyntheticSet(images=20, size=64)
    return load_arrays(images, images.ids, 64, tmp_path_factory.mktemp("cache"), inspect(images).digests)


class Plain(nn.Module):
    """Without batch norm, so that parts of a batch do not know of each other."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Conv2d(3, 1, 3, padding=1)
        self.head = nn.Linear(3, 2)

    def forward(self, image: Tensor) -> Outputs:
        return Outputs(self.map(image), {}, {}, {"kind": self.head(image.mean(dim=(2, 3)))})


def labels_of(arrays: Arrays) -> Labels:
    """Every third image is not known."""
    known = {id: row % 2 for id, row in arrays.row.items() if row % 3}
    return Labels({"kind": known}, {"kind": 0.3})


def test_classes_stand_in_the_order_of_the_tasks_names() -> None:
    assert LABELS.tasks == ["kind", "stage"]
    assert LABELS.of(["a", "b", "c"]).tolist() == [[1, 0], [UNKNOWN, 2], [0, UNKNOWN]]
    assert not Labels()


def test_the_loss_is_the_weighed_sum_over_images_that_are_known() -> None:
    kind, stage = torch.randn(3, 2), torch.randn(3, 3)
    log_kind, log_stage = F.log_softmax(kind, dim=1), F.log_softmax(stage, dim=1)

    found = LABELS.loss({"kind": kind, "stage": stage}, LABELS.of(["a", "b", "c"]))

    expected = -2.0 * (log_kind[0, 1] + log_kind[2, 0]) / 3 - 0.5 * (log_stage[0, 0] + log_stage[1, 2]) / 3
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_a_batch_without_a_known_label_learns_from_its_masks_alone() -> None:
    logits, codes = torch.randn(2, 1, 8, 8), torch.ones(2, 1, 8, 8, dtype=torch.uint8)
    outputs = Outputs(logits, {}, {}, {"kind": torch.randn(2, 2), "stage": torch.randn(2, 3)})

    given = {"mask": codes[:, 0], "classes": LABELS.of(["x", "y"])}
    found = total_loss(outputs, given, recipe(), labels=LABELS)

    assert float(found) == float(total_loss(logits, given, recipe()))


def test_accuracies_worked_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, 0.1]])
    labels = Labels({"kind": {}}, {"kind": 1.0})
    classes = torch.tensor([[0], [0], [0], [1], [UNKNOWN]])

    assert labels.accuracies({"kind": logits}, classes) == {
        "kind_accuracy": 0.5,
        "kind_balanced_accuracy": pytest.approx((2 / 3 + 0) / 2),
    }
    nothing = labels.accuracies({"kind": logits}, torch.full((5, 1), UNKNOWN))
    assert all(np.isnan(value) for value in nothing.values())


def steps(parts: int, replayed: bool = False) -> Iterator[tuple[float, dict[str, Tensor]]]:
    torch.manual_seed(0)
    model, labels = Plain(), Labels({"kind": {}}, {"kind": 0.5})
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    step = Step(model, model, optimizer_for(model, recipe()), scaler, recipe(), parts, labels=labels)
    run = Replayed(step, Recorder()) if replayed else step
    for number in range(6):
        classes = torch.tensor([[0], [UNKNOWN], [1], [number % 2]])
        loss = float(run(batch(number, 16) | {"classes": classes}))
        yield loss, {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("replayed", [False, True])
def test_parts_of_a_batch_and_replays_learn_what_the_whole_does(replayed: bool) -> None:
    """Though the known labels are not spread evenly over the parts."""
    whole, other = list(steps(1)), list(steps(1 if replayed else 2, replayed))

    for (loss, weights), (loss_of_other, weights_of_other) in zip(whole, other, strict=True):
        assert loss_of_other == pytest.approx(loss, abs=1e-6)
        for name, value in weights.items():
            torch.testing.assert_close(weights_of_other[name], value, atol=1e-5, rtol=1e-4)
    assert whole[0][1]["head.weight"].ne(whole[-1][1]["head.weight"]).all()


def test_labels_come_with_their_images_however_these_are_loaded(arrays: Arrays) -> None:
    batches, labels = Batches(sorted(arrays.row)[:20], 5, seed=1), labels_of(arrays)
    batches.size = 32
    ways = [
        OnDevice(arrays, batches, QUIET, CPU, labels),
        *(loader(arrays, batches, QUIET, workers=n, pin=False, labels=labels) for n in (0, 1)),
    ]

    for way in ways:
        for draws, given in zip(batches, way, strict=True):
            assert given["classes"].tolist() == labels.of([draw.image for draw in draws]).tolist()


def test_validation_counts_the_loss_of_labels_too(arrays: Arrays) -> None:
    torch.manual_seed(0)
    model, ids, labels = Plain(), sorted(arrays.row)[:9], labels_of(arrays)

    plain, dice, nothing = validate(model, arrays, ids, recipe())
    loss, same, accuracies = validate(model, arrays, ids, recipe(), labels)

    assert (same, nothing) == (dice, {})
    assert loss > plain
    assert set(accuracies) == {"kind_accuracy", "kind_balanced_accuracy"}
