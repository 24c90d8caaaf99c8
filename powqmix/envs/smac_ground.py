"""The ground of a real map as the text that skirmish reads: what the game knows in place of what its archives tell.

Digits are walkable cells of that level, `#` walls, `^` cliffs that cliff walkers cross; see skirmish_terrain.yaml.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

_SAME_LEVEL = 0.01  # heights closer than this (of 0 to 1) are one level; the game's cliffs are higher
_CLIFF_CELLS = 2  # unwalkable cells between two levels that a cliff has at most


def ground_rows(walkable: npt.NDArray[np.bool_], height: npt.NDArray[np.float64]) -> list[str]:
    """One text a row, the north first, of grids [x, y] whose y grows to the north."""
    level = _levels(walkable, height)
    cliff = _cliffs(walkable, level) | _cliffs(walkable.T, level.T).T
    signs = np.where(cliff, "^", "#")
    signs[walkable] = level[walkable].astype(str)
    return ["".join(signs[:, y]) for y in reversed(range(signs.shape[1]))]


def _levels(walkable: npt.NDArray[np.bool_], height: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The level of each walkable cell, 1 for the lowest, at most 9; 0 elsewhere."""
    known = np.unique(height[walkable])
    first = np.concatenate([known[:1], known[1:][np.diff(known) > _SAME_LEVEL]])  # the lowest height of each level
    return np.where(walkable, np.searchsorted(first, height, side="right").clip(1, 9), 0)


def _cliffs(walkable: npt.NDArray[np.bool_], level: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Unwalkable cells that lie along the second axis between walkable ones of two levels, close together."""
    cliff = np.zeros_like(walkable)
    for x in range(walkable.shape[0]):
        there = np.flatnonzero(walkable[x])
        for below, above in itertools.pairwise(there.tolist()):
            if 1 < above - below <= _CLIFF_CELLS + 1 and level[x, below] != level[x, above]:
                cliff[x, below + 1 : above] = True
    return cliff
