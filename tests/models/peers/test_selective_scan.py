"""The selective scan is the recurrence that it stands for, forward and backward, however long."""

import pytest
import torch
from torch import Tensor

from medbench.models.peers.selective_scan import linear_recurrence, selective_scan


def brute_force(x: Tensor, step: Tensor, rate: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """Mamba's equation as it is written, one token after the other."""
    memory, recalled = torch.zeros(x.shape[0], *rate.shape, dtype=x.dtype), list[Tensor]()
    for t in range(x.shape[1]):
        fading = torch.exp(step[:, t, :, None] * rate)
        memory = fading * memory + step[:, t, :, None] * write[:, t, None, :] * x[:, t, :, None]
        recalled.append((memory * read[:, t, None, :]).sum(dim=2))
    return torch.stack(recalled, dim=1)


def inputs(tokens: int, dtype: torch.dtype = torch.float32, largest_step: float = 2.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    step = largest_step * torch.rand(2, tokens, 3, generator=generator, dtype=dtype)
    given = [normal(2, tokens, 3), step, -normal(3, 4).exp(), normal(2, tokens, 4), normal(2, tokens, 4)]
    return [each.requires_grad_() for each in given]


@pytest.mark.parametrize("tokens", [1, 2, 13, 24, 256, 1024])
@pytest.mark.parametrize("largest_step", [0.01, 2.0])
def test_the_scan_is_the_recurrence_and_so_is_its_gradient(tokens: int, largest_step: float) -> None:
    given = inputs(tokens, largest_step=largest_step)
    expected = brute_force(*given)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))

    found = selective_scan(*given)

    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    gradients = [torch.autograd.grad(each, given, weights) for each in (found, expected)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))


def test_its_gradient_is_that_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(selective_scan, inputs(6, torch.float64))


def test_two_tokens_worked_by_hand() -> None:
    decay, added = torch.tensor([[0.5, 0.25]]), torch.tensor([[2.0, 3.0]])

    assert linear_recurrence(decay, added).tolist() == [[2.0, 3.5]]


def test_long_sequences_neither_overflow_nor_lose_what_is_near() -> None:
    """Of 4096 tokens that each fade memory to nothing, logarithms of the products reach -400 000."""
    x, step, rate, write, read = inputs(4096)

    recalled = selective_scan(x, step * 0 + 100, rate * 0 - 1, write, read)
    recalled.sum().backward()

    torch.testing.assert_close(recalled, 100 * x * (write * read).sum(dim=2, keepdim=True), rtol=1e-3, atol=1e-3)
    assert all(each.grad is not None and bool(each.grad.isfinite().all()) for each in (x, step, rate, write, read))


def test_mixed_precision_remembers_in_single() -> None:
    x, step, rate, write, read = inputs(64)

    mixed = selective_scan(x.bfloat16(), step, rate, write.bfloat16(), read.bfloat16())

    assert mixed.dtype == torch.float32


def test_without_gradients_it_computes_the_same() -> None:
    given = inputs(24)

    with torch.inference_mode():
        alone = selective_scan(*given)

    assert torch.equal(alone, selective_scan(*given))
