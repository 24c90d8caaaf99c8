"""CentralMixer: the unrestricted joint value Q^* of weighted QMIX."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from powqmix.ops import mixers

from .mixers import Mixer
from .rowwise import Rowwise
from .value_layer import ValueLayer


class CentralMixer(Mixer):
    """Q^* = MLP([s; Q_1..Q_N]) + V(s): three hidden layers, and one for V [wqmix]. Any function of its inputs."""

    def __init__(self, n_agents: int, state_size: int, hidden_size: int) -> None:
        super().__init__()
        self.trunk = Rowwise(
            nn.Linear(state_size + n_agents, hidden_size),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(inplace=True),
            ValueLayer(hidden_size, 1),
        )
        self.value = Rowwise(nn.Linear(state_size, hidden_size), nn.ReLU(inplace=True), ValueLayer(hidden_size, 1))
        self._in_order = tuple(self.parameters())

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        if mixers.pays(state):
            return mixers.CentralMixerCall.apply(q, state, *self._in_order)  # type: ignore[no-untyped-call, no-any-return]
        joint: Tensor = self.trunk(torch.cat([state, q], dim=2)) + self.value(state)
        return joint.squeeze(2)
