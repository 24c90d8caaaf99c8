"""gru_sequence: torch.nn.GRU's function over whole sequences.

On the CPU a C++ kernel runs blocks of rows through all steps while they stay in the cache; on CUDA it is cuDNN's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import powqmix._C as _C

LIBRARY_PRODUCTS = 4096  # rows times steps from which a library's products pay for being called


class _GruSequence(torch.autograd.Function):
    """The CPU kernel with its gradient; all tensors float32 and contiguous."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows, steps, inputs = x.shape
        hidden = h0.shape[1]
        shape = (rows, steps, inputs, hidden)
        out = x.new_empty(rows, steps, hidden)
        keep = any(ctx.needs_input_grad)
        saved = x.new_empty(rows, steps, 4 * hidden) if keep else None
        _C.gru_sequence_forward(
            shape, w_ih.data_ptr(), w_hh.data_ptr(), b_ih.data_ptr(), b_hh.data_ptr(), x.data_ptr(), h0.data_ptr(),
            out.data_ptr(), 0 if saved is None else saved.data_ptr(),
        )  # fmt: skip
        if saved is not None:
            ctx.save_for_backward(x, h0, w_ih, w_hh, out, saved)
        return out, out[:, -1] if steps else h0

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_out, d_last = gradients
        x, h0, w_ih, w_hh, out, saved = ctx.saved_tensors
        rows, steps, inputs = x.shape
        hidden = h0.shape[1]
        shape = (rows, steps, inputs, hidden)
        d_out = d_out.contiguous()
        if steps and d_last is not None:
            d_out = d_out.clone()
            d_out[:, -1] += d_last
        d_gi, d_gh = x.new_empty(rows, steps, 3 * hidden), x.new_empty(rows, steps, 3 * hidden)
        previous = torch.empty_like(out)
        d_h0 = torch.empty_like(h0) if ctx.needs_input_grad[1] else None
        _C.gru_sequence_backward(
            shape, w_hh.data_ptr(), h0.data_ptr(), out.data_ptr(), saved.data_ptr(), d_out.data_ptr(),
            d_gi.data_ptr(), d_gh.data_ptr(), previous.data_ptr(), 0 if d_h0 is None else d_h0.data_ptr(),
        )  # fmt: skip
        if rows * steps < LIBRARY_PRODUCTS:
            d_x, d_w_ih, d_w_hh = torch.empty_like(x), torch.empty_like(w_ih), torch.empty_like(w_hh)
            d_b_ih, d_b_hh = x.new_empty(3 * hidden), x.new_empty(3 * hidden)
            _C.gru_sequence_products(
                shape, w_ih.data_ptr(), x.data_ptr(), d_gi.data_ptr(), d_gh.data_ptr(), previous.data_ptr(),
                d_x.data_ptr(), d_w_ih.data_ptr(), d_w_hh.data_ptr(), d_b_ih.data_ptr(), d_b_hh.data_ptr(),
            )  # fmt: skip
        else:
            of_x, of_h = d_gi.view(-1, 3 * hidden), d_gh.view(-1, 3 * hidden)
            d_x = (of_x @ w_ih).view_as(x)
            d_w_ih, d_w_hh = of_x.t() @ x.view(-1, inputs), of_h.t() @ previous.view(-1, hidden)
            d_b_ih, d_b_hh = of_x.sum(0), of_h.sum(0)
        return d_x, d_h0, d_w_ih, d_w_hh, d_b_ih, d_b_hh


def gru_sequence(
    x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """x [R, T, I], h0 [R, H], w_ih [3H, I], w_hh [3H, H], b_ih and b_hh [3H] -> out [R, T, H], h_last [R, H].

    The gates are in torch.nn.GRU's order (r, z, n). Differentiable in all six. Raises ValueError naming the tensor.
    """
    _check(x, h0, w_ih, w_hh, b_ih, b_hh)
    if x.is_cuda or x.dtype != torch.float32 or torch.compiler.is_compiling():
        out, last = torch.gru(
            x, h0.unsqueeze(0).contiguous(), (w_ih, w_hh, b_ih, b_hh),
            has_biases=True, num_layers=1, dropout=0.0, train=False, bidirectional=False, batch_first=True,
        )  # fmt: skip
        return out, last.squeeze(0)
    out, last = _GruSequence.apply(  # type: ignore[no-untyped-call]
        x.contiguous(), h0.contiguous(), w_ih.contiguous(), w_hh.contiguous(), b_ih.contiguous(), b_hh.contiguous()
    )
    return out, last


def _check(x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> None:
    if x.dim() != 3:
        raise ValueError(f"x must be [R, T, I], got shape {list(x.shape)}")
    if h0.dim() != 2:
        raise ValueError(f"h0 must be [R, H], got shape {list(h0.shape)}")
    gates, hidden = 3 * h0.shape[1], h0.shape[1]
    for name, tensor, shape in (
        ("h0", h0, (x.shape[0], hidden)), ("w_ih", w_ih, (gates, x.shape[2])), ("w_hh", w_hh, (gates, hidden)),
        ("b_ih", b_ih, (gates,)), ("b_hh", b_hh, (gates,)),
    ):  # fmt: skip
        if tensor.shape != shape:
            raise ValueError(f"{name} must be {list(shape)}, got shape {list(tensor.shape)}")
        if tensor.device != x.device or tensor.dtype != x.dtype:
            raise ValueError(f"{name} must be {x.dtype} on {x.device} as x is, got {tensor.dtype} on {tensor.device}")
