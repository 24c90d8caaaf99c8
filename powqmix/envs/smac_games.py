"""SmacGames: a batch of real StarCraft II games behind BatchedEnv, each in a watched process; smac and smacv2 share it.

powqmix adds nothing to the game but supervision. Each environment is a process group of its own (game and client, about
1 GB), so give an actor one or two. A game that crashes, hangs (`reset_timeout_s`, `step_timeout_s`) or answers with
other sizes raises GameFailed from `step` or `reset`: the actor counts its episodes as aborted, stores none of them, and
builds the environment anew. Between episodes a game is started afresh after `relaunch_every` episodes, or when it holds
more than `memory_limit_mb`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from powqmix.types import EnvSpec, derive_seed

from .base import ActionArray, Batch
from .game_process import GameFailed, GameProcess
from .python_env import PythonEnv

_GAME = "powqmix.envs.smac_game"


@dataclass(frozen=True)
class Limits:
    """What is watched of a game: a part of the options of smac and smacv2."""

    reset_timeout_s: float = 120.0  # the first reset starts the game
    step_timeout_s: float = 30.0
    relaunch_every: int = 500  # episodes; the game leaks memory
    memory_limit_mb: int = 4096  # of a game and its client

    def __post_init__(self) -> None:
        for field in dataclasses.fields(Limits):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"smac: {field.name} must be above 0, got {getattr(self, field.name)!r}")

    def of_the_game(self) -> dict[str, Any]:
        """The other options, which are the game's own."""
        ours = {field.name for field in dataclasses.fields(Limits)}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in ours}


class SmacGames(PythonEnv):
    """A BatchedEnv of E real games, each in its own process group.

    package: `smac` or `smacv2`, whichever Python package plays; game_options: its environment's arguments.
    """

    def __init__(
        self, spec: EnvSpec, package: str, game_options: Mapping[str, Any], limits: Limits, batch: Batch
    ) -> None:
        super().__init__(spec, batch.num_envs)
        self._package, self._game_options, self._limits, self._batch = package, game_options, limits, batch
        self._games: list[GameProcess | None] = [None] * batch.num_envs
        self._launches = [0] * batch.num_envs
        self._episodes = [0] * batch.num_envs  # that the running process has begun
        self._steps = [0] * batch.num_envs  # of the running episode

    def reset(self) -> None:
        """Starts a new episode in every environment, and the games that do not run yet. Raises GameFailed."""
        with _closing_on_failure(self.close):
            self._begin(list(range(self.num_envs)))
        self.clear_outcome()

    def step(self, actions: ActionArray) -> None:
        """Plays `actions` (int32 [E, N]).

        ValueError, and no change, on a wrong dtype, shape or an illegal action: the game never sees it. GameFailed if a
        game failed: all are closed then, and `reset` starts them anew.
        """
        self.check_actions(actions)
        with _closing_on_failure(self.close):
            for e in range(self.num_envs):
                self._game(e).ask("step", actions=actions[e].tolist())
            ended = [e for e in range(self.num_envs) if self._take_step(e)]
            self._begin(ended)

    def ground(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
        """The map of the game itself, after `reset`: where units can stand and how high it is (0 to 1), both [x, y]."""
        with _closing_on_failure(self.close):
            self._game(0).ask("map")
            answer = self._game(0).answer("map", self._limits.step_timeout_s)
        return np.array(answer["walkable"], np.bool_), np.array(answer["height"], np.float64)

    def close(self) -> None:
        """Ends all games."""
        for e, game in enumerate(self._games):
            if game is not None:
                game.close()
            self._games[e] = None
        self.avail_actions[:] = 0  # nothing is legal before the next reset

    def _game(self, e: int) -> GameProcess:
        game = self._games[e]
        assert game is not None  # reset() started it, or no action would be legal
        return game

    def _begin(self, which: list[int]) -> None:
        """Starts an episode in the environments `which`, side by side."""
        for e in which:
            if self._worn_out(e):
                self._game(e).close()
                self._games[e] = None
            if self._games[e] is None:
                self._launch(e)
        limit = self._limits.reset_timeout_s
        for e in which:
            if self._episodes[e] == 0:
                self._compare(e, self._game(e).answer("open", limit))
            self._game(e).ask("reset")
        for e in which:
            self._see(e, self._game(e).answer("reset", limit))
            self._episodes[e] += 1
            self._steps[e] = 0

    def _worn_out(self, e: int) -> bool:
        game = self._games[e]
        if game is None:
            return False
        limit = self._limits.memory_limit_mb * 2**20
        return self._episodes[e] >= self._limits.relaunch_every or game.memory_bytes() > limit

    def _launch(self, e: int) -> None:
        seed = derive_seed(self._batch.seed, self._batch.first_env + e, self._launches[e]) % 2**31
        self._games[e] = GameProcess(f"{self.spec.id}, game {e}", _GAME)
        self._launches[e] += 1
        self._episodes[e] = 0
        self._game(e).ask("open", package=self._package, options={"seed": seed, **self._game_options})

    def _compare(self, e: int, sizes: Mapping[str, Any]) -> None:
        s = self.spec
        wanted = (s.n_agents, s.n_actions, s.obs_size, s.state_size, s.episode_limit)
        got = tuple(sizes[name] for name in ("n_agents", "n_actions", "obs_shape", "state_shape", "episode_limit"))
        if got != wanted:
            raise GameFailed(
                f"{s.id}, game {e}: agents, actions, observation, state and limit are {got}, SMAC's are {wanted}; "
                f"another version of {self._package} is installed"
            )

    def _see(self, e: int, answer: Mapping[str, Any]) -> None:
        """Takes what is seen now. An empty or short answer never reaches the arrays."""
        if answer["restarts"] != 0:
            raise GameFailed(f"{self.spec.id}, game {e}: StarCraft II crashed and was restarted underneath")
        for name, array in (("obs", self.obs), ("state", self.state), ("avail", self.avail_actions)):
            raw: bytes = answer[name]
            if len(raw) != array[e].nbytes:
                wanted = f"{array[e].nbytes} for {list(array[e].shape)}"
                raise GameFailed(f"{self.spec.id}, game {e}: {name} has {len(raw)} bytes, wanted {wanted}")
            seen: npt.NDArray[Any] = np.frombuffer(raw, array.dtype).reshape(array[e].shape)
            if array.dtype == np.float32 and not np.isfinite(seen).all():
                raise GameFailed(f"{self.spec.id}, game {e}: {name} is not finite")
            array[e] = seen
        if not self.avail_actions[e].any(-1).all():
            raise GameFailed(f"{self.spec.id}, game {e}: an agent has no legal action")

    def _take_step(self, e: int) -> bool:
        """Takes the answer to a step; whether the episode ended."""
        answer = self._game(e).answer("step", self._limits.step_timeout_s)
        self._see(e, answer)
        self._steps[e] += 1
        ended = bool(answer["ended"])
        at_limit = self._steps[e] >= self.spec.episode_limit
        if at_limit and not ended:
            raise GameFailed(f"{self.spec.id}, game {e}: it went on past its limit of {self.spec.episode_limit} steps")
        decided = ended and self._is_decided(answer)
        if ended and not decided and not at_limit:
            raise GameFailed(f"{self.spec.id}, game {e}: it broke off after {self._steps[e]} steps: nobody had won")
        self.reward[e] = answer["reward"]
        self.terminated[e], self.truncated[e] = decided, ended and not decided
        self.battle_won[e] = bool(answer["won"]) and ended
        if ended:
            self.keep_final(e)
        return ended

    @staticmethod
    def _is_decided(answer: Mapping[str, Any]) -> bool:
        """Whether an end is that of a battle: won, or nobody left who could fight."""
        if answer["won"] is None:  # StarCraft2Env says nothing where the game broke off
            return False
        return bool(answer["won"]) or answer["fighters_left"] == 0


@contextmanager
def _closing_on_failure(close: Callable[[], None]) -> Iterator[None]:
    """Closes all games when one failed, so that the next reset finds none half-way through an episode."""
    try:
        yield
    except BaseException:
        close()
        raise
