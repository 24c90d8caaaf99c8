"""How a run's configuration comes about: defaults, preset, algorithm, `--config FILE`, `--set key=value`, in order.

The values themselves, with their checks and sources, are in config_values.py; presets hold differences only.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import typing
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from powqmix.algorithms import ALGORITHMS as ALGORITHMS
from powqmix.config_values import LOCKSTEP_ENVS as LOCKSTEP_ENVS
from powqmix.config_values import ActorConfig, require
from powqmix.config_values import Config as Config
from powqmix.config_values import ConfigError as ConfigError
from powqmix.config_values import TrainingConfig as TrainingConfig


def near(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known names, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"


def _coerce(key: str, wanted: Any, value: Any) -> Any:
    """`value` as the type of a field, or a ConfigError that says what was wanted."""
    origin = typing.get_origin(wanted) or wanted
    if origin in (Mapping, typing.get_origin(Mapping[str, Any])):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{key} must be a mapping of options, got {value!r}")
        return dict(value)
    if wanted is bool and isinstance(value, bool):
        return value
    if wanted is str and isinstance(value, bool):
        return "on" if value else "off"  # YAML takes these two words for truth values
    if wanted is str and isinstance(value, str):
        return value
    if wanted in (int, float) and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number) and (wanted is float or number == int(number)):
            return wanted(number)
    name = wanted.__name__ if isinstance(wanted, type) else str(wanted)
    raise ConfigError(f"{key} must be {'an integer' if wanted is int else f'a {name}'}, got {value!r}")


def _merge(config: Any, values: Mapping[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(type(config))
    names = [f.name for f in dataclasses.fields(config)]
    changes: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        if name not in names:
            raise ConfigError(f"unknown configuration key {key!r}; {near(key, [f'{prefix}{n}' for n in names])}")
        current = getattr(config, name)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, Mapping):
                raise ConfigError(
                    f"{key} is a section; set one of its keys, as in {key}.{dataclasses.fields(current)[0].name}=..."
                )
            changes[name] = _merge(current, value, f"{key}.")
        elif name == "env" and not prefix:
            changes[name] = {**current, **_coerce(key, hints[name], value)}
        else:
            changes[name] = _coerce(key, hints[name], value)
    return dataclasses.replace(config, **changes)


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} as {"a": {"b": 1}}."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        place = nested
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{key} and a part of it are both set")
        place[last] = value
    return nested


def parse_assignment(text: str) -> tuple[str, Any]:
    """`key=value` of `--set`, the value read as YAML."""
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set takes key=value, got {text!r}")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {key}: {value!r} is not YAML: {error}") from None


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file; ConfigError names the file and the fault."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration file {path}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping of configuration keys, it holds {type(values).__name__}")
    return values


def presets_for(env_id: str) -> dict[str, dict[str, Any]]:
    """The presets that exist for an environment, by name.

    A file presets/<family>.yaml maps preset names to values; `<family>` is the id up to the slash. The real SMAC is
    trained as its simulator is.
    """
    family = env_id.partition("/")[0]
    source = resources.files("powqmix") / "presets" / f"{'skirmish' if family in ('smac', 'smacv2') else family}.yaml"
    if not source.is_file():
        return {"paper": {}}
    values = yaml.safe_load(source.read_text(encoding="utf-8"))
    return typing.cast("dict[str, dict[str, Any]]", values)


def resolve(
    env_id: str = "predator_prey",
    algorithm: str = "powqmix",
    preset: str = "paper",
    *,
    file: Path | None = None,
    assignments: Iterable[str] = (),
    **top_level: Any,
) -> Config:
    """The configuration of a run: defaults, algorithm, preset, file, assignments, then `top_level` values not None.

    Raises ConfigError naming the first thing that is wrong.
    """
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"unknown algorithm {algorithm!r}; {near(algorithm, ALGORITHMS)}")
    presets = presets_for(env_id)
    if preset not in presets:
        raise ConfigError(f"no preset {preset!r} for {env_id}; {near(preset, presets)}")
    config = Config(env_id=env_id, algorithm=algorithm, preset=preset)
    config = _merge(config, nest(presets[preset]), "")
    # An algorithm's own constants are part of what it is: they stand above a preset made for the paper's method.
    config = _merge(config, nest(ALGORITHMS[algorithm]), "")
    if file is not None:
        config = _merge(config, nest(load_yaml(file)), "")
    return change(config, assignments, **top_level)


def change(config: Config, assignments: Iterable[str] = (), **top_level: Any) -> Config:
    """`config` with some values changed: `key=value` texts first, then keywords that are not None."""
    config = _merge(config, nest(dict(parse_assignment(text) for text in assignments)), "")
    return typing.cast(Config, _merge(config, {k: v for k, v in top_level.items() if v is not None}, ""))


def settle_actors(config: Config, count: int | None = None, envs_per_actor: int | None = None) -> ActorConfig:
    """How many processes play, and how many environments each has: as given, as configured, or by the machine."""
    actors = config.actors
    count = actors.count if count is None else count
    envs_per_actor = actors.envs_per_actor if envs_per_actor is None else envs_per_actor
    require(count >= 0, "--actors", "at least 1 (or 0: one for each core)", count)
    require(envs_per_actor >= 0, "--envs-per-actor", "at least 1 (or 0: enough for 8 in all)", envs_per_actor)
    if config.lockstep:
        require(count in (0, 1), "--actors", f"1 in a --lockstep run (with {LOCKSTEP_ENVS} environments)", count)
        require(
            envs_per_actor in (0, LOCKSTEP_ENVS),
            "--envs-per-actor",
            f"{LOCKSTEP_ENVS} in a --lockstep run",
            envs_per_actor,
        )
        return dataclasses.replace(actors, count=1, envs_per_actor=LOCKSTEP_ENVS)
    count = count or min(8, len(os.sched_getaffinity(0)))
    return dataclasses.replace(actors, count=count, envs_per_actor=envs_per_actor or max(1, LOCKSTEP_ENVS // count))


def from_dict(values: Mapping[str, Any]) -> Config:
    """A Config from what `to_dict` gave, as stored in a run's config.yaml."""
    return typing.cast(Config, _merge(Config(), values, ""))


def save(config: Config, path: Path) -> None:
    """Writes config.yaml."""
    path.write_text(yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True), encoding="utf-8")


def load(path: Path) -> Config:
    """Reads a run's config.yaml."""
    return from_dict(load_yaml(path))
