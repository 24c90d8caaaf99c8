"""How the computer's side behaves: whom it sees, prefers and chases, and where it goes."""

from __future__ import annotations

import numpy as np
import pytest

from .skirmish_scenes import DUMMY, EAST, FIRST, STOP, WEST, Unit, battle, scene

STILL = {kind: {"speed": 0} for kind in ("marine", "stalker", "zealot", "marauder", "zergling")}


def test_enemies_attack_move_to_the_allies_start() -> None:
    env = battle("3m", spawn_jitter=0.0)
    table = env.units(0)[:, :6].copy()
    table[0, :2] = [1, 9]
    table[1:3] = 0
    env.stage(0, table)
    start = env.units(0)[3:, :2]
    for _ in range(4):
        env.step(np.array([[STOP, 0, 0]], np.int32))
    moved = env.units(0)[3:, :2] - start
    np.testing.assert_allclose(moved[:, 0], -4 * 1.125, atol=0.2)
    assert abs(moved[:, 1]).max() < 0.2


@pytest.mark.parametrize("kind, sight", [("marine", 5.0), ("stalker", 6.0), ("zealot", 5.0), ("spine_crawler", 7.0)])
def test_foe_is_seen_within_five_or_the_weapons_range_edge_to_edge(kind: str, sight: float) -> None:
    radius = {"marine": 0.375, "stalker": 0.625, "zealot": 0.5, "spine_crawler": 0.875}[kind]
    for beyond, seen in ((-0.05, True), (0.05, False)):
        s = scene([Unit("marine", 10, 16)], [Unit(kind, 10 + sight + radius + 0.375 + beyond, 16)], stats=STILL)
        s.act(STOP)
        assert (s.get(1, "target") == 0) == seen


def test_nearest_foe_is_preferred() -> None:
    s = scene([Unit("marine", 11, 16), Unit("marine", 12, 16)], [Unit("marine", 16, 16)], stats=STILL)
    s.act(STOP, STOP)
    assert s.get(2, "target") == 1


def test_armed_foe_is_preferred_to_a_nearer_unarmed_one() -> None:
    allies = [Unit("marine", 11, 16), Unit("zealot", 15, 16)]
    s = scene(allies, [Unit("marine", 16, 16)], stats={**STILL, "zealot": {"damage": 0, "speed": 0}})
    s.act(STOP, STOP)
    assert s.get(2, "target") == 0


def test_attacker_in_range_counts_as_a_unit_nearer() -> None:
    allies = [Unit("marine", 11.5, 16, cooldown=30), Unit("marine", 12, 16)]
    s = scene(allies, [Unit("marine", 16, 16)], stats=STILL)
    s.act(STOP, STOP)
    assert s.get(2, "target") == 0


def test_medivac_is_shot_at_last_unless_it_heals() -> None:
    wounded = Unit("marauder", 11, 16, health=100)
    allies = [wounded, Unit("medivac", 14, 16)]
    s = scene(allies, [Unit("marine", 16, 16)], stats=STILL)
    s.act(STOP, STOP)
    assert s.get(2, "target") == 0
    s = scene(allies, [Unit("marine", 16, 16, cooldown=100)], stats={**STILL, "marine": {"speed": 0, "range": 1}})
    s.act(STOP, FIRST, steps=2)
    assert s.get(2, "target") == 1


def test_ground_fighters_ignore_what_flies() -> None:
    s = scene([Unit("marine", 1, 1), Unit("medivac", 15, 16)], [Unit("zealot", 16, 16)])
    s.act(STOP, STOP, steps=2)
    assert s.get(2, "target") == -1


def test_target_is_kept_while_it_lives_within_range_and_a_unit_more() -> None:
    # It fires at the first; a nearer one that comes does not draw it off.
    allies = [Unit("marine", 11, 16), Unit("marine", 8, 18)]
    s = scene(allies, [Unit("marine", 16, 16)], stats={"marine": {"damage": 0.01}})
    s.act(STOP, STOP)
    assert s.get(2, "target") == 0
    s.restage([Unit("marine", 11, 16), Unit("marine", 8, 18), Unit("marine", 16, 16)])
    s.act(STOP, STOP)
    x, y = s.place(2)
    for _ in range(4):
        s.act(STOP, EAST)
    assert s.gap(1, 2) < s.gap(0, 2) + 2
    assert s.get(2, "target") == 0
    assert s.place(2) == (x, y)


def test_chase_goes_on_when_the_foe_leaves_sight() -> None:
    # Zealot 2.25 against stalker 2.95: it falls behind, but nothing hides the stalker.
    s = scene([Unit("stalker", 10, 16)], [Unit("zealot", 15, 16)], goal=[15, 24])
    for _ in range(6):
        s.act(WEST if s.env.avail_actions[0, 0, WEST] else STOP)
    assert s.get(1, "target") == 0
    assert s.place(1) == pytest.approx((15 - 6 * 1.125, 16), abs=0.1)


def test_foe_that_comes_into_sight_ends_a_chase() -> None:
    s = scene([Unit("stalker", 10, 16), Unit("stalker", 5, 19)], [Unit("zealot", 15, 16)], goal=[15, 24])
    s.act(WEST, STOP)
    assert s.get(2, "target") == 0
    for _ in range(6):
        s.act(WEST if s.env.avail_actions[0, 0, WEST] else STOP, STOP)
    assert s.gap(2, 1) < s.gap(2, 0)
    assert s.get(2, "target") == 1


def test_march_goes_on_when_the_foe_is_dead() -> None:
    allies = [Unit("marine", 10, 16, health=1), Unit("marine", 1, 1)]
    s = scene(allies, [Unit("marine", 15, 16)], goal=[15, 24])
    s.act(STOP, STOP)
    assert s.get(0, "health") == 0
    y = s.place(2)[1]
    s.act(0, STOP)  # the dead one has no other action
    assert s.get(2, "target") == -1
    assert s.place(2)[1] > y


def test_blow_from_out_of_sight_is_answered() -> None:
    # A stalker outranges what a zealot sees (5 and radii) only by order: 6 and radii.
    s = scene([Unit("stalker", 10, 16)], [Unit("zealot", 16, 16)], stats={"stalker": {"range": 9}})
    s.restage([Unit("stalker", 9.9, 16), Unit("zealot", 16.4, 16)])
    assert s.env.avail_actions[0, 0, FIRST] == 0
    s.restage([Unit("stalker", 10.1, 16), Unit("zealot", 16.1, 16)])
    s.act(FIRST)
    near = s.gap(0, 1)
    s.act(FIRST)
    assert s.gap(0, 1) < near
    assert s.get(1, "target") == 0


def test_enemy_medivac_heals_the_nearest_wounded_friend_on_the_ground() -> None:
    enemies = [
        Unit("marauder", 20, 16, health=60),
        Unit("marauder", 25, 16, health=20),
        Unit("marine", 19, 16),
        Unit("medivac", 22, 17),
        Unit("medivac", 22, 20, health=50),
    ]
    s = scene([Unit("marine", 1, 1)], enemies)
    s.act(STOP, steps=4)
    assert s.get(1, "health") > 60
    assert s.get(2, "health") == 20  # farther from both
    assert s.get(5, "health") == 50  # it flies


def test_zerglings_of_2c_vs_64zg_always_know_the_nearest_colossus() -> None:
    env = battle("2c_vs_64zg")
    env.step(np.full((1, 2), STOP, np.int32))
    units = env.units(0)
    assert set(units[2:, 7].astype(int)) <= {0, 1}
    nearest = np.hypot(units[2:, :1] - units[:2, 0], units[2:, 1:2] - units[:2, 1]).argmin(1)
    assert (nearest == units[2:, 7]).mean() > 0.9


def test_zealot_of_2m_vs_1z_goes_to_a_random_point_between_the_marines() -> None:
    env = battle("2m_vs_1z", 64)
    table = env.units(0)[:, :6].copy()
    table[:2, :2] = [[8, 12], [24, 12]]
    for e in range(64):
        env.stage(e, table)
    for _ in range(3):
        env.step(np.full((64, 2), STOP, np.int32))
    ways = np.array([env.units(e)[2, :2] - [16, 19] for e in range(64)])
    assert (ways[:, 1] < -2).all()
    assert ways[:, 0].min() < -0.8
    assert ways[:, 0].max() > 0.8


def test_spine_crawler_stays_and_shoots_whom_it_can_reach() -> None:
    env = battle("2s_vs_1sc")
    place = env.units(0)[2, :2]
    env.stage(0, np.array([[13.9, 12.6, 80, 80, 0, 0], [10, 10, 80, 80, 0, 0], [*place, 300, 0, 0, 0]], np.float32))
    for _ in range(4):
        env.step(np.full((1, 2), STOP, np.int32))
    units = env.units(0)
    assert units[2, :2].tolist() == place.tolist()
    assert units[0, 2] + units[0, 3] < 160
    assert units[1, 2] + units[1, 3] == 160


def test_mirror_lets_the_computer_play_the_allies_too() -> None:
    env = battle("3m", mirror=True)
    for _ in range(8):
        env.step(np.full((1, 3), STOP, np.int32))
    units = env.units(0)
    assert units[:3, 0].max() > 11
    assert units[3:, 0].min() < 21


def test_dummies_do_nothing() -> None:
    s = scene([Unit("marine", 14, 16)], [Unit("spine_crawler", 16, 16)], stats=DUMMY)
    s.act(STOP, steps=5)
    assert s.get(0, "health") == 45
    assert s.get(1, "target") == -1
