"""RecurrentAgent: the network that all agents share, over whole sequences."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from powqmix import ops
from powqmix.ops import agent as agent_sequence
from powqmix.types import PolicySpec

from .value_layer import ValueLayer


class RecurrentAgent(nn.Module):
    """Linear -> ReLU -> GRU -> Linear over [observation; one-hot last action; one-hot agent id] [pymarl2].

    The one-hot parts of the first layer are columns looked up and added, never products with zeros. Parameter names and
    shapes are `PolicySpec.parameter_shapes()`: an actor runs the same agent from the flat vector of them.
    """

    def __init__(self, policy: PolicySpec) -> None:
        super().__init__()
        self.policy = policy
        self.fc_in = nn.Linear(policy.input_size, policy.hidden_size)
        self.gru = nn.GRU(policy.hidden_size, policy.hidden_size)
        self.fc_out = ValueLayer(policy.hidden_size, policy.n_actions)
        self._in_order = tuple(self.parameters())

    def forward(self, obs: Tensor, last_actions: Tensor | None = None) -> Tensor:
        """Q_i of every action: obs f32 [B, T, N, O], last_actions i64 [B, T, N] (-1: none) -> [B, T, N, A].

        Hidden states are 0 before the first step. `last_actions` may be None where the policy does not use them.
        """
        return self.unroll(obs, last_actions)[0]

    def unroll(self, obs: Tensor, last_actions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `forward`, with the hidden states beside the values: ([B, T, N, A], [B, T, N, H])."""
        self._check(obs, last_actions)
        batch, _, agents, _ = obs.shape
        if agent_sequence.pays(obs):
            return self._unroll_in_one_call(obs, last_actions)
        x = self._first_layer(obs, last_actions)
        hidden, _ = ops.gru_sequence(x, x.new_zeros(batch * agents, self.policy.hidden_size), *self._in_order[2:6])
        return self.fc_out(hidden), hidden

    def shape_of(self, obs: Tensor) -> agent_sequence.AgentShape:
        """Sizes of a call with obs [B, T, N, O]."""
        policy, (batch, steps, agents, _) = self.policy, obs.shape
        return agent_sequence.AgentShape(
            batch, steps, agents, policy.obs_size, policy.n_actions, policy.hidden_size,
            policy.use_last_action, policy.use_agent_id,
        )  # fmt: skip

    def _unroll_in_one_call(self, obs: Tensor, last_actions: Tensor | None) -> tuple[Tensor, Tensor]:
        policy, shape = self.policy, self.shape_of(obs)
        last_actions = last_actions if policy.use_last_action else None
        q, hidden = agent_sequence.AgentSequence.apply(shape, obs, last_actions, *self._in_order)  # type: ignore[no-untyped-call]
        return q, hidden

    def _first_layer(self, obs: Tensor, last_actions: Tensor | None) -> Tensor:
        """The first layer and its ReLU: [B, T, N, H]. In place on a matrix of rows (see Rowwise for why not on a view).

        Bias and one-hot parts are rows of one table: for each last action, or none, and each agent.
        """
        policy = self.policy
        widths = [policy.n_actions * policy.use_last_action, policy.n_agents * policy.use_agent_id]
        of_obs, of_actions, of_ids = torch.split(self.fc_in.weight, [policy.obs_size, *widths], dim=1)
        columns = functional.pad(of_actions.t(), (0, 0, 0, 1)).unsqueeze(1)  # [A + 1, 1, H]
        table = columns + (of_ids.t() + self.fc_in.bias if policy.use_agent_id else self.fc_in.bias)
        index = torch.zeros(1, dtype=torch.int64, device=obs.device)
        if policy.use_last_action:
            assert last_actions is not None
            index = last_actions.remainder(policy.n_actions + 1) * table.shape[1]
        if policy.use_agent_id:
            index = index + torch.arange(policy.n_agents, device=obs.device)
        x = functional.linear(obs.flatten(0, 2), of_obs)
        added = functional.embedding(index.expand(obs.shape[:3]).flatten(), table.flatten(0, 1).to(x.dtype))
        return functional.relu(x.add_(added), inplace=True).view(*obs.shape[:3], -1)

    def _check(self, obs: Tensor, last_actions: Tensor | None) -> None:
        policy = self.policy
        if obs.dim() != 4 or obs.shape[2:] != (policy.n_agents, policy.obs_size):
            raise ValueError(
                f"obs must be [B, T, N={policy.n_agents}, O={policy.obs_size}], got shape {list(obs.shape)}"
            )
        if policy.use_last_action and (last_actions is None or last_actions.shape != obs.shape[:3]):
            got = "None" if last_actions is None else f"shape {list(last_actions.shape)}"
            raise ValueError(f"last_actions must be [B, T, N] = {list(obs.shape[:3])} for this policy, got {got}")


def take(q: Tensor, actions: Tensor) -> Tensor:
    """The values of `actions` [B, T, N] in q [B, T, N, A]."""
    return q.gather(3, actions.unsqueeze(3)).squeeze(3)


def last_actions(actions: Tensor) -> Tensor:
    """What each step's agents did before it: actions i64 [B, T, N] -> [B, T + 1, N], -1 at t = 0."""
    return functional.pad(actions, (0, 0, 1, 0), value=-1)
