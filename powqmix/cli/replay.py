"""`powqmix replay RUN`: an episode of a run's policy, or of a fixed rule, as a film, pictures, or a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from . import flags as command_line
from . import replay_files
from .errors import CommandError
from .evaluate import saved_policy
from .flags import Assignments, Number, PathFlag, RunPath, Switch, Word, env_options, existing_run
from .output import print_json, progress
from .recording import SCRIPTS, Recording, record_policy, record_script

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Flags:
    """Plays one greedy episode with the policy of a run's checkpoint and writes it as pictures.

    What is written follows from the file's ending: .gif a film, .png a sheet of moments, .html a page with a slider
    that needs nothing else; a name without one is a folder with a PNG of every step. With --policy no run is needed:
    the agents of an environment follow a fixed rule. Example:
        powqmix replay runs/predator_prey-powqmix-s0 --out episode.html --episode-seed 7
        powqmix replay skirmish/corridor --policy nearest
    """

    run: Annotated[RunPath, tyro.conf.arg(metavar="RUN|ENV")]
    """Folder of the run; with --policy, an environment."""
    policy: Word = None
    """Play by a rule instead: random, or on skirmish nearest, weakest (whom to attack) or mirror (the computer plays
    both sides)."""
    assignments: Assignments = ()
    """With --policy, options of the environment, as in --set env.spawn_jitter=1"""
    out: PathFlag = None
    """Where to write: FILE.gif, FILE.png, FILE.html, or a folder; without it replay.gif in the run's folder, or
    ENV-POLICY.gif here."""
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


@dataclass(frozen=True)
class Played:
    """An episode with what is told of it."""

    recording: Recording
    by: str  # the algorithm, or the rule
    updates: int | None
    file: Path  # where its pictures go if nothing else was said


def run(flags: Flags) -> int:
    if not flags.fps > 0 or flags.episode_seed < 0:
        raise CommandError("--fps must be above 0, and --episode-seed at least 0", 2)
    if flags.out is not None:
        replay_files.writer_of(flags.out)  # before anything is played
    played = _by_rule(flags, flags.policy) if flags.policy is not None else _by_run(flags)
    recording, out = played.recording, flags.out or played.file
    write = replay_files.writer_of(out)
    count = recording.steps + 1
    with progress(f"drawing {count} pictures", count) as bar:

        def pictures() -> Iterator[Image]:
            for picture in recording.pictures():
                bar.advance()
                yield picture

        write(out, pictures(), count, flags.fps, f"{recording.env_id}, {played.by}")
    won = recording.battle_won
    if flags.json:
        print_json(
            {
                "file": str(out),
                "env": recording.env_id,
                "algorithm": None if flags.policy else played.by,
                "policy": flags.policy or "greedy",
                "updates": played.updates,
                "episode_seed": flags.episode_seed,
                "steps": recording.steps,
                "return": recording.episode_return,
                "battle_won": won,
                "terminated": recording.terminated,
            }
        )
    else:
        outcome = "" if won is None else ", won" if won else ", not won"
        print(f"{out}: {recording.steps} steps, return {recording.episode_return:g}{outcome}")
    return 0


def _by_run(flags: Flags) -> Played:
    if flags.assignments:
        raise CommandError("--set goes with --policy; a run's episode is played with the run's options", 2)
    try:
        path = existing_run(flags.run)
    except CommandError as error:
        raise CommandError(f"{error}, or --policy with {', '.join(SCRIPTS)} to play an environment", 2) from None
    policy = saved_policy(path, flags.checkpoint)
    recording = record_policy(policy, flags.episode_seed)
    return Played(recording, policy.config.algorithm, policy.updates, path / "replay.gif")


def _by_rule(flags: Flags, rule: str) -> Played:
    if flags.checkpoint is not None:
        raise CommandError("--checkpoint is of a run; it does not go with --policy", 2)
    env_id = flags.run.as_posix()
    recording = record_script(env_id, env_options(flags.assignments), rule, flags.episode_seed)
    return Played(recording, rule, None, Path(f"{env_id.replace('/', '-')}-{rule}.gif"))
