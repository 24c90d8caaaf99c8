"""`powqmix algorithms`: what is listed is what can be trained, with its composition and defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from powqmix.config import ALGORITHMS
from powqmix.objectives import OBJECTIVES

if TYPE_CHECKING:
    from .conftest import Command


def test_all_algorithms_are_listed_with_line_composition_and_paper(command: Command) -> None:
    listed = command("algorithms", "--json").json["algorithms"]
    assert [row["name"] for row in listed] == list(ALGORITHMS)
    for row in listed:
        assert row["composition"] == OBJECTIVES[row["name"]].composition()
        assert row["defaults"] == ALGORITHMS[row["name"]]
        assert row["about"]
        assert row["paper"]


def test_the_table_has_a_row_for_each(command: Command) -> None:
    result = command("algorithms")
    assert result.code == 0
    for name, row in OBJECTIVES.items():
        (line,) = [line for line in result.out.splitlines() if line.startswith(f" {name} ")]
        assert row.about in line


def test_one_algorithm_shows_its_defaults_and_paper(command: Command) -> None:
    text = command("algorithms", "cw-qmix").out
    for expected in ("Rashid et al., NeurIPS 2020", "central", "weighting.other_weight", "0.1"):
        assert expected in text
    assert command("algorithms", "resq", "--json").json["defaults"]["critic.hidden_size"] == 128


def test_an_unknown_algorithm_exits_with_2_and_names_near_ones(command: Command) -> None:
    result = command("algorithms", "qmux")
    assert (result.code, result.out) == (2, "")
    assert "did you mean qmix" in result.err
