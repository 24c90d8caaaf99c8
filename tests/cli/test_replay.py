"""`powqmix replay`: what is shown is the episode that was played, by a policy or a rule, from the first to the last."""

from __future__ import annotations

import base64
import dataclasses
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
from powqmix.cli.recording import SCRIPTS, play_episode, record_policy, record_script
from powqmix.cli.replay_files import SHEET_GAP, SHEET_PICTURES, moments_of
from powqmix.envs.base import Batch
from powqmix.envs.render import Moment, draw, draw_predator_prey
from powqmix.envs.skirmish import Options, Skirmish
from powqmix.learner.saved_policy import load_policy

from .conftest import save_policy, write_run

if TYPE_CHECKING:
    from .conftest import Command


def test_pictures_are_those_of_the_episode_that_was_played(run: Path) -> None:
    policy = load_policy(run)
    episode = play_episode(policy, 5)
    pictures = list(record_policy(policy, 5).pictures())
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
    recording = record_policy(load_policy(run), 0)
    with pytest.raises(CommandError, match="did not repeat its episode at step 0"):
        list(dataclasses.replace(recording, rewards=recording.rewards + 1.0).pictures())


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
    pictures = list(record_policy(policy, 3).pictures())
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
    drawn = list(record_policy(load_policy(run), 0).pictures())
    assert len(pictures) == len(drawn)
    first = Image.open(io.BytesIO(base64.b64decode(pictures[0].partition(",")[2])))
    assert first.size == drawn[0].size
    assert "http" not in page
    assert "$" not in re.sub(r"base64,[^\"]*", "", page)
    assert "predator_prey, powqmix" in page


def test_folder_gets_a_picture_of_every_step(command: Command, run: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    assert command("replay", run, "--out", frames).code == 0
    drawn = list(record_policy(load_policy(run), 0).pictures())
    files = sorted(frames.iterdir())
    assert [file.name for file in files] == [f"step-{step:04}.png" for step in range(len(drawn))]
    with Image.open(files[-1]) as last:
        assert last.convert("RGB").tobytes() == drawn[-1].tobytes()
    again = command("replay", run, "--out", frames)
    assert again.code == 2
    assert "give a folder that is new or empty" in again.err


@pytest.mark.parametrize("rule", SCRIPTS)
def test_rules_play_a_skirmish_without_a_run(rule: str) -> None:
    recording = record_script("skirmish/3m", {}, rule, 4)
    env = Skirmish("3m", Options(mirror=rule == "mirror"), Batch(seed=4))
    env.reset()
    total = 0.0
    for step, actions in enumerate(recording.actions):
        if rule in ("nearest", "weakest"):
            assert np.array_equal(actions, env.scripted_actions(rule)[0])
        env.step(actions[None])
        total += float(env.reward[0])
        assert bool(env.terminated[0] or env.truncated[0]) == (step == recording.steps - 1)
    assert recording.episode_return == pytest.approx(total)
    assert recording.battle_won is bool(env.battle_won[0])
    pictures = list(recording.pictures())
    assert len(pictures) == recording.steps + 1
    assert pictures[0].tobytes() != pictures[-1].tobytes()


def test_rule_takes_options_and_writes_here(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = command("replay", "predator_prey", "--policy", "random", "--set", "env.episode_limit=5", "--json")
    report = result.json
    assert (report["file"], report["policy"], report["algorithm"]) == ("predator_prey-random.gif", "random", None)
    assert report["steps"] <= 5
    assert (tmp_path / "predator_prey-random.gif").stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["skirmish/3m"], "--policy with random, nearest, weakest, mirror to play an environment"),
        (["skirmish/3m", "--policy", "cleverest"], "must be one of random, nearest"),
        (["skirmish/4m", "--policy", "random"], "3m"),
        (["predator_prey", "--policy", "nearest"], "can be played by random only"),
        (["matrix/powqmix", "--policy", "random"], "there are pictures of predator_prey"),
        (["skirmish/3m", "--policy", "random", "--checkpoint", "3"], "does not go with --policy"),
        (["skirmish/3m", "--policy", "random", "--set", "training.batch_size=3"], "options of the environment"),
        (["skirmish/3m", "--policy", "random", "--set", "env.spawn_jitter=99"], "spawn_jitter must be from 0 to 8"),
    ],
)
def test_wrong_use_of_rules_says_what_to_do(command: Command, arguments: list[str], said: str) -> None:
    result = command("replay", *arguments)
    assert result.code in (1, 2)
    assert result.out == ""
    assert said in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "env.grid=3"], "--set goes with --policy"),
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
