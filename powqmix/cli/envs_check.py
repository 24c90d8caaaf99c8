"""`powqmix envs check ID`: whether an environment keeps what BatchedEnv promises, and how hard a skirmish map is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

import numpy as np
import tyro

from powqmix import envs
from powqmix.envs import BatchedEnv
from powqmix.envs.matrix import MatrixGame
from powqmix.envs.skirmish import Options, Skirmish
from powqmix.envs.skirmish_gates import SYMMETRIC, measure

from . import flags as command_line
from .errors import CommandError
from .flags import Assignments, Switch, env_options
from .output import print_json, print_table

_ARRAYS = ("obs", "state", "avail_actions", "reward", "terminated", "truncated", "battle_won")


@dataclass(frozen=True)
class Flags:
    """Plays an environment at random and says whether it keeps its promises; for skirmish also how hard the map is.

    Exits with 1 if a promise is broken. Example:
        powqmix envs check skirmish/MMM2 --set env.profile=void
    """

    id: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ID")]
    """The environment."""
    assignments: Assignments = ()
    """its options, as in --set env.punishment=-3"""
    steps: int = 300
    """Steps of each random play."""
    episodes: int = 256
    """Episodes of each fixed policy on a skirmish map."""
    json: Switch = False
    """Print one JSON object."""


@dataclass(frozen=True)
class Result:
    """One check: what was looked at, what was seen, and whether it is as it should be (None: only told)."""

    what: str
    seen: str
    kept: bool | None


def parse(arguments: Sequence[str]) -> Flags:
    return command_line.parse(Flags, "envs check", arguments)


def run(flags: Flags) -> int:
    for name in ("steps", "episodes"):
        if getattr(flags, name) < 1:
            raise CommandError(f"--{name} must be at least 1, got {getattr(flags, name)}", 2)
    options = env_options(flags.assignments)

    def make(num_envs: int, num_threads: int = 1, first_env: int = 0) -> BatchedEnv:
        return envs.make(flags.id, num_envs, seed=1, num_threads=num_threads, first_env=first_env, **options)

    try:
        results = list(check(make, flags.steps, flags.episodes))
    except ValueError as error:
        raise CommandError(str(error), 2) from None
    broken = [result for result in results if result.kept is False]
    if flags.json:
        print_json({"id": flags.id, "kept": not broken, "checks": [vars(result) for result in results]})
    else:
        print_table(
            ("check", "seen", ""),
            [(r.what, r.seen, {True: "kept", False: "BROKEN", None: ""}[r.kept]) for r in results],
        )
    return 1 if broken else 0


def check(make: Callable[..., BatchedEnv], steps: int, episodes: int) -> Iterator[Result]:
    """All checks of an environment, of which `make(num_envs, num_threads, first_env)` builds batches."""
    env = make(4)
    try:
        yield from _promises(env, make, steps)
        if isinstance(env, MatrixGame):
            yield _payoffs(env)
        if isinstance(env, Skirmish):
            yield from _gates(env, episodes)
    finally:
        env.close()


def _legal_at_random(env: BatchedEnv, generator: np.random.Generator) -> Any:
    chances = (1 - generator.random(env.avail_actions.shape)) * env.avail_actions  # (0, 1] where legal
    return chances.argmax(-1).astype(np.int32)


def _promises(env: BatchedEnv, make: Callable[..., BatchedEnv], steps: int) -> Iterator[Result]:
    """Random play of one batch, of its last environment alone, and of the same batch on two threads."""
    last = env.num_envs - 1
    alone, threaded = make(1, 1, last), make(env.num_envs, 2, 0)
    generator = np.random.default_rng(0)
    for each in (env, alone, threaded):
        each.reset()
    finite = legal = apart = same = exclusive = True
    longest, length, ends = 0, np.zeros(env.num_envs, np.int64), 0
    try:
        for _ in range(steps):
            finite &= bool(
                np.isfinite(env.obs).all() and np.isfinite(env.state).all() and np.isfinite(env.reward).all()
            )
            legal &= bool(env.avail_actions.any(-1).all())
            actions = _legal_at_random(env, generator)
            env.step(actions)
            alone.step(actions[last:].copy())
            threaded.step(actions)
            for name in _ARRAYS:
                mine = getattr(env, name)
                apart &= np.array_equal(mine[last:], getattr(alone, name))
                same &= np.array_equal(mine, getattr(threaded, name))
            exclusive &= not (env.terminated & env.truncated).any()
            length += 1
            over = (env.terminated | env.truncated) != 0
            longest = max(longest, int(length.max()))
            ends += int(over.sum())
            length[over] = 0
        refused = _refuses(env)
    finally:
        alone.close()
        threaded.close()
    limit = env.spec.episode_limit
    yield Result("observations, states and rewards are finite", f"{steps} steps of {env.num_envs} environments", finite)
    yield Result("every agent always has a legal action", f"{steps} steps", legal)
    yield Result("an environment does the same in a batch and alone", f"number {last}", apart)
    yield Result("threads change nothing", "1 and 2", same)
    yield Result("episodes end within their limit", f"{ends} ended, longest {longest}, limit {limit}", longest <= limit)
    yield Result("an end is terminated or truncated, not both", f"{ends} ended", exclusive)
    yield Result("an action that does not exist is refused", f"action {env.spec.n_actions}", refused)


def _refuses(env: BatchedEnv) -> bool:
    before = env.obs.copy()
    try:
        env.step(np.full((env.num_envs, env.spec.n_agents), env.spec.n_actions, np.int32))
    except ValueError:
        return np.array_equal(before, env.obs)
    return False


def _payoffs(env: MatrixGame) -> Result:
    """Whether every joint action pays its entry."""
    wrong = 0
    joint = list(product(range(env.spec.n_actions), repeat=env.spec.n_agents))
    for actions in joint:
        env.step(np.tile(np.array(actions, np.int32), (env.num_envs, 1)))
        wrong += bool((env.reward != np.float32(env.payoff[actions])).any())
    return Result("every joint action pays its entry", f"{len(joint)} joint actions, {wrong} wrong", wrong == 0)


def _gates(env: Skirmish, episodes: int) -> Iterator[Result]:
    """How fixed policies do on this map. Only the symmetric battle has a right answer: half."""
    name = env.spec.id.partition("/")[2]
    options = vars(env.options)
    symmetric = name in SYMMETRIC and not env.options.map_file
    for policy in ("random", "nearest", "weakest", *(["mirror"] if symmetric else [])):
        got = measure(name, policy, episodes, 64, 1, Options(**options | {"mirror": policy == "mirror"}))
        seen = f"{100 * got['win_rate']:.1f} % of {got['episodes']} won, return {got['return_mean']:.1f}"
        if policy != "mirror":
            yield Result(f"agents play {policy}", seen, None)
            continue
        # Draws count half; 5 %, and three standard errors of so many episodes.
        share = got["win_rate"] + got["draw_rate"] / 2
        allowed = 0.05 + 1.5 / got["episodes"] ** 0.5
        yield Result("the computer against itself wins half", seen, abs(share - 0.5) <= allowed)
