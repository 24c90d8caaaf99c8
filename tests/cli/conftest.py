"""A small run's folder as training leaves it, and the command line called in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from powqmix import config, envs
from powqmix.cli.main import main
from powqmix.learner import checkpoint
from powqmix.learner.update import Update

SMALL = (
    "env.grid=4", "env.n_agents=2", "env.n_prey=2", "env.episode_limit=12", "agent.hidden_size=8",
    "critic.hidden_size=8", "training.batch_size=4", "replay.capacity=16",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout; fails if there is anything else."""
        return json.loads(self.out)


Command = Callable[..., Result]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `powqmix ARGUMENTS` in this process; an exit from within (help, usage) gives its code too."""

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return call


def write_run(
    folder: Path,
    lines: list[dict[str, Any]],
    *,
    env: str = "predator_prey",
    algorithm: str = "powqmix",
    seed: int = 0,
    assignments: tuple[str, ...] = (),
) -> Path:
    """A run's folder with a configuration and metrics, without checkpoints."""
    folder.mkdir(parents=True)
    config.save(config.resolve(env, algorithm, assignments=assignments, seed=seed), folder / "config.yaml")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def save_policy(folder: Path, step: int, *, env_steps: int = 0) -> None:
    """A checkpoint of an untrained learner of the run's configuration, as the learner saves it."""
    settings = config.load(folder / "config.yaml")
    update = Update(settings, envs.spec(settings.env_id, **settings.env), torch.device("cpu"))
    state = {
        "update": update.state_dict(),
        "policy_vector": torch.from_numpy(update.policy_vector()),
        "updates": step,
        "carried": {"env_steps": env_steps},
    }
    assert checkpoint.save(folder / "checkpoints", step, state)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three tests with two checkpoints."""
    lines = [
        {"env_steps": 1500 * i + 40, "return_mean": -1.0 * i, "test_env_steps": 1500 * i, "test_return_mean": 2.0 * i}
        for i in range(3)
    ]
    folder = write_run(tmp_path / "run", lines, assignments=SMALL)
    save_policy(folder, 20, env_steps=1400)
    save_policy(folder, 40, env_steps=3000)
    return folder
