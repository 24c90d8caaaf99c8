"""gru_sequence by the fused CUDA kernels: products for all steps at once, one kernel for what goes from step to step.

csrc/include/powqmix/gru_block.h is the kernels' text. ops/gru.py decides who comes here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import powqmix._C as _C

from .kernels import HAS_CUDA, has_kernel, kernel, runner

SIZES = tuple(size for size in range(1, 1025) if _C.gru_takes(size))  # H that there are kernels for


def reason_against(x: Tensor, h0: Tensor, w_ih: Tensor) -> str:
    """Why these inputs cannot be taken, with the remedy; empty if they can."""
    if h0.shape[1] not in SIZES:
        return f"H must be one of {', '.join(map(str, SIZES))}, got {h0.shape[1]}"
    if x.dtype != torch.float32 or w_ih.dtype != torch.float32 or torch.is_autocast_enabled(x.device.type):
        return f"x and the weights must be float32 outside autocast, got {x.dtype} and {w_ih.dtype}"
    if x.is_cuda and not HAS_CUDA:
        return "powqmix was built without CUDA kernels; build it where nvcc is on the PATH"
    if not has_kernel("gru_forward", x):
        return f"it is for CUDA, and x is on {x.device}"
    return ""


class FusedGru(torch.autograd.Function):
    """x [B, T, N, I], h0 [B N, H] and torch.nn.GRU's weights -> out [B, T, N, H]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        keep = any(ctx.needs_input_grad)
        x, h0, w_ih, w_hh, b_ih, b_hh = (t.contiguous() for t in (x, h0, w_ih, w_hh, b_ih, b_hh))
        out, gates = _forward(x, h0, w_ih, w_hh, b_ih, b_hh, keep)
        if keep:
            ctx.save_for_backward(x, h0, w_ih, w_hh, out, gates)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, h0, w_ih, w_hh, out, gates = ctx.saved_tensors
        d_gates, d_h0 = _backward(gradients[0].contiguous(), h0, w_hh, out, gates)
        return _products(d_gates, d_h0, x, h0, w_ih, out, of_x=ctx.needs_input_grad[0])


def _sizes(out: Tensor) -> tuple[tuple[int, int, int], int]:
    """(groups, agents, steps) and H of out [B, T, N, H]."""
    groups, steps, agents, hidden = out.shape
    return (groups, agents, steps), hidden


def _forward(
    x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, keep: bool
) -> tuple[Tensor, Tensor]:
    """out [B, T, N, H], and gates [B, T, N, 4H]: r, z, n, and what h gives to n ([B, T, N, 3H] of x's part, if not)."""
    hidden = h0.shape[1]
    out = x.new_empty(*x.shape[:3], hidden)
    gates = x.new_empty(*x.shape[:3], (4 if keep else 3) * hidden)
    if out.numel():
        of_x = gates.view(-1, gates.shape[3])[:, : 3 * hidden]
        torch.addmm(b_ih, x.view(-1, x.shape[3]), w_ih.t(), out=of_x)
        sizes, _ = _sizes(out)
        kernel("gru_forward", x)(
            sizes, hidden, keep, [t.data_ptr() for t in (w_hh, b_hh, h0)], [gates.data_ptr(), out.data_ptr()], runner(x)
        )  # fmt: skip
    return out, gates


def _backward(d_out: Tensor, h0: Tensor, w_hh: Tensor, out: Tensor, gates: Tensor) -> tuple[Tensor, Tensor]:
    """d_gates [B, T, N, 4H], of what x gives to r, z, n and of what h gives to n; d_h0 [B N, H]."""
    d_gates, d_h0 = torch.empty_like(gates), torch.zeros_like(h0)
    if out.numel():
        sizes, hidden = _sizes(out)
        kernel("gru_backward", out)(
            sizes, hidden, [t.data_ptr() for t in (w_hh, h0, out, gates, d_out)],
            [d_gates.data_ptr(), d_h0.data_ptr()], runner(out),
        )  # fmt: skip
    return d_gates, d_h0


def _products(
    d_gates: Tensor, d_h0: Tensor, x: Tensor, h0: Tensor, w_ih: Tensor, out: Tensor, *, of_x: bool
) -> tuple[Tensor | None, ...]:
    """The gradients of x (None where not `of_x`), h0, w_ih, w_hh, b_ih, b_hh: sums over all rows and steps at once."""
    (groups, agents, _), hidden = _sizes(out)
    flat = d_gates.view(-1, 4 * hidden)
    of_input, of_r_and_z, of_n = flat[:, : 3 * hidden], flat[:, : 2 * hidden], flat[:, 3 * hidden :]
    before = torch.cat((h0.view(groups, 1, agents, hidden), out), 1)[:, : out.shape[1]].reshape(-1, hidden)
    sums = flat.sum(0)
    d_w_hh = torch.cat((of_r_and_z.t() @ before, of_n.t() @ before))
    d_x = (of_input @ w_ih).view_as(x) if of_x else None
    d_b_hh = torch.cat((sums[: 2 * hidden], sums[3 * hidden :]))
    return d_x, d_h0, of_input.t() @ x.view(-1, x.shape[3]), d_w_hh, sums[: 3 * hidden].clone(), d_b_hh
