"""mlp: linear layers with ReLU between them, as one call where a batch has few rows.

A product of 18 rows with a 256 x 256 matrix takes microseconds; calling a library for it, its sum and its mask, and
again for the gradients, takes ten times as long. Large batches go to the library.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import powqmix._C as _C

NATIVE_ROWS = 256  # up to here the C++ chain was faster than the library's calls


class _Mlp(torch.autograd.Function):
    """The CPU kernel with its gradient: x [R, I], weight and bias of each layer; all float32 and contiguous."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        rows = x.shape[0]
        sizes = [x.shape[1], *(bias.shape[0] for bias in parameters[1::2])]
        activations = [x.new_empty(rows, size) for size in sizes[1:]]
        _C.mlp_forward(
            rows, sizes, [p.data_ptr() for p in parameters], x.data_ptr(), [a.data_ptr() for a in activations]
        )
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(x, *parameters)
            ctx.hidden, ctx.sizes = activations[:-1], sizes
        return activations[-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, *parameters = ctx.saved_tensors
        d_out = gradients[0].contiguous()
        d_parameters = [torch.empty_like(p) for p in parameters]
        d_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        # The kernel writes gradients over the hidden activations: a second backward pass needs its own.
        hidden = [h.clone() for h in ctx.hidden]
        _C.mlp_backward(
            x.shape[0], ctx.sizes, [p.data_ptr() for p in parameters], [d.data_ptr() for d in d_parameters],
            x.data_ptr(), [*(h.data_ptr() for h in hidden), 0], d_out.data_ptr(), 0 if d_x is None else d_x.data_ptr(),
        )  # fmt: skip
        return (d_x, *d_parameters)


def mlp(x: Tensor, *parameters: Tensor) -> Tensor:
    """x [..., I], then weight [O, I] and bias [O] of each layer -> [..., O of the last]. Differentiable in all.

    Parameters are contiguous float32, as torch.nn.Linear keeps them.
    """
    rows = x.numel() // max(1, x.shape[-1])
    if rows <= NATIVE_ROWS and x.dtype == torch.float32 and not x.is_cuda and not torch.compiler.is_compiling():
        out = _Mlp.apply(x.reshape(rows, x.shape[-1]).contiguous(), *parameters)  # type: ignore[no-untyped-call]
        return out.view(*x.shape[:-1], out.shape[1])  # type: ignore[no-any-return]
    last = len(parameters) - 2
    for at in range(0, last, 2):
        x = functional.relu(functional.linear(x, parameters[at], parameters[at + 1]), inplace=True)
    return functional.linear(x, parameters[last], parameters[last + 1])
