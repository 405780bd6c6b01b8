"""Small bugs of the engine, the driver and the journal, as data, and how one is planted: an import hook
compiles the module with the snippet replaced; no file is written."""

from __future__ import annotations

import sys
import tomllib
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, convert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "daemon"


class Bug(Struct, frozen=True, forbid_unknown_fields=True):
    """`was` occurs once in the module, and becomes `now`; `does` says what that would do to people.

    `by`: what finds it: drawn lives, or also lives that are crashed at every append.
    """

    name: str
    does: str
    was: str
    now: str
    by: Literal["seeds", "crashes"] = "seeds"
    module: str = ""

    def path(self) -> Path:
        return SOURCES.joinpath(*self.module.split(".")).with_suffix(".py")

    def planted(self, source: str) -> str:
        """The module's source with the bug in it. ValueError: the snippet does not stand there once."""
        times = source.count(self.was)
        if times != 1:
            raise ValueError(f"{self.module}, {self.name}: its snippet occurs {times} times")
        return source.replace(self.was, self.now)


def every_bug() -> tuple[Bug, ...]:
    """All of them, module by module. A file is named as its module, below `rollbackd`."""
    found = []
    for file in sorted((HERE / "bugs").glob("*.toml")):
        module = f"rollbackd.{file.stem}"
        for name, fields in tomllib.loads(file.read_text(encoding="utf-8")).items():
            found.append(convert({"name": name, "module": module, **fields}, Bug))
    return tuple(found)


def plant(bug: Bug) -> None:
    """From now on this process imports the module with the bug in it."""
    if bug.module in sys.modules:
        raise RuntimeError(f"{bug.module} is imported already, without the bug")
    sys.meta_path.insert(0, _Finder(bug))


class _Finder(MetaPathFinder):
    def __init__(self, bug: Bug) -> None:
        self._bug = bug

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._bug.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            raise ImportError(f"there is no {fullname}")
        spec.loader = _Loader(self._bug, spec.origin)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, bug: Bug, path: str) -> None:
        super().__init__(bug.module, path)
        self._bug = bug

    def get_code(self, fullname: str) -> CodeType | None:
        source = self.get_data(self.get_filename(fullname)).decode()
        return compile(self._bug.planted(source), self.path, "exec", dont_inherit=True)
