"""`powqmix launch` (`powqmix-launch`): a run folder, and the processes that train in it."""

from __future__ import annotations

import json
import shutil
import sys

from powqmix import envs
from powqmix.config import ConfigError
from powqmix.process import EXIT_REFUSED, die_with_parent

from . import launch_seeds, rundir
from .display import make_display
from .launch_flags import Flags, new_configuration, parse, resumed_configuration
from .supervise import Supervisor, plan_processes

__all__ = ["Flags", "parse", "run"]


def run(flags: Flags) -> int:
    """Trains; returns the exit code."""
    die_with_parent()  # where several runs were started together
    given = rundir.RUNS / flags.name if flags.name and flags.run_dir is None else flags.run_dir
    path = rundir.find_resumable(given) if flags.resume else given
    if flags.seeds is not None or (path is not None and flags.resume and rundir.is_group(path)):
        return launch_seeds.run(flags, path)
    if path is not None and flags.resume:
        config, notes = resumed_configuration(flags, path)
    else:
        config, notes = new_configuration(flags)
        path = path or rundir.RUNS / rundir.default_name(config)
    try:
        spec = envs.make(config.env_id, **config.env).spec  # options out of range are told here
    except ValueError as error:
        raise ConfigError(str(error)) from None
    run_directory = rundir.reopen(path, config) if flags.resume else rundir.create(path, config, spec)
    stream = sys.stderr if flags.json else sys.stdout
    try:
        display = make_display(config, path, stream, notes)
        supervisor = Supervisor(path, plan_processes(path, config, resume=flags.resume), config, display)
        code = supervisor.run()
    finally:
        run_directory.close()
    if code == EXIT_REFUSED and not flags.resume:
        shutil.rmtree(path)  # nothing was trained: the folder would only be in the way
        return code
    if flags.json:
        print(json.dumps(supervisor.summary))
    return code
