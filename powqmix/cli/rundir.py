"""A run's folder: made whole or not at all, locked by one launcher, found again for resume."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import platform
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from powqmix import config as configuration
from powqmix.config import Config, ConfigError
from powqmix.files import write_json
from powqmix.machine import processor
from powqmix.types import EnvSpec
from powqmix.version import __version__

RUNS = Path("runs")
GROUP = "group.json"  # in the folder of runs that were started together (launch_seeds.py)
PACKAGES = ("torch", "numpy", "pyzmq", "msgspec")


class RunDirectory:
    """An existing run folder with its lock held until `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise ConfigError(
                f"{path} is in use by process {owner}; wait for it, end it (kill {owner}), or choose another --name"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def close(self) -> None:
        os.close(self._descriptor)


def default_name(config: Config, seeds: int = 1) -> str:
    """env-algorithm-sSEED-time, or sFIRST-LAST of several seeds: safe as a folder's name."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    last = f"-{config.seed + seeds - 1}" if seeds > 1 else ""
    return f"{config.env_id.replace('/', '-')}-{config.algorithm}-s{config.seed}{last}-{stamp}"


def is_group(path: Path) -> bool:
    """Whether `path` holds runs that were started together."""
    return (path / GROUP).exists()


def create(path: Path, config: Config, spec: EnvSpec) -> RunDirectory:
    """A new run folder with config.yaml and run.json. Raises ConfigError where there is a run already."""
    run = _make(path, "logs", "checkpoints")
    configuration.save(config, path / "config.yaml")
    write_json(path / "run.json", describe(config, spec))
    return run


def create_group(path: Path) -> RunDirectory:
    """A new folder for runs that start together. Raises ConfigError where there are runs already."""
    return _make(path)


def _make(path: Path, *folders: str) -> RunDirectory:
    if (path / "config.yaml").exists() or is_group(path):
        if _in_use(path):
            return RunDirectory(path)  # raises, naming the owner
        raise ConfigError(
            f"{path} holds {'runs' if is_group(path) else 'a run'} already; go on by --resume --run-dir {path}, or "
            "choose another --name"
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"{path} is not empty and holds no run; choose another --run-dir")
    try:
        path.mkdir(parents=True, exist_ok=True)
        for folder in folders:
            (path / folder).mkdir()
    except OSError as error:
        raise ConfigError(f"cannot make the run directory {path}: {error.strerror}; choose another --run-dir") from None
    return RunDirectory(path)


def reopen(path: Path, config: Config) -> RunDirectory:
    """An existing run, for going on with it: config.yaml as it is now, the time noted in run.json."""
    run = RunDirectory(path)
    configuration.save(config, path / "config.yaml")
    record = json.loads((path / "run.json").read_text(encoding="utf-8"))
    record["resumed"].append(_now())
    write_json(path / "run.json", record)
    return run


def times_resumed(path: Path) -> int:
    """How often the run in `path` was taken up again."""
    return len(json.loads((path / "run.json").read_text(encoding="utf-8"))["resumed"])


def _in_use(path: Path) -> bool:
    try:
        RunDirectory(path).close()
    except ConfigError:
        return True
    return False


def find_resumable(given: Path | None) -> Path:
    """The run, or the group of runs, to go on with: `given`, or the newest below runs/."""
    if given is not None:
        if not (given / "config.yaml").exists() and not is_group(given):
            raise ConfigError(f"{given} holds no run (no config.yaml); give the folder that the run printed")
        return given
    runs = sorted([*RUNS.glob("*/config.yaml"), *RUNS.glob(f"*/{GROUP}")], key=lambda p: p.stat().st_mtime)
    if not runs:
        raise ConfigError(f"nothing to resume below {RUNS.resolve()}; name the folder with --run-dir")
    return runs[-1].parent


def describe(config: Config, spec: EnvSpec) -> dict[str, Any]:
    """What run.json says: versions, machine, source, seeds."""
    return {
        "started": _now(),
        "resumed": [],
        "command": " ".join(sys.argv),
        "powqmix": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": {
            "host": socket.gethostname(),
            "system": platform.platform(),
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)),
            "device": config.device,
        },
        "git": _git(),
        "env": config.env_id,
        "env_version": spec.version,
        "algorithm": config.algorithm,
        "preset": config.preset,
        "seed": config.seed,
    }


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _git() -> str:
    """Commit of the source this package is imported from; "" outside a checkout."""
    done = subprocess.run(
        ["git", "-C", str(Path(__file__).resolve().parent), "describe", "--always", "--dirty"],
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip() if done.returncode == 0 else ""
