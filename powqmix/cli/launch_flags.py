"""The flags of `powqmix launch`, and the configuration that they make, of a new run or of a resumed one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from powqmix import config as configuration
from powqmix.config import Config, ConfigError

from .devices import settle_device
from .flags import Assignments, Number, PathFlag, Switch, Word
from .flags import parse as parse_flags

DEFAULT_ENV = "skirmish/3s5z"
# What a resumed run may change; the rest belongs to what its checkpoint and its stored episodes mean.
CHANGEABLE = (
    "steps", "device", "threads", "log_interval_s", "actors.", "test.", "checkpoint.", "training.max_updates",
    "replay.keep_when_done", "replay.device_copy", "training.cuda_graphs",
)  # fmt: skip


@dataclass
class Flags:
    """Train: one learner and many actor processes on this host, with a live display. Ctrl-C saves and ends the run;
    --resume goes on with it.

    Examples:

        powqmix-launch --env skirmish/3m --preset demo --actors 2

        powqmix-launch --env skirmish/3m --seeds 5 --actors 10

        powqmix-launch --resume --run-dir runs/NAME
    """

    env: Word = None
    """environment id; `powqmix envs` lists them (default: skirmish/3s5z)"""
    algorithm: Word = None
    """powqmix, qmix, qplex, cw-qmix, resq, ...; `powqmix algorithms` lists them (default: powqmix)"""
    preset: Word = None
    """constants: paper (arXiv 2405.08036) or iclr2026 (the authors' later ones) (default: paper)"""
    seed: Number = None
    """seed of networks, exploration, environments and sampling (default: 0)"""
    seeds: Number = None
    """train N runs side by side, with the seeds SEED, SEED + 1, ..., in runs/NAME/s<seed>: they share the GPU, or the
    cores, and end with the mean of their last tests (default: a single run)"""
    actors: Number = None
    """actor processes; with --seeds, of all runs together (default: one for each core, at most 8 a run)"""
    envs_per_actor: Number = None
    """environments in each actor (default: enough for 8 in all)"""
    gpu: Number = None
    """index of the CUDA device to learn on (default: the first, or the CPU if there is none)"""
    device: Word = None
    """the same by name: cpu, cuda or cuda:1"""
    steps: Number = None
    """environment steps to train for (default: 10,000,000)"""
    name: Word = None
    """name of the run; its folder is runs/NAME (default: from environment, algorithm, seed and time)"""
    run_dir: PathFlag = None
    """folder of the run, instead of runs/NAME"""
    resume: Switch = False
    """go on with the run in --run-dir, runs/NAME, or (without either) the newest below runs/"""
    lockstep: Switch = False
    """8 episodes, one update, 8 episodes, ...: one seed gives the same numbers again; slower"""
    assignments: Assignments = ()
    """any configuration value, as in --set training.batch_size=64 --set env.punishment=-3"""
    config: PathFlag = None
    """YAML file with configuration values; --set stands above it"""
    json: Switch = False
    """print the run's summary as one JSON object on stdout; progress goes to stderr"""


def parse(arguments: Sequence[str]) -> Flags:
    """Flags from the command line; `--resume FOLDER` is taken as `--resume --run-dir FOLDER`."""
    arguments = list(arguments)
    if "--resume" in arguments:
        after = arguments.index("--resume") + 1
        if after < len(arguments) and not arguments[after].startswith("-"):
            arguments.insert(after, "--run-dir")
    return parse_flags(Flags, "launch", arguments)


def new_configuration(flags: Flags) -> tuple[Config, list[str]]:
    """The configuration of a new run, and what the user should be told about it."""
    config = configuration.resolve(
        flags.env or DEFAULT_ENV,
        flags.algorithm or "powqmix",
        flags.preset or "paper",
        file=flags.config,
        assignments=flags.assignments,
        seed=flags.seed,
        steps=flags.steps,
        lockstep=flags.lockstep or None,
    )
    return _with_machine(config, flags)


def resumed_configuration(flags: Flags, path: Path) -> tuple[Config, list[str]]:
    """The configuration of the run in `path`, with what may change between its parts."""
    config = configuration.load(path / "config.yaml")
    check_resumable(flags, path, config)
    return _with_machine(configuration.change(config, flags.assignments, steps=flags.steps), flags)


def check_resumable(flags: Flags, path: Path, config: Config) -> None:
    """Raises ConfigError where flags ask what was started as `config` in `path` to become something else."""
    for name, value in (
        ("env_id", flags.env), ("algorithm", flags.algorithm), ("preset", flags.preset), ("seed", flags.seed),
        ("lockstep", flags.lockstep or None),
    ):  # fmt: skip
        if value is not None and value != getattr(config, name):
            raise ConfigError(
                f"{path} was started with {name} {getattr(config, name)!r}, not {value!r}: a resumed run keeps it; "
                "start another with --name"
            )
    if flags.config is not None:
        raise ConfigError("--config belongs to a new run; a resumed one has its own config.yaml (change it by --set)")
    for text in flags.assignments:
        key, _ = configuration.parse_assignment(text)
        if not any(key == allowed or (allowed.endswith(".") and key.startswith(allowed)) for allowed in CHANGEABLE):
            raise ConfigError(f"--set {key} cannot change in a resumed run; it may change: {', '.join(CHANGEABLE)}")


def _with_machine(config: Config, flags: Flags) -> tuple[Config, list[str]]:
    """`config` with the device and the number of processes settled."""
    device, note = settle_device(config, flags.gpu, flags.device)
    actors = configuration.settle_actors(config, flags.actors, flags.envs_per_actor)
    return dataclasses.replace(config, device=device, actors=actors), [note]
