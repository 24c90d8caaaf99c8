"""Ids, options and run arguments: what is found, and how wrong ones are refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from powqmix import envs
from powqmix.types import EnvSpec

OPTIONS: dict[str, dict[str, Any]] = {"matrix/custom": {"payoff": [[1.0, 0.0], [0.0, 1.0]]}}
NATIVE = [
    "matrix/custom",
    "matrix/powqmix",
    "matrix/wqmix",
    "predator_prey",
    "skirmish/3m",
    "skirmish/10gen_terran_5v5",
]


def test_all_native_environments_are_registered() -> None:
    assert set(NATIVE) <= set(envs.registered())
    assert envs.registered() == sorted(envs.registered())


@pytest.mark.parametrize("env_id", NATIVE)
def test_spec_is_that_of_the_made_environment(env_id: str) -> None:
    options = OPTIONS.get(env_id, {})
    spec = envs.spec(env_id, **options)
    assert isinstance(spec, EnvSpec)
    assert spec.id == env_id
    assert spec.version
    assert spec == envs.make(env_id, num_envs=3, **options).spec


def test_sizes_of_predator_prey_are_the_published_ones() -> None:
    spec = envs.spec("predator_prey")
    assert (spec.n_agents, spec.n_actions, spec.obs_size, spec.state_size, spec.episode_limit) == (8, 6, 75, 300, 200)
    assert not spec.has_win


@pytest.mark.parametrize(
    "wrong, near", [("matrix/powqmx", "matrix/powqmix"), ("predatorprey", "predator_prey"), ("matrix", "matrix/")]
)
def test_unknown_id_lists_near_ones_and_how_to_list_all(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=near) as error:
        envs.make(wrong)
    assert repr(wrong) in str(error.value)
    assert "powqmix envs" in str(error.value)


def test_unknown_option_lists_the_known_with_their_defaults() -> None:
    with pytest.raises(ValueError, match="no option 'punish'") as error:
        envs.make("predator_prey", punish=-3)
    assert "punishment=-2.0" in str(error.value)
    assert "grid=10" in str(error.value)


def test_options_tells_names_and_defaults() -> None:
    assert envs.options("predator_prey") == {
        "grid": 10, "n_agents": 8, "n_prey": 8, "sight": 2, "punishment": -2.0, "capture_reward": 10.0,
        "episode_limit": 200,
    }  # fmt: skip


@pytest.mark.parametrize(
    "options, name",
    [
        ({"grid": 1}, "grid must be from 2 to 64, got 1"),
        ({"grid": 3, "n_agents": 5, "n_prey": 5}, "n_agents . n_prey must be from 2 to 9, got 10"),
        ({"n_agents": 0}, "n_agents"),
        ({"n_prey": 129}, "n_prey"),
        ({"sight": -1}, "sight"),
        ({"episode_limit": 0}, "episode_limit"),
        ({"episode_limit": 10**12}, "episode_limit must be a whole number"),
        ({"punishment": float("nan")}, "punishment must be a number"),
        ({"punishment": 1e300}, "punishment"),
        ({"grid": 2.5}, "grid must be a whole number, got 2.5"),
        ({"grid": True}, "grid must be a whole number, got True"),
        ({"grid": None}, "grid must be a whole number"),
        ({"punishment": "cheap"}, "punishment must be a number, got 'cheap'"),
    ],
)
def test_value_out_of_range_is_named(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        envs.make("predator_prey", **options)


def test_numbers_written_as_text_are_read() -> None:
    env = envs.make("predator_prey", punishment="-2e0", grid="1e1")
    assert env.spec == envs.spec("predator_prey")


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_envs": 0},
        {"num_envs": 2**31},
        {"num_envs": 2.0},
        {"seed": -1},
        {"seed": 2**64},
        {"num_threads": 0},
        {"first_env": -1},
    ],
)
def test_run_argument_out_of_range_is_named(arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(ValueError, match=name):
        envs.make("matrix/powqmix", **arguments)


def test_more_threads_than_environments_is_fine() -> None:
    env = envs.make("matrix/powqmix", 2, num_threads=1000)
    env.reset()
    env.step(np.zeros((2, 2), np.int32))
    assert env.reward.tolist() == [8.0, 8.0]


def test_environments_import_no_torch() -> None:
    code = "import sys, powqmix.envs as e; e.spec('predator_prey'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
