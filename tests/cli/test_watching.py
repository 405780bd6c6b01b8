"""`--watch`: off a terminal one line a change; on one a screen that never passes stale data for fresh."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.fake import FakeDaemon, ended, entry, life, listening, matter, rollbackd, success, trigger

from rollbackd.cli import changes, client, live
from rollbackd.cli.errors import Exit, Failed, Unreachable
from rollbackd.cli.overview import Overview, Strips, ask, needs
from rollbackd.cli.poll import Poll, Reading

MAIN = "from rollbackd.cli import main; main()"


def seen(daemon: FakeDaemon, **parts: Any) -> Overview:
    daemon.overview(**parts)
    return ask(client.over_socket(str(daemon.socket)))


def test_one_line_a_change(daemon: FakeDaemon) -> None:
    open_rollout = {"id": "api-r1", "plan": "api", "previous": "v1", "next": "v2", "state": "open"}
    ok = {"labels": {"cohort": "canary"}, "verdict": "ok", "streak": 0, "disarmed": None}
    tape: list[tuple[dict[str, Any], list[str]]] = [
        ({"triggers": [trigger(subjects=[ok])]}, ["daemon ready", "trigger ApiErrorRatioHigh ok"]),
        ({"triggers": [trigger(subjects=[ok], last_window="later")]}, []),
        ({"triggers": [trigger()]}, ["trigger ApiErrorRatioHigh breach 3/8 {cohort=canary}"]),
        (
            {"triggers": [trigger()], "rollbacks": [life(state="checking")], "rollouts": [open_rollout]},
            ["rollback api-7 checking (ApiErrorRatioHigh)", "rollout api-r1 open (v1 → v2)"],
        ),
        (
            {"triggers": [trigger(armed=False)], "rollbacks": [life(detail="a\nb")], "matters": [matter()]},
            [
                "matter blind/ApiErrorRatioHigh open: ApiErrorRatioHigh sees nothing",
                "rollback api-7 running (ApiErrorRatioHigh): a\\nb",
                "rollout api-r1 gone",
                "trigger ApiErrorRatioHigh breach 3/8 {cohort=canary}, not armed",
            ],
        ),
    ]
    before: Overview | None = None
    for parts, expected in tape:
        after = seen(daemon, **parts)
        assert list(changes.overview_lines(before, after)) == expected
        before = after


def test_strips_collect_one_verdict_a_window(daemon: FakeDaemon) -> None:
    strips = Strips()
    for window, verdict in [("1", "ok"), ("1", "ok"), ("2", "breach"), ("3", "no_data"), ("3", "no_data")]:
        subject = {"labels": {}, "verdict": verdict, "streak": 0, "disarmed": None}
        strips.add([trigger(last_window=window, subjects=[subject])])
    assert strips.of(trigger()) == ["ok", "breach", "no_data"]


def test_a_paged_life_is_told_once(daemon: FakeDaemon) -> None:
    paged = matter(key="life/api-7", life="api-7", title="approve a rollback? (api-7)", text="Decide.")
    found = needs(seen(daemon, rollbacks=[life(state="waiting_approval")], matters=[paged]))
    assert [(need.what, need.todo) for need in found] == [("approve a rollback? (api-7)", "Decide.")]


def test_show_prints_the_record_as_it_grows(daemon: FakeDaemon) -> None:
    first = [entry("12:00:00", "opened")]
    second = [*first, entry("12:00:01", "approved", "alice"), entry("12:00:02", "drain runs")]
    daemon.get(
        "rollbacks/api-7", life(timeline=first), life(timeline=first), ended("failed", timeline=second)
    )
    result = rollbackd("show", "api-7", "--watch", "--socket", str(daemon.socket))
    assert result.exit_code == 0
    assert [line.partition(" ")[2] for line in result.stdout.splitlines()] == [
        "2026-03-01 12:00:00Z opened",
        "api-7 running",
        "2026-03-01 12:00:01Z approved (alice)",
        "2026-03-01 12:00:02Z drain runs",
        "api-7 failed",
    ]


def test_show_watches_until_verified(daemon: FakeDaemon) -> None:
    daemon.get("rollbacks/api-7", life(), ended("failed"))
    command = ["show", "api-7", "--watch", "--until", "verified", "--socket", str(daemon.socket)]
    assert rollbackd(*command).exit_code == 1


class Tape:
    """Answers, or fails, in order; the last stays."""

    def __init__(self, *items: str | Exception) -> None:
        self.items = list(items)

    def __call__(self) -> str:
        item = self.items.pop(0) if len(self.items) > 1 else self.items[0]
        if isinstance(item, Exception):
            raise item
        return item


GONE = Unreachable("s: nobody listens; look")


def test_lines_say_once_that_the_daemon_went_away(capsys: pytest.CaptureFixture[str]) -> None:
    def told(before: str | None, after: str) -> Iterator[str]:
        if before != after:
            yield after

    with Poll(Tape("one", GONE, GONE, "two"), interval=0.005) as poll:
        for answer in live.lines(poll, told):
            if answer == "two":
                break
    lines = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "one"
    assert re.fullmatch(
        r"daemon does not answer; what is known is \d+s old: s: nobody listens; look", lines[1]
    )
    assert lines[2:] == ["daemon answers again", "two"]


def test_whoever_waits_loses_patience() -> None:
    with Poll(Tape("one", GONE), interval=0.005, patience=0.02) as poll, pytest.raises(Unreachable):
        for _ in live.silent(poll):
            pass


def test_a_refusal_ends_the_watch() -> None:
    refused = Failed("no such rollback", Exit.NO)
    with Poll(Tape("one", refused), interval=0.005) as poll, pytest.raises(Failed, match="no such rollback"):
        for _ in live.silent(poll):
            pass


def test_an_answer_that_makes_no_sense_ends_the_watch_with_words() -> None:
    with (
        Poll(Tape("one", KeyError("id")), interval=0.005) as poll,
        pytest.raises(Unreachable, match="no sense"),
    ):
        for _ in live.silent(poll):
            pass


STALENESS = [
    (Reading("data", 100.0, 1), 101.0, False),
    (Reading("data", 100.0, 1), 105.5, True),  # it hangs: no problem is known yet
    (Reading("data", 100.0, 2, "s: nobody listens"), 101.0, True),
]


@pytest.mark.parametrize(("reading", "now", "stale"), STALENESS)
def test_a_page_that_is_stale_says_so(reading: Reading[str], now: float, stale: bool) -> None:
    said = str(live.banner(reading, "s", now))
    assert ("STALE" in said) == stale
    assert f"{int(now - 100)}s old" in said


class Terminal:
    """A process on a pseudo-terminal, and all it has shown."""

    def __init__(self, *args: str, columns: int = 100, lines: int = 40) -> None:
        self.master, slave = pty.openpty()
        env = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": str(lines)}
        command = [sys.executable, "-c", MAIN, *args]
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env)
        os.close(slave)
        self.shown = ""

    def wait_for(self, text: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{text!r} was not shown: {self.shown[-2000:]!r}"
            self.shown += os.read(self.master, 65536).decode("utf-8", "replace")

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def terminal(*args: str, columns: int = 100, lines: int = 40) -> Iterator[Terminal]:
    made = Terminal(*args, columns=columns, lines=lines)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
        made.process.wait()
        os.close(made.master)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_live_view_turns_stale_with_the_daemon(tmp_path: Path, number: int, code: int) -> None:
    path = tmp_path / "d.sock"
    with listening(FakeDaemon(path)) as fake:
        fake.overview(rollbacks=[life(state="waiting_approval")], triggers=[trigger()])
        watching = terminal("status", "--watch", "--socket", str(path))
        with watching as screen:
            screen.wait_for("NEEDS YOU")
            screen.wait_for("data 0s old")
            fake.socket.rename(tmp_path / "away")
            screen.wait_for("STALE: what follows is")
            (tmp_path / "away").rename(fake.socket)
            screen.shown = ""
            screen.wait_for("data 0s old")
            assert screen.end(number) == code
            screen.wait_for("\x1b[?1049l")  # the terminal gets its screen back
            screen.wait_for("\x1b[?25h")  # and its cursor
            assert "Traceback" not in screen.shown


def test_the_live_view_of_a_life_ends_with_it(daemon: FakeDaemon) -> None:
    daemon.get("rollbacks/api-7", life(), life(), ended("verified", detail="all is well"))
    with terminal(
        "show", "api-7", "--watch", "--until", "verified", "--socket", str(daemon.socket)
    ) as screen:
        screen.wait_for("running")
        screen.wait_for("all is well")
        assert screen.process.wait(20) == 0


def step(number: int, state: str) -> dict[str, Any]:
    began = None if state == "to_come" else "2026-03-01T12:00:00.000Z"
    ended = began if state == "done" else None
    return {
        **{"phase": "revert-every-region", "step": f"step-{number:02}", "state": state, "by": None},
        **{"attempts": 1, "detail": "", "said": "", "began": began, "ended": ended},
    }


def test_a_small_screen_shows_the_running_step_and_what_is_cut(daemon: FakeDaemon) -> None:
    steps = [step(n, "done" if n < 20 else "running" if n == 20 else "to_come") for n in range(40)]
    asked = matter(key="life/api-7", life="api-7", title="a step is slow", text="Look at it.")
    timeline = [entry("12:00:00", f"entry {number} {'word ' * 30}") for number in range(50)]
    daemon.get("rollbacks/api-7", life(steps=steps, timeline=timeline, matters=[asked], reason="x " * 500))
    command = ("show", "api-7", "--watch", "--socket", str(daemon.socket))
    with terminal(*command, columns=80, lines=24) as screen:
        screen.wait_for(" lines more")
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.shown)
        order = ["a step is slow: Look at it.", "api-7  running", "SLA", "… 17 more", "step-20", "… 14 more"]
        found = [shown.index(text) for text in order]
        assert found == sorted(found)
        assert screen.end(signal.SIGINT) == 130


def test_a_reload_is_told_in_words_on_a_terminal(daemon: FakeDaemon) -> None:
    daemon.answers["POST /-/reload"] = success({"hash": "c0ffee"})
    with terminal("reload", "--socket", str(daemon.socket)) as screen:
        screen.wait_for("configuration c0ffee is in force")
        assert screen.process.wait(20) == 0
