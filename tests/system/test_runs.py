"""Whole runs with real processes: what they promise, while everything works and when something is killed."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from .harness import SMALL_GAME, metrics, processes_of, run, started, status, summary, wait_for

CLOCKS = {"time", "wall_time_s", "env_steps_per_second", "updates_per_second"}


def assert_every_episode_is_accounted_for(values: dict[str, Any]) -> None:
    assert values["episodes_lost"] == 0
    assert values["episodes_sent"] == (
        values["episodes_stored"] + values["episodes_rejected"] + values["episodes_duplicated"]
    )
    assert values["episodes_stored"] > 0


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def launch(run_dir: Path, *arguments: str) -> list[str]:
    return ["launch", *SMALL_GAME, "--actors", "2", "--run-dir", str(run_dir), *arguments]


def test_a_run_trains_tests_and_accounts_for_every_episode(run_dir: Path) -> None:
    done = run(*launch(run_dir, "--steps", "8000", "--seed", "1"))
    assert done.returncode == 0, done.stderr
    values = summary(run_dir)
    assert values["status"] == "done"
    assert values["env_steps"] >= 8000
    assert values["updates"] > 10
    assert values["test_return_mean"] is not None
    assert_every_episode_is_accounted_for(values)
    assert values["bottleneck"] in ("actors", "transport", "learner")
    lines = metrics(run_dir)
    tests = [line for line in lines if "test_return_mean" in line]
    assert tests[0]["test_env_steps"] == 0
    assert len(tests) >= 3
    assert processes_of(run_dir) == []


def test_a_killed_actor_is_replaced_and_no_episode_is_lost(run_dir: Path) -> None:
    with started(*launch(run_dir, "--steps", "12000")) as process:
        wait_for(lambda: status(run_dir).get("env_steps", 0) > 1000, what="1000 steps")
        victims = [p for p in processes_of(run_dir, "powqmix.actors") if "test" not in p.cmdline()]
        victims[0].send_signal(signal.SIGKILL)
        assert process.wait(120) == 0
    values = summary(run_dir)
    assert values["actor_restarts"] == 1
    assert_every_episode_is_accounted_for(values)


def test_a_killed_learner_is_resumed_with_every_accepted_episode(run_dir: Path) -> None:
    with started(*launch(run_dir, "--steps", "30000")) as process:
        wait_for(lambda: list(run_dir.glob("checkpoints/step-*/manifest.json")), what="a checkpoint")
        at_checkpoint = wait_for(lambda: status(run_dir).get("updates"), what="updates")
        wait_for(lambda: status(run_dir)["updates"] > at_checkpoint + 5, what="updates after it")
        (learner,) = processes_of(run_dir, "powqmix.learner")
        learner.send_signal(signal.SIGKILL)
        assert process.wait(60) == 1
    stored_then = status(run_dir)["episodes"]
    assert summary(run_dir)["status"] == "failed"
    assert processes_of(run_dir) == []
    done = run("launch", "--resume", "--run-dir", str(run_dir))
    assert done.returncode == 0, done.stderr
    values = summary(run_dir)
    assert values["status"] == "done"
    assert values["env_steps"] >= 30000
    assert values["episodes_stored"] >= stored_then
    assert_every_episode_is_accounted_for(values)
    updates = [line["updates"] for line in metrics(run_dir)]
    assert updates == sorted(updates)
    assert updates[-1] > at_checkpoint


def test_ctrl_c_drains_saves_and_can_be_resumed(run_dir: Path) -> None:
    with started(*launch(run_dir, "--steps", "10000000")) as process:
        wait_for(lambda: status(run_dir).get("updates", 0) > 5, what="some updates")
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert time.monotonic() - asked < 15
    before = summary(run_dir)
    assert before["status"] == "interrupted"
    assert_every_episode_is_accounted_for(before)
    assert processes_of(run_dir) == []
    done = run("launch", "--resume", "--run-dir", str(run_dir), "--steps", str(before["env_steps"] + 2000))
    assert done.returncode == 0, done.stderr
    after = summary(run_dir)
    assert after["updates"] > before["updates"]
    assert after["episodes_stored"] > before["episodes_stored"]
    assert after["wall_time_s"] > before["wall_time_s"]
    assert_every_episode_is_accounted_for(after)


def test_nothing_is_left_when_the_launcher_itself_is_killed(run_dir: Path) -> None:
    with started(*launch(run_dir, "--steps", "10000000", "--set", f"replay.path={run_dir.parent}")) as process:
        wait_for(lambda: status(run_dir).get("env_steps", 0) > 500, what="500 steps")
        assert len(processes_of(run_dir)) >= 4  # launcher aside: learner, two actors, evaluator
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        wait_for(lambda: not processes_of(run_dir), timeout_s=5, what="no process left")


def lockstep_metrics(run_dir: Path, seed: int) -> list[dict[str, Any]]:
    done = run("launch", *SMALL_GAME, "--lockstep", "--steps", "6000", "--seed", str(seed), "--run-dir", str(run_dir))
    assert done.returncode == 0, done.stderr
    return [{k: v for k, v in line.items() if k not in CLOCKS} for line in metrics(run_dir)]


def test_two_lockstep_runs_of_one_seed_are_identical_and_another_seed_differs(tmp_path: Path) -> None:
    first = lockstep_metrics(tmp_path / "a", 3)
    assert len(first) >= 3
    assert lockstep_metrics(tmp_path / "b", 3) == first
    assert lockstep_metrics(tmp_path / "c", 4) != first
    # A batch of 16 at the 16th episode, then two a round, from 4 samples an episode; the run ends with a round.
    values = summary(tmp_path / "a")
    assert values["updates"] == 1 + (values["episodes"] - 8 - 16) * 4 // 16
