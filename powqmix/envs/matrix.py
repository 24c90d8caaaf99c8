"""Matrix games: `matrix/powqmix`, `matrix/wqmix` and `matrix/custom`, one shared payoff for each joint action.

Two agents or more choose at the same time and see nothing but a constant: observation and state are the number 1. The
reward of a step is the payoff of the joint action; an episode is one step unless `episode_limit` says more, and its
last step terminates (a later step promises nothing, so there is nothing to bootstrap from).

Rules and sources: `matrix/powqmix` has the payoffs of Table 1 of the POWQMIX paper (arXiv 2405.08036), `matrix/wqmix`
those of Weighted QMIX (Rashid et al., NeurIPS 2020, arXiv 2006.10800). Licence: Apache-2.0, as all of powqmix; the code
is our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import powqmix._C as _C
from powqmix.types import EnvSpec

from .base import Batch
from .native import NativeEnv, batch_options

PAYOFFS: dict[str, list[list[float]]] = {
    "matrix/powqmix": [[8.0, -12.0, -12.0], [-12.0, 0.0, 0.0], [-12.0, 0.0, 7.9]],
    "matrix/wqmix": [[8.0, -12.0, -12.0], [-12.0, 0.0, 0.0], [-12.0, 0.0, 0.0]],
}


@dataclass(frozen=True)
class Options:
    """payoff: a list nested n deep with m entries each, for n agents with m actions, agent 0 outermost; or the path of
    a JSON or YAML file that holds one. None: the game's own (`matrix/custom` has none and needs it)."""

    payoff: Any = None
    episode_limit: int = 1


class MatrixGame(NativeEnv):
    """A batch of matrix games.

    payoff: f64 [A] * N, read-only; the reward is its entry rounded to f32.
    optimal_return: the most that an episode can give.
    """

    def __init__(self, env_id: str, payoff: npt.NDArray[np.float64], episode_limit: int, batch: Batch) -> None:
        super().__init__(
            _C.MatrixGame(
                id=env_id,
                payoff=payoff.ravel().tolist(),
                n_agents=payoff.ndim,
                n_actions=payoff.shape[0],
                episode_limit=episode_limit,
                batch=batch_options(batch),
            )
        )
        self.payoff = payoff
        self.optimal_return = float(payoff.max()) * episode_limit


def ids() -> list[str]:
    return [*PAYOFFS, "matrix/custom"]


def make(env_id: str, options: Options, batch: Batch) -> MatrixGame:
    given = PAYOFFS.get(env_id) if options.payoff is None else options.payoff
    if given is None:
        raise ValueError(f"{env_id} needs a payoff: payoff=[[1, 0], [0, 1]], or the path of a JSON or YAML file")
    return MatrixGame(env_id, read_payoff(env_id, given), options.episode_limit, batch)


def spec(env_id: str, options: Options) -> EnvSpec:
    return make(env_id, options, Batch()).spec


def read_payoff(env_id: str, given: Any) -> npt.NDArray[np.float64]:
    """A payoff table, f64 [A] * N, from nested lists or from the file they are in.

    Raises ValueError if the file cannot be read or the lists are not n deep with m finite numbers each.
    """
    source = f"{env_id}: payoff"
    if isinstance(given, (str, Path)):
        source = f"{env_id}: payoff of {given}"
        given = _from_file(source, Path(given))
    try:
        payoff = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{source} must be nested lists of numbers, each level of one length") from None
    if payoff.ndim < 1 or payoff.size < 1 or len(set(payoff.shape)) != 1:
        raise ValueError(
            f"{source} must be [m] * n for n agents with m actions each, such as 3 x 3, got the shape "
            f"{' x '.join(map(str, payoff.shape)) or 'of a single number'}"
        )
    if not (np.abs(payoff) <= np.finfo(np.float32).max).all():
        raise ValueError(f"{source} must be finite in float32")
    payoff.setflags(write=False)
    return payoff


def _from_file(source: str, path: Path) -> Any:
    import yaml  # JSON is YAML too

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{source} cannot be read: {error}") from None
