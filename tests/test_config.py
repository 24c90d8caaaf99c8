"""Configurations: what is resolved, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from powqmix import config
from powqmix.config import ConfigError
from powqmix.config_values import ExplorationConfig


def test_defaults_are_the_papers() -> None:
    resolved = config.Config()
    assert resolved.training.batch_size == 128
    assert resolved.replay.capacity == 5000
    assert resolved.training.td_lambda == 0.6
    assert resolved.recognizer.recognition_tolerance == 0.05
    assert (resolved.weighting.recognized_weight, resolved.weighting.other_weight) == (5.0, 0.0)


def test_assignments_stand_above_the_file_above_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("training: {batch_size: 64, gamma: 0.9}\nenv: {punishment: -4}\n")
    resolved = config.resolve("predator_prey", file=file, assignments=["training.batch_size=32", "env.punishment=-5"])
    assert resolved.training.batch_size == 32
    assert resolved.training.gamma == 0.9
    assert resolved.env == {"punishment": -5}
    assert resolved.agent.use_agent_id is False  # from the preset


def test_an_algorithm_keeps_its_own_weights_under_any_preset() -> None:
    resolved = config.resolve("matrix/powqmix", "cw-qmix")
    assert (resolved.weighting.recognized_weight, resolved.weighting.other_weight) == (1.0, 0.1)


def test_a_saved_configuration_is_read_back_equal(tmp_path: Path) -> None:
    resolved = config.resolve("matrix/custom", "qmix", assignments=["env.payoff=[[1,2],[3,4]]"], seed=7, lockstep=True)
    config.save(resolved, tmp_path / "config.yaml")
    assert config.load(tmp_path / "config.yaml") == resolved


@pytest.mark.parametrize(
    "assignment, message",
    [
        ("training.batchsize=3", "did you mean training.batch_size"),
        ("training.batch_size=0", "training.batch_size must be above 0, got 0"),
        ("training.batch_size=many", "training.batch_size must be an integer, got 'many'"),
        ("training.batch_size=1.5", "training.batch_size must be an integer, got 1.5"),
        ("training.td_lambda=1.5", "training.td_lambda must be between 0 and 1, got 1.5"),
        ("training=3", "training is a section"),
        ("replay.dtype=int8", "replay.dtype must be 'float16' or 'float32', got 'int8'"),
        ("replay.capacity=8", "replay.capacity must be at least training.batch_size (128), got 8"),
        ("lockstep=1", "lockstep must be a bool, got 1"),
        ("env=3", "env must be a mapping of options, got 3"),
        ("device=tpu", "device must be 'auto', 'cpu' or 'cuda:<index>', got 'tpu'"),
        ("training.gamma=.nan", "training.gamma must be a float"),
        ("nonsense", "--set takes key=value, got 'nonsense'"),
    ],
)
def test_a_wrong_assignment_is_refused_with_the_key_and_what_was_wanted(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.resolve("predator_prey", assignments=[assignment])
    assert message in str(error.value)


def test_unknown_names_list_the_near_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean powqmix"):
        config.resolve("predator_prey", "powqmx")
    with pytest.raises(ConfigError, match="did you mean iclr2026"):
        config.resolve("predator_prey", preset="iclr2025")


def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    with pytest.raises(ConfigError, match=r"list.yaml must hold a mapping"):
        config.resolve(file=tmp_path / "list.yaml")
    with pytest.raises(ConfigError, match="no configuration file"):
        config.resolve(file=tmp_path / "missing.yaml")


@pytest.mark.parametrize("family", ["matrix/powqmix", "predator_prey", "skirmish/3m", "smac/3m"])
def test_every_preset_resolves(family: str) -> None:
    for preset in config.presets_for(family):
        config.resolve(family, preset=preset)


def test_epsilon_is_annealed_linearly_then_stays() -> None:
    exploration = ExplorationConfig(epsilon_start=1.0, epsilon_finish=0.05, anneal_steps=100)
    assert exploration.epsilon(0) == 1.0
    assert exploration.epsilon(50) == pytest.approx(0.525)
    assert exploration.epsilon(1000) == pytest.approx(0.05)


@pytest.mark.parametrize("family", ["skirmish/3s5z_vs_3s6z", "smac/3s5z_vs_3s6z"])
def test_presets_of_the_battles_are_the_published_constants(family: str) -> None:
    paper = config.resolve(family)
    assert paper.exploration.anneal_steps == 100_000
    assert (paper.weighting.recognized_weight, paper.recognizer.recognition_tolerance) == (5.0, 0.05)
    later = config.resolve(family, preset="iclr2026")
    assert (later.exploration.anneal_steps, later.weighting.warmup_steps) == (500_000, 100_000)
    assert (later.weighting.recognized_weight, later.recognizer.recognition_tolerance) == (1.0, 0.1)
    large = config.resolve(family, preset="large")
    assert (large.agent.hidden_size, large.mixer.embed_size, large.mixer.hypernet_size) == (256, 64, 256)
    assert large.weighting == paper.weighting
