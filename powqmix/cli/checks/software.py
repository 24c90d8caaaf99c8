"""What is installed: Python, packages, the native core, compilers, StarCraft II."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

from powqmix.envs.smac_installation import SMAC, SMACV2, NotInstalled, require_package

from .finding import MISSING, OK, WRONG, Finding, output

# Import names where they differ from those of the packages.
PACKAGES = {
    "torch": "torch", "numpy": "numpy", "msgspec": "msgspec", "pyyaml": "yaml", "psutil": "psutil", "rich": "rich",
    "tyro": "tyro", "matplotlib": "matplotlib", "pillow": "PIL",
}  # fmt: skip
BUILD = "build it from the source folder: pip install -e . (POWQMIX_CUDA=OFF before it leaves CUDA out)"


def python() -> Finding:
    version = platform.python_version()
    return Finding("python", OK, f"{version} on {platform.system()} {platform.machine()}", required=True)


def package(name: str) -> Finding:
    """Imports it: a package that is there but built for another numpy or libc fails only then."""
    try:
        importlib.import_module(PACKAGES[name])
    except ImportError as error:
        there = isinstance(error, ModuleNotFoundError) and error.name == PACKAGES[name]
        return Finding(name, MISSING if there else WRONG, str(error), f"pip install --upgrade {name}", required=True)
    return Finding(name, OK, metadata.version(name), required=True)


def pyzmq() -> Finding:
    try:
        import zmq
    except ImportError as error:
        return Finding("pyzmq", MISSING, str(error), "pip install --upgrade pyzmq", required=True)
    return Finding("pyzmq", OK, f"{zmq.__version__}, libzmq {zmq.zmq_version()}", required=True)


def extension() -> Finding:
    """The native core, and whether its kernels run on the GPU that is there."""
    try:
        import powqmix._C as core
    except ImportError as error:
        return Finding("extension", MISSING, str(error), BUILD, required=True)
    if not core.with_cuda:
        return Finding("extension", OK, "built for the CPU, without CUDA kernels", required=True)
    return Finding("extension", OK, f"built with CUDA kernels for {core.cuda_architectures}", required=True)


def compiler() -> list[Finding]:
    """What building the extension takes; a built one does not need them."""
    name = os.environ.get("CXX") or "c++"
    version = output(name, "--version")
    remedy = "apt-get install g++ (Debian, Ubuntu), or name one with CXX; needed to build only"
    found = [Finding("compiler", OK, version.splitlines()[0]) if version else _missing("compiler", name, remedy)]
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    release = [line for line in output(nvcc, "--version").splitlines() if "release" in line]
    remedy = "install the CUDA toolkit, or set CUDACXX; needed to build CUDA kernels only"
    found.append(Finding("nvcc", OK, release[0].strip()) if release else _missing("nvcc", nvcc, remedy))
    return found


def _missing(name: str, looked_for: str, remedy: str) -> Finding:
    return Finding(name, MISSING, f"{looked_for} was not found", remedy)


def starcraft() -> list[Finding]:
    """StarCraft II and its Python side, for the environments smac/<map> and smacv2/<map> only."""
    place = Path(os.environ.get("SC2PATH", "~/StarCraftII")).expanduser()
    versions = sorted(path.name for path in (place / "Versions").glob("Base*"))
    remedy = "install StarCraft II 4.10 and set SC2PATH to its folder; needed for smac/<map> only"
    if versions:
        found = [Finding("StarCraft II", OK, f"{', '.join(versions)} in {place}")]
    elif "SC2PATH" in os.environ:
        found = [Finding("StarCraft II", WRONG, f"SC2PATH is {place}, which has no Versions/Base*", remedy)]
    else:
        found = [Finding("StarCraft II", MISSING, f"not in {place}, and SC2PATH is not set", remedy)]
    for package in (SMAC, SMACV2):
        try:
            require_package(package)
        except NotInstalled as error:
            found.append(Finding(package.name, MISSING, str(error), f"needed for {package.name}/<map> only"))
        else:
            found.append(Finding(package.name, OK, metadata.version(package.name)))
    return found
