"""`powqmix experiment` as a user meets it: the file, real tiny runs, going on after Ctrl-C, tables and export."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from powqmix import config
from powqmix.cli.experiment_file import PlannedRun, plan
from powqmix.cli.experiment_tables import joint_tables
from powqmix.config import ConfigError

from .conftest import write_run

if TYPE_CHECKING:
    from .conftest import Command

ROOT = Path(__file__).parents[2]
TINY = "{training.max_updates: 4, training.batch_size: 16, recognizer.hidden_size: 8, test.interval_steps: 16}"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """Two algorithms, one of them twice, on two labelled environments with two seeds."""
    return write(
        tmp_path / "grid.yaml",
        """
        about: A trial.
        algorithms: [qmix, {algorithm: powqmix, label: 10/0, set: {weighting.recognized_weight: 10}}]
        environments:
          - {env: predator_prey, label: p = -2, set: {env.punishment: -2.0}}
          - {env: matrix/wqmix, preset: iclr2026}
        seeds: 2
        set: {steps: 1000, training.gamma: 0.5}
        """,
    )


def test_the_grid_is_every_algorithm_on_every_environment_with_every_seed(grid: Path, tmp_path: Path) -> None:
    runs = plan(grid, tmp_path / "out").runs
    assert [(r.env, r.algorithm, r.seed) for r in runs] == [
        (env, algorithm, seed)
        for seed in (0, 1)
        for env in ("p = -2", "matrix/wqmix")
        for algorithm in ("qmix", "10/0")
    ]
    assert len({r.path for r in runs}) == len(runs)
    first, second, third = runs[0].config, runs[1].config, runs[2].config
    assert (first.env_id, first.algorithm, first.env["punishment"], first.preset) == (
        "predator_prey",
        "qmix",
        -2,
        "paper",
    )
    assert (second.algorithm, second.weighting.recognized_weight, second.weighting.other_weight) == ("powqmix", 10, 0)
    assert (third.env_id, third.preset, third.steps, third.training.gamma) == ("matrix/wqmix", "iclr2026", 1000, 0.5)
    assert plan(grid, tmp_path / "out", ["steps=7"]).runs[0].config.steps == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("algorithms: [qmix]", "missing required field `environments`"),
        ("algorithms: [qmix]\nenvironments: [matrix/wqmix]\nseed: 3", "unknown field `seed`.*its keys are.*seeds"),
        ("algorithms: [qmix]\nenvironments: [matrix/wqmix]\nseeds: many", "got `str` - at `\\$.seeds`"),
        ("algorithms: []\nenvironments: [matrix/wqmix]", "algorithms must name at least one"),
        ("algorithms: [qmix]\nenvironments: [matrix/wqmix]\nseeds: 0", "seeds must name at least one"),
        ("algorithms: [qmix]\nenvironments: [matrix/wqmix]\nseeds: [4, 4]", "seeds have 4 twice"),
        ("algorithms: [qmix, qmix]\nenvironments: [matrix/wqmix]", "qmix twice; give each a label of its own"),
        ("algorithms: [qmux]\nenvironments: [matrix/wqmix]", "unknown algorithm 'qmux'; did you mean"),
        ("algorithms: [qmix]\nenvironments: [matrix/nothing]", "matrix/nothing"),
        ("algorithms: [qmix]\nenvironments: [matrix/wqmix]\nset: {training.gama: 1}", "did you mean training.gamma"),
        ("algorithms: [qmix]\nenvironments: [predator_prey]\nset: {env.grd: 1}", "grid"),
    ],
)
def test_a_wrong_file_is_refused_by_name_before_anything_runs(
    command: Command, tmp_path: Path, text: str, said: str
) -> None:
    file = write(tmp_path / "wrong.yaml", text)
    with pytest.raises(ConfigError, match=said):
        plan(file, tmp_path / "out")
    result = command("experiment", file, "--out", tmp_path / "out")
    assert (result.code, result.out) == (2, "")
    assert str(file) in result.err
    assert not (tmp_path / "out").exists()


def test_an_optional_environment_that_is_not_installed_is_left_out(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nowhere"))
    text = "algorithms: [qmix]\nenvironments: [matrix/wqmix, {env: smac/3m, optional: %s}]\nseeds: 1"
    result = command("experiment", write(tmp_path / "a.yaml", text % "true"), "--dry-run")
    assert (result.code, len(result.out.splitlines())) == (0, 1)
    assert "left out smac/3m: smac:" in result.err
    assert command("experiment", write(tmp_path / "b.yaml", text % "false"), "--dry-run").code == 2


def test_dry_run_prints_commands_that_launch_takes(command: Command, grid: Path, tmp_path: Path) -> None:
    result = command("experiment", grid, "--out", tmp_path / "out", "--dry-run", "--actors", "3", "--device", "cpu")
    assert result.code == 0
    lines = result.out.splitlines()
    assert len(lines) == 8
    assert lines[1].startswith(
        "powqmix launch --env predator_prey --algorithm powqmix --preset paper --seed 0 --run-dir "
    )
    assert lines[1].endswith("--set weighting.recognized_weight=10")
    assert "--actors 3 --device cpu" in lines[1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--only", "10/0"], [("p = -2", "10/0"), ("matrix/wqmix", "10/0")] * 2),
        (["--only", "p = -2", "--seeds", "1"], [("p = -2", "qmix"), ("p = -2", "10/0")]),
        (["--only", "qmix", "--only", "p = -2", "--seeds", "1"], [("p = -2", "qmix")]),
    ],
)
def test_only_some_of_the_runs(
    command: Command, grid: Path, tmp_path: Path, arguments: list[str], wanted: list[tuple[str, str]]
) -> None:
    out = tmp_path / "out"
    result = command("experiment", grid, "--out", out, "--dry-run", *arguments)
    assert result.code == 0, result.err
    runs = {str(run.path): (run.env, run.algorithm) for run in plan(grid, out).runs}
    started = [runs[line.split("--run-dir ")[1].split(" ")[0]] for line in result.out.splitlines()]
    assert started == wanted


def test_an_unknown_label_is_refused_with_the_near_ones(command: Command, grid: Path, tmp_path: Path) -> None:
    for arguments, said in ((["--only", "qmx"], "did you mean qmix"), (["--seeds", "0"], "--seeds must be at least 1")):
        result = command("experiment", grid, "--out", tmp_path / "out", "--dry-run", *arguments)
        assert result.code == 2
        assert said in result.err


def finish(folder: Path, values: list[float], seed: int, algorithm: str = "qmix", **summary: Any) -> None:
    """A folder as a finished run of predator_prey leaves it."""
    lines = [{"env_steps": 100 * k, "test_env_steps": 100 * k, "test_return_mean": v} for k, v in enumerate(values)]
    write_run(folder, lines, algorithm=algorithm, seed=seed)
    write(folder / "summary.json", json.dumps({"status": "done", "seed": seed, "updates": 1, **summary}))


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Path, Path]:
    """An experiment of five seeds whose runs are done but for the last, and its folder."""
    file = write(tmp_path / "five.yaml", "algorithms: [qmix, vdn]\nenvironments: [predator_prey]\nseeds: 5")
    out = tmp_path / "out"
    for seed in range(4):
        finish(out / "predator_prey" / "qmix" / f"s{seed}", [0.0, 1.0, float(seed)] + [9.0] * (seed == 3), seed)
    finish(out / "predator_prey" / "vdn" / "s0", [5.0, 6.0, 7.0], 0, "vdn")
    return file, out


def test_the_table_has_mean_and_iqm_of_the_last_tests(command: Command, finished: tuple[Path, Path]) -> None:
    file, out = finished
    report = command("experiment", file, "--out", out, "--report", "--json").json
    assert (report["runs_done"], report["runs_planned"]) == (5, 10)
    qmix, vdn = report["results"]
    assert qmix["values"] == [0.0, 1.0, 2.0, 9.0]
    assert qmix["mean"] == 3.0
    assert qmix["iqm"] == 1.5  # of the middle two
    low, high = qmix["mean_ci95"]
    assert 0.0 <= low < 3.0 < high <= 9.0
    assert qmix["iqm_ci95"][0] <= 1.5 <= qmix["iqm_ci95"][1]
    assert (vdn["values"], vdn["mean_ci95"]) == ([7.0], None)
    assert json.loads((out / "results.json").read_text())["results"] == report["results"]
    assert "| predator_prey | qmix | test_return_mean | 4 | 3.000 |" in (out / "results.md").read_text()
    for suffix in ("png", "svg"):
        assert (out / f"test_return_mean.{suffix}").stat().st_size > 0


def test_each_run_tells_when_and_on_what_it_was_made_but_not_where(
    command: Command, finished: tuple[Path, Path]
) -> None:
    file, out = finished
    record = {"started": "2026-01-02", "command": "powqmix launch", "git": "abc", "machine": {"host": "me", "cores": 2}}
    write(out / "predator_prey" / "qmix" / "s0" / "run.json", json.dumps(record))
    assert command("experiment", file, "--out", out, "--report").code == 0
    first, second = json.loads((out / "results.json").read_text())["runs"][:2]
    assert first["run_json"] == {"started": "2026-01-02", "git": "abc", "machine": {"cores": 2}}
    assert second["run_json"] == {"machine": {}}  # this one has no run.json


def test_the_export_has_the_layout_that_marl_eval_reads(command: Command, finished: tuple[Path, Path]) -> None:
    file, out = finished
    assert command("experiment", file, "--out", out, "--report").code == 0
    exported = json.loads((out / "marl_eval.json").read_text())
    assert set(exported) == {"predator_prey"}
    algorithms = exported["predator_prey"]["predator_prey"]
    assert set(algorithms) == {"qmix", "vdn"}
    assert set(algorithms["qmix"]) == {f"seed_{seed}" for seed in range(4)}
    for runs in algorithms.values():
        for run in runs.values():
            assert list(run) == ["step_0", "step_1", "step_2", "absolute_metrics"]  # as many in every run
            for k in range(3):
                assert run[f"step_{k}"].keys() == {"step_count", "return"}
                assert run[f"step_{k}"]["step_count"] == 100 * k
                assert len(run[f"step_{k}"]["return"]) == 1
    assert algorithms["qmix"]["seed_3"]["step_2"]["return"] == [3.0]
    assert algorithms["qmix"]["seed_3"]["absolute_metrics"] == {"return": [9.0]}


def test_a_folder_of_other_values_is_refused(command: Command, finished: tuple[Path, Path]) -> None:
    file, out = finished
    for assignment, said in (("training.gamma=0.5", "training.gamma = 0.99"), ("steps=5", "steps = 10000000")):
        result = command("experiment", file, "--out", out, "--dry-run", "--set", assignment)
        assert result.code == 2
        assert f"was started with {said}, the experiment says" in result.err
        assert "choose another --out" in result.err


def test_unfinished_runs_are_resumed_and_finished_ones_skipped(command: Command, finished: tuple[Path, Path]) -> None:
    file, out = finished
    unfinished = out / "predator_prey" / "vdn" / "s0"
    write(unfinished / "summary.json", json.dumps({"status": "interrupted"}))
    lines = command("experiment", file, "--out", out, "--dry-run").out.splitlines()
    assert len(lines) == 6  # qmix: seed 4; vdn: all
    assert lines[0].startswith(f"powqmix launch --resume --run-dir {unfinished}")


def experiment(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "powqmix", "experiment", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip


def test_real_runs_end_in_a_table_and_are_not_run_again(command: Command, tmp_path: Path) -> None:
    text = f"algorithms: [powqmix, resq]\nenvironments: [matrix/powqmix]\nseeds: [3]\nset: {TINY}"
    file, out = write(tmp_path / "two.yaml", text), tmp_path / "out"
    printed, _ = (process := experiment(file, "--out", out, "--jobs", "2", "--device", "cpu")).communicate(timeout=200)
    assert process.returncode == 0, printed
    assert "done (2 of 2)" in printed
    for algorithm in ("powqmix", "resq"):
        settings = config.load(out / "matrix-powqmix" / algorithm / "s3" / "config.yaml")
        assert (settings.algorithm, settings.seed, settings.training.max_updates) == (algorithm, 3, 4)
    report = json.loads((out / "results.json").read_text())
    payoff = np.array([[8, -12, -12], [-12, 0, 0], [-12, 0, 7.9]])
    for run, table in zip(report["runs"], ("q_r", "q_jt")):
        assert run["updates"] == 4
        assert run["best_joint_action"] == [0, 0]
        assert run["payoff_of_greedy"] == pytest.approx(payoff[tuple(run["greedy_joint_action"])])
        assert run["errors"][table] == pytest.approx(np.abs(np.array(run[table]) - payoff).max())
    assert "## Joint actions after training" in (out / "results.md").read_text()
    assert command("experiment", file, "--out", out, "--dry-run").out == ""
    again, _ = experiment(file, "--out", out).communicate(timeout=60)
    assert "started" not in again


def test_interrupted_it_saves_what_goes_and_goes_on_later(command: Command, tmp_path: Path) -> None:
    text = f"algorithms: [qmix, vdn]\nenvironments: [matrix/powqmix]\nseeds: [0]\nset: {TINY}"
    file, out = write(tmp_path / "two.yaml", text.replace("updates: 4", "updates: 60000")), tmp_path / "out"
    process = experiment(file, "--out", out, "--device", "cpu")
    run = out / "matrix-powqmix" / "qmix" / "s0"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if json.loads((run / "status.json").read_text())["updates"] >= 10:
                break
        except (OSError, ValueError):
            pass
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert "saved: qmix on matrix/powqmix, seed 0" in printed
    before = json.loads((run / "summary.json").read_text())
    assert before["status"] == "interrupted"
    assert before["updates"] >= 10
    lines = command("experiment", file, "--out", out, "--dry-run").out.splitlines()
    assert [" --resume " in line for line in lines] == [True, False]
    assert not (out / "matrix-powqmix" / "vdn").exists()  # nothing new was started


def test_a_lockstep_row_has_the_one_actor_that_lockstep_means(tmp_path: Path, command: Command) -> None:
    file = write(
        tmp_path / "modes.yaml",
        "algorithms: [qmix, {algorithm: qmix, label: lockstep, set: {lockstep: true}}]\n"
        "environments: [matrix/wqmix]\nseeds: 1",
    )
    lines = command("experiment", file, "--out", tmp_path / "out", "--actors", 3, "--dry-run").out.splitlines()
    assert [" --actors 3" in line for line in lines] == [True, False]
    assert "--set lockstep=true" in lines[1]
    assert " --actors 1 " in lines[1]


@pytest.mark.parametrize("file", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_of_the_repository_resolves(file: Path, tmp_path: Path) -> None:
    found = plan(file, tmp_path)
    assert found.about
    assert 0 < len(found.runs) == len({run.path for run in found.runs})  # each has a folder of its own


def test_tables_of_policies_have_the_critic_and_no_q_tot() -> None:
    q_star = [[8.0, -12.0, -12.0], [-12.0, 0.5, 0.0], [-12.0, 0.0, 7.9]]
    summary = {
        "greedy_joint_action": [2, 2], "q_tot": None, "q_r": None, "q_star": q_star, "q_jt": None,
        "updates": 3, "wall_time_s": 1.0,
    }  # fmt: skip
    settings = config.resolve("matrix/powqmix", "coma")
    text = joint_tables([(PlannedRun("matrix", "coma", 0, settings, (), Path("x")), summary)])
    assert "| matrix | coma | 0 | (C,C) | 7.9 | - | - | - | 0.500 | - | 3 | 1 |" in text
    assert "| B | -12.00 | 0.50 | 0.00 |" in text
