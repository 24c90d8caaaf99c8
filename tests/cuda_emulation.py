"""The CUDA kernels on a CPU: csrc/cuda compiled by a C++ compiler, on emulated grids (csrc/emulation/grid.h).

Their text is what a GPU runs. Barriers, shuffles and shared memory are emulated; threads take turns in an order that a
test chooses. What a GPU refuses is an error here too. Speed is not emulated, nor a weak order of writes to memory.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from powqmix.ops import kernels

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
FOLDERS = (CSRC, CSRC / "include")
# Packs of floats at odd addresses stop a GPU, and so they do here: a trap, which needs no library. `make sanitize` has
# another sanitizer.
SANITIZERS = os.environ.get("POWQMIX_SANITIZE", "alignment,bounds")
FLAGS = (
    "-std=c++17", "-O1", "-g1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off",
    "-DPOWQMIX_CUDA_EMULATION", f"-fsanitize={SANITIZERS}", "-fsanitize-undefined-trap-on-error",
)  # fmt: skip


GPU = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")],
)
# For tests of what only CUDA has; `device` of tests/conftest.py by itself is also the CPU's own kernels.
WHERE_THERE_IS_CUDA = pytest.mark.parametrize("device", ["emulated", GPU], indirect=True)


@cache
def library() -> ModuleType:
    """The module `cuda_emulation`: what powqmix._C has of CUDA, by the same names."""
    import pybind11

    built = build(
        "cuda_emulation", [*sorted(CSRC.glob("cuda/*.c*")), *sorted(CSRC.glob("emulation/*.cpp"))],
        [pybind11.get_include(), sysconfig.get_path("include")],
    )  # fmt: skip
    spec = importlib.util.spec_from_file_location("cuda_emulation", built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(name: str, sources: Sequence[Path], includes: Sequence[str] = ()) -> Path:
    """A shared library of these sources, built under build/ when they or any header have changed."""
    command = (*shlex.split(os.environ.get("CXX", "c++")), *FLAGS, *(f"-I{folder}" for folder in (*FOLDERS, *includes)))
    text = b"".join(path.read_bytes() for path in (*sources, *sorted(CSRC.rglob("*.h")), *sorted(CSRC.rglob("*.inc"))))
    folder = ROOT / "build" / "cuda_emulation" / hashlib.sha256(text + repr(command).encode()).hexdigest()[:16]
    built = folder / f"{name}.so"
    if built.exists():
        return built
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = [Path(scratch) / f"{source.name}.o" for source in sources]
        list(pool.map(lambda source, to: _run(*command, "-x", "c++", "-c", source, "-o", to), sources, objects))
        linked = Path(scratch) / built.name
        _run(*command, "-shared", *objects, "-o", linked)
        linked.replace(built)
    return built


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(map(str, command))}:\n{done.stderr}")


class CudaKernelsForTheCpu:
    """In the place of powqmix._C: `cpu_select_q` is the emulated `cuda_select_q`."""

    def __init__(self, emulated: ModuleType) -> None:
        self._emulated = emulated

    def __getattr__(self, name: str) -> Any:
        return getattr(self._emulated, name.replace("cpu_", "cuda_", 1))


def use(monkeypatch: pytest.MonkeyPatch, order: int = 0) -> None:
    """From here on ops on CPU tensors run the emulated CUDA kernels; `order` as in csrc/emulation/grid.h."""
    emulated = library()
    emulated.set_order(order)
    monkeypatch.setattr(kernels, "_C", CudaKernelsForTheCpu(emulated))


def act_as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the learner takes the routes of CUDA with CPU tensors: its kernels emulated, no native CPU code.

    The GRU is the library's: there is no clock to try it against the fused one.
    """
    monkeypatch.setenv("POWQMIX_GRU", "cudnn")
    monkeypatch.setattr(kernels, "_C", library())
    monkeypatch.setattr(kernels, "HAS_CUDA", True)
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda _: True))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: None)  # the index of a CPU tensor's device
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: SimpleNamespace(cuda_stream=0))
