"""Checkpoints that are whole or not there: written aside, verified by SHA-256, gone back over when damaged.

    checkpoints/step-000000000040/    manifest.json, one file for each part of the state
    checkpoints/LATEST                the name of the newest, for people and scripts

A checkpoint is written to `step-N.tmp`, brought to the disk, and renamed. `manifest.json` has the SHA-256 of each file
and of itself, because torch.load reads most damaged files without complaint. The state is tensors and plain values, and
is read with `weights_only=True`: a checkpoint from elsewhere cannot execute anything.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any, cast

import numpy as np
import torch

_log = logging.getLogger(__name__)
_FORMAT = 1
_MANIFEST = "manifest.json"
_LATEST = "LATEST"
_NAME = re.compile(r"step-(\d+)(\.old)?")  # .old: the previous one of the same step, while it is being replaced
_PART = re.compile(r"[a-z][a-z0-9_]*")
_ARRAY = "array"  # key of an array's dtype in a generator's state
_PLAIN = (type(None), bool, int, float, str)


class CheckpointError(RuntimeError):
    """No checkpoint can be used; the message says what is wrong with each."""


def save(directory: str | os.PathLike[str], step: int, state: Mapping[str, Any], *, keep: int = 3) -> bool:
    """Writes the checkpoint of `step`, and removes all but the newest `keep`.

    state: parts by name (lower case letters, digits, _), each of tensors, plain values, and dicts, lists and tuples of
    them; a part is a file. False if it could not be written (disk full): then the previous checkpoints are as they
    were, a warning was logged, and training can go on. Raises TypeError or ValueError on a state of another kind.
    """
    if step < 0 or keep < 1:
        raise ValueError(f"step must be at least 0 and keep at least 1, got {step} and {keep}")
    for part, value in state.items():
        if not _PART.fullmatch(part):
            raise ValueError(f"a part's name is lower case letters, digits and _, got {part!r}")
        _check_plain(value, part)
    directory = Path(directory)
    final = directory / f"step-{step:012d}"
    unfinished = directory / f"{final.name}.tmp"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(directory)
        unfinished.mkdir()
        files = {f"{part}.pt": _write_part(unfinished / f"{part}.pt", value) for part, value in state.items()}
        _write(unfinished / _MANIFEST, _manifest(step, files))
        _sync_folder(unfinished)
        _put_in_place(unfinished, final)
        _write(directory / f"{_LATEST}.tmp", final.name.encode() + b"\n")
        (directory / f"{_LATEST}.tmp").rename(directory / _LATEST)
        _sync_folder(directory)
    except OSError as error:
        _log.warning(
            "CHECKPOINT NOT WRITTEN at step %d: %s. The previous one is kept and training goes on; make room in %s",
            step, error, directory,
        )  # fmt: skip
        shutil.rmtree(unfinished, ignore_errors=True)
        return False
    try:
        _prune(directory, step, keep)
    except OSError as error:
        _log.warning("old checkpoints in %s could not be removed: %s", directory, error)
    return True


def load_newest_valid(directory: str | os.PathLike[str]) -> tuple[int, dict[str, Any]] | None:
    """The step and state of the newest checkpoint that is whole, tensors on the CPU; None if there is no checkpoint.

    A damaged one is gone back over with a warning. Raises CheckpointError if there are checkpoints and none is whole.
    """
    problems = []
    for path in _checkpoints(Path(directory)):
        try:
            step, state = _read(path)
        except (OSError, ValueError, RuntimeError, UnpicklingError) as error:
            problems.append(f"{path.name}: {error}")
            _log.warning("CHECKPOINT NOT USABLE, going back to the one before it: %s: %s", path, error)
            continue
        if problems:
            _log.warning("going on from step %d (%s)", step, path)
        return step, state
    if problems:
        raise CheckpointError(
            f"none of the checkpoints in {directory} is whole ({'; '.join(problems)}); "
            f"remove the folder to begin again from the replay and fresh parameters"
        )
    return None


def steps(directory: str | os.PathLike[str]) -> list[int]:
    """The steps of the checkpoints in `directory`, the newest first, whole or not."""
    return sorted({_step_of(path) for path in _checkpoints(Path(directory))}, reverse=True)


def load(directory: str | os.PathLike[str], step: int) -> dict[str, Any]:
    """The state of the checkpoint of `step`. Raises CheckpointError if it is not there, or not whole."""
    paths = [path for path in _checkpoints(Path(directory)) if _step_of(path) == step]
    if not paths:
        there = ", ".join(map(str, steps(directory))) or "none"
        raise CheckpointError(f"no checkpoint of step {step} in {directory}; there are: {there}")
    try:
        return _read(paths[0])[1]
    except (OSError, ValueError, RuntimeError, UnpicklingError) as error:
        raise CheckpointError(f"the checkpoint {paths[0]} cannot be used: {error}") from None


def plain(state: Mapping[str, Any]) -> str:
    """The state of a numpy bit generator (integers of any size, arrays) as one plain value, for a checkpoint."""
    return json.dumps(state, default=lambda array: {_ARRAY: array.dtype.name, "is": array.tolist()})


def unplain(text: str) -> dict[str, Any]:
    """What `plain` was given."""

    def restore(value: dict[str, Any]) -> Any:
        return np.array(value["is"], value[_ARRAY]) if _ARRAY in value else value

    return cast("dict[str, Any]", json.loads(text, object_hook=restore))


def _check_plain(value: Any, name: str) -> None:
    """Raises TypeError, with the place, at anything that could not be read back without executing code."""
    if isinstance(value, torch.Tensor) or type(value) in _PLAIN:
        return
    if type(value) in (list, tuple):
        for i, item in enumerate(value):
            _check_plain(item, f"{name}[{i}]")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if type(key) not in (str, int):
                raise TypeError(f"{name}: a key must be a str or an int, got {key!r} of {type(key).__name__}")
            _check_plain(item, f"{name}.{key}")
    else:
        raise TypeError(
            f"{name} must be a tensor or a plain value, got {type(value).__name__}; "
            f"convert arrays with torch.from_numpy and numpy's numbers with .item()"
        )


# -- Writing -------------------------------------------------------------------------------------------------------


class _HashingFile:
    """A file that knows the SHA-256 of what was written to it, and why writing failed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            self.error = error
            raise
        self._hash.update(data)
        self._size += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def entry(self) -> dict[str, Any]:
        return {"bytes": self._size, "sha256": self._hash.hexdigest()}


def _write_part(path: Path, value: Any) -> dict[str, Any]:
    """Writes one part, to the disk; its entry in the manifest."""
    with path.open("wb") as file:
        hashing = _HashingFile(file)
        try:
            torch.save(_as_dicts(value), cast("IO[bytes]", hashing))
        except RuntimeError:
            # What torch makes of a full disk ("unexpected pos"); any other error of its own is one of the program.
            if hashing.error is not None:
                raise hashing.error from None
            raise
        file.flush()
        os.fsync(file.fileno())
    return hashing.entry()


def _as_dicts(value: Any) -> Any:
    """Mappings as plain dicts, and tensors as detached ones on the CPU that own no more than they show."""
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        return tensor.clone() if tensor.untyped_storage().nbytes() > tensor.nbytes else tensor
    if isinstance(value, Mapping):
        return {key: _as_dicts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_as_dicts(item) for item in value)
    return value


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _manifest(step: int, files: dict[str, Any]) -> bytes:
    """The one text of a manifest; `sha256` is that of the text without it."""
    content: dict[str, Any] = {"files": files, "format": _FORMAT, "step": step}
    content["sha256"] = hashlib.sha256(_json(content)).hexdigest()
    return _json(content)


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, indent=1).encode() + b"\n"


def _put_in_place(unfinished: Path, final: Path) -> None:
    """Renames, and replaces a checkpoint of the same step so that one of the two is there at every moment."""
    old = final.with_name(f"{final.name}.old")
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
    unfinished.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(directory: Path) -> None:
    """Removes what a killed save left unfinished."""
    for path in directory.glob("step-*.tmp"):
        shutil.rmtree(path)


def _prune(directory: Path, step: int, keep: int) -> None:
    """Removes all but the newest `keep`, and sets aside those beyond `step`: a resume went back over them."""
    found = _checkpoints(directory)
    for path in [path for path in found if _step_of(path) > step]:
        aside = path.with_name(f"{path.name}.aside")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        _log.warning("%s is newer than the run, which went on from an older one; set aside as %s", path, aside.name)
    for path in [path for path in found if _step_of(path) <= step][keep:]:
        removed = path.with_name(f"{path.name}.tmp")  # never seen as a damaged checkpoint
        shutil.rmtree(removed, ignore_errors=True)
        path.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """A rename lasts when its folder is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- Reading -------------------------------------------------------------------------------------------------------


def _checkpoints(directory: Path) -> list[Path]:
    """Finished checkpoints, the newest first."""
    found = [path for path in directory.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: (_step_of(path), path.suffix != ".old"), reverse=True)


def _step_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _read(path: Path) -> tuple[int, dict[str, Any]]:
    """A checkpoint's step and state; raises ValueError or OSError where it is damaged."""
    text = (path / _MANIFEST).read_bytes()
    manifest = json.loads(text)
    # The text is rebuilt from its content and compared, so that no byte of it can differ unseen.
    if not isinstance(manifest, dict) or text != _manifest(manifest.get("step", -1), manifest.get("files", {})):
        raise ValueError("its manifest is damaged, or of another format")
    if manifest["step"] != _step_of(path):
        raise ValueError(f"it is of step {manifest['step']}")
    contents = {}
    for name, entry in manifest["files"].items():
        if not _PART.fullmatch(name.removesuffix(".pt")):
            raise ValueError(f"its manifest names {name!r}, which is no part's file")
        content = (path / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ValueError(f"{name} is damaged: its SHA-256 is not that of the manifest")
        contents[name] = content
    return manifest["step"], {
        name.removesuffix(".pt"): torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        for name, content in contents.items()
    }
