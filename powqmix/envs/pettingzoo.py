"""PettingZoo's parallel environments, as `pettingzoo/<module>`: any module with a `parallel_env` function.

    pip install "powqmix[pettingzoo]" mpe2
    powqmix-launch --env pettingzoo/mpe2.simple_spread_v3 --set "env.arguments={N: 5, max_cycles: 50}"

`<module>` is an import path, also below `pettingzoo.` (`pettingzoo/butterfly.cooperative_pong_v6`). Agents are
`possible_agents` in their order, actions discrete. What an environment does not offer is filled in:

- Observations are flattened (a discrete one becomes one-hot) and padded with zeros to the longest; agents with fewer
  actions never have the others. Pixels stay 0 to 255.
- An `action_mask`, in a dictionary observation or in the agent's info, gives the legal actions; without one all are.
- An agent that is out of the game sees zeros and has action 0 only, which is not passed on.
- The state is the environment's own; if it has none, all observations.
- The reward is the sum over the agents: all of them learn from it.
- An episode is truncated after `episode_limit` steps. Where agents end in different ways, one that is truncated among
  the last ones makes the episode truncated.

An episode's seed is a function of (seed, env index, episode); environments that draw from other random numbers than
their own are not repeatable. Licence and rules are those of the environment's package; PettingZoo is MIT (Terry et al.,
NeurIPS 2021, arXiv 2009.14471). Steps are played in Python, one environment after another: `num_threads` changes
nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from powqmix.types import EnvSpec, derive_seed

from .base import ActionArray, Batch
from .python_env import PythonEnv

REMEDY = 'pip install "powqmix[pettingzoo]"'
# What `powqmix envs` lists: cooperative ones with discrete actions that are small enough to try.
LISTED = ("mpe2.simple_reference_v3", "mpe2.simple_speaker_listener_v4", "mpe2.simple_spread_v3")
_MASK = "action_mask"


@dataclass(frozen=True)
class Options:
    arguments: Any = None  # of the module's parallel_env, a mapping
    episode_limit: int = 0  # steps; 0: the environment's own max_cycles

    def __post_init__(self) -> None:
        if self.arguments is not None and not isinstance(self.arguments, Mapping):
            raise ValueError(f"pettingzoo: arguments must be a mapping of names to values, got {self.arguments!r}")
        if self.episode_limit < 0:
            raise ValueError(f"pettingzoo: episode_limit must be at least 0, got {self.episode_limit}")


class Game:
    """One PettingZoo environment with fixed agents, sizes and arrays of numbers.

    spec: its sizes. Raises ValueError naming what BatchedEnv needs and the environment lacks.
    """

    def __init__(self, env_id: str, options: Options) -> None:
        module = _import(env_id)
        try:
            self._env = module.parallel_env(**(options.arguments or {}))
        except TypeError as error:
            raise ValueError(f"{env_id}: parallel_env does not take these arguments: {error}") from None
        if not getattr(self._env, "possible_agents", None):
            raise ValueError(f"{env_id}: it names no possible_agents; a fixed set of agents is needed")
        self._agents: list[Any] = list(self._env.possible_agents)
        # Spaces may be built at the first reset only; whether there is a state is known when it is asked for.
        self._env.reset(seed=0)
        self._first_action = [self._first_of(env_id, agent) for agent in self._agents]
        self._n_actions = [int(self._env.action_space(agent).n) for agent in self._agents]
        self._spaces = [self._observed_space(agent) for agent in self._agents]
        self._has_state = _has_state(self._env)
        obs_size = max(_flat_size(env_id, space) for space in self._spaces)
        limit = options.episode_limit or getattr(self._env.unwrapped, "max_cycles", None)
        if not isinstance(limit, int) or limit < 1:
            raise ValueError(f"{env_id}: it states no max_cycles; set its longest episode: env.episode_limit=STEPS")
        self.spec = EnvSpec(
            id=env_id,
            n_agents=len(self._agents),
            n_actions=max(self._n_actions),
            obs_size=obs_size,
            state_size=np.asarray(self._env.state()).size if self._has_state else len(self._agents) * obs_size,
            episode_limit=limit,
            version=_version(module),
        )
        self._steps = 0

    def reset(self, seed: int) -> None:
        """Starts an episode."""
        self._seen, self._infos = self._env.reset(seed=seed)
        self._living = set(self._env.agents)
        self._steps = 0

    def step(self, actions: Sequence[int]) -> tuple[float, bool, bool]:
        """Plays one step, actions [N]; returns the summed reward, terminated, truncated."""
        chosen = {
            agent: action + first
            for agent, action, first in zip(self._agents, actions, self._first_action)
            if agent in self._living
        }
        self._seen, rewards, terminations, truncations, self._infos = self._env.step(chosen)
        self._steps += 1
        over = not self._env.agents
        # After the last step nobody acts, but who was cut off still sees: the learner bootstraps from it.
        cut = {agent for agent in chosen if truncations.get(agent) and not terminations.get(agent)}
        self._living = cut if over else set(self._env.agents)
        truncated = bool(cut) if over else self._steps >= self.spec.episode_limit
        return float(sum(rewards.values())), over and not truncated, truncated

    def observe(self, obs: npt.NDArray[np.float32], state: npt.NDArray[np.float32], avail: npt.NDArray[Any]) -> None:
        """Writes what is seen now: obs [N, O], state [S], avail [N, A]."""
        from gymnasium.spaces.utils import flatten

        obs[:] = 0
        avail[:] = 0
        for n, (agent, space) in enumerate(zip(self._agents, self._spaces)):
            if agent not in self._living:
                avail[n, 0] = 1
                continue
            seen, mask = self._seen[agent], self._infos.get(agent, {}).get(_MASK)
            if isinstance(seen, Mapping) and _MASK in seen:
                seen, mask = seen["observation"], seen[_MASK]
            flat = np.asarray(flatten(space, seen), np.float32)
            obs[n, : flat.size] = flat
            avail[n, : self._n_actions[n]] = 1 if mask is None else np.asarray(mask) != 0
            if not avail[n].any():
                raise ValueError(f"{self.spec.id}: agent {agent} has no legal action in its {_MASK}")
        state[:] = np.ravel(self._env.state() if self._has_state else obs)

    def close(self) -> None:
        self._env.close()

    def _first_of(self, env_id: str, agent: Any) -> int:
        """The number of an agent's first action; ValueError if its actions are not discrete."""
        from gymnasium.spaces import Discrete

        space = self._env.action_space(agent)
        if not isinstance(space, Discrete):
            raise ValueError(
                f"{env_id}: actions must be discrete, those of {agent} are {space}; "
                "many environments have an argument for it, as in env.arguments={continuous: false}"
            )
        return int(space.start)

    def _observed_space(self, agent: Any) -> Any:
        """The space of what the agent sees, without the mask."""
        from gymnasium.spaces import Dict

        space = self._env.observation_space(agent)
        return space["observation"] if isinstance(space, Dict) and _MASK in space.spaces else space


class PettingZoo(PythonEnv):
    """A BatchedEnv of E PettingZoo environments in this process."""

    def __init__(self, env_id: str, options: Options, batch: Batch) -> None:
        self._games = [Game(env_id, options) for _ in range(batch.num_envs)]
        super().__init__(self._games[0].spec, batch.num_envs)
        self._batch = batch
        self._episodes = [0] * batch.num_envs

    def reset(self) -> None:
        """Starts a new episode in every environment."""
        for e in range(self.num_envs):
            self._begin(e)
        self.clear_outcome()

    def step(self, actions: ActionArray) -> None:
        """Plays `actions` (int32 [E, N]); ValueError, and no change, on a wrong dtype, shape or an illegal action."""
        self.check_actions(actions)
        for e, game in enumerate(self._games):
            self.reward[e], self.terminated[e], self.truncated[e] = game.step(actions[e].tolist())
            self._see(e)
            if self.terminated[e] or self.truncated[e]:
                self.keep_final(e)
                self._begin(e)

    def close(self) -> None:
        """Closes the environments."""
        for game in self._games:
            game.close()

    def _begin(self, e: int) -> None:
        batch = self._batch
        # Some environments take a seed of 31 bits only.
        self._games[e].reset(derive_seed(batch.seed, batch.first_env + e, self._episodes[e]) % 2**31)
        self._episodes[e] += 1
        self._see(e)

    def _see(self, e: int) -> None:
        self._games[e].observe(self.obs[e], self.state[e], self.avail_actions[e])


def ids() -> list[str]:
    return [f"pettingzoo/{name}" for name in LISTED]


def make(env_id: str, options: Options, batch: Batch) -> PettingZoo:
    return PettingZoo(env_id, options, batch)


def spec(env_id: str, options: Options) -> EnvSpec:
    game = Game(env_id, options)
    game.close()
    return game.spec


def _import(env_id: str) -> ModuleType:
    """The module that `env_id` names. Raises ValueError with the remedy if it, or what it needs, is not there."""
    name = env_id.partition("/")[2]
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{env_id!r}: wanted pettingzoo/<module>, as in pettingzoo/{LISTED[-1]}")
    if importlib.util.find_spec("pettingzoo") is None:
        raise ValueError(f"{env_id}: PettingZoo is not installed: {REMEDY}")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # it would print into what a command prints
    for path in (f"pettingzoo.{name}", name):
        try:
            found = importlib.util.find_spec(path) is not None
        except ImportError:  # a parent package is not there, or not a package
            found = False
        if found:
            break
    else:
        raise ValueError(
            f"{env_id}: there is no module {name} and no pettingzoo.{name}; is its package installed? "
            f"pip install {name.partition('.')[0]}"
        )
    try:
        module = importlib.import_module(path)
    except ImportError as error:
        raise ValueError(f"{env_id}: {path} cannot be imported: {error}; install what it needs with pip") from None
    if not callable(getattr(module, "parallel_env", None)):
        raise ValueError(f"{env_id}: {path} has no parallel_env: only PettingZoo's parallel environments can be played")
    return module


def _has_state(env: Any) -> bool:
    try:
        env.state()
    except (NotImplementedError, AttributeError, TypeError):  # the ways in which environments have none
        return False
    return True


def _flat_size(env_id: str, space: Any) -> int:
    from gymnasium.spaces.utils import flatdim

    try:
        size = flatdim(space)
    except (NotImplementedError, ValueError) as error:
        raise ValueError(f"{env_id}: observations {space} have no fixed size: {error}") from None
    if not math.isfinite(size) or size < 1:
        raise ValueError(f"{env_id}: observations {space} are empty")
    return size


def _version(module: ModuleType) -> str:
    """ "mpe2 1.1.1", or PettingZoo's own for a module without a distribution of its name."""
    package = module.__name__.partition(".")[0]
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"pettingzoo {metadata.version('pettingzoo')}"
