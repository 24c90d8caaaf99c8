"""Making, locking and checking the file of a replay ring, before anything in it is used."""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from pathlib import Path

import numpy as np

from .replay_layout import HEAD, MAGIC, RingLayout, differences, encode_description

_REMEDY = "resume with the configuration the run was started with, or remove the file to begin with an empty replay"


class ReplayError(RuntimeError):
    """A ring or snapshot that cannot be used; the message says which file, why, and what to do."""


class RingInUse(ReplayError):
    """Another process owns the ring."""


class RingMismatch(ReplayError):
    """The file is no ring, or one of another environment, dtype or capacity."""


def create_ring_file(path: Path, layout: RingLayout, *, total_inserted: int, total_env_steps: int) -> int:
    """A locked descriptor of a new, empty ring that replaces any at `path`; it appears there whole or not at all.

    The file is sparse: memory is put behind a slot when an episode first needs it. Raises RingInUse, OSError.
    """
    description = encode_description(layout.description())
    head = np.zeros((), HEAD)
    head["magic"] = MAGIC
    head["total_inserted"] = total_inserted
    head["total_env_steps"] = total_env_steps
    head["description_bytes"] = len(description)
    head["description_crc32"] = zlib.crc32(description)
    head["description"][: len(description)] = np.frombuffer(description, np.uint8)

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        os.close(open_locked(path))  # a ring in use is not replaced
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(descriptor, layout.nbytes)
        os.posix_fallocate(descriptor, 0, layout.payload_start)
        os.pwrite(descriptor, head.tobytes(), 0)
        unfinished.rename(path)
    except BaseException:
        os.close(descriptor)
        unfinished.unlink(missing_ok=True)
        raise
    return descriptor


def open_locked(path: Path) -> int:
    """A descriptor of a ring's file that holds its lock; raises FileNotFoundError, or RingInUse naming the owner."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        head = os.pread(descriptor, HEAD.itemsize, 0)
        os.close(descriptor)
        pid = int(np.frombuffer(head, HEAD)[0]["owner_pid"]) if len(head) == HEAD.itemsize else 0
        raise RingInUse(
            f"the replay ring {path} is in use by process {pid or 'unknown'}; "
            f"stop that run first, or start this one in another run directory"
        ) from None
    return descriptor


def check_description(path: Path, descriptor: int, layout: RingLayout) -> None:
    """Raises RingMismatch unless the file is a ring of this layout."""
    head = np.frombuffer(os.pread(descriptor, HEAD.itemsize, 0).ljust(HEAD.itemsize, b"\0"), HEAD)[0]
    text = head["description"].tobytes()[: int(head["description_bytes"])]
    if head["magic"] != MAGIC or zlib.crc32(text) != head["description_crc32"]:
        raise RingMismatch(f"{path} is not a replay ring of this version, or its head is damaged; {_REMEDY}")
    # Both from JSON, where tuples are lists.
    found, wanted = json.loads(text), json.loads(encode_description(layout.description()))
    if found != wanted:
        raise RingMismatch(f"{path} holds other episodes: {differences(found, wanted)}; {_REMEDY}")
    size = os.fstat(descriptor).st_size
    if size != layout.nbytes:
        raise RingMismatch(f"{path} has {size} bytes instead of {layout.nbytes}; {_REMEDY}")
