"""What a rollback cost is asked once, when it is over (S5); its report is owed until it is written (E6)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes import made
from tests.fakes.made import MINUTE, SECOND
from tests.fakes.story import Story

from rollbackd.core import events as e
from rollbackd.core import signals as s
from rollbackd.core.effects import WriteReport
from rollbackd.core.model import ImpactQuery, Limit
from rollbackd.core.state import Measured

FAILED = ImpactQuery("failed_requests", "increase(failed[$span])")
COST = ImpactQuery("customer_impact", "cost", {"minimal": Limit("<", 1.0), "severe": Limit(">=", 1.0)})


def rolled_back(*queries: ImpactQuery, answers: dict[str, Any] | None = None, status: int = 0) -> Story:
    plan = made.plan(impact=queries, verify_windows=0, verification=(made.query_check("well"),))
    one = Story(made.config(plans=(plan,)))
    one.world.steps["open"] = [{"status": status}]
    for name, answer in (answers or {}).items():
        one.world.checks[name] = [answer]
    one.say(s.Start("api", "customers call"))
    one.run_to(lambda: bool(one.of(e.LifeEnded)))
    return one


def value(text: str) -> dict[str, Any]:
    return {"answer": "pass", "output": text}


def test_each_is_asked_once_over_the_time_from_the_decision_to_verified() -> None:
    one = rolled_back(FAILED, answers={"failed_requests": value("71.0")})
    life = one.life("api-1")
    assert life.verified is not None
    took = -(-(life.verified - life.opened) // 1_000)
    one.run(span=5 * MINUTE)
    asked = [effect for _, effect in one.world.questions if "/impact/" in effect.key]
    assert [effect.check.measure.expr for effect in asked if effect.check.measure] == [
        f"increase(failed[{took}s])"
    ]
    (told,) = one.of(e.ImpactMeasured)
    assert told.found == (Measured("failed_requests", 71.0),)
    assert (told.since, told.until) == (life.opened, life.verified)
    assert told.at >= life.verified + 15 * SECOND
    assert one.state.lives == {}


def test_of_what_a_trigger_began_the_time_counts_from_the_breach() -> None:
    plan = made.plan(impact=(FAILED,))
    one = Story(made.config(plans=(plan,)))
    one.tape(one.config.triggers[0], "BBBB")
    one.run(span=10 * MINUTE)
    (told,), (opened,) = one.of(e.ImpactMeasured), one.of(e.LifeOpened)
    assert told.since == opened.firings[0].began < opened.at


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (value("0.5"), Measured("customer_impact", 0.5, "minimal")),
        (value("7"), Measured("customer_impact", 7.0, "severe")),
        (value("0"), Measured("customer_impact", 0.0, "minimal")),
        (value("NaN"), Measured("customer_impact", None, detail="no number")),
        (value(""), Measured("customer_impact", None, detail="no number")),
        (
            {"answer": "cannot_tell", "detail": "Prometheus is silent"},
            Measured("customer_impact", None, detail="Prometheus is silent"),
        ),
    ],
)
def test_what_is_not_answered_is_unknown_and_never_0(answer: Any, found: Measured) -> None:
    one = rolled_back(COST, answers={"customer_impact": answer})
    one.run(span=MINUTE)
    assert one.of(e.ImpactMeasured)[0].found == (found,)


def test_a_life_that_failed_is_measured_to_its_end_and_waits_for_resolve() -> None:
    one = rolled_back(FAILED, answers={"failed_requests": value("5")}, status=1)
    one.run(span=MINUTE)
    (told,), (ended,) = one.of(e.ImpactMeasured), one.of(e.LifeEnded)
    assert (ended.end, told.until) == ("failed", ended.at)
    assert one.life("api-1").impact == (Measured("failed_requests", 5.0),)
    one.say(s.Resolve("api-1", "forward-fix", "v2.1.1", lessons=("test the backup", "keep two")))
    (resolved,) = one.of(e.LifeResolved)
    assert resolved.lessons == ("test the backup", "keep two")


def test_what_never_ran_cost_nothing_that_is_asked() -> None:
    plan = made.plan(impact=(FAILED,))
    one = Story(made.config(made.trigger(action="shadow"), plans=(plan,)))
    one.tape(one.config.triggers[0], "BBBB")
    one.run(span=2 * MINUTE)
    assert one.states() == {"api-1": "shadowed"}
    assert one.of(e.ImpactMeasured) == []


@pytest.mark.parametrize("down", [0, 10 * MINUTE])
def test_a_restart_asks_what_was_not_answered(down: int) -> None:
    one = rolled_back(FAILED, answers={"failed_requests": value("1")})
    one.restart(down=down)
    one.run(span=MINUTE)
    assert [event.found for event in one.of(e.ImpactMeasured)] == [(Measured("failed_requests", 1.0),)]


# Reports


def test_a_report_is_written_at_the_end_and_again_with_what_is_known_later() -> None:
    one = rolled_back(FAILED, answers={"failed_requests": value("1")}, status=1)
    one.run(span=MINUTE)
    one.say(s.Resolve("api-1", "by hand", "done"))
    one.run(span=MINUTE)
    seen = [
        event.kind()
        for event in one.events
        if isinstance(event, e.LifeEnded | e.ImpactMeasured | e.LifeResolved | e.ReportWritten)
    ]
    written = "report_written"
    assert seen == ["life_ended", written, "impact_measured", written, "life_resolved", written]
    assert one.of(e.ReportWritten)[-1].files == {"api-1.md": "5ea1ed"}
    assert one.state.owed_reports == {}


def test_a_report_that_was_not_written_is_owed_after_a_restart() -> None:
    one = rolled_back()
    assert one.state.owed_reports == {"api-1": 1}
    one.restart()
    one.run(span=SECOND)
    assert one.state.owed_reports == {}
    assert len(one.of(e.ReportWritten)) == 1


def test_what_was_read_before_the_newest_fact_is_not_taken_for_the_report() -> None:
    one = rolled_back(status=1)
    one.world.forget_daemon()
    one.say(s.Resolve("api-1", "by hand", "done"))
    assert one.state.owed_reports == {"api-1": 2}
    one.turn(s.ReportWritten("api-1", 1, {"api-1.md": "old"}))
    assert one.of(e.ReportWritten) == []
    assert [x for x in one.driver.under_way.values() if isinstance(x, WriteReport)] == [
        WriteReport("api-1", 2)
    ]
