"""select_q: the values of chosen and of greedy actions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .kernels import check, check_rank, direct, kernel, runner


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
        taken, q_max, greedy, _ = _SelectQ.apply(agent_q, avail_actions, actions)  # type: ignore[no-untyped-call]
        return taken, q_max, greedy
    taken, q_max, greedy, _ = _op(agent_q, avail_actions, actions)
    return taken, q_max, greedy


def _forward(agent_q: Tensor, avail_actions: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q_taken, q_max, greedy, and for the gradient best i32 [B,T,N]: greedy, and -1 where no action is legal."""
    agent_q, avail_actions, actions = agent_q.contiguous(), avail_actions.contiguous(), actions.contiguous()
    shape = actions.shape
    taken, q_max = agent_q.new_empty(shape), agent_q.new_empty(shape)
    greedy, best = actions.new_empty(shape), actions.new_empty(shape, dtype=torch.int32)
    kernel("select_q", agent_q)(
        actions.numel(), agent_q.shape[3], agent_q.data_ptr(), avail_actions.data_ptr(), actions.data_ptr(),
        taken.data_ptr(), q_max.data_ptr(), greedy.data_ptr(), best.data_ptr(), runner(agent_q),
    )  # fmt: skip
    return taken, q_max, greedy, best


def _backward(d_taken: Tensor | None, d_max: Tensor | None, actions: Tensor, best: Tensor, n_actions: int) -> Tensor:
    """d_agent_q [B,T,N,A]; a gradient that is None is 0, and is not read."""
    given = [None if d is None else d.contiguous() for d in (d_taken, d_max)]
    actions, best = actions.contiguous(), best.contiguous()
    d_agent_q = torch.empty((*actions.shape, n_actions), device=actions.device)
    kernel("select_q_backward", actions)(
        actions.numel(), n_actions, actions.data_ptr(), best.data_ptr(),
        *[0 if d is None else d.data_ptr() for d in given], d_agent_q.data_ptr(), runner(actions),
    )  # fmt: skip
    return d_agent_q


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.n_actions = inputs[0].shape[3]
    ctx.save_for_backward(inputs[2], output[3])
    ctx.mark_non_differentiable(*output[2:])
    ctx.set_materialize_grads(False)  # POWQMIX takes q_max as a constant


class _SelectQ(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        out = _forward(*inputs)
        _save(ctx, inputs, out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        actions, best = ctx.saved_tensors
        return _backward(gradients[0], gradients[1], actions, best, ctx.n_actions), None, None


_op = torch.library.custom_op("powqmix::select_q", _forward, mutates_args=())
_op_backward = torch.library.custom_op("powqmix::select_q_backward", _backward, mutates_args=())


@_op.register_fake
def _(agent_q: Tensor, avail_actions: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = actions.shape
    return (
        agent_q.new_empty(shape), agent_q.new_empty(shape), actions.new_empty(shape),
        actions.new_empty(shape, dtype=torch.int32),
    )  # fmt: skip


@_op_backward.register_fake
def _(d_taken: Tensor | None, d_max: Tensor | None, actions: Tensor, best: Tensor, n_actions: int) -> Tensor:
    return torch.empty((*actions.shape, n_actions), device=actions.device)


_op.register_autograd(
    lambda ctx, d_taken, d_max, *_: (_op_backward(d_taken, d_max, *ctx.saved_tensors, ctx.n_actions), None, None),
    setup_context=_save,
)
