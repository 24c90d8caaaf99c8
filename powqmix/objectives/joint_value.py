"""JointValue: agents and a mixer that together give the value of a joint action."""

from __future__ import annotations

import copy
import typing

import torch
from torch import Tensor, nn

from powqmix import ops
from powqmix.modules import CentralMixer, Mixer, RecurrentAgent, take
from powqmix.ops import agent as agent_sequence
from powqmix.ops import mixers
from powqmix.ops.critic import CriticLoss


class JointValue(nn.Module):
    """Q(s, a) = mixer(Q_1(tau_1, a_1) .. Q_N(tau_N, a_N); s)."""

    def __init__(self, agent: RecurrentAgent, mixer: Mixer) -> None:
        super().__init__()
        self.agent, self.mixer = agent, mixer
        self._in_order = tuple(self.parameters())

    def forward(
        self,
        obs: Tensor,
        last_actions: Tensor,
        state: Tensor,
        actions: Tensor,
        avail_actions: Tensor | None = None,
        *,
        skip: int = 0,
    ) -> Tensor:
        """Values of `actions` [B, T, N]: obs [B, T, N, O], state [B, T, S] -> [B, T - skip].

        The first `skip` steps are unrolled and not evaluated. A mixer that looks at actions needs avail_actions
        u8 [B, T, N, A].
        """
        q, actions, state = self.agent(obs, last_actions)[:, skip:], actions[:, skip:], state[:, skip:]
        if not self.mixer.looks_at_actions:
            return typing.cast(Tensor, self.mixer(take(q, actions), state))
        assert avail_actions is not None
        taken, best, _ = ops.select_q(q, avail_actions[:, skip:], actions)
        return self.mixer.of_actions(taken, best, state, actions)

    def loss(
        self, obs: Tensor, last_actions: Tensor, state: Tensor, actions: Tensor, target: Tensor, share: Tensor
    ) -> Tensor:
        """0.5 sum share (Q - target)^2, [], of the values that `forward` gives; target and share [B, T] (Eq. 13)."""
        if isinstance(self.mixer, CentralMixer) and agent_sequence.pays(obs) and mixers.pays(state):
            used = last_actions if self.agent.policy.use_last_action else None
            loss: Tensor = CriticLoss.apply(  # type: ignore[no-untyped-call]
                self.agent.shape_of(obs), obs, used, state, actions, target, share, *self._in_order
            )
            return loss
        return ops.weighted_loss(self(obs, last_actions, state, actions), target, share)

    def frozen_copy(self) -> JointValue:
        """A copy that is never trained: a target network."""
        return copy.deepcopy(self).requires_grad_(False)

    def copy_from(self, source: JointValue) -> None:
        """Takes over the parameters of `source`."""
        with torch.no_grad():
            torch._foreach_copy_(list(self.parameters()), list(source.parameters()))
