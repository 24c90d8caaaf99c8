"""Builds the extension `powqmix._C` with CMake and Ninja; everything else is in pyproject.toml.

POWQMIX_CUDA=AUTO|ON|OFF chooses CUDA (AUTO: where nvcc is found); POWQMIX_CUDA_ARCHITECTURES the chips ("80;90").
POWQMIX_CMAKE_ARGS is passed on to CMake, POWQMIX_BUILD_TYPE is Release unless set.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def tool(name: str) -> str:
    """Path of a build tool: the one beside this interpreter (build isolation) before the one on PATH."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} was not found; install it with: pip install {name}")
    return found


class CMakeBuild(build_ext):
    """One CMake project gives one extension module."""

    def build_extension(self, ext: Extension) -> None:
        import pybind11

        cuda = os.environ.get("POWQMIX_CUDA", "AUTO").upper()
        if cuda not in ("AUTO", "ON", "OFF"):
            raise RuntimeError(f"POWQMIX_CUDA is {cuda!r}; it must be AUTO, ON or OFF")
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = Path(self.build_temp).resolve() / "cmake"
        build.mkdir(parents=True, exist_ok=True)
        cmake = tool("cmake")
        configure = [
            cmake, "-S", str(ROOT), "-B", str(build), "-G", "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}",
            f"-DCMAKE_BUILD_TYPE={os.environ.get('POWQMIX_BUILD_TYPE', 'Release')}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DPOWQMIX_CUDA={cuda}",
            f"-DPOWQMIX_OUTPUT_NAME={target.name}",
            f"-DPOWQMIX_OUTPUT_DIRECTORY={target.parent}",
            *shlex.split(os.environ.get("POWQMIX_CMAKE_ARGS", "")),
        ]  # fmt: skip
        architectures = os.environ.get("POWQMIX_CUDA_ARCHITECTURES")
        if architectures:
            configure.append(f"-DCMAKE_CUDA_ARCHITECTURES={architectures}")
        # A build folder of another interpreter or build environment (pip's isolated one) keeps stale tool paths.
        (build / "CMakeCache.txt").unlink(missing_ok=True)
        subprocess.run(configure, check=True)
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
        subprocess.run([cmake, "--build", str(build), "--parallel", jobs], check=True)


setup(ext_modules=[Extension("powqmix._C", sources=[])], cmdclass={"build_ext": CMakeBuild})
