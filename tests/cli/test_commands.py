"""The dispatcher as a user meets it: help, typing errors, exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from powqmix.cli.main import COMMANDS

if TYPE_CHECKING:
    from .conftest import Command

EXPLAINED = ("evaluate", "plot", "replay", "envs", "doctor", "profile", "algorithms", "experiment")
POSITIONAL = {"evaluate": ["runs/x"], "replay": ["runs/x"], "profile": ["actors"], "experiment": ["x.yaml"]}


@pytest.mark.parametrize("name", EXPLAINED)
def test_help_explains_every_flag_with_an_example_and_exits_with_0(command: Command, name: str) -> None:
    result = command(name, "--help")
    assert result.code == 0
    assert f"powqmix {name} " in result.out.split("─ options ─")[0]
    assert "Example:" in result.out
    assert "--json" in result.out


@pytest.mark.parametrize("name", EXPLAINED)
def test_unknown_flag_exits_with_2(command: Command, name: str) -> None:
    result = command(name, *POSITIONAL.get(name, ()), "--no-such-flag")
    assert result.code == 2
    assert "no-such-flag" in result.out + result.err


def test_usage_lists_all_commands(command: Command) -> None:
    result = command("--help")
    assert result.code == 0
    assert set(EXPLAINED) <= set(COMMANDS)
    for name, text in COMMANDS.items():
        assert name in result.out
        assert text in result.out


def test_unknown_command_exits_with_2_and_names_near_ones(command: Command) -> None:
    result = command("evaluat")
    assert (result.code, result.out) == (2, "")
    assert "did you mean evaluate?" in result.err


@pytest.mark.parametrize("name", ["evaluate", "plot", "replay"])
def test_folder_without_a_run_exits_with_2_and_says_so(command: Command, name: str, tmp_path: object) -> None:
    result = command(name, tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "holds no run" in result.err
