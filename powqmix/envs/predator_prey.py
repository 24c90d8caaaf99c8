"""Predator-prey on a grid: `predator_prey`, in which prey is caught by two agents at once or not at all.

It shows relative over-generalisation: with a punishment for trying alone, agents that do not yet coordinate learn
never to try. Rules, for each environment:

- A bounded `grid` x `grid` board, one entity a cell. A reset puts first the agents, then the prey, on uniformly random
  free cells.
- Actions: 0 right, 1 down, 2 left, 3 up, 4 stay, 5 catch. Legal: moves that stay on the board (also into an occupied
  cell), stay, and catch if prey is in one of the four neighbour cells. A frozen agent may only stay.
- First the agents that are not frozen move, one after another in fresh random order; a move into an occupied cell does
  nothing.
- Then the prey, one after another in fresh random order, each on the positions of that moment. k is the number of
  agents not frozen that chose catch and are its 4-neighbours. k >= 2: it is captured, for `capture_reward`, and those
  k agents freeze; prey and agents leave the board at once. k = 1: `punishment`, once for each such prey. With k = 0 or
  1 the prey moves to a uniformly random free neighbour cell, if there is one.
- An episode terminates when all prey is captured or all agents are frozen, and is truncated after `episode_limit`
  steps. The most it can give is capture_reward * min(n_prey, n_agents // 2): 40.

Observation: the (2 sight + 1)^2 window around the agent, [row, column, plane] with the planes agents (itself included),
prey, hares, as 0 and 1; outside of the board is 0; a frozen agent sees zeros. There are no hares in this variant: their
plane is kept, all 0, so that the sizes are those of the published game (75 and 300). State: the board, [row, column,
plane].

Sources: the game was introduced with Deep Coordination Graphs (Boehmer et al., ICML 2020, arXiv 1910.00091) and used by
Weighted QMIX (arXiv 2006.10800) and POWQMIX (arXiv 2405.08036), which studies punishments 0, -2, -3, -4 and -5; the
default of -2 is the usual one. PyMARL2, whose rules these are, is Apache-2.0. Licence: Apache-2.0, as all of powqmix;
written from the rules, the code is our own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import powqmix._C as _C
from powqmix.types import EnvSpec

from .base import Batch
from .native import NativeEnv, batch_options

Cell = tuple[int, int]  # row, column


@dataclass(frozen=True)
class Options:
    grid: int = 10
    n_agents: int = 8
    n_prey: int = 8
    sight: int = 2  # cells seen in each direction: a 5 x 5 window
    punishment: float = -2.0
    capture_reward: float = 10.0
    episode_limit: int = 200


@dataclass(frozen=True)
class Board:
    """Where everything is in one environment; None: frozen, or captured."""

    agents: tuple[Cell | None, ...]
    prey: tuple[Cell | None, ...]
    steps: int = 0  # played in this episode


class PredatorPrey(NativeEnv):
    """A batch of predator-prey games.

    options: those it was made with.
    optimal_return: the most that an episode can give.
    """

    def __init__(self, options: Options, batch: Batch) -> None:
        super().__init__(_C.PredatorPrey(**dataclasses.asdict(options), batch=batch_options(batch)))
        self.options = options
        self.optimal_return = max(options.capture_reward, 0.0) * min(options.n_prey, options.n_agents // 2)

    def board(self, env: int) -> Board:
        """Where everything is in environment `env` now."""
        steps, agents, prey = self.native.board(env)
        return Board(self._cells(agents), self._cells(prey), steps)

    def place(self, env: int, board: Board) -> None:
        """Puts environment `env` on `board`, to build a scenario; its random stream goes on.

        The arrays show the board, reward and flags are 0. Raises ValueError, and changes nothing, if the game could
        not go on from it: wrong counts, two on one cell, nobody left, no step left.
        """
        self.native.place(env, board.steps, self._indices(board.agents), self._indices(board.prey))

    def _cells(self, indices: Sequence[int]) -> tuple[Cell | None, ...]:
        return tuple(None if index < 0 else divmod(index, self.options.grid) for index in indices)

    def _indices(self, cells: Sequence[Cell | None]) -> list[int]:
        grid = self.options.grid
        for cell in cells:
            if cell is not None and not (0 <= cell[0] < grid and 0 <= cell[1] < grid):
                raise ValueError(f"predator_prey: the cell {cell} is outside of the {grid} x {grid} grid")
        return [-1 if cell is None else cell[0] * grid + cell[1] for cell in cells]


def ids() -> list[str]:
    return ["predator_prey"]


def make(env_id: str, options: Options, batch: Batch) -> PredatorPrey:
    return PredatorPrey(options, batch)


def spec(env_id: str, options: Options) -> EnvSpec:
    return PredatorPrey(options, Batch()).spec
