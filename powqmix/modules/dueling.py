"""DuplexDuelingMixer: QPLEX's joint value, complete under the condition that agents and joint value share an argmax."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .mixers import Mixer
from .value_layer import ValueLayer

SMALLEST_WEIGHT = 1e-10  # keeps the agents' weights and lambda above 0 [qplex]


class DuplexDuelingMixer(Mixer):
    """Q_tot(s, a) = sum_i max Q_i' + sum_i lambda_i(s, a) A_i, lambda_i > 0, A_i <= 0 (Wang et al., arXiv 2008.01062).

    Q_i' = w_i(s) Q_i + b_i(s) with w_i > 0, A_i = Q_i' - max Q_i', and
    lambda_i = sum_k |key_k(s)| sigmoid(agents_k(s))_i sigmoid(actions_k(s, a))_i over K heads. It is
    written as sum_i Q_i' + sum_i (lambda_i - 1) A_i, and A_i is a constant in the second sum [qplex, pymarl2]. Of the
    greedy joint action the value is the first sum alone, which `forward` gives.

    Each extractor has one hidden layer. All layers that read the state are one product, the heads' second layers one
    batched product each, and the one-hot actions a sum of N rows of a table.
    """

    looks_at_actions = True

    def __init__(
        self, n_agents: int, n_actions: int, state_size: int, *, hypernet_size: int, heads: int, hidden_size: int
    ) -> None:
        super().__init__()
        self.n_agents, self.n_actions, self.heads, self.hidden_size = n_agents, n_actions, heads, hidden_size
        of_heads = heads * hidden_size
        self._splits = [hypernet_size, hypernet_size, of_heads, of_heads, of_heads]  # for w, b, key, agents, actions
        self.state_in = nn.Linear(state_size, sum(self._splits))
        self.action_in = nn.Parameter(torch.empty(n_agents * n_actions, of_heads))
        self.w_out = ValueLayer(hypernet_size, n_agents)
        self.b_out = ValueLayer(hypernet_size, n_agents)
        self.key_out, self.key_bias = _batched_layer(heads, hidden_size, 1)
        self.agents_out, self.agents_bias = _batched_layer(heads, hidden_size, n_agents)
        self.actions_out, self.actions_bias = _batched_layer(heads, hidden_size, n_agents)
        bound = 1.0 / math.sqrt(state_size + n_agents * n_actions)  # that layer reads both, as one nn.Linear would
        with torch.no_grad():
            for parameter in (self.action_in, self.state_in.weight[-of_heads:], self.state_in.bias[-of_heads:]):
                parameter.uniform_(-bound, bound)

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        """The value of greedy actions, whose values are q [B, T, N]: there all advantages are 0."""
        weight, bias = self._heights(self.state_in(state).split(self._splits, dim=2))
        return (weight * q + bias).sum(dim=2)

    def of_actions(self, q: Tensor, best: Tensor, state: Tensor, actions: Tensor) -> Tensor:
        """See `Mixer.of_actions`. Differentiable in q through the first sum only, and in the parameters."""
        read = self.state_in(state).split(self._splits, dim=2)
        weight, bias = self._heights(read)
        advantages = (weight * (q - best)).detach()
        correction = ((self._scales(read, actions) - 1.0) * advantages).sum(dim=2)
        return (weight * q + bias).sum(dim=2) + correction

    def scales(self, state: Tensor, actions: Tensor) -> Tensor:
        """lambda_i(s, a) [B, T, N] of state [B, T, S] and actions i64 [B, T, N]."""
        return self._scales(self.state_in(state).split(self._splits, dim=2), actions)

    def _heights(self, read: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """w_i(s) and b_i(s), [B, T, N] each."""
        weight = self.w_out(functional.relu(read[0])).abs() + SMALLEST_WEIGHT
        return weight, self.b_out(functional.relu(read[1]))

    def _scales(self, read: tuple[Tensor, ...], actions: Tensor) -> Tensor:
        first_rows = torch.arange(0, self.n_agents * self.n_actions, self.n_actions, device=actions.device)
        looked_up = functional.embedding_bag((actions + first_rows).flatten(0, 1), self.action_in, mode="sum")
        key = self._second_layer(read[2], self.key_out, self.key_bias).abs() + SMALLEST_WEIGHT
        agents = self._second_layer(read[3], self.agents_out, self.agents_bias).sigmoid()
        chosen = self._second_layer(read[4] + looked_up.view_as(read[4]), self.actions_out, self.actions_bias).sigmoid()
        return (key * agents * chosen).sum(dim=0).view(*actions.shape)

    def _second_layer(self, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """ReLU and the second layer of every head: hidden [B, T, K * E] -> [K, B * T, outputs]."""
        rows = functional.relu(hidden).reshape(-1, self.heads, self.hidden_size).transpose(0, 1)
        return torch.baddbmm(bias, rows, weight)


def _batched_layer(heads: int, inputs: int, outputs: int) -> tuple[nn.Parameter, nn.Parameter]:
    """Weight [K, I, O] and bias [K, 1, O], initialised as a torch.nn.Linear for each head."""
    bound = 1.0 / math.sqrt(inputs)
    weight, bias = torch.empty(heads, inputs, outputs), torch.empty(heads, 1, outputs)
    return nn.Parameter(weight.uniform_(-bound, bound)), nn.Parameter(bias.uniform_(-bound, bound))
