"""Models compiled by torch, for training and for latencies."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...models.outputs import Outputs
from ..errors import first_line
from ..metrics import LESION, Target
from ..quiet import quietly
from .batches import Batch
from .labels import NO_LABELS, Labels
from .step import Step


def compiled_model(model: nn.Module, options: Mapping[str, Any] | None = None) -> Callable[[Tensor], Tensor]:
    """The model, to be compiled at its first pass of each shape; `options` are the compiler's.

    A process may compile as many as it likes: by default torch goes back to eager after eight, without a word.
    """
    config: Any = torch._dynamo.config  # pyright: ignore[reportAttributeAccessIssue]
    config.recompile_limit = config.accumulated_recompile_limit = 1000
    return torch.compile(model, dynamic=False, options=None if options is None else dict(options))


class Compiled(Step):
    """A step whose model torch compiles at each new input size.

    Where the first step of a size fails, it is taken once more with the model as it was written, from the same state.
    If that goes well, the model could not be compiled: it is trained as it was written from then on, and `failed` says
    why. If not, the error is the model's own and is raised.

    Args:
        model: whose parameters are trained.
        forward: the model compiled.
        optimizer: of the model's parameters.
        scaler: of the loss, enabled in mixed precision.
        training: the recipe.
        parts: pieces that each batch is computed in.
        on_failure: called with what `failed` says.
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
        on_failure: Callable[[str], None] = lambda _: None,
        target: Target = LESION,
        labels: Labels = NO_LABELS,
    ) -> None:
        super().__init__(model, forward, optimizer, scaler, training, parts, target, labels)
        self.model = model
        self.on_failure = on_failure
        self.failed: str | None = None
        self._seen: set[torch.Size] = set()

    def __call__(self, batch: Batch) -> Tensor:
        """The loss, as of a `Step`."""
        if self.failed is not None or batch["image"].shape in self._seen:
            return super().__call__(batch)
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        generators = torch.get_rng_state(), torch.cuda.get_rng_state_all()
        try:
            with quietly():
                loss = super().__call__(batch)
            self._seen.add(batch["image"].shape)
            return loss
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers fail in many ways, some of them in the pass itself
            why = first_line(getattr(error, "inner_exception", error))
        for name, buffer in self.model.named_buffers():
            buffer.copy_(buffers[name])
        torch.set_rng_state(generators[0])
        torch.cuda.set_rng_state_all(generators[1])
        self.forward = self.model
        loss = super().__call__(batch)
        self.failed = why
        self.on_failure(why)
        return loss
