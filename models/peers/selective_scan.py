"""The selective scan of Mamba (Gu and Dao 2023, arXiv 2312.00752, section 3), exact, in plain torch.

Shapes: B = batch, L = tokens, D = channels, N = numbers that a channel remembers.
"""

import math
from typing import Any

import torch
from torch import Tensor


def selective_scan(x_bld: Tensor, step_bld: Tensor, rate_dn: Tensor, write_bln: Tensor, read_bln: Tensor) -> Tensor:
    """What each channel recalls of the tokens so far, (B, L, D): y_t = sum over n of read_t h_t, where

        h_t = exp(step_t rate) h_(t-1) + step_t write_t x_t,  h_0 = 0.

    In Mamba's letters x is u, step is delta after its softplus, rate is A, write and read are B and C. All is computed
    in the type of `rate_dn`, in single precision where the rest is mixed.

    Args:
        x_bld: tokens.
        step_bld: how much time passes at a token, 0 or more.
        rate_dn: below 0, so that what is remembered fades and nothing overflows however many tokens there are.
        write_bln: how a token is written into memory.
        read_bln: how memory is read.
    """
    x_bld, step_bld, write_bln, read_bln = (each.to(rate_dn.dtype) for each in (x_bld, step_bld, write_bln, read_bln))
    decay_bldn = torch.exp(step_bld.unsqueeze(-1) * rate_dn)
    written_bldn = (step_bld * x_bld).unsqueeze(-1) * write_bln.unsqueeze(2)
    return (linear_recurrence(decay_bldn, written_bldn) * read_bln.unsqueeze(2)).sum(dim=-1)


def linear_recurrence(decay: Tensor, added: Tensor) -> Tensor:
    """h of h_t = decay_t h_(t-1) + added_t along the second dimension, h_0 = 0; all tensors of one shape."""
    if torch.is_grad_enabled():
        return _LinearRecurrence.apply(decay, added)  # pyright: ignore[reportReturnType]
    return _states(decay, added)  # as tracers can follow


class _LinearRecurrence(torch.autograd.Function):
    """The gradient of a linear recurrence is one too, from the last token to the first: torch's own would keep every
    step of the loops, in several times the time and memory."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, added: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        states = _states(decay, added)
        ctx.save_for_backward(decay, states)
        return states

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        decay, states = ctx.saved_tensors
        nothing = torch.zeros_like(decay[:, :1])
        following = torch.cat([decay[:, 1:], nothing], dim=1)
        gradient = _states(following.flip(1), gradient.flip(1)).flip(1)
        return gradient * torch.cat([nothing, states[:, :-1]], dim=1), gradient


def _states(decay: Tensor, added: Tensor) -> Tensor:
    """The recurrence in about three times the root of L steps: all chunks side by side from nothing, for what is left
    at their ends; from end to end through the chunks; and all chunks again, each from what the one before left.

    One loop over all L tokens is a little quicker on a CPU, and makes graphs that take minutes to export.
    """
    tokens = decay.shape[1]
    length = max(each for each in range(1, math.isqrt(tokens) + 1) if tokens % each == 0)
    decay, added = (each.unflatten(1, (tokens // length, length)) for each in (decay, added))
    ends = added[:, :, 0]
    for t in range(1, length):
        ends = torch.addcmul(added[:, :, t], decay[:, :, t], ends)
    through = decay.prod(dim=2)
    starts = [torch.zeros_like(ends[:, 0])]
    for chunk in range(tokens // length - 1):
        starts.append(torch.addcmul(ends[:, chunk], through[:, chunk], starts[-1]))
    states = [torch.stack(starts, dim=1)]
    for t in range(length):
        states.append(torch.addcmul(added[:, :, t], decay[:, :, t], states[-1]))
    return torch.stack(states[1:], dim=2).flatten(1, 2)
