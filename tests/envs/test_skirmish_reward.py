"""Every term of the reward and every ending, with SMAC's slips and without, on staged battles worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from .skirmish_scenes import DUMMY, FIRST, STOP, Unit, battle, scene


def test_reward_is_damage_and_kills_over_a_twentieth_of_the_most_possible() -> None:
    # Max reward: 10 + 10 + 200 + 45 + 150 = 415, computed at the start of the episode.
    allies = [Unit("marine", 10, 16), Unit("marine", 10, 18), Unit("marine", 10, 14)]
    enemies = [Unit("marine", 15, 16, health=6), Unit("zealot", 15.2, 18.2, shield=3)]
    s = scene(allies, enemies, stats={"zealot": {"speed": 0}, "marine": {"speed": 0}})
    s.act(FIRST, FIRST + 1, STOP)
    # The marine's 6 and its death; the zealot's shield (3 and the 0.25 grown by then: net 3) and 6 - 3.25 - 1 health.
    assert s.env.reward[0] == pytest.approx((6 + 10 + 3 + 1.75) / (415 / 20), abs=1e-4)
    assert not s.env.terminated[0]


def test_win_adds_two_hundred() -> None:
    s = scene([Unit("marine", 10, 16)], [Unit("marine", 15, 16, health=6)])
    s.restage([Unit("marine", 10, 16), Unit("marine", 15, 16, health=6, cooldown=100)])
    s.act(FIRST)
    assert (s.env.terminated[0], s.env.truncated[0], s.env.battle_won[0]) == (1, 0, 1)
    assert s.env.reward[0] == pytest.approx((6 + 10 + 200) / ((10 + 200 + 45) / 20), abs=1e-4)
    assert s.env.dead_enemies[0] == 1
    assert s.env.episode_step(0) == 0  # a new episode already
    assert s.env.episode_step(0, ended=True) == 1


@pytest.mark.parametrize("name, most", [("3m", 365), ("2s3z", 50 + 200 + 2 * 160 + 3 * 150), ("MMM2", 120 + 200 + 885)])
def test_most_possible_is_that_of_all_enemies_of_the_map(name: str, most: float) -> None:
    env = battle(name)
    table = env.units(0)[:, :6].copy()
    enemies = table[env.spec.n_agents :]
    assert 10 * len(enemies) + 200 + enemies[:, 2:4].sum() == pytest.approx(most)
    enemies[:, 2:] = 0
    enemies[0] = [20, 16, 1, 0, 0, 1000]  # one is left, with one hit point
    table[0, :2] = [15.5, 16]
    env.stage(0, table)
    total = 0.0
    while not env.terminated[0]:
        env.step(env.scripted_actions("nearest"))
        total += float(env.reward[0])
    assert total == pytest.approx((1 + 10 + 200) / (most / 20), abs=1e-3)


def test_shields_that_grow_back_are_rewarded_as_a_quirk_of_smac() -> None:
    # Max reward 10 + 200 + 160. The stalker's shield grows by 1 a step.
    for quirks, reward in ((True, 1 / (370 / 20)), (False, 0.0)):
        s = scene([Unit("marine", 1, 1)], [Unit("stalker", 30, 30, shield=40)], quirks=quirks)
        s.act(STOP)
        assert s.env.reward[0] == pytest.approx(reward, abs=1e-5)


def test_losses_count_half_where_asked_for() -> None:
    # The ally loses 6 of its health and dies: 0.5 * (6 + 10); the other loses nothing. Max reward 10 + 200 + 45.
    allies = [Unit("marine", 10, 16, health=6), Unit("marine", 1, 1)]
    s = scene(allies, [Unit("marine", 15, 16)], reward_only_positive=False)
    s.act(STOP, STOP)
    assert s.env.dead_allies[0] == 1
    assert s.env.reward[0] == pytest.approx(-8 / (255 / 20), abs=1e-5)
    s = scene(allies, [Unit("marine", 15, 16)])
    s.act(STOP, STOP)
    assert s.env.reward[0] == 0


@pytest.mark.parametrize("mine, theirs, reward", [(45, 6, 1.0), (6, 45, -1.0)])
def test_sparse_reward_is_one_for_a_win_and_minus_one_for_a_defeat(mine: float, theirs: float, reward: float) -> None:
    allies, enemies = [Unit("marine", 10, 16, health=mine)], [Unit("marine", 15, 16, health=theirs)]
    s = scene(allies, enemies, reward_sparse=True)
    s.act(FIRST)
    assert s.env.terminated[0]
    assert s.env.reward[0] == reward
    s = scene([Unit("marine", 10, 16)], [Unit("marine", 15, 16)], reward_sparse=True)
    s.act(FIRST)
    assert s.get(1, "health") < 45
    assert s.env.reward[0] == 0


def test_defeat_terminates_without_bonus() -> None:
    s = scene([Unit("marine", 10, 16, health=6)], [Unit("marine", 15, 16)])
    s.act(STOP)
    assert (s.env.terminated[0], s.env.truncated[0], s.env.battle_won[0]) == (1, 0, 0)
    assert s.env.reward[0] == 0


def test_both_sides_dead_is_a_draw() -> None:
    s = scene([Unit("baneling", 10, 16)], [Unit("baneling", 10.7, 16)], stats={"baneling": {"health": 20}})
    s.act(FIRST)
    assert (s.env.terminated[0], s.env.truncated[0], s.env.battle_won[0]) == (1, 0, 0)
    # Damage 20 and a kill, no win: (20 + 10) / ((10 + 200 + 20) / 20).
    assert s.env.reward[0] == pytest.approx(30 / (230 / 20), abs=1e-4)


def test_limit_truncates_and_a_true_end_on_the_last_step_terminates() -> None:
    s = scene([Unit("marine", 1, 1)], [Unit("spine_crawler", 30, 30)], limit=5, stats=DUMMY)
    for step in range(1, 11):
        s.act(STOP)
        assert (s.env.terminated[0], s.env.truncated[0]) == (0, step % 5 == 0)
    s = scene([Unit("marine", 10, 16)], [Unit("marine", 15, 16)], limit=1)
    s.restage([Unit("marine", 10, 16), Unit("marine", 15, 16, health=1, cooldown=99)])
    s.act(FIRST)
    assert (s.env.terminated[0], s.env.truncated[0], s.env.battle_won[0]) == (1, 0, 1)


def test_battle_without_contact_ends_at_the_limit_of_its_map() -> None:
    env = battle("2s_vs_1sc")
    for step in range(1, 301):
        env.step(np.full((1, 2), STOP, np.int32))
        assert env.truncated[0] == (step == 300)
    assert env.final_state[0, 0] == 1  # the first stalker is unharmed


# Only medivacs left -------------------------------------------------------------------------------------------------


def medivacs(mine: list[Unit], theirs: list[Unit], quirks: bool) -> tuple[int, int]:
    """(terminated, won) after one step in which nobody can hurt anybody."""
    s = scene(mine, theirs, quirks=quirks)
    actions = [0 if unit.health == 0 else STOP for unit in mine]
    s.act(*actions)
    return int(s.env.terminated[0]), int(s.env.battle_won[0])


@pytest.mark.parametrize("quirks", [True, False])
def test_side_with_medivacs_only_has_lost(quirks: bool) -> None:
    gone = Unit("marine", 0, 0, health=0)
    assert medivacs([gone, Unit("medivac", 1, 1)], [Unit("marine", 30, 30)], quirks) == (1, 0)
    assert medivacs([Unit("marine", 1, 1)], [gone, Unit("medivac", 30, 30)], quirks) == (1, 1)
    assert medivacs([Unit("marine", 1, 1)], [Unit("marine", 30, 30), Unit("medivac", 30, 30)], quirks) == (0, 0)


def test_two_enemy_medivacs_left_do_not_end_a_battle_as_a_quirk_of_smac() -> None:
    enemies = [Unit("marine", 0, 0, health=0), Unit("medivac", 30, 30), Unit("medivac", 28, 28)]
    assert medivacs([Unit("marine", 1, 1)], enemies, quirks=True) == (0, 0)
    assert medivacs([Unit("marine", 1, 1)], enemies, quirks=False) == (1, 1)
