"""`powqmix profile`: every part measures what it names, in numbers that fit together."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from powqmix import config, envs
from powqmix.cli import null_learner, profile_kernels, timing
from powqmix.cli.profile_learner import STAGES
from powqmix.cli.profile_system import limits
from powqmix.cli.timing import alternate, timed
from powqmix.cli.work import update_gflop
from powqmix.learner.update import Update

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
    names.remove("critic steps")  # those of policies
    assert list(report["stages_ms"]) == names
    coma = command("profile", "learner", *FAST, "--algorithm", "coma", "--set", "replay.capacity=8").json
    assert coma["stages_ms"]["critic steps"] > coma["stages_ms"]["recognizer steps"]
    assert all(ms > 0 for name, ms in report["stages_ms"].items() if not name.startswith("rest"))
    assert report["stages_ms"]["rest of the update"] < 0.5 * sum(report["stages_ms"].values())


def test_learner_of_an_algorithm_without_a_recognizer_spends_nothing_on_it(command: Command) -> None:
    report = command("profile", "learner", "--algorithm", "qmix", *FAST).json
    assert report["stages_ms"]["recognizer steps"] < 0.2 * report["stages_ms"]["backward"]


def test_learner_stands_beside_what_the_machine_can_do(command: Command) -> None:
    report = command("profile", "learner", *FAST).json
    assert set(report["peaks"]) == {"gflops", "copy_gb_per_second"}
    assert set(report["gflop_per_second"]) == {"forward", "backward", "recognizer steps"}
    rates = [*report["peaks"].values(), *report["gflop_per_second"].values(), report["gather_gb_per_second"]]
    assert all(rate > 0 for rate in rates)


def test_the_work_of_an_update_counts_each_weight_once_a_row() -> None:
    settings = config.resolve("predator_prey", "vdn", assignments=SMALL)
    update = Update(settings, envs.spec(settings.env_id, **settings.env), torch.device("cpu"))
    weights = sum(p.numel() for p in update.objective.agent.parameters() if p.dim() > 1)
    work = update_gflop(update.objective, settings, agents=2, episodes=4, steps=10.0)
    forward = 2 * weights * (4 * 11 * 2) * 2  # the agent and its target copy
    assert work["forward"] == pytest.approx(1e-9 * forward)
    assert work["backward"] == pytest.approx(1e-9 * forward)  # twice as much, of one of the two
    assert "recognizer steps" not in work


def test_actors_report_a_row_for_each_number_of_environments(command: Command, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    report = command("profile", "actors", "--envs", 1, 4, "--trace", trace, *FAST, "--seconds", "0.2").json
    assert [row["envs"] for row in report["rows"]] == [1, 4]
    assert report["actors"] == 1
    assert report["peak_gmacs_per_second"] > 0
    for row in report["rows"]:
        assert list(row["us"]) == ["policy", "simulate", "record", "hand over", "send", "wait"]
        assert all(row["us"][stage] > 0 for stage in ("policy", "simulate", "record", "send"))
        assert row["us_per_env_step"] == pytest.approx(sum(row["us"].values()))
        assert row["env_steps_per_second"] > 0
        assert 1 <= row["steps_per_episode"] <= 12
    spans = spans_by_track(trace)
    assert {"policy", "simulate", "record"} == {name for name, *_ in spans["actor 0, in play"]}
    assert {"play", "send"} <= {name for name, *_ in spans["actor 0"]}
    inside = spans["actor 0, in play"][0]
    assert any(name == "play" and at <= inside[1] <= at + took for name, at, took in spans["actor 0"])


def test_wire_reports_what_sleeping_actors_keep_of_their_rate(command: Command, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    report = command(
        "profile", "wire", "--actors", 3, "--sleep-ms", 5, "--trace", trace, *FAST, "--seconds", "0.5"
    ).json
    assert (report["actors"], report["sleep_ms"], report["possible_env_steps_per_second"]) == (3, 5.0, 600.0)
    assert report["share_of_possible"] == pytest.approx(report["env_steps_per_second"] / 600)
    assert 0 < report["env_steps_per_second"] < 1200  # of whole episodes: a few more or less arrive by chance
    assert report["steps_per_episode"] <= 12
    assert (report["lost"], report["rejected"]) == (0, 0)
    assert 0 <= report["parameter_lag_median"] <= report["parameter_lag_p99"]
    assert report["pss_mb"] is None or report["pss_mb"] > 3
    assert {name for name, *_ in spans_by_track(trace)["receiver"]} == {"wait", "messages"}


def test_wire_says_so_where_actors_do_not_come(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(null_learner.sys, "executable", "/bin/false")
    result = command("profile", "wire", "--actors", 2, *FAST)
    assert result.code == 1
    assert "0 of 2 actors came" in result.err


def test_system_names_the_side_that_limits(command: Command) -> None:
    report = command("profile", "system", "--actors", 2, *FAST).json
    sides = report["env_steps_per_second"]
    assert set(sides) == {"actors", "transport", "learner"}
    assert sides[report["bottleneck"]] == min(sides.values())
    assert report["change"]
    assert report["envs_per_actor"] == 4


@pytest.mark.parametrize(
    ("actors", "updates", "limit", "suffice"),
    [(1, 1000.0, "actors", 10), (64, 10.0, "learner", 1), (64, 1e9, "transport", 20)],
)
def test_the_limit_is_the_least_of_three_rates(actors: int, updates: float, limit: str, suffice: int) -> None:
    # One actor plays 1000 steps/s; an episode of 20 takes the receiver 1 ms; an update uses 10 steps.
    played = {"env_steps_per_second": 1000.0, "receiver_us_per_episode": 1000.0, "steps_per_episode": 20.0}
    learned = {"updates_per_second": updates, "batch_size": 8, "steps": 20.0}
    found = limits(played, learned, actors, 64, 16)
    assert found["bottleneck"] == limit
    assert found["actors_that_suffice"] == suffice


def spans_by_track(path: Path) -> dict[str, list[tuple[str, float, float]]]:
    """Name, start and duration of each span of a trace, by the name of its track."""
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
    spans: dict[str, list[tuple[str, float, float]]] = {name: [] for name in names.values()}
    for event in events:
        if event["ph"] == "X":
            assert min(event["ts"], event["dur"]) >= 0
            spans[names[event["tid"]]].append((event["name"], event["ts"], event["dur"]))
    return spans


@pytest.mark.parametrize(("part", "track"), [("learner", "learner"), ("kernels", "select_q")])
def test_learner_and_kernels_write_traces_too(command: Command, tmp_path: Path, part: str, track: str) -> None:
    trace = tmp_path / "trace.json"
    assert command("profile", part, "--trace", trace, *FAST).code == 0
    assert spans_by_track(trace)[track]


def test_a_trace_that_cannot_be_written_is_an_error_with_its_path(command: Command, tmp_path: Path) -> None:
    result = command("profile", "kernels", "--trace", tmp_path / "none" / "trace.json", *FAST)
    assert result.code == 1
    assert "none/trace.json cannot be written" in result.err


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


@pytest.mark.parametrize("part", ["learner", "actors", "kernels", "wire", "system"])
def test_tables_are_printed_without_json(command: Command, part: str) -> None:
    result = command("profile", part, "--actors", 1, "--envs", 2, *FAST[:-1])
    assert result.code == 0
    assert "predator_prey" in result.out
    assert " ms" in result.out or " us" in result.out or "env steps/s" in result.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["actors", "--seconds", "0"], "--seconds must be above 0"),
        (["actors", "--envs", "0"], "--envs takes numbers"),
        (["wire", "--actors", "0"], "--actors must be at least 1"),
        (["wire", "--sleep-ms", "0"], "--sleep-ms must be above 0"),
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
