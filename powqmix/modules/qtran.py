"""TransformedJointValue: QTRAN-base's joint value of hidden states and actions, with its state value."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .rowwise import Rowwise
from .value_layer import ValueLayer


class TransformedJointValue(nn.Module):
    """Q_jt = MLP([s; sum_i enc([h_i; one-hot a_i])]) and V(s) = MLP(s), two hidden layers each [pymarl].

    enc is Linear-ReLU-Linear of the width of its input; the one-hot part of its first layer is a row of a table (Son et
    al., arXiv 1905.05408).
    """

    def __init__(self, n_actions: int, state_size: int, agent_hidden_size: int, hidden_size: int) -> None:
        super().__init__()
        width = agent_hidden_size + n_actions
        self._agent_hidden_size = agent_hidden_size
        self.encoder_in = nn.Linear(width, width)
        self.encoder_out = nn.Linear(width, width)
        self.joint = _two_hidden_layers(state_size + width, hidden_size)
        self.value = _two_hidden_layers(state_size, hidden_size)

    def forward(self, hidden: Tensor, state: Tensor, actions: Tensor) -> Tensor:
        """Q_jt [B, T] of actions i64 [B, T, N] by agents in hidden states [B, T, N, H], in state [B, T, S]."""
        weight, width = self.encoder_in.weight, self._agent_hidden_size
        of_hidden, of_action = weight[:, :width], weight[:, width:]
        first = functional.linear(hidden, of_hidden, self.encoder_in.bias)
        first = functional.relu(first + functional.embedding(actions, of_action.t()))
        encoded = self.encoder_out(first).sum(dim=2)
        joint: Tensor = self.joint(torch.cat([state, encoded], dim=2))
        return joint.squeeze(2)

    def state_value(self, state: Tensor) -> Tensor:
        """V [B, T] of state [B, T, S]."""
        value: Tensor = self.value(state)
        return value.squeeze(2)


def _two_hidden_layers(inputs: int, hidden_size: int) -> Rowwise:
    return Rowwise(
        nn.Linear(inputs, hidden_size),
        nn.ReLU(inplace=True),
        nn.Linear(hidden_size, hidden_size),
        nn.ReLU(inplace=True),
        ValueLayer(hidden_size, 1),
    )
