"""`powqmix profile learner|actors|kernels|wire|system`: throughput by stage on this machine, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from powqmix import config as configuration
from powqmix import envs
from powqmix.config import Config, ConfigError, settle_actors
from powqmix.process import keep_freed_memory

from . import flags as command_line
from .devices import resolve_device
from .errors import CommandError
from .flags import Assignments, Number, PathFlag, Switch, Word
from .output import print_json
from .profile_tables import print_report
from .trace import Span, write_trace

WIRE_ACTORS = 64


@dataclass(frozen=True)
class Flags:
    """Measures one part of the system alone, on real episodes of an environment.

    learner: updates a second, where their time goes, and the machine's peaks beside it, from episodes played here.
    actors: environment steps a second of real actor processes, and what policy, simulation, recording, sending take.
    kernels: each op beside its reference implementation in PyTorch, both measured in turns.
    wire: how much of their rate many actors keep whose steps only sleep, and what the receiver takes.
    system: which of actors, transport and learner limits a run with --actors actors, and what to change.

    Other programs on the machine slow all of them down; figures are medians. Example:
        powqmix profile learner --env predator_prey --device cpu --seconds 10
    """

    part: Annotated[
        tyro.conf.Positional[Literal["learner", "actors", "kernels", "wire", "system"]], tyro.conf.arg(metavar="PART")
    ]
    """learner, actors, kernels, wire or system."""
    env: Word = None
    """Environment whose episodes and sizes are used (default: predator_prey)."""
    algorithm: Word = None
    """What the learner learns by (default: powqmix)."""
    preset: Word = None
    """Constants: paper or iclr2026 (default: paper)."""
    gpu: Number = None
    """Index of the CUDA device, of learner and kernels."""
    device: Word = None
    """The same by name: cpu, cuda or cuda:1 (default: the first GPU, or the CPU)."""
    envs: Annotated[tuple[int, ...], tyro.conf.arg(metavar="E...")] = (1, 8, 32)
    """Of actors: how many environments in a process, each a row of the table."""
    actors: Number = None
    """Actor processes, of actors (default: 1), wire (default: 64) and system (default: one for each core)."""
    sleep_ms: float = 10.0
    """Of wire: how long a step of an actor sleeps."""
    seconds: float = 5.0
    """Time of each measurement."""
    assignments: Assignments = ()
    """Any configuration value, as in --set training.batch_size=64 --set env.punishment=-3."""
    trace: PathFlag = None
    """Write what happened when to this file, which chrome://tracing and ui.perfetto.dev open."""
    json: Switch = False
    """Print one JSON object instead of tables."""


def parse(arguments: Sequence[str]) -> Flags:
    return command_line.parse(Flags, "profile", arguments)


def run(flags: Flags) -> int:
    if not flags.seconds > 0:
        raise CommandError(f"--seconds must be above 0, got {flags.seconds}", 2)
    if flags.actors is not None and flags.actors < 1:
        raise CommandError(f"--actors must be at least 1, got {flags.actors}", 2)
    if not flags.sleep_ms > 0:
        raise CommandError(f"--sleep-ms must be above 0, got {flags.sleep_ms}", 2)
    if not flags.envs or min(flags.envs) < 1:
        raise CommandError(f"--envs takes numbers of at least 1, got {list(flags.envs)}", 2)
    config = configuration.resolve(
        flags.env or "predator_prey", flags.algorithm or "powqmix", flags.preset or "paper",
        assignments=flags.assignments,
    )  # fmt: skip
    try:
        spec = envs.spec(config.env_id, **config.env)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    report, tracks = _measure(flags, config)
    report = {"part": flags.part, "env": config.env_id, "env_version": spec.version, **report}
    if flags.trace is not None:
        try:
            write_trace(flags.trace, tracks)
        except OSError as error:
            raise CommandError(f"--trace {flags.trace} cannot be written: {error.strerror}") from None
    if flags.json:
        print_json(report)
    else:
        print_report(report)
    return 0


def _measure(flags: Flags, config: Config) -> tuple[dict[str, Any], dict[str, list[Span]]]:
    keep_freed_memory()  # as the learner's process does
    # Imported when asked for: actors and wire need no torch.
    if flags.part == "actors":
        from .profile_actors import measure_actors

        return measure_actors(config, flags.actors or 1, flags.envs, flags.seconds)
    if flags.part == "wire":
        from .profile_wire import measure_wire

        return measure_wire(config, flags.actors or WIRE_ACTORS, flags.sleep_ms, flags.seconds)
    device, _ = resolve_device(config.device, flags.gpu, flags.device)
    if flags.part == "learner":
        from .profile_learner import measure_learner

        return measure_learner(config, device, flags.seconds)
    if flags.part == "system":
        from .profile_system import measure_system

        settled = settle_actors(config, flags.actors)
        return measure_system(config, device, settled.count, settled.envs_per_actor, flags.seconds)
    from .profile_kernels import measure_kernels

    return measure_kernels(config, device, flags.seconds)
