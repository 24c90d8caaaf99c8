"""What of StarCraft II and the packages `smac` and `smacv2` is installed, and what to do about what is not.

Nothing here imports them: their protobuf files fail to load beside recent protobuf, and the learner must not need them.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

_INSTEAD = "skirmish/<map> needs neither the game nor the package"
# Builds of the two versions in use. Their results are not comparable.
_VERSIONS = {"69232": "4.6.2", "75689": "4.10"}


@dataclass(frozen=True)
class Package:
    """A Python package that plays StarCraft II."""

    name: str  # to import
    repository: str
    maps: str  # where its map files are
    other: str = ""  # what else may be installed under its name

    @property
    def remedy(self) -> str:
        return (
            f'pip install "{self.name} @ git+{self.repository}.git" "protobuf==3.20.3" (newer protobuf cannot load its '
            f"files); {_INSTEAD}"
        )


SMAC = Package(
    "smac",
    "https://github.com/oxwhirl/smac",
    "Unpack SMAC_Maps.zip of https://github.com/oxwhirl/smac/releases there",
    "another project of that name is installed (SMAC3, as PyPI has it), not the StarCraft Multi-Agent Challenge. ",
)
SMACV2 = Package(
    "smacv2",
    "https://github.com/oxwhirl/smacv2",
    "Copy smacv2/env/starcraft2/maps/SMAC_Maps of https://github.com/oxwhirl/smacv2 there",
)


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


def find_installation(map_file: str, package: Package) -> Installation:
    """The installed game that `package` plays, with the map `map_file`.SC2Map.

    Raises NotInstalled naming the first thing that is missing, and how to get it.
    """
    require_package(package)
    path = Path(os.environ.get("SC2PATH", "~/StarCraftII")).expanduser()
    if not path.is_dir():
        where = f"SC2PATH is {path}" if "SC2PATH" in os.environ else f"SC2PATH is not set and {path}"
        raise NotInstalled(
            f"{package.name}: StarCraft II was not found: {where}, which is no folder. Install version 4.10 (Linux "
            "packages: https://github.com/Blizzard/s2client-proto#linux-packages) and set SC2PATH to its folder; "
            f"{_INSTEAD}"
        )
    builds = sorted(p.name.removeprefix("Base") for p in path.glob("Versions/Base*") if p.name[4:].isdigit())
    if not builds:
        raise NotInstalled(
            f"{package.name}: {path} holds no game: there is no folder Versions/Base*. Set SC2PATH to the folder of "
            f"StarCraft II; {_INSTEAD}"
        )
    if not any(path.glob(f"[Mm]aps/**/{map_file}.SC2Map")):
        raise NotInstalled(f"{package.name}: the map {map_file}.SC2Map is not in {path / 'Maps'}. {package.maps}")
    return Installation(path, max(builds, key=int))


def require_package(package: Package) -> None:
    """Raises NotInstalled if `package` cannot be imported, or something else has its name."""
    found = importlib.util.find_spec(package.name)
    if found is None:
        raise NotInstalled(f"{package.name}: the Python package is not installed. {package.remedy}")
    places = [Path(place) for place in found.submodule_search_locations or ()]
    if not any((place / "env" / "starcraft2").is_dir() for place in places):
        raise NotInstalled(f"{package.name}: {package.other}Use an environment without it: {package.remedy}")
