"""One step of training, and its replay as a CUDA graph, which spares the CPU the launching of every kernel."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...models.outputs import ARTIFACT, Outputs
from ..errors import first_line
from ..metrics import IGNORED, LESION, Target
from .batches import Batch, to_input
from .consistency import disagreement, halves, main_map
from .labels import NO_LABELS, Labels
from .losses import segmentation_loss

WARM_UP = 3  # steps of one shape before it is captured, as torch asks; they train like any other


class Step:
    """Forward, loss, backward, clipping and update on a batch; called, it gives the loss.

    Args:
        model: whose parameters are trained.
        forward: images (B, C, H, W) to logits (B, target.n_maps, H, W) or `Outputs`: the model, or it compiled.
        optimizer: of the model's parameters.
        scaler: of the loss, enabled in mixed precision.
        training: the recipe.
        parts: pieces that each batch is computed in, to fit a small GPU; batch norm sees them apart.
        target: what the masks' codes mean.
        labels: the tasks that there are beside the masks.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Callable[[Tensor], Tensor | Outputs],
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        training: Mapping[str, Any],
        parts: int,
        target: Target = LESION,
        labels: Labels = NO_LABELS,
    ) -> None:
        self.parameters = list(model.parameters())
        self.forward = forward
        self.optimizer = optimizer
        self.scaler = scaler
        self.training = training
        self.parts = parts
        self.target = target
        self.labels = labels
        self.device = self.parameters[0].device
        self.agreement = torch.zeros((), device=self.device)  # weight of what `consistency` asks for, at this step

    def __call__(self, batch: Batch) -> Tensor:
        """The loss, detached, of a batch on the model's device. Where it has clean images too, these go through the
        network in one pass with the others, so that batch norm sees both."""
        training, losses = self.training, list[Tensor]()
        self.optimizer.zero_grad(set_to_none=True)
        for parts in zip(*(each.chunk(self.parts) for each in batch.values()), strict=True):
            part = dict(zip(batch, parts, strict=True))
            image, codes_b1hw, clean = part["image"], part["mask"].unsqueeze(1), part.get("clean")
            with torch.autocast(self.device.type, torch.float16, enabled=self.scaler.is_enabled()):
                outputs = self.forward(to_input(image if clean is None else torch.cat([image, clean]), self.device))
            unlike = None
            if clean is not None:
                outputs, of_clean = halves(outputs)
                pair = main_map(outputs), main_map(of_clean)
                unlike = disagreement(*pair, codes_b1hw, self.target, training["consistency"]["band"])
            loss = total_loss(outputs, part, training, self.target, self.labels)
            loss = loss if unlike is None else loss + self.agreement * unlike
            loss = loss * (len(image) / len(batch["image"]))
            self.scaler.scale(loss).backward()
            losses.append(loss.detach())
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.parameters, training["clip_norm"])
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return torch.stack(losses).sum()


def total_loss(
    outputs: Tensor | Outputs,
    batch: Batch,
    training: Mapping[str, Any],
    target: Target = LESION,
    labels: Labels = NO_LABELS,
) -> Tensor:
    """The loss of the main map plus those of the auxiliary ones and of the tasks, each times its weight. Beside several
    classes, an auxiliary map of one channel is of all of them together; one of artifacts is of those of the batch."""
    codes_b1hw = batch["mask"].unsqueeze(1)
    if isinstance(outputs, Tensor):
        return segmentation_loss(outputs, codes_b1hw, training, target)
    loss = segmentation_loss(outputs.logits, codes_b1hw, training, target)
    for name, weight in outputs.weights.items():
        each, wanted, codes = outputs.auxiliary[name], target, codes_b1hw
        if name == ARTIFACT and ARTIFACT in batch:
            wanted, codes = LESION, batch[ARTIFACT].unsqueeze(1)
        elif each.shape[1] == 1 < target.n_maps:
            wanted, codes = Target(("any",), ignores=target.ignores), codes_b1hw.clamp(max=1)
            codes = torch.where(codes_b1hw == IGNORED, IGNORED, codes) if target.ignores else codes
        loss = loss + weight * segmentation_loss(each, codes, training, wanted)
    return loss + labels.loss(outputs.labels, batch["classes"]) if labels else loss


class Replayed:
    """A step that is captured once its inputs keep their shape, and replayed from then on.

    A model that cannot be captured, because it asks the GPU for a number say, is trained as before; `failed` says why.

    Args:
        step: what is called, with a batch on the device.
        capture: a function without arguments to one that does the same again; tests put another in CUDA's place.
    """

    def __init__(self, step: Step, capture: Callable[[Callable[[], Tensor]], Callable[[], Tensor]]) -> None:
        self.step = step
        self.capture = capture
        self.failed: str | None = None
        self._stream = torch.cuda.Stream() if step.device.type == "cuda" else None  # where warm-up belongs
        self._seen = 0
        self._inputs: Batch | None = None
        self._replay: Callable[[], Tensor] | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """The step's loss, a tensor of its own."""
        if self._inputs is None or batch["image"].shape != self._inputs["image"].shape:
            self._replay = None  # lets go of the memory of the last shape's graph
            self._inputs, self._seen = {name: torch.empty_like(each) for name, each in batch.items()}, 0
        for name, kept in self._inputs.items():
            kept.copy_(batch[name], non_blocking=True)
        if self._replay is None and self._seen >= WARM_UP and self.failed is None:
            self._replay = self._captured(self._inputs)
        self._seen += 1
        if self._replay is not None:
            return self._replay().clone()
        if self.failed is not None or self._stream is None:
            return self.step(self._inputs)
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            loss = self.step(self._inputs)
        torch.cuda.current_stream().wait_stream(self._stream)
        return loss

    def _captured(self, batch: Batch) -> Callable[[], Tensor] | None:
        try:
            return self.capture(lambda: self.step(batch))
        except RuntimeError as error:
            self.failed = first_line(error)
            if self.step.scaler.is_enabled():
                self.step.scaler._per_optimizer_states.clear()  # it stands where the capture broke off
            return None


def cuda_graph(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Captures what `run` launches, without doing it; called, it does it all again, on the same memory."""
    graph = torch.cuda.CUDAGraph()
    # Other threads may go on meanwhile: a loader's pins memory.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = run()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay
