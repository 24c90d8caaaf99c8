"""agent_sequence: the recurrent agent over whole episodes in one call, where a batch has few rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

import powqmix._C as _C

NATIVE_ROWS = 512  # episodes times steps times agents, up to which one call is faster than a library's products


class AgentShape(NamedTuple):
    """Sizes of a call: B, T, N, O, A, H, and which one-hot parts the input has."""

    episodes: int
    steps: int
    agents: int
    obs: int
    actions: int
    hidden: int
    use_last_action: bool
    use_agent_id: bool


def pays(obs: Tensor) -> bool:
    """Whether a batch obs [B, T, N, O] is for `agent_sequence`."""
    few = obs.shape[0] * obs.shape[1] * obs.shape[2] <= NATIVE_ROWS
    return few and obs.dtype == torch.float32 and not obs.is_cuda and not torch.compiler.is_compiling()


class AgentSequence(torch.autograd.Function):
    """apply(shape, obs f32 [B, T, N, O], last_actions i64 [B, T, N] or None, *parameters) -> q, hidden.

    q [B, T, N, A], hidden [B, T, N, H]; parameters in the order of PolicySpec.parameter_shapes(), contiguous.
    Differentiable in the parameters.
    """

    @staticmethod
    def forward(
        ctx: Any, shape: AgentShape, obs: Tensor, last_actions: Tensor | None, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        episodes, steps, agents, _, actions, width = shape[:6]
        obs = obs.contiguous()
        last_actions = last_actions.contiguous() if last_actions is not None else None
        memory = obs.new_empty(6, episodes * agents * steps * width)  # x, hidden, and four gates
        q = obs.new_empty(episodes, steps, agents, actions)
        hidden = obs.new_empty(episodes, steps, agents, width)
        _C.agent_sequence_forward(
            shape, [p.data_ptr() for p in parameters], obs.data_ptr(),
            0 if last_actions is None else last_actions.data_ptr(), _parts(memory), q.data_ptr(), hidden.data_ptr(),
        )  # fmt: skip
        if any(ctx.needs_input_grad):
            ctx.shape = shape
            ctx.save_for_backward(obs, last_actions, memory, *parameters)
        return q, hidden

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        d_q, d_hidden = (g if g is None else g.contiguous() for g in gradients)
        assert d_q is not None
        obs, last_actions, memory, *parameters = ctx.saved_tensors
        d_parameters = [torch.empty_like(p) for p in parameters]
        _C.agent_sequence_backward(
            ctx.shape, [p.data_ptr() for p in parameters], [d.data_ptr() for d in d_parameters], obs.data_ptr(),
            0 if last_actions is None else last_actions.data_ptr(), _parts(memory), d_q.data_ptr(),
            0 if d_hidden is None else d_hidden.data_ptr(),
        )  # fmt: skip
        return (None, None, None, *d_parameters)


def _parts(memory: Tensor) -> list[int]:
    address, row = memory.data_ptr(), memory.stride(0) * memory.element_size()
    return [address, address + row, address + 2 * row]
