"""`powqmix profile`: every part measures what it names, in numbers that fit together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from powqmix import config
from powqmix.cli import profile_kernels, timing
from powqmix.cli.profile_learner import STAGES
from powqmix.cli.timing import alternate, timed

from .conftest import SMALL

if TYPE_CHECKING:
    from .conftest import Command

FAST = [part for text in SMALL for part in ("--set", text)] + ["--seconds", "0.05", "--device", "cpu", "--json"]


def test_learner_reports_updates_and_every_stage(command: Command) -> None:
    report = command("profile", "learner", *FAST).json
    assert (report["env"], report["algorithm"], report["batch_size"]) == ("predator_prey", "powqmix", 4)
    assert report["episodes_in_ring"] == 16
    assert 1 <= report["steps"] <= 12
    assert report["updates_per_second"] * report["ms_per_update"] == pytest.approx(1000)
    # A stage that the update does not have any more would be missing here.
    names = ["sample and gather", *dict.fromkeys(name for _, _, name in STAGES), "rest of the update", "publish"]
    assert list(report["stages_ms"]) == names
    assert all(ms > 0 for name, ms in report["stages_ms"].items() if not name.startswith("rest"))
    assert report["stages_ms"]["rest of the update"] < 0.5 * sum(report["stages_ms"].values())


def test_learner_of_an_algorithm_without_a_recognizer_spends_nothing_on_it(command: Command) -> None:
    report = command("profile", "learner", "--algorithm", "qmix", *FAST).json
    assert report["stages_ms"]["recognizer steps"] < 0.2 * report["stages_ms"]["backward"]


def test_actors_report_a_row_for_each_number_of_environments(command: Command) -> None:
    report = command("profile", "actors", "--envs", 1, 4, *FAST).json
    assert [row["envs"] for row in report["rows"]] == [1, 4]
    for row in report["rows"]:
        assert row["env_steps_per_second"] * row["us_per_env_step"] == pytest.approx(1e6)
        assert row["us"]["policy"] > 0
        assert row["us"]["environment"] > 0
        assert row["us"]["recording"] >= 0


def test_kernels_report_both_implementations_and_that_they_agree(command: Command) -> None:
    report = command("profile", "kernels", *FAST).json
    assert report["shape"] == {"B": 4, "T": 12, "N": 2, "A": 6, "K": 32}
    assert {row["op"].partition(",")[0] for row in report["rows"]} == {
        "select_q", "hyper_scales", "monotonic_mix", "td_lambda_target", "powqmix_head", "powqmix_loss",
    }  # fmt: skip
    for row in report["rows"]:
        assert row["ratio"] == pytest.approx(row["reference_ms"] / row["ms"])
        assert row["largest_difference"] < 1e-3


def test_kernels_that_disagree_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_kernels.ops, "hyper_scales", lambda w1, w2: torch.zeros(w1.shape[:3]) + 7.0)
    case = profile_kernels.Case("hyper_scales", (torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 4)), {})
    assert profile_kernels.compare(case, 0.0, lambda: None)["largest_difference"] == 7.0


def test_cases_cover_legal_actions_and_episodes_of_other_lengths() -> None:
    cases = {case.name: case for case in profile_kernels.make_cases(config.resolve(), 8, 10, 3, 5, torch.device("cpu"))}
    _, available, taken = cases["select_q"].inputs
    assert available.gather(-1, taken.unsqueeze(-1)).all()
    assert not available.all()
    filled = cases["powqmix_head"].inputs[-1]
    assert len(set(filled.sum(dim=1).tolist())) > 1
    assert cases["powqmix_head, backward too"].differentiated == (0, 1)


@pytest.mark.parametrize("part", ["learner", "actors", "kernels"])
def test_tables_are_printed_without_json(command: Command, part: str) -> None:
    result = command("profile", part, *FAST[:-1])
    assert result.code == 0
    assert "predator_prey" in result.out
    assert " ms" in result.out or " us" in result.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["actors", "--seconds", "0"], "--seconds must be above 0"),
        (["actors", "--envs", "0"], "--envs takes numbers"),
        (["learner", "--env", "no_such_env"], "unknown environment"),
        (["learner", "--set", "no.key=1"], "unknown configuration key"),
        (["kernels", "--device", "tpu"], "--device must be"),
    ],
)
def test_wrong_use_exits_with_2(command: Command, arguments: list[str], said: str) -> None:
    result = command("profile", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_stages_are_medians_over_rounds_and_count_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    class Work:
        def part(self, seconds: float) -> str:
            clock[0] += seconds
            return "done"

    waits: list[float] = []
    work, stages = Work(), timing.Stages(lambda: waits.append(clock[0]))
    stages.wrap(work, "part", "part")
    assert work.part(9.0) == "done"  # before the first round: not counted
    for seconds in (1.0, 2.0, 50.0):
        stages.begin_round()
        work.part(seconds)
        clock[0] += 7.0  # outside of any stage
        work.part(seconds)
    assert stages.medians() == {"part": 4.0}
    assert waits[:2] == [0.0, 9.0]  # the device is waited for before and after


def test_alternation_calls_in_turns_and_drops_the_first_round() -> None:
    calls: list[str] = []

    def body(name: str, seconds: float) -> float:
        calls.append(name)
        return seconds

    times = alternate({"a": lambda: body("a", 1.0), "b": lambda: body("b", 2.0)}, seconds=0.0, minimum=2)
    assert calls == ["a", "b"] * 3
    assert times == {"a": [1.0, 1.0], "b": [2.0, 2.0]}
    assert 0 <= timed(lambda: math.sqrt(2))() < 1
