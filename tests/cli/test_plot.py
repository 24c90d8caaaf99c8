"""`powqmix plot`: curves are read whole, grouped by what was learned, averaged where all runs are, and drawn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from powqmix.cli.curves import GRID_POINTS, NoCurve, group_curves, read_curve, usual_metric
from powqmix.cli.figure import spread
from powqmix.config import ConfigError

from .conftest import write_run

if TYPE_CHECKING:
    from .conftest import Command


def lines_of_tests(steps: Sequence[float], values: Sequence[float]) -> list[dict[str, Any]]:
    """Metrics lines that report, 500 steps later, tests of the policy of `steps`."""
    return [
        {"env_steps": step + 500, "test_env_steps": step, "test_return_mean": value}
        for step, value in zip(steps, values)
    ]


def test_tests_count_at_the_step_that_asked_for_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", [{"env_steps": 7, "return_mean": 1.0}, *lines_of_tests([0, 100], [1.5, 2.5])])
    curve = read_curve(run, "test_return_mean")
    np.testing.assert_array_equal(curve.steps, [0, 100])
    np.testing.assert_array_equal(curve.values, [1.5, 2.5])
    np.testing.assert_array_equal(read_curve(run, "return_mean").steps, [7])


def test_step_reported_twice_keeps_the_later_value_and_order_is_by_step(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", lines_of_tests([100, 0, 100], [1.0, 2.0, 3.0]))
    curve = read_curve(run, "test_return_mean")
    assert curve.steps.tolist() == [0, 100]
    assert curve.values.tolist() == [2.0, 3.0]


def test_runs_are_judged_by_what_can_be_won(tmp_path: Path) -> None:
    lost = [{**line, "test_win_rate": 0.0} for line in lines_of_tests([0, 100], [1.0, 2.0])]
    runs = [write_run(tmp_path / "a", lines_of_tests([0], [1.0])), write_run(tmp_path / "b", lost)]
    assert usual_metric(runs) == "test_return_mean"
    won = write_run(tmp_path / "c", [*lost, {"test_env_steps": 200, "test_win_rate": 0.5}])
    assert usual_metric([*runs, won]) == "test_win_rate"


def test_torn_last_line_is_left_out_and_one_in_the_middle_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", lines_of_tests([0, 100], [1.0, 2.0]))
    metrics = run / "metrics.jsonl"
    whole = metrics.read_text()
    metrics.write_text(whole + '{"test_env_steps": 2')
    assert len(read_curve(run, "test_return_mean").steps) == 2
    metrics.write_text('{"test_env_st\n' + whole)
    with pytest.raises(ConfigError, match="line 1 is no JSON object"):
        read_curve(run, "test_return_mean")


@pytest.mark.parametrize(
    ("lines", "metric", "said"),
    [
        ([], "test_return_mean", "has no metrics yet"),
        ([{"env_steps": 5, "return_mean": 1.0}], "test_return_mean", "no test yet.*--metric return_mean"),
        (lines_of_tests([0], [1.0]), "test_retrun_mean", "did you mean test_return_mean"),
    ],
)
def test_run_with_nothing_to_draw_says_what_it_has(
    tmp_path: Path, lines: list[dict[str, Any]], metric: str, said: str
) -> None:
    with pytest.raises(NoCurve, match=said):
        read_curve(write_run(tmp_path / "a", lines), metric)


def test_runs_that_differ_in_the_seed_are_averaged_where_all_of_them_are(tmp_path: Path) -> None:
    steps = [0, 10, 20, 30]
    values = {0: [0, 10, 20, 30], 1: [0, 20, 40], 2: [0, 30, 60, 90]}
    runs = [
        write_run(tmp_path / str(seed), lines_of_tests(steps, these), seed=seed, assignments=(f"steps={1000 + seed}",))
        for seed, these in values.items()
    ]
    (group,) = group_curves([read_curve(run, "test_return_mean") for run in runs])
    assert group.steps.tolist() == [0, 10, 20]
    assert group.centre.tolist() == [0, 20, 40]  # fewer than four runs: the mean
    assert (group.low <= group.centre).all()
    assert (group.centre <= group.high).all()
    assert group.low[0] == group.high[0] == 0
    assert group.low[-1] < group.high[-1]


def test_steps_between_two_tests_are_interpolated(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "0", lines_of_tests([0, 10, 20], [0, 10, 20]), seed=0),
        write_run(tmp_path / "1", lines_of_tests([0, 20], [0, 40]), seed=1),
    ]
    (group,) = group_curves([read_curve(run, "test_return_mean") for run in runs])
    assert group.steps.tolist() == [0, 10, 20]
    assert group.centre.tolist() == [0, 15, 30]


def test_many_tests_are_reduced_to_a_grid_over_the_same_range(tmp_path: Path) -> None:
    steps = np.arange(0, 5000, 5).tolist()
    runs = [write_run(tmp_path / str(s), lines_of_tests([x + s for x in steps], steps), seed=s) for s in range(2)]
    (group,) = group_curves([read_curve(run, "test_return_mean") for run in runs])
    assert len(group.steps) == GRID_POINTS
    assert (group.steps[0], group.steps[-1]) == (1, 4995)


def test_runs_that_learn_something_else_are_lines_of_their_own_named_by_it(tmp_path: Path) -> None:
    line = lines_of_tests([0, 10], [0, 1])
    runs = [
        write_run(tmp_path / "a", line),
        write_run(tmp_path / "b", line, assignments=("env.punishment=-5",)),
        write_run(tmp_path / "c", line, assignments=("env.punishment=-5",), seed=1),
        write_run(tmp_path / "d", line, algorithm="qmix"),
    ]
    groups = group_curves([read_curve(run, "test_return_mean") for run in runs])
    assert [(group.label, len(group.curves)) for group in groups] == [
        ("powqmix punishment=-2.0", 1),
        ("powqmix punishment=-5", 2),
        ("qmix", 1),
    ]


def test_runs_of_one_group_without_a_common_range_are_refused(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(s), lines_of_tests([100 * s, 100 * s + 10], [0, 1]), seed=s) for s in range(2)]
    with pytest.raises(NoCurve, match="share no range"):
        group_curves([read_curve(run, "test_return_mean") for run in runs])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_names_keep_their_order_and_their_distance(places: list[float]) -> None:
    moved = spread(places, 0.1)
    order = sorted(range(len(places)), key=lambda i: places[i])
    for before, after in itertools.pairwise(order):
        assert moved[after] - moved[before] >= 0.1 - 1e-9


def test_names_that_are_far_apart_stay_where_their_lines_end() -> None:
    assert spread([0.9, 0.1, 0.5], 0.1) == [0.9, 0.1, 0.5]


def test_plot_writes_png_and_svg_with_the_names_of_lines_and_axes(command: Command, tmp_path: Path) -> None:
    runs = []
    for algorithm in ("qmix", "powqmix"):
        for seed in range(2):
            line = lines_of_tests([0, 20_000, 40_000], [0, 1 + seed, 3])
            runs.append(write_run(tmp_path / f"{algorithm}{seed}", line, algorithm=algorithm, seed=seed))
    out = tmp_path / "curves.png"
    result = command("plot", *runs, "--out", out, "--title", "A <title>")
    assert (result.code, result.out.split()) == (0, [str(out), str(tmp_path / "curves.svg")])
    with Image.open(out) as image:
        assert image.format == "PNG"
        colors = {color for _, color in image.convert("RGB").getcolors(1 << 24) or []}
    assert {(0, 114, 178), (213, 94, 0)} <= colors  # the lines of powqmix and qmix
    texts = " ".join(element.text or "" for element in ElementTree.parse(tmp_path / "curves.svg").iter())
    for text in ("powqmix", "qmix", "Environment steps (thousands)", "Test return", "A <title>", "mean of 2 runs"):
        assert text in texts


def test_plot_of_one_run_goes_into_its_folder_and_says_its_last_value(command: Command, run: Path) -> None:
    result = command("plot", run, "--json")
    assert result.code == 0
    assert result.json["png"] == str(run / "learning_curves.png")
    assert Path(result.json["svg"]).exists()
    (line,) = result.json["lines"]
    assert line["last"] == {"env_steps": 3000.0, "value": 4.0, "ci95": None}
    assert line["seeds"] == [0]


def test_another_metric_can_be_drawn(command: Command, run: Path) -> None:
    report = command("plot", run, "--metric", "return_mean", "--json").json
    assert report["lines"][0]["last"]["value"] == -2.0


def test_short_runs_and_repeated_seeds_are_pointed_out(command: Command, tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "long", lines_of_tests([0, 100], [0, 1])),
        write_run(tmp_path / "short", lines_of_tests([0, 50], [0, 1])),
    ]
    result = command("plot", *runs, "--out", tmp_path / "x.png")
    assert result.code == 0
    assert "seed 0 is there more than once" in result.err
    assert f"drawn to 50 steps, where {tmp_path / 'short'} ends" in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "at least one run"), (["--out", "curves.pdf"], "must end in .png"), (["--out", "no/x.png"], "no folder no")],
)
def test_wrong_use_exits_with_2(command: Command, run: Path, arguments: list[str], said: str) -> None:
    result = command("plot", *([run] if arguments else []), *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_run_without_a_test_exits_with_1_and_the_remedy(command: Command, tmp_path: Path) -> None:
    result = command("plot", write_run(tmp_path / "young", [{"env_steps": 5, "return_mean": 1.0}]))
    assert (result.code, result.out) == (1, "")
    assert "no test yet" in result.err


def test_values_that_are_not_finite_are_left_out(command: Command, tmp_path: Path) -> None:
    run = write_run(tmp_path / "nan", [])
    (run / "metrics.jsonl").write_text('{"env_steps": 1, "loss": 1.0}\n{"env_steps": 2, "loss": NaN}\n')
    result = command("plot", run, "--metric", "loss", "--json")
    assert result.json["lines"][0]["last"] == {"env_steps": 1.0, "value": 1.0, "ci95": None}
