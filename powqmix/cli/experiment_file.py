"""An experiment's file: algorithms x environments x seeds, resolved into runs before any of them starts."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from powqmix import config as configuration
from powqmix import envs
from powqmix.config import Config, ConfigError, near
from powqmix.envs.smac_installation import NotInstalled
from powqmix.files import read_json
from powqmix.types import EnvSpec

from .curves import settings_of

LENGTH = ("steps", "training.max_updates")  # incidental to a curve, and part of what an experiment asks for


class AlgorithmRow(msgspec.Struct, forbid_unknown_fields=True):
    """An algorithm with values of its own."""

    algorithm: str
    label: str = ""
    preset: str = ""
    set: dict[str, Any] = {}


class EnvironmentRow(msgspec.Struct, forbid_unknown_fields=True):
    """An environment with values of its own; an `optional` one is left out where it cannot run."""

    env: str
    label: str = ""
    preset: str = ""
    set: dict[str, Any] = {}
    optional: bool = False


class ExperimentFile(msgspec.Struct, forbid_unknown_fields=True):
    """What stands in the file."""

    algorithms: list[str | AlgorithmRow]
    environments: list[str | EnvironmentRow]
    about: str = ""
    seeds: int | list[int] = 5  # a number: 0 .. N - 1
    preset: str = "paper"
    set: dict[str, Any] = {}


@dataclass(frozen=True)
class PlannedRun:
    """One run of the grid."""

    env: str  # label of its environment
    algorithm: str  # label of its algorithm
    seed: int
    config: Config
    assignments: tuple[str, ...]  # of --set
    path: Path

    @property
    def name(self) -> str:
        return f"{self.algorithm} on {self.env}, seed {self.seed}"

    @property
    def state(self) -> str:
        """`new`, `unfinished` or `done`."""
        if not (self.path / "config.yaml").exists():
            return "new"
        return "done" if read_json(self.path / "summary.json").get("status") == "done" else "unfinished"


@dataclass(frozen=True)
class Experiment:
    """The whole grid, seed by seed, so that every algorithm has its first run early."""

    name: str
    about: str
    file: Path
    runs: tuple[PlannedRun, ...]
    specs: Mapping[str, EnvSpec]  # of the environments, by label
    left_out: Mapping[str, str]  # optional environments that cannot run here, and why

    def chosen(self, only: Sequence[str], seeds: int | None) -> tuple[PlannedRun, ...]:
        """The runs of the algorithms and environments labelled `only` (of either kind: all, if none is named) with the
        first `seeds` seeds. Raises ConfigError on a label that is not in the file."""
        algorithms = {run.algorithm for run in self.runs}
        environments = {run.env for run in self.runs}
        for label in only:
            if label not in algorithms | environments:
                raise ConfigError(
                    f"--only {label!r} is no label in {self.file}; {near(label, algorithms | environments)}"
                )
        algorithms = algorithms.intersection(only) or algorithms
        environments = environments.intersection(only) or environments
        first = list(dict.fromkeys(run.seed for run in self.runs))[:seeds]
        return tuple(
            run for run in self.runs if run.algorithm in algorithms and run.env in environments and run.seed in first
        )


def read_file(path: Path) -> ExperimentFile:
    """The file's content. Raises ConfigError naming the file and the key that is wrong."""
    try:
        content = msgspec.convert(configuration.load_yaml(path), ExperimentFile)
    except msgspec.ValidationError as error:
        keys = [", ".join(kind.__struct_fields__) for kind in (ExperimentFile, AlgorithmRow, EnvironmentRow)]
        raise ConfigError(
            f"{path}: {error}; its keys are {keys[0]}; of an algorithm {keys[1]}; of an environment {keys[2]}"
        ) from None
    axes = {
        "algorithms": [_label(row) for row in content.algorithms],
        "environments": [_label(row) for row in content.environments],
        "seeds": [str(seed) for seed in seeds_of(content)],
    }
    for kind, names in axes.items():
        folders = [_slug(name) for name in names]
        repeated = [name for name, folder in zip(names, folders) if folders.count(folder) > 1]
        if not names:
            raise ConfigError(f"{path}: {kind} must name at least one")
        if repeated:
            raise ConfigError(
                f"{path}: {kind} have {' and '.join(dict.fromkeys(repeated))} twice; give each a label of its own"
            )
    return content


def seeds_of(content: ExperimentFile) -> list[int]:
    """A number of seeds written out."""
    return list(range(content.seeds)) if isinstance(content.seeds, int) else content.seeds


def _label(row: str | AlgorithmRow | EnvironmentRow) -> str:
    if isinstance(row, str):
        return row
    return row.label or (row.algorithm if isinstance(row, AlgorithmRow) else row.env)


def plan(path: Path, out: Path, assignments: Sequence[str] = ()) -> Experiment:
    """All runs of the file at `path`, with folders below `out`; `assignments` stand above the file's values.

    Raises ConfigError on the first thing that is wrong, before anything runs.
    """
    content = read_file(path)
    try:
        runs = [
            _plan_run(content, environment, algorithm, seed, out, assignments)
            for seed in seeds_of(content)
            for environment in content.environments
            for algorithm in content.algorithms
        ]
        optional = {_label(row) for row in content.environments if not isinstance(row, str) and row.optional}
        specs, left_out = _specs(runs, optional)
        runs = [run for run in runs if run.env in specs]
        for run in runs:
            _check_same(run)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    return Experiment(path.stem, content.about.strip(), path, tuple(runs), specs, left_out)


def _plan_run(
    content: ExperimentFile,
    environment: str | EnvironmentRow,
    algorithm: str | AlgorithmRow,
    seed: int,
    out: Path,
    assignments: Sequence[str],
) -> PlannedRun:
    env = EnvironmentRow(environment) if isinstance(environment, str) else environment
    row = AlgorithmRow(algorithm) if isinstance(algorithm, str) else algorithm
    values = {**content.set, **env.set, **row.set}
    texts = (*(f"{key}={json.dumps(value)}" for key, value in values.items()), *assignments)
    preset = row.preset or env.preset or content.preset
    config = configuration.resolve(env.env, row.algorithm, preset, assignments=texts, seed=seed)
    folder = out / _slug(_label(env)) / _slug(_label(row)) / f"s{seed}"
    return PlannedRun(_label(env), _label(row), seed, config, texts, folder)


def _specs(runs: Sequence[PlannedRun], optional: Collection[str]) -> tuple[dict[str, EnvSpec], dict[str, str]]:
    """The environments that can run here, and why others cannot. Raises ValueError on one that is not optional."""
    specs: dict[str, EnvSpec] = {}
    left_out: dict[str, str] = {}
    for run in runs:
        if run.env in specs or run.env in left_out:
            continue
        try:
            specs[run.env] = envs.make(run.config.env_id, **run.config.env).spec
        except (NotInstalled, ImportError, OSError) as error:
            if run.env not in optional:
                raise ValueError(str(error)) from None
            left_out[run.env] = str(error)
    return specs, left_out


def _slug(label: str) -> str:
    """A label as a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", label).strip("-.") or "x"


def _check_same(run: PlannedRun) -> None:
    """Refuses a folder whose run was started with other values."""
    if run.state == "new":
        return
    wanted, there = _meaning(run.config), _meaning(configuration.load(run.path / "config.yaml"))
    for key in dict.fromkeys([*wanted, *there]):
        if wanted.get(key) != there.get(key):
            raise ConfigError(
                f"{run.path} was started with {key} = {there.get(key)!r}, the experiment says {wanted.get(key)!r}; "
                "choose another --out, or remove that folder"
            )


def _meaning(config: Config) -> dict[str, Any]:
    values = config.to_dict()
    length = {"steps": values["steps"], "training.max_updates": values["training"]["max_updates"]}
    return settings_of(values) | {key: length[key] for key in LENGTH}
