"""`powqmix doctor`: what is broken is found and decides the exit code; what is optional does not."""

from __future__ import annotations

import fcntl
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import powqmix._C
import pytest
import torch

from powqmix.cli import doctor
from powqmix.cli.checks import MISSING, OK, WRONG, Finding, gpu, machine, software, working

if TYPE_CHECKING:
    from .conftest import Command


def test_report_of_this_machine_says_that_training_works(command: Command) -> None:
    result = command("doctor", "--json")
    report = result.json
    assert (result.code, report["works"]) == (0, True)
    found = {check["name"]: check for check in report["checks"]}
    for name in ("python", "torch", "numpy", "pyzmq", "msgspec", "extension", "ipc", "training", "disk"):
        assert (name, found[name]["status"]) == (name, OK)
        assert found[name]["required"]
    for name in ("gpu", "gpu 0"):
        assert not found.get(name, {"required": False})["required"]
    for check in report["checks"]:
        assert check["status"] in (OK, MISSING, WRONG)
        assert check["text"]


def checks_of(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    monkeypatch.setattr(doctor, "all_checks", lambda folder: [lambda f=f: f for f in findings])


def test_a_missing_requirement_exits_with_1_and_shows_the_remedy(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks_of(monkeypatch, Finding("one", OK, "fine"), Finding("two", MISSING, "is not there", "get it", required=True))
    result = command("doctor")
    assert result.code == 1
    assert "missing two" in result.out
    assert "-> get it" in result.out
    assert "training does not work yet: two" in result.out


def test_something_optional_missing_or_wrong_exits_with_0(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    checks_of(monkeypatch, Finding("gpu", WRONG, "too old", "a newer one"), Finding("smac", MISSING, "not there"))
    result = command("doctor")
    assert result.code == 0
    assert "wrong   gpu" in result.out
    assert "training works" in result.out


def test_folder_that_is_not_there_exits_with_2(command: Command, tmp_path: Path) -> None:
    assert command("doctor", "--folder", tmp_path / "no").code == 2


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        ("80-real 90", 80, True),
        ("80-real 90", 86, True),  # the same major version
        ("80-real 90", 75, False),
        ("80-real 90", 90, True),
        ("80-real 90", 120, True),  # from the PTX of 90
        ("80-real 90-real", 120, False),
        ("80-real 90-real", 89, True),
        ("90a", 90, True),
        ("90a", 100, False),  # code for one chip promises nothing for another
        ("70-virtual", 90, True),
        ("", 90, False),
    ],
)
def test_kernels_run_where_their_code_or_ptx_fits(architectures: str, capability: int, runs: bool) -> None:
    assert gpu.runs_on(architectures, capability) is runs


def test_package_that_is_not_installed_is_missing_and_a_broken_one_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "brokenpackage.py").write_text("raise ImportError('built for another numpy')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(software.PACKAGES, "absent", "no_such_package_at_all")
    monkeypatch.setitem(software.PACKAGES, "broken", "brokenpackage")
    absent, broken = software.package("absent"), software.package("broken")
    assert (absent.status, absent.remedy) == (MISSING, "pip install --upgrade absent")
    assert (broken.status, broken.text) == (WRONG, "built for another numpy")
    assert absent.required
    assert broken.required


def test_missing_extension_is_found_with_the_command_that_builds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "powqmix._C", None)
    monkeypatch.delattr("powqmix._C", raising=False)
    found = software.extension()
    assert (found.status, found.required) == (MISSING, True)
    assert "pip install -e ." in found.remedy


def test_starcraft_is_looked_for_where_sc2path_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SC2PATH", str(tmp_path))
    assert software.starcraft()[0].status == WRONG
    (tmp_path / "Versions" / "Base75689").mkdir(parents=True)
    found = software.starcraft()[0]
    assert found.status == OK
    assert "Base75689" in found.text
    monkeypatch.delenv("SC2PATH")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert software.starcraft()[0].status == MISSING


def test_compilers_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    monkeypatch.setenv("CUDACXX", str(tmp_path / "no-nvcc"))
    for found in software.compiler():
        assert found.status == MISSING
        assert str(tmp_path) in found.text
        assert not found.required


def test_low_limit_of_open_files_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    found = machine.open_files()
    assert (found.status, found.remedy) == (WRONG, "ulimit -n 1024 (at most 4096)")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert machine.open_files().status == OK


def test_small_or_absent_shared_memory_has_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: machine.shutil._ntuple_diskusage(64e6, 0, 64e6))
    found = machine.shared_memory(tmp_path)
    assert found.status == WRONG
    assert "--shm-size" in found.remedy
    assert machine.shared_memory(tmp_path / "no").status == MISSING


def test_messages_that_do_not_come_back_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    found = working.round_trip(rounds=3)
    assert found.status == OK
    monkeypatch.setattr(working.tempfile, "TemporaryDirectory", _unwritable)
    found = working.round_trip(rounds=3)
    assert (found.status, found.required) == (WRONG, True)
    assert "TMPDIR" in found.remedy


def _unwritable(prefix: str) -> None:
    raise PermissionError(13, f"no right to make {prefix}")


def test_failing_update_is_a_finding_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> tuple[float, str]:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(working, "_train_once", fails)
    found = working.training_step()
    assert (found.status, found.required) == (WRONG, True)
    assert "no kernel image" in found.text


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, *, usable: bool, with_cuda: bool = True, built: str = "90") -> None:
    """A machine with one GPU of compute capability 9.0, whatever this one has."""
    monkeypatch.setattr(gpu, "output", lambda *command: "NVIDIA H100, 580.65.06, 81559 MiB")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (60e9, 80e9))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "NVIDIA H100")
    monkeypatch.setattr(powqmix._C, "with_cuda", with_cuda)
    monkeypatch.setattr(powqmix._C, "cuda_architectures", built)


def test_usable_gpu_is_reported_with_memory_and_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(monkeypatch, usable=True)
    (found,) = gpu.gpu()
    assert (found.name, found.status) == ("gpu 0", OK)
    for part in ("NVIDIA H100", "compute 9.0", "60.0 GB of 80.0 GB free", "driver 580.65.06"):
        assert part in found.text


@pytest.mark.parametrize(
    ("machine", "remedy"),
    [
        ({"usable": False}, "install a torch built for this driver"),
        ({"usable": True, "with_cuda": False}, "POWQMIX_CUDA=ON pip install"),
        ({"usable": True, "built": "70-real"}, "POWQMIX_CUDA_ARCHITECTURES=90"),
    ],
)
def test_gpu_that_is_there_but_not_used_is_wrong(
    monkeypatch: pytest.MonkeyPatch, machine: dict[str, Any], remedy: str
) -> None:
    pretend_gpu(monkeypatch, **machine)
    (found,) = gpu.gpu()
    assert (found.status, found.required) == (WRONG, False)
    assert remedy in found.remedy


def test_machine_without_a_gpu_is_not_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(monkeypatch, usable=False)
    monkeypatch.setattr(gpu, "output", lambda *command: "")
    (found,) = gpu.gpu()
    assert (found.status, found.required) == (MISSING, False)
    assert "--device cpu" in found.text


def test_rings_that_killed_runs_left_are_named_and_those_in_use_are_not(tmp_path: Path) -> None:
    assert machine.abandoned_rings(tmp_path) == []
    left, used = tmp_path / "powqmix-1.ring", tmp_path / "powqmix-2.ring"
    for path in (left, used):
        path.write_bytes(bytes(1 << 20))
    with used.open("rb") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        (finding,) = machine.abandoned_rings(tmp_path)
    assert (finding.status, finding.required) == (WRONG, False)
    assert "1 of killed runs" in finding.text
    assert finding.remedy.endswith(f"rm {left}")
