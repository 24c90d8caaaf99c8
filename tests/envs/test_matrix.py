"""Matrix games: payoffs, custom ones from lists and files, several steps."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from powqmix import envs
from powqmix.envs.matrix import MatrixGame

POWQMIX = [[8, -12, -12], [-12, 0, 0], [-12, 0, 7.9]]
WQMIX = [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]]


def make(env_id: str, num_envs: int = 1, **options: Any) -> MatrixGame:
    env = envs.make(env_id, num_envs, **options)
    assert isinstance(env, MatrixGame)
    env.reset()
    return env


@pytest.mark.parametrize("env_id, payoff", [("matrix/powqmix", POWQMIX), ("matrix/wqmix", WQMIX)])
def test_named_games_pay_the_published_tables(env_id: str, payoff: list[list[float]]) -> None:
    env = make(env_id, 9)
    actions = np.array(list(itertools.product(range(3), repeat=2)), np.int32)
    env.step(actions)
    np.testing.assert_array_equal(env.reward, np.array(payoff, np.float32).ravel())
    assert env.payoff.tolist() == payoff
    assert env.optimal_return == 8.0
    assert (env.spec.id, env.spec.episode_limit) == (env_id, 1)


def test_only_a_constant_is_seen_and_one_step_terminates() -> None:
    env = make("matrix/powqmix", 2)
    assert env.spec.obs_size == env.spec.state_size == 1
    assert not env.spec.has_win
    for _ in range(3):
        assert (env.obs == 1).all()
        assert (env.state == 1).all()
        assert (env.avail_actions == 1).all()
        env.step(np.zeros((2, 2), np.int32))
        assert env.terminated.all()
        assert not env.truncated.any()
        assert (env.final_obs == 1).all()
        assert (env.final_state == 1).all()


def test_several_steps_end_with_the_last_which_terminates() -> None:
    env = make("matrix/powqmix", episode_limit=3)
    assert env.spec.episode_limit == 3
    assert env.optimal_return == 24.0
    flags = []
    for _ in range(6):
        env.step(np.zeros((1, 2), np.int32))
        flags.append((int(env.terminated[0]), int(env.truncated[0]), float(env.reward[0])))
    assert flags == [(0, 0, 8.0), (0, 0, 8.0), (1, 0, 8.0)] * 2


@settings(max_examples=40, deadline=None)
@given(data=st.data(), n_agents=st.integers(1, 4), n_actions=st.integers(1, 4))
def test_custom_payoff_of_any_size_is_paid(data: st.DataObject, n_agents: int, n_actions: int) -> None:
    payoff = data.draw(hnp.arrays(np.float32, (n_actions,) * n_agents, elements=st.floats(-1e6, 1e6, width=32)))
    joint = np.array(list(itertools.product(range(n_actions), repeat=n_agents)), np.int32)
    env = make("matrix/custom", len(joint), payoff=payoff.tolist())
    assert (env.spec.n_agents, env.spec.n_actions) == (n_agents, n_actions)
    env.step(joint)
    np.testing.assert_array_equal(env.reward, payoff.ravel())
    np.testing.assert_array_equal(env.payoff, payoff)


def test_named_game_takes_another_payoff() -> None:
    env = make("matrix/powqmix", payoff=[[1, 2], [3, 4]])
    assert env.spec.id == "matrix/powqmix"
    assert env.optimal_return == 4.0


@pytest.mark.parametrize("name", ["payoff.json", "payoff.yaml"])
def test_payoff_is_read_from_a_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps([[1, 2], [3, 4.5]]) if name.endswith("json") else "- [1, 2]\n- [3, 4.5]\n")
    for given_path in (path, str(path)):
        assert make("matrix/custom", payoff=given_path).payoff.tolist() == [[1, 2], [3, 4.5]]


@pytest.mark.parametrize(
    "payoff, message",
    [
        ([[1, 2, 3], [4, 5, 6]], "got the shape 2 x 3"),
        ([[1, 2], [3]], "each level of one length"),
        ([["a", "b"], ["c", "d"]], "nested lists of numbers"),
        ([], "got the shape 0"),
        (3.0, "a single number"),
        ([[float("nan"), 1], [1, 1]], "finite"),
        ([[1e39, 1], [1, 1]], "finite"),
        ("absent.json", "absent.json cannot be read"),
        ({"payoff": [[1]]}, "nested lists"),
        (None, "needs a payoff"),
    ],
)
def test_unusable_payoff_says_what_was_wanted(payoff: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make("matrix/custom", payoff=payoff)


def test_broken_payoff_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("[[1, 2], [3")
    with pytest.raises(ValueError, match=r"broken\.yaml cannot be read"):
        envs.make("matrix/custom", payoff=str(path))


@pytest.mark.parametrize("limit", [0, -1])
def test_episode_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=f"episode_limit must be at least 1, got {limit}"):
        envs.make("matrix/powqmix", episode_limit=limit)
