"""A stand-in for the package smac and for StarCraft II: the methods of StarCraft2Env on 3m, with faults on demand.

It tests the adapter only. FAKE_SMAC in the environment holds a JSON object: `fault` names one, `at` the step (0: in
reset) of episode `episode` in which it happens; `length` is how long episodes are. Every call is logged to `log`.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any

import numpy as np

AGENTS, ACTIONS, OBS, STATE, LIMIT = 3, 9, 30, 48, 60


class StarCraft2Env:
    def __init__(self, map_name: str = "8m", seed: int | None = None, difficulty: str = "7", **options: Any) -> None:
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
        return {
            "state_shape": STATE,
            "obs_shape": OBS + lies,
            "n_actions": ACTIONS,
            "n_agents": AGENTS,
            "episode_limit": LIMIT,
        }

    def reset(self) -> tuple[Any, Any]:
        self.episodes += 1
        self.steps = 0
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
            return 0, True, {"battle_won": False, "dead_allies": 1, "dead_enemies": 0}
        outcome = self.wish.get("outcome", "won")
        ended = self.steps >= self.wish.get("length", 5) or self.steps >= LIMIT
        won = ended and outcome == "won"
        return (
            2.5 + 17.5 * won,
            ended,
            {"battle_won": won, "dead_allies": AGENTS if ended and outcome == "lost" else 1, "dead_enemies": 3 * won},
        )

    def get_obs(self) -> list[np.ndarray[Any, Any]]:
        short = self._fault() == "short"
        value = self.episodes + self.steps / 100
        if self._fault() == "nan":
            value = float("nan")
        return [np.full(OBS, value + n / 10, np.float32) for n in range(AGENTS - short)]

    def get_state(self) -> np.ndarray[Any, Any]:
        return np.full(STATE, self.episodes + self.steps / 100, np.float32)

    def get_avail_actions(self) -> list[list[int]]:
        none = self._fault() == "no action"
        return [[0, 1, 1, 1, 1, 1, 0, 0, 0] if not (none and n == 1) else [0] * ACTIONS for n in range(AGENTS)]

    def close(self) -> None:
        self._log("close")
