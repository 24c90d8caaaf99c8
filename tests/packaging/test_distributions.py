"""What is shipped: the sdist holds all that a build needs, and the wheel built from it all that a run needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info", "-e", str(folder), "sdist", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (archive,) = folder.glob("*.tar.gz")
    return archive


def test_the_sdist_holds_the_native_sources_and_both_programs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for wanted in (
        "CMakeLists.txt", "setup.py", "pyproject.toml", "LICENSE", "csrc/bindings/module.cpp",
        "csrc/include/powqmix/random.h", "csrc/cpu/dense.inc", "powqmix/presets/predator_prey.yaml",
        "powqmix/actors/__main__.py", "powqmix/learner/__main__.py",
    ):  # fmt: skip
        assert wanted in names, wanted
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


@pytest.mark.timeout(1200)  # it compiles everything
def test_a_wheel_built_from_the_sdist_runs_by_itself(sdist: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, sdist],
        check=True, env=os.environ | {"POWQMIX_CUDA": "OFF"},
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    assert any(name.startswith("powqmix/_C.") for name in names)
    assert not [name for name in names if name.startswith(("actors/", "learner/", "tests/", "csrc/"))]
    code = (
        "import powqmix, powqmix.actors.service, powqmix.learner.service; from powqmix import config, envs; "
        "config.resolve('predator_prey', preset='demo'); envs.make('predator_prey').reset(); print(powqmix.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
