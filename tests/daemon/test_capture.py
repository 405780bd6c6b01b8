"""What was put aside before a change, under the real daemon: taken, gone back to, killed midway (C1)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.daemon.rig import Rig
from tests.servers import wait_for

COPY = """\
echo "$ROLLBACK_PREVIOUS_VERSION $ROLLBACK_CAPTURE_ITEM" >> "$MARKS/captured"
[ -e "$MARKS/slow-capture" ] && sleep 60
cp "$MARKS/shop.db" "$ROLLBACK_CAPTURE_DIR/shop.db" && wc -l < "$MARKS/shop.db"
"""
BEGIN = ("rollout", "begin", "api", "--previous", "v1", "--next", "v2")
STEPS = [
    {
        "step": "restore",
        "shell": True,
        "run": 'cp "$ROLLBACK_CAPTURE_DIR/shop/shop.db" "$MARKS/shop.db"',
        "timeout": "20s",
    },
    {"step": "revert", "run": ["./step.sh"], "timeout": "20s", "repeatable": True},
]
PLAN: dict[str, Any] = {
    "capture": [
        {"name": "shop", "shell": True, "run": COPY, "timeout": "2m"},
        {"name": "bad", "expr": "max(bad)"},
    ],
    "phases": [{"phase": "all", "estimate": "1s", "steps": STEPS}],
    "verification": [
        {"check": "well", "expr": "max(bad)", "pass": "<= baseline", "baseline": "bad"},
        {
            "check": "rows",
            "run": ["sh", "-c", 'wc -l < "$MARKS/shop.db"'],
            "prints": "$baseline",
            "baseline": "shop",
        },
    ],
}
GOOD = "one\ntwo\n"


def prepare(rig: Rig) -> None:
    rig.write(**PLAN)
    (rig.marks / "shop.db").write_text(GOOD)
    rig.start()


def captures(rig: Rig) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rig.get("/api/v1/captures")[1]["data"]
    return found


@contextmanager
def beginning(rig: Rig) -> Iterator[subprocess.Popen[str]]:
    """`rollout begin`, under way."""
    socket = str(rig.state_dir / "rollbackd.sock")
    command = [sys.executable, "-m", "rollbackd", *BEGIN, "--socket", socket]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def attempts(rig: Rig) -> list[str]:
    path = rig.marks / "captured"
    return path.read_text().splitlines() if path.exists() else []


def test_a_rollback_goes_back_to_what_was_put_aside(rig: Rig) -> None:
    prepare(rig)
    said = rig.cli(*BEGIN).stdout.splitlines()
    assert said[-2:] == ["api-c1 is complete: 2 items, 1 files, 8 bytes", "rollout api-r1 is open"]
    (rig.marks / "shop.db").write_text("damaged\n")
    rig.break_canary()
    rig.wait_state("api-1", "verified")
    assert (rig.marks / "shop.db").read_text() == GOOD
    assert rig.life("api-1")["capture"] == "api-c1"
    rows = {row["name"]: row["value"] for row in captures(rig)[0]["items"]}
    assert rows == {"shop": 2.0, "bad": 0.0}


def test_a_damaged_capture_asks_and_says_which_file(rig: Rig) -> None:
    """Fault 72."""
    prepare(rig)
    rig.cli(*BEGIN)
    (rig.state_dir / "captures" / "api-c1" / "shop" / "shop.db").write_text("one\ntwp\n")
    rig.break_canary()
    rig.wait_state("api-1", "waiting_approval")
    (lowered,) = rig.life("api-1")["lowered_by"]
    assert lowered["reason"] == "capture"
    assert lowered["detail"] == "capture api-c1: shop/shop.db was changed since: it is not what was captured"
    assert rig.ran() == []


def test_sigkill_in_the_middle_of_a_capture(rig: Rig) -> None:
    """Faults 1 and 73: taken again, whoever waits goes on waiting, nothing of the first try is left."""
    prepare(rig)
    (rig.marks / "slow-capture").touch()
    with beginning(rig) as command:
        wait_for(lambda: attempts(rig), 40, "the capture")
        rig.kill()
        (rig.marks / "slow-capture").unlink()
        rig.start()
        out, errors = command.communicate(timeout=60)
    assert (command.returncode, errors) == (0, "")
    assert out.splitlines()[-1] == "rollout api-r1 is open"
    assert attempts(rig) == ["v1 shop", "v1 shop"]
    folder = rig.state_dir / "captures" / "api-c1"
    assert [path.name for path in folder.iterdir()] == ["shop"]


def test_what_fails_lets_no_rollout_begin(rig: Rig) -> None:
    """Fault 71; unless somebody says why."""
    prepare(rig)
    (rig.marks / "shop.db").unlink()
    failed = rig.cli(*BEGIN, ok=False)
    assert failed.returncode == 1
    assert "api-c1 failed: item shop: " in failed.stderr
    assert "shop.db" in failed.stderr
    assert rig.get("/api/v1/rollouts")[1]["data"] == []
    without = rig.cli(*BEGIN, "--without-capture", "-c", "there is no shop yet")
    assert "rollout api-r1 is open" in without.stdout
    (rollout,) = rig.get("/api/v1/rollouts")[1]["data"]
    assert (rollout["capture"], rollout["without_capture"]) == (None, "there is no shop yet")


def test_a_second_one_is_a_conflict(rig: Rig) -> None:
    prepare(rig)
    (rig.marks / "slow-capture").touch()
    with beginning(rig):
        wait_for(lambda: attempts(rig), 40, "the capture")
        for command in (BEGIN, ("capture", "api")):
            second = rig.cli(*command, ok=False)
            assert second.returncode == 5
            assert "api-c1 is being captured since" in second.stderr
