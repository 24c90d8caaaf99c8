"""`powqmix profile learner|actors|kernels`: throughput by stage on this machine, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from powqmix import config as configuration
from powqmix import envs
from powqmix.config import Config, ConfigError
from powqmix.process import keep_freed_memory

from . import flags as command_line
from .devices import resolve_device
from .errors import CommandError
from .flags import Assignments, Number, Switch, Word
from .output import count, print_json, print_table


@dataclass(frozen=True)
class Flags:
    """Measures one part of the system alone, on real episodes of an environment.

    learner: updates a second, and where their time goes, from a replay ring filled with episodes played here.
    actors: environment steps a second of one actor process, and the shares of policy, environment and recording.
    kernels: each op beside its reference implementation in PyTorch, both measured in turns.

    Other programs on the machine slow all of them down; figures are medians. Example:
        powqmix profile learner --env predator_prey --device cpu --seconds 10
    """

    part: Annotated[tyro.conf.Positional[Literal["learner", "actors", "kernels"]], tyro.conf.arg(metavar="PART")]
    """learner, actors or kernels."""
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
    seconds: float = 5.0
    """Time of each measurement."""
    assignments: Assignments = ()
    """Any configuration value, as in --set training.batch_size=64 --set env.punishment=-3."""
    json: Switch = False
    """Print one JSON object instead of tables."""


def parse(arguments: Sequence[str]) -> Flags:
    return command_line.parse(Flags, "profile", arguments)


def run(flags: Flags) -> int:
    if not flags.seconds > 0:
        raise CommandError(f"--seconds must be above 0, got {flags.seconds}", 2)
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
    report = {"part": flags.part, "env": config.env_id, "env_version": spec.version, **_measure(flags, config)}
    if flags.json:
        print_json(report)
    else:
        {"learner": _print_learner, "actors": _print_actors, "kernels": _print_kernels}[flags.part](report)
    return 0


def _measure(flags: Flags, config: Config) -> dict[str, Any]:
    # Imported when asked for: actors need no torch.
    if flags.part == "actors":
        from . import profile_actors

        return profile_actors.measure(config, flags.envs, flags.seconds)
    device, _ = resolve_device(config.device, flags.gpu, flags.device)
    keep_freed_memory()  # as the learner's process does
    if flags.part == "learner":
        from . import profile_learner

        return profile_learner.measure(config, device, flags.seconds)
    from . import profile_kernels

    return profile_kernels.measure(config, device, flags.seconds)


def _print_learner(report: dict[str, Any]) -> None:
    print(
        f"{report['env']}, {report['algorithm']}: batches of {report['batch_size']} episodes of {report['steps']} steps"
    )
    print(f"on {report['device']}, {report['threads']} threads")
    print(f"{report['updates_per_second']:.2f} updates/s, {report['ms_per_update']:.2f} ms each")
    total = sum(report["stages_ms"].values())
    print_table(
        ("stage", ">ms", ">share"),
        [(name, f"{ms:.3f}", f"{100 * ms / total:.1f} %") for name, ms in report["stages_ms"].items()],
    )


def _print_actors(report: dict[str, Any]) -> None:
    print(f"{report['env']}: one process, one thread, policy in {report['instruction_set']} code, random actions")
    print_table(
        (">environments", ">env steps/s", ">us an env step", ">policy us", ">environment us", ">recording us"),
        [
            (
                row["envs"], count(row["env_steps_per_second"]), f"{row['us_per_env_step']:.2f}",
                *(f"{us:.2f}" for us in row["us"].values()),
            )
            for row in report["rows"]
        ],
    )  # fmt: skip
    print("policy and environment are timed alone, called from Python; recording is what remains of the rollout")


def _print_kernels(report: dict[str, Any]) -> None:
    shape = ", ".join(f"{letter} {size}" for letter, size in report["shape"].items())
    print(f"{report['env']} on {report['device']}, {report['threads']} threads: {shape}")
    print_table(
        ("op", ">ms", ">reference ms", ">times as fast", ">largest difference"),
        [
            (
                row["op"], f"{row['ms']:.3f}", f"{row['reference_ms']:.3f}", f"{row['ratio']:.2f}",
                f"{row['largest_difference']:.1e}",
            )
            for row in report["rows"]
        ],
    )  # fmt: skip
