"""The learner process: `python -m powqmix.learner --run-dir RUN --endpoint ipc://...`; the launcher starts it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from powqmix.process import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, die_with_parent, keep_freed_memory


def main() -> int:
    die_with_parent()
    keep_freed_memory()
    parser = argparse.ArgumentParser(prog="python -m powqmix.learner", description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="folder with config.yaml")
    parser.add_argument("--endpoint", required=True, help="where actors connect: ipc:///path")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint and stored episodes")
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from powqmix import config as configuration
    from powqmix import envs

    try:
        config = configuration.load(arguments.run_dir / "config.yaml")
        spec = envs.spec(config.env_id, **config.env)
    except ValueError as error:
        print(f"powqmix learner: {error}", file=sys.stderr)
        return EXIT_REFUSED
    import torch

    from powqmix.ops import gru

    from .service import Learner, TrainingDiverged
    from .threads import threads_for

    torch.set_num_threads(threads_for(config, spec, config.actors.count))
    torch.manual_seed(config.seed)
    if config.lockstep:  # is to repeat exactly, and what a trial by the clock finds may differ
        os.environ.setdefault(gru.VARIABLE, "cudnn")

    try:
        learner = Learner(arguments.run_dir, config, arguments.endpoint, resume=arguments.resume)
    except ValueError as error:
        print(f"powqmix learner: {error}", file=sys.stderr)
        return EXIT_REFUSED
    signal.signal(signal.SIGTERM, lambda *_: learner.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's: it sends SIGTERM
    try:
        learner.run()
    except TrainingDiverged as error:
        logging.getLogger("powqmix.learner").error("%s", error)
        return EXIT_FAILED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
