"""`powqmix replay`: what is shown is the episode that the policy played, from the first board to the last."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from powqmix import envs
from powqmix.cli.errors import CommandError
from powqmix.cli.replay import draw_episode, play_episode
from powqmix.cli.replay_files import SHEET_GAP, SHEET_PICTURES, moments_of
from powqmix.envs.render import Moment, draw, draw_predator_prey
from powqmix.learner.saved_policy import load_policy

from .conftest import save_policy, write_run

if TYPE_CHECKING:
    from .conftest import Command


def test_pictures_are_those_of_the_episode_that_was_played(run: Path) -> None:
    policy = load_policy(run)
    episode = play_episode(policy, 5)
    pictures = list(draw_episode(policy, episode, 5))
    assert len(pictures) == episode.steps + 1
    states, rewards = episode.frames[1].astype(np.float32), episode.frames[4]
    for step, (state, picture) in enumerate(zip(states, pictures)):
        wanted = draw_predator_prey(
            state,
            step=step,
            episode_return=float(rewards[:step].sum()),
            captured=2 - int(state.reshape(4, 4, 3)[..., 1].sum()),
        )
        assert picture.tobytes() == wanted.tobytes()


def test_another_seed_is_another_episode(run: Path) -> None:
    policy = load_policy(run)
    first, again, other = (play_episode(policy, seed).frames[1].tobytes() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_environment_that_does_something_else_is_not_shown(run: Path) -> None:
    policy = load_policy(run)
    episode = play_episode(policy, 0)
    episode.frames[4] = episode.frames[4] + 1.0
    with pytest.raises(CommandError, match="did not repeat its episode at step 0"):
        list(draw_episode(policy, episode, 0))


def test_gif_has_a_picture_for_every_step_and_rests_on_the_last(command: Command, run: Path) -> None:
    result = command("replay", run, "--json", "--fps", 10)
    assert result.code == 0
    report = result.json
    assert (report["file"], report["updates"], report["battle_won"]) == (str(run / "replay.gif"), 40, None)
    episode = play_episode(load_policy(run), 0)
    assert (report["steps"], report["return"]) == (episode.steps, episode.episode_return)
    with Image.open(run / "replay.gif") as film:
        shown = 0
        for index in range(film.n_frames):
            film.seek(index)
            shown += film.info["duration"]
    # Equal pictures in a row may be one with the sum of their times.
    assert shown == 100 * episode.steps + 2000


def test_sheet_shows_moments_from_first_to_last(command: Command, run: Path, tmp_path: Path) -> None:
    result = command("replay", run, "--out", tmp_path / "sheet.png", "--episode-seed", 3, "--checkpoint", 20)
    assert result.code == 0
    policy = load_policy(run, 20)
    pictures = list(draw_episode(policy, play_episode(policy, 3), 3))
    width, height = pictures[0].size
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] == min(4, len(pictures)) * (width + SHEET_GAP)
        assert sheet.crop((0, 0, width, height)).tobytes() == pictures[0].tobytes()


@pytest.mark.parametrize("count", [1, 2, 11, 12, 13, 201])
def test_moments_are_spread_over_all_pictures(count: int) -> None:
    moments = sorted(moments_of(count))
    assert (moments[0], moments[-1]) == (0, count - 1)
    assert len(moments) == min(count, SHEET_PICTURES)


def test_page_holds_all_pictures_and_loads_nothing(command: Command, run: Path, tmp_path: Path) -> None:
    assert command("replay", run, "--out", tmp_path / "page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    found = re.search(r"const pictures = (\[.*?\]);", page)
    assert found
    pictures = json.loads(found[1])
    policy = load_policy(run)
    drawn = list(draw_episode(policy, play_episode(policy, 0), 0))
    assert len(pictures) == len(drawn)
    first = Image.open(io.BytesIO(base64.b64decode(pictures[0].partition(",")[2])))
    assert first.size == drawn[0].size
    assert "http" not in page
    assert "$" not in re.sub(r"base64,[^\"]*", "", page)
    assert "predator_prey, powqmix" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "x.mp4"], "must end in .gif, .png, .html"),
        (["--out", "no/x.gif"], "no folder no"),
        (["--fps", "0"], "above 0"),
        (["--episode-seed=-1"], "at least 0"),
    ],
)
def test_wrong_use_exits_with_2(command: Command, run: Path, arguments: list[str], said: str) -> None:
    result = command("replay", run, *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_environment_without_a_picture_says_which_have_one(command: Command, tmp_path: Path) -> None:
    run = write_run(tmp_path / "matrix", [], env="matrix/powqmix")
    save_policy(run, 1)
    result = command("replay", run)
    assert result.code == 1
    assert "there are pictures of predator_prey" in result.err
    with pytest.raises(ValueError, match="has no picture"):
        draw(envs.make("matrix/powqmix"), Moment(0, 0.0))
