"""Captures, punishments and fleeing prey in predator-prey, on boards worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from .predator_prey_boards import AGENTS, CATCH, PREY, RIGHT, STAY, act, neighbours, stage


def test_two_catchers_capture_freeze_and_leave_the_board() -> None:
    env = stage("a1b. .... .... 2..c")
    act(env, CATCH, CATCH, STAY)
    assert env.reward[0] == 10
    assert not env.terminated[0]
    board = env.board(0)
    assert board.agents == (None, None, (3, 3))
    assert board.prey[0] is None
    assert board.prey[1] in neighbours((3, 0))
    assert env.state[0].reshape(4, 4, 3)[..., AGENTS].sum() == 1
    assert env.state[0].reshape(4, 4, 3)[..., PREY].sum() == 1
    assert not env.obs[0, :2].any()
    assert env.avail_actions[0, :2].tolist() == [[0, 0, 0, 0, 1, 0]] * 2


def test_frozen_agent_that_moves_is_refused() -> None:
    env = stage("a1b. .... .... 2..c")
    act(env, CATCH, CATCH, STAY)
    with pytest.raises(ValueError, match=r"env 0, agent 1: action 0 is not legal now; legal: 4$"):
        act(env, STAY, RIGHT, STAY)


@pytest.mark.parametrize("catchers", [2, 3])
def test_every_catcher_beside_captured_prey_freezes_and_no_other(catchers: int) -> None:
    env = stage(".a.. b1c. .d.. 2...", capture_reward=7.0)
    act(env, *[CATCH] * catchers, *[STAY] * (4 - catchers))
    assert env.reward[0] == 7  # once, however many catch
    assert [cell is None for cell in env.board(0).agents] == [True] * catchers + [False] * (4 - catchers)


def test_four_can_catch_one() -> None:
    env = stage(".a.. b1c. .d.. 2...")
    act(env, *[CATCH] * 4)
    assert env.reward[0] == 10
    assert env.terminated[0]
    assert not env.final_state[0].reshape(16, 3)[:, AGENTS].any()


@pytest.mark.parametrize("punishment", [0.0, -2.0, -3.5])
def test_lone_catcher_is_punished_and_the_prey_moves_on(punishment: float) -> None:
    env = stage("a1.. .... .... ....", 50, punishment=punishment)
    act(env, CATCH)
    assert (env.reward == punishment).all()
    assert {env.board(e).agents for e in range(50)} == {((0, 0),)}
    assert {env.board(e).prey[0] for e in range(50)} == {(0, 2), (1, 1)}


def test_agent_beside_prey_that_does_not_catch_does_not_count() -> None:
    env = stage("a1b. .... .... ....", 20)
    act(env, CATCH, STAY)
    assert (env.reward == -2).all()


def test_diagonal_catcher_does_not_count() -> None:
    # b is beside 2 and diagonal to 1: each prey has one catcher, whichever comes first.
    env = stage("a1.. ..b2 .... ....", 50)
    act(env, CATCH, CATCH)
    assert (env.reward == -4).all()


def test_lone_catcher_is_punished_once_for_each_prey_beside_it() -> None:
    env = stage("1a2. .3.. .... ....", 50)
    act(env, CATCH)
    assert (env.reward == -6).all()


def test_catchers_frozen_with_one_prey_cannot_catch_the_next() -> None:
    # Both agents are beside both prey: whichever comes first is captured, the other is free again.
    env = stage("1a. b2. ...", 100)
    act(env, CATCH, CATCH)
    assert (env.reward == 10).all()
    assert env.terminated.all()  # all agents are frozen
    left = env.final_state.reshape(100, 9, 3)[..., PREY]
    assert (left.sum(1) == 1).all()


def test_order_of_prey_decides_whether_a_captor_is_punished_before() -> None:
    # d is beside both. 1 first: c and d capture it and are gone. 2 first: it finds d alone, then 1 is captured.
    env = stage("c1d2 .... .... a..b", 50)
    act(env, STAY, STAY, CATCH, CATCH)
    assert set(env.reward.tolist()) == {10.0, 8.0}


def test_prey_counts_positions_that_prey_before_it_left() -> None:
    # 1 is boxed in by a and 2: it moves only if 2 went out of its way before.
    env = stage("12.. a... .... ....", 300)
    act(env, STAY)
    ones = {env.board(e).prey[0] for e in range(300)}
    assert ones == {(0, 0), (0, 1)}


def test_prey_without_a_free_neighbour_stays() -> None:
    env = stage("1a. b.. ...", 20)
    act(env, STAY, STAY)
    assert {env.board(e).prey[0] for e in range(20)} == {(0, 0)}


def test_prey_moves_to_each_free_neighbour_equally_often_and_never_stays() -> None:
    env = stage("..... ..... ..1.. ..... a....", 2000)
    act(env, STAY)
    cells = [env.board(e).prey[0] for e in range(2000)]
    for cell in neighbours((2, 2)):
        assert abs(cells.count(cell) - 500) < 6 * np.sqrt(2000 * 0.25 * 0.75)


def test_cells_of_captors_are_free_for_prey_that_comes_later() -> None:
    # a and b hold both prey. The first is captured, and they leave; the second then moves to where one of them was.
    env = stage("2a. b1c .d.", 200)
    act(env, CATCH, CATCH, STAY, STAY)
    assert (env.reward == 10).all()
    assert {env.board(e).prey for e in range(200)} == {
        (None, (0, 1)), (None, (1, 0)), ((0, 1), None), ((1, 0), None),
    }  # fmt: skip
