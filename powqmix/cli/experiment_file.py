"""An experiment's file: algorithms x environments x seeds, resolved into runs before any of them starts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from powqmix import config as configuration
from powqmix import envs
from powqmix.config import Config, ConfigError
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


def read_file(path: Path) -> ExperimentFile:
    """The file's content. Raises ConfigError naming the file and the key that is wrong."""
    try:
        content = msgspec.convert(configuration.load_yaml(path), ExperimentFile)
    except msgspec.ValidationError as error:
        keys = [", ".join(kind.__struct_fields__) for kind in (ExperimentFile, AlgorithmRow, EnvironmentRow)]
        raise ConfigError(
            f"{path}: {error}; its keys are {keys[0]}; of an algorithm {keys[1]}; of an environment {keys[2]}"
        ) from None
    if not content.algorithms or not content.environments or not _seeds(content):
        raise ConfigError(f"{path}: algorithms, environments and seeds must each name at least one")
    return content


def _seeds(content: ExperimentFile) -> list[int]:
    return list(range(content.seeds)) if isinstance(content.seeds, int) else content.seeds


def plan(path: Path, out: Path, assignments: Sequence[str] = ()) -> Experiment:
    """All runs of the file at `path`, with folders below `out`; `assignments` stand above the file's values.

    Raises ConfigError on the first thing that is wrong, before anything runs.
    """
    content = read_file(path)
    algorithms = [AlgorithmRow(row) if isinstance(row, str) else row for row in content.algorithms]
    environments = [EnvironmentRow(row) if isinstance(row, str) else row for row in content.environments]
    for kind, labels in (
        ("algorithms", [row.label or row.algorithm for row in algorithms]),
        ("environments", [row.label or row.env for row in environments]),
    ):
        repeated = {label for label in labels if sum(_slug(label) == _slug(other) for other in labels) > 1}
        if repeated:
            raise ConfigError(f"{path}: {kind} named {' and '.join(sorted(repeated))} twice; give each its own label")
    specs: dict[str, EnvSpec] = {}
    left_out: dict[str, str] = {}
    runs: list[PlannedRun] = []
    for seed in _seeds(content):
        for environment in environments:
            label = environment.label or environment.env
            for algorithm in algorithms:
                given = {**content.set, **environment.set, **algorithm.set}
                texts = (*(f"{key}={json.dumps(value)}" for key, value in given.items()), *assignments)
                preset = algorithm.preset or environment.preset or content.preset
                try:
                    config = configuration.resolve(
                        environment.env, algorithm.algorithm, preset, assignments=texts, seed=seed
                    )
                except ConfigError as error:
                    raise ConfigError(f"{path}: {error}") from None
                if label not in specs and label not in left_out:
                    try:
                        specs[label] = envs.make(environment.env, **config.env).spec
                    except (NotInstalled, ImportError, OSError) as error:
                        if not environment.optional:
                            raise ConfigError(f"{path}: {error}") from None
                        left_out[label] = str(error)
                    except ValueError as error:
                        raise ConfigError(f"{path}: {error}") from None
                if label in specs:
                    name = algorithm.label or algorithm.algorithm
                    folder = out / _slug(label) / _slug(name) / f"s{seed}"
                    runs.append(PlannedRun(label, name, seed, config, texts, folder))
    experiment = Experiment(path.stem, content.about.strip(), path, tuple(runs), specs, left_out)
    for run in runs:
        _check_same(run)
    return experiment


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
