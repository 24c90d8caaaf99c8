"""`powqmix envs`: what is listed is what can be made, with its true sizes and options."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from powqmix import envs
from powqmix.cli import envs as envs_command
from powqmix.envs.base import ActionArray
from powqmix.envs.native import NativeEnv

if TYPE_CHECKING:
    from .conftest import Command


def test_all_environments_are_listed_with_their_sizes(command: Command) -> None:
    listed = {row["id"]: row for row in command("envs", "--json").json["environments"]}
    assert list(listed) == envs.registered()
    for env_id, row in listed.items():
        if row.pop("unavailable") is None:
            assert row == asdict(envs.spec(env_id))
        else:
            # The one option without a default; a package that is not installed.
            assert "payoff" in envs.options(env_id) or env_id.startswith("pettingzoo/")


def test_table_has_a_row_for_each(command: Command) -> None:
    result = command("envs")
    assert result.code == 0
    for env_id in envs.registered():
        assert env_id in result.out


def test_family_lists_its_own_only(command: Command) -> None:
    listed = [row["id"] for row in command("envs", "matrix", "--json").json["environments"]]
    assert listed == [env_id for env_id in envs.registered() if env_id.startswith("matrix/")]


def test_one_environment_shows_options_and_rules(command: Command) -> None:
    assert command("envs", "predator_prey", "--json").json["options"] == envs.options("predator_prey")
    text = command("envs", "predator_prey").out
    for name, default in envs.options("predator_prey").items():
        assert name in text
        assert str(default) in text
    assert "Licence: Apache-2.0" in text


def test_unknown_environment_exits_with_2_and_names_near_ones(command: Command) -> None:
    result = command("envs", "predator_pray")
    assert (result.code, result.out) == (2, "")
    assert "did you mean predator_prey?" in result.err


def test_environment_whose_package_is_missing_is_listed_with_the_reason(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = envs.spec

    def spec(env_id: str) -> envs.registry.EnvSpec:
        if env_id == "predator_prey":
            raise ImportError("predator_prey needs a package; pip install it")
        return real(env_id)

    monkeypatch.setattr(envs_command.envs, "spec", spec)
    result = command("envs")
    assert result.code == 0
    assert "predator_prey needs a package; pip install it" in result.out
    assert "matrix/wqmix" in result.out


@pytest.mark.parametrize("env_id", ["skirmish/3m", "matrix/powqmix", "predator_prey"])
def test_check_finds_every_promise_kept(command: Command, env_id: str) -> None:
    result = command("envs", "check", env_id, "--steps", "60", "--episodes", "64", "--json")
    assert result.code == 0
    assert result.json["kept"]
    assert sum(check["kept"] is True for check in result.json["checks"]) >= 7


def test_check_exits_with_1_on_a_broken_promise(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dishonest(NativeEnv):
        def step(self, actions: ActionArray) -> None:
            super().step(np.clip(actions, 0, self.spec.n_actions - 1))  # takes what does not exist

    def make(env_id: str, num_envs: int, **arguments: Any) -> Dishonest:
        return Dishonest(real(env_id, num_envs, **arguments).native)

    real: Any = envs.make
    monkeypatch.setattr(envs, "make", make)
    result = command("envs", "check", "matrix/powqmix", "--steps", "5")
    assert result.code == 1
    assert next(line for line in result.out.splitlines() if "BROKEN" in line).strip().startswith("an action that does")


def test_check_takes_options_of_the_environment(command: Command) -> None:
    result = command("envs", "check", "matrix/custom", "--set", "env.payoff=[[1, 2], [3, 4]]", "--json")
    assert result.json["checks"][-1]["seen"] == "4 joint actions, 0 wrong"
    assert command("envs", "check", "matrix/custom").code == 2
    assert "env.OPTION=VALUE" in command("envs", "check", "matrix/custom", "--set", "steps=3").err
