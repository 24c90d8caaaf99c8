"""Mixers: joint values Q_tot out of the agents' values."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from powqmix import ops
from powqmix.ops import mixers

from .value_layer import ValueLayer


class Mixer(nn.Module):
    """Maps the agents' values q [B, T, N] and the state [B, T, S] to joint values [B, T]."""

    looks_at_actions = False  # whether `of_actions` differs from `forward`

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        raise NotImplementedError

    def of_actions(self, q: Tensor, best: Tensor, state: Tensor, actions: Tensor) -> Tensor:
        """The value of `actions` i64 [B, T, N], whose values are q; best [B, T, N] are those of the best legal ones."""
        value: Tensor = self(q, state)
        return value


class VDNMixer(Mixer):
    """Q_tot = sum_i Q_i."""

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        return q.sum(dim=2)


class MonotonicMixer(Mixer):
    """Q_tot = ELU(q |w1| + b1) |w2| + b2 with weights out of the state (fine-tuned QMIX [pymarl2]).

    w1 = L(G -> N K) ReLU L(S -> G), b1 = L(S -> K), w2 = L(G -> K) ReLU L(S -> G), b2 = L(K -> 1) ReLU L(S -> K), where
    K is `embed_size` and G `hypernet_size`. The four layers that read the state are one product.
    """

    def __init__(self, n_agents: int, state_size: int, embed_size: int, hypernet_size: int) -> None:
        super().__init__()
        self.n_agents, self.embed_size = n_agents, embed_size
        self._splits = [hypernet_size, hypernet_size, embed_size, embed_size]
        # One layer is initialised as four would be: the bounds depend on the inputs only.
        self.state_in = nn.Linear(state_size, sum(self._splits))
        self.w1_out = nn.Linear(hypernet_size, n_agents * embed_size)
        self.w2_out = nn.Linear(hypernet_size, embed_size)
        self.b2_out = ValueLayer(embed_size, 1)
        self._in_order = tuple(self.parameters())

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        if mixers.pays(state):
            return mixers.MonotonicMixerCall.apply(q, state, self.embed_size, *self._in_order)  # type: ignore[no-untyped-call, no-any-return]
        for_w1, for_w2, for_b2, b1 = self.state_in(state).split(self._splits, dim=2)
        w1 = self.w1_out(functional.relu(for_w1)).unflatten(2, (self.n_agents, self.embed_size))
        w2 = self.w2_out(functional.relu(for_w2))
        b2 = self.b2_out(functional.relu(for_b2)).squeeze(2)
        return ops.monotonic_mix(q, w1.to(q.dtype), b1.to(q.dtype), w2.to(q.dtype), b2)
