"""Pictures of a skirmish: everyone is drawn where it is, shots and the dead are marked, a battle becomes a GIF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from powqmix.envs.render import Moment, draw
from powqmix.envs.render_skirmish import Snapshot, draw_frame, save_gif, snapshot

from .skirmish_scenes import FIRST, STOP, Unit, battle, scene

SCALE = 20
BLUE, RED = (52, 104, 192), (206, 66, 52)


def pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    return np.asarray(image)


def near(image: Image.Image, x: float, y: float, colour: tuple[int, int, int], radius: float = 0.5) -> int:
    """How many pixels of `colour` lie within `radius` map units of (x, y)."""
    centre = np.array([(3 + 32 - y) * SCALE, (1 + x) * SCALE])  # a header of two cells, a border of one
    rows, columns = np.nonzero((pixels(image) == colour).all(-1))
    return int((np.hypot(rows - centre[0], columns - centre[1]) < radius * SCALE).sum())


def test_units_are_drawn_where_they_stand_in_their_sides_colour() -> None:
    env = battle("MMM2")
    image = draw_frame(snapshot(env, 0))
    assert image.size == (34 * SCALE, 36 * SCALE)
    assert image.mode == "RGB"
    for u, unit in enumerate(env.units(0)):
        mine, other = (BLUE, RED) if u < 10 else (RED, BLUE)
        assert near(image, unit[0], unit[1], mine) > 15
        assert near(image, unit[0], unit[1], other) == 0


def test_walls_and_ground_differ_and_match_the_terrain() -> None:
    image = draw_frame(snapshot(battle("corridor"), 0))
    at = lambda x, y: tuple(pixels(image)[int((3 + 32 - y) * SCALE), int((1 + x) * SCALE)])  # noqa: E731
    wall = at(1.5, 30.5)
    assert at(20.5, 2.5) == wall
    assert at(5.5, 5.5) != wall
    assert at(26.5, 17.5) == at(5.5, 5.5)


def test_bars_show_the_share_of_health_and_shield() -> None:
    green, blue = (58, 170, 72), (70, 170, 230)
    counts = []
    for part in (1.0, 0.5, 0.1):
        s = scene([Unit("zealot", 10, 16, health=100 * part, shield=50 * part)], [Unit("zealot", 25, 25)])
        image = draw_frame(snapshot(s.env, 0))
        counts.append((near(image, 10, 17, green, 1.5), near(image, 10, 17, blue, 1.5)))
    assert counts[0] > counts[1] > counts[2]
    assert counts[1][0] == pytest.approx(counts[0][0] / 2, rel=0.2)


def test_shot_is_a_line_from_shooter_to_target() -> None:
    s = scene([Unit("marine", 10, 16)], [Unit("zealot", 15, 16)], stats={"zealot": {"speed": 0}})
    shot = (20, 80, 220)
    before = draw_frame(snapshot(s.env, 0))
    s.act(FIRST)
    after = draw_frame(snapshot(s.env, 0))
    assert near(before, 12.5, 16, shot) == 0
    assert near(after, 12.5, 16, shot) > 10


def test_who_died_in_the_step_is_crossed_out_where_it_fell() -> None:
    s = scene([Unit("marine", 10, 16, health=6), Unit("marine", 3, 3)], [Unit("marine", 15, 16)])
    s.act(STOP, STOP)
    image = draw_frame(snapshot(s.env, 0))
    assert near(image, 10, 16, (20, 50, 110)) > 10
    assert near(image, 10, 16, BLUE) == 0
    s.act(0, STOP)
    assert near(draw_frame(snapshot(s.env, 0)), 10, 16, (20, 50, 110)) == 0


def test_replay_can_draw_a_skirmish() -> None:
    env = battle("3m")
    image = draw(env, Moment(0, 0.0))
    assert (pixels(image) == pixels(draw_frame(snapshot(env), scale=24, whole=False))).all()


def test_walls_around_the_battlefield_can_be_left_out() -> None:
    shot = snapshot(battle("3m"))  # a strip: ground in 16 of the 32 rows
    whole, field = draw_frame(shot), draw_frame(shot, whole=False)
    assert (whole.size, field.size) == ((34 * SCALE, 36 * SCALE), (34 * SCALE, (2 + 18) * SCALE))
    top = (2 + 8) * SCALE  # north of it are the border and 8 rows of wall, of which one stays
    np.testing.assert_array_equal(pixels(field)[2 * SCALE :], pixels(whole)[top : top + 18 * SCALE])


def test_two_who_shoot_at_each_other_are_two_lines() -> None:
    s = scene([Unit("marine", 10, 16)], [Unit("marine", 15, 16)])
    s.act(FIRST)
    image = draw_frame(snapshot(s.env, 0))
    assert near(image, 12.5, 16, (20, 80, 220)) > 10
    assert near(image, 12.5, 16, (220, 40, 20)) > 10


def test_outcome_and_step_are_written() -> None:
    s = scene([Unit("marine", 10, 16)], [Unit("marine", 15, 16, health=6)])
    s.restage([Unit("marine", 10, 16), Unit("marine", 15, 16, health=6, cooldown=100)])
    running = snapshot(s.env, 0)
    assert (running.outcome, running.step) == ("", 0)
    s.act(FIRST)
    ended = snapshot(s.env, 0, ended=True)
    assert (ended.outcome, ended.step) == ("won", 1)
    header = pixels(draw_frame(ended))[: 2 * SCALE]
    assert (header == (40, 140, 60)).all(-1).any()


@pytest.mark.parametrize(
    "mine, theirs, outcome", [(Unit("marine", 10, 16, health=6), Unit("marine", 15, 16), "lost"),
                              (Unit("marine", 1, 1), Unit("marine", 30, 30), "time")]
)  # fmt: skip
def test_outcome_of_a_defeat_and_of_the_limit(mine: Unit, theirs: Unit, outcome: str) -> None:
    s = scene([mine], [theirs], limit=1)
    s.act(STOP)
    assert snapshot(s.env, 0, ended=True).outcome == outcome


def test_battle_becomes_a_gif_with_a_frame_a_step(tmp_path: Path) -> None:
    env = battle("2s3z")
    shots: list[Snapshot] = [snapshot(env, 0)]
    while not env.terminated[0]:
        env.step(env.scripted_actions("nearest"))
        shots.append(snapshot(env, 0, ended=bool(env.terminated[0])))
    file = tmp_path / "battle.gif"
    save_gif(file, shots[:12], scale=8)
    with Image.open(file) as gif:
        assert gif.n_frames == 12
        assert gif.size == (272, 288)
    with pytest.raises(ValueError, match="at least one snapshot"):
        save_gif(file, [])
