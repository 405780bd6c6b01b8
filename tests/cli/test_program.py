"""The program itself: help, start-up, and how whatever happens ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.cli.fake import FakeDaemon, life, rollbackd

from rollbackd.cli import program as programs
from rollbackd.cli.text import count, span, visible

MAIN = "from rollbackd.cli import main; main()"


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


ALL = sorted(commands(programs.program), key=lambda found: found[0])


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_help_mentions_every_option_in_a_line(path: tuple[str, ...], command: click.Command) -> None:
    result = rollbackd(*path, "--help")
    assert result.exit_code == 0
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.opts[-1] in result.stdout
            assert param.help, f"{path}: {param.name} has no help"
            assert "\n" not in param.help
        elif isinstance(param, click.Argument):
            assert param.make_metavar(click.Context(command)) in result.stdout
    assert command.help, path
    assert "\n\n" not in command.help.strip()


NAMED = (
    "run check status show start rollout ack approve veto hold resume abort confirm tick resolve "
    "pause unpause rearm reload audit report version demo library test backtest init "
    "import schema capture scorecard evidence gate"
)


def test_help_groups_every_command() -> None:
    assert sorted(name for path, _ in ALL for name in path[:1] if len(path) == 1) == sorted(NAMED.split())
    said = rollbackd("--help").stdout
    titles = [f"{title}:" for title in programs.SECTIONS]
    assert [line for line in said.splitlines() if line in titles] == titles
    assert rollbackd().stdout == said


def test_version_starts_light() -> None:
    """A lookup over SSH at 3 a.m. must not wait for libraries that it does not use."""
    script = (
        "import sys; sys.argv = ['rollbackd', 'version']\n"
        "from rollbackd.cli import main\n"
        "try: main()\n"
        "except SystemExit as left: assert not left.code\n"
        "heavy = {'aiohttp', 'pydantic', 'rich', 'yaml', 'asyncio', 'ssl', 'msgspec', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    said, heavy = found.stdout.splitlines()
    assert said.startswith("rollbackd")
    assert heavy == "[]"


def test_no_traceback_unless_asked(daemon: FakeDaemon) -> None:
    daemon.get("rollbacks/api-7", ["not", "a", "life"])
    command = ["show", "api-7", "--socket", str(daemon.socket)]
    result = rollbackd(*command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("rollbackd: AttributeError: ")
    assert result.stderr.count("\n") == 1
    result = rollbackd(*command, ROLLBACKD_DEBUG="1")
    assert isinstance(result.exception, AttributeError)


def test_a_closed_pipe_is_silent(daemon: FakeDaemon) -> None:
    daemon.get("rollbacks/api-7", life())
    command = [sys.executable, "-c", MAIN, "show", "api-7", "--watch", "--socket", str(daemon.socket)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert b"running" in process.stdout.readline()
    process.stdout.close()
    daemon.get("rollbacks/api-7", life(state="held"))  # a change, so a line that nobody reads
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(20) == 141


def test_ctrl_c_is_clean(daemon: FakeDaemon) -> None:
    daemon.get("rollbacks/api-7", life())
    command = [sys.executable, "-c", MAIN, "show", "api-7", "--watch", "--socket", str(daemon.socket)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert b"running" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err.strip()) == (130, b"")


def test_colour_is_for_terminals_that_want_it(daemon: FakeDaemon) -> None:
    daemon.overview(rollbacks=[life()])
    command = ["status", "--socket", str(daemon.socket)]
    assert "\x1b" not in rollbackd(*command).stdout
    assert "\x1b[" in rollbackd(*command, FORCE_COLOR="1").stdout
    plain = rollbackd(*command, FORCE_COLOR="1", NO_COLOR="1").stdout
    assert not any(f"\x1b[{code}m" in plain for code in range(30, 38))


def test_run_and_demo_are_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[object] = []

    class Stand:
        @staticmethod
        def run(config: Path, max_action: str | None) -> int:
            said.append((config, max_action))
            return 78

        @staticmethod
        def main(headless: bool) -> int:
            said.append(headless)
            return 1

    monkeypatch.setitem(sys.modules, "rollbackd.app", Stand)
    monkeypatch.setitem(sys.modules, "rollbackd.demo", Stand)
    monkeypatch.setattr("rollbackd.app", Stand, raising=False)
    file = tmp_path / "rollbackd.yml"
    assert rollbackd("run", "--config", str(file), "--max-action", "shadow").exit_code == 78
    assert rollbackd("demo", "--headless").exit_code == 1
    assert rollbackd("run", "--max-action", "none").exit_code == 2
    assert said == [(file, "shadow"), True]


def test_text_for_a_terminal() -> None:
    assert visible("ü – ≥ ok") == "ü – ≥ ok"
    assert visible("a\tb\x00\x7f\u200b\ud800") == "a\\tb\\x00\\x7f\\u200b\\ud800"
    spans = [
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (250, "4m10s"),
        (5400, "1h30m"),
        (90000, "1d1h"),
        (-61, "-1m1s"),
    ]
    assert [span(seconds) for seconds, _ in spans] == [said for _, said in spans]
    assert [count(0, "file"), count(1, "file"), count(2, "file")] == ["0 files", "1 file", "2 files"]


def test_a_terminal_without_unicode_gets_escapes(daemon: FakeDaemon) -> None:
    daemon.get("rollbacks/api-7", life(reason="a – b"))
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-c", MAIN, "show", "api-7", "--socket", str(daemon.socket)]
    found = subprocess.run(command, capture_output=True, env=env, timeout=60, check=False)
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"a \\u2013 b" in found.stdout
