"""Processor, memory, disk and limits of this machine."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
from pathlib import Path

from powqmix import machine

from .finding import MISSING, OK, WRONG, Finding, size

OPEN_FILES = 1024  # of the learner: a socket or two for each actor, and the ring
SHARED_MEMORY = Path("/dev/shm")
SMALL_MEMORY, SMALL_DISK, SMALL_SHARED = 2e9, 2e9, 1e9  # bytes; below them a run of the default size is in danger


def processor() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding("processor", OK, f"{machine.processor()}, {cores} cores for this process")


def memory() -> Finding:
    try:
        import psutil
    except ImportError:
        return Finding("memory", MISSING, "cannot be measured without psutil", "pip install psutil")
    state = psutil.virtual_memory()
    text = f"{size(state.available)} of {size(state.total)} free"
    if state.available < SMALL_MEMORY:
        return Finding("memory", WRONG, text, "end other programs, or lower replay.capacity and training.batch_size")
    return Finding("memory", OK, text)


def shared_memory(folder: Path = SHARED_MEMORY) -> Finding:
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        remedy = "none needed: the replay ring lies in the run's folder, at the disk's speed"
        return Finding("shared memory", MISSING, f"no {folder} to write to", remedy)
    usage = shutil.disk_usage(folder)
    text = f"{size(usage.free)} of {size(usage.total)} free in {folder}"
    if usage.free < SMALL_SHARED:
        remedy = "docker run --shm-size=16g, or mount -o remount,size=16g /dev/shm; else the ring lies on the disk"
        return Finding("shared memory", WRONG, text, remedy)
    return Finding("shared memory", OK, text)


def abandoned_rings(folder: Path = SHARED_MEMORY) -> list[Finding]:
    """Replay rings that no process has open: a killed run left them for --resume, and they take memory until then."""
    left = [path for path in sorted(folder.glob("powqmix-*.ring")) if not _is_held(path)]
    if not left:
        return []
    taken = sum(path.stat().st_blocks * 512 for path in left)
    text = f"{len(left)} of killed runs in {folder} take {size(taken)} of memory"
    remedy = "powqmix launch --resume RUN goes on with its ring; else rm " + " ".join(map(str, left))
    return [Finding("replay rings", WRONG, text, remedy)]


def _is_held(path: Path) -> bool:
    """Whether a process has the ring's lock, or it cannot be asked."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def disk(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    text = f"{size(usage.free)} free for runs in {folder}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", WRONG, f"{folder} cannot be written", "use another --run-dir, or folder", required=True)
    if usage.free < SMALL_DISK:
        return Finding("disk", WRONG, text, "make room, or choose another --run-dir: checkpoints and rings need it")
    return Finding("disk", OK, text, required=True)


def open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    if not unlimited and soft < OPEN_FILES:
        return Finding("open files", WRONG, f"the limit is {soft}", f"ulimit -n {OPEN_FILES} (at most {hard})")
    return Finding("open files", OK, "no limit" if unlimited else f"at most {soft}")
