"""What every native environment promises: independence of batch and threads, auto-reset, saved states, refusals."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix import envs
from powqmix.envs.native import NativeEnv

ARRAYS = ("obs", "state", "avail_actions", "reward", "terminated", "truncated", "battle_won")
FINAL = ("final_obs", "final_state", "final_avail_actions")
GAMES: list[tuple[str, dict[str, Any]]] = [
    ("matrix/powqmix", {"episode_limit": 3}),
    ("predator_prey", {"grid": 4, "n_agents": 3, "n_prey": 2, "sight": 1, "episode_limit": 7}),
    ("predator_prey", {}),
    ("skirmish/3m", {"spawn_jitter": 0.5}),
    ("skirmish/10gen_zerg_3v4", {}),
]
games = pytest.mark.parametrize("env_id, options", GAMES)


def make(env_id: str, num_envs: int = 1, **arguments: Any) -> NativeEnv:
    env = envs.make(env_id, num_envs, **arguments)
    assert isinstance(env, NativeEnv)
    return env


def snapshot(env: NativeEnv) -> dict[str, npt.NDArray[Any]]:
    return {name: getattr(env, name).copy() for name in ARRAYS + FINAL}


def same(one: dict[str, npt.NDArray[Any]], other: dict[str, npt.NDArray[Any]]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


@games
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), num_envs=st.integers(1, 9), steps=st.integers(1, 25))
def test_env_of_a_batch_does_what_it_does_alone(
    env_id: str, options: dict[str, Any], seed: int, num_envs: int, steps: int
) -> None:
    batch = make(env_id, num_envs, seed=seed, first_env=5, **options)
    alone = [make(env_id, 1, seed=seed, first_env=5 + e, **options) for e in range(num_envs)]
    for env in (batch, *alone):
        env.reset()
    for step in range(steps):
        actions = batch.random_actions(seed, step)
        for e, env in enumerate(alone):
            # The random policy, too, is a function of the env's index in the run.
            np.testing.assert_array_equal(env.random_actions(seed, step), actions[e : e + 1])
            env.step(actions[e : e + 1])
        batch.step(actions)
        for name in ARRAYS + FINAL:
            np.testing.assert_array_equal(
                getattr(batch, name), np.concatenate([getattr(env, name) for env in alone]), err_msg=name
            )


FORKED = """
import os, sys
import numpy as np
from powqmix import envs

env = envs.make("predator_prey", 8, seed=3, num_threads=4)
env.reset()
env.step(env.random_actions(1, 0))  # the threads have begun
child = os.fork()
for step in range(1, 50):
    env.step(env.random_actions(1, step))
if child == 0:
    assert len(os.listdir("/proc/self/task")) > 1
    env.state.tofile(sys.argv[1])
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
np.testing.assert_array_equal(np.fromfile(sys.argv[1], np.float32), env.state.ravel())
"""


def test_forked_child_plays_on_with_threads_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKED, str(tmp_path / "state")]
    subprocess.run(command, check=True, timeout=60)


@games
@pytest.mark.parametrize("num_threads", [2, 3, 16])
def test_number_of_threads_changes_nothing(env_id: str, options: dict[str, Any], num_threads: int) -> None:
    one = make(env_id, 11, seed=3, num_threads=1, **options)
    many = make(env_id, 11, seed=3, num_threads=num_threads, **options)
    one.reset()
    many.reset()
    for step in range(60):
        actions = one.random_actions(1, step)
        one.step(actions)
        many.step(actions)
        assert same(snapshot(one), snapshot(many)), step


def test_seeds_and_env_indices_give_different_episodes() -> None:
    boards = set()
    for seed in range(4):
        env = make("predator_prey", 8, seed=seed)
        for _ in range(3):  # episodes
            env.reset()
            boards |= {env.state[e].tobytes() for e in range(8)}
    assert len(boards) == 4 * 8 * 3


@games
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), before=st.integers(0, 30), after=st.integers(1, 30))
def test_saved_state_replays_identically_in_any_environment(
    env_id: str, options: dict[str, Any], seed: int, before: int, after: int
) -> None:
    env = make(env_id, 3, seed=seed, **options)
    env.reset()
    for step in range(before):
        env.step(env.random_actions(9, step))
    saved = [env.get_state(e) for e in range(3)]
    # Another seed, size and order: the state carries what its future depends on.
    other = make(env_id, 5, seed=seed + 1, first_env=77, **options)
    other.reset()
    order = [4, 0, 2]
    for e, at in enumerate(order):
        other.set_state(at, saved[e])
        assert other.get_state(at) == saved[e]
    for name in ("obs", "state", "avail_actions"):
        np.testing.assert_array_equal(getattr(env, name), getattr(other, name)[order])
    for step in range(after):
        actions = env.random_actions(5, step)
        filled = other.random_actions(0, step)
        filled[order] = actions
        env.step(actions)
        other.step(filled)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(env, name), getattr(other, name)[order], err_msg=name)


@games
def test_set_state_works_before_the_first_reset(env_id: str, options: dict[str, Any]) -> None:
    env = make(env_id, 1, seed=1, **options)
    env.reset()
    fresh = make(env_id, 1, seed=2, **options)
    fresh.set_state(0, env.get_state(0))
    actions = env.random_actions(0, 0)
    env.step(actions)
    fresh.step(actions)
    assert same({name: getattr(env, name) for name in ARRAYS}, {name: getattr(fresh, name) for name in ARRAYS})


@games
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_hostile_state_is_refused_or_playable(env_id: str, options: dict[str, Any], data: st.DataObject) -> None:
    env = make(env_id, 2, seed=4, **options)
    env.reset()
    good = env.get_state(1)
    # Keep the fingerprint often, or nothing behind it would be reached.
    keep = data.draw(st.integers(0, len(good)))
    hostile = good[:keep] + data.draw(st.binary(max_size=len(good) + 8 - keep))
    untouched = snapshot(env)
    try:
        env.set_state(0, hostile)
    except ValueError as error:
        assert env_id in str(error)  # noqa: PT017
        assert same(untouched, snapshot(env))
    for step in range(20):
        env.step(env.random_actions(2, step))


@pytest.mark.parametrize("word", [2**31 - 1, -(2**31), -2, 100, 99])
def test_every_corrupted_word_of_a_board_is_refused_or_playable(word: int) -> None:
    env = make("predator_prey", seed=4)
    env.reset()
    good = env.get_state(0)
    for at in range(len(good) - 17 * 4, len(good), 4):
        try:
            env.set_state(0, good[:at] + word.to_bytes(4, "little", signed=True) + good[at + 4 :])
        except ValueError:
            assert env.get_state(0) == good
        env.step(env.random_actions(2, at))
        env.set_state(0, good)


def test_state_of_another_environment_is_refused() -> None:
    small, large = make("predator_prey", grid=8), make("predator_prey")
    small.reset()
    large.reset()
    with pytest.raises(ValueError, match="not a state of this environment"):
        large.set_state(0, small.get_state(0))


@games
def test_illegal_action_names_env_agent_and_action_and_changes_nothing(env_id: str, options: dict[str, Any]) -> None:
    env = make(env_id, 4, seed=2, num_threads=2, **options)
    env.reset()
    for step in range(5):
        env.step(env.random_actions(1, step))
    arrays, states = snapshot(env), [env.get_state(e) for e in range(4)]
    last = env.spec.n_agents - 1
    for action in (-1, env.spec.n_actions, 2**31 - 1, -(2**31)):
        actions = env.random_actions(1, 5)
        actions[3, last] = action
        with pytest.raises(ValueError, match=rf"env 3, agent {last}: action {action} does not exist; legal:"):
            env.step(actions)
        assert same(arrays, snapshot(env))
        assert states == [env.get_state(e) for e in range(4)]


@games
@pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 1, 1), (3, 8), (4, 9), (0, 0)])
def test_wrong_shape_of_actions_is_refused(env_id: str, options: dict[str, Any], shape: tuple[int, ...]) -> None:
    env = make(env_id, 4, **options)
    env.reset()
    with pytest.raises(ValueError, match=r"actions must be C-contiguous int32 \[4, \d\], got int32 of shape"):
        env.step(np.zeros(shape, np.int32))


@pytest.mark.parametrize("dtype", [np.int64, np.uint32, np.float32, np.bool_, object])
def test_wrong_dtype_of_actions_is_refused(dtype: Any) -> None:
    env = make("matrix/powqmix", 2)
    env.reset()
    with pytest.raises(ValueError, match=np.dtype(dtype).name):
        env.step(np.zeros((2, 2), dtype))


def test_actions_that_are_not_a_contiguous_array_are_refused() -> None:
    env = make("matrix/powqmix", 2)
    env.reset()
    for actions in (np.zeros((2, 2), np.int32).T[::-1], [[0, 0], [0, 0]], None):
        with pytest.raises(ValueError, match="C-contiguous"):
            env.step(actions)  # type: ignore[arg-type]


def test_step_before_reset_says_to_reset() -> None:
    env = make("predator_prey", 2)
    with pytest.raises(ValueError, match=r"call reset\(\) first"):
        env.step(np.full((2, 8), 4, np.int32))
    with pytest.raises(ValueError, match=r"call reset\(\) first"):
        env.get_state(0)
    with pytest.raises(ValueError, match=r"call reset\(\) first"):
        env.random_actions(0, 0)


@pytest.mark.parametrize("at", [-1, 2])
def test_env_out_of_range_is_named(at: int) -> None:
    env = make("predator_prey", 2)
    env.reset()
    state = env.get_state(0)
    with pytest.raises(ValueError, match=f"there is no env {at}"):
        env.get_state(at)
    with pytest.raises(ValueError, match=f"there is no env {at}"):
        env.set_state(at, state)


@games
def test_ended_environment_shows_its_next_episode_and_keeps_the_last_in_final(
    env_id: str, options: dict[str, Any]
) -> None:
    env = make(env_id, 3, seed=8, **options)
    env.reset()
    episodes = [0, 0, 0]
    for step in range(2 * env.spec.episode_limit + 1):
        before = snapshot(env)
        env.step(env.random_actions(0, step))
        for e in range(3):
            if not (env.terminated[e] or env.truncated[e]):
                for name in FINAL:
                    np.testing.assert_array_equal(getattr(env, name)[e], before[name][e])
                continue
            episodes[e] += 1
            fresh = make(env_id, 1, seed=8, first_env=e, **options)
            for _ in range(episodes[e] + 1):
                fresh.reset()
            assert fresh.get_state(0) == env.get_state(e)
            np.testing.assert_array_equal(fresh.obs[0], env.obs[e])
            np.testing.assert_array_equal(fresh.state[0], env.state[e])
            assert env.final_avail_actions[e].any(-1).all()
    assert min(episodes) >= 2


@games
def test_flags_never_say_terminated_and_truncated_at_once(env_id: str, options: dict[str, Any]) -> None:
    env = make(env_id, 32, seed=8, **options)
    env.reset()
    ended = 0
    for step in range(300):
        env.step(env.random_actions(0, step))
        assert not (env.terminated & env.truncated).any()
        assert (env.battle_won <= env.terminated).all()
        ended += int((env.terminated | env.truncated).sum())
    assert ended >= 32


@games
def test_arrays_are_made_once_with_the_promised_dtypes_and_shapes(env_id: str, options: dict[str, Any]) -> None:
    env = make(env_id, 3, **options)
    spec = env.spec
    shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
        "obs": (np.float32, (3, spec.n_agents, spec.obs_size)),
        "state": (np.float32, (3, spec.state_size)),
        "avail_actions": (np.uint8, (3, spec.n_agents, spec.n_actions)),
        "reward": (np.float32, (3,)),
        "terminated": (np.uint8, (3,)),
        "truncated": (np.uint8, (3,)),
        "battle_won": (np.uint8, (3,)),
    }
    shapes |= {f"final_{name}": shapes[name] for name in ("obs", "state", "avail_actions")}
    held = {name: getattr(env, name) for name in shapes}
    env.reset()
    env.step(env.random_actions(0, 0))
    for name, (dtype, shape) in shapes.items():
        array = getattr(env, name)
        assert array is held[name]
        assert (array.dtype, array.shape) == (dtype, shape)
        assert array.flags.c_contiguous
        assert not array.flags.writeable
        assert np.shares_memory(array, getattr(env.native, name))


def test_array_outlives_its_environment() -> None:
    env = make("predator_prey", 64)
    env.reset()
    state = env.state
    expected = state.copy()
    del env
    gc.collect()
    np.testing.assert_array_equal(state, expected)


def test_random_actions_are_uniform_over_the_legal_ones() -> None:
    env = make("predator_prey", 64, seed=1)
    env.reset()
    counts = np.zeros(env.avail_actions.shape)
    rounds = 2000
    for step in range(rounds):
        counts += np.eye(6)[env.random_actions(0, step)]
    share = counts / rounds
    wanted = env.avail_actions / env.avail_actions.sum(-1, keepdims=True)
    assert (share[env.avail_actions == 0] == 0).all()
    assert np.abs(share - wanted).max() < 6 * np.sqrt(0.25 / rounds)
