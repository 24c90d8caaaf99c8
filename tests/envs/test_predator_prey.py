"""How episodes of predator-prey end, what agents see, and boards that are put up, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix import envs
from powqmix.envs.predator_prey import Board, PredatorPrey

from .predator_prey_boards import AGENTS, CATCH, HARES, LEFT, PREY, RIGHT, STAY, act, neighbours, stage

# Ends ----------------------------------------------------------------------------------------------------------------


def test_last_prey_captured_terminates_and_final_shows_the_end() -> None:
    env = stage("a1b. .... .... ...c")
    act(env, CATCH, CATCH, LEFT)
    assert (env.terminated[0], env.truncated[0], env.reward[0]) == (1, 0, 10)
    planes = env.final_state[0].reshape(4, 4, 3)
    assert planes[..., PREY].sum() == 0
    assert np.argwhere(planes[..., AGENTS]).tolist() == [[3, 2]]
    assert not env.final_obs[0, :2].any()
    assert env.final_obs[0, 2].any()
    assert env.final_avail_actions[0].tolist() == [[0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0], [1, 0, 1, 1, 1, 0]]
    assert env.board(0).steps == 0  # a new episode already
    assert None not in env.board(0).agents


def test_all_agents_frozen_terminates_though_prey_is_left() -> None:
    env = stage("a1b. .... .... 2...")
    act(env, CATCH, CATCH)
    assert (env.terminated[0], env.truncated[0]) == (1, 0)
    assert env.final_state[0].reshape(16, 3)[:, PREY].sum() == 1


def test_one_agent_left_over_plays_until_the_limit() -> None:
    env = stage("a1b. .... c... 2...", episode_limit=3)
    act(env, CATCH, CATCH, STAY)
    assert (env.terminated[0], env.truncated[0]) == (0, 0)
    act(env, STAY, STAY, STAY)
    assert (env.terminated[0], env.truncated[0]) == (0, 0)
    act(env, STAY, STAY, STAY)
    assert (env.terminated[0], env.truncated[0]) == (0, 1)


def test_limit_truncates_after_exactly_that_many_steps() -> None:
    env = stage("a.. ... ..1", episode_limit=5)
    for step in range(1, 11):
        act(env, STAY)
        assert (env.terminated[0], env.truncated[0]) == (0, step % 5 == 0)


def test_default_limit_is_two_hundred_steps() -> None:
    env = envs.make("predator_prey", 1)
    env.reset()
    stay = np.full((1, 8), STAY, np.int32)
    for step in range(1, 201):
        env.step(stay)
        assert env.truncated[0] == (step == 200)


def test_true_end_on_the_last_step_is_terminated_not_truncated() -> None:
    env = stage("a1b. .... .... ....", steps=4, episode_limit=5)
    act(env, CATCH, CATCH)
    assert (env.terminated[0], env.truncated[0]) == (1, 0)


def test_truncated_episode_shows_its_real_last_state() -> None:
    env = stage("a.. ... ..1", steps=4, episode_limit=5)
    act(env, RIGHT)
    assert env.truncated[0]
    planes = env.final_state[0].reshape(3, 3, 3)
    assert np.argwhere(planes[..., AGENTS]).tolist() == [[0, 1]]
    (cell,) = np.argwhere(planes[..., PREY]).tolist()
    assert tuple(cell) in neighbours((2, 2))


# Returns -------------------------------------------------------------------------------------------------------------


def test_most_that_an_episode_can_give_is_forty() -> None:
    text = (
        "a1b....... .......... c2d....... .......... e3f....... .......... g4h....... .......... .......... 5678......"
    )
    env = stage(text)
    assert env.optimal_return == 40
    act(env, *[CATCH] * 8)
    assert env.reward[0] == 40
    assert env.terminated[0]


@pytest.mark.parametrize("n_agents, n_prey, optimum", [(8, 8, 40), (8, 3, 30), (5, 8, 20), (1, 1, 0), (2, 1, 10)])
def test_optimum_is_the_captures_that_pairs_of_agents_allow(n_agents: int, n_prey: int, optimum: float) -> None:
    env = envs.make("predator_prey", n_agents=n_agents, n_prey=n_prey)
    assert isinstance(env, PredatorPrey)
    assert env.optimal_return == optimum


def test_random_policy_scores_as_the_peers_do() -> None:
    # Others measured about -102 at p = -2 over 10 episodes, whose standard error is about 8; ours is about 1.
    env = envs.make("predator_prey", 64, seed=11, punishment=-2.0)
    assert isinstance(env, PredatorPrey)
    env.reset()
    returns: list[float] = []
    running = np.zeros(64)
    for step in range(2000):
        env.step(env.random_actions(12, step))
        running += env.reward
        ended = (env.terminated | env.truncated).astype(bool)
        returns += running[ended].tolist()
        running[ended] = 0
    assert len(returns) >= 640
    assert -112 < np.mean(returns) < -85
    assert max(returns) <= env.optimal_return


# What is seen --------------------------------------------------------------------------------------------------------


def test_observation_is_the_window_around_the_agent_with_nothing_outside() -> None:
    env = stage("a1... .b... 2.... ..... ....c")
    window = env.obs[0].reshape(3, 5, 5, 3)
    # a stands in the corner: it is in the middle of its window, at (2, 2).
    assert np.argwhere(window[0, ..., AGENTS]).tolist() == [[2, 2], [3, 3]]
    assert np.argwhere(window[0, ..., PREY]).tolist() == [[2, 3], [4, 2]]
    assert np.argwhere(window[1, ..., AGENTS]).tolist() == [[1, 1], [2, 2]]
    assert np.argwhere(window[1, ..., PREY]).tolist() == [[1, 2], [3, 1]]
    assert np.argwhere(window[2]).tolist() == [[2, 2, AGENTS]]
    assert not window[..., HARES].any()


@settings(max_examples=40, deadline=None)
@given(
    grid=st.integers(2, 9), sight=st.integers(0, 5), n_agents=st.integers(1, 6), n_prey=st.integers(1, 6),
    seed=st.integers(0, 2**32), steps=st.integers(0, 30),
)  # fmt: skip
def test_what_is_seen_is_what_the_board_says(
    grid: int, sight: int, n_agents: int, n_prey: int, seed: int, steps: int
) -> None:
    if n_agents + n_prey > grid * grid:
        n_agents, n_prey = 1, 1
    env = envs.make("predator_prey", 2, seed, grid=grid, sight=sight, n_agents=n_agents, n_prey=n_prey)
    assert isinstance(env, PredatorPrey)
    env.reset()
    for step in range(steps):
        env.step(env.random_actions(seed, step))
    side = 2 * sight + 1
    for e in range(2):
        board = env.board(e)
        present = [cell for cell in board.agents + board.prey if cell is not None]
        assert len(set(present)) == len(present)
        planes = np.zeros((grid + 2 * sight, grid + 2 * sight, 3), np.float32)
        for plane, cells in enumerate((board.agents, board.prey)):
            for cell in cells:
                if cell is not None:
                    planes[cell[0] + sight, cell[1] + sight, plane] = 1
        np.testing.assert_array_equal(
            env.state[e], planes[sight : sight + grid, sight : sight + grid].ravel(), err_msg="state"
        )
        for agent, cell in enumerate(board.agents):
            legal = np.zeros(6)
            legal[STAY] = 1
            window = np.zeros((side, side, 3))
            if cell is not None:
                row, col = cell
                window = planes[row : row + side, col : col + side]
                legal[:4] = [col + 1 < grid, row + 1 < grid, col > 0, row > 0]
                legal[CATCH] = any(prey in neighbours(cell) for prey in board.prey if prey is not None)
            np.testing.assert_array_equal(env.obs[e, agent], window.ravel())
            np.testing.assert_array_equal(env.avail_actions[e, agent], legal)


# Building scenarios --------------------------------------------------------------------------------------------------


def test_board_gives_back_what_was_placed() -> None:
    env = stage("a1b. .... .... 2..c", steps=17)
    assert env.board(0) == Board(((0, 0), (0, 2), (3, 3)), ((0, 1), (3, 0)), 17)
    assert (env.reward[0], env.terminated[0], env.truncated[0]) == (0, 0, 0)


@pytest.mark.parametrize(
    "board",
    [
        Board(((0, 0), (0, 0)), ((1, 1),)),  # two on one cell
        Board(((0, 0), (1, 1)), ((1, 1),)),
        Board((None, None), ((1, 1),)),  # nobody left
        Board(((0, 0), (0, 1)), (None,)),
        Board(((0, 0),), ((1, 1),)),  # one agent too few
        Board(((0, 0), (0, 1)), ((1, 1), (1, 2))),
        Board(((0, 0), (0, 3)), ((1, 1),)),  # outside
        Board(((0, 0), (-1, 0)), ((1, 1),)),
        Board(((0, 0), (0, 1)), ((1, 1),), steps=200),  # no step left
        Board(((0, 0), (0, 1)), ((1, 1),), steps=-1),
    ],
)
def test_board_that_cannot_be_played_on_is_refused_and_changes_nothing(board: Board) -> None:
    env = stage("a.b ... 1..")
    before, saved = env.board(0), env.get_state(0)
    with pytest.raises(ValueError, match="predator_prey"):
        env.place(0, board)
    assert env.board(0) == before
    assert env.get_state(0) == saved


def test_placing_before_reset_says_to_reset() -> None:
    env = envs.make("predator_prey", grid=3, n_agents=1, n_prey=1)
    assert isinstance(env, PredatorPrey)
    with pytest.raises(ValueError, match=r"call reset\(\) first"):
        env.place(0, Board(((0, 0),), ((1, 1),)))
