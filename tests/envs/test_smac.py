"""The adapter of the real SMAC, against a stand-in for the game that crashes, hangs, leaks and lies on demand."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from powqmix import envs
from powqmix.cli.main import main
from powqmix.envs.game_process import GameFailed
from powqmix.envs.smac_installation import SMAC, NotInstalled, find_installation

from .fake_game import FakeGame, gone, make, walk
from .test_skirmish_sizes import SIZES

# Play ---------------------------------------------------------------------------------------------------------------


def test_sizes_of_all_maps_are_known_without_the_game(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SC2PATH", "/nowhere")
    assert [env_id for env_id in envs.registered() if env_id.startswith("smac/")] == [
        f"smac/{m}" for m in sorted(SIZES)
    ]
    for name, sizes in SIZES.items():
        spec = envs.spec(f"smac/{name}")
        assert (spec.n_agents, spec.n_actions, spec.obs_size, spec.state_size, spec.episode_limit) == sizes
        assert spec.id == f"smac/{name}"
        assert "not installed" in spec.version
    assert envs.spec("smac/3m", obs_timestep_number=True).obs_size == 31


def test_episode_is_played_and_the_next_begins_in_the_same_step(fake: FakeGame) -> None:
    env = make(2)
    assert env.spec == envs.spec("smac/3m")
    assert env.spec.version == "smac, StarCraft II 4.10, difficulty 7"
    env.reset()
    np.testing.assert_allclose(env.obs[:, :, 0], [[1.0, 1.1, 1.2]] * 2)
    assert env.avail_actions[0, 0].tolist() == [0, 1, 1, 1, 1, 1, 0, 0, 0]
    for step in range(1, 5):
        env.step(walk(2))
        assert (env.reward == 2.5).all()
        np.testing.assert_allclose(env.state[:, 0], 1 + step / 100)
        assert not (env.terminated | env.truncated | env.battle_won).any()
    env.step(walk(2))
    assert (env.reward == 20).all()
    assert env.terminated.tolist() == env.battle_won.tolist() == [1, 1]
    assert env.truncated.tolist() == [0, 0]
    np.testing.assert_allclose(env.final_state[:, 0], 1.05)
    np.testing.assert_allclose(env.final_obs[:, 2, 0], 1.25)
    np.testing.assert_allclose(env.state[:, 0], 2.0)
    env.step(walk(2))
    assert not (env.terminated | env.battle_won).any()
    np.testing.assert_allclose(env.final_state[:, 0], 1.05)
    env.close()


def test_game_is_reset_once_an_episode_and_gets_its_options_and_a_seed_of_its_own(fake: FakeGame) -> None:
    fake.wish(length=2)
    env = make(2, difficulty="3", reward_sparse=True)
    env.reset()
    for _ in range(6):
        env.step(walk(2))
    env.close()
    assert len(fake.calls("reset")) == 2 * 4
    opened = fake.calls("open")
    assert len(opened) == 2
    assert all(line.startswith("open 3m 3 ['obs_instead_of_state', ") and "reward_sparse" in line for line in opened)
    assert len({line.rpartition(" ")[2] for line in opened}) == 2  # seeds


@pytest.mark.parametrize(
    "outcome, length, flags", [("lost", 3, (1, 0, 0)), ("none", 60, (0, 1, 0)), ("won", 60, (1, 0, 1))]
)
def test_ends_are_told_apart(fake: FakeGame, outcome: str, length: int, flags: tuple[int, int, int]) -> None:
    fake.wish(outcome=outcome, length=length)
    env = make()
    env.reset()
    for _ in range(length):
        assert not (env.terminated | env.truncated).any()
        env.step(walk())
    assert (env.terminated[0], env.truncated[0], env.battle_won[0]) == flags
    env.close()


def test_illegal_action_never_reaches_the_game(fake: FakeGame) -> None:
    env = make(2)
    with pytest.raises(ValueError, match="legal: none, call reset"):
        env.step(walk(2))
    env.reset()
    for action, what in ((0, "is not legal now; legal: 1 2 3 4 5"), (9, "does not exist"), (-1, "does not exist")):
        actions = walk(2)
        actions[1, 2] = action
        with pytest.raises(ValueError, match=f"smac/3m: env 1, agent 2: action {action} {what}"):
            env.step(actions)
    for wrong in (walk(1), walk(2).astype(np.int64), [[2, 2, 2]] * 2):
        with pytest.raises(ValueError, match=r"actions must be int32 \[2, 3\]"):
            env.step(wrong)
    assert not fake.calls("step")
    env.step(walk(2))
    env.close()


# Faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault, message",
    [
        ("crash", "game 0: StarCraft II crashed and was restarted underneath"),
        ("quiet crash", "game 0: it broke off after 3 steps"),
        ("break off", "game 0: it broke off after 3 steps"),
        ("die", r"game 0: it died in step \(exit code 3\)"),
        ("hang", "game 0: it hung: no answer to step in 0.3 s"),
        ("raise", "game 0: step failed: ValueError: Minerals are low"),
        ("short", "game 0: obs has 240 bytes, wanted 360"),
        ("nan", "game 0: obs is not finite"),
        ("no action", "game 0: an agent has no legal action"),
    ],
)
def test_failed_game_aborts_and_can_be_started_anew(fake: FakeGame, fault: str, message: str) -> None:
    fake.wish(fault=fault, at=3)
    env = make(step_timeout_s=0.3 if fault == "hang" else 30)
    env.reset()
    env.step(walk())
    env.step(walk())
    with pytest.raises(GameFailed, match=message):
        env.step(walk())
    for pid in fake.pids():
        assert gone(pid)
    fake.wish()
    env.reset()  # fresh games: one that restarted underneath would go on with a wrong scale of rewards
    np.testing.assert_allclose(env.state[:, 0], 1.0)
    assert len(fake.calls("open")) == 2
    env.step(walk())
    env.close()


def test_one_failed_game_ends_all_of_the_batch(fake: FakeGame) -> None:
    env = make(2)
    env.reset()
    one = fake.pids().pop()
    os.killpg(one, signal.SIGKILL)
    with pytest.raises(GameFailed, match="it died"):
        env.step(walk(2))
    assert all(gone(pid) for pid in fake.pids())
    with pytest.raises(ValueError, match="call reset"):
        env.step(walk(2))


@pytest.mark.parametrize("fault, message", [("hang", "no answer to (open|reset) in 2 s"), ("die", "it died in reset")])
def test_reset_that_fails_ends_the_game(fake: FakeGame, fault: str, message: str) -> None:
    fake.wish(fault=fault, at=0)
    env = make(reset_timeout_s=2.0 if fault == "hang" else 60.0)
    with pytest.raises(GameFailed, match=message):
        env.reset()
    env.close()


def test_package_that_cannot_be_loaded_is_told(fake: FakeGame) -> None:
    fake.wish(fault="protobuf")
    env = make()
    with pytest.raises(GameFailed, match="open failed: TypeError: Descriptors cannot be created directly"):
        env.reset()


def test_other_sizes_are_refused(fake: FakeGame) -> None:
    fake.wish(fault="sizes")
    env = make()
    with pytest.raises(GameFailed, match=r"\(3, 9, 31, 48, 60\), SMAC's are \(3, 9, 30, 48, 60\)"):
        env.reset()


def test_leaking_game_is_started_afresh_between_episodes(fake: FakeGame) -> None:
    fake.wish(fault="leak", at=1, length=3)
    env = make(memory_limit_mb=300)
    env.reset()
    env.step(walk())
    first = fake.pids()
    env.step(walk())
    assert fake.pids() == first  # never in the midst of an episode
    env.step(walk())
    assert env.terminated[0]
    assert len(fake.pids()) == 2
    np.testing.assert_allclose(env.state[0, 0], 1.0)
    env.close()


def test_game_is_started_afresh_after_so_many_episodes(fake: FakeGame) -> None:
    fake.wish(length=2)
    env = make(relaunch_every=2)
    env.reset()
    for _ in range(8):
        env.step(walk())
    env.close()
    assert len(fake.calls("open")) == 3  # episodes 1 2, 3 4, 5
    assert len(fake.calls("reset")) == 5


def test_games_die_with_the_process_that_started_them(fake: FakeGame) -> None:
    code = "from powqmix import envs; e = envs.make('smac/3m', 2); e.reset(); print('up', flush=True); input()"
    fake.wish(fault="hang", at=99)
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdin is not None
    assert parent.stdout.readline() == b"up\n"
    games = fake.pids()
    assert len(games) == 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    parent.stdin.close()
    assert all(gone(pid) for pid in games)


def test_actor_counts_a_crash_as_aborted_and_plays_on(fake: FakeGame) -> None:
    from powqmix.actors.player import Player
    from powqmix.types import PolicySpec, episode_schema

    spec = envs.spec("smac/3m")
    policy = PolicySpec(spec.n_agents, spec.n_actions, spec.obs_size, 8, True, True)
    fake.wish(fault="crash", at=3, episode=2)
    player = Player(lambda attempt: make(), policy, episode_schema(spec), 0, lambda text: None)
    player.set_parameters(np.zeros(policy.parameter_count, np.float32), 1)
    (first,) = player.advance(1.0)
    assert (first.steps, first.battle_won) == (5, True)
    assert player.advance(1.0) == []
    assert player.aborted == 1
    (second,) = player.advance(1.0)
    assert second.steps == 5
    player.close()


# The ground ---------------------------------------------------------------------------------------------------------


def test_ground_of_the_game_becomes_a_map_file_that_skirmish_plays(fake: FakeGame, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "3m.yaml"
    assert main(["envs", "dump-map", "smac/3m", "--out", str(out)]) == 0
    assert f"--env skirmish/3m --set env.map_file={out}" in capsys.readouterr().out
    rows = yaml.safe_load(out.read_text())["terrain"]
    wall, high, low = "#" * 32, "2" * 32, "1" * 32
    assert rows[:8] == [wall] * 8  # north first
    assert rows[8:16] == [high] * 8
    assert rows[16:18] == ["1111" + "^" * 24 + "1111"] * 2
    assert rows[18:24] == [low] * 6
    env = envs.make("skirmish/3m", map_file=str(out))
    env.reset()
    assert (env.spec.n_agents, env.spec.episode_limit) == (3, 60)


def test_only_real_maps_are_dumped(capsys: Any) -> None:
    assert main(["envs", "dump-map", "skirmish/3m"]) == 2
    assert "dump-map reads real maps, smac/<map>, got 'skirmish/3m'" in capsys.readouterr().err
    assert main(["envs", "dump-map", "smac/3m"]) == 2
    assert "smac: the Python package is not installed" in capsys.readouterr().err


# Installation -------------------------------------------------------------------------------------------------------


def test_what_is_installed_is_found(fake: FakeGame) -> None:
    found = find_installation("3m", SMAC)
    assert (found.path, found.build, found.version) == (fake.game, "75689", "4.10")


def test_missing_parts_are_named_with_the_remedy(fake: FakeGame, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotInstalled, match=r"8m.SC2Map is not in .*Unpack SMAC_Maps.zip"):
        envs.make("smac/8m")
    for build in (fake.game / "Versions").iterdir():
        build.rmdir()
    with pytest.raises(NotInstalled, match=r"no folder Versions/Base.*skirmish/<map> needs neither"):
        envs.make("smac/3m")
    monkeypatch.setenv("SC2PATH", str(fake.game / "gone"))
    with pytest.raises(NotInstalled, match=r"SC2PATH is .*gone, which is no folder. Install version 4.10"):
        envs.make("smac/3m")
    shutil.rmtree(fake.packages / "smac" / "env")  # SMAC3 has no such folder
    with pytest.raises(NotInstalled, match="another project of that name is installed"):
        envs.make("smac/3m")


def test_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotInstalled, match=r"pip install .smac @ git.*protobuf==3.20.3.*skirmish/<map> needs neither"):
        envs.make("smac/3m")


@pytest.mark.parametrize("name", ["reset_timeout_s", "step_timeout_s", "relaunch_every", "memory_limit_mb"])
def test_limits_must_be_above_zero(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        envs.make("smac/3m", **{name: 0})
