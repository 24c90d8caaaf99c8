"""An actor process: `python -m powqmix.actors --run-dir RUN --endpoint ipc://... --actor 0`; the launcher starts it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from powqmix import config as configuration
from powqmix.process import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, Log, StopFlag, die_with_parent, give_way

from .link import Refused
from .player import EnvironmentFailed
from .service import ActorService, Identity, Measurement


def main() -> int:
    die_with_parent()
    give_way()
    parser = argparse.ArgumentParser(prog="python -m powqmix.actors", description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="folder with config.yaml")
    parser.add_argument("--endpoint", required=True, help="where the learner listens: ipc:///path")
    parser.add_argument("--actor", type=int, default=0, help="index of this actor in the run")
    parser.add_argument("--role", choices=("train", "test"), default="train", help="train: play; test: greedy episodes")
    parser.add_argument("--envs", type=int, default=1, help="environments in this process")
    parser.add_argument("--start", type=int, default=0, help="how many processes had this place before")
    parser.add_argument("--sleep-ms", type=float, help="for measurements: a step only sleeps, nothing is simulated")
    parser.add_argument("--stages", type=Path, help="for measurements: write where the time went here, as JSON")
    arguments = parser.parse_args()
    log = Log("evaluator" if arguments.role == "test" else f"actor {arguments.actor}")
    stop = StopFlag()
    stop.install()
    try:
        config = configuration.load(arguments.run_dir / "config.yaml")
        service = ActorService(
            config,
            Identity(arguments.actor, arguments.role, arguments.start),
            arguments.envs,
            arguments.endpoint,
            arguments.run_dir.resolve().name,
            stop,
            log,
            Measurement(None if arguments.sleep_ms is None else arguments.sleep_ms / 1000, arguments.stages),
        )
    except ValueError as error:
        log(str(error))
        return EXIT_REFUSED
    try:
        service.run()
    except Refused as refusal:
        log(f"refused by the learner ({refusal.code}): {refusal}")
        return EXIT_REFUSED
    except EnvironmentFailed as error:
        log(str(error))
        return EXIT_FAILED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
