"""`powqmix evaluate`: it plays what the checkpoint holds, as many episodes as asked, the same ones for one seed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from powqmix.cli.evaluate import play, summarise
from powqmix.cli.recording import play_episode
from powqmix.learner.saved_policy import load_policy
from powqmix.types import Episode

if TYPE_CHECKING:
    from .conftest import Command


def test_evaluation_reports_the_newest_checkpoint_as_one_json_object(command: Command, run: Path) -> None:
    result = command("evaluate", run, "--episodes", 10, "--json", "--random")
    assert result.code == 0
    report = result.json
    assert (report["env"], report["algorithm"], report["episodes"]) == ("predator_prey", "powqmix", 10)
    assert (report["updates"], report["env_steps"]) == (40, 3000)
    assert report["optimal_return"] == 10.0  # two agents catch one prey, and leave with it
    for part in (report, report["random"]):
        low, high = part["return_ci95"]
        assert low <= part["return_mean"] <= high
        assert part["return_min"] <= part["return_mean"] <= part["return_max"]
        assert 1 <= part["length_mean"] <= 12
        assert part["win_rate"] is None  # nothing can be won there
    assert report["random"]["return_mean"] != report["return_mean"]


def test_older_checkpoint_can_be_chosen(command: Command, run: Path) -> None:
    assert command("evaluate", run, "-n", 2, "--checkpoint", 20, "--json").json["updates"] == 20
    result = command("evaluate", run, "--checkpoint", 21)
    assert result.code == 1
    assert "there are: 40, 20" in result.err


def test_one_seed_gives_the_same_episodes_and_another_others(run: Path) -> None:
    policy = load_policy(run)

    def states(seed: int) -> list[bytes]:
        return [bytes(episode.frames[1]) for episode in play(policy, 5, 0.0, seed, 2)[0]]

    assert states(3) == states(3)
    assert states(3) != states(4)


def test_greedy_episodes_are_played_with_epsilon_0_and_random_ones_with_1(run: Path) -> None:
    policy = load_policy(run)
    assert {episode.epsilon for episode in play(policy, 3, 0.0, 0, 8)[0]} == {0.0}
    assert {episode.epsilon for episode in play(policy, 3, 1.0, 0, 8)[0]} == {1.0}


def test_a_policy_that_draws_in_training_takes_its_best_actions_here(run: Path) -> None:
    policy = load_policy(run)
    agent = dataclasses.replace(policy.config.agent, action_selection="softmax")
    drawing = dataclasses.replace(
        policy, config=dataclasses.replace(policy.config, agent=agent), policy_spec=agent.policy(policy.env_spec)
    )
    assert drawing.policy_spec.action_selection == "softmax"
    for one, other in zip(play(policy, 4, 0.0, 5, 2)[0], play(drawing, 4, 0.0, 5, 2)[0], strict=True):
        assert [frame.tobytes() for frame in one.frames] == [frame.tobytes() for frame in other.frames]
    one, other = play_episode(policy, 3), play_episode(drawing, 3)
    assert one.frames[3].tobytes() == other.frames[3].tobytes()


@pytest.mark.parametrize("num_envs", [1, 3, 50])
def test_as_many_episodes_are_played_as_asked_for(run: Path, num_envs: int) -> None:
    assert len(play(load_policy(run), 7, 0.0, 0, num_envs)[0]) == 7


def test_a_single_episode_has_no_interval(command: Command, run: Path) -> None:
    result = command("evaluate", run, "--episodes", 1, "--json")
    assert result.json["return_ci95"] == [None, None]
    assert "NaN" not in result.out
    assert command("evaluate", run, "--episodes", 1).code == 0


def test_win_rate_comes_with_its_wilson_interval_where_there_is_one() -> None:
    episodes = [Episode([], 5, True, False, 1.0, won, 0, 0.0) for won in [True] * 5 + [False] * 5]
    summary = summarise(episodes, has_win=True)
    assert summary["win_rate"] == 0.5
    assert summary["win_rate_ci95"] == [pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4)]


def test_table_shows_both_policies(command: Command, run: Path) -> None:
    result = command("evaluate", run, "--episodes", 4, "--random")
    assert result.code == 0
    assert "after 40 updates (3,000 environment steps)" in result.out
    assert "greedy" in result.out
    assert "random" in result.out
    assert "optimum" in result.out


@pytest.mark.parametrize("flag", ["--episodes=0", "--envs=0", "--seed=-1"])
def test_numbers_out_of_range_exit_with_2(command: Command, run: Path, flag: str) -> None:
    result = command("evaluate", run, flag)
    assert result.code == 2
    assert flag.split("=")[0] in result.err


def test_run_without_a_checkpoint_says_when_there_will_be_one(command: Command, run: Path, tmp_path: Path) -> None:
    young = tmp_path / "young"
    young.mkdir()
    (young / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    result = command("evaluate", young)
    assert (result.code, result.out) == (1, "")
    assert "no checkpoint yet" in result.err


def test_damaged_newest_checkpoint_is_gone_back_over(command: Command, run: Path) -> None:
    part = run / "checkpoints" / "step-000000000040" / "policy_vector.pt"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    assert command("evaluate", run, "-n", 2, "--json").json["updates"] == 20
    assert command("evaluate", run, "--checkpoint", 40).code == 1


def test_configuration_of_another_size_than_the_checkpoint_is_refused(command: Command, run: Path) -> None:
    text = (run / "config.yaml").read_text()
    assert "hidden_size: 8" in text
    (run / "config.yaml").write_text(text.replace("hidden_size: 8", "hidden_size: 9", 1))
    result = command("evaluate", run)
    assert result.code == 1
    assert "do not belong together" in result.err


def test_environment_option_that_is_gone_is_a_configuration_error(command: Command, run: Path) -> None:
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("  grid: 4", "  gird: 4"))
    result = command("evaluate", run)
    assert result.code == 2
    assert "no option 'gird'" in result.err


def test_report_can_be_read_back_from_a_file(command: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(command("evaluate", run, "-n", 3, "--json").out)
    assert json.loads((tmp_path / "report.json").read_text())["run"] == str(run)
