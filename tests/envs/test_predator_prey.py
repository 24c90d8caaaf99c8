"""Every rule of predator-prey on boards worked out by hand. Maps: a-h agents, 1-8 prey, . free; row 0 on top."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix import envs
from powqmix.envs.predator_prey import Board, Cell, PredatorPrey

RIGHT, DOWN, LEFT, UP, STAY, CATCH = range(6)
AGENTS, PREY, HARES = range(3)


def parse(text: str, n_agents: int, n_prey: int, steps: int = 0) -> Board:
    """The board drawn in `text`; entities that are not in it have left."""
    where = {name: (row, col) for row, line in enumerate(text.split()) for col, name in enumerate(line)}
    agents = tuple(where.get(chr(ord("a") + i)) for i in range(n_agents))
    return Board(agents, tuple(where.get(str(1 + i)) for i in range(n_prey)), steps)


def stage(text: str, num_envs: int = 1, steps: int = 0, **options: Any) -> PredatorPrey:
    """Environments on the board drawn in `text`, which says the size and the counts unless `options` do."""
    letters = [name for name in text if name.isalnum()]
    options.setdefault("grid", len(text.split()[0]))
    options.setdefault("n_agents", max(ord(name) - ord("a") + 1 for name in letters if name.isalpha()))
    options.setdefault("n_prey", max(int(name) for name in letters if name.isdigit()))
    env = envs.make("predator_prey", num_envs, seed=1, **options)
    assert isinstance(env, PredatorPrey)
    env.reset()
    for e in range(num_envs):
        env.place(e, parse(text, options["n_agents"], options["n_prey"], steps))
    return env


def act(env: PredatorPrey, *actions: int) -> None:
    """Every environment plays `actions`, one an agent."""
    env.step(np.tile(np.array(actions, np.int32), (env.num_envs, 1)))


def neighbours(cell: Cell) -> set[Cell]:
    row, col = cell
    return {(row, col + 1), (row + 1, col), (row, col - 1), (row - 1, col)}


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


# Catching ------------------------------------------------------------------------------------------------------------


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
