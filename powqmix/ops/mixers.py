"""The mixers' networks in one call, where a batch has few rows.

A product of 18 rows with a 256 x 256 matrix takes microseconds; calling a library for it, its sum and its mask, and
again for the gradients, takes ten times as long. Large batches go to the library.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import powqmix._C as _C

NATIVE_ROWS = 256  # up to here one call was faster than the library's


def pays(state: Tensor) -> bool:
    """Whether a batch state [B, T, S] is for the functions below."""
    few = state.shape[0] * state.shape[1] <= NATIVE_ROWS
    return few and state.dtype == torch.float32 and not state.is_cuda and not torch.compiler.is_compiling()


class MonotonicMixerCall(torch.autograd.Function):
    """apply(q [B, T, N], state [B, T, S], embed_size, *parameters of modules.MonotonicMixer in order) -> q_tot [B, T].

    Differentiable in q and the parameters.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, state: Tensor, embed_size: int, *parameters: Tensor) -> Tensor:
        q, state = q.contiguous(), state.contiguous()
        batch, steps, agents = q.shape
        sizes = (batch * steps, agents, state.shape[2], embed_size, parameters[2].shape[1])
        memory, q_tot = q.new_empty(_C.monotonic_mixer_memory(sizes)), q.new_empty(batch, steps)
        _C.monotonic_mixer_forward(
            sizes, [p.data_ptr() for p in parameters], q.data_ptr(), state.data_ptr(), memory.data_ptr(),
            q_tot.data_ptr(),
        )  # fmt: skip
        if any(ctx.needs_input_grad):
            ctx.sizes = sizes
            ctx.save_for_backward(q, state, memory, *parameters)
        return q_tot

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, state, memory, *parameters = ctx.saved_tensors
        d_q_tot, d_q = gradients[0].contiguous(), torch.empty_like(q)
        d_parameters = [torch.empty_like(p) for p in parameters]
        _C.monotonic_mixer_backward(
            ctx.sizes, [p.data_ptr() for p in parameters], [d.data_ptr() for d in d_parameters], q.data_ptr(),
            state.data_ptr(), memory.data_ptr(), d_q_tot.data_ptr(), d_q.data_ptr(),
        )  # fmt: skip
        return (d_q, None, None, *d_parameters)


class CentralMixerCall(torch.autograd.Function):
    """apply(q [B, T, N], state [B, T, S], *parameters of modules.CentralMixer in order) -> q_star [B, T].

    Differentiable in q and the parameters.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, state: Tensor, *parameters: Tensor) -> Tensor:
        q, state = q.contiguous(), state.contiguous()
        batch, steps, agents = q.shape
        sizes = (batch * steps, agents, state.shape[2], parameters[1].shape[0])
        memory, q_star = q.new_empty(_C.central_mixer_memory(sizes)), q.new_empty(batch, steps)
        _C.central_mixer_forward(
            sizes, [p.data_ptr() for p in parameters], q.data_ptr(), state.data_ptr(), memory.data_ptr(),
            q_star.data_ptr(),
        )  # fmt: skip
        if any(ctx.needs_input_grad):
            ctx.sizes, ctx.shape = sizes, q.shape
            ctx.save_for_backward(state, memory, *parameters)
        return q_star

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        state, memory, *parameters = ctx.saved_tensors
        d_q_star, d_q = gradients[0].contiguous(), state.new_empty(ctx.shape)
        d_parameters = [torch.empty_like(p) for p in parameters]
        _C.central_mixer_backward(
            ctx.sizes, [p.data_ptr() for p in parameters], [d.data_ptr() for d in d_parameters], state.data_ptr(),
            memory.data_ptr(), d_q_star.data_ptr(), d_q.data_ptr(),
        )  # fmt: skip
        return (d_q, None, *d_parameters)
