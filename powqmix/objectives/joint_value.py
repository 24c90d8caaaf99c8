"""JointValue: agents and a mixer that together give the value of a joint action."""

from __future__ import annotations

import copy
import typing

import torch
from torch import Tensor, nn

from powqmix.modules import Mixer, RecurrentAgent, take


class JointValue(nn.Module):
    """Q(s, a) = mixer(Q_1(tau_1, a_1) .. Q_N(tau_N, a_N); s)."""

    def __init__(self, agent: RecurrentAgent, mixer: Mixer) -> None:
        super().__init__()
        self.agent, self.mixer = agent, mixer

    def forward(self, obs: Tensor, last_actions: Tensor, state: Tensor, actions: Tensor, *, skip: int = 0) -> Tensor:
        """Values of `actions` [B, T, N]: obs [B, T, N, O], state [B, T, S] -> [B, T - skip].

        The first `skip` steps are unrolled and not evaluated.
        """
        q = take(self.agent(obs, last_actions)[:, skip:], actions[:, skip:])
        return typing.cast(Tensor, self.mixer(q, state[:, skip:]))

    def frozen_copy(self) -> JointValue:
        """A copy that is never trained: a target network."""
        return copy.deepcopy(self).requires_grad_(False)

    def copy_from(self, source: JointValue) -> None:
        """Takes over the parameters of `source`."""
        with torch.no_grad():
            torch._foreach_copy_(list(self.parameters()), list(source.parameters()))
