"""Every element of observation, state and legal actions, worked out by hand on staged battles of four maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from powqmix.envs.skirmish import Skirmish
from powqmix.envs.skirmish_units import UNIT_TYPES

from .skirmish_scenes import FIRST, STOP, Unit, battle, scene

Floats = list[float]


def stage(name: str, units: list[Unit], **options: Any) -> Skirmish:
    """The map `name` with `units` at its first rows, in the order of ids; the others are dead."""
    env = battle(name, **options)
    table = np.zeros((env.n_units, 6), np.float32)
    kinds = [UNIT_TYPES[int(kind)] for kind in env.units(0)[:, 6]]
    free = list(range(env.n_units))
    for unit in units:
        side = [row for row in free if (row >= env.spec.n_agents) == (unit.x >= 16) and kinds[row] == unit.kind]
        table[side[0]] = unit.row()
        free.remove(side[0])
    env.stage(0, table)
    return env


def close(got: Any, wanted: Floats) -> None:
    np.testing.assert_allclose(np.asarray(got, np.float64), wanted, atol=2e-6)


# 3m: no shields, no types. Allies stand west of x = 16, enemies east of it. -----------------------------------------

THREE = [
    Unit("marine", 14, 16, health=45, cooldown=6),
    Unit("marine", 12, 16, health=9),
    Unit("marine", 3, 16),
    Unit("marine", 20, 16, health=30),  # 6 from the first: just in shooting range
    Unit("marine", 20, 20, health=15),  # 7.2 from the first: seen only
    Unit("marine", 23, 16),  # exactly 9 from the first: not seen
]


def test_observation_of_3m() -> None:
    env = stage("3m", THREE)
    far = np.hypot(6, 4)
    close(
        env.obs[0, 0],
        [1, 1, 1, 1]  # open ground on all sides
        + [1, 6 / 9, 6 / 9, 0, 30 / 45]  # may be attacked
        + [0, far / 9, 6 / 9, 4 / 9, 15 / 45]
        + [0] * 5
        + [1, 2 / 9, -2 / 9, 0, 9 / 45]
        + [0] * 5  # 11 away
        + [1],
    )
    close(
        env.obs[0, 1],
        [1, 1, 1, 1]
        + [0, 8 / 9, 8 / 9, 0, 30 / 45]
        + [0, np.hypot(8, 4) / 9, 8 / 9, 4 / 9, 15 / 45]
        + [0] * 5
        + [1, 2 / 9, 2 / 9, 0, 1]  # the first ally
        + [0] * 5  # the third is exactly 9 away: sight is strictly below
        + [9 / 45],
    )
    close(env.obs[0, 2], [1, 1, 1, 1] + [0] * 15 + [0] * 10 + [1])


def test_state_of_3m() -> None:
    env = stage("3m", THREE)
    close(
        env.state[0],
        [1, 6 / 15, -2 / 32, 0]
        + [9 / 45, 0, -4 / 32, 0]
        + [1, 0, -13 / 32, 0]
        + [30 / 45, 4 / 32, 0]
        + [15 / 45, 4 / 32, 4 / 32]
        + [1, 7 / 32, 0]
        + [0] * 27,  # no action yet
    )
    actions = np.array([[STOP, 2, 5]], np.int32)
    env.step(actions)
    last = np.zeros((3, 9))
    last[[0, 1, 2], actions[0]] = 1
    close(env.state[0, -27:], last.ravel().tolist())


def test_legal_actions_of_3m() -> None:
    env = stage("3m", THREE)
    assert env.avail_actions[0].tolist() == [
        [0, 1, 1, 1, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 1, 1, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 0, 0, 0],
    ]


def test_dead_agent_sees_nothing_is_not_seen_and_may_only_do_nothing() -> None:
    dead = [*THREE[:1], Unit("marine", 0, 0, health=0), *THREE[2:]]
    env = battle("3m")
    env.stage(0, np.array([unit.row() for unit in dead], np.float32))
    assert not env.obs[0, 1].any()
    assert env.avail_actions[0, 1].tolist() == [1] + [0] * 8
    assert not env.obs[0, 0, 19:24].any()
    assert not env.state[0, 4:8].any()


# 2s3z: shields on both sides, two types, reversed for the enemies. --------------------------------------------------

MIXED = [
    Unit("stalker", 14, 16, health=40, shield=20, cooldown=7),
    Unit("zealot", 13, 16, health=100, shield=25, cooldown=11),
    Unit("stalker", 18, 16, health=80, shield=40),
    Unit("zealot", 19, 16, health=50, shield=0),
]


def test_observation_of_2s3z_reverses_the_types_of_enemies() -> None:
    env = stage("2s3z", MIXED)
    # Rows of enemies: stalkers first, as units are numbered; the second stalker and two zealots are dead.
    stalker = [1, 4 / 9, 4 / 9, 0, 1, 40 / 80, 0, 1]  # quirk: zealot is the first bit
    zealot = [1, 5 / 9, 5 / 9, 0, 0.5, 0, 1, 0]
    ally = [1, 1 / 9, -1 / 9, 0, 1, 25 / 50, 0, 1]
    close(
        env.obs[0, 0],
        [1, 1, 1, 1, *stalker, *[0] * 8, *zealot, *[0] * 16, *[0] * 8, *ally, *[0] * 16, *[0.5, 20 / 80, 1, 0]],
    )


def test_state_of_2s3z() -> None:
    env = stage("2s3z", MIXED)
    close(
        env.state[0],
        [0.5, 7 / 35, -2 / 32, 0, 20 / 80, 1, 0]
        + [0] * 7
        + [1, 11 / 22, -3 / 32, 0, 25 / 50, 0, 1]
        + [0] * 14
        + [1, 2 / 32, 0, 40 / 80, 0, 1]
        + [0] * 6
        + [0.5, 3 / 32, 0, 0, 1, 0]
        + [0] * 12
        + [0] * 55,
    )


def test_without_quirks_enemies_types_are_in_the_allies_order() -> None:
    env = stage("2s3z", MIXED, quirks=False)
    assert env.obs[0, 0, 10:12].tolist() == [1, 0]


# MMM2: three types and a medivac, which heals where others attack. --------------------------------------------------

HEALERS = [
    Unit("marauder", 12, 16, health=100),
    Unit("marine", 13, 18),
    Unit("marine", 6, 16, health=20),
    Unit("medivac", 14, 16, energy=80),
    Unit("marine", 17, 16),
    Unit("medivac", 21, 16, health=75),
]


def test_state_of_MMM2_shows_a_medivacs_energy_in_place_of_a_cooldown() -> None:
    env = stage("MMM2", HEALERS)
    rows = env.state[0, : 10 * 7].reshape(10, 7)
    close(rows[0], [100 / 125, 0, -4 / 32, 0, 1, 0, 0])
    close(rows[2], [1, 0, -3 / 32, 2 / 32, 0, 1, 0])
    close(rows[9], [1, 80 / 200, -2 / 32, 0, 0, 0, 1])
    enemies = env.state[0, 70 : 70 + 12 * 6].reshape(12, 6)
    close(enemies[3], [1, 1 / 32, 0, 0, 1, 0])
    close(enemies[11], [0.5, 5 / 32, 0, 0, 0, 1])


def test_medivac_may_heal_allies_in_range_but_no_medivac_and_no_enemy() -> None:
    env = stage("MMM2", HEALERS)
    heals = env.avail_actions[0, 9, FIRST:]
    # ids 0-1 marauders, 2-8 marines, 9 itself; the third marine (id 3) stands 8 away
    assert heals.tolist() == [1, 0, 1] + [0] * 9
    assert env.avail_actions[0, 0, FIRST:].tolist() == [0] * 3 + [1] + [0] * 8  # the marine at 5, not the medivac at 9


def test_medivacs_attack_bits_are_its_heal_bits_by_number_only_with_quirks() -> None:
    # Its row for enemy k shows whether it may heal ally k. Enemy 3 (a marine, at 3) is not healed: bit 0.
    for quirks in (True, False):
        env = stage("MMM2", [*HEALERS, Unit("marauder", 16.5, 16)], quirks=quirks)  # enemy 0
        rows = env.obs[0, 9, 4 : 4 + 12 * 8].reshape(12, 8)
        assert rows[0, 0] == (1 if quirks else 0)  # ally 0 may be healed
        assert rows[3, 0] == 0
        assert rows[0, 1] > 0


# corridor: shields on one side only, walls. -------------------------------------------------------------------------


def test_observation_and_state_of_corridor() -> None:
    env = battle("corridor")
    table = np.zeros((30, 6), np.float32)
    table[0] = Unit("zealot", 2.5, 2.5, health=60, shield=30, cooldown=22).row()
    table[6] = Unit("zergling", 4, 4.5, health=7).row()
    table[29] = Unit("zergling", 4.5, 5, cooldown=5).row()
    env.stage(0, table)
    obs = env.obs[0, 0]
    # In the south-west corner of the first room: nothing is open to the south and to the west.
    assert obs[:4].tolist() == env.avail_actions[0, 0, 2:6].tolist() == [1, 0, 1, 0]
    near, far = np.hypot(1.5, 2), np.hypot(2, 2.5)
    close(obs[4:9], [1, near / 9, 1.5 / 9, 2 / 9, 7 / 35])
    assert not obs[9 : 4 + 23 * 5].any()
    close(obs[4 + 23 * 5 : 4 + 24 * 5], [1, far / 9, 2 / 9, 2.5 / 9, 1])
    assert not obs[124:-2].any()
    close(obs[-2:], [60 / 100, 30 / 50])
    close(env.state[0, :5], [0.6, 1, -13.5 / 32, -13.5 / 32, 30 / 50])
    close(env.state[0, 30:33], [0.2, -12 / 32, -11.5 / 32])
    close(env.state[0, 30 + 23 * 3 : 33 + 23 * 3], [1, -11.5 / 32, -11 / 32])
    assert not env.state[0, 33 : 30 + 23 * 3].any()


# Options ------------------------------------------------------------------------------------------------------------


def test_pathing_grid_lists_eight_cells_around_outside_counting_as_open() -> None:
    env = stage(
        "3m", [Unit("marine", 1.5, 9.5), Unit("marine", 20, 16)], obs_pathing_grid=True, obs_terrain_height=True
    )
    # Cell (1, 9). N (1, 13), S (1, 5) wall, E (5, 9), W (-3, 9) outside, NE (3, 11), SW (-1, 7) outside,
    # SE (3, 7) wall, NW (-1, 11) outside.
    assert env.obs[0, 0, 4:12].tolist() == [1, 0, 1, 1, 1, 1, 0, 1]
    assert env.obs[0, 0, 12:21].tolist() == [0.25, 0, 0.25, 1, 0.25, 1, 0, 1, 0.25]


def test_timesteps_and_allies_last_actions() -> None:
    options = {"obs_timestep_number": True, "state_timestep_number": True, "obs_last_action": True}
    env = stage("3m", THREE, **options)
    env.step(np.array([[4, 5, 3]], np.int32))
    assert env.obs[0, :, -1].tolist() == pytest.approx([1 / 60] * 3)
    assert env.state[0, -1] == pytest.approx(1 / 60)
    row = env.obs[0, 0, 4 + 15 : 4 + 15 + 14]  # ally 1 as agent 0 sees it
    assert row[5:].tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert not env.obs[0, 0, 4 + 15 + 14 : 4 + 15 + 28].any()  # ally 2 is not seen, nor what it did


def test_cone_sight_sees_only_what_lies_ahead() -> None:
    enemies = [Unit("marine", 20, 16), Unit("marine", 12, 16)]
    for cone in (False, True):
        s = scene([Unit("marine", 16, 16)], enemies, cone_sight=cone)
        s.act(2)  # walks north
        assert s.env.obs[0, 0, [5, 10]].astype(bool).tolist() == [not cone, not cone]
        s.act(4)  # walks east
        assert s.env.obs[0, 0, [5, 10]].astype(bool).tolist() == [True, not cone]
