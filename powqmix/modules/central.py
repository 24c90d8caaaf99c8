"""CentralMixer: the unrestricted joint value Q^* of weighted QMIX."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from powqmix import ops

from .mixers import Mixer


class CentralMixer(Mixer):
    """Q^* = MLP([s; Q_1..Q_N]) + V(s): three hidden layers, and one for V [wqmix]. Any function of its inputs."""

    def __init__(self, n_agents: int, state_size: int, hidden_size: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(state_size + n_agents, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, 1),
        )
        self.value = nn.Sequential(nn.Linear(state_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, 1))
        self._trunk_layers, self._value_layers = tuple(self.trunk.parameters()), tuple(self.value.parameters())

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        joint = ops.mlp(torch.cat([state, q], dim=2), *self._trunk_layers)
        return (joint + ops.mlp(state, *self._value_layers)).squeeze(2)
