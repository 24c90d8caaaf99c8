"""Which environments there are: a table from the first part of an id to the module that makes it."""

from __future__ import annotations

import difflib
import importlib
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from powqmix.types import EnvSpec

from . import option_values
from .base import Batch, BatchedEnv


@dataclass(frozen=True)
class Row:
    """One family of environments. Its module is imported when one of its ids is asked for."""

    module: str
    open_ended: bool = False  # ids beyond those it lists may exist; the family itself says if one does not


# To add a family: a module with the four names of `Family`, and a row here. `<key>/<name>` or `<key>` are its ids.
FAMILIES: dict[str, Row] = {
    "matrix": Row("powqmix.envs.matrix"),
    "pettingzoo": Row("powqmix.envs.pettingzoo", open_ended=True),
    "predator_prey": Row("powqmix.envs.predator_prey"),
    "skirmish": Row("powqmix.envs.skirmish", open_ended=True),
    "smac": Row("powqmix.envs.smac"),
    "smacv2": Row("powqmix.envs.smacv2", open_ended=True),
}


class Family(Protocol):
    """What a family's module has."""

    Options: type  # a dataclass: the options of its environments, with their defaults

    def ids(self) -> Sequence[str]:
        """The ids that `powqmix envs` lists."""

    def make(self, env_id: str, options: Any, batch: Batch) -> BatchedEnv:
        """A batch of environments; `options` is a record of `Options`."""

    def spec(self, env_id: str, options: Any) -> EnvSpec:
        """The sizes, without starting anything expensive."""


def make(
    id: str, num_envs: int = 1, seed: int = 0, *, num_threads: int = 1, first_env: int = 0, **options: Any
) -> BatchedEnv:
    """`num_envs` environments with the id `id`. Call `reset` before the first `step`.

    seed, first_env: environment e's random streams are keyed by (seed, first_env + e, episode).
    num_threads: of the native environments, for each step. They pay where a step of the batch takes some hundred
    microseconds or more, for it costs tens of them to wake them; with many actor processes, 1 is right.
    options: those of the environment; `powqmix.envs.options(id)` gives their names and defaults.
    Raises ValueError on an unknown id, naming near ones; on an unknown option, listing the known; on a value out of
    its range.
    """
    family = _family(id)
    batch = Batch(num_envs, seed, num_threads, first_env)
    return family.make(id, option_values.parse(id, family.Options, options), batch)


def spec(id: str, **options: Any) -> EnvSpec:
    """The sizes of an environment with these options. Raises ValueError as `make` does."""
    family = _family(id)
    return family.spec(id, option_values.parse(id, family.Options, options))


def options(id: str) -> dict[str, Any]:
    """The options of an environment and their defaults. Raises ValueError on an unknown id."""
    return option_values.defaults(_family(id).Options)


def registered() -> list[str]:
    """The ids of all environments, sorted."""
    return sorted(env_id for row in FAMILIES.values() for env_id in _load(row).ids())


def _load(row: Row) -> Family:
    return typing.cast(Family, importlib.import_module(row.module))


def _family(env_id: str) -> Family:
    """The family that makes `env_id`, which exists as far as can be told without making it."""
    row = FAMILIES.get(env_id.partition("/")[0]) if isinstance(env_id, str) else None
    if row is not None:
        family = _load(row)
        if row.open_ended or env_id in family.ids():
            return family
    known = registered()
    close = difflib.get_close_matches(str(env_id), known, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(
        f"unknown environment {env_id!r}; {meant}`powqmix envs` (powqmix.envs.registered()) lists all {len(known)}"
    )
