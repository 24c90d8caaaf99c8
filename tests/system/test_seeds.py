"""Several seeds side by side with real processes: interrupted, resumed, refused, killed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from .harness import processes_of, run, started, status, summary, wait_for

TINY_GAME = [
    "--env", "matrix/powqmix", "--algorithm", "qmix", "--device", "cpu",
    "--set", "training.batch_size=16", "--set", "test.interval_steps=1000", "--set", "checkpoint.interval_s=1",
]  # fmt: skip


def launch(group: Path, *arguments: str) -> list[str]:
    return ["launch", *TINY_GAME, "--seeds", "2", "--seed", "3", "--run-dir", str(group), *arguments]


def updates(group: Path, seed: int) -> int:
    return int(status(group / f"s{seed}").get("updates", 0))


def test_ctrl_c_saves_every_seed_and_resume_goes_on_with_those_that_are_left(tmp_path: Path) -> None:
    group = tmp_path / "group"
    with started(*launch(group, "--actors", "3", "--set", "training.max_updates=1000000")) as process:
        wait_for(lambda: min(updates(group, 3), updates(group, 4)) > 5, 120, "updates of both seeds")
        assert len(processes_of(group / "s3", "powqmix.actors")) == 3  # two of the three, and the evaluator
        assert len(processes_of(group / "s4", "powqmix.actors")) == 2
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert time.monotonic() - asked < 25
    assert processes_of(group / "s3") == processes_of(group / "s4") == []
    before = summary(group)
    assert (before["status"], before["seeds"], before["runs_done"]) == ("interrupted", [3, 4], 0)
    assert [values["status"] for values in before["runs"]] == ["interrupted", "interrupted"]
    ended = before["runs"][0]["updates"]

    # Only one of them is left: the other is finished by itself, as the ordinary run that it is.
    most = max(values["updates"] for values in before["runs"]) + 20
    enough = ["--set", f"training.max_updates={most}"]
    alone = run("launch", "--resume", "--run-dir", str(group / "s4"), *enough)
    assert alone.returncode == 0, alone.stderr
    done = run("launch", "--resume", "--run-dir", str(group), *enough, "--json", timeout_s=180)
    assert done.returncode == 0, done.stderr
    assert "seed 4" not in done.stderr.replace("seeds 3 to 4", "")  # it was not started again
    after = json.loads(done.stdout)
    assert after == summary(group)
    assert (after["status"], after["runs_done"]) == ("done", 2)
    assert [values["seed"] for values in after["runs"]] == [3, 4]
    assert after["runs"][0]["updates"] == most > ended
    assert after["runs"][0] == {"path": str(group / "s3"), **summary(group / "s3")}
    low, high = after["test_return_mean_ci95"]
    assert low <= after["test_return_mean"] <= high


def test_a_group_that_no_learner_accepts_leaves_no_folder(tmp_path: Path) -> None:
    group = tmp_path / "group"
    refused = run(*launch(group, "--set", f"replay.path={tmp_path}/nowhere"))
    assert refused.returncode == 78, refused.stdout
    assert "replay.path must be an existing folder" in refused.stdout
    assert not group.exists()


def test_nothing_is_left_when_the_launcher_of_all_is_killed(tmp_path: Path) -> None:
    group = tmp_path / "group"
    with started(*launch(group, "--set", "training.max_updates=1000000")) as process:
        wait_for(lambda: min(updates(group, 3), updates(group, 4)) > 0, 120, "updates of both seeds")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        wait_for(lambda: not processes_of(group / "s3") + processes_of(group / "s4"), 5, "no process left")
