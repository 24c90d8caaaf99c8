"""The policy that a run's checkpoint holds, ready to be played: configuration, sizes and parameters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from powqmix import config as configuration
from powqmix import envs
from powqmix.config import Config, ConfigError
from powqmix.types import EnvSpec, PolicySpec

from . import checkpoint
from .checkpoint import CheckpointError


@dataclass(frozen=True)
class SavedPolicy:
    """A policy at one update of a run."""

    config: Config
    env_spec: EnvSpec
    policy_spec: PolicySpec
    parameters: npt.NDArray[np.float32]  # [policy_spec.parameter_count], in the order of parameter_shapes()
    updates: int
    env_steps: int | None  # that it was trained for; None where the checkpoint does not say


def load_policy(run_dir: Path, updates: int | None = None) -> SavedPolicy:
    """The policy of the newest whole checkpoint of a run, or of the one after `updates` updates.

    Raises ConfigError on a configuration that cannot be read, CheckpointError where no checkpoint can be used.
    """
    config = configuration.load(run_dir / "config.yaml")
    try:
        env_spec = envs.spec(config.env_id, **config.env)
    except ValueError as error:
        raise ConfigError(f"{run_dir / 'config.yaml'}: {error}") from None
    policy_spec = config.agent.policy(env_spec)
    directory = run_dir / "checkpoints"
    if updates is None:
        found = checkpoint.load_newest_valid(directory)
        if found is None:
            raise CheckpointError(
                f"{run_dir} has no checkpoint yet; the first is written after "
                f"{config.checkpoint.interval_s:g} seconds of training, and one when it ends"
            )
        updates, state = found
    else:
        state = checkpoint.load(directory, updates)
    parameters = np.asarray(state["policy_vector"], np.float32)
    if parameters.shape != (policy_spec.parameter_count,):
        raise CheckpointError(
            f"the checkpoint of step {updates} in {directory} has a policy of {parameters.size} parameters, the run's "
            f"config.yaml describes one of {policy_spec.parameter_count}: they do not belong together"
        )
    env_steps = state.get("carried", {}).get("env_steps")
    return SavedPolicy(config, env_spec, policy_spec, parameters, updates, env_steps)
