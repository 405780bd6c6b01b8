"""What is logged: one line a fact, of a bounded length (fault 68, I16)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rollbackd.app import logs

DAEMON = Path(logs.__file__).parents[2]


def logged(call: str, journald: bool) -> bytes:
    """The standard error of a process that configures its logs and makes the call."""
    program = f"import structlog; from rollbackd.app import logs; logs.configure(); {call}"
    environment = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
    environment |= {"PYTHONPATH": str(DAEMON), "PYTHONUTF8": "1"} | (
        {"JOURNAL_STREAM": "8:1"} if journald else {}
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    return done.stderr


@pytest.mark.parametrize("journald", [True, False])
def test_a_field_is_cut_and_its_length_told(journald: bool) -> None:
    line = logged(
        "structlog.get_logger().error('e', a='x' * 100_000, b=['y'] * 9_000, c='z' * 500)", journald
    )
    assert line.count(b"\n") == 1
    assert b"(100000 characters)" in line
    assert b"(45000 characters)" in line
    assert b"c=" + b"z" * 500 in line
    assert len(line) < 2_000
    assert line.startswith(b"<3>") is journald


@pytest.mark.parametrize("journald", [True, False])
@pytest.mark.parametrize("char", ["x", "漢", "\\n", "\\x1b", "\\ud800"])
def test_a_line_is_cut(char: str, journald: bool) -> None:
    call = f"structlog.get_logger().info('e', **{{f'f{{n}}': '{char}' * 10_000 for n in range(100)}})"
    line = logged(call, journald)
    assert line.count(b"\n") == 1
    assert line.endswith(b" bytes)\n")
    assert 8_000 < len(line) <= logs.LINE
    line.decode()


def test_an_exception_is_cut_too() -> None:
    program = "exec('try: 1/0\\nexcept ZeroDivisionError: structlog.get_logger().exception(\"e\" * 1_000)')"
    line = logged(program, journald=False)
    assert b"ZeroDivisionError" in line
    assert b"(1000 characters)" in line
    assert line.count(b"\n") == 1


def test_a_short_line_is_as_it_was() -> None:
    line = logged("structlog.get_logger().info('started', rows=3, said='a b')", journald=True)
    assert line == b'<6>level=info event=started rows=3 said="a b"\n'
