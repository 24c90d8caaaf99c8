"""The critic's loss and its gradient in one call, where a batch has few rows: one node of the graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import powqmix._C as _C

from .agent import AgentShape


class CriticLoss(torch.autograd.Function):
    """apply(shape, obs, last_actions or None, state, actions, target, share, *parameters) -> L_star [].

    `parameters` are those of modules.RecurrentAgent, then those of modules.CentralMixer, each in order. The other
    shapes are those of Objective's Transitions, without the last observation. Differentiable in the parameters.
    """

    @staticmethod
    def forward(
        ctx: Any,
        shape: AgentShape,
        obs: Tensor,
        last_actions: Tensor | None,
        state: Tensor,
        actions: Tensor,
        target: Tensor,
        share: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        batch = [None if t is None else t.contiguous() for t in (obs, last_actions, state, actions, target, share)]
        loss, gradients = obs.new_empty(()), [torch.empty_like(p) for p in parameters]
        _C.critic_loss(
            shape, (state.shape[2], parameters[9].shape[0]), [p.data_ptr() for p in parameters],
            [g.data_ptr() for g in gradients], [0 if t is None else t.data_ptr() for t in batch], loss.data_ptr(),
        )  # fmt: skip
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scale = gradients[0].item()  # as a rule 1, and on the CPU at hand
        found = ctx.saved_tensors if scale == 1.0 else torch._foreach_mul(ctx.saved_tensors, scale)
        return (*(None,) * 7, *found)
