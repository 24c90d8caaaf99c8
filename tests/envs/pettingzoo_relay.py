"""A small PettingZoo environment in which every number can be worked out by hand; loaded by its module name.

Two runners with different spaces. `first` has 2 actions numbered from 5, sees a pair; `second` has 3 actions, sees one
of four marks, and after odd steps may only play its action 1. Each is paid its action's number. `first` leaves after
two steps if `leaves`, and the end comes after `max_cycles` steps: a true one if `ends`, else a cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv


class Relay(ParallelEnv[str, Any, int]):
    metadata = {"name": "relay"}  # noqa: RUF012

    def __init__(self, max_cycles: int = 4, leaves: bool = False, ends: bool = False) -> None:
        self.possible_agents = ["first", "second"]
        self.max_cycles, self.leaves, self.ends = max_cycles, leaves, ends
        self.seeds: list[int | None] = []

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        if agent == "first":
            return spaces.Box(-9, 9, (2,), np.float64)
        return spaces.Dict({"observation": spaces.Discrete(4), "action_mask": spaces.MultiBinary(3)})

    def action_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(2, start=5) if agent == "first" else spaces.Discrete(3)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        self.seeds.append(seed)
        self.agents = list(self.possible_agents)
        self.steps = 0
        self.drawn = float(np.random.default_rng(seed).integers(9))
        return self._seen(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        assert set(actions) == set(self.agents)
        assert all(self.action_space(agent).contains(action) for agent, action in actions.items())
        self.steps += 1
        over = self.steps >= self.max_cycles
        out = {agent: agent == "first" and self.leaves and self.steps == 2 for agent in self.agents}
        seen = self._seen()
        rewards = {agent: float(actions[agent]) for agent in self.agents}
        terminations = {agent: out[agent] or (over and self.ends) for agent in self.agents}
        truncations = dict.fromkeys(self.agents, over and not self.ends)
        infos: dict[str, Any] = {agent: {} for agent in self.agents}
        self.agents = [] if over else [agent for agent in self.agents if not out[agent]]
        return seen, rewards, terminations, truncations, infos

    def _seen(self) -> dict[str, Any]:
        mask = np.array([0, 1, 0] if self.steps % 2 else [1, 1, 1], np.int8)
        views = {
            "first": np.array([self.steps, self.drawn]),
            "second": {"observation": self.steps % 4, "action_mask": mask},
        }
        return {agent: views[agent] for agent in self.agents}


def parallel_env(**arguments: Any) -> Relay:
    return Relay(**arguments)
