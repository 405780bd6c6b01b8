"""The real process keeps its record: it prunes what is old, publishes its head, starts from what is left."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import wait_for

from rollbackd.core.events import LifeHeld, TriggerForgotten
from rollbackd.core.record import Stamp
from rollbackd.journal.anchors import found_in
from rollbackd.journal.audit import judge_anchors, verify_file
from rollbackd.journal.sqlite import SqliteJournal
from rollbackd.journal.statedir import StateDir, read_uuid

BASE = Path(__file__).parents[1] / "config" / "base"
DAY = 86_400_000
RUN = """
import sys
from pathlib import Path
from rollbackd import app
from rollbackd.app import retention
retention.FIRST_LOOK = 0.0
sys.exit(app.run(Path(sys.argv[1])))
"""


@contextmanager
def daemon(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", RUN, str(folder / "rollbackd.yml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lay_out(folder: Path) -> Path:
    """A state directory in which something happened over a year ago, and half a year ago."""
    shutil.copytree(BASE, folder)
    with (folder / "rollbackd.yml").open("a") as file:
        file.write(f"web: {{listen: '127.0.0.1:0'}}\naudit: {{anchor_file: '{folder}/anchors'}}\n")
    state = StateDir.open(folder / "state", reserve=0)
    journal = SqliteJournal(state.journal, origin=state.uuid, code="before")
    now = int(time.time() * 1000)
    for days, life in ((400, "old-1"), (180, "new-1")):
        at = now - days * DAY
        stamp = Stamp(steady=at, wall=at, boottime=1, boot="another", epoch=0, actor="ann")
        held = LifeHeld(at=at, life=life, by="ann", channel="unix")
        journal.append([held, TriggerForgotten(at=at, trigger="T")], stamp)
        (state.attempts / life / "0001-step").mkdir(parents=True)
    journal.close()
    state.close()
    return folder / "state"


def test_a_year_is_kept_and_the_head_is_published(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    state = lay_out(folder)
    origin = read_uuid(state)
    with daemon(folder) as process:
        wait_for(lambda: not (state / "attempts" / "old-1").exists(), 60, "the old life's attempts to go")
        found = verify_file(state / "journal.db", origin)
        assert (found.ok, found.pruned) == (True, 2)
        assert (state / "attempts" / "new-1").exists()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0, log
    anchors = set(found_in((folder / "anchors").read_text().splitlines()))
    assert anchors == set(found_in(log.splitlines()))
    verdicts = judge_anchors(state / "journal.db", origin, anchors)
    assert [verdict.what for verdict in verdicts] == ["matches"] * len(anchors)
    assert verdicts[-1].anchor.seq == verify_file(state / "journal.db", origin).upto

    (state / "journal.snapshot").unlink()
    with daemon(folder) as process:
        sock = state / "rollbackd.sock"
        wait_for(sock.exists, 60, "the second start")
        asked = [sys.executable, "-m", "rollbackd", "scorecard", "--json", "--socket", str(sock)]
        card = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
        assert json.loads(card.stdout)["all"]["rollbacks"] == 0
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0, log
    more = set(found_in((folder / "anchors").read_text().splitlines()))
    assert len(more) > len(anchors)
    found_anchors = judge_anchors(state / "journal.db", origin, more)
    assert {verdict.what for verdict in found_anchors} == {"matches"}
