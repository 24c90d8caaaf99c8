"""gru_sequence: torch.nn.GRU's function over whole sequences.

On the CPU a C++ kernel takes tiles of rows through all steps while they and the weights stay in the cache. On CUDA it
is cuDNN's or our own (ops/gru_fused.py), which a trial decides (ops/gru_choice.py) or POWQMIX_GRU in the environment.
The agent of a batch with few rows is a single call of another kernel (ops/agent.py) and does not come here.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

import powqmix._C as _C

from . import gru_choice, gru_fused
from .kernels import direct

VARIABLE = "POWQMIX_GRU"  # of the environment: which kernel CUDA tensors go to where a call does not say
ROWS_PER_THREAD = 2048  # rows times steps below which another thread costs more than it takes over


def gru_sequence(
    x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, *, fused: bool | None = None
) -> tuple[Tensor, Tensor]:
    """x [R, T, I], h0 [R, H], w_ih [3H, I], w_hh [3H, H], b_ih and b_hh [3H] -> out [R, T, H], h_last [R, H].

    Or x [B, T, N, I] and h0 [B N, H] -> out [B, T, N, H], h_last [B N, H]: R = B N rows, of which N lie beside each
    other at each step. The gates are in torch.nn.GRU's order (r, z, n). Differentiable in all six. Weights have the
    dtype of x and h0, or are float32 where those are bfloat16: products are then of numbers rounded to bfloat16, and
    sums and the weights' gradients float32. On the CPU both have a kernel (bfloat16 where the processor has
    instructions for it), which uses torch.get_num_threads() threads and gives the same bits with any number of them.

    fused: True takes the fused CUDA kernels, False never does. None does so on CUDA where the inputs allow it and they
    are the faster ones, or as POWQMIX_GRU says. Raises ValueError naming the tensor, or why True cannot be.
    """
    _check(x, h0, w_ih, w_hh, b_ih, b_hh)
    if _takes_fused(x, h0, w_ih, fused):
        return _by_fused(x, h0, w_ih, w_hh, b_ih, b_hh)
    native = x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and _C.has_bfloat16())
    if x.is_cuda or not native or w_ih.dtype != torch.float32:
        return _by_library(x, h0, *(weight.to(x.dtype) for weight in (w_ih, w_hh, b_ih, b_hh)))
    rows = x if x.dim() == 4 else x.unsqueeze(2)
    if direct():
        out: Tensor = _GruSequence.apply(rows, h0, w_ih, w_hh, b_ih, b_hh)  # type: ignore[no-untyped-call]
    else:
        out = _op(rows, h0, w_ih, w_hh, b_ih, b_hh)[0]
    return _results(x, h0, out)


def _results(x: Tensor, h0: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """out [B, T, N, H] in the form of x, and its last step."""
    last = out[:, -1].flatten(0, 1) if x.shape[1] else h0
    return (out if x.dim() == 4 else out.squeeze(2)), last


def _takes_fused(x: Tensor, h0: Tensor, w_ih: Tensor, fused: bool | None) -> bool:
    if fused is None:
        possible = x.is_cuda and chosen() != "cudnn" and direct() and not gru_fused.reason_against(x, h0, w_ih)
        return possible and (
            chosen() == "fused" or gru_choice.fused_is_better(x, h0, fused=_by_fused, library=_by_library)
        )
    if fused and (reason := gru_fused.reason_against(x, h0, w_ih)):
        raise ValueError(f"the fused GRU cannot take this: {reason}; or leave fused out")
    return fused


def chosen() -> str:
    """What the environment says: "auto", the default, "cudnn" or "fused". Raises ValueError on anything else."""
    value = os.environ.get(VARIABLE) or "auto"
    if value not in ("auto", "cudnn", "fused"):
        raise ValueError(f"{VARIABLE} must be auto, cudnn or fused, got {value!r}; unset it for the faster one")
    return value


def _by_fused(x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> tuple[Tensor, Tensor]:
    rows = x if x.dim() == 4 else x.unsqueeze(2)
    return _results(x, h0, gru_fused.FusedGru.apply(rows, h0, w_ih, w_hh, b_ih, b_hh))  # type: ignore[no-untyped-call]


def _by_library(x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> tuple[Tensor, Tensor]:
    rows = x if x.dim() == 3 else x.transpose(1, 2).flatten(0, 1)
    # Without dropout, training is what the function is for: only then does cuDNN keep what its gradient needs.
    out, last = torch.gru(
        rows, h0.unsqueeze(0).contiguous(), (w_ih, w_hh, b_ih, b_hh),
        has_biases=True, num_layers=1, dropout=0.0, train=torch.is_grad_enabled(), bidirectional=False,
        batch_first=True,
    )  # fmt: skip
    if x.dim() == 4:
        out = out.view(x.shape[0], x.shape[2], x.shape[1], -1).transpose(1, 2)
    return out, last.squeeze(0)


def _shape(x: Tensor, h0: Tensor) -> tuple[tuple[int, ...], int]:
    """Sizes as the kernels take them, and how many threads."""
    groups, steps, agents, inputs = x.shape
    threads = min(torch.get_num_threads(), groups * agents * steps // ROWS_PER_THREAD)
    return (groups, agents, steps, inputs, h0.shape[1]), max(1, threads)


def _is_bfloat16(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16


def _forward(
    x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, keep: bool = True
) -> tuple[Tensor, Tensor]:
    """out [B, T, N, H], and the gates for the gradient in the kernel's own order (empty if they are not to be kept)."""
    x, h0, *weights = (tensor.contiguous() for tensor in (x, h0, w_ih, w_hh, b_ih, b_hh))
    shape, threads = _shape(x, h0)
    out = x.new_empty(*x.shape[:3], h0.shape[1])
    gates = x.new_empty(out.numel() * 4 if keep else 0)
    _C.gru_sequence_forward(
        shape, _is_bfloat16(x), [w.data_ptr() for w in weights], x.data_ptr(), h0.data_ptr(), out.data_ptr(),
        gates.data_ptr(), threads,
    )  # fmt: skip
    return out, gates


def _backward(
    d_out: Tensor, x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, out: Tensor, gates: Tensor, of_x: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, h0, w_ih, w_hh, b_ih, b_hh; that of x is empty where not `of_x`."""
    d_out, x, h0, w_ih, w_hh = (tensor.contiguous() for tensor in (d_out, x, h0, w_ih, w_hh))
    shape, threads = _shape(x, h0)
    d_x = torch.empty_like(x) if of_x else x.new_empty(0)
    d_h0, d_w_ih, d_w_hh = torch.empty_like(h0), torch.empty_like(w_ih), torch.empty_like(w_hh)
    d_b_ih, d_b_hh = w_ih.new_empty(w_ih.shape[0]), w_ih.new_empty(w_ih.shape[0])
    _C.gru_sequence_backward(
        shape, _is_bfloat16(x), [w_ih.data_ptr(), w_hh.data_ptr()], x.data_ptr(), h0.data_ptr(), out.data_ptr(),
        gates.data_ptr(), d_out.data_ptr(), d_x.data_ptr(), d_h0.data_ptr(),
        [d.data_ptr() for d in (d_w_ih, d_w_hh, d_b_ih, d_b_hh)], threads,
    )  # fmt: skip
    return d_x, d_h0, d_w_ih, d_w_hh, d_b_ih, d_b_hh


class _GruSequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
        keep = any(ctx.needs_input_grad)
        out, gates = _forward(x, h0, w_ih, w_hh, b_ih, b_hh, keep)
        if keep:
            ctx.save_for_backward(x, h0, w_ih, w_hh, out, gates)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, h0, w_ih, w_hh, out, gates = ctx.saved_tensors
        of_x = ctx.needs_input_grad[0]
        d_x, *others = _backward(gradients[0], x, h0, w_ih, w_hh, out, gates, of_x)
        return (d_x if of_x else None, *others)


_op = torch.library.custom_op("powqmix::gru_sequence", _forward, mutates_args=())
_op_backward = torch.library.custom_op("powqmix::gru_sequence_backward", _backward, mutates_args=())


@_op.register_fake
def _(
    x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, keep: bool = True
) -> tuple[Tensor, Tensor]:
    out = x.new_empty(*x.shape[:3], h0.shape[1])
    return out, x.new_empty(out.numel() * 4 if keep else 0)


@_op_backward.register_fake
def _(
    d_out: Tensor, x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, out: Tensor, gates: Tensor, of_x: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return (
        x.new_empty(x.shape if of_x else (0,)), h0.new_empty(h0.shape), w_ih.new_empty(w_ih.shape),
        w_hh.new_empty(w_hh.shape), w_ih.new_empty(w_ih.shape[0]), w_ih.new_empty(w_ih.shape[0]),
    )  # fmt: skip


def _keep_for_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:4], *output)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(True)


_op.register_autograd(
    lambda ctx, d_out, _: (*_op_backward(d_out, *ctx.saved_tensors), None), setup_context=_keep_for_gradient
)


def _check(x: Tensor, h0: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> None:
    if x.dim() not in (3, 4):
        raise ValueError(f"x must be [R, T, I] or [B, T, N, I], got shape {list(x.shape)}")
    if h0.dim() != 2:
        raise ValueError(f"h0 must be [R, H], got shape {list(h0.shape)}")
    rows = x.shape[0] if x.dim() == 3 else x.shape[0] * x.shape[2]
    gates, hidden = 3 * h0.shape[1], h0.shape[1]
    for name, tensor, shape in (
        ("h0", h0, (rows, hidden)), ("w_ih", w_ih, (gates, x.shape[-1])), ("w_hh", w_hh, (gates, hidden)),
        ("b_ih", b_ih, (gates,)), ("b_hh", b_hh, (gates,)),
    ):  # fmt: skip
        if tensor.shape != shape:
            raise ValueError(f"{name} must be {list(shape)}, got shape {list(tensor.shape)}")
        allowed = {x.dtype} if name == "h0" or x.dtype != torch.bfloat16 else {x.dtype, torch.float32}
        if tensor.device != x.device or tensor.dtype not in allowed:
            raise ValueError(f"{name} must be {x.dtype} on {x.device} as x is, got {tensor.dtype} on {tensor.device}")
