"""The live daemon and a backtest of the same span, configuration and journal agree on every fire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.daemon.rig import Rig, Service
from tests.servers import wait_for

from rollbackd.config import read_candidates
from rollbackd.core import events as e
from rollbackd.core.history import History
from rollbackd.core.judging import window_queries
from rollbackd.core.model import Ms
from rollbackd.journal.audit import events_of
from rollbackd.tuning import answers

INTERVAL: Ms = 2_000
DELAY: Ms = 1_000
COHORTS = ("canary", "stable")

Fire = tuple[Ms, str]
"""The end of the deciding window, and the subject."""


class Counting(Service):
    """Each scrape finds ten requests more of each cohort, and five errors more of a bad one."""

    def text(self) -> str:
        with self._lock:
            bad = {labels[0][1]: value for (name, labels), value in self._series.items() if name == "bad"}
        for cohort, value in bad.items():
            self.add("requests_total", 10, cohort=cohort)
            self.add("errors_total", 5 * float(value), cohort=cohort)
        return super().text()


def triggers(prefix: str) -> list[dict[str, Any]]:
    shared = {"category": "metric", "severity": "critical", "action": "shadow", "arm": "always"}
    shared |= {"plan": "api", "cooldown": "1s"}
    ratio = {
        "errors": "sum by (cohort) (rate(errors_total[3s]))",
        "total": "sum by (cohort) (rate(requests_total[3s]))",
        "min_total": 1,
    }
    per = {"per": ["cohort"], "windows": 3}
    return [
        {"trigger": f"{prefix}Plain", "expr": "max(bad)", "breach": "> 0", "windows": 2, **shared},
        {"trigger": f"{prefix}Ratio", "ratio": ratio, "breach": "> 0.1", **per, **shared},
        {"trigger": f"{prefix}Each", "expr": "bad", "breach": "> 0", **per, **shared},
    ]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    made.service = Counting(made.marks)
    with made:
        for cohort in COHORTS:
            made.service.set("bad", 0, cohort=cohort)
        made.write()
        group = {"interval": "2s", "delay": "1s"}
        groups = [
            {"name": "plain", **group, "triggers": triggers("")},
            {"name": "aligned", "align": "auto", **group, "triggers": triggers("Aligned")},
        ]
        document = {"version": "rollbackd/v1", "groups": groups}
        (made.folder / "triggers.yml").write_text(yaml.safe_dump(document, sort_keys=False))
        yield made


def journalled(rig: Rig, kind: type[e.Event]) -> list[Any]:
    return events_of(rig.state_dir / "journal.db", kind.kind(), 10_000)


def now(rig: Rig) -> Ms:
    """By Prometheus' clock."""
    (found,) = rig.prometheus.query("vector(time())")
    return round(float(found["value"][1]) * 1000)


def live(rig: Rig, begin: Ms, end: Ms) -> dict[str, list[Fire]]:
    """By trigger: what the journal has of windows that end in between."""
    found: dict[str, list[Fire]] = {}
    for opened in journalled(rig, e.LifeOpened):
        assert opened.action == "shadow"
        for firing in opened.firings:
            if begin < firing.end <= end:
                found.setdefault(firing.trigger, []).append((firing.end, firing.subject))
    return {name: sorted(fires) for name, fires in found.items()}


def replayed(document: dict[str, Any]) -> list[Fire]:
    found = []
    for fire in document["fires"]:
        at = round(datetime.fromisoformat(fire["at"]).timestamp() * 1000)
        found += [(at, reading["subject"].get("cohort", "")) for reading in fire["readings"]]
    return sorted(found)


def trusted(rig: Rig, histories: list[History]) -> Ms:
    """Until when all windows were fully covered, and their samples there when the daemon asked. A machine
    under load scrapes late at times: what the daemon saw then cannot be known afterwards."""
    until = histories[-1].ends[-1]
    for history in histories:
        for window, end in enumerate(history.ends):
            covered = all(
                column.there[window] and column.values[window] * 1000 > end - INTERVAL
                for query, columns in zip(history.queries, history.columns, strict=True)
                for column in columns.values()
                if query.role == "coverage"
            )
            if not covered:
                until = min(until, end - 1)
    took = f"max_over_time(scrape_duration_seconds[{until - histories[0].ends[0] + INTERVAL}ms])"
    assert rig.prometheus.value(took, at=until / 1000) < (DELAY - 200) / 1000  # type: ignore[operator]
    return until


def backtest(rig: Rig, begin: Ms, end: Ms) -> tuple[dict[str, Any], dict[str, list[History]]]:
    """What it finds of each trigger, and the answers it had."""
    files = rig.folder / "triggers.yml", rig.folder / "saved.json.gz"
    span = [f"--start={begin / 1000:.3f}", f"--end={end / 1000:.3f}", "--format=json", f"--save={files[1]}"]
    said = rig.cli("backtest", str(files[0]), "--config", str(rig.folder / "rollbackd.yml"), *span)
    again = rig.cli("backtest", str(files[0]), f"--data={files[1]}", "--format=json")
    assert json.loads(again.stdout)["triggers"] == json.loads(said.stdout)["triggers"]
    saved = answers.read(files[1], answers.content(files[1]))
    histories = {
        trigger.name: [
            one for one in saved.of(window_queries(trigger.condition), trigger.per, INTERVAL)
            if trigger.auto_align == (one.ends.start % 1_000 != 0)
        ]
        for trigger in read_candidates(files[0]).triggers
    }  # fmt: skip
    return {one["trigger"]: one for one in json.loads(said.stdout)["triggers"]}, histories


def test_a_backtest_fires_when_the_daemon_did(rig: Rig) -> None:
    rig.start()
    wait_for(lambda: journalled(rig, e.AlignmentLearned), 120, "an alignment")
    rig.windows(6)  # seconds: all windows in force are aligned
    begin = now(rig)
    rig.windows(5)  # a streak must not begin before
    for cohorts, bad, well in ((COHORTS, 10, 9), (COHORTS[:1], 3, 8), (COHORTS[1:], 10, 9), (COHORTS, 11, 9)):
        for cohort in cohorts:
            rig.service.set("bad", 1, cohort=cohort)
        rig.windows(bad)
        for cohort in cohorts:
            rig.service.set("bad", 0, cohort=cohort)
        rig.windows(well)
    end = now(rig)
    wait_for(lambda: now(rig) > end + 2 * INTERVAL + DELAY, what="the last windows")

    found, histories = backtest(rig, begin, end)
    fired = live(rig, begin, end)
    assert found.keys() == fired.keys()
    for name, document in found.items():
        until = trusted(rig, histories[name])
        agreed = [fire for fire in replayed(document) if fire[0] <= until]
        assert agreed == [fire for fire in fired[name] if fire[0] <= until], name
        assert agreed, (name, until - begin)
    whole = {name: {at % INTERVAL for at, _ in replayed(one)} for name, one in found.items()}
    assert {name for name, phases in whole.items() if phases == {0}} == {"Plain", "Ratio", "Each"}
    assert any(one["near_misses"] for one in found.values())
