"""Three models as one: one after the other, against one batched call of torch.func over their stacked weights.

`make benchmarks` runs it. The members share one architecture here, without which they could not be stacked (those of
ablations/ensemble.yaml differ); weights are random, norms folded, 256 pixels. They take turns; prints medians and
ratios.
"""

import copy
import os
import statistics
import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from medbench.bench.cost.clocks import clock_of
from medbench.bench.training.device import best_device, prepare
from medbench.models.catalog import build_model
from medbench.models.ensemble import Ensemble
from medbench.models.fusing import fused

MEMBERS, SIZE, ROUNDS, PASSES = 3, 256, 8, 3


def main() -> None:
    warnings.simplefilter("ignore")  # of operations that torch.func computes one by one
    device, on_gpu = best_device(), torch.cuda.is_available()
    prepare(0, len(os.sched_getaffinity(0)))
    torch.use_deterministic_algorithms(False)
    members = [fused(build_model("medlitenet").model, torch.rand(1, 3, SIZE, SIZE)).to(device) for _ in range(MEMBERS)]
    if on_gpu:
        members = [member.half() for member in members]
    one_by_one = Ensemble(members, [1.0] * MEMBERS).eval()
    parameters, buffers = stack_module_state(members)
    skeleton = copy.deepcopy(members[0]).to("meta")

    def batched(image: Tensor) -> Tensor:
        def member(*state: dict[str, Tensor]) -> Tensor:
            return functional_call(skeleton, state, (image,))

        return torch.logit(vmap(member)(parameters, buffers).float().sigmoid().mean(0), eps=1e-6)

    clock = clock_of(device)
    for batch in (1, 16):
        image = torch.rand(batch, 3, SIZE, SIZE, device=device, dtype=torch.float16 if on_gpu else torch.float32)
        image = image.contiguous(memory_format=torch.channels_last)
        ways: dict[str, Callable[[], object]] = {
            "one member": lambda image=image: members[0](image),
            "one by one": lambda image=image: one_by_one(image),
            "batched": lambda image=image: batched(image),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        with torch.inference_mode():
            torch.testing.assert_close(ways["batched"](), ways["one by one"](), rtol=1e-2, atol=1e-2)
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    times[name].append(statistics.median(clock(way) for _ in range(PASSES)))
        for name, each in times.items():
            ratio = statistics.median(a / b for a, b in zip(each, times["one by one"], strict=True))
            print(f"batch {batch}, {name}: {statistics.median(each):.1f} ms, {ratio:.2f} of one by one")


if __name__ == "__main__":
    main()
