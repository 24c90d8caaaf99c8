"""monotonic_mix: QMIX's mixing network, given the weights that its hypernetworks made."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .kernels import check, check_rank, direct, kernel, runner


def monotonic_mix(q: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """q [B,T,N], w1 [B,T,N,K], b1 [B,T,K], w2 [B,T,K], b2 [B,T] -> q_tot [B,T] = ELU(q |w1| + b1) |w2| + b2.

    Differentiable in all; the slope of |x| at 0 is 0. The backward pass keeps no hidden layer: it computes it again.
    QMIX: Rashid et al., arXiv 1803.11485, Section 4. Raises ValueError.
    """
    check_rank("w1", w1, "B, T, N, K")
    batch, steps, agents, embed = w1.shape
    check("w1", w1, "B, T, N, K", w1.shape, w1, torch.float32)
    check("q", q, "B, T, N", (batch, steps, agents), w1, torch.float32)
    check("b1", b1, "B, T, K", (batch, steps, embed), w1, torch.float32)
    check("w2", w2, "B, T, K", (batch, steps, embed), w1, torch.float32)
    check("b2", b2, "B, T", (batch, steps), w1, torch.float32)
    if direct():
        return _MonotonicMix.apply(q, w1, b1, w2, b2)  # type: ignore[no-untyped-call, no-any-return]
    q_tot: Tensor = _op(q, w1, b1, w2, b2)
    return q_tot


def _forward(q: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    inputs = [t.contiguous() for t in (q, w1, b1, w2, b2)]
    batch, steps, agents, embed = w1.shape
    q_tot = q.new_empty(batch, steps)
    kernel("monotonic_mix", q)(
        batch * steps, agents, embed, [t.data_ptr() for t in inputs], q_tot.data_ptr(), runner(q)
    )
    return q_tot


def _backward(d_q_tot: Tensor, q: Tensor, w1: Tensor, b1: Tensor, w2: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs = [t.contiguous() for t in (q, w1, b1, w2, d_q_tot)]
    batch, steps, agents, embed = w1.shape
    outputs = [t.new_empty(t.shape) for t in (q, w1, b1, w2)]
    kernel("monotonic_mix_backward", q)(
        batch * steps, agents, embed, [t.data_ptr() for t in inputs], [t.data_ptr() for t in outputs], runner(q)
    )
    return outputs[0], outputs[1], outputs[2], outputs[3]


class _MonotonicMix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        ctx.save_for_backward(q, w1, b1, w2)
        return _forward(q, w1, b1, w2, b2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return (*_backward(gradients[0], *ctx.saved_tensors), gradients[0])


_op = torch.library.custom_op("powqmix::monotonic_mix", _forward, mutates_args=())
_op_backward = torch.library.custom_op("powqmix::monotonic_mix_backward", _backward, mutates_args=())


@_op.register_fake
def _(q: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return q.new_empty(q.shape[:2])


@_op_backward.register_fake
def _(d_q_tot: Tensor, q: Tensor, w1: Tensor, b1: Tensor, w2: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), w1.new_empty(w1.shape), b1.new_empty(b1.shape), w2.new_empty(w2.shape)


_op.register_autograd(
    lambda ctx, d_q_tot: (*_op_backward(d_q_tot, *ctx.saved_tensors), d_q_tot),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs[:4]),
)
