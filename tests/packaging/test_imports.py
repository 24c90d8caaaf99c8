"""The arrows of the architecture, read from the imports themselves."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("ops", "modules", "objectives", "envs", "wire", "actors", "learner", "cli")

# Each part, and what it may use of the library beside itself and the records that all share.
MAY_USE = {
    "ops": set(),
    "modules": {"ops"},
    "objectives": {"ops", "modules"},
    "envs": set(),
    "wire": set(),
    "actors": {"envs", "wire"},
    "learner": {"ops", "modules", "objectives", "envs", "wire"},
    "cli": {"ops", "modules", "objectives", "envs", "wire", "actors", "learner"},
}


def folder(part: str) -> Path:
    return ROOT / part if part in ("actors", "learner") else ROOT / "powqmix" / part


def imported(path: Path, part: str) -> set[str]:
    """Parts that a file imports, wherever in it the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level > 1:
                names = [f"powqmix.{node.module or ''}", *(f"powqmix.{alias.name}" for alias in node.names)]
            elif node.level == 0 and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name in ("actors", "learner") or name.startswith(("actors.", "learner.")):
                raise AssertionError(f"{path}: imports {name}; it is powqmix.{name}")
            words = name.split(".")
            if words[0] == "powqmix" and len(words) > 1 and words[1] in PARTS and words[1] != part:
                found.add(words[1])
    return found


@pytest.mark.parametrize("part", PARTS)
def test_a_part_uses_only_what_lies_below_it(part: str) -> None:
    files = list(folder(part).rglob("*.py"))
    assert files
    for path in files:
        assert imported(path, part) <= MAY_USE[part], path


@pytest.mark.parametrize("shared", ["types", "algorithms", "config", "config_values", "machine", "process", "files"])
def test_what_all_share_uses_no_part(shared: str) -> None:
    assert imported(ROOT / "powqmix" / f"{shared}.py", shared) == set()


@pytest.mark.parametrize("module", ["powqmix.actors.service", "powqmix.wire", "powqmix.envs", "powqmix.cli.launch"])
def test_no_torch_where_it_would_cost_every_process_memory(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_top_level_folders_are_imported_as_parts_of_the_library() -> None:
    for name in ("actors", "learner"):
        link = ROOT / "powqmix" / name
        assert link.is_symlink()
        assert link.resolve() == ROOT / name
