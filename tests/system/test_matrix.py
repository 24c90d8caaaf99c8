"""The matrix game end to end: what a run reports of it."""

from __future__ import annotations

from pathlib import Path

from .harness import run, summary


def test_a_matrix_run_reports_its_greedy_joint_action_and_tables(tmp_path: Path) -> None:
    done = run(
        "launch", "--env", "matrix/powqmix", "--algorithm", "powqmix", "--preset", "paper", "--seed", "0",
        "--set", "training.max_updates=60", "--actors", "2", "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    values = summary(tmp_path / "run")
    assert values["updates"] == 60
    assert len(values["greedy_joint_action"]) == 2
    for table in (values["q_tot"], values["q_r"]):
        assert [len(row) for row in table] == [3, 3, 3]
    assert values["episodes_stored"] >= 128 + 8 * 59


def test_an_algorithm_without_a_recognizer_has_no_table_of_it(tmp_path: Path) -> None:
    done = run(
        "launch", "--env", "matrix/powqmix", "--algorithm", "qmix", "--set", "training.max_updates=20",
        "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert summary(tmp_path / "run")["q_r"] is None
