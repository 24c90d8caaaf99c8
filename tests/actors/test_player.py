"""A failing environment costs its open episodes, is built anew, and ends the actor only if it always fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from powqmix.actors.player import FAILURES_IN_A_ROW, EnvironmentFailed, Player
from powqmix.types import PolicySpec, episode_schema

SPEC = PolicySpec(n_agents=3, n_actions=5, obs_size=7, hidden_size=8, use_last_action=True, use_agent_id=False)
MakeEnv = Callable[..., Any]


def make_player(toy_env: MakeEnv, fail_at: Callable[[int], int], lines: list[str]) -> Player:
    """A player whose `attempt`-th environment fails at its step fail_at(attempt)."""

    def make(attempt: int) -> Any:
        env = toy_env(3, seed=attempt)
        env.fail_at = fail_at(attempt)
        env.close = lambda: lines.append("closed")
        return env

    player = Player(make, SPEC, episode_schema(toy_env(1).spec), 0, lines.append)
    player.set_parameters(np.zeros(SPEC.parameter_count, np.float32), 9)
    return player


def forever(player: Player) -> None:
    while True:
        player.advance(0.5, until=1)


def test_a_failure_is_counted_and_play_goes_on_with_the_same_parameters(toy_env: MakeEnv) -> None:
    lines: list[str] = []
    player = make_player(toy_env, lambda attempt: 40 if attempt == 0 else -1, lines)
    episodes = []
    while player.env_steps < 3 * 80:
        episodes += player.advance(0.5, until=1)
    assert player.aborted in (1, 2, 3)  # those that had steps when it failed
    assert {e.parameter_version for e in episodes} == {9}
    assert all(e.terminated or e.truncated for e in episodes)
    assert lines[0].startswith("environment failed (ConnectionError: the game went away)")
    assert lines[1] == "closed"
    assert sum(e.steps for e in episodes) < player.env_steps


def test_failures_with_episodes_between_them_never_end_the_actor(toy_env: MakeEnv) -> None:
    player = make_player(toy_env, lambda attempt: 30, [])
    for _ in range(20 * FAILURES_IN_A_ROW):
        player.advance(0.5)
    assert player.aborted > FAILURES_IN_A_ROW


def test_an_environment_that_always_fails_ends_the_actor_with_its_error(toy_env: MakeEnv) -> None:
    player = make_player(toy_env, lambda attempt: 1, [])
    with pytest.raises(
        EnvironmentFailed, match="failed 5 times in a row, last with ConnectionError: the game went away"
    ):
        forever(player)
    assert player.aborted == 0  # no episode had a step


def test_an_environment_that_cannot_be_rebuilt_ends_the_actor(toy_env: MakeEnv) -> None:
    def make(attempt: int) -> Any:
        if attempt > 0:
            raise OSError("no such game")
        env = toy_env(2)
        env.fail_at = 3
        env.close = lambda: None
        return env

    player = Player(make, SPEC, episode_schema(toy_env(1).spec), 0, lambda text: None)
    player.set_parameters(np.zeros(SPEC.parameter_count, np.float32), 0)
    with pytest.raises(EnvironmentFailed, match="OSError: no such game"):
        forever(player)


def test_close_counts_open_episodes_as_aborted(toy_env: MakeEnv) -> None:
    player = make_player(toy_env, lambda attempt: -1, [])
    player.advance(0.5, until=1)
    player.close()
    assert player.aborted >= 2
