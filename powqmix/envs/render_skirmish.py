"""Pictures of a skirmish: terrain, units by type and side, health and shield bars, who fires at whom, the outcome.

    frames = [snapshot(env, 0)]
    while ...:
        env.step(actions)
        ended = bool(env.terminated[0] or env.truncated[0])
        frames.append(snapshot(env, 0, ended=ended))
    save_gif("battle.gif", frames)

A snapshot is plain data; drawing needs Pillow only. Agents are blue and carry their ids, enemies are red.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from powqmix.types import Array

from .skirmish import UNIT_COLUMNS, Skirmish
from .skirmish_units import UNIT_TYPES

_CELLS = 32
_BORDER = 1  # cells of wall around the field, so that units at its edge are seen whole
_DIED = UNIT_COLUMNS.index("died")
_FLOOR = ((226, 222, 210), (214, 219, 206), (196, 206, 190))  # by level: low, middle, high
_WALL, _CLIFF, _INK = (88, 84, 80), (150, 134, 112), (40, 40, 44)
_SIDES = (((52, 104, 192), (20, 50, 110)), ((206, 66, 52), (112, 24, 18)))  # fill and outline: agents, enemies
_HEALTH, _SHIELD, _ENERGY, _EMPTY = (58, 170, 72), (70, 170, 230), (176, 98, 210), (70, 70, 74)
_SHOT = ((20, 80, 220), (220, 40, 20))
_HEAL = (30, 160, 60)
_OUTCOMES = {"won": (40, 140, 60), "lost": (190, 50, 40), "draw": (120, 120, 60), "time": (120, 120, 60)}
# Corners of each type's mark, in units of its radius; types without a row are circles.
_MARKS: dict[str, list[tuple[float, float]]] = {
    "marauder": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "medivac": [(-0.35, -1), (0.35, -1), (0.35, -0.35), (1, -0.35), (1, 0.35), (0.35, 0.35), (0.35, 1), (-0.35, 1),
                (-0.35, 0.35), (-1, 0.35), (-1, -0.35), (-0.35, -0.35)],
    "stalker": [(0, -1), (0.95, -0.3), (0.6, 0.8), (-0.6, 0.8), (-0.95, -0.3)],
    "zealot": [(0, -1), (1, 0), (0, 1), (-1, 0)],
    "colossus": [(-0.4, -1), (0.4, -1), (1, -0.4), (1, 0.4), (0.4, 1), (-0.4, 1), (-1, 0.4), (-1, -0.4)],
    "zergling": [(0, -1), (0.9, 0.8), (-0.9, 0.8)],
    "hydralisk": [(-0.9, -0.8), (0.9, -0.8), (0, 1)],
    "spine_crawler": [(0, -1), (0.3, -0.3), (1, 0), (0.3, 0.3), (0, 1), (-0.3, 0.3), (-1, 0), (-0.3, -0.3)],
}  # fmt: skip


@dataclass(frozen=True)
class Snapshot:
    """One moment of one battle."""

    id: str  # "skirmish/3m"
    n_agents: int
    terrain: tuple[str, ...]
    units: Array  # f32 [U, UNIT_COLUMNS]
    limits: Array  # f32 [unit types, (health, shield, energy, radius)]
    step: int
    episode_limit: int
    outcome: str  # "", or at the end: won, lost, draw, time


def snapshot(env: Skirmish, index: int = 0, *, ended: bool = False) -> Snapshot:
    """The battle of environment `index` of `env`; `ended`: the last step of its last episode.

    The outcome is that of the step just played, so take it before the next one.
    """
    units = env.units(index, ended=ended)
    spec = env.spec
    outcome = ""
    if ended:
        alive = units[:, 2] > 0
        if env.battle_won[index]:
            outcome = "won"
        elif env.truncated[index]:
            outcome = "time"
        else:
            outcome = "lost" if alive[spec.n_agents :].any() else "draw"
    return Snapshot(
        id=spec.id,
        n_agents=spec.n_agents,
        terrain=env.terrain,
        units=units,
        limits=env.unit_limits,
        step=env.episode_step(index, ended=ended),
        episode_limit=spec.episode_limit,
        outcome=outcome,
    )


def _cell_colour(char: str) -> tuple[int, int, int]:
    if char == "#":
        return _WALL
    if char == "^":
        return _CLIFF
    return _FLOOR[min(int(char), 2)] if char.isdigit() else _FLOOR[1]


def _draw_terrain(draw: ImageDraw.ImageDraw, shot: Snapshot, scale: int) -> None:
    for r, row in enumerate(shot.terrain):
        for c, char in enumerate(row):
            x0, y0 = (c + _BORDER) * scale, (r + _BORDER) * scale
            x1, y1 = x0 + scale, y0 + scale
            if char not in "/\\":
                draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=_cell_colour(char))
                continue

            def ground(row_at: int, column: int) -> bool:
                inside = 0 <= row_at < _CELLS and 0 <= column < _CELLS
                return inside and shot.terrain[row_at][column].isdigit()

            draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=_WALL)
            side = c - 1 if char == "/" else c + 1
            upper = ground(r, side) or ground(r - 1, c)
            ends = [(x0, y1), (x1, y0)] if char == "/" else [(x0, y0), (x1, y1)]
            left = char == "/"
            corner = (x0 if left == upper else x1, y0 if upper else y1)
            draw.polygon([*ends, corner], fill=_FLOOR[1])


def _place(unit: Array, scale: int) -> tuple[float, float]:
    return (_BORDER + float(unit[0])) * scale, (_BORDER + _CELLS - float(unit[1])) * scale


def _draw_shots(draw: ImageDraw.ImageDraw, shot: Snapshot, scale: int) -> None:
    for u, unit in enumerate(shot.units):
        target = int(unit[8])
        if target < 0:
            continue
        a, b = _place(unit, scale), _place(shot.units[target], scale)
        heals = UNIT_TYPES[int(unit[6])] == "medivac"
        colour = _HEAL if heals else _SHOT[u >= shot.n_agents]
        angle = math.atan2(b[1] - a[1], b[0] - a[0])
        # To the right of its own way, so that two who shoot at each other are two lines.
        aside = (-0.12 * scale * math.sin(angle), 0.12 * scale * math.cos(angle))
        a, b = (a[0] + aside[0], a[1] + aside[1]), (b[0] + aside[0], b[1] + aside[1])
        draw.line([a, b], fill=colour, width=max(2, scale // 10))
        head = 0.5 * scale
        wings = [(b[0] - head * math.cos(angle + s), b[1] - head * math.sin(angle + s)) for s in (-0.45, 0.45)]
        draw.polygon([b, *wings], fill=colour)


def _draw_bar(draw: ImageDraw.ImageDraw, x: float, y: float, width: float, height: int, part: float, fill: Any) -> None:
    draw.rectangle((x - width / 2, y, x + width / 2, y + height), fill=_EMPTY)
    if part > 0:
        draw.rectangle((x - width / 2, y, x - width / 2 + width * min(1.0, part), y + height), fill=fill)


def _draw_unit(draw: ImageDraw.ImageDraw, shot: Snapshot, u: int, scale: int, font: Any) -> None:
    unit = shot.units[u]
    kind = int(unit[6])
    health, shield, energy, radius = (float(v) for v in shot.limits[kind])
    x, y = _place(unit, scale)
    r = max(radius, 0.35) * scale
    fill, outline = _SIDES[u >= shot.n_agents]
    corners = _MARKS.get(UNIT_TYPES[kind])
    if corners is None:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill, outline=outline, width=2)
        if UNIT_TYPES[kind] == "baneling":
            draw.ellipse((x - r / 2, y - r / 2, x + r / 2, y + r / 2), fill=(150, 220, 60))
    else:
        draw.polygon([(x + r * cx, y + r * cy) for cx, cy in corners], fill=fill, outline=outline)
    if u < shot.n_agents:
        draw.text((x, y), str(u), fill="white", font=font, anchor="mm")
    bar, width, top = max(2, scale // 7), 2 * r, y - r - 3
    for part, limit, colour in (
        (float(unit[2]), health, _HEALTH),
        (float(unit[3]), shield, _SHIELD),
        (float(unit[4]), energy, _ENERGY),
    ):
        if limit > 0:
            top -= bar + 1
            _draw_bar(draw, x, top, width, bar, part / limit, colour)


def _battlefield(shot: Snapshot) -> tuple[int, int, int, int]:
    """The part of the picture that holds all ground, and a cell of the wall around it, in cells: (west, north, east,
    south)."""
    rows = [r for r, row in enumerate(shot.terrain) if row.strip("#")]
    columns = [c for c in range(_CELLS) if any(row[c] != "#" for row in shot.terrain)]
    return columns[0], rows[0], columns[-1] + 1 + 2 * _BORDER, rows[-1] + 1 + 2 * _BORDER


def draw_frame(shot: Snapshot, *, scale: int = 20, whole: bool = True) -> Image.Image:
    """One picture, `scale` pixels a cell; who died in the step just played is crossed out where it fell.

    whole: all 32 cells a side, and one of wall around them; else the battlefield alone, with as much.
    """
    header = 2 * scale
    side = (_CELLS + 2 * _BORDER) * scale
    field = Image.new("RGB", (side, side), _WALL)
    draw = ImageDraw.Draw(field)
    small, large = ImageFont.load_default(size=max(9, scale * 0.55)), ImageFont.load_default(size=scale * 0.9)
    _draw_terrain(draw, shot, scale)
    for u, unit in enumerate(shot.units):
        if unit[_DIED] == shot.step:
            x, y = _place(unit, scale)
            r = 0.35 * scale
            colour = _SIDES[u >= shot.n_agents][1]
            draw.line((x - r, y - r, x + r, y + r), fill=colour, width=3)
            draw.line((x - r, y + r, x + r, y - r), fill=colour, width=3)
    order = sorted(range(len(shot.units)), key=lambda u: UNIT_TYPES[int(shot.units[u][6])] == "medivac")
    for u in order:
        if shot.units[u][2] > 0:
            _draw_unit(draw, shot, u, scale, small)
    _draw_shots(draw, shot, scale)

    if not whole:
        west, north, east, south = (scale * edge for edge in _battlefield(shot))
        field = field.crop((west, north, east, south))
    image = Image.new("RGB", (field.width, field.height + header), "white")
    image.paste(field, (0, header))
    draw = ImageDraw.Draw(image)
    alive = shot.units[:, 2] > 0
    ours, theirs = int(alive[: shot.n_agents].sum()), int(alive[shot.n_agents :].sum())
    middle = header / 2
    draw.text((8, middle), f"{shot.id}   step {shot.step} / {shot.episode_limit}", fill=_INK, font=large, anchor="lm")
    right = f"{ours} : {theirs}"
    if shot.outcome:
        right = f"{right}   {shot.outcome.upper()}"
    colour = _OUTCOMES.get(shot.outcome, _INK)
    draw.text((image.width - 8, middle), right, fill=colour, font=large, anchor="rm")
    return image


def save_gif(path: str | Path, shots: Sequence[Snapshot], *, scale: int = 20, frames_per_second: float = 4.0) -> None:
    """Writes a battle as a GIF that stays on its last frame for two seconds. Raises ValueError without snapshots."""
    if not shots:
        raise ValueError("save_gif: wanted at least one snapshot, got none")
    frames = [draw_frame(shot, scale=scale).quantize(64) for shot in shots]
    durations = [int(1000 / frames_per_second)] * len(frames)
    durations[-1] = 2000
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)
