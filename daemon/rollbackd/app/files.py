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


TRIES = 3
"""A reader that was killed says nothing about the files."""


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


class ReaderFailed(FilesRefused):
    """Nobody knows what the files say: the reader was killed, or hung, more than once."""


class Reading:
    """Begins to read at once; the daemon has other things to do until `result` is wanted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = self._begin()
        self._answer: _Answer | None = None

    def _begin(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "rollbackd.config", str(self._path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @property
    def state_dir(self) -> Path:
        """Where the state is, also where the rest cannot be used. ReaderFailed: not even that is known."""
        return Path(self._read().state_dir)

    def result(self) -> Loaded:
        """FilesRefused, ReaderFailed."""
        answer = self._read()
        if answer.loaded is None:
            raise FilesRefused(answer.problems)
        return answer.loaded

    def _read(self) -> _Answer:
        why = ""
        for attempt in range(TRIES):
            if self._answer is not None:
                break
            if attempt:
                self._process = self._begin()
            try:
                out, err = self._process.communicate(timeout=READ_WITHIN)
                self._answer = msgspec.json.decode(out, type=_Answer)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
                why = f"not within {READ_WITHIN:g} s"
            except msgspec.MsgspecError:
                said = err.decode(errors="replace").strip().splitlines()[-1:]
                why = said[0] if said else f"its reader ended with {self._process.returncode}"
        if self._answer is None:
            raise ReaderFailed((f"{self._path}:1:1: file: could not be read ({why}); try `rollbackd check`",))
        return self._answer


def read(path: Path) -> tuple[Loaded, Path]:
    """The configuration and its state directory. FilesRefused."""
    reading = Reading(path)
    return reading.result(), reading.state_dir
