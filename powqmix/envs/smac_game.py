"""The process that plays the real game: `python -m powqmix.envs.smac_game FD LIFELINE`, started by GameProcess.

It alone imports smac or smacv2, one of them, with pysc2 and their protobuf. It answers `open`, `reset` and `step` with
arrays as bytes, `map` with the ground that is played on, and says when the game was restarted underneath:
StarCraft2Env.step then returns (0, True, {}), which looks like a true end.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import numpy as np


class Game:
    """One StarCraft2Env, reset exactly once an episode: a second reset counts as a lost battle."""

    def __init__(self, package: str, options: dict[str, Any]) -> None:
        _parse_absl_flags()
        module = importlib.import_module(f"{package}.env")
        if "capability_config" in options:
            _seed_distributions(package, options["seed"])
            self._env = module.StarCraftCapabilityEnvWrapper(**options)
        else:
            self._env = module.StarCraft2Env(**options)
        info = self._env.get_env_info()
        self.sizes = {name: int(info[name]) for name in ("n_agents", "n_actions", "obs_shape", "state_shape")}
        self.sizes["episode_limit"] = int(info["episode_limit"])

    def reset(self) -> dict[str, Any]:
        self._env.reset()
        return self._see()

    def step(self, actions: list[int]) -> dict[str, Any]:
        reward, terminated, info = self._env.step(actions)
        told = {
            "reward": float(reward),
            "ended": bool(terminated),
            # Without these the end was none: the game broke off.
            "won": info.get("battle_won"),
            "fighters_left": sum(
                unit.health > 0 and unit.unit_type != self._env.medivac_id for unit in self._env.agents.values()
            ),
        }
        return self._see() | told

    def map(self) -> dict[str, Any]:
        """The ground, [x][y] with y to the north: whether a unit can stand there, and how high it is, 0 to 1."""
        return {
            "walkable": np.asarray(self._env.pathing_grid, bool).tolist(),
            "height": np.asarray(self._env.terrain_height, float).tolist(),
        }

    def _see(self) -> dict[str, Any]:
        avail = np.asarray(self._env.get_avail_actions(), np.uint8)
        return {
            "obs": np.asarray(self._env.get_obs(), np.float32).tobytes(),
            "state": np.asarray(self._env.get_state(), np.float32).tobytes(),
            "avail": avail.tobytes(),
            "restarts": int(self._env.force_restarts),
        }


def _seed_distributions(package: str, seed: int) -> None:
    """Gives the generators of teams and places, which the package leaves unseeded, streams of `seed`."""
    distributions = importlib.import_module(f"{package}.env.starcraft2.distributions")
    streams = np.random.SeedSequence(seed)
    vars(distributions)["default_rng"] = lambda: np.random.default_rng(streams.spawn(1)[0])


def _parse_absl_flags() -> None:
    """pysc2 reads absl's flags, which must have been parsed before; smac does not."""
    try:
        from absl import flags  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return
    flags.FLAGS(sys.argv[:1])


def _die_with(lifeline: int) -> None:
    """Ends the whole process group when the other end of the pipe is gone, even while the game hangs."""
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    connection, lifeline = Connection(int(sys.argv[1])), int(sys.argv[2])
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    game: Game | None = None
    while True:
        try:
            asked = msgspec.msgpack.decode(connection.recv_bytes(), type=dict[str, Any])
        except (EOFError, OSError):  # who asked is gone
            os.killpg(0, signal.SIGKILL)
            return
        try:
            if asked["question"] == "open":
                game = Game(asked["package"], asked["options"])
                answer: dict[str, Any] = game.sizes
            elif game is None:
                raise RuntimeError("the game is not open")
            elif asked["question"] == "reset":
                answer = game.reset()
            elif asked["question"] == "map":
                answer = game.map()
            else:
                answer = game.step(asked["actions"])
        except Exception as error:  # whatever the game raises: it is told, and this process is ended
            answer = {"error": f"{type(error).__name__}: {error}"}
        connection.send_bytes(msgspec.msgpack.encode(answer))


if __name__ == "__main__":
    main()
