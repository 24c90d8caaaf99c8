"""Rules of fighting on staged battles worked out by hand: shots, cooldowns, armour, shields, splash, healing, death.

A step is 8 loops, a loop 1/16 s. A `dummy` is a target of 10,000 health that does nothing; enemies get no order here
but to fight whom they see.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from .skirmish_scenes import DUMMY, EAST, FIRST, STOP, Scene, Unit, scene


def dummy(x: float, y: float) -> Unit:
    return Unit("spine_crawler", x, y)


def dummy_like(**stats: Any) -> dict[str, dict[str, Any]]:
    return {"spine_crawler": DUMMY["spine_crawler"] | stats}


def lost(s: Scene, victim: int, env: int = 0) -> float:
    """Health of a dummy that is gone."""
    return 10000 - s.get(victim, "health", env)


# Shots --------------------------------------------------------------------------------------------------------------


def test_marine_hits_after_its_damage_point_then_after_its_period() -> None:
    # Aims in loop 1, damage point 0.8 loops: it hits in loop 2. The next hit is 13.77 loops, noise -1 to +2, later: in
    # loops 15 to 18.
    s = scene([Unit("marine", 10, 16)], [dummy(15, 16)], num_envs=64, stats=DUMMY)
    s.act(FIRST)
    assert {lost(s, 1, e) for e in range(64)} == {6}
    s.act(FIRST)
    assert {lost(s, 1, e) for e in range(64)} == {6, 12}
    s.act(FIRST)
    assert {lost(s, 1, e) for e in range(64)} == {12}


def test_cooldown_after_a_shot_is_the_period_without_damage_point_and_with_noise() -> None:
    s = scene([Unit("marine", 10, 16)], [dummy(15, 16)], num_envs=400, stats=DUMMY)
    s.act(FIRST)
    # Hit 1.8 loops after the start, 6.2 before the step's end.
    left = np.array(s.all(0, "cooldown"))
    assert left.max() - left.min() == pytest.approx(3, abs=0.1)
    assert left.mean() == pytest.approx(0.8608 * 16 - 0.05 * 16 + 0.5 - 6.2, abs=0.2)
    assert np.quantile(left, [0.25, 0.75]) == pytest.approx(left.mean() + np.array([-0.75, 0.75]), abs=0.2)


@pytest.mark.parametrize(
    "kind, wind_up_s",
    [
        ("marine", 0.05), ("marauder", 0), ("hydralisk", 0.208), ("stalker", 0.167), ("zergling", 0.167), ("zealot", 0),
        ("colossus", 0.0832),
    ],
)  # fmt: skip
def test_first_hit_comes_after_the_wind_up_of_the_unit(kind: str, wind_up_s: float) -> None:
    # It aims in loop `ready`, when its cooldown is over, and hits in the first loop not before `wind_up_s` after that:
    # in this step of 8, or not.
    last = 8 - math.ceil(wind_up_s * 16 - 1e-6)
    for ready, hits in ((last, True), (last + 1, False)):
        s = scene([Unit(kind, 10, 16, cooldown=ready)], [dummy(11.4, 16)], stats=DUMMY)
        s.act(FIRST)
        assert (lost(s, 1) > 0) == hits


@pytest.mark.parametrize(
    "kind, damage, period_s",
    [
        ("marine", 6, 0.8608), ("hydralisk", 12, 0.83), ("marauder", 10, 1.5), ("stalker", 10, 1.44),
        ("zergling", 5, 0.696), ("zealot", 16, 1.2), ("colossus", 40, 2.2),
    ],
)  # fmt: skip
def test_damage_a_second_is_that_of_the_unit(kind: str, damage: float, period_s: float) -> None:
    # The noise is half a loop on average.
    s = scene([Unit(kind, 10, 16)], [dummy(11.4, 16)], num_envs=16, stats=DUMMY)
    s.act(FIRST, steps=8)
    before = np.mean([lost(s, 1, e) for e in range(16)])
    s.act(FIRST, steps=80)
    rate = (np.mean([lost(s, 1, e) for e in range(16)]) - before) / 40
    assert rate == pytest.approx(damage / (period_s + 0.5 / 16), rel=0.02)


def test_shot_leaves_only_within_range_edge_to_edge() -> None:
    # Marine range 5, radii 0.375 and 0.875: centres 6.25 apart at most. Agents may order it up to 6 only.
    for gap, hits in ((5.9, True), (7.5, False)):
        s = scene([dummy(10, 16)], [Unit("marine", 10 + gap, 16)], stats=DUMMY)
        s.act(STOP)
        assert (s.get(1, "shot_at") == 0) == hits


def test_attack_order_walks_into_range_first() -> None:
    # A zealot (range 0.1) 6 away from a dummy: gap 6 - 0.5 - 0.875 = 4.625, 4.525 to walk at 1.125 a step.
    s = scene([Unit("zealot", 10, 16)], [dummy(16, 16)], stats=DUMMY)
    s.act(FIRST, steps=4)
    assert s.place(0) == pytest.approx((14.5, 16), abs=1e-3)
    assert lost(s, 1) == 0
    s.act(FIRST)
    assert s.place(0)[0] == pytest.approx(14.525, abs=0.01)
    assert lost(s, 1) > 0


def test_attack_order_holds_until_it_is_replaced() -> None:
    # The zealot was ordered once and cannot do so again from farther than 6: it goes on by itself only with its order.
    s = scene([Unit("zealot", 10, 16)], [dummy(16, 16)], stats=DUMMY)
    s.act(FIRST)
    s.act(STOP)
    x = s.place(0)[0]
    s.act(STOP, steps=3)
    assert s.place(0)[0] == x


def test_repeated_order_does_not_restart_the_attack() -> None:
    # With a restart every step a slow weapon would never hit.
    slow = {"marine": {"damage_point": 0.9}, **DUMMY}  # 14.4 loops, almost two steps
    s = scene([Unit("marine", 10, 16)], [dummy(15, 16)], stats=slow)
    s.act(FIRST)
    assert lost(s, 1) == 0
    s.act(FIRST)
    assert lost(s, 1) == 6


def test_stop_and_moves_drop_a_started_attack() -> None:
    slow = {"marine": {"damage_point": 0.9}, **DUMMY}
    for interruption in (STOP, EAST):
        s = scene([Unit("marine", 10, 16)], [dummy(15, 16)], stats=slow)
        s.act(FIRST).act(interruption).act(FIRST)
        assert lost(s, 1) == 0


def test_cooldown_runs_on_while_walking() -> None:
    s = scene([Unit("marine", 10, 16, cooldown=14)], [dummy(15, 16)], stats=DUMMY)
    s.act(EAST)
    assert s.get(0, "cooldown") == 6
    s.act(EAST)
    assert s.get(0, "cooldown") == 0


def test_attacker_keeps_firing_until_the_target_is_a_unit_beyond_its_range() -> None:
    # Enemy marine, range 5 + radii 0.75. The stalker leaves at 1.4766 a step; the marine goes on to fire up to 6.75.
    quick = {"marine": {"period": 0.1, "damage_point": 0, "speed": 0}}
    s = scene([Unit("stalker", 10, 16)], [Unit("marine", 4.4, 16)], stats=quick)
    s.act(STOP)
    assert s.get(1, "shot_at") == 0
    s.act(EAST)  # 7.08 apart at the end: still shot at on the way
    assert s.get(1, "shot_at") == 0
    s.act(EAST)
    assert s.get(1, "shot_at") == -1


@pytest.mark.parametrize("kind, start", [("spine_crawler", 8.0), ("colossus", 7.125)])
def test_heavy_weapons_stop_at_their_range(kind: str, start: float) -> None:
    # Range 7 + radii 1.5, and 6 + 1.625: half a unit to go, and 0.98 beyond it after a step of 1.4766.
    quick = {kind: {"period": 0.1, "damage": 1, "damage_point": 0, "speed": 0}}
    s = scene([Unit("stalker", 10, 16)], [Unit(kind, 10 - start, 16)], stats=quick)
    s.act(EAST)
    assert s.get(1, "shot_at") == 0
    s.act(EAST)
    assert s.get(1, "shot_at") == -1


# Damage -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attacker, stats, damage",
    [
        ("marine", {"armour": 2}, 4),
        ("marauder", {"armour": 1}, 9),
        ("marauder", {"armour": 1, "armoured": True}, 19),
        ("stalker", {"armoured": True}, 14),
        ("stalker", {"light": True}, 10),
        ("zergling", {"armour": 9}, 0.5),  # never less
        ("zealot", {"armour": 1}, 14),  # both its hits
    ],
)
def test_damage_has_bonus_and_armour(attacker: str, stats: dict[str, Any], damage: float) -> None:
    s = scene([Unit(attacker, 10, 16)], [dummy(11.4, 16)], stats=dummy_like(**stats))
    s.act(FIRST)
    assert lost(s, 1) == pytest.approx(damage, abs=1e-3)


def test_zealot_hits_twice_and_armour_counts_for_each() -> None:
    # The second hit is 0.28 s, 4.48 loops, after the first in loop 5: in the next step.
    s = scene([Unit("zealot", 10, 16, cooldown=5)], [dummy(11.4, 16)], stats=dummy_like(armour=3))
    s.act(FIRST)
    assert lost(s, 1) == pytest.approx(5)
    s.act(FIRST)
    assert lost(s, 1) == pytest.approx(10)


def test_shield_takes_damage_first_and_the_rest_loses_the_armour() -> None:
    s = scene([Unit("marine", 10, 16)], [Unit("zealot", 15.5, 16, shield=50)], stats={"zealot": {"speed": 0}})
    s.act(FIRST)
    assert (s.get(1, "shield"), s.get(1, "health")) == (44, 100)
    s.restage([Unit("marine", 10, 16), Unit("zealot", 15.5, 16, shield=2)])
    s.act(FIRST)
    # It grows by 0.25 until the hit in loop 2; 6 - 2.25 = 3.75, armour 1.
    assert (s.get(1, "shield"), s.get(1, "health")) == (0, 97.25)


def test_shields_grow_two_a_second_after_ten_seconds_without_damage() -> None:
    s = scene([Unit("zealot", 10, 16, shield=10)], [dummy(30, 30)], stats=DUMMY)
    s.act(STOP)
    assert s.get(0, "shield") == pytest.approx(11)  # nothing has hurt it yet
    hurt = scene([Unit("zealot", 10, 16)], [Unit("marine", 15, 16)], stats={"marine": {"period": 60}})
    hurt.act(STOP)
    assert hurt.get(0, "shield") == 44
    hurt.act(STOP, steps=19)
    assert hurt.get(0, "shield") == 44
    hurt.act(STOP, steps=2)
    # Hit in loop 2; 160 loops without growth, then 0.125 in each of the 14 up to loop 176.
    assert hurt.get(0, "shield") == 45.75


def test_shields_and_health_never_exceed_their_limits() -> None:
    s = scene([Unit("stalker", 10, 16, shield=79.5), Unit("zergling", 5, 5, health=34.9)], [dummy(30, 30)], stats=DUMMY)
    s.act(STOP, STOP, steps=4)
    assert (s.get(0, "shield"), s.get(1, "health")) == (80, 35)


def test_zerg_regenerate() -> None:
    s = scene([Unit("hydralisk", 9, 9, health=40), Unit("zergling", 5, 5, health=20)], [dummy(30, 30)], stats=DUMMY)
    s.act(STOP, STOP, steps=10)
    assert s.get(0, "health") == pytest.approx(40 + 5 * 0.2734, abs=1e-3)
    assert s.get(1, "health") == pytest.approx(20 + 5 * 0.2734, abs=1e-3)


# Splash -------------------------------------------------------------------------------------------------------------


def test_colossus_sweeps_a_bar_across_its_shot() -> None:
    crowd = {"zergling": {"speed": 0, "health": 1000, "health_regen": 0}}
    targets = [
        Unit("zergling", 15, 16),  # the target: both beams
        Unit("zergling", 15, 17),  # 1 across: one beam
        Unit("zergling", 15, 14.8),  # 1.2 across
        Unit("zergling", 15, 17.8),  # 1.8 across: beyond half of 2.5
        Unit("zergling", 15.5, 16),  # 0.5 behind: its edge is within 0.15 + 0.375
        Unit("zergling", 16, 16),  # 1 behind
    ]
    s = scene([Unit("colossus", 10, 16)], targets, stats=crowd)
    s.act(FIRST)
    assert [1000 - s.get(1 + i, "health") for i in range(6)] == [40, 20, 20, 0, 40, 0]


def test_baneling_explodes_on_its_target_and_hurts_enemies_around_it_only() -> None:
    still = {kind: {"speed": 0} for kind in ("baneling", "marauder", "zealot")}
    allies = [Unit("marauder", 12, 17), Unit("zealot", 10, 16), Unit("zealot", 14, 16)]
    s = scene(allies, [Unit("baneling", 11, 16), Unit("baneling", 13.5, 18.5, health=1)], stats=still)
    s.act(STOP, STOP, STOP)
    assert s.get(3, "health") == 0
    # Light 35, others 20 less armour 1; reach 2.2 and the victim's radius. The zealot at 3 is out of it.
    assert s.get(1, "shield") == 15
    assert s.get(0, "health") == 125 - 19
    assert s.get(2, "shield") == 50
    assert s.get(4, "health") == pytest.approx(1, abs=0.2)  # its own side is not hurt


def test_baneling_explodes_when_it_is_killed() -> None:
    s = scene([Unit("marine", 10, 16), Unit("marine", 13, 16)], [Unit("baneling", 15, 16, health=5)], stats={
        "baneling": {"speed": 0}})  # fmt: skip
    s.act(FIRST, STOP)
    assert s.env.battle_won[0]
    assert (s.get(0, "health"), s.get(1, "health")) == (45, 10)


def test_no_baneling_wastes_itself_on_whom_another_one_kills_before_it() -> None:
    # Both reach the zealot in the same loop, and one burst is enough.
    s = scene([Unit("zealot", 10, 16, health=13, shield=0), Unit("zealot", 1, 1)], [
        Unit("baneling", 9, 16), Unit("baneling", 11, 16)], num_envs=64)  # fmt: skip
    s.act(STOP, STOP)
    assert not any(s.get(0, "health", e) for e in range(64))
    burst = [[s.get(v, "health", e) == 0 for v in (2, 3)] for e in range(64)]
    assert all(one != other for one, other in burst)
    assert 0 < sum(one for one, _ in burst) < 64  # whose turn it is, is drawn


# Healing ------------------------------------------------------------------------------------------------------------


def test_medivac_heals_nine_a_second_for_a_third_of_energy_each() -> None:
    s = scene([Unit("marauder", 10, 16, health=50), Unit("medivac", 11, 16, energy=100)], [dummy(30, 30)], stats=DUMMY)
    s.act(STOP, FIRST)
    assert s.get(0, "health") == pytest.approx(54.5, abs=1e-3)
    assert s.get(1, "energy") == pytest.approx(100 - 4.5 * 0.33 + 0.5625 / 2, abs=1e-3)
    assert s.get(1, "shot_at") == 0
    assert s.env.reward[0] == 0


def test_healing_ends_with_the_energy_or_the_wounds() -> None:
    # 0.33 energy: one hit point, and what energy grows by in a step: 0.28 / 0.33.
    s = scene([Unit("marauder", 10, 16, health=50), Unit("medivac", 11, 16, energy=0.33)], [dummy(30, 30)], stats=DUMMY)
    s.act(STOP, FIRST)
    assert s.get(0, "health") == pytest.approx(50 + (0.33 + 0.5625 / 2) / 0.33, abs=1e-3)
    s = scene([Unit("marauder", 10, 16, health=124), Unit("medivac", 11, 16)], [dummy(30, 30)], stats=DUMMY)
    s.act(STOP, FIRST)
    assert s.get(0, "health") == 125
    assert s.get(1, "energy") == pytest.approx(50 - 0.33 + 0.5625 / 2, abs=1e-3)


def test_medivac_flies_into_its_range_of_four_first() -> None:
    s = scene([Unit("marauder", 10, 16, health=50), Unit("medivac", 15.9, 16)], [dummy(30, 30)], stats=DUMMY)
    s.act(STOP, FIRST)  # gap 5.9 - 0.5625 - 0.75 = 4.59, it flies 1.375 a step
    x = s.place(1)[0]
    assert x == pytest.approx(15.9 - 0.5875, abs=0.01)
    assert 50 < s.get(0, "health") < 54.5


def test_those_who_cannot_hit_air_ignore_a_medivac() -> None:
    s = scene([Unit("zealot", 10, 16)], [Unit("marine", 30, 30), Unit("medivac", 11, 16)])
    s.act(FIRST + 1, steps=4)
    assert s.get(2, "health") == 150
    s = scene([Unit("marine", 10, 16)], [Unit("medivac", 12, 16)])
    s.act(FIRST)
    assert s.get(1, "health") == 145


# Death --------------------------------------------------------------------------------------------------------------


def test_dead_unit_leaves_and_fires_no_more() -> None:
    s = scene([Unit("marine", 10, 16, health=6), Unit("marine", 1, 1)], [Unit("marine", 15, 16)])
    s.act(STOP, STOP)
    assert s.get(0, "health") == 0
    assert s.place(0) == (10, 16)  # where it fell
    assert s.get(0, "died") == 1
    assert not s.env.obs[0, 0].any()
    assert s.env.avail_actions[0, 0].tolist() == [1, 0, 0, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="env 0, agent 0: action 1 is not legal now; legal: 0"):
        s.act(STOP, STOP)
    s.act(0, STOP)
    assert s.env.dead_allies.tolist() == [1]


def test_shots_in_one_loop_fall_in_random_order_and_the_dead_do_not_shoot() -> None:
    # Both would kill the other in the same loop: one lives, each as often.
    s = scene([Unit("marine", 10, 16, health=6)], [Unit("marine", 15, 16, health=6)], num_envs=400)
    s.act(FIRST)
    won = s.env.battle_won.sum()
    assert s.env.terminated.all()
    assert abs(won - 200) < 60


def test_banelings_that_die_together_take_both_sides_with_them() -> None:
    s = scene([Unit("baneling", 10, 16)], [Unit("baneling", 10.7, 16)], stats={"baneling": {"health": 20}})
    s.act(FIRST)
    assert s.env.terminated[0]
    assert not s.env.battle_won[0]
    assert (s.env.dead_allies[0], s.env.dead_enemies[0]) == (1, 1)
