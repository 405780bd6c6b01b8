"""The configuration's files, read in a process of their own (`python -m rollbackd.config`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from rollbackd.app.lastgood import WorldSettings
from rollbackd.core.model import Config

READ_WITHIN = 60.0
"""s; a configuration of a thousand triggers takes half a second."""


class Loaded(msgspec.Struct, frozen=True):
    """A configuration that can be used. `plan_folders` are where the plans' folders are now."""

    core: Config
    settings: WorldSettings
    plan_folders: dict[str, str]


class _Answer(msgspec.Struct, frozen=True):
    state_dir: str
    loaded: Loaded | None = None
    problems: tuple[str, ...] = ()


class FilesRefused(Exception):
    """They cannot be used; `problems` are `file:line:col: …`, all of them."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Reading:
    """Begins to read at once; the daemon has other things to do until `result` is wanted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rollbackd.config", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._answer: _Answer | None = None

    @property
    def state_dir(self) -> Path:
        """Where the state is, also where the rest cannot be used. FilesRefused: not even that is known."""
        return Path(self._read().state_dir)

    def result(self) -> Loaded:
        """FilesRefused."""
        answer = self._read()
        if answer.loaded is None:
            raise FilesRefused(answer.problems)
        return answer.loaded

    def _read(self) -> _Answer:
        if self._answer is None:
            try:
                out, err = self._process.communicate(timeout=READ_WITHIN)
                self._answer = msgspec.json.decode(out, type=_Answer)
            except (subprocess.TimeoutExpired, msgspec.MsgspecError) as error:
                self._process.kill()
                self._process.wait()
                said = err.decode(errors="replace").strip().splitlines()[-1:] if "err" in locals() else []
                why = said[0] if said else str(error)
                problem = f"{self._path}:1:1: file: could not be read ({why}); try `rollbackd check`"
                raise FilesRefused((problem,)) from error
        return self._answer


def read(path: Path) -> tuple[Loaded, Path]:
    """The configuration and its state directory. FilesRefused."""
    reading = Reading(path)
    return reading.result(), reading.state_dir
