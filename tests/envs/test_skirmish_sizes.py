"""Sizes of all 23 maps, and of what options add, as SMAC reports them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from powqmix import envs

# Agents, actions, observation, state, episode limit.
SIZES: dict[str, tuple[int, int, int, int, int]] = {
    "3m": (3, 9, 30, 48, 60),
    "8m": (8, 14, 80, 168, 120),
    "25m": (25, 31, 250, 950, 150),
    "5m_vs_6m": (5, 12, 55, 98, 70),
    "8m_vs_9m": (8, 15, 85, 179, 120),
    "10m_vs_11m": (10, 17, 105, 243, 150),
    "27m_vs_30m": (27, 36, 285, 1170, 180),
    "MMM": (10, 16, 160, 290, 150),
    "MMM2": (10, 18, 176, 322, 180),
    "2s3z": (5, 11, 80, 120, 120),
    "3s5z": (8, 14, 128, 216, 150),
    "3s5z_vs_3s6z": (8, 15, 136, 230, 170),
    "3s_vs_3z": (3, 9, 36, 54, 150),
    "3s_vs_4z": (3, 10, 42, 61, 200),
    "3s_vs_5z": (3, 11, 48, 68, 250),
    "1c3s5z": (9, 15, 162, 270, 180),
    "2m_vs_1z": (2, 7, 16, 26, 150),
    "corridor": (6, 30, 156, 282, 400),
    "6h_vs_8z": (6, 14, 78, 140, 150),
    "2s_vs_1sc": (2, 7, 17, 27, 300),
    "so_many_baneling": (7, 38, 202, 397, 100),
    "bane_vs_bane": (24, 30, 336, 984, 200),
    "2c_vs_64zg": (2, 70, 332, 342, 400),
}


def test_there_are_exactly_the_23_maps_of_smac_and_the_generated_ones() -> None:
    ids = [env_id for env_id in envs.registered() if env_id.startswith("skirmish/")]
    assert {env_id.removeprefix("skirmish/") for env_id in ids if "10gen" not in env_id} == set(SIZES)
    assert len(ids) == 23 + 15


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_those_of_smac(name: str) -> None:
    spec = envs.spec(f"skirmish/{name}")
    sizes = (spec.n_agents, spec.n_actions, spec.obs_size, spec.state_size, spec.episode_limit)
    assert sizes == SIZES[name]
    assert spec.id == f"skirmish/{name}"
    assert spec.version == "skirmish v2"
    assert spec.has_win


@pytest.mark.parametrize(
    "options, obs, state",
    [
        ({"obs_last_action": True}, 4 * 11, 0),  # an action's one-hot in each of four allies' rows
        ({"obs_pathing_grid": True}, 8, 0),
        ({"obs_terrain_height": True}, 9, 0),
        ({"obs_timestep_number": True}, 1, 0),
        ({"state_timestep_number": True}, 0, 1),
        ({"state_last_action": False}, 0, -5 * 11),
        ({"obs_instead_of_state": True}, 0, 5 * 80 - 120),
        ({"obs_instead_of_state": True, "obs_timestep_number": True}, 1, 5 * 81 - 120),
    ],
)
def test_options_change_sizes_as_in_smac(options: dict[str, Any], obs: int, state: int) -> None:
    spec = envs.spec("skirmish/2s3z", **options)
    assert (spec.obs_size, spec.state_size) == (80 + obs, 120 + state)
    env = envs.make("skirmish/2s3z", 2, **options)
    env.reset()
    assert env.obs.shape == (2, 5, spec.obs_size)
    assert env.state.shape == (2, spec.state_size)
    if options.get("obs_instead_of_state"):
        np.testing.assert_array_equal(env.state.reshape(env.obs.shape), env.obs)


@pytest.mark.parametrize("size", ["1v1", "5v5", "10v11", "20v23"])
@pytest.mark.parametrize("race, bits, shields", [("terran", 3, 0), ("protoss", 3, 1), ("zerg", 3, 0)])
def test_generated_maps_have_sizes_by_the_same_formula(race: str, bits: int, shields: int, size: str) -> None:
    agents, enemies = map(int, size.split("v"))
    spec = envs.spec(f"skirmish/10gen_{race}_{size}")
    row = 5 + shields + bits
    assert spec.n_agents == agents
    assert spec.n_actions == 6 + enemies
    assert spec.obs_size == 4 + (enemies + agents - 1) * row + 1 + shields + bits
    assert spec.state_size == agents * (row - 1) + enemies * (row - 2) + agents * (6 + enemies)
