"""PettingZoo's environments behind the door of all others; numbers worked out by hand on the relay beside."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from powqmix import envs
from powqmix.envs import pettingzoo as adapter

needs_pettingzoo = pytest.mark.skipif(
    importlib.util.find_spec("pettingzoo") is None, reason='PettingZoo is not installed: pip install "powqmix[test]"'
)
needs_mpe = pytest.mark.skipif(
    importlib.util.find_spec("mpe2") is None, reason='mpe2 is not installed: pip install "powqmix[test]"'
)
RELAY = "pettingzoo/tests.envs.pettingzoo_relay"
GENERATED = "pettingzoo/test.example_envs.generated_agents_parallel_v0"  # its agents come and go
SPREAD = "pettingzoo/mpe2.simple_spread_v3"


def play(num_envs: int = 1, seed: int = 0, first_env: int = 0, episode_limit: int = 0, **arguments: Any) -> Any:
    env = envs.make(
        RELAY, num_envs, seed=seed, first_env=first_env, episode_limit=episode_limit, arguments=arguments or None
    )
    env.reset()
    return env


def acting(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int32)


@needs_pettingzoo
def test_sizes_are_those_of_the_widest_agent() -> None:
    spec = play().spec
    assert (spec.n_agents, spec.n_actions, spec.obs_size, spec.state_size, spec.episode_limit) == (2, 3, 4, 8, 4)
    assert spec.version.startswith("pettingzoo ")
    assert not spec.has_win


@needs_pettingzoo
def test_views_are_flat_and_padded_and_masks_become_legal_actions() -> None:
    env = play()
    drawn = env.obs[0, 0, 1]
    np.testing.assert_array_equal(env.obs[0], [[0, drawn, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(env.state[0], env.obs[0].ravel())  # it has no state of its own
    np.testing.assert_array_equal(env.avail_actions[0], [[1, 1, 0], [1, 1, 1]])
    env.step(acting([1, 2]))
    np.testing.assert_array_equal(env.obs[0], [[1, drawn, 0, 0], [0, 1, 0, 0]])
    np.testing.assert_array_equal(env.avail_actions[0], [[1, 1, 0], [0, 1, 0]])
    assert env.reward[0] == 6 + 2  # actions of `first` are numbered from 5


@needs_pettingzoo
@pytest.mark.parametrize("ends", [True, False])
def test_last_step_is_kept_and_the_next_episode_shown(ends: bool) -> None:
    env = play(max_cycles=2, ends=ends)
    first = env.obs[0, 0, 1]
    env.step(acting([0, 0]))
    assert not env.terminated[0]
    assert not env.truncated[0]
    env.step(acting([0, 1]))
    assert (env.terminated[0], env.truncated[0]) == (ends, not ends)
    # Who was cut off still sees, for the bootstrap; who is done sees nothing.
    np.testing.assert_array_equal(env.final_obs[0, 0], [0, 0, 0, 0] if ends else [2, first, 0, 0])
    np.testing.assert_array_equal(env.final_state[0], env.final_obs[0].ravel())
    np.testing.assert_array_equal(env.final_avail_actions[0, 1], [1, 0, 0] if ends else [1, 1, 1])
    assert env.obs[0, 0, 0] == 0
    assert env.avail_actions[0].tolist() == [[1, 1, 0], [1, 1, 1]]


@needs_pettingzoo
def test_agent_that_left_sees_nothing_and_does_nothing() -> None:
    env = play(leaves=True)
    env.step(acting([0, 0]))
    env.step(acting([0, 1]))
    np.testing.assert_array_equal(env.obs[0, 0], 0)
    np.testing.assert_array_equal(env.avail_actions[0, 0], [1, 0, 0])
    with pytest.raises(ValueError, match="env 0, agent 0: action 1 is not legal now; legal: 0"):
        env.step(acting([1, 0]))
    env.step(acting([0, 2]))
    assert env.reward[0] == 2  # of the one that is left
    env.step(acting([0, 1]))
    assert env.truncated[0]
    env.step(acting([1, 0]))  # in the next episode it is back
    assert env.reward[0] == 6


@needs_pettingzoo
def test_limit_of_ones_own_truncates() -> None:
    env = play(episode_limit=1)
    assert env.spec.episode_limit == 1
    env.step(acting([0, 0]))
    assert env.truncated[0]
    assert env.final_obs[0, 0, 0] == 1


@needs_pettingzoo
def test_seeds_depend_on_env_index_and_episode_alone() -> None:
    batch = play(3, seed=5, first_env=2, max_cycles=1)
    alone = play(1, seed=5, first_env=3, max_cycles=1)
    for _ in range(5):
        batch.step(np.zeros((3, 2), np.int32))
        alone.step(np.zeros((1, 2), np.int32))
        np.testing.assert_array_equal(batch.obs[1], alone.obs[0])
    seeds = [tuple(game._env.seeds[1:]) for game in batch._games]  # the first reset of all asks for the sizes
    assert len(set(sum(seeds, ()))) == 3 * 6
    assert seeds[1] == tuple(alone._games[0]._env.seeds[1:])


@needs_pettingzoo
@needs_mpe
def test_real_environment_plays_on_and_repeats_itself() -> None:
    one, other = (envs.make(SPREAD, 2, seed=1, first_env=first) for first in (0, 1))
    assert one.spec.n_agents == 3
    assert one.spec.state_size == 3 * one.spec.obs_size
    one.reset()
    other.reset()
    generator = np.random.default_rng(0)
    ends = 0
    for _ in range(60):
        actions = generator.integers(0, one.spec.n_actions, (2, 3), dtype=np.int32)
        one.step(actions)
        other.step(actions[::-1].copy())
        np.testing.assert_array_equal(one.obs[1], other.obs[0])
        assert one.reward[1] == other.reward[0]
        assert np.isfinite(one.obs).all()
        assert one.reward[0] < 0  # distances to landmarks
        ends += int(one.truncated.sum())
    assert ends == 2 * (60 // 25)
    one.close()
    other.close()


@needs_pettingzoo
@pytest.mark.parametrize(
    "env_id, options, message",
    [
        ("pettingzoo/", {}, "wanted pettingzoo/<module>"),
        ("pettingzoo/nowhere.game_v0", {}, "is its package installed.*pip install nowhere"),
        ("pettingzoo/math", {}, "math has no parallel_env"),
        (GENERATED, {}, "names no possible_agents"),
        (RELAY, {"arguments": {"cycles": 3}}, "does not take these arguments.*cycles"),
        (RELAY, {"arguments": 3}, "arguments must be a mapping"),
        (RELAY, {"episode_limit": -1}, "episode_limit must be at least 0"),
        (RELAY, {"arguments": {"max_cycles": None}}, "env.episode_limit=STEPS"),
    ],
)
def test_what_cannot_be_played_says_why(env_id: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make(env_id, **options)


@needs_pettingzoo
@needs_mpe
def test_actions_that_are_not_discrete_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"actions must be discrete.*env\.arguments"):
        envs.make(SPREAD, arguments={"continuous_actions": True})


def test_without_pettingzoo_the_error_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "powqmix\[pettingzoo\]"'):
        envs.spec(SPREAD)
