"""Rollouts: the same episodes as a plain loop in Python, parameters swapped between episodes, rounds in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from powqmix import _C
from powqmix.actors.rollout import Rollout, policy_shape
from powqmix.types import Episode, EpisodeSchema, PolicySpec, episode_schema

SPEC = PolicySpec(n_agents=3, n_actions=5, obs_size=7, hidden_size=16, use_last_action=True, use_agent_id=True)
MakeEnv = Callable[..., Any]


def parameters(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, SPEC.parameter_count).astype(np.float32)


def start(env: Any, **options: Any) -> Rollout:
    rollout = Rollout(env, SPEC, episode_schema(env.spec), 3, **options)
    rollout.set_parameters(parameters(0), 0)
    return rollout


def assert_same(got: Episode, wanted: Episode) -> None:
    for mine, other in zip(got.frames, wanted.frames, strict=True):
        np.testing.assert_array_equal(mine.view(np.uint8), other.view(np.uint8))
    for name in ("steps", "terminated", "truncated", "battle_won", "parameter_version", "episode_return", "epsilon"):
        assert getattr(got, name) == getattr(wanted, name), name


def plain_loop(env: Any, schema: EpisodeSchema, epsilon: float, count: int) -> list[Episode]:
    """What Rollout does, written once more with lists and numpy: the oracle."""
    envs = env.num_envs
    policy = _C.Policy(policy_shape(SPEC), num_envs=envs, seed=3)
    policy.set_parameters(parameters(0), 0)
    env.reset()
    trails: list[list[list[np.ndarray]]] = [[[] for _ in range(6)] for _ in range(envs)]
    for e in range(envs):
        policy.begin(e, epsilon)
    episodes: list[Episode] = []
    while len(episodes) < count:
        for e, trail in enumerate(trails):
            for values, seen in zip(trail, (env.obs[e], env.state[e], env.avail_actions[e])):
                values.append(seen.copy())
        actions = policy.act(env.obs, env.avail_actions)
        env.step(actions)
        for e, trail in enumerate(trails):
            for values, value in zip(trail[3:], (actions[e], env.reward[e], env.terminated[e])):
                values.append(np.array(value))
            if not (env.terminated[e] or env.truncated[e]):
                continue
            for values, seen in zip(trail, (env.final_obs[e], env.final_state[e], env.final_avail_actions[e])):
                values.append(seen.copy())
            trail[2] = list(np.packbits(np.stack(trail[2]), axis=-1, bitorder="little"))
            frames = [np.stack(values).astype(field.dtype) for values, field in zip(trail, schema.fields)]
            total = float(np.sum(frames[4], dtype=np.float64))
            ends = bool(env.terminated[e]), bool(env.truncated[e])
            episodes.append(Episode(frames, len(frames[3]), *ends, total, bool(env.battle_won[e]), 0, epsilon))
            trails[e] = [[] for _ in range(6)]
            policy.begin(e, epsilon)
    return episodes


def play(rollout: Rollout, count: int, epsilon: float = 0.25, until: int | None = None) -> list[Episode]:
    episodes: list[Episode] = []
    while len(episodes) < count:
        episodes += rollout.advance(epsilon, until)
    return episodes


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_episodes_equal_those_of_a_plain_python_loop(toy_env: MakeEnv, dtype: str) -> None:
    schema = episode_schema(toy_env(4).spec, dtype)
    wanted = plain_loop(toy_env(4), schema, 0.25, 30)
    rollout = Rollout(toy_env(4), SPEC, schema, 3)
    rollout.set_parameters(parameters(0), 0)
    got = play(rollout, 30)
    assert len(got) == len(wanted)
    assert {e.terminated for e in got} == {True, False}  # both kinds of end were seen
    for mine, other in zip(got, wanted, strict=True):
        assert_same(mine, other)


def test_stopping_in_between_changes_nothing(toy_env: MakeEnv) -> None:
    whole, piecewise = play(start(toy_env(3)), 20), play(start(toy_env(3)), 20, until=1)
    for mine, other in zip(piecewise, whole, strict=True):
        assert_same(mine, other)


@pytest.mark.parametrize("several", [2, 7])
def test_several_episodes_in_a_call_are_those_of_as_many_calls(toy_env: MakeEnv, several: int) -> None:
    wanted, rollout = play(start(toy_env(3)), 30), start(toy_env(3))
    got: list[Episode] = []
    while len(got) < 20:
        episodes = rollout.advance(0.25, episodes=several)
        assert len(episodes) >= several
        got += episodes
    for mine, other in zip(got, wanted):
        assert_same(mine, other)
    with pytest.raises(ValueError, match="episodes must be at least 1"):
        rollout.advance(0.25, episodes=0)


def test_the_clock_counts_the_stages_of_every_step_and_keeps_the_first(toy_env: MakeEnv) -> None:
    rollout = start(toy_env(2))
    assert rollout.clock() == ({"policy": 0.0, "simulate": 0.0, "record": 0.0}, [])
    play(rollout, 3)
    assert not rollout.clock()[1]  # it was not started
    rollout.start_clock(max_spans=6)
    begin = time.monotonic()
    while not rollout.advance(0.25, until=1):
        pass
    play(rollout, 5)
    passed = time.monotonic() - begin
    seconds, spans = rollout.clock()
    assert all(value > 0 for value in seconds.values())
    assert sum(seconds.values()) <= passed
    assert [name for name, *_ in spans] == ["record", "policy", "simulate", "record", "record", "policy"]
    assert all(begin <= first <= last <= begin + passed for _, first, last in spans)
    assert all(before[2] <= after[1] for before, after in pairwise(spans))


def test_until_bounds_the_steps_of_a_call(toy_env: MakeEnv) -> None:
    env = toy_env(2)
    rollout = start(env)
    while env.total_steps < 50:
        before = env.total_steps
        episodes = rollout.advance(0.5, until=3)
        assert env.total_steps - before == 3 or episodes
        assert rollout.env_steps == 2 * env.total_steps
    with pytest.raises(ValueError, match="until must be at least 1"):
        rollout.advance(0.5, until=0)


def test_replaying_the_recorded_actions_gives_the_recorded_episode(toy_env: MakeEnv) -> None:
    episode = play(start(toy_env(1)), 1)[0]
    env = toy_env(1)
    env.reset()
    for t in range(episode.steps):
        np.testing.assert_array_equal(episode.frames[0][t], env.obs[0].astype(np.float16))
        env.step(episode.frames[3][t][None].astype(np.int32))
        assert episode.frames[4][t] == env.reward[0]
    np.testing.assert_array_equal(episode.frames[0][-1], env.final_obs[0].astype(np.float16))
    assert (episode.terminated, episode.truncated) == (bool(env.terminated[0]), bool(env.truncated[0]))


def test_an_environment_plays_the_same_episodes_alone_and_among_others(toy_env: MakeEnv) -> None:
    together = play(start(toy_env(5)), 40)
    for index in range(5):
        alone = play(start(toy_env(1, first_env=index), first_env=index), 3)
        for episode in alone:
            assert any(
                e.steps == episode.steps and all(np.array_equal(a, b) for a, b in zip(e.frames, episode.frames))
                for e in together
            )


def test_an_episode_is_played_with_the_parameters_it_began_with(toy_env: MakeEnv) -> None:
    rollout = start(toy_env(4))
    versions: list[int] = []
    for version in range(1, 30):
        versions += [e.parameter_version for e in rollout.advance(0.0)]
        rollout.set_parameters(parameters(version), version)
    assert versions[0] == 0
    assert max(versions) > 20
    assert len(set(versions)) > 10
    # Greedy replays of an episode with the parameters of its version, and no others, choose the recorded actions.
    episode = play(rollout, 4, epsilon=0.0)[-1]
    assert episode.parameter_version == 29
    for version, same in ((29, True), (28, False)):
        policy = _C.Policy(policy_shape(SPEC), num_envs=1, seed=0)
        policy.set_parameters(parameters(version), version)
        policy.begin(0, 0.0)
        avail = np.unpackbits(episode.frames[2], axis=-1, bitorder="little", count=5)
        obs = episode.frames[0].astype(np.float32)
        chosen = np.stack([policy.act(obs[t : t + 1], avail[t : t + 1])[0] for t in range(episode.steps)])
        assert np.array_equal(chosen, episode.frames[3]) == same


def test_a_swap_while_idle_is_used_by_the_very_next_episodes(toy_env: MakeEnv) -> None:
    rollout = start(toy_env(1))
    rollout.advance(0.5)
    rollout.set_parameters(parameters(1), 1)
    episode = rollout.advance(0.125)[0]
    assert (episode.parameter_version, episode.epsilon) == (1, 0.125)


def test_a_round_is_one_episode_of_each_environment_in_order(toy_env: MakeEnv) -> None:
    env = toy_env(6)
    rollout = start(env)
    for _ in range(5):
        first = [episode + 1 for episode in env.episodes]
        episodes = rollout.play_round(0.5)
        assert [e.frames[1][0, 0] for e in episodes] == first  # the state's first value is that env's episode count
    steps = rollout.env_steps
    assert sum(e.steps for e in rollout.play_round(0.5)) == rollout.env_steps - steps


def test_two_rounds_of_one_seed_are_identical_and_of_another_differ(toy_env: MakeEnv) -> None:
    def rounds(seed: int) -> list[Episode]:
        env = toy_env(4)
        rollout = Rollout(env, SPEC, episode_schema(env.spec), seed)
        rollout.set_parameters(parameters(0), 0)
        return [e for _ in range(3) for e in rollout.play_round(0.5)]

    first, again, other = rounds(1), rounds(1), rounds(2)
    for mine, same in zip(first, again, strict=True):
        assert_same(mine, same)
    assert any(a.frames[3].tobytes() != b.frames[3].tobytes() for a, b in zip(first, other))


def test_a_failing_environment_costs_its_open_episodes_and_the_rollout_goes_on(toy_env: MakeEnv) -> None:
    env = toy_env(3)
    rollout = start(env)
    rollout.advance(0.5, until=2)
    env.fail_at = env.total_steps + 3
    with pytest.raises(ConnectionError, match="the game went away"):
        play(rollout, 1000)
    assert rollout.abort() in (1, 2, 3)
    assert rollout.abort() == 0
    begun = list(env.episodes)
    episode = rollout.advance(0.5)[0]
    # The state's first value is the environment's episode count: this one was begun by a reset after the failure.
    assert episode.frames[1][0, 0] in {count + 1 for count in begun}


def test_an_episode_without_an_end_is_an_error(toy_env: MakeEnv) -> None:
    env = toy_env(2)
    schema = episode_schema(toy_env(2, episode_limit=4).spec)  # shorter than the environment's own
    rollout = Rollout(env, SPEC, schema, 0)
    rollout.set_parameters(parameters(0), 0)
    with pytest.raises(ValueError, match="went past its episode_limit of 4 steps without ending"):
        play(rollout, 1000)


def test_sizes_and_arrays_are_checked_at_the_door(toy_env: MakeEnv) -> None:
    env = toy_env(2)
    schema = episode_schema(env.spec)
    wrong = PolicySpec(3, 5, 8, 16, True, True)
    with pytest.raises(ValueError, match="obs_size is 8 in the policy's spec and 7 in the episode schema"):
        Rollout(env, wrong, schema, 0)
    env.state = env.state.astype(np.float64)
    with pytest.raises(ValueError, match=r"the environment's state must be .*float32 \[2, 4\], got float64 \[2, 4\]"):
        Rollout(env, SPEC, schema, 0)
    with pytest.raises(RuntimeError, match="no parameters yet"):
        Rollout(toy_env(2), SPEC, schema, 0).advance(0.0)
    with pytest.raises(ValueError, match=r"epsilon must be between 0 and 1, got 1\.5"):
        start(toy_env(2)).advance(1.5)
