"""`powqmix actor`: actors of a run whose learner listens elsewhere on this host."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from . import flags as command_line
from .flags import RunPath


@dataclass
class Flags:
    """One actor, for a run whose learner was started with `powqmix learner`.

    Example:

        powqmix actor runs/NAME --connect ipc:///tmp/powqmix-NAME --actor 0 --envs 4
    """

    run: RunPath
    """folder of the run, with its config.yaml"""
    connect: str
    """where the learner listens: ipc:///PATH"""
    actor: int = 0
    """number of this actor; no two of a run have the same"""
    envs: int = 4
    """environments that it plays"""
    role: Literal["train", "test"] = "train"
    """train: play for the learner; test: play the greedy episodes that it asks for"""


def parse(arguments: Sequence[str]) -> Flags:
    """Flags from the command line."""
    return command_line.parse(Flags, "actor", arguments)


def run(flags: Flags) -> int:
    """Becomes the actor process; does not return."""
    path = command_line.existing_run(flags.run)
    arguments = [
        "--run-dir", str(path), "--endpoint", flags.connect, "--actor", str(flags.actor), "--envs", str(flags.envs),
        "--role", flags.role,
    ]  # fmt: skip
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "powqmix.actors", *arguments])
