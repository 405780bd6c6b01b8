"""Bombs, bad keys, storms, races and hostile files on the real daemon (faults 43, 52, 64, 66, 69)."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from tests.campaign.lane import children
from tests.daemon.rig import Rig
from tests.daemon.test_kill import once_each
from tests.daemon.test_prometheus_hostile import peak
from tests.servers import Recorder, Reply, wait_for

BOMB = """\
#!/usr/bin/env python3
# 150 sleepers deaf to TERM, each in a session of its own, and four chains of processes that fork and end
# fifty times a second, so that no list of them is true. It goes off: it ends by itself after two minutes.
import os, signal, sys, time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
over = time.monotonic() + 120
for number in range(154):
    if os.fork():
        continue
    os.setsid()
    while time.monotonic() < over:
        if number < 150:
            time.sleep(1)
        elif os.fork():
            os._exit(0)
        else:
            time.sleep(0.02)
    os._exit(0)
open(os.environ["MARKS"] + "/lit", "w").close()
time.sleep(120)
"""


def alive(name: str) -> list[int]:
    """The processes whose command line holds this."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if name in (path / "cmdline").read_text() and "Z (" not in (path / "status").read_text():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def test_43_a_fork_bomb_is_stopped_to_the_last_process(rig: Rig) -> None:
    """What ever it forks; the daemon answers meanwhile, and people are told."""
    bomb = rig.folder / "plans" / "api" / "bomb.py"
    bomb.write_text(BOMB)
    bomb.chmod(0o755)
    name = str(rig.marks)  # an argument, so that the processes can be told from others'
    step = {"step": "bomb", "run": ["./bomb.py", name], "timeout": "5s"}
    rig.write(phases=[{"phase": "all", "estimate": "1s", "steps": [step]}])
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    wait_for(lambda: (rig.marks / "lit").exists(), 40, "the bomb")
    assert len(alive(name)) > 100
    assert rig.get("/-/healthy")[0] == 200
    rig.wait_state("api-1", "parked", "failed", seconds=60)
    assert alive(name) == []
    wait_for(lambda: any("in doubt" in title for title in rig.titles()), what="the page")


def test_52_a_receiver_that_refuses_is_followed_by_the_next_at_once(rig: Rig) -> None:
    """E2: not a rung later, and not after trying again."""
    with Recorder(Reply(403, b'{"error": "no such routing key"}')) as refusing:
        rig.overrides["settings"] = {
            "receivers": [
                {"name": "pager", "webhook": {"url": f"{refusing.url}/pager"}},
                {"name": "hook", "webhook": {"url": f"{rig.hook.url}/hook"}},
            ],
            "ladders": {
                "default": [{"after": "0s", "receivers": ["pager"]}, {"after": "1h", "receivers": ["hook"]}]
            },
        }
        rig.write(triggers=[rig.trigger(severity="medium")])
        rig.start()
        rig.begin_rollout()
        rig.break_canary()
        wait_for(lambda: any("approve a rollback?" in title for title in rig.titles()), 40, "the page")
        (page,) = [page for page in rig.pages() if "approve a rollback?" in page["title"]]
        asked = [request.json()["dedup"] for request in refusing.requests]
        assert asked.count(page["dedup"]) == 1
        told = [entry for entry in rig.life("api-1")["timeline"] if entry["kind"] == "page_refused"]
        assert "403" in str(told[0])
        rig.kill()


def loads(rig: Rig) -> int:
    return (rig.folder / "daemon.log").read_text().count('event="configuration loaded"')


def stop_a_reader(rig: Rig) -> int:
    """SIGHUP until the process that reads the files was caught in the act, and stands still."""
    assert rig.daemon is not None
    for _ in range(50):
        before = loads(rig)
        rig.daemon.send_signal(signal.SIGHUP)
        caught: list[int] = []

        def seen(before: int = before, caught: list[int] = caught) -> bool:
            assert rig.daemon is not None
            caught[:] = [pid for pid in children(rig.daemon.pid) if pid in alive("rollbackd.config")]
            return bool(caught) or loads(rig) > before

        wait_for(seen, what="a reader, or what it read")
        if caught:
            os.kill(caught[0], signal.SIGSTOP)
            if caught[0] in alive("rollbackd.config"):
                return caught[0]
    raise AssertionError("no reader could be caught")


def test_64_a_storm_of_hangups_is_one_reload_after_the_one_under_way(rig: Rig) -> None:
    rig.start()
    reader = stop_a_reader(rig)
    assert rig.daemon is not None
    before = loads(rig)
    for _ in range(500):
        rig.daemon.send_signal(signal.SIGHUP)
    assert rig.get("/-/healthy")[0] == 200
    os.kill(reader, signal.SIGCONT)
    wait_for(lambda: loads(rig) >= before + 2, what="two reloads")
    rig.cli("reload")  # behind any that would still be waiting
    assert loads(rig) == before + 3
    assert "Traceback" not in rig.log()


@pytest.mark.parametrize("rival", ["approve", "veto", "abort"])
def test_66_people_who_decide_at_once_have_one_winner(rig: Rig, rival: str) -> None:
    """E3: eight clients at one moment; what is then done is what was answered."""
    rig.write(triggers=[rig.trigger(severity="medium")])
    rig.slow("drain", 2)
    rig.start()
    rig.begin_rollout()
    rig.break_canary()
    rig.wait_state("api-1", "waiting_approval")
    gate = threading.Barrier(8)
    answers: list[tuple[str, int]] = []

    def say(verb: str) -> None:
        gate.wait(20)
        answers.append((verb, rig.post(f"/api/v1/rollbacks/api-1/{verb}", {"comment": verb})[0]))

    clients = [threading.Thread(target=say, args=(verb,)) for verb in ["approve", rival] * 4]
    for client in clients:
        client.start()
    for client in clients:
        client.join(30)
    assert len(answers) == 8
    assert {status for _, status in answers} <= {200, 409}
    end = rig.wait_state("api-1", "verified", "vetoed", "aborted")
    timeline = [entry["kind"] for entry in rig.life("api-1")["timeline"]]
    assert timeline.count("life_approved") <= 1
    taken = {verb for verb, status in answers if status == 200}
    if end == "verified":
        assert taken == {"approve"}
        once_each(rig)
    elif end == "vetoed":  # also what an abort makes of a life that waits
        assert (taken, rig.ran()) == ({rival}, [])
    else:
        assert taken == {"approve", "abort"}
        assert rig.ran() in ([], ["drain 1"])


GROUP = "version: rollbackd/v1\ngroups:\n  - name: api\n    interval: %s\n    triggers: []\n"
HOSTILE = {
    "duplicate": ("version: rollbackd/v1\nversion: rollbackd/v1\n", ":2:1: version: appears twice"),
    "bomb": (
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 30)),
        "yaml: holds more than 200000 values",
    ),
    "deep": ("groups: " + "[" * 100_000 + "]" * 100_000 + "\n", "yaml: nested deeper than 24 levels"),
    "sexagesimal": (GROUP % "1:30", ':4:15: interval: expected a duration, got "1:30"'),
    "on": (GROUP % "on", ':4:15: interval: expected a duration, got "on"'),
    "large": ("#" * (5 << 20), ":1:1: file: is larger than 4 MiB"),
    "tag": ("groups: !!python/object/apply:os.system [id]\n", "has no meaning here"),
    "bytes": ("groups: \0\n", "holds the control character U+0000"),
}


def test_69_hostile_files_are_refused_with_their_place_and_cost_nothing(rig: Rig) -> None:
    """The configuration in force stays; a start on such a file ends with 78."""
    rig.start()
    assert rig.daemon is not None
    usual, triggers = peak(rig.daemon.pid), rig.folder / "triggers.yml"
    good = triggers.read_text()
    for name, (text, said) in HOSTILE.items():
        triggers.write_text(text)
        refused = rig.cli("reload", ok=False)
        assert refused.returncode == 1, name
        assert "triggers.yml:" in refused.stderr, name
        assert said in refused.stderr, (name, refused.stderr)
    assert "Traceback" not in rig.log()
    assert peak(rig.daemon.pid) - usual < 32 << 20
    triggers.write_text(good)
    rig.begin_rollout()
    rig.break_canary()
    rig.wait_state("api-1", "verified")
    assert rig.stop() == 0
    triggers.write_text(HOSTILE["bomb"][0])
    started = rig.cli("run", "--config", str(rig.folder / "rollbackd.yml"), ok=False)
    assert started.returncode == 78
    assert HOSTILE["bomb"][1] in started.stderr
