"""The records that every part of the system shares, and the axis letters that name their shapes.

Axis letters, the same in Python, C++ and CUDA:

    B episodes   T steps   N agents   A actions   O observation   S state   H hidden   E environments

An episode of T steps has T + 1 observations: index T is what was seen after the last action. This module needs numpy
only, because actors import it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

ACTION_SELECTIONS = "epsilon_greedy", "softmax"  # what a policy's outputs are: values, or logits


@dataclass(frozen=True)
class EnvSpec:
    """Sizes of one environment."""

    id: str
    n_agents: int
    n_actions: int
    obs_size: int
    state_size: int
    episode_limit: int
    version: str = ""  # "skirmish v2"; goes into run.json beside every result
    has_win: bool = False  # whether `battle_won` means something


@dataclass(frozen=True)
class PolicySpec:
    """Shape of the recurrent agent and how it acts, enough to run it without torch.

    Input of a row: observation, one-hot last action (if `use_last_action`; zeros at t = 0), one-hot agent id
    (if `use_agent_id`), in this order. An action is any legal one with probability epsilon; else, with
    `action_selection` "epsilon_greedy", the one of the largest output, with "softmax" one drawn from the softmax over
    the outputs of legal actions.
    """

    n_agents: int
    n_actions: int
    obs_size: int
    hidden_size: int
    use_last_action: bool
    use_agent_id: bool
    action_selection: str = "epsilon_greedy"

    def greedy(self) -> PolicySpec:
        """The same agent where it only takes its best actions: with epsilon 0, as in tests."""
        return dataclasses.replace(self, action_selection="epsilon_greedy")

    @property
    def input_size(self) -> int:
        return (
            self.obs_size
            + (self.n_actions if self.use_last_action else 0)
            + (self.n_agents if self.use_agent_id else 0)
        )

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the agent's parameters, in the order of the flat float32 vector that is published.

        The names are those of `RecurrentAgent.state_dict()`; gates are in torch.nn.GRU's order (r, z, n).
        """
        hidden = self.hidden_size
        return {
            "fc_in.weight": (hidden, self.input_size),
            "fc_in.bias": (hidden,),
            "gru.weight_ih_l0": (3 * hidden, hidden),
            "gru.weight_hh_l0": (3 * hidden, hidden),
            "gru.bias_ih_l0": (3 * hidden,),
            "gru.bias_hh_l0": (3 * hidden,),
            "fc_out.weight": (self.n_actions, hidden),
            "fc_out.bias": (self.n_actions,),
        }

    @property
    def parameter_count(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.parameter_shapes().values())


@dataclass(frozen=True)
class EpisodeField:
    """One array of a stored episode: `dtype` [T + extra_steps, *shape], little-endian, C-contiguous."""

    name: str
    dtype: str  # numpy's name: "<f2", "<f4", "u1", "<u2"
    shape: tuple[int, ...]
    extra_steps: int

    @cached_property
    def step_nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def nbytes(self, steps: int) -> int:
        return (steps + self.extra_steps) * self.step_nbytes


@dataclass(frozen=True)
class EpisodeSchema:
    """How an episode is laid out, the same in an actor's buffer, on the wire and in the replay ring.

    fields, in this order: obs [T+1, N, O], state [T+1, S], avail_actions [T+1, N, ceil(A/8)] (bits, little-endian
    order within a byte), actions [T, N], reward [T], terminated [T].
    """

    fields: tuple[EpisodeField, ...]
    episode_limit: int
    n_agents: int
    n_actions: int
    obs_size: int
    state_size: int

    @cached_property
    def _sizes(self) -> dict[int, list[int]]:
        return {}

    def sizes(self, steps: int) -> list[int]:
        """Bytes of each field of an episode of `steps` steps, which is between 0 and the limit; not to be changed."""
        if steps not in self._sizes:
            self._sizes[steps] = [field.nbytes(steps) for field in self.fields]
        return self._sizes[steps]

    def nbytes(self, steps: int) -> int:
        return sum(self.sizes(steps))

    @cached_property
    def max_nbytes(self) -> int:
        return self.nbytes(self.episode_limit)


def episode_schema(spec: EnvSpec, dtype: str = "float16") -> EpisodeSchema:
    """The layout of `spec`'s episodes; `dtype` ("float16" or "float32") is that of observations and states.

    Raises ValueError on any other dtype.
    """
    if dtype not in ("float16", "float32"):
        raise ValueError(f"replay.dtype is {dtype!r}; it must be 'float16' or 'float32'")
    real = "<f2" if dtype == "float16" else "<f4"
    index = "u1" if spec.n_actions <= 256 else "<u2"
    return EpisodeSchema(
        fields=(
            EpisodeField("obs", real, (spec.n_agents, spec.obs_size), 1),
            EpisodeField("state", real, (spec.state_size,), 1),
            EpisodeField("avail_actions", "u1", (spec.n_agents, (spec.n_actions + 7) // 8), 1),
            EpisodeField("actions", index, (spec.n_agents,), 0),
            EpisodeField("reward", "<f4", (), 0),
            EpisodeField("terminated", "u1", (), 0),
        ),
        episode_limit=spec.episode_limit,
        n_agents=spec.n_agents,
        n_actions=spec.n_actions,
        obs_size=spec.obs_size,
        state_size=spec.state_size,
    )


@dataclass
class Episode:
    """A finished episode as an actor sends it: `frames[i]` is the array of `schema.fields[i]`."""

    frames: list[Array]
    steps: int
    terminated: bool
    truncated: bool
    episode_return: float
    battle_won: bool
    parameter_version: int
    epsilon: float


@dataclass
class EpisodeBatch:
    """What an update learns from. Padding is zero; `filled` marks the steps that happened."""

    obs: torch.Tensor  # f32 [B, T+1, N, O]
    state: torch.Tensor  # f32 [B, T+1, S]
    avail_actions: torch.Tensor  # u8  [B, T+1, N, A]
    actions: torch.Tensor  # i64 [B, T, N]
    reward: torch.Tensor  # f32 [B, T]
    terminated: torch.Tensor  # u8  [B, T]
    filled: torch.Tensor  # u8  [B, T]
    filled_count: int  # sum of filled, known on the host when the batch is built
    multiplicity: torch.Tensor | None = None  # f32 [B]: how many of the drawn episodes each one stands for; None: one
    lengths: tuple[int, ...] | None = None  # steps of each episode, if the host knows them


def derive_seed(seed: int, *path: int) -> int:
    """An independent 63-bit seed for the stream at `path` (role, actor, incarnation, ...) below the run's seed."""
    words = np.random.SeedSequence(entropy=seed, spawn_key=path).generate_state(2, dtype=np.uint32)
    return int(words[0]) << 31 ^ int(words[1])
