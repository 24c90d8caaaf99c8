"""Pictures of predator-prey: everything on the board is drawn where it is, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix import envs
from powqmix.envs.render import COLORS, HEADER, MARGIN, draw_predator_prey


@settings(max_examples=20, deadline=None)
@given(grid=st.integers(2, 12), seed=st.integers(0, 99), cell=st.sampled_from([None, 9, 30]))
def test_middle_of_each_cell_has_the_colour_of_who_stands_there(grid: int, seed: int, cell: int | None) -> None:
    env = envs.make("predator_prey", 1, seed, grid=grid, n_agents=2, n_prey=2)
    env.reset()
    planes = env.state[0].reshape(grid, grid, 3)
    image = draw_predator_prey(env.state[0], step=3, episode_return=-2.5, captured=1, cell=cell)
    assert image.mode == "RGB"
    side = cell or 360 // grid
    for row in range(grid):
        for column in range(grid):
            pixel = image.getpixel((MARGIN + column * side + side // 2, HEADER + row * side + side // 2))
            drawn = [COLORS.index(pixel)] if pixel in COLORS else []
            assert drawn == np.flatnonzero(planes[row, column]).tolist()


def test_step_and_return_are_written() -> None:
    state = np.zeros(300, np.float32)
    one, other = (np.asarray(draw_predator_prey(state, step=1, episode_return=r)) for r in (0.0, 40.0))
    assert (one[:HEADER] != other[:HEADER]).any()
    np.testing.assert_array_equal(one[HEADER:], other[HEADER:])


@pytest.mark.parametrize("shape", [(299,), (10, 10, 3), (0,)])
def test_state_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="predator_prey state must be"):
        draw_predator_prey(np.zeros(shape, np.float32), step=0, episode_return=0.0)
