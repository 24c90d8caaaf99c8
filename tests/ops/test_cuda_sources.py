"""The CUDA sources compile for the architectures that are shipped; no GPU is needed for that."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not on the PATH")
@pytest.mark.parametrize("architecture", ["80", "90"])
def test_every_kernel_compiles(architecture: str, tmp_path: Path) -> None:
    sources = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
    assert sources
    for source in sources:
        done = subprocess.run(
            [
                "nvcc", "-std=c++17", "-gencode", f"arch=compute_{architecture},code=sm_{architecture}",
                "-Werror", "all-warnings", "-I", ROOT / "csrc" / "include", "-I", ROOT / "csrc",
                "-c", source, "-o", tmp_path / "out.o",
            ],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
