"""`rollbackd demo`: the whole story, with all that is real here; and what an interrupted one leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers import wait_for

from rollbackd.demo.processes import Failure
from rollbackd.demo.story import Story
from rollbackd.demo.view import Plain

COMMAND = [sys.executable, "-m", "rollbackd", "demo", "--headless"]
ELSEWHERE = {"ROLLBACKD_SOCKET": "/nonexistent/production.sock"}  # the demo must not speak to that one
WITHIN = 180.0  # seconds, on a machine that is busy with other tests; alone it takes 40


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where the demo makes its folder: a short path, because there are sockets in it."""
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        yield Path(name)


STEPS = ("drain", "previous-release", "restore-weight", "mark-bad")


@pytest.mark.parametrize(
    ("state", "steps", "errors", "release", "verdict"),
    [
        ("verified", STEPS, 0.0, "1.4.2", None),
        ("unverified", STEPS, 0.0, "1.4.2", "demo-1 ended as unverified, not verified: why"),
        ("verified", ("drain", *STEPS), 0.0, "1.4.2", "wanted each once"),
        ("verified", STEPS[:3], 0.0, "1.4.2", "wanted each once"),
        ("verified", STEPS, 0.3, "1.4.2", "customers still see errors: 30%"),
        ("verified", STEPS, None, "1.4.2", "customers still see errors"),
        ("verified", STEPS, 0.0, "1.5.0", "the canary serves 1.5.0"),
    ],
)
def test_the_demo_believes_other_witnesses_than_rollbackd(
    tmp_path: Path,
    state: str,
    steps: tuple[str, ...],
    errors: float | None,
    release: str,
    verdict: str | None,
) -> None:
    story = Story(tmp_path, Plain(), prometheus=None)
    story.scene.life = {"id": "demo-1", "state": state, "detail": "why"}
    story.scene.errors = errors
    story.scene.cohorts["canary"].release = release
    (tmp_path / "steps").write_text("".join(f"demo-1 {step}\n" for step in steps))
    if verdict is None:
        story.judge()
        return
    with pytest.raises(Failure, match=verdict):
        story.judge()


def play(scratch: Path, output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(
            COMMAND,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, "TMPDIR": str(scratch), **ELSEWHERE},
        )


def processes_of(scratch: Path) -> list[str]:
    """The command lines of those that have to do with the demo's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if str(scratch) in command:
            found.append(command)
    return found


def test_a_bad_release_is_rolled_back_although_the_daemon_is_killed(scratch: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    demo = play(scratch, output)
    try:
        status = demo.wait(WITHIN)
    finally:
        demo.terminate()
        demo.wait(60)
    text = output.read_text()
    assert status == 0, text
    told = [line for line in text.splitlines() if "kill -9" in line or "every step ran once" in line]
    assert len(told) == 2, text
    assert "# Rollback report: demo (demo-1)" in text
    assert processes_of(scratch) == []
    assert list(scratch.iterdir()) == []


def test_an_interrupted_demo_ends_all_it_started_and_keeps_its_logs(scratch: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    demo = play(scratch, output)
    try:
        wait_for(lambda: "rollbackd watches it" in output.read_text(), 60, "rollbackd is ready")
        assert len(processes_of(scratch)) >= 4
        demo.send_signal(signal.SIGTERM)
        status = demo.wait(60)
    finally:
        demo.kill()
        demo.wait()
    text = output.read_text()
    assert status == 1, text
    assert "rollbackd demo: interrupted" in text
    assert processes_of(scratch) == []
    (kept,) = scratch.iterdir()
    assert (kept / "logs" / "rollbackd.log").exists()
    assert f"the logs are in {kept / 'logs'}" in text
