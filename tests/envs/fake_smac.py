"""A stand-in for smac or smacv2 and for StarCraft II: the methods of StarCraft2Env, with faults on demand.

It plays 3m, or with a `capability_config` 3 agents against 4 of SMACv2's.

It tests the adapter only. FAKE_SMAC in the environment holds a JSON object: `fault` names one, `at` the step (0: in
reset) of episode `episode` in which it happens; `length` is how long episodes are. Every call is logged to `log`.
"""

from __future__ import annotations

import json
import os
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

AGENTS = 3
SIZES_3M = (9, 30, 48, 60)  # actions, observation, state, limit
SIZES_V2 = (10, 58, 75, 200)
MARINE, MEDIVAC = 1, 2


class StarCraft2Env:
    medivac_id = MEDIVAC

    def __init__(self, map_name: str = "8m", seed: int | None = None, difficulty: str = "7", **options: Any) -> None:
        self.sizes = SIZES_V2 if "capability_config" in options else SIZES_3M
        self.dead_allies = 0
        self.pathing_grid = np.zeros((32, 32), bool)
        self.pathing_grid[:, 8:24] = True
        self.pathing_grid[4:28, 14:16] = False
        self.terrain_height = np.full((32, 32), 0.25)
        self.terrain_height[:, 16:] = 0.5
        self.wish = json.loads(os.environ.get("FAKE_SMAC", "{}"))
        self._log(f"open {map_name} {difficulty} {sorted(options)} {seed}")
        if self.wish.get("fault") == "protobuf":
            raise TypeError("Descriptors cannot be created directly.")
        self.force_restarts = 0
        self.episodes = 0
        self.steps = 0
        self.kept: list[np.ndarray[Any, Any]] = []

    def _log(self, text: str) -> None:
        if "log" in self.wish:
            with open(self.wish["log"], "a") as file:
                file.write(f"{os.getpid()} {text}\n")

    def _fault(self) -> str | None:
        here = self.steps == self.wish.get("at", -1) and self.episodes == self.wish.get("episode", 1)
        return self.wish.get("fault") if here else None

    def get_env_info(self) -> dict[str, Any]:
        lies = self.wish.get("fault") == "sizes"
        actions, obs, state, limit = self.sizes
        return {
            "state_shape": state,
            "obs_shape": obs + lies,
            "n_actions": actions,
            "n_agents": AGENTS,
            "episode_limit": limit,
        }

    @property
    def agents(self) -> dict[int, Any]:
        kinds = self.wish.get("kinds", [MARINE] * AGENTS)
        return {n: SimpleNamespace(unit_type=kinds[n], health=45.0 * (n >= self.dead_allies)) for n in range(AGENTS)}

    def reset(self) -> tuple[Any, Any]:
        self.episodes += 1
        self.steps = self.dead_allies = 0
        self._log("reset")
        self._misbehave()
        return self.get_obs(), self.get_state()

    def _misbehave(self) -> None:
        fault = self._fault()
        if fault == "hang":
            threading.Event().wait()
        elif fault == "die":
            os._exit(3)
        elif fault == "raise":
            raise ValueError("Minerals are low")
        elif fault == "leak":
            self.kept.append(np.ones(40_000_000))  # 320 MB, touched

    def step(self, actions: list[int]) -> tuple[float, bool, dict[str, Any]]:
        assert all(self.get_avail_actions()[n][a] for n, a in enumerate(actions)), "an illegal action reached the game"
        self.steps += 1
        self._log(f"step {actions}")
        self._misbehave()
        fault = self._fault()
        if fault in ("crash", "quiet crash"):  # what the real one returns when the connection breaks
            self.force_restarts += fault == "crash"
            return 0, True, {}
        if fault == "break off":
            return 0, True, {"battle_won": False, "dead_allies": 0, "dead_enemies": 0}
        outcome = self.wish.get("outcome", "won")
        ended = self.steps >= self.wish.get("length", 5) or self.steps >= self.sizes[3]
        won = ended and outcome == "won"
        self.dead_allies = self.wish.get("dead", AGENTS) if ended and outcome == "lost" else 1
        return 2.5 + 17.5 * won, ended, {"battle_won": won, "dead_allies": self.dead_allies, "dead_enemies": 3 * won}

    def get_obs(self) -> list[np.ndarray[Any, Any]]:
        short = self._fault() == "short"
        value = self.episodes + self.steps / 100
        if self._fault() == "nan":
            value = float("nan")
        return [np.full(self.sizes[1], value + n / 10, np.float32) for n in range(AGENTS - short)]

    def get_state(self) -> np.ndarray[Any, Any]:
        return np.full(self.sizes[2], self.episodes + self.steps / 100, np.float32)

    def get_avail_actions(self) -> list[list[int]]:
        none, actions = self._fault() == "no action", self.sizes[0]
        return [[0] + [1] * 5 + [0] * (actions - 6) if not (none and n == 1) else [0] * actions for n in range(AGENTS)]

    def close(self) -> None:
        self._log("close")


def default_rng() -> np.random.Generator:  # the real package's distributions take it from numpy
    return np.random.default_rng()


class StarCraftCapabilityEnvWrapper:
    """SMACv2's: draws a team anew each episode, and hands all else on."""

    def __init__(self, **options: Any) -> None:
        from smacv2.env.starcraft2 import distributions  # type: ignore[import-not-found, unused-ignore]

        self.rng = distributions.default_rng()
        self.env = StarCraft2Env(**options)
        self.env._log(f"config {json.dumps(options['capability_config'])}")

    def reset(self) -> tuple[Any, Any]:
        self.env._log(f"team {self.rng.integers(10**9)}")
        return self.env.reset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)
