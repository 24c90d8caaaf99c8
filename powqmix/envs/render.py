"""Pictures of environments for replays: `draw` for any that has one, a predator-prey state as an RGB image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import FloatArray

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

Color = tuple[int, int, int]

BACKGROUND: Color = (250, 250, 247)
LINE: Color = (222, 222, 214)
TEXT: Color = (60, 60, 60)
COLORS: tuple[Color, Color, Color] = ((31, 119, 180), (214, 69, 52), (150, 150, 150))  # of the planes
NAMES = ("agents", "prey", "hares")
MARGIN, HEADER, FOOTER = 12, 34, 30  # pixels


@dataclass(frozen=True)
class Moment:
    """Where an episode is when it is drawn."""

    step: int  # steps played
    episode_return: float  # so far
    ended: bool = False  # the last step ended it: the environment shows the next one already, its `final_*` this one


def draw(env: Any, moment: Moment) -> Image:
    """The first environment of the batch `env` as RGB. Raises ValueError on a kind that has no picture."""
    drawer = DRAWERS.get(env.spec.id.partition("/")[0])
    if drawer is None:
        raise ValueError(f"{env.spec.id} has no picture; there are pictures of {', '.join(DRAWERS)}")
    return drawer(env, moment)


def _draw_predator_prey_env(env: Any, moment: Moment) -> Image:
    state = (env.final_state if moment.ended else env.state)[0]
    captured = env.options.n_prey - int(board_planes(state)[..., 1].sum())
    return draw_predator_prey(state, step=moment.step, episode_return=moment.episode_return, captured=captured)


def _draw_skirmish_env(env: Any, moment: Moment) -> Image:
    from .render_skirmish import draw_frame, snapshot

    return draw_frame(snapshot(env, ended=moment.ended), scale=24, whole=False)


# To give a family of environments a picture: a row here, by the part of its ids before the slash.
DRAWERS: dict[str, Callable[[Any, Moment], Image]] = {
    "predator_prey": _draw_predator_prey_env,
    "skirmish": _draw_skirmish_env,
}


def draw_predator_prey(
    state: FloatArray, *, step: int, episode_return: float, captured: int | None = None, cell: int | None = None
) -> Image:
    """The board of one predator-prey environment as RGB: agents are blue discs, prey red diamonds.

    state: f32 [S], its `env.state[e]` (or `env.final_state[e]` after an end); the board is square, so S says its size.
    step, episode_return, captured (prey so far): written above the board.
    cell: pixels of a cell's side; None: such that a board is 360 wide, and a cell 8 at least.
    Raises ValueError if `state` is not that of a square board of three planes.
    """
    from PIL import Image, ImageDraw

    planes = board_planes(state)
    grid = planes.shape[0]
    cell = cell or max(360 // grid, 8)
    side = grid * cell
    image = Image.new("RGB", (side + 2 * MARGIN + 1, HEADER + side + FOOTER + 1), BACKGROUND)
    draw = ImageDraw.Draw(image)

    header = f"step {step}    return {episode_return:g}" + ("" if captured is None else f"    captured {captured}")
    _write(draw, header, MARGIN, HEADER / 2, side)
    for at in range(0, side + 1, cell):
        draw.line([(MARGIN + at, HEADER), (MARGIN + at, HEADER + side)], fill=LINE)
        draw.line([(MARGIN, HEADER + at), (MARGIN + side, HEADER + at)], fill=LINE)
    for row, column, plane in np.argwhere(planes > 0.5).tolist():
        _mark(draw, MARGIN + (column + 0.5) * cell, HEADER + (row + 0.5) * cell, cell / 3, plane)

    legend = HEADER + side + FOOTER / 2
    for plane, name in enumerate(NAMES[: 3 if planes[..., 2].any() else 2]):
        left = MARGIN + plane * side / 3
        _mark(draw, left + 6, legend, 6, plane)
        _write(draw, name, left + 18, legend, side / 3 - 18)
    return image


def board_planes(state: FloatArray) -> FloatArray:
    """`state` f32 [S] as [row, column, plane] with the planes agents, prey, hares."""
    grid = round((state.size / 3) ** 0.5)
    if state.ndim != 1 or grid < 1 or grid * grid * 3 != state.size:
        raise ValueError(f"a predator_prey state must be f32 [grid * grid * 3], got the shape {list(state.shape)}")
    return state.reshape(grid, grid, 3)


def _mark(draw: ImageDraw, x: float, y: float, radius: float, plane: int) -> None:
    """A disc for an agent, a diamond for what is hunted."""
    if plane == 0:
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=COLORS[plane])
    else:
        draw.polygon([(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)], fill=COLORS[plane])


def _write(draw: ImageDraw, text: str, x: float, y: float, width: float) -> None:
    """`text` on one line from x on, its middle at y, in the largest letters that fit into `width`."""
    from PIL import ImageFont

    for size in (16, 14, 12, 10, 8):
        font = ImageFont.load_default(size)
        if draw.textlength(text, font=font) <= width:
            break
    draw.text((x, y), text, fill=TEXT, font=font, anchor="lm")
