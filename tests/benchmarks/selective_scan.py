"""Mamba's selective scan, forward and backward: ours against the plain loop over tokens that torch differentiates by
itself, as the reference in state-spaces/mamba (selective_scan_ref) is written.

`make benchmarks` runs it. Shapes are those of UltraLight VM-UNet's stage with the most tokens, on 8 images of 128 and
of 256 pixels, on one thread. The two take turns; prints medians and the ratio.
"""

import statistics

import torch
from torch import Tensor

from medbench.bench.cost.clocks import clock_of
from medbench.bench.training.device import best_device, prepare
from medbench.models.peers.selective_scan import selective_scan

SEQUENCES, WIDTH, STATE = 8 * 4, 12, 16  # images times parts; channels of a part, expanded; numbers remembered
ROUNDS = 3


def plain_loop(x_bld: Tensor, step_bld: Tensor, rate_dn: Tensor, write_bln: Tensor, read_bln: Tensor) -> Tensor:
    decay = torch.exp(step_bld.unsqueeze(-1) * rate_dn)
    written = (step_bld * x_bld).unsqueeze(-1) * write_bln.unsqueeze(2)
    state, recalled = torch.zeros_like(written[:, 0]), list[Tensor]()
    for t in range(x_bld.shape[1]):
        state = decay[:, t] * state + written[:, t]
        recalled.append((state * read_bln[:, t, None]).sum(dim=2))
    return torch.stack(recalled, dim=1)


def main() -> None:
    prepare(0, 1)
    device = best_device()
    clock = clock_of(device)
    for size in (128, 256):
        tokens = (size // 8) ** 2
        shapes = [(SEQUENCES, tokens, WIDTH)] * 2 + [(WIDTH, STATE)] + [(SEQUENCES, tokens, STATE)] * 2
        x, step, rate, write, read = (torch.randn(shape, device=device) for shape in shapes)
        given = [each.requires_grad_() for each in (x, step.sigmoid().detach(), -rate.exp().detach(), write, read)]
        torch.testing.assert_close(selective_scan(*given), plain_loop(*given), rtol=1e-3, atol=1e-3)
        times: dict[str, list[float]] = {"ours": [], "plain loop": []}
        for _ in range(ROUNDS):
            for name, scan in (("ours", selective_scan), ("plain loop", plain_loop)):
                times[name].append(clock(lambda scan=scan, given=given: scan(*given).sum().backward()))
        medians = {name: statistics.median(each) for name, each in times.items()}
        told = ", ".join(f"{name} {median:.1f} ms" for name, median in medians.items())
        print(f"{size} pixels, {tokens} tokens: {told}, ratio {medians['ours'] / medians['plain loop']:.2f}")


if __name__ == "__main__":
    main()
