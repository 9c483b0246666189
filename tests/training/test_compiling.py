"""Training with models that torch compiles, and with those that it cannot."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from medbench.ablations.schema.loading import load_study
from medbench.bench.cli.live_view import View
from medbench.bench.quiet import quietly
from medbench.bench.store.folder import Store
from medbench.bench.study.planning import plan
from medbench.bench.study.sets import Sets
from medbench.bench.study.trials import Place, run_job
from medbench.bench.training import loop
from medbench.bench.training.compiling import Compiled, compiled_model
from medbench.bench.training.device import prepare
from medbench.bench.training.schedule import optimizer_for
from medbench.models.blocks import BoundaryAwareAttention, UpsampleTwice

from .test_loop import Small, recipe
from .test_step import batch, step_of

Forward = Callable[[Tensor], Tensor]


class Tiny(nn.Conv2d):
    """A model of a user's own."""

    def __init__(self) -> None:
        super().__init__(3, 1, 1)


class Novel(nn.Module):
    """What MedLiteNet has of its own, and no other model that torch's own tests compile."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.attention, self.head, self.upsample = BoundaryAwareAttention(8), nn.Conv2d(8, 1, 1), UpsampleTwice()

    def forward(self, image: Tensor) -> Tensor:
        return self.upsample(self.head(self.attention(self.stem(image))))


def test_the_novel_blocks_compile_to_the_same_function_and_gradient() -> None:
    torch.manual_seed(0)
    model = Novel().to(memory_format=torch.channels_last)
    image = torch.randn(2, 3, 16, 24).contiguous(memory_format=torch.channels_last)

    def logits_and_gradients(forward: Forward) -> list[Tensor]:
        model.zero_grad()
        logits = forward(image)
        logits.square().sum().backward()
        return [logits.detach(), *(each.grad.clone() for each in model.parameters() if each.grad is not None)]

    wanted = logits_and_gradients(model)
    with quietly():
        found = logits_and_gradients(compiled_model(model))

    assert len(wanted) == 1 + len(list(model.parameters()))
    for here, there in zip(found, wanted, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-6 * float(there.abs().max()))


def fails_in_the_pass(model: nn.Module) -> Forward:
    def forward(image: Tensor) -> Tensor:
        model(image)  # norms have seen the images, and dropout has drawn
        raise RuntimeError("no such kernel\nmore")

    return forward


def fails_in_the_gradient(model: nn.Module) -> Forward:
    def fail(gradient: Tensor) -> None:
        raise AssertionError("no such kernel\nmore")

    def forward(image: Tensor) -> Tensor:
        logits = model(image)
        logits.register_hook(fail)
        return logits

    return forward


def fails_at_another_size(model: nn.Module) -> Forward:
    return lambda image: (model if image.shape[-1] == 32 else fails_in_the_pass(model))(image)


def compiled_step(model: nn.Module, forward: Forward, told: list[str]) -> Compiled:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return Compiled(model, forward, optimizer_for(model, recipe()), scaler, recipe(), 1, told.append)


@pytest.mark.parametrize("compile_", [fails_in_the_pass, fails_in_the_gradient, fails_at_another_size])
def test_what_cannot_be_compiled_is_trained_to_the_same_bytes_and_told_once(
    compile_: Callable[[nn.Module], Forward],
) -> None:
    def ends_with(take: Callable[[Small], Any]) -> tuple[list[float], dict[str, Tensor]]:
        prepare(0, 1)
        model = Small()
        step = take(model)
        losses = [float(step(batch(number, size))) for number, size in enumerate([32, 32, 64, 64])]
        return losses, model.state_dict()

    told: list[str] = []
    eager = ends_with(step_of)
    found = ends_with(lambda model: compiled_step(model, compile_(model), told))

    assert told == ["no such kernel"]
    assert found[0] == eager[0]
    assert all(torch.equal(found[1][name], eager[1][name]) for name in eager[1])


def test_an_error_of_the_model_itself_is_raised_as_its_own() -> None:
    class Broken(Small):
        def forward(self, image: Tensor) -> Tensor:
            raise ValueError("this model is broken")

    model, told = Broken(), list[str]()

    with pytest.raises(ValueError, match="this model is broken"):
        compiled_step(model, fails_in_the_pass(Small()), told)(batch(0, 32))

    assert told == []


def test_a_full_memory_is_not_for_want_of_a_compiler() -> None:
    def full(image: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("out of memory")

    model, told = Small(), list[str]()

    with pytest.raises(torch.OutOfMemoryError):
        compiled_step(model, full, told)(batch(0, 32))

    assert told == []


def test_a_trial_whose_model_cannot_be_compiled_says_so_and_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "compiled_model", fails_in_the_pass)
    (tmp_path / "mine.yaml").write_text(
        "question: Is it trained?\nbaseline: tiny\nvariants:\n"
        f"  tiny: {{model: '{__name__}:Tiny'}}\n"
        "dataset: {name: synthetic, images: 30, size: 64}\nencoder_weights: none\nseeds: 1\n"
        "training: {epochs: 1, batch_size: 8}\n",
        encoding="utf-8",
    )
    [job] = plan(load_study(str(tmp_path / "mine.yaml")), Sets(None, tmp_path / "cache")).jobs
    text = io.StringIO()
    with View(Console(file=text, width=200), 1) as show:
        run_job(job, Place(tmp_path / "runs", None, tmp_path / "cache", 1, 0, compiled=True), show)

    said = "tiny seed 0: torch cannot compile this model, it is trained as it was written: no such kernel"
    assert text.getvalue().count(said) == 1
    environment = json.loads((Store(tmp_path / "runs").trial(job.id) / "environment.json").read_text())
    assert environment["path"]["model"] == "eager: no such kernel"
