"""What of StarCraft II and the package `smac` is installed, and what to do about what is not.

Nothing here imports smac: its protobuf files fail to load beside recent protobuf, and the learner must not need them.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = "https://github.com/oxwhirl/smac"
_INSTEAD = "skirmish/<map> needs neither the game nor the package"
# Builds of the two versions in use. Their results are not comparable.
_VERSIONS = {"69232": "4.6.2", "75689": "4.10"}


class NotInstalled(ValueError):
    """The real game cannot be played here; the message says what is missing and the remedy."""


@dataclass(frozen=True)
class Installation:
    """A StarCraft II that can be played."""

    path: Path  # its folder
    build: str  # "75689"

    @property
    def version(self) -> str:
        return _VERSIONS.get(self.build, f"build {self.build}")


def find_installation(map_name: str) -> Installation:
    """The installed game with the map `map_name`.

    Raises NotInstalled naming the first thing that is missing, and how to get it.
    """
    _require_package()
    path = Path(os.environ.get("SC2PATH", "~/StarCraftII")).expanduser()
    if not path.is_dir():
        where = f"SC2PATH is {path}" if "SC2PATH" in os.environ else f"SC2PATH is not set and {path}"
        raise NotInstalled(
            f"smac: StarCraft II was not found: {where}, which is no folder. Install version 4.10 (Linux packages: "
            f"https://github.com/Blizzard/s2client-proto#linux-packages) and set SC2PATH to its folder; {_INSTEAD}"
        )
    builds = sorted(p.name.removeprefix("Base") for p in path.glob("Versions/Base*") if p.name[4:].isdigit())
    if not builds:
        raise NotInstalled(
            f"smac: {path} holds no game: there is no folder Versions/Base*. Set SC2PATH to the folder of StarCraft "
            f"II; {_INSTEAD}"
        )
    if not any(path.glob(f"[Mm]aps/**/{map_name}.SC2Map")):
        raise NotInstalled(
            f"smac: the map {map_name}.SC2Map is not in {path / 'Maps'}. Unpack SMAC_Maps.zip of {REPOSITORY}/releases "
            "there"
        )
    return Installation(path, max(builds, key=int))


def _require_package() -> None:
    package = importlib.util.find_spec("smac")
    remedy = (
        f'pip install "smac @ git+{REPOSITORY}.git" "protobuf==3.20.3" (newer protobuf cannot load its files); '
        f"{_INSTEAD}"
    )
    if package is None:
        raise NotInstalled(f"smac: the Python package is not installed. {remedy}")
    places = [Path(place) for place in package.submodule_search_locations or ()]
    if not any((place / "env" / "starcraft2").is_dir() for place in places):
        raise NotInstalled(
            "smac: another project of that name is installed (SMAC3, as PyPI has it), not the StarCraft "
            f"Multi-Agent Challenge. Use an environment without it: {remedy}"
        )
