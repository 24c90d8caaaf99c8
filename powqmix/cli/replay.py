"""`powqmix replay RUN`: one greedy episode of a run's checkpoint as a film, a sheet of pictures, or a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from powqmix import envs
from powqmix.actors.rollout import Rollout
from powqmix.envs.render import DRAWERS, Moment, draw
from powqmix.learner.saved_policy import SavedPolicy
from powqmix.types import Episode, episode_schema

from . import flags as command_line
from . import replay_files
from .errors import CommandError
from .evaluate import saved_policy
from .flags import Number, PathFlag, RunPath, Switch, existing_run
from .output import print_json, progress

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Flags:
    """Plays one greedy episode with the policy of a run's checkpoint and writes it as pictures.

    The file's ending decides what: .gif a film, .png a sheet of moments, .html a page with a slider that needs nothing
    else. Example:
        powqmix replay runs/predator_prey-powqmix-s0 --out episode.html --episode-seed 7
    """

    run: Annotated[RunPath, tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    out: PathFlag = None
    """Where to write: FILE.gif, FILE.png or FILE.html; without it replay.gif in the run's folder."""
    episode_seed: int = 0
    """Seed of the environment: another one is another episode."""
    checkpoint: Number = None
    """The checkpoint checkpoints/step-N; without it the newest whole one."""
    fps: float = 6.0
    """Steps shown in a second, of a film or a page."""
    json: Switch = False
    """Print one JSON object: the file, and how the episode went."""


def parse(arguments: Sequence[str]) -> Flags:
    return command_line.parse(Flags, "replay", arguments)


def run(flags: Flags) -> int:
    path = existing_run(flags.run)
    out = flags.out or path / "replay.gif"
    write = replay_files.WRITERS.get(out.suffix.lower())
    if write is None:
        raise CommandError(f"--out must end in {', '.join(replay_files.WRITERS)}, got {out}", 2)
    if not out.parent.is_dir():
        raise CommandError(f"there is no folder {out.parent} to write {out.name} to; make it first", 2)
    if not flags.fps > 0 or flags.episode_seed < 0:
        raise CommandError("--fps must be above 0, and --episode-seed at least 0", 2)
    policy = saved_policy(path, flags.checkpoint)
    env_id = policy.config.env_id
    if env_id.partition("/")[0] not in DRAWERS:
        raise CommandError(f"{env_id} has no picture; there are pictures of {', '.join(DRAWERS)}")
    episode = play_episode(policy, flags.episode_seed)
    with progress(f"drawing {episode.steps + 1} pictures", episode.steps + 1) as bar:

        def pictures() -> Iterator[Image]:
            for picture in draw_episode(policy, episode, flags.episode_seed):
                bar.advance()
                yield picture

        write(out, pictures(), episode.steps + 1, flags.fps, f"{env_id}, {policy.config.algorithm}")
    won = episode.battle_won if policy.env_spec.has_win else None
    if flags.json:
        print_json(
            {
                "file": str(out),
                "env": env_id,
                "algorithm": policy.config.algorithm,
                "updates": policy.updates,
                "episode_seed": flags.episode_seed,
                "steps": episode.steps,
                "return": episode.episode_return,
                "battle_won": won,
                "terminated": episode.terminated,
            }
        )
    else:
        outcome = "" if won is None else ", won" if won else ", not won"
        print(f"{out}: {episode.steps} steps, return {episode.episode_return:g}{outcome}")
    return 0


def play_episode(policy: SavedPolicy, seed: int) -> Episode:
    """The greedy episode of one environment with this seed."""
    config = policy.config
    env = envs.make(config.env_id, 1, seed, **config.env)
    try:
        rollout = Rollout(env, policy.policy_spec.greedy(), episode_schema(policy.env_spec), seed)
        rollout.set_parameters(policy.parameters, policy.updates)
        return rollout.play_round(0.0)[0]
    finally:
        env.close()


def draw_episode(policy: SavedPolicy, episode: Episode, seed: int) -> Iterator[Image]:
    """The pictures of an episode, T + 1 of them: its actions are played once more, in an environment of that seed.

    Raises CommandError if the environment does not do the same again.
    """
    config = policy.config
    names = [field.name for field in episode_schema(policy.env_spec).fields]
    actions = np.ascontiguousarray(episode.frames[names.index("actions")], np.int32)  # [T, N]
    rewards = episode.frames[names.index("reward")]  # [T]
    env = envs.make(config.env_id, 1, seed, **config.env)
    try:
        env.reset()
        yield draw(env, Moment(0, 0.0))
        total = 0.0
        for step in range(episode.steps):
            env.step(actions[step : step + 1])
            ended = bool(env.terminated[0] or env.truncated[0])
            total += float(env.reward[0])
            if ended != (step == episode.steps - 1) or env.reward[0] != rewards[step]:
                raise CommandError(f"{config.env_id} did not repeat its episode at step {step}: it cannot be shown")
            yield draw(env, Moment(step + 1, total, ended))
    finally:
        env.close()
