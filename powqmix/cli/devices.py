"""Which device a run learns on: what the flags ask for, checked before anything is written."""

from __future__ import annotations

import ctypes

import powqmix._C as _C
from powqmix.config import Config, ConfigError


def cuda_device_count() -> int:
    """CUDA devices that this Python can use. torch, slow to import, is asked only if there is a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def resolve_device(configured: str, gpu: int | None, device: str | None) -> tuple[str, str]:
    """The device's name for torch, and one line that says it. Raises ConfigError with the remedy."""
    if gpu is not None and device is not None:
        raise ConfigError(f"--gpu {gpu} and --device {device} say the same thing; give one of them")
    if gpu is not None and gpu < 0:
        raise ConfigError(f"--gpu is the index of a CUDA device, 0 or above; got {gpu}")
    wanted = f"cuda:{gpu}" if gpu is not None else device or configured
    if wanted == "cpu":
        return "cpu", "learning on the CPU"
    if wanted != "auto" and not (wanted == "cuda" or wanted.removeprefix("cuda:").isdecimal()):
        raise ConfigError(f"--device must be cpu, cuda or cuda:<index>, got {wanted!r}")
    count = cuda_device_count()
    if wanted == "auto":
        if count == 0:
            return "cpu", "learning on the CPU: no CUDA device was found"
        return "cuda:0", "learning on cuda:0"
    index = int(wanted.removeprefix("cuda:")) if ":" in wanted else 0
    if count == 0:
        flag = f"--gpu {gpu}" if gpu is not None else f"device {wanted}"
        raise ConfigError(f"{flag}: no CUDA device can be used here; learn on the CPU with --device cpu")
    if index >= count:
        raise ConfigError(f"there is no cuda:{index}, only {count} (cuda:0 .. cuda:{count - 1}); or use --device cpu")
    return f"cuda:{index}", f"learning on cuda:{index}"


def settle_device(config: Config, gpu: int | None, device: str | None) -> tuple[str, str]:
    """As `resolve_device`, for a run with `config`: the line says its precision too.

    Raises ConfigError where the configuration asks for what this device cannot do.
    """
    name, note = resolve_device(config.device, gpu, device)
    if name == "cpu" and config.replay.device_copy == "on":
        raise ConfigError("replay.device_copy=on needs a CUDA device; use auto or off")
    return name, note + _precision_note(config.training.precision, name)


def _precision_note(precision: str, device: str) -> str:
    if precision == "tf32" and device == "cpu":
        raise ConfigError("training.precision=tf32 needs a CUDA device; use float32 or bfloat16")
    if precision == "bfloat16" and device == "cpu" and not _C.has_bfloat16():
        return ", in bfloat16, which is slower here than float32: this processor has no instructions for it"
    return "" if precision == "float32" else f", in {precision}"
