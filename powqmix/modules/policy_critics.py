"""Feed-forward critics that judge policies: of joint actions, of one agent's actions, of mixed probabilities."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .rowwise import Rowwise
from .value_layer import ValueLayer


class JointActionCritic(nn.Module):
    """Q(s, a) = MLP([s; a_1..a_N]) over one-hot, or relaxed, actions; two hidden layers [epymarl]."""

    def __init__(self, n_agents: int, n_actions: int, state_size: int, hidden_size: int) -> None:
        super().__init__()
        self.layers = Rowwise(
            nn.Linear(state_size + n_agents * n_actions, hidden_size),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(inplace=True),
            ValueLayer(hidden_size, 1),
        )

    def forward(self, state: Tensor, joint: Tensor) -> Tensor:
        """state [B, T, S], joint f32 [B, T, N, A] -> [B, T]."""
        value: Tensor = self.layers(torch.cat([state, joint.flatten(2)], dim=2))
        return value.squeeze(2)


class CounterfactualCritic(nn.Module):
    """Q_i(s, (a_-i, .)) = MLP([s; o_i; a_-i; all last actions; i]) for each own action; two hidden layers [pymarl].

    Actions are one-hot in the formula, and rows of tables here: the others' are the sum of all without the own.
    """

    def __init__(self, n_agents: int, n_actions: int, obs_size: int, state_size: int, hidden_size: int) -> None:
        super().__init__()
        joint = n_agents * n_actions
        self._splits = [state_size, obs_size, joint, joint, n_agents]
        self.n_actions = n_actions
        self.first = nn.Linear(sum(self._splits), hidden_size)
        self.second = nn.Linear(hidden_size, hidden_size)
        self.out = ValueLayer(hidden_size, n_actions)

    def forward(self, obs: Tensor, state: Tensor, actions: Tensor, last_actions: Tensor) -> Tensor:
        """obs [B, T, N, O], state [B, T, S], actions and last_actions i64 [B, T, N] (-1: none) -> [B, T, N, A]."""
        of_state, of_obs, of_actions, of_last, of_id = torch.split(self.first.weight, self._splits, dim=1)
        taken = rows_of(actions, of_actions, self.n_actions)
        before = rows_of(last_actions, of_last, self.n_actions).sum(dim=2)
        shared = functional.linear(state, of_state, self.first.bias) + before + taken.sum(dim=2)
        x = functional.linear(obs, of_obs) + shared.unsqueeze(2) - taken + of_id.t()
        value: Tensor = self.out(functional.relu(self.second(functional.relu(x))))
        return value


class HypernetCritic(nn.Module):
    """Q(s, p) = ReLU(p w1(s) + b1(s)) w2(s) + b2(s) of all agents' probabilities p; weights may be negative [lica].

    w1 = L(G -> N A K) ReLU L(S -> G), b1 = L(S -> K), w2 = L(K -> K) ReLU L(S -> K), b2 = L(K -> 1) ReLU L(S -> K). The
    width G of w1's hidden layer is that of [pymarl2]; in [lica] it is N A K, which grows beyond memory on large maps.
    """

    def __init__(self, n_agents: int, n_actions: int, state_size: int, embed_size: int, hypernet_size: int) -> None:
        super().__init__()
        self.inputs, self.embed_size = n_agents * n_actions, embed_size
        self.w1 = Rowwise(
            nn.Linear(state_size, hypernet_size),
            nn.ReLU(inplace=True),
            nn.Linear(hypernet_size, self.inputs * embed_size),
        )
        self.b1 = nn.Linear(state_size, embed_size)
        self.w2 = Rowwise(nn.Linear(state_size, embed_size), nn.ReLU(inplace=True), nn.Linear(embed_size, embed_size))
        self.b2 = Rowwise(nn.Linear(state_size, embed_size), nn.ReLU(inplace=True), ValueLayer(embed_size, 1))

    def forward(self, state: Tensor, joint: Tensor) -> Tensor:
        """state [B, T, S], joint f32 [B, T, N, A] -> [B, T]."""
        w1 = self.w1(state).unflatten(2, (self.inputs, self.embed_size)).to(joint.dtype)
        hidden = functional.relu((joint.flatten(2).unsqueeze(2) @ w1).squeeze(2) + self.b1(state))
        value: Tensor = (hidden.float() * self.w2(state).float()).sum(dim=2) + self.b2(state).squeeze(2)
        return value


def rows_of(actions: Tensor, columns: Tensor, n_actions: int) -> Tensor:
    """What each agent's one-hot action contributes to a layer: actions i64 [B, T, N], columns [W, N A] -> [B, T, N, W].

    Nothing for -1.
    """
    agents = actions.shape[2]
    table = functional.pad(columns.t(), (0, 0, 0, 1))  # its last row, of zeros, is for -1
    first_rows = torch.arange(0, agents * n_actions, n_actions, device=actions.device)
    return functional.embedding(torch.where(actions < 0, agents * n_actions, actions + first_rows), table)
