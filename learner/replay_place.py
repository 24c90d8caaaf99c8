"""Where the replay ring lies: in shared memory if it fits there, else in the run directory."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import psutil

from powqmix.config import ConfigError
from powqmix.process import runs_here
from powqmix.types import EpisodeSchema

from .replay_layout import required_bytes

SHARED_MEMORY = Path("/dev/shm")
RING_NAME = "replay.ring"
# Shares of what is free that a ring may take: the rest is for the update, the actors, and the machine's other users.
_MEMORY_SHARE = 0.75
_DISK_SHARE = 0.95


def describe_size(schema: EpisodeSchema, capacity: int, path: Path) -> str:
    """One line for the start of a run: episodes, bytes each, bytes in all, and where."""
    real = {"<f2": "float16", "<f4": "float32"}[schema.fields[0].dtype]
    return (
        f"replay: {capacity} episodes of up to {_size(schema.max_nbytes)} ({real}) "
        f"= {_size(required_bytes(schema, capacity))} in {path}"
    )


def choose_path(configured: str, run_dir: Path, nbytes: int) -> Path:
    """The file of a ring of `nbytes` bytes: in the folder `configured`, or chosen if that is empty.

    Shared memory comes first, because what is written there never costs a disk access; the run directory second. A ring
    that is there already is kept where it is. Raises ConfigError with the numbers and the settings that help if it
    fits nowhere.
    """
    if configured:
        folder = Path(configured).expanduser()
        if not folder.is_dir():
            raise ConfigError(f"replay.path must be an existing folder, got {configured!r}")
        # The name tells runs apart that share the folder.
        places = [(folder / f"powqmix-{_run_key(run_dir)}.ring", _room(folder))]
    else:
        places = [(run_dir / RING_NAME, _room(run_dir))]
        if SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK):
            places.insert(0, (SHARED_MEMORY / f"powqmix-{_run_key(run_dir)}.ring", _room(SHARED_MEMORY)))
    for path, _ in places:
        if path.exists():
            return path
    for path, room in places:
        if nbytes <= room:
            return path
    found = ", ".join(f"{_size(room)} can be used in {path.parent}" for path, room in places)
    raise ConfigError(
        f"the replay ring needs {_size(nbytes)}, but {found}. Give it a larger folder with --set replay.path=FOLDER, "
        f"or fewer episodes with --set replay.capacity=N"
        f" (float16 storage, --set replay.dtype=float16, is half of float32)"
    )


def _run_key(run_dir: Path) -> str:
    """A name for the run directory that is the same at every resume and for no other directory."""
    return hashlib.sha256(str(run_dir.resolve()).encode()).hexdigest()[:16]


def _room(folder: Path) -> int:
    """Bytes that a ring in `folder` may take; runs that were started together have equal parts of what is free."""
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if not _is_memory(folder):
        return int(_DISK_SHARE * free / runs_here())
    return int(_MEMORY_SHARE * min(free, psutil.virtual_memory().available, _group_memory_left()) / runs_here())


def _is_memory(folder: Path) -> bool:
    """Whether files in `folder` live in memory."""
    mounts = [
        partition
        for partition in psutil.disk_partitions(all=True)
        if folder.resolve().is_relative_to(partition.mountpoint)
    ]
    return bool(mounts) and max(mounts, key=lambda mount: len(mount.mountpoint)).fstype in ("tmpfs", "ramfs")


def _group_memory_left(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that a container's limit leaves, which files in shared memory count against."""
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
    except (OSError, ValueError):
        return 2**63
    return 2**63 if limit == "max" else max(0, int(limit) - used)


def _size(nbytes: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if nbytes >= unit:
            return f"{nbytes / unit:.2f} {name}"
    return f"{nbytes} bytes"
