"""select_q: the values of chosen and of greedy actions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .kernels import check, check_rank, direct, kernel, stream


def select_q(agent_q: Tensor, avail_actions: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """agent_q [B,T,N,A], avail_actions u8 [B,T,N,A], actions i64 [B,T,N] -> q_taken, q_max, greedy (i64), each [B,T,N].

    q_max and greedy over legal actions only; ties go to the lowest index; a row with no legal action gives 0, 0.
    Gradients of q_taken and q_max scatter back into agent_q. `actions` must be in [0, A). Raises ValueError.
    """
    check_rank("agent_q", agent_q, "B, T, N, A")
    check("avail_actions", avail_actions, "B, T, N, A", agent_q.shape, agent_q, torch.uint8)
    check("agent_q", agent_q, "B, T, N, A", agent_q.shape, agent_q, torch.float32, where=avail_actions)
    check("actions", actions, "B, T, N", agent_q.shape[:3], agent_q, torch.int64, below=agent_q.shape[3])
    if agent_q.shape[3] == 0:
        raise ValueError("agent_q has no action: its last axis is 0")
    if direct():
        taken, best, greedy = _SelectQ.apply(agent_q, avail_actions, actions)  # type: ignore[no-untyped-call]
        return taken, best, greedy
    taken, best, greedy = _op(agent_q, avail_actions, actions)
    return taken, best, greedy


def _forward(agent_q: Tensor, avail_actions: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    agent_q, avail_actions, actions = agent_q.contiguous(), avail_actions.contiguous(), actions.contiguous()
    shape = actions.shape
    taken, best = agent_q.new_empty(shape), agent_q.new_empty(shape)
    greedy = torch.empty(shape, dtype=torch.int64, device=agent_q.device)
    kernel("select_q", agent_q)(
        actions.numel(), agent_q.shape[3], agent_q.data_ptr(), avail_actions.data_ptr(), actions.data_ptr(),
        taken.data_ptr(), best.data_ptr(), greedy.data_ptr(), stream(agent_q),
    )  # fmt: skip
    return taken, best, greedy


def _backward(d_taken: Tensor, d_max: Tensor, avail_actions: Tensor, actions: Tensor, greedy: Tensor) -> Tensor:
    d_taken, d_max = d_taken.contiguous(), d_max.contiguous()
    avail_actions, actions, greedy = avail_actions.contiguous(), actions.contiguous(), greedy.contiguous()
    d_agent_q = d_taken.new_empty(avail_actions.shape)
    kernel("select_q_backward", d_taken)(
        actions.numel(), avail_actions.shape[3], avail_actions.data_ptr(), actions.data_ptr(), greedy.data_ptr(),
        d_taken.data_ptr(), d_max.data_ptr(), d_agent_q.data_ptr(), stream(d_taken),
    )  # fmt: skip
    return d_agent_q


def _save(ctx: Any, avail_actions: Tensor, actions: Tensor, greedy: Tensor) -> None:
    ctx.save_for_backward(avail_actions, actions, greedy)
    ctx.mark_non_differentiable(greedy)


class _SelectQ(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, agent_q: Tensor, avail_actions: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = _forward(agent_q, avail_actions, actions)
        _save(ctx, avail_actions, actions, out[2])
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _backward(gradients[0], gradients[1], *ctx.saved_tensors), None, None


_op = torch.library.custom_op("powqmix::select_q", _forward, mutates_args=())
_op_backward = torch.library.custom_op("powqmix::select_q_backward", _backward, mutates_args=())


@_op.register_fake
def _(agent_q: Tensor, avail_actions: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return agent_q.new_empty(actions.shape), agent_q.new_empty(actions.shape), actions.new_empty(actions.shape)


@_op_backward.register_fake
def _(d_taken: Tensor, d_max: Tensor, avail_actions: Tensor, actions: Tensor, greedy: Tensor) -> Tensor:
    return d_taken.new_empty(avail_actions.shape)


_op.register_autograd(
    lambda ctx, d_taken, d_max, _: (_op_backward(d_taken, d_max, *ctx.saved_tensors), None, None),
    setup_context=lambda ctx, inputs, output: _save(ctx, inputs[1], inputs[2], output[2]),
)
