"""A run's saved policy: the parameters that were trained, with the sizes they are for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from powqmix import config, envs
from powqmix.learner import checkpoint
from powqmix.learner.checkpoint import CheckpointError
from powqmix.learner.saved_policy import load_policy
from powqmix.learner.update import Update


@pytest.fixture
def update(tmp_path: Path) -> Update:
    settings = config.resolve("matrix/powqmix", assignments=["agent.hidden_size=8"])
    config.save(settings, tmp_path / "config.yaml")
    return Update(settings, envs.spec("matrix/powqmix"), torch.device("cpu"))


def save(folder: Path, step: int, vector: np.ndarray, **more: object) -> None:
    checkpoint.save(folder / "checkpoints", step, {"policy_vector": torch.from_numpy(vector), **more})


def test_saved_policy_is_the_vector_that_was_published(update: Update, tmp_path: Path) -> None:
    vector = update.policy_vector()
    save(tmp_path, 3, vector - 1)
    save(tmp_path, 7, vector, carried={"env_steps": 99})
    policy = load_policy(tmp_path)
    np.testing.assert_array_equal(policy.parameters, vector)
    assert (policy.updates, policy.env_steps) == (7, 99)
    assert policy.policy_spec == update.policy
    assert policy.env_spec.id == "matrix/powqmix"
    older = load_policy(tmp_path, 3)
    np.testing.assert_array_equal(older.parameters, vector - 1)
    assert (older.updates, older.env_steps) == (3, None)


def test_steps_are_listed_newest_first(update: Update, tmp_path: Path) -> None:
    assert checkpoint.steps(tmp_path / "checkpoints") == []
    for step in (3, 7, 5):
        save(tmp_path, step, update.policy_vector())
    assert checkpoint.steps(tmp_path / "checkpoints") == [5, 3]  # 7 was set aside: the run went back to 5


def test_step_that_is_not_there_is_refused_with_those_that_are(update: Update, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there are: none"):
        checkpoint.load(tmp_path / "checkpoints", 4)
    save(tmp_path, 3, update.policy_vector())
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 4 .* there are: 3"):
        load_policy(tmp_path, 4)


def test_damaged_step_is_refused_by_name(update: Update, tmp_path: Path) -> None:
    save(tmp_path, 3, update.policy_vector())
    (tmp_path / "checkpoints" / "step-000000000003" / "policy_vector.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"policy_vector\.pt is damaged"):
        load_policy(tmp_path, 3)


def test_run_without_checkpoints_is_an_error(update: Update, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        load_policy(tmp_path)


def test_vector_of_another_size_is_refused(update: Update, tmp_path: Path) -> None:
    save(tmp_path, 3, update.policy_vector()[1:].copy())
    with pytest.raises(CheckpointError, match="do not belong together"):
        load_policy(tmp_path)
