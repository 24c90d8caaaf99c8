"""Options of environments: each environment states its own as a dataclass, and what is given is read against it."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

Options = TypeVar("Options")


def defaults(options: type) -> dict[str, Any]:
    """Names of the options that the dataclass `options` has, with their defaults."""
    return {field.name: field.default for field in dataclasses.fields(options)}


def parse(env_id: str, options: type[Options], given: Mapping[str, Any]) -> Options:
    """`given` as a record of the dataclass `options`.

    Raises ValueError on a name it does not have, listing those it has, and on a value of another type, naming it.
    Ranges are checked by the environment.
    """
    known = defaults(options)
    unknown = sorted(set(given) - set(known))
    if unknown:
        listed = ", ".join(f"{name}={default!r}" for name, default in known.items()) or "none"
        raise ValueError(f"{env_id} has no option {', '.join(map(repr, unknown))}; its options and defaults: {listed}")
    types = typing.get_type_hints(options)
    return options(**{name: _read(f"{env_id}: {name}", types[name], value) for name, value in given.items()})


def _read(name: str, wanted: Any, value: Any) -> Any:
    """`value` as an int or float (also from text such as "1e-1", which YAML does not take for a number)."""
    if wanted is bool and not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {value!r}")
    if wanted is str and not isinstance(value, str):
        raise ValueError(f"{name} must be a text, got {value!r}")
    if wanted is not int and wanted is not float:
        return value
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if wanted is float:
        if not math.isfinite(number):
            raise ValueError(f"{name} must be a number, got {value!r}")
        return number
    if not number.is_integer() or abs(number) >= 2**31:
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return int(number)
