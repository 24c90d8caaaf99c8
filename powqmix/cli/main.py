"""`powqmix <command>`: finds the command's file, reads its flags, runs it, and turns errors into exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from powqmix.config import ConfigError, near
from powqmix.process import EXIT_DONE, EXIT_FAILED, EXIT_USAGE
from powqmix.version import __version__

from .errors import CommandError

COMMANDS = {
    "launch": "train: a learner and actors on this host, live display, resume",
    "evaluate": "greedy episodes from a run's newest checkpoint, with confidence intervals",
    "experiment": "a grid of algorithms, environments and seeds out of one file; resumes; table, plots",
    "plot": "learning curves of runs over seeds, PNG and SVG",
    "replay": "an episode of a run's policy, or of a fixed rule, as GIF, PNG or HTML",
    "profile": "throughput of learner, actors and kernels by stage",
    "algorithms": "list algorithms: what each is made of, its defaults, its paper",
    "envs": "list environments with their sizes, or check one",
    "doctor": "what works on this machine, what does not, and the remedy",
    "learner": "the learner alone",
    "actor": "actors alone, joining a learner",
}


def usage() -> str:
    rows = "\n".join(f"  {name:<12}{text}" for name, text in COMMANDS.items())
    return (
        f"powqmix {__version__}: POWQMIX as a high-throughput actor-learner system\n\n"
        f"usage: powqmix <command> [flags]      powqmix <command> --help explains each\n\n{rows}\n\n"
        "start with:  powqmix launch --env skirmish/3m --preset demo --actors 2"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return EXIT_DONE if arguments else EXIT_USAGE
    if arguments[0] == "--version":
        print(__version__)
        return EXIT_DONE
    name = arguments[0]
    if name not in COMMANDS:
        print(f"powqmix: no command {name!r}; {near(name, COMMANDS)}", file=sys.stderr)
        return EXIT_USAGE
    module = importlib.import_module(f"powqmix.cli.{name}")
    try:
        return int(module.run(module.parse(arguments[1:])))
    except ConfigError as error:
        print(f"powqmix {name}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except CommandError as error:
        print(f"powqmix {name}: {error}", file=sys.stderr)
        return error.code
    except BrokenPipeError:  # of `powqmix ... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


def launch() -> int:
    """Entry point of `powqmix-launch`."""
    return main(["launch", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
