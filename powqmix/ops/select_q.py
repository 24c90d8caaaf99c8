"""select_q: the values of chosen and of greedy actions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .kernels import MOST_ACTIONS, check, check_rank, direct, kernel, runner


def select_q(agent_q: Tensor, avail_actions: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """agent_q [B,T,N,A], avail_actions u8 [B,T,N,A], actions i64 [B,T,N] -> q_taken, q_max, greedy (i64), each [B,T,N].

    q_max and greedy over legal actions only; ties go to the lowest index; a row with no legal action gives 0, 0.
    Gradients of q_taken and q_max scatter back into agent_q. `actions` must be in [0, A). A is at most 65535. Raises
    ValueError.
    """
    check_rank("agent_q", agent_q, "B, T, N, A")
    check("avail_actions", avail_actions, "B, T, N, A", agent_q.shape, agent_q, torch.uint8)
    check("agent_q", agent_q, "B, T, N, A", agent_q.shape, agent_q, torch.float32, where=avail_actions)
    check("actions", actions, "B, T, N", agent_q.shape[:3], agent_q, torch.int64, below=agent_q.shape[3])
    if not 0 < agent_q.shape[3] <= MOST_ACTIONS:
        raise ValueError(f"agent_q has {agent_q.shape[3]} actions, its last axis; 1 to {MOST_ACTIONS} are possible")
    if direct():
        taken, q_max, greedy, _ = _SelectQ.apply(agent_q, avail_actions, actions)  # type: ignore[no-untyped-call]
        return taken, q_max, greedy
    taken, q_max, greedy, _ = _op(agent_q, avail_actions, actions)
    return taken, q_max, greedy


def _forward(agent_q: Tensor, avail_actions: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q_taken, q_max, greedy, and for the gradient choices i32 [B,T,N]: the action taken and greedy in one number."""
    agent_q, avail_actions, actions = agent_q.contiguous(), avail_actions.contiguous(), actions.contiguous()
    shape = actions.shape
    taken, q_max = agent_q.new_empty(*shape), agent_q.new_empty(*shape)
    greedy, choices = actions.new_empty(*shape), actions.new_empty(*shape, dtype=torch.int32)
    kernel("select_q", agent_q)(
        actions.numel(), agent_q.shape[3], agent_q.data_ptr(), avail_actions.data_ptr(), actions.data_ptr(),
        taken.data_ptr(), q_max.data_ptr(), greedy.data_ptr(), choices.data_ptr(), runner(agent_q),
    )  # fmt: skip
    return taken, q_max, greedy, choices


def _backward(d_taken: Tensor | None, d_max: Tensor | None, choices: Tensor, n_actions: int) -> Tensor:
    """d_agent_q [B,T,N,A]; a gradient that is None is 0, and is not read."""
    given = [None if d is None else d.contiguous() for d in (d_taken, d_max)]
    choices = choices.contiguous()
    d_agent_q = choices.new_empty(*choices.shape, n_actions, dtype=torch.float32)
    kernel("select_q_backward", choices)(
        choices.numel(), n_actions, choices.data_ptr(), *[0 if d is None else d.data_ptr() for d in given],
        d_agent_q.data_ptr(), runner(choices),
    )  # fmt: skip
    return d_agent_q


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.n_actions = inputs[0].shape[3]
    ctx.save_for_backward(output[3])
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
        (choices,) = ctx.saved_tensors
        return _backward(gradients[0], gradients[1], choices, ctx.n_actions), None, None


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
def _(d_taken: Tensor | None, d_max: Tensor | None, choices: Tensor, n_actions: int) -> Tensor:
    return torch.empty((*choices.shape, n_actions), device=choices.device)


_op.register_autograd(
    lambda ctx, d_taken, d_max, *_: (_op_backward(d_taken, d_max, *ctx.saved_tensors, ctx.n_actions), None, None),
    setup_context=_save,
)
