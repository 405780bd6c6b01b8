"""Runs the product with one line of it changed: the sources stay as they are (standard library alone).

`install` comes before the module is imported. The helper of the runner is another program, and gets it too.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from importlib.util import decode_source
from types import CodeType, ModuleType
from typing import NamedTuple

VARIABLE = "CRASHES_PLANTED"


class Plant(NamedTuple):
    """A defect: in `module`, `sound` stands exactly once and becomes `broken`."""

    name: str
    module: str
    sound: str
    broken: str


class Missing(Exception):
    """The snippet does not stand in its module exactly once."""


def broken_source(plant: Plant, source: str) -> str:
    if source.count(plant.sound) != 1:
        raise Missing(f"{plant.name}: {plant.module} has its snippet {source.count(plant.sound)} times")
    return source.replace(plant.sound, plant.broken)


class _Loader(importlib.machinery.SourceFileLoader):
    plant: Plant

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return compile(broken_source(self.plant, decode_source(self.get_data(path))), path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._plant.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            raise Missing(f"{self._plant.name}: no module {fullname}")
        loader = _Loader(fullname, spec.origin)
        loader.plant = self._plant
        spec.loader = loader
        return spec


def install(name: str) -> None:
    """From now on that module is imported broken. KeyError: no such plant."""
    from tests.crashes.plants import PLANTS

    plant = {plant.name: plant for plant in PLANTS}[name]
    if plant.module in sys.modules:
        raise Missing(f"{plant.module} was imported before its defect was planted")
    sys.meta_path.insert(0, _Finder(plant))


def install_ordered() -> None:
    """Install what the environment orders, if anything."""
    if name := os.environ.get(VARIABLE):
        install(name)
