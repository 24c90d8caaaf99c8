"""`powqmix launch --seeds N` before and after its runs: what is planned, refused, shared out and summed up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from powqmix import config
from powqmix.cli.launch_seeds import share_actors
from powqmix.cli.seed_group import SeedGroup, assignments_of, summarise
from powqmix.config import ConfigError
from powqmix.process import RUNS_VARIABLE, available_cores

from .conftest import write_run

if TYPE_CHECKING:
    from .conftest import Command


def group_of(path: Path, seeds: int = 3, actors: int | None = None, *assignments: str) -> SeedGroup:
    return SeedGroup(path, "predator_prey", "qmix", "paper", tuple(range(seeds)), actors, assignments)


def finish(run: Path, seed: int, **summary: Any) -> None:
    """A run's folder as its end leaves it."""
    write_run(run, [], algorithm="qmix", seed=seed)
    values = {"status": "done", "seed": seed, "env_steps": 10, "episodes": 2, "updates": 1, "wall_time_s": 1.5 + seed}
    (run / "summary.json").write_text(json.dumps(values | summary))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "0"], "--seeds must be at least 1, got 0; leave it out for a single run"),
        (["--seeds", "-2"], "--seeds must be at least 1, got -2"),
        (["--seeds", "2", "--actors", "0"], "--actors must be at least 1, got 0"),
        (["--seeds", "2", "--actors", "3", "--lockstep"], "--actors must be at most 2: a --lockstep run has one"),
        (["--seeds", "2", "--seed", str(2**31 - 1)], "seed must be between 0 and 2147483647"),
        (["--seeds", "2", "--set", "training.gama=1"], "did you mean training.gamma"),
        (["--seeds", "2", "--set", "env.grd=1"], "grid"),
        (["--seeds", "2", "--device", "tpu"], "--device must be cpu, cuda or cuda:<index>"),
        (["--seeds", "2", "--device", "cpu", "--set", "replay.device_copy=on"], "device_copy=on needs a CUDA device"),
        (["--device", "cpu", "--set", "replay.device_copy=on"], "replay.device_copy=on needs a CUDA device"),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_written(
    command: Command, tmp_path: Path, arguments: list[str], said: str
) -> None:
    result = command("launch", "--env", "predator_prey", "--run-dir", tmp_path / "group", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert not (tmp_path / "group").exists()


def test_a_used_folder_is_refused_with_the_way_on(command: Command, tmp_path: Path) -> None:
    single, group, other = tmp_path / "single", tmp_path / "group", tmp_path / "other"
    write_run(single, [])
    group.mkdir()
    group_of(group).save()
    other.mkdir()
    (other / "notes.txt").touch()
    for folder, said in (
        (single, f"holds a run already; go on by --resume --run-dir {single}"),
        (group, f"holds runs already; go on by --resume --run-dir {group}"),
        (other, "is not empty and holds no run"),
    ):
        result = command("launch", "--env", "predator_prey", "--seeds", "2", "--run-dir", folder)
        assert result.code == 2
        assert said in result.err
    assert "holds runs already" in command("launch", "--env", "predator_prey", "--run-dir", group).err


def test_a_resumed_group_keeps_its_seeds_and_what_they_mean(command: Command, tmp_path: Path) -> None:
    group = tmp_path / "group"
    group.mkdir()
    group_of(group).save()
    for arguments, said in (
        (["--seeds", "5"], "holds 3 seeds, not 5: leave --seeds out"),
        (["--algorithm", "vdn"], "was started with algorithm 'qmix', not 'vdn'"),
        (["--seed", "1"], "was started with seed 0, not 1"),
        (["--set", "training.gamma=0.5"], "--set training.gamma cannot change in a resumed run"),
    ):
        result = command("launch", "--resume", group, *arguments)
        assert result.code == 2
        assert said in result.err
    write_run(tmp_path / "single", [])
    result = command("launch", "--resume", tmp_path / "single", "--seeds", "3")
    assert result.code == 2
    assert "holds a single run: leave --seeds out" in result.err


@pytest.mark.parametrize(
    ("seeds", "actors", "shares"), [(5, 13, [3, 3, 3, 2, 2]), (3, 3, [1, 1, 1]), (3, 1, [1, 1, 1]), (1, 7, [7])]
)
def test_actors_are_split_as_evenly_as_can_be_and_every_run_has_one(
    tmp_path: Path, seeds: int, actors: int, shares: list[int]
) -> None:
    group = group_of(tmp_path, seeds, actors)
    assert list(share_actors(group, group.runs()).values()) == shares


def test_without_a_number_runs_share_the_cores_and_a_configured_one_is_each_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    for group, shares in (
        (group_of(tmp_path, 3), [4, 4, 4]),
        (group_of(tmp_path, 30), [1] * 30),
        (group_of(tmp_path, 1), [8]),
        (group_of(tmp_path, 2, None, "actors.count=3"), [3, 3]),
        (group_of(tmp_path, 2, None, "lockstep=true"), [1, 1]),
    ):
        assert list(share_actors(group, group.runs()).values()) == shares
    finish(tmp_path / "s0", 0)
    assert share_actors(group_of(tmp_path, 3), group_of(tmp_path, 3).runs()) == {1: 6, 2: 6}  # of those still to do


def test_runs_that_share_a_machine_count_on_their_part_of_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    for told, cores in (("", 12), ("1", 12), ("5", 2), ("40", 1), ("0", 12), ("many", 12)):
        monkeypatch.setenv(RUNS_VARIABLE, told)
        assert available_cores() == cores


def test_a_group_comes_back_as_it_was_saved_and_later_values_stand_above(tmp_path: Path) -> None:
    group = group_of(tmp_path, 2, 4, "steps=100", "env.punishment=-1.5")
    group.save()
    assert SeedGroup.load(tmp_path) == group
    changed = group.changed(["steps=200"], None)
    assert (changed.assignments, changed.actors) == (("steps=200", "env.punishment=-1.5"), 4)
    assert [run.config.seed for run in changed.runs()] == [0, 1]
    assert changed.runs()[1].config.env["punishment"] == -1.5


def test_a_configuration_file_is_taken_as_texts_of_set() -> None:
    values = {"steps": 5, "env": {"payoff": [[1, 2]], "name": "x"}, "training.gamma": 0.5}
    assert assignments_of(values) == ["steps=5", "env.payoff=[[1, 2]]", 'env.name="x"', "training.gamma=0.5"]


def test_a_done_run_is_unfinished_again_where_more_steps_are_asked_for(tmp_path: Path) -> None:
    group = group_of(tmp_path, 2)
    finish(tmp_path / "s0", 0)
    assert [run.state for run in group.runs()] == ["done", "new"]
    longer = group.changed([f"steps={config.load(tmp_path / 's0' / 'config.yaml').steps + 1}"], None)
    assert [run.state for run in longer.runs()] == ["unfinished", "new"]


def test_the_summary_has_every_run_and_the_interval_of_those_that_are_done(tmp_path: Path) -> None:
    group = group_of(tmp_path, 5)
    for seed, mean in enumerate((1.0, 2.0, 3.0)):
        finish(tmp_path / f"s{seed}", seed, test_return_mean=mean, test_win_rate=0.5)
    finish(tmp_path / "s3", 3, status="interrupted", test_return_mean=100.0)
    values = summarise(group, "interrupted")
    assert [run["status"] for run in values["runs"]] == ["done", "done", "done", "interrupted", "new"]
    assert (values["status"], values["runs_done"], values["env_steps"], values["wall_time_s"]) == (
        "interrupted", 3, 40, 4.5,
    )  # fmt: skip
    assert values["test_return_mean"] == 2.0
    assert values["test_return_mean_ci95"] == pytest.approx([2 - 2.484, 2 + 2.484], abs=1e-3)  # 4.303 / sqrt(3)
    assert values["test_win_rate_ci95"] == [0.5, 0.5]
    assert summarise(group_of(tmp_path, 1), "done")["test_return_mean_ci95"] is None
    empty = summarise(group_of(tmp_path / "empty", 2), "failed")
    assert (empty["test_return_mean"], empty["runs_done"]) == (None, 0)


def test_the_newest_folder_below_runs_may_be_a_group(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs/single"), [])
    os.utime("runs/single/config.yaml", (1, 1))
    Path("runs/group").mkdir()
    group_of(Path("runs/group")).save()
    assert "runs/group holds 3 seeds, not 2" in command("launch", "--resume", "--seeds", "2").err


def test_an_actor_share_that_a_run_would_refuse_is_refused_at_once(tmp_path: Path) -> None:
    group = group_of(tmp_path, 2, None, "lockstep=true", "actors.envs_per_actor=3")
    with pytest.raises(ConfigError, match="--envs-per-actor must be 8 in a --lockstep run"):
        share_actors(group, group.runs())
