"""`powqmix learner`: the learner of a run alone, for those who place its actors themselves."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from . import flags as command_line
from .flags import RunPath, Switch


@dataclass
class Flags:
    """The learner alone, for a run whose actors you start yourself.

    Example:

        powqmix learner runs/NAME --endpoint ipc:///tmp/powqmix-NAME
    """

    run: RunPath
    """folder of the run, with its config.yaml"""
    endpoint: str
    """where it listens for actors: ipc:///PATH"""
    resume: Switch = False
    """go on from the newest checkpoint and the stored episodes"""


def parse(arguments: Sequence[str]) -> Flags:
    """Flags from the command line."""
    return command_line.parse(Flags, "learner", arguments)


def run(flags: Flags) -> int:
    """Becomes the learner process; does not return."""
    path = command_line.existing_run(flags.run)
    arguments = ["--run-dir", str(path), "--endpoint", flags.endpoint, *(["--resume"] if flags.resume else [])]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "powqmix.learner", *arguments])
