"""A step of predator-prey against its rules: all outcomes enumerated with their odds, then thousands of steps counted.

The rules are written a second time here, slowly and without random numbers: every order and every move of prey is a
branch. The environment must reach exactly those outcomes, as often as their probabilities say.
"""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix import envs
from powqmix.envs.predator_prey import Board, Cell, PredatorPrey

RIGHT, DOWN, LEFT, UP, STAY, CATCH = range(6)
STEP = {RIGHT: (0, 1), DOWN: (1, 0), LEFT: (0, -1), UP: (-1, 0)}
PUNISHMENT, CAPTURE = -3.0, 10.0
TRIES = 1500

Places = tuple[Cell | None, ...]
Outcome = tuple[float, Places, Places]  # reward, agents, prey


def beside(cell: Cell, grid: int) -> list[Cell]:
    around = [(cell[0] + row, cell[1] + col) for row, col in STEP.values()]
    return [(row, col) for row, col in around if 0 <= row < grid and 0 <= col < grid]


def after_moves(agents: Places, prey: Places, actions: tuple[int, ...], order: tuple[int, ...]) -> Places:
    moved = list(agents)
    for agent in order:
        cell = moved[agent]
        if cell is None or actions[agent] not in STEP:
            continue
        row, col = STEP[actions[agent]]
        to = (cell[0] + row, cell[1] + col)
        if to not in moved and to not in prey:
            moved[agent] = to
    return tuple(moved)


def after_prey(
    agents: Places, prey: Places, actions: tuple[int, ...], order: tuple[int, ...], grid: int, reward: float = 0.0
) -> list[tuple[Fraction, Outcome]]:
    """The outcomes once the prey in `order` have had their turns, with their odds."""
    if not order:
        return [(Fraction(1), (reward, agents, prey))]
    which, rest = order[0], order[1:]
    cell = prey[which]
    if cell is None:
        return after_prey(agents, prey, actions, rest, grid, reward)
    around = beside(cell, grid)
    catchers = [i for i, at in enumerate(agents) if at in around and actions[i] == CATCH]
    if len(catchers) >= 2:
        left = tuple(None if i in catchers else at for i, at in enumerate(agents))
        gone = tuple(None if i == which else at for i, at in enumerate(prey))
        return after_prey(left, gone, actions, rest, grid, reward + CAPTURE)
    reward += PUNISHMENT * len(catchers)
    free = [to for to in around if to not in agents and to not in prey] or [cell]
    outcomes = []
    for to in free:
        moved = tuple(to if i == which else at for i, at in enumerate(prey))
        for odds, outcome in after_prey(agents, moved, actions, rest, grid, reward):
            outcomes.append((odds / len(free), outcome))
    return outcomes


def enumerate_step(board: Board, actions: tuple[int, ...], grid: int) -> dict[Outcome, Fraction]:
    odds: dict[Outcome, Fraction] = {}
    agent_orders = list(itertools.permutations(range(len(board.agents))))
    prey_orders = list(itertools.permutations(range(len(board.prey))))
    for agent_order in agent_orders:
        agents = after_moves(board.agents, board.prey, actions, agent_order)
        for prey_order in prey_orders:
            for chance, outcome in after_prey(agents, board.prey, actions, prey_order, grid):
                share = chance / len(agent_orders) / len(prey_orders)
                odds[outcome] = odds.get(outcome, Fraction(0)) + share
    assert sum(odds.values()) == 1
    return odds


def seen(outcome: Outcome, grid: int) -> tuple[float, bool, bytes]:
    """What tells of an outcome also after an end: the reward, whether it ended, and the state."""
    reward, agents, prey = outcome
    planes = np.zeros((grid, grid, 3), np.float32)
    for plane, cells in enumerate((agents, prey)):
        for cell in cells:
            if cell is not None:
                planes[cell[0], cell[1], plane] = 1
    ended = not any(agents) or not any(prey)  # a cell is a non-empty tuple: true
    return reward, ended, planes.tobytes()


@settings(max_examples=30, deadline=None)
@given(data=st.data(), grid=st.integers(2, 4), n_agents=st.integers(1, 4), n_prey=st.integers(1, 3))
def test_step_reaches_each_outcome_as_often_as_the_rules_say(
    data: st.DataObject, grid: int, n_agents: int, n_prey: int
) -> None:
    cells = [(row, col) for row in range(grid) for col in range(grid)]
    if n_agents + n_prey > len(cells):
        n_agents, n_prey = 2, 1
    placed = data.draw(st.permutations(cells))[: n_agents + n_prey]
    board = Board(tuple(placed[:n_agents]), tuple(placed[n_agents:]))
    made = envs.make(
        "predator_prey", TRIES, data.draw(st.integers(0, 2**32)), grid=grid, n_agents=n_agents, n_prey=n_prey,
        punishment=PUNISHMENT, capture_reward=CAPTURE,
    )  # fmt: skip
    assert isinstance(made, PredatorPrey)
    env = made
    env.reset()
    for e in range(TRIES):
        env.place(e, board)
    legal = [np.flatnonzero(row).tolist() for row in env.avail_actions[0]]
    # Prefer catching, or captures would be rare.
    actions = tuple(
        CATCH if CATCH in row and data.draw(st.booleans()) else data.draw(st.sampled_from(row)) for row in legal
    )
    env.step(np.tile(np.array(actions, np.int32), (TRIES, 1)))

    odds: Counter[tuple[float, bool, bytes]] = Counter()
    for outcome, chance in enumerate_step(board, actions, grid).items():
        odds[seen(outcome, grid)] += chance  # type: ignore[assignment]
    counts: Counter[tuple[float, bool, bytes]] = Counter()
    for e in range(TRIES):
        ended = bool(env.terminated[e])
        counts[float(env.reward[e]), ended, (env.final_state if ended else env.state)[e].tobytes()] += 1
    assert set(counts) <= set(odds), "an outcome that the rules do not know"
    for key, chance in odds.items():
        expected = TRIES * float(chance)
        assert abs(counts[key] - expected) <= 6 * np.sqrt(expected * (1 - float(chance))) + 6, (actions, key[:2])
