"""What results say of their processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from powqmix import machine

CORE = "processor\t: {}\nmodel name\t: AMD EPYC\nflags\t\t: fpu {}\n\n"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("sse2", "AMD EPYC"),
        ("sse2 avx2", "AMD EPYC (AVX2)"),
        ("avx2 avx512f", "AMD EPYC (AVX-512)"),
        ("avx2 avx512f avx512_bf16", "AMD EPYC (AVX-512 BF16)"),
    ],
)
def test_the_processor_is_named_with_its_widest_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, said: str
) -> None:
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    machine.CPU_INFO.write_text(CORE.format(0, flags) + CORE.format(1, flags))
    assert machine.processor() == said


def test_a_processor_without_cpuinfo_has_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "missing")
    assert machine.processor()
    (tmp_path / "empty").touch()
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "empty")
    assert machine.processor()
