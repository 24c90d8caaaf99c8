"""Where the agents of predator-prey start and how they move, on boards worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from powqmix import envs
from powqmix.envs.predator_prey import Cell, PredatorPrey

from .predator_prey_boards import CATCH, DOWN, LEFT, RIGHT, STAY, UP, act, stage

# Reset ---------------------------------------------------------------------------------------------------------------


def test_reset_puts_everyone_on_a_cell_of_their_own() -> None:
    env = envs.make("predator_prey", 200, seed=3)
    env.reset()
    assert (env.state.reshape(200, 100, 3).sum(1) == [8, 8, 0]).all()
    assert env.state.reshape(200, 100, 3).sum(2).max() == 1


def test_reset_can_fill_the_whole_board() -> None:
    env = envs.make("predator_prey", 5, grid=3, n_agents=4, n_prey=5)
    env.reset()
    assert (env.state.reshape(5, 9, 3).sum(2) == 1).all()


def test_reset_is_uniform_over_cells() -> None:
    env = envs.make("predator_prey", 4000, seed=3, grid=3, n_agents=2, n_prey=1)
    assert isinstance(env, PredatorPrey)
    env.reset()
    counts: dict[tuple[Any, ...], int] = {}
    for e in range(4000):
        board = env.board(e)
        counts[board.agents + board.prey] = counts.get(board.agents + board.prey, 0) + 1
    expected = 4000 / (9 * 8 * 7)
    assert len(counts) == 9 * 8 * 7
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert abs(chi_square - 503) < 6 * np.sqrt(2 * 503)


# Legal actions -------------------------------------------------------------------------------------------------------


def test_moves_off_the_board_are_not_legal() -> None:
    env = stage("a.b ... c.1", n_agents=4)
    assert env.avail_actions[0].tolist() == [
        [1, 1, 0, 0, 1, 0],  # a: right, down
        [0, 1, 1, 0, 1, 0],  # b: down, left
        [1, 0, 0, 1, 1, 0],  # c: right, up
        [0, 0, 0, 0, 1, 0],  # d is frozen
    ]


def test_moves_into_an_occupied_cell_are_legal() -> None:
    env = stage(".b. cad .1.")
    assert env.avail_actions[0, 0].tolist() == [1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "text, legal", [(".1. .a. ...", 1), ("1.. .a. ...", 0), ("... .a1 ...", 1), ("a.. ..1 ...", 0)]
)
def test_catch_is_legal_only_beside_prey(text: str, legal: int) -> None:
    assert stage(text).avail_actions[0, 0, CATCH] == legal


def test_prey_in_the_next_row_is_not_beside_an_agent_at_the_edge() -> None:
    env = stage("..a 1.. ...")
    assert env.avail_actions[0, 0, CATCH] == 0


# Agents move ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action, cell", [(RIGHT, (2, 3)), (DOWN, (3, 2)), (LEFT, (2, 1)), (UP, (1, 2)), (STAY, (2, 2))]
)
def test_agent_goes_where_it_wants(action: int, cell: Cell) -> None:
    env = stage("....1 ..... ..a.. ..... .....")
    act(env, action)
    assert env.board(0).agents == (cell,)
    assert env.reward[0] == 0


def test_move_into_prey_does_nothing_though_the_prey_then_leaves() -> None:
    env = stage("a1.. .... .... ....", 50)
    act(env, RIGHT)
    for e in range(50):
        assert env.board(e).agents == ((0, 0),)
        assert env.board(e).prey[0] in {(0, 2), (1, 1)}


def test_of_two_agents_that_want_one_cell_either_gets_it_and_the_other_stays() -> None:
    env = stage("a.b. .... .... ...1", 200)
    act(env, RIGHT, LEFT)
    seen = [env.board(e).agents for e in range(200)]
    assert set(seen) == {((0, 1), (0, 2)), ((0, 0), (0, 1))}
    assert 60 < seen.count(((0, 1), (0, 2))) < 140


def test_agent_follows_another_only_if_that_one_moved_before_it() -> None:
    env = stage("ab.. .... .... ...1", 200)
    act(env, RIGHT, RIGHT)
    seen = [env.board(e).agents for e in range(200)]
    assert set(seen) == {((0, 1), (0, 2)), ((0, 0), (0, 2))}
    assert 60 < seen.count(((0, 1), (0, 2))) < 140


def test_agents_cannot_swap() -> None:
    env = stage("ab.. .... .... ...1", 50)
    act(env, RIGHT, LEFT)
    assert {env.board(e).agents for e in range(50)} == {((0, 0), (0, 1))}


def test_frozen_agent_takes_no_room() -> None:
    env = stage("a.. ... ..1", n_agents=2)
    act(env, RIGHT, STAY)
    assert env.board(0).agents == ((0, 1), None)
