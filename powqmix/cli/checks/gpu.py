"""The GPU as the driver, torch and the extension see it."""

from __future__ import annotations

from .finding import MISSING, OK, WRONG, Finding, output, size


def gpu() -> list[Finding]:
    """The driver's view, torch's view, and whether the extension's kernels fit."""
    driver = output("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    try:
        import torch
    except ImportError:
        return []  # said by its own line
    if not torch.cuda.is_available():
        if not driver:
            return [Finding("gpu", MISSING, "no NVIDIA GPU; training runs on the CPU (--device cpu)")]
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        remedy = "install a torch built for this driver's CUDA: https://pytorch.org/get-started/locally"
        return [Finding("gpu", WRONG, f"{driver.splitlines()[0]}; torch cannot use it, it is {built}", remedy)]
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        major, minor = torch.cuda.get_device_capability(index)
        text = (
            f"{torch.cuda.get_device_name(index)}, compute {major}.{minor}, {size(free)} of {size(total)} free, "
            f"torch's CUDA {torch.version.cuda}"
        )
        versions = [line.split(",")[1].strip() for line in driver.splitlines() if line.count(",") >= 2]
        if versions:
            text += f", driver {versions[min(index, len(versions) - 1)]}"
        found.append(_kernels_fit(f"gpu {index}", text, 10 * major + minor))
    return found


def _kernels_fit(name: str, text: str, capability: int) -> Finding:
    try:
        import powqmix._C as core
    except ImportError:
        return Finding(name, OK, text)
    if not core.with_cuda:
        remedy = "rebuild with CUDA kernels: POWQMIX_CUDA=ON pip install -e . (needs nvcc)"
        return Finding(name, WRONG, f"{text}; the extension has no CUDA kernels", remedy)
    if not runs_on(core.cuda_architectures, capability):
        remedy = f"rebuild: POWQMIX_CUDA=ON POWQMIX_CUDA_ARCHITECTURES={capability} pip install -e ."
        return Finding(name, WRONG, f"{text}; the extension has kernels for {core.cuda_architectures} only", remedy)
    return Finding(name, OK, text)


def runs_on(architectures: str, capability: int) -> bool:
    """Whether kernels built for `architectures` ("80-real 90") run on a GPU of compute capability 10 major + minor.

    Machine code (-real, or no suffix) runs on the same major version from its minor on; what has no -real holds PTX
    too, from which the driver makes code for any newer GPU.
    """
    for text in architectures.split():
        number, _, kind = text.partition("-")
        built = int("".join(character for character in number if character.isdigit()) or 10**6)
        if kind != "virtual" and built // 10 == capability // 10 and built <= capability:
            return True
        if kind != "real" and number.isdigit() and built <= capability:
            return True
    return False
