"""How hard a skirmish map is: what fixed policies win and earn on it, against which the simulator is calibrated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .base import Batch
from .skirmish import Options, Skirmish

POLICIES = ("random", "nearest", "weakest", "mirror")
SYMMETRIC = ("3m", "8m", "25m", "2s3z", "3s5z", "1c3s5z", "MMM", "bane_vs_bane")


def measure(name: str, policy: str, episodes: int, num_envs: int, seed: int, options: Options) -> dict[str, Any]:
    """Wins, draws (both sides dead), limits reached, returns and lengths over at least `episodes` episodes.

    `random`, `nearest` and `weakest` play the agents' actions; for `mirror`, with options.mirror, the computer plays
    both sides. Every environment plays the same number of episodes, or short battles would count more often than long
    ones.
    """
    env = Skirmish(name, options, Batch(num_envs, seed))
    env.reset()
    each = math.ceil(episodes / num_envs)
    played = np.zeros(num_envs, np.int64)
    returns = np.zeros(num_envs)
    steps = np.zeros(num_envs, np.int64)
    ended_returns: list[float] = []
    ended_steps: list[int] = []
    won = drawn = limits = 0
    while played.min() < each:
        env.step(env.scripted_actions("random" if policy == "mirror" else policy))
        returns += env.reward
        steps += 1
        for e in np.flatnonzero(env.terminated | env.truncated):
            if played[e] < each:
                won += int(env.battle_won[e])
                limits += int(env.truncated[e])
                dead = (env.dead_allies[e], env.dead_enemies[e])
                drawn += int(dead == (env.spec.n_agents, env.n_units - env.spec.n_agents))
                ended_returns.append(float(returns[e]))
                ended_steps.append(int(steps[e]))
            played[e] += 1
            returns[e] = steps[e] = 0
    total = len(ended_returns)
    return {
        "map": name, "policy": policy, "episodes": total, "win_rate": round(won / total, 4),
        "draw_rate": round(drawn / total, 4), "limit_rate": round(limits / total, 4),
        "return_mean": round(float(np.mean(ended_returns)), 3), "steps_mean": round(float(np.mean(ended_steps)), 1),
    }  # fmt: skip
