"""Where the scripts of a shipped plan run: its `env:`, and programs on PATH that are not what they seem."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parent / "stand-in.sh"
PLANS = tuple(sorted(path.parent.name for path in ROOT.glob("plans/*/plan.yml")))


class Answer(NamedTuple):
    """What a stand-in says to what fits `pattern` (a shell's, over all its arguments)."""

    pattern: str
    says: str = ""
    status: int | Literal["hangs"] = 0


class Said(NamedTuple):
    """How a script ended, and what people are shown of it."""

    status: int
    last: str


def read_plan(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "plans" / name / "plan.yml").read_text())
    return document


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install {program}")


class Stage:
    """`env` replaces values of the plan's own."""

    def __init__(self, folder: Path, plan: str, **env: str) -> None:
        self.folder = folder
        self.capture = folder / "capture"
        self._scripts = ROOT / "plans" / plan / "scripts"
        (folder / "bin").mkdir(parents=True)
        self.capture.mkdir()
        self.env = {
            **{name: str(value) for name, value in read_plan(plan)["env"].items()},
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ROLLBACK_ID": f"{plan}-1",
            "ROLLBACK_SCOPE": "all",
            "ROLLBACK_REASON": "it went bad",
            "ROLLBACK_PREVIOUS_VERSION": "1.4.2",
            "ROLLBACK_NEXT_VERSION": "1.5.0",
            "ROLLBACK_REHEARSAL": "0",
            "ROLLBACK_CAPTURE_DIR": str(self.capture),
            **env,
        }

    def plays(self, name: str, *answers: Answer) -> None:
        """From now on; the first that fits answers."""
        lines = []
        for index, answer in enumerate(answers):
            file = f"{name}.{index}.says"
            (self.folder / file).write_text(answer.says)
            lines.append(f"{answer.pattern}\t{answer.status}\t{file}\n")
        (self.folder / f"{name}.answers").write_text("".join(lines))
        program = self.folder / "bin" / name
        if not program.exists():
            shutil.copy(STAND_IN, program)

    def asked(self, name: str) -> list[str]:
        return _lines(self.folder / f"{name}.asked")

    def given(self, name: str) -> list[Any]:
        """The JSON documents that it was given on standard input."""
        return [json.loads(line) for line in _lines(self.folder / f"{name}.input")]

    def run(self, script: str, *arguments: str, **env: str) -> Said:
        done = self.start(script, *arguments, **env)
        said = (done.stderr if done.returncode else done.stdout).strip()
        return Said(done.returncode, said.splitlines()[-1] if said else "")

    def start(self, script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._scripts / script), *arguments],
            env={**self.env, **env},
            cwd=self._scripts.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def captures(self, **files: Any) -> None:
        """What was captured, JSON; `_` in a name is a point, `__` a hyphen."""
        for name, value in files.items():
            path = self.capture / name.replace("__", "-").replace("_", ".")
            path.write_text(json.dumps(value))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def changed(plan: dict[str, Any], **changes: Mapping[str, Any] | Any) -> dict[str, Any]:
    """The plan as somebody adapted it; `env` is merged."""
    env = {**plan["env"], **changes.pop("env", {})}
    return {**plan, **changes, "env": env}
