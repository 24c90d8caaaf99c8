"""Long random play on all maps: what always holds, what depends on nothing else, and how hard the maps are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix.envs.skirmish import Skirmish
from powqmix.envs.skirmish_maps import map_names
from powqmix.envs.skirmish_units import UNIT_TYPES, load_profile

from .skirmish_scenes import FIRST, STOP, battle

LIBERTY = load_profile("liberty")
MAPS = map_names()
GENERATED = ["10gen_terran_5v5", "10gen_protoss_10v11", "10gen_zerg_20v23"]


def check_units(env: Skirmish, e: int) -> None:
    units = env.units(e)
    alive = units[:, 2] > 0
    assert np.isfinite(units).all()
    for unit in units[alive]:
        stats = LIBERTY[UNIT_TYPES[int(unit[6])]]
        assert 0 <= unit[0] < 32
        assert 0 <= unit[1] < 32
        assert 0 < unit[2] <= stats["health"]
        assert 0 <= unit[3] <= stats["shield"]
        assert 0 <= unit[4] <= stats["max_energy"]
    assert (units[~alive][:, 2:6] == 0).all()
    assert (units[~alive][:, 7] == -1).all()


@pytest.mark.parametrize("name", [*MAPS, *GENERATED])
def test_hostile_random_play_keeps_what_always_holds(name: str) -> None:
    # Half of the actions are the last legal one (attacks), half any. Battles begin in their midst: units are wounded.
    envs = 8
    env = battle(name, envs, seed=5, spawn_jitter=0.3)
    agents, n_actions = env.spec.n_agents, env.spec.n_actions
    rng = np.random.default_rng(1)
    ended = 0
    for e in range(envs // 2):
        table = env.units(e)[:, :6].copy()
        table[:, 2:4] *= rng.uniform(0.1, 1, (env.n_units, 2))
        env.stage(e, table)
    alive_before = np.ones((envs, env.n_units), bool)
    for step in range(150):
        last = n_actions - 1 - env.avail_actions[..., ::-1].argmax(-1)
        anything = env.random_actions(3, step)
        actions = np.where((rng.random((envs, agents)) < 0.5) & (last >= FIRST), last, anything).astype(np.int32)
        env.step(actions)
        over = (env.terminated | env.truncated).astype(bool)
        ended += int(over.sum())
        assert not (env.terminated & env.truncated).any()
        assert not (env.battle_won & ~env.terminated).any()
        for array in (env.obs, env.state, env.reward, env.final_obs, env.final_state):
            assert np.isfinite(array).all()
        assert np.abs(env.obs).max() <= 1.0001
        assert np.abs(env.state).max() <= 3  # a cooldown may exceed the table by which SMAC divides
        assert (env.avail_actions.sum(-1) >= 1).all()
        assert (env.reward >= 0).all()
        assert (env.reward <= 20.001).all()
        for e in range(envs):
            units = env.units(e)
            alive = units[:, 2] > 0
            dead = ~alive[:agents]
            assert (env.avail_actions[e, dead, 0] == 1).all()
            assert (env.avail_actions[e, dead, 1:] == 0).all()
            assert (env.avail_actions[e, ~dead, 0] == 0).all()
            assert not env.obs[e, dead].any()
            if not over[e]:
                assert not (alive & ~alive_before[e]).any()  # nobody rises
                assert env.dead_allies[e] == dead.sum()
                assert env.dead_enemies[e] == (~alive[agents:]).sum()
            alive_before[e] = alive
        if step % 10 == 0:
            check_units(env, step % envs)
    assert ended > 0


@pytest.mark.parametrize("name", ["MMM2", "corridor", "2c_vs_64zg", "bane_vs_bane", "10gen_protoss_5v5"])
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), num_envs=st.integers(2, 5), threads=st.integers(2, 4), other=st.integers(0, 99))
def test_battle_depends_on_neither_batch_nor_threads_nor_the_others_actions(
    name: str, seed: int, num_envs: int, threads: int, other: int
) -> None:
    one = battle(name, num_envs, seed)
    many = battle(name, num_envs + 2, seed, num_threads=threads)
    for step in range(25):
        mine = one.random_actions(seed, step)
        actions = many.random_actions(other, step)
        actions[:num_envs] = mine
        one.step(mine)
        many.step(actions)
        for array in ("obs", "state", "avail_actions", "reward", "terminated", "truncated", "battle_won"):
            np.testing.assert_array_equal(getattr(one, array), getattr(many, array)[:num_envs], err_msg=array)


@pytest.mark.parametrize("name", ["3m", "1c3s5z"])
def test_same_seed_gives_the_same_battle_and_another_seed_another(name: str) -> None:
    def play(seed: int) -> bytes:
        env = battle(name, 3, seed)
        for step in range(40):
            env.step(env.random_actions(7, step))
        return env.state.tobytes() + env.reward.tobytes()

    assert play(1) == play(1)
    assert play(1) != play(2)


def test_start_is_the_same_each_episode_unless_it_is_jittered() -> None:
    def starts(jitter: float) -> list[Any]:
        env = battle("2s3z", 4, spawn_jitter=jitter)
        places = [env.units(e)[:, :2] for e in range(4)]
        env.reset()
        return places + [env.units(e)[:, :2] for e in range(4)]

    assert all((start == starts(0.0)[0]).all() for start in starts(0.0))
    jittered = starts(0.5)
    assert len({start.tobytes() for start in jittered}) == 8
    assert np.abs(np.array(jittered) - starts(0.0)[0]).max() < 1.5


def test_agents_are_numbered_by_type_then_x_then_y() -> None:
    for name in ("1c3s5z", "MMM2", "bane_vs_bane"):
        env = battle(name)
        units = env.units(0)[: env.spec.n_agents]
        kinds = [UNIT_TYPES[int(kind)] for kind in units[:, 6]]
        assert kinds == sorted(kinds)  # SMAC's order of type ids is alphabetical on these maps
        for kind in set(kinds):
            places = [tuple(unit[:2]) for unit, its in zip(units, kinds) if its == kind]
            assert places == sorted(places)


def test_saved_battle_goes_on_as_it_would_have() -> None:
    env = battle("MMM2", 2, seed=9)
    for step in range(15):
        env.step(env.random_actions(4, step))
    saved = env.get_state(0)
    later = []
    for _ in range(2):
        for step in range(15, 60):
            env.step(env.random_actions(4, step))
        later.append(env.state[0].tobytes())
        env.set_state(0, saved)
    assert later[0] == later[1]


def test_staged_battle_that_no_game_could_have_is_refused() -> None:
    env = battle("2s3z")
    good = env.units(0)[:, :6]
    untouched = env.get_state(0)
    for unit, column, value in [
        (0, 0, 32.0), (0, 0, -0.1), (3, 1, 40.0), (0, 2, 81.0), (0, 2, -1.0), (0, 3, 80.5), (0, 4, 1.0), (2, 5, -2.0),
        (1, 0, np.nan), (1, 2, np.inf),
    ]:  # fmt: skip
        wrong = good.copy()
        wrong[unit, column] = value
        with pytest.raises(ValueError, match="staged units must stand on the map"):
            env.stage(0, wrong)
    with pytest.raises(ValueError, match=r"a staged table must be float32 \[10, 6\]"):
        env.stage(0, good[:9])
    assert env.get_state(0) == untouched
    with pytest.raises(ValueError, match="there is no env 1"):
        env.stage(1, good)


# How hard the maps are: short versions of benchmarks/skirmish_gates.py, whose table is in docs/skirmish.md ----------


def play(name: str, policy: str, episodes: int, num_envs: int = 32, **options: Any) -> tuple[float, float, float]:
    """(win rate, rate of battles that killed everybody, mean return), the same number of episodes in each env."""
    env = battle(name, num_envs, seed=3, mirror=policy == "mirror", **options)
    each = episodes // num_envs
    played = np.zeros(num_envs, int)
    running = np.zeros(num_envs)
    won, drawn, returns = [], [], []
    while played.min() < each:
        env.step(env.scripted_actions("random" if policy == "mirror" else policy))
        running += env.reward
        for e in np.flatnonzero(env.terminated | env.truncated):
            if played[e] < each:
                won.append(int(env.battle_won[e]))
                dead = (int(env.dead_allies[e]), int(env.dead_enemies[e]))
                drawn.append(dead == (env.spec.n_agents, env.n_units - env.spec.n_agents))
                returns.append(float(running[e]))
            played[e] += 1
            running[e] = 0
    return float(np.mean(won)), float(np.mean(drawn)), float(np.mean(returns))


# so_many_baneling is an exception: zealots that scatter at random survive about one battle in 25.
@pytest.mark.parametrize("name", [name for name in MAPS if name not in ("bane_vs_bane", "so_many_baneling")])
def test_random_policy_never_wins(name: str) -> None:
    assert play(name, "random", 32)[0] == 0


def test_random_policy_wins_so_many_baneling_seldom() -> None:
    assert play("so_many_baneling", "random", 192)[0] < 0.1


@pytest.mark.parametrize(
    "name, low, high",
    [("8m", 1.5, 2.5), ("25m", 1.5, 2.5), ("2s3z", 3.0, 4.2), ("3s5z", 3.3, 4.2), ("6h_vs_8z", 5, 6.4)],
)
def test_random_return_is_about_that_of_the_real_game(name: str, low: float, high: float) -> None:
    assert low < play(name, "random", 96)[2] < high


@pytest.mark.parametrize("name", ["3m", "8m", "25m", "2s3z", "3s5z", "MMM", "bane_vs_bane"])
def test_mirrored_computers_win_equally_often(name: str) -> None:
    # 256 battles: a standard error of 3 %. The committed table has 1,024.
    won, drawn, _ = play(name, "mirror", 256, 64)
    assert 0.38 < won + drawn / 2 < 0.62


@pytest.mark.parametrize("policy", ["nearest", "weakest"])
@pytest.mark.parametrize("name", ["MMM2", "6h_vs_8z", "27m_vs_30m", "3s5z_vs_3s6z", "2c_vs_64zg", "corridor"])
def test_scripted_allies_lose_the_super_hard_maps(name: str, policy: str) -> None:
    assert play(name, policy, 64)[0] <= (0.25 if name == "corridor" and policy == "nearest" else 0.05)


def test_doing_nothing_loses() -> None:
    env = battle("8m", 4)
    while not env.terminated[0]:
        env.step(np.where(env.avail_actions[..., 0] == 1, 0, STOP).astype(np.int32))
    assert not env.battle_won.any()
