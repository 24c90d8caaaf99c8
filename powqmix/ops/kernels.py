"""From tensors to kernels: what every op does before and around its call into powqmix._C."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import powqmix._C as _C

HAS_CUDA: bool = _C.with_cuda
MOST_ACTIONS: int = _C.most_actions


def kernel(name: str, tensor: Tensor) -> Callable[..., Any]:
    """The kernel `name` for the device of `tensor`. Raises RuntimeError, with the remedy, where none was compiled."""
    if tensor.is_cuda:
        if not HAS_CUDA:
            raise RuntimeError(
                f"powqmix was built without CUDA kernels, so {name} cannot take tensors on {tensor.device}; build it "
                "where nvcc is on the PATH (POWQMIX_CUDA=ON pip install --force-reinstall .), or use --device cpu"
            )
        launch: Callable[..., Any] = getattr(_C, f"cuda_{name}")
        return launch if tensor.device.index == torch.cuda.current_device() else _on_device(tensor.device, launch)
    return getattr(_C, f"cpu_{name}")  # type: ignore[no-any-return]


def has_kernel(name: str, tensor: Tensor) -> bool:
    """Whether there is a kernel `name` for the device of `tensor`."""
    return hasattr(_C, f"{'cuda' if tensor.is_cuda else 'cpu'}_{name}")


def _on_device(device: torch.device, launch: Callable[..., Any]) -> Callable[..., Any]:
    """`launch` where another device than the current one holds the tensors."""

    def guarded(*arguments: Any) -> Any:
        with torch.cuda.device(device):
            return launch(*arguments)

    return guarded


def runner(tensor: Tensor) -> int:
    """Where its kernels run: the current stream of its device, or how many threads of the CPU they may take."""
    return torch.cuda.current_stream(tensor.device).cuda_stream if tensor.is_cuda else torch.get_num_threads()


_checks_values = False


@contextlib.contextmanager
def debug_checks() -> Iterator[None]:
    """Within it, ops also look at values: NaN, infinity or an action out of range raise ValueError, named and placed.

    Padding may hold anything and is not looked at. Each check reads the tensor and waits for the device: for finding a
    fault, not for training.
    """
    global _checks_values
    before, _checks_values = _checks_values, True
    try:
        yield
    finally:
        _checks_values = before


def check(
    name: str,
    tensor: Tensor,
    letters: str,
    shape: tuple[int, ...],
    like: Tensor,
    dtype: torch.dtype,
    *,
    where: Tensor | None = None,
    below: int | None = None,
) -> None:
    """Raises ValueError unless `tensor` has this shape (`letters` names it) and dtype, on the device of `like`.

    Within `debug_checks` also unless its values are finite where `where` (of leading axes) is not 0, and, if `below` is
    given, from 0 to below - 1.
    """
    if tensor.shape != shape:
        raise ValueError(f"{name} must be [{letters}] = {list(shape)}, got shape {list(tensor.shape)}")
    if tensor.dtype != dtype:
        raise ValueError(f"{name} must be {dtype}, got {tensor.dtype}")
    if tensor.device != like.device:
        raise ValueError(f"{name} must be on {like.device} as the others are, got {tensor.device}")
    if _checks_values and direct():
        _check_values(name, tensor, where, below)


def _check_values(name: str, tensor: Tensor, where: Tensor | None, below: int | None) -> None:
    wrong = ~tensor.isfinite() if below is None else (tensor < 0) | (tensor >= below)
    if where is not None:
        wrong &= (where != 0).view(where.shape + (1,) * (tensor.dim() - where.dim()))
    places = wrong.nonzero()
    if len(places):
        place, wanted = places[0].tolist(), "finite" if below is None else f"from 0 to {below - 1}"
        raise ValueError(
            f"{name} must be {wanted}, got {tensor[tuple(place)].item()} at {place} ({len(places)} such values)"
        )


def check_rank(name: str, tensor: Tensor, letters: str) -> None:
    """Raises ValueError unless `tensor` has as many axes as `letters` names."""
    if tensor.dim() != len(letters.split(", ")):
        raise ValueError(f"{name} must be [{letters}], got shape {list(tensor.shape)}")


def direct() -> bool:
    """Whether to call kernels from a plain autograd.Function: a registered op costs several times as much a call.

    Compilers trace the registered op instead.
    """
    return not torch.compiler.is_compiling()
