"""SoftFactorization: FOP's joint soft value out of each agent's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .policy_critics import rows_of
from .rowwise import Rowwise
from .value_layer import ValueLayer

SMALLEST_WEIGHT = 1e-10  # keeps lambda above 0 [fop]


class SoftFactorization(nn.Module):
    """Q(s, a) = V(s) + sum_i Q_i(o_i, a_i) + sum_i (lambda_i(s, a) - 1) (Q_i - V_i)  (Zhang et al., ICML 2021; [fop]).

    Q_i = MLP([o_i; i]) with two hidden layers, V_i = temperature logsumexp(Q_i / temperature) over legal actions, and
    lambda_i = sum_k |key_k(s)| sigmoid(agents_k(s))_i sigmoid(actions_k(s, a))_i > 0 over K heads of one layer each.
    The soft advantage Q_i - V_i is a constant in the last sum.
    """

    def __init__(
        self,
        n_agents: int,
        n_actions: int,
        obs_size: int,
        state_size: int,
        *,
        hidden_size: int,
        embed_size: int,
        heads: int,
    ) -> None:
        super().__init__()
        self.n_agents, self.n_actions, self.obs_size = n_agents, n_actions, obs_size
        self.state_size, self.heads = state_size, heads
        self.first = nn.Linear(obs_size + n_agents, hidden_size)
        self.second = nn.Linear(hidden_size, hidden_size)
        self.out = ValueLayer(hidden_size, n_actions)
        self.value = Rowwise(nn.Linear(state_size, embed_size), nn.ReLU(inplace=True), ValueLayer(embed_size, 1))
        self.key = ValueLayer(state_size, heads)
        self.agents = ValueLayer(state_size, heads * n_agents)
        self.actions = nn.Linear(state_size + n_agents * n_actions, heads * n_agents)

    def forward(self, obs: Tensor) -> Tensor:
        """Q_i of every action: obs [B, T, N, O] -> [B, T, N, A]."""
        of_obs, of_id = torch.split(self.first.weight, [self.obs_size, self.n_agents], dim=1)
        x = functional.relu(functional.linear(obs, of_obs, self.first.bias) + of_id.t())
        value: Tensor = self.out(functional.relu(self.second(x)))
        return value

    def joint(self, q: Tensor, soft_value: Tensor, state: Tensor, actions: Tensor) -> Tensor:
        """Q(s, a) [B, T] of actions i64 [B, T, N], whose values are q and the soft values V_i, [B, T, N] both."""
        advantages = (q - soft_value).detach()
        correction = ((self.scales(state, actions) - 1.0) * advantages).sum(dim=2)
        value: Tensor = self.value(state).squeeze(2) + q.sum(dim=2) + correction
        return value

    def scales(self, state: Tensor, actions: Tensor) -> Tensor:
        """lambda_i(s, a) [B, T, N] of state [B, T, S] and actions i64 [B, T, N]."""
        of_state, of_actions = torch.split(
            self.actions.weight, [self.state_size, self.n_agents * self.n_actions], dim=1
        )
        chosen = functional.linear(state, of_state, self.actions.bias)
        chosen = (chosen + rows_of(actions, of_actions, self.n_actions).sum(dim=2)).float()
        weights = torch.sigmoid(chosen) * torch.sigmoid(self.agents(state))
        key = self.key(state).abs() + SMALLEST_WEIGHT
        of_heads: Tensor = key.unsqueeze(3) * weights.view(*key.shape, self.n_agents)
        return of_heads.sum(dim=2)
