"""Recognizer: the network of Q_r, which finds the potentially optimal joint actions."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from powqmix import ops

from .value_layer import ValueLayer


class RecognizerOutput(NamedTuple):
    """What Q_r is made of: Q_r = state_value + sum_i A_i sum_k |w1_ik| |w2_k|  (Eq. 5)."""

    w1: Tensor  # [B, T, N, K]
    w2: Tensor  # [B, T, K]
    state_value: Tensor  # [B, T]


class Recognizer(nn.Module):
    """w1 = MLP1([s; one-hot a]), w2 = MLP2([s; one-hot a]), V(s) = MLP3(s), each with two hidden layers [code].

    No bias and no non-linearity stand between w1 and w2, so lambda_i = sum_k |w1_ik| |w2_k|. The three networks are
    kept side by side: one product for the layers that read the state, one batched product for the second layers. The
    one-hot part of the first layer is a sum of N rows of a table.
    """

    def __init__(self, n_agents: int, n_actions: int, state_size: int, embed_size: int, hidden_size: int) -> None:
        super().__init__()
        self.n_agents, self.n_actions, self.state_size = n_agents, n_actions, state_size
        self.embed_size, self.hidden_size = embed_size, hidden_size
        self.state_in = nn.Linear(state_size, 3 * hidden_size)  # of MLP1, MLP2, MLP3
        self.action_in = nn.Parameter(torch.empty(n_agents * n_actions, 2 * hidden_size))  # of MLP1, MLP2
        self.hidden_weight = nn.Parameter(torch.empty(3, hidden_size, hidden_size))
        self.hidden_bias = nn.Parameter(torch.empty(3, 1, hidden_size))
        self.w1_out = nn.Linear(hidden_size, n_agents * embed_size)
        self.w2_out = nn.Linear(hidden_size, embed_size)
        self.value_out = ValueLayer(hidden_size, 1)
        self._initialise_as_linear_layers()
        named = dict(self.named_parameters())
        self._parts: list[Tensor] = [named[name] for name in ops.recognizer.PARTS]

    def _initialise_as_linear_layers(self) -> None:
        """Uniform in +-1 / sqrt(inputs), weights and biases, as torch.nn.Linear does for each layer written out."""
        hidden = 2 * self.hidden_size
        joint = 1.0 / math.sqrt(self.state_size + self.n_agents * self.n_actions)
        with torch.no_grad():
            self.action_in.uniform_(-joint, joint)
            self.state_in.weight[:hidden].uniform_(-joint, joint)
            self.state_in.bias[:hidden].uniform_(-joint, joint)
            for parameter in (self.hidden_weight, self.hidden_bias):
                parameter.uniform_(-1.0 / math.sqrt(self.hidden_size), 1.0 / math.sqrt(self.hidden_size))

    def table_rows(self, actions: Tensor) -> Tensor:
        """Rows of `action_in` for actions i64 [..., N]: agent i's action a is row i A + a."""
        return actions + torch.arange(0, self.n_agents * self.n_actions, self.n_actions, device=actions.device)

    def scales(self, state: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """lambda_i(s, a) [B, T, N] and V(s) [B, T]: what Q_r needs beside the advantages. Not differentiated."""
        with torch.no_grad():
            if ops.recognizer.pays(state):
                return ops.recognizer.evaluate(state, actions, self.n_actions, self.embed_size, self._parts)
            output = self(state, actions)
            kept = output.state_value.dtype
            return ops.hyper_scales(output.w1.to(kept), output.w2.to(kept)), output.state_value

    def forward(self, state: Tensor, actions: Tensor) -> RecognizerOutput:
        """state f32 [B, T, S], actions i64 [B, T, N]."""
        batch, steps, _ = state.shape
        first = self.state_in(state.reshape(batch * steps, -1))  # [R, 3 * hidden], R = B T
        looked_up = functional.embedding_bag(
            self.table_rows(actions).reshape(batch * steps, -1), self.action_in, mode="sum"
        )
        first = functional.relu(first + functional.pad(looked_up.to(first.dtype), (0, self.hidden_size)))
        inputs = first.view(batch * steps, 3, -1).transpose(0, 1)
        second = functional.relu(torch.baddbmm(self.hidden_bias, inputs, self.hidden_weight.transpose(1, 2)))
        return RecognizerOutput(
            self.w1_out(second[0]).view(batch, steps, self.n_agents, self.embed_size),
            self.w2_out(second[1]).view(batch, steps, self.embed_size),
            self.value_out(second[2]).view(batch, steps),
        )
