"""What results say of the machine that they are from."""

from __future__ import annotations

import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
# What kernels are chosen by, widest first: the flag's name, and the usual one.
INSTRUCTIONS = (("avx512_bf16", "AVX-512 BF16"), ("avx512f", "AVX-512"), ("avx2", "AVX2"))


def processor() -> str:
    """The processor's name and its widest vector instructions, as in "AMD EPYC (AVX2)"; what is known elsewhere."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    model, flags = found.get("model name") or platform.machine(), found.get("flags", "").split()
    return next((f"{model} ({usual})" for flag, usual in INSTRUCTIONS if flag in flags), model)
