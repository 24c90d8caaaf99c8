"""Boards of predator-prey drawn as text. Maps: a-h agents, 1-8 prey, . free; row 0 on top."""

from __future__ import annotations

from typing import Any

import numpy as np

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
