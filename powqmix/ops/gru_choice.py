"""Which GRU takes a GPU's tensors where nobody says: the faster one there, after both were seen to agree."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

log = logging.getLogger("powqmix.ops")

STEPS, CALLS = 32, 5  # of a trial: steps of its sequences, calls that are timed after one that warms up
MARGIN = 0.8  # cuDNN is taken if it needs less than this part of the fused kernels' time: near a tie all runs do alike
TOLERANCE, TOLERANCE_TF32 = 1e-3, 2e-2  # between the two, relative to the largest number of a tensor

Gru = Callable[..., tuple[Tensor, Tensor]]  # of x, h0, w_ih, w_hh, b_ih, b_hh
_choices: dict[tuple[torch.device, int, int, int], bool] = {}


def fused_is_better(x: Tensor, h0: Tensor, fused: Gru, library: Gru) -> bool:
    """Whether x [.., T, .., I] and h0 [R, H], on a GPU, should go to `fused` and not to `library`.

    Tried once in a process for each device, I, H and power of two of R, on numbers of its own. While a graph is
    captured nothing can be tried: `library`, and nothing is remembered. Should the two differ or `fused` fail, that is
    logged as a warning, and `library` taken.
    """
    if x.numel() == 0:
        return False
    rows, hidden = h0.shape
    key = (x.device, x.shape[-1], hidden, (rows - 1).bit_length())
    if key not in _choices:
        if torch.cuda.is_current_stream_capturing():
            return False
        _choices[key] = _try(x.device, rows, x.shape[-1], hidden, fused, library)
    return _choices[key]


@torch.enable_grad()
def _try(device: torch.device, rows: int, inputs: int, hidden: int, fused: Gru, library: Gru) -> bool:
    generator = torch.Generator(device).manual_seed(0)
    scale = hidden**-0.5
    shapes = [
        ((rows, STEPS, inputs), 1.0), ((rows, hidden), 1.0), ((3 * hidden, inputs), scale),
        ((3 * hidden, hidden), scale), ((3 * hidden,), scale), ((3 * hidden,), scale),
    ]  # fmt: skip
    drawn = [size * torch.randn(shape, generator=generator, device=device) for shape, size in shapes]
    leaves = [tensor.requires_grad_() for tensor in drawn]

    def call(gru: Gru) -> list[Tensor]:
        out, _ = gru(*leaves)
        return [out.detach(), *torch.autograd.grad(out.square().sum(), leaves)]

    name = f"GRU of {hidden} units, {rows} rows, on {device}"
    try:
        tolerance = TOLERANCE_TF32 if torch.backends.cudnn.allow_tf32 else TOLERANCE
        for one, other in zip(call(fused), call(library), strict=True):
            apart = float((one - other).abs().max() / other.abs().max().clamp(min=1.0))
            if not apart <= tolerance:  # NaN is not
                log.warning("%s: the fused kernels and cuDNN are %.1e apart, a fault; cuDNN is taken", name, apart)
                return False
        ours, theirs = milliseconds(lambda: call(fused)), milliseconds(lambda: call(library))
    except RuntimeError as error:
        log.warning("%s: the fused kernels cannot be tried (%s); cuDNN is taken", name, error)
        return False
    better = theirs >= MARGIN * ours
    log.info(
        "%s: %s (%d steps and back: fused kernels %.2f ms, cuDNN %.2f ms; POWQMIX_GRU=fused or cudnn would decide)",
        name, "the fused kernels" if better else "cuDNN", STEPS, ours, theirs,
    )  # fmt: skip
    return better


def milliseconds(call: Callable[[], object]) -> float:
    """The device's time for a call, in the mean of some."""
    call()
    started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    started.record()
    for _ in range(CALLS):
        call()
    ended.record()
    ended.synchronize()
    return float(started.elapsed_time(ended)) / CALLS
