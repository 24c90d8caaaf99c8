"""Moving, walls, ways around them, and units that keep apart: on staged battles worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix.envs.skirmish_units import UNIT_TYPES, load_profile

from .skirmish_scenes import DUMMY, EAST, FIRST, NORTH, SOUTH, STOP, WEST, Unit, battle, scene

FAR_DUMMY = [Unit("spine_crawler", 30.5, 30.5)]
LIBERTY = load_profile("liberty")


@pytest.mark.parametrize("kind", [kind for kind in UNIT_TYPES if kind != "spine_crawler"])
def test_unit_walks_half_its_speed_a_step(kind: str) -> None:
    speed = LIBERTY[kind]["speed"] * 16
    for action, way in ((NORTH, (0, 1)), (SOUTH, (0, -1)), (EAST, (1, 0)), (WEST, (-1, 0))):
        s = scene([Unit(kind, 16, 16)], FAR_DUMMY, stats=DUMMY)
        s.act(action)
        np.testing.assert_allclose(s.place(0), np.array([16, 16]) + np.array(way) * speed / 2, atol=1e-4)


def test_move_ends_two_units_away() -> None:
    s = scene([Unit("stalker", 16, 16)], FAR_DUMMY, stats={**DUMMY, "stalker": {"speed": 6}})
    s.act(EAST)
    assert s.place(0) == pytest.approx((18, 16), abs=1e-3)


def test_stop_ends_a_move() -> None:
    s = scene([Unit("marine", 16, 16)], FAR_DUMMY, stats=DUMMY)
    s.act(EAST).act(STOP, steps=2)
    assert s.place(0) == pytest.approx((17.125, 16), abs=1e-4)


def test_spine_crawler_never_moves() -> None:
    s = scene([Unit("spine_crawler", 16, 16)], [Unit("zealot", 20, 16)])
    s.act(EAST, steps=3)
    assert s.place(0) == (16, 16)


# Legal moves --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x, y, legal",
    [
        (16, 16, [1, 1, 1, 1]),
        (0.6, 16, [1, 1, 1, 1]),  # int(-0.4) is 0: the cell is inside, as SMAC's int() has it
        (31.2, 16, [1, 1, 0, 1]),  # 32 is outside
        (16, 8.4, [1, 0, 1, 1]),  # 7 is wall
        (16, 9, [1, 1, 1, 1]),  # 8 is ground
        (16, 23, [0, 1, 1, 1]),  # 24 is wall
    ],
)
def test_move_is_legal_where_the_cell_one_away_is_ground(x: float, y: float, legal: list[int]) -> None:
    s = scene([Unit("marine", x, y)], [Unit("marine", 3, 20)], terrain="strip")
    assert s.env.avail_actions[0, 0, 2:6].tolist() == legal


# Walls and ways -----------------------------------------------------------------------------------------------------


def test_walls_and_the_edge_stop_a_walker() -> None:
    s = scene([Unit("marine", 16, 9)], [Unit("spine_crawler", 3, 20)], terrain="strip", stats=DUMMY)
    s.act(SOUTH)
    assert s.place(0)[1] == pytest.approx(8.375, abs=0.05)
    s.restage([Unit("marine", 30.9, 16), Unit("spine_crawler", 3, 20)])
    s.act(EAST)
    assert s.place(0)[0] == pytest.approx(31.625, abs=0.05)


def test_diagonal_walls_let_units_slide_along() -> None:
    # The choke of corridor runs north-east: walking north along its wall leads on.
    s = scene([Unit("marine", 11.5, 11.5)], [Unit("spine_crawler", 28, 28)], terrain="corridor", stats=DUMMY)
    for _ in range(8):
        s.act(NORTH if s.env.avail_actions[0, 0, NORTH] else EAST)
    assert s.place(0)[1] > 13


def test_air_crosses_walls_and_ground_units() -> None:
    s = scene(
        [Unit("marine", 15, 20), Unit("medivac", 15, 22.9)],
        [Unit("spine_crawler", 3, 20)],
        terrain="strip",
        stats=DUMMY,
    )
    s.act(STOP, NORTH)
    assert s.place(1)[1] == pytest.approx(24.275, abs=1e-3)  # ground ends at 24
    s.restage([Unit("marine", 15, 20), Unit("medivac", 15, 20.1), Unit("spine_crawler", 3, 20)])
    s.act(STOP, STOP, steps=3)
    assert s.place(0) == (15, 20)
    assert s.place(1) == pytest.approx((15, 20.1))


def test_zerglings_walk_around_the_cliff_to_the_colossi() -> None:
    # The colossi stand north of the cliff (y 12 and 13), the zerglings south of it; the gaps are at x < 4 and x > 28.
    env = battle("2c_vs_64zg")
    crossed = []
    for _ in range(24):
        env.step(np.full((1, 2), STOP, np.int32))
        units = env.units(0, ended=bool(env.terminated[0]))
        living = units[2:][units[2:, 2] > 0]
        crossed += living[(living[:, 1] > 12) & (living[:, 1] < 14)][:, 0].tolist()
        if env.terminated[0]:
            break
    assert len(crossed) > 20
    assert all(x < 4.5 or x > 27.5 for x in crossed)
    assert env.dead_allies[0] > 0 or units[:2, 3].min() < 150  # they arrived


def test_colossi_cross_a_cliff_and_others_walk_around_it() -> None:
    # The cliff is y 12 and 13 from x 4 to 27. With a range of 1 both must come close to their target.
    short = {"colossus": {"range": 1}, "marauder": {"range": 1}, **DUMMY}
    allies = [Unit("colossus", 14, 15), Unit("marauder", 18, 15)]
    enemies = [Unit("spine_crawler", 14, 9.5), Unit("spine_crawler", 18, 9.5)]
    s = scene(allies, enemies, terrain="2c_vs_64zg", stats=short)
    s.act(FIRST, FIRST + 1, steps=2)
    assert s.place(0) == pytest.approx((14, 12.75), abs=1e-3)
    assert s.place(1)[0] > 20
    assert s.place(1)[1] > 13.9


def test_way_through_the_corridor_is_found() -> None:
    # Attack-move from the north-east room to the point in the south-west room, which cannot be seen from there.
    s = scene([Unit("marine", 28.5, 28.5)], [Unit("zergling", 17, 24.5)], terrain="corridor", goal=[4.47, 4.33])
    s.act(STOP, steps=30)
    assert s.place(1) == pytest.approx((4.47, 4.33), abs=0.1)


# Keeping apart ------------------------------------------------------------------------------------------------------


def test_idle_friend_makes_way_for_a_walker() -> None:
    s = scene([Unit("marine", 10, 16), Unit("marine", 11, 16.05)], FAR_DUMMY, stats=DUMMY)
    s.act(EAST, STOP, steps=2)
    assert s.place(0)[0] > 11.5
    assert abs(s.place(1)[1] - 16.05) > 0.1 or s.place(1)[0] > 11.5
    assert s.gap(0, 1) > 0.5


def test_enemy_that_stands_blocks() -> None:
    # The walker slides around the dummy, or stops; the dummy does not give way.
    s = scene([Unit("zealot", 10, 16)], [Unit("zealot", 12, 16)], stats={"zealot": {"damage": 0, "speed": 2.25}})
    s.act(EAST, steps=2)
    assert s.place(1) == pytest.approx((12, 16), abs=1e-4)
    assert s.gap(0, 1) >= 0.75 - 1e-3


def test_six_zealots_hold_the_choke_of_the_corridor() -> None:
    # Two ranks of three across a way 2.8 wide. Each fights whom it can reach and stands. While five of them live,
    # hardly any zergling comes past, and at the choke they kill more than half of them.
    env = battle("corridor", 16, seed=3)
    along, across = np.array([0.7071, 0.7071]), np.array([-0.7071, 0.7071])
    for e in range(16):
        table = env.units(e)[:, :6].copy()
        for i in range(6):
            rank, place = divmod(i, 3)
            table[i, :2] = np.array([12.5, 12.5]) - along * 0.8 * rank + across * 0.76 * (place - 1)
        env.stage(e, table)
    over = np.zeros(16, bool)
    passed = np.zeros(16, bool)
    kills = np.zeros(16)
    while not over.all():
        actions = np.ones((16, 6), np.int32)
        for e in range(16):
            units = env.units(e)
            for i in range(6):
                gaps = np.where(units[6:, 2] > 0, np.hypot(*(units[6:, :2] - units[i, :2]).T), np.inf)
                near = int(gaps.argmin())
                if units[i, 2] <= 0:
                    actions[e, i] = 0
                elif gaps[near] < 1.3:
                    actions[e, i] = FIRST + near
        env.step(actions)
        for e in np.flatnonzero(~over):
            kills[e] = env.dead_enemies[e]
            over[e] = env.terminated[e] or env.truncated[e]
            units = env.units(e)
            zerglings = units[6:][units[6:, 2] > 0]
            if not over[e] and (units[:6, 2] > 0).sum() >= 5:
                passed[e] |= bool((zerglings[:, 0] + zerglings[:, 1] < 22.5).any())
    assert passed.sum() <= 2
    assert kills.mean() > 12


@pytest.mark.parametrize("name", ["3m", "2s3z", "MMM2", "6h_vs_8z", "3s5z", "1c3s5z"])
def test_units_start_apart_and_hardly_overlap_in_battle(name: str) -> None:
    env = battle(name, 4)
    deep = []
    for step in range(40):
        for e in range(4):
            units = env.units(e)
            units = units[units[:, 2] > 0]
            kinds = [UNIT_TYPES[int(kind)] for kind in units[:, 6]]
            for i, j in itertools.combinations(range(len(units)), 2):
                if LIBERTY[kinds[i]]["flies"] != LIBERTY[kinds[j]]["flies"]:
                    continue
                reach = LIBERTY[kinds[i]]["separation"] + LIBERTY[kinds[j]]["separation"]
                deep.append(1 - float(np.hypot(*(units[i, :2] - units[j, :2]))) / reach)
        if step == 0:
            assert max(deep) <= 0
        env.step(env.scripted_actions("nearest"))
    assert np.mean(np.array(deep) > 0.25) < 0.01


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000), kinds=st.lists(st.sampled_from(["marine", "zealot", "colossus"]), min_size=2, max_size=9)
)
def test_units_on_one_point_part(seed: int, kinds: list[str]) -> None:
    units = [Unit(kind, 16, 16) for kind in sorted(kinds)]
    s = scene(units, FAR_DUMMY, seed=seed, stats=DUMMY)
    s.act(*[EAST] * len(units))
    s.act(*[STOP] * len(units), steps=6)
    for i, j in itertools.combinations(range(len(units)), 2):
        reach = LIBERTY[units[i].kind]["separation"] + LIBERTY[units[j].kind]["separation"]
        assert s.gap(i, j) > 0.75 * reach
