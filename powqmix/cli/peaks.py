"""What the machine can do at best, measured beside everything else: multiply-adds in a matrix product, and copying."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PROBE_S = 0.3
PRODUCT_SIZE = 1024
COPY_BYTES = 2**26  # more than caches hold

_ONE_CORE_PROBE = """
import time, numpy
a = numpy.ones((192, 192), numpy.float32)
best, end = 1.0, time.perf_counter() + 0.3
while time.perf_counter() < end:
    start = time.perf_counter()
    a @ a
    best = min(best, time.perf_counter() - start)
print(192**3 / best / 1e9)
"""


def one_core_gmacs() -> float:
    """10^9 multiply-adds a second of one thread, in numpy's product of float32 matrices that fit in the caches."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", _ONE_CORE_PROBE], check=True, capture_output=True, text=True, env=os.environ | one_thread
    )
    return float(done.stdout)


def device_peaks(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """`gflops` of torch's matrix product in `dtype` and `copy_gb_per_second` (bytes copied), with torch's threads."""
    import torch

    synchronise: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    left, right, product = (torch.ones(PRODUCT_SIZE, PRODUCT_SIZE, device=device, dtype=dtype) for _ in range(3))
    source = torch.ones(COPY_BYTES // 4, device=device)
    copy = torch.empty_like(source)

    def best_s(body: object, *arguments: object, **keywords: object) -> float:
        best, end = float("inf"), time.perf_counter() + PROBE_S
        while time.perf_counter() < end:
            start = time.perf_counter()
            body(*arguments, **keywords)  # type: ignore[operator]
            synchronise()
            best = min(best, time.perf_counter() - start)
        return best

    with torch.no_grad():
        product_s, copy_s = best_s(torch.mm, left, right, out=product), best_s(copy.copy_, source)
    return {"gflops": 2e-9 * PRODUCT_SIZE**3 / product_s, "copy_gb_per_second": 1e-9 * COPY_BYTES / copy_s}
