"""hyper_scales: the recognizer's lambda_i out of its two hypernetwork layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .kernels import check, check_rank, direct, kernel, runner


def hyper_scales(w1: Tensor, w2: Tensor) -> Tensor:
    """w1 [B,T,N,K], w2 [B,T,K] -> scales [B,T,N] = sum_k |w1| |w2|: lambda_i of Eq. 5 (arXiv 2405.08036).

    Differentiable in both; the slope of |x| at 0 is 0. Raises ValueError.
    """
    check_rank("w1", w1, "B, T, N, K")
    check("w1", w1, "B, T, N, K", w1.shape, w1, torch.float32)
    check("w2", w2, "B, T, K", (*w1.shape[:2], w1.shape[3]), w1, torch.float32)
    if direct():
        return _HyperScales.apply(w1, w2)  # type: ignore[no-untyped-call, no-any-return]
    scales: Tensor = _op(w1, w2)
    return scales


def _forward(w1: Tensor, w2: Tensor) -> Tensor:
    w1, w2 = w1.contiguous(), w2.contiguous()
    batch, steps, agents, embed = w1.shape
    scales = w1.new_empty(batch, steps, agents)
    kernel("hyper_scales", w1)(
        batch * steps, agents, embed, w1.data_ptr(), w2.data_ptr(), scales.data_ptr(), runner(w1)
    )
    return scales


def _backward(d_scales: Tensor, w1: Tensor, w2: Tensor) -> tuple[Tensor, Tensor]:
    d_scales, w1, w2 = d_scales.contiguous(), w1.contiguous(), w2.contiguous()
    batch, steps, agents, embed = w1.shape
    d_w1, d_w2 = w1.new_empty(w1.shape), w2.new_empty(w2.shape)
    kernel("hyper_scales_backward", w1)(
        batch * steps, agents, embed, w1.data_ptr(), w2.data_ptr(), d_scales.data_ptr(), d_w1.data_ptr(),
        d_w2.data_ptr(), runner(w1),
    )  # fmt: skip
    return d_w1, d_w2


class _HyperScales(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w1: Tensor, w2: Tensor) -> Tensor:
        ctx.save_for_backward(w1, w2)
        return _forward(w1, w2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        return _backward(gradients[0], *ctx.saved_tensors)


_op = torch.library.custom_op("powqmix::hyper_scales", _forward, mutates_args=())
_op_backward = torch.library.custom_op("powqmix::hyper_scales_backward", _backward, mutates_args=())


@_op.register_fake
def _(w1: Tensor, w2: Tensor) -> Tensor:
    return w1.new_empty(w1.shape[:3])


@_op_backward.register_fake
def _(d_scales: Tensor, w1: Tensor, w2: Tensor) -> tuple[Tensor, Tensor]:
    return w1.new_empty(w1.shape), w2.new_empty(w2.shape)


_op.register_autograd(
    lambda ctx, d_scales: _op_backward(d_scales, *ctx.saved_tensors),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)
